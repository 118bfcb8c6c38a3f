//! Names of things, and references to handlers.
//!
//! A name is shared by many claims, so it is a shared string: copying one copies a pointer.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use semver::VersionReq;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

/// What names match, as a regular expression.
pub const NAME_PATTERN: &str = "^[A-Za-z][A-Za-z0-9_-]{0,127}$";

/// The greatest length of a name, in bytes.
const MAX_LENGTH: usize = 128;

/// A text that cannot be a name.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidName {
    /// Nothing was given.
    #[error("a name must not be empty")]
    Empty,
    /// Longer than 128 characters.
    #[error("`{start}…` has {length} characters; a name has at most 128")]
    TooLong {
        /// The first characters of the text.
        start: String,
        /// Its length in characters.
        length: usize,
    },
    /// It begins with something that is not a letter.
    #[error("`{text}` must begin with a letter (A-Z, a-z)")]
    Start {
        /// What was given.
        text: String,
    },
    /// It has a character that is not allowed.
    #[error("`{text}` has the character `{character}`; a name has letters, digits, `_` and `-` only")]
    Character {
        /// What was given.
        text: String,
        /// The first character that is not allowed.
        character: char,
    },
}

pub(crate) fn check_name(text: &str) -> Result<(), InvalidName> {
    let length = text.chars().count();
    if length == 0 {
        return Err(InvalidName::Empty);
    }
    if length > MAX_LENGTH {
        return Err(InvalidName::TooLong {
            start: text.chars().take(24).collect(),
            length,
        });
    }
    if !text.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(InvalidName::Start {
            text: text.to_owned(),
        });
    }
    match text
        .chars()
        .find(|c| !c.is_ascii_alphanumeric() && *c != '_' && *c != '-')
    {
        Some(character) => Err(InvalidName::Character {
            text: text.to_owned(),
            character,
        }),
        None => Ok(()),
    }
}

macro_rules! names {
    ($($(#[$doc:meta])* $name:ident)+) => {
        $(
            $(#[$doc])*
            ///
            /// Matches `[A-Za-z][A-Za-z0-9_-]*`, at most 128 characters.
            #[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
            pub struct $name(Arc<str>);

            impl $name {
                /// Checks the text and returns the name.
                ///
                /// # Errors
                ///
                /// [`InvalidName`] says what is wrong with the text.
                pub fn new(text: &str) -> Result<Self, InvalidName> {
                    check_name(text).map(|()| Self(text.into()))
                }

                /// Returns the text of the name.
                pub fn as_str(&self) -> &str {
                    &self.0
                }
            }

            impl fmt::Display for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.pad(&self.0)
                }
            }

            impl fmt::Debug for $name {
                fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    write!(f, "{:?}", self.as_str())
                }
            }

            impl FromStr for $name {
                type Err = InvalidName;

                fn from_str(text: &str) -> Result<Self, InvalidName> {
                    Self::new(text)
                }
            }

            impl AsRef<str> for $name {
                fn as_ref(&self) -> &str {
                    &self.0
                }
            }

            impl Borrow<str> for $name {
                fn borrow(&self) -> &str {
                    &self.0
                }
            }

            impl Serialize for $name {
                fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                    serializer.serialize_str(&self.0)
                }
            }

            impl<'de> Deserialize<'de> for $name {
                fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                    let text = String::deserialize(deserializer)?;
                    Self::new(&text).map_err(de::Error::custom)
                }
            }
        )+
    };
}

names! {
    /// A namespace: it owns templates and handlers.
    Namespace
    /// The name of a task template within its namespace.
    TemplateName
    /// The name of a step within its template.
    StepName
    /// The name of a step handler within its namespace.
    HandlerName
    /// The name of something else that follows the same rule: a dependent system, a profile, a tag's key.
    ParameterName
}

impl Default for Namespace {
    /// Returns `default_system`.
    fn default() -> Self {
        Self(Arc::from("default_system"))
    }
}

/// How a step names its handler: `[namespace.]name[@requirement]`.
///
/// Without a namespace the template's own is searched, then the built-in handlers.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct HandlerRef {
    /// The namespace, if the reference names one.
    pub namespace: Option<Namespace>,
    /// The handler's name.
    pub name: HandlerName,
    /// Which versions may serve, if the reference says so; otherwise the latest.
    pub requirement: Option<VersionReq>,
}

/// A text that is no reference to a handler.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum HandlerRefError {
    /// A part of it is not a name.
    #[error("`{text}` is no handler (`[namespace.]name[@requirement]`): {source}")]
    Name {
        /// What was given.
        text: String,
        /// What is wrong with the part.
        source: InvalidName,
    },
    /// The part after `@` is no version requirement.
    #[error(
        "`{text}` asks for the version `{requirement}`, which is no requirement such as `^1.2`: {source}"
    )]
    Requirement {
        /// What was given.
        text: String,
        /// The part after `@`.
        requirement: String,
        /// What is wrong with it.
        source: semver::Error,
    },
}

impl FromStr for HandlerRef {
    type Err = HandlerRefError;

    fn from_str(text: &str) -> Result<Self, HandlerRefError> {
        let name_error = |source| HandlerRefError::Name {
            text: text.to_owned(),
            source,
        };
        let (path, requirement) = match text.split_once('@') {
            Some((path, requirement)) => (path, Some(requirement)),
            None => (text, None),
        };
        let (namespace, name) = match path.split_once('.') {
            Some((namespace, name)) => (Some(Namespace::new(namespace).map_err(name_error)?), name),
            None => (None, path),
        };
        let requirement = requirement
            .map(|requirement| {
                requirement
                    .parse()
                    .map_err(|source| HandlerRefError::Requirement {
                        text: text.to_owned(),
                        requirement: requirement.to_owned(),
                        source,
                    })
            })
            .transpose()?;
        Ok(Self {
            namespace,
            name: HandlerName::new(name).map_err(name_error)?,
            requirement,
        })
    }
}

impl fmt::Display for HandlerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(namespace) = &self.namespace {
            write!(f, "{namespace}.")?;
        }
        write!(f, "{}", self.name)?;
        if let Some(requirement) = &self.requirement {
            write!(f, "@{requirement}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for HandlerRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "HandlerRef({self})")
    }
}

impl Serialize for HandlerRef {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for HandlerRef {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, message: &str) {
        assert_eq!(StepName::new(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn names_begin_with_a_letter_and_have_no_dot() {
        assert!(StepName::new("fetch_order-2").is_ok());
        refused("", "a name must not be empty");
        refused("2nd", "`2nd` must begin with a letter (A-Z, a-z)");
        refused(
            "a.b",
            "`a.b` has the character `.`; a name has letters, digits, `_` and `-` only",
        );
        refused(
            "größe",
            "`größe` has the character `ö`; a name has letters, digits, `_` and `-` only",
        );
    }

    #[test]
    fn names_have_at_most_128_characters() {
        assert!(StepName::new(&"a".repeat(128)).is_ok());
        refused(
            &"a".repeat(129),
            "`aaaaaaaaaaaaaaaaaaaaaaaa…` has 129 characters; a name has at most 128",
        );
    }

    #[test]
    fn handler_references_read_back() {
        for text in [
            "validate",
            "payments.validate",
            "validate@^2.1",
            "payments.validate@>=1.0.0, <3.0.0",
        ] {
            assert_eq!(text.parse::<HandlerRef>().unwrap().to_string(), text);
        }
        assert_eq!(
            "pay.a.b".parse::<HandlerRef>().unwrap_err().to_string(),
            "`pay.a.b` is no handler (`[namespace.]name[@requirement]`): `a.b` has the character `.`; \
             a name has letters, digits, `_` and `-` only"
        );
        assert!("pay@latest".parse::<HandlerRef>().is_err());
    }

    #[test]
    fn a_handler_shows_what_was_written() {
        let handler: HandlerRef = "payments.charge@^2".parse().unwrap();
        assert_eq!(format!("{handler:?}"), "HandlerRef(payments.charge@^2)");
    }
}
