//! What is wrong with a configuration.

use std::fmt;
use std::io;
use std::path::Path;
use std::sync::Arc;

use thiserror::Error;

use crate::environment::RESERVED;
use crate::origin::Origin;

/// One fault of a configuration, and where it is.
#[derive(Clone, Debug)]
pub struct Fault {
    pub(crate) kind: FaultKind,
    pub(crate) origin: Origin,
}

/// What can be wrong.
#[derive(Clone, Debug, Error)]
#[non_exhaustive]
pub enum FaultKind {
    /// There is no such section.
    #[error("unknown section `{section}`{}", Hint { nearest: nearest.as_deref(), known })]
    UnknownSection {
        /// What is written.
        section: String,
        /// The section that is perhaps meant.
        nearest: Option<String>,
        /// The sections that there are.
        known: Vec<String>,
    },
    /// There is no such key in the table.
    #[error("unknown key `{key}` = {value}{}", Hint { nearest: nearest.as_deref(), known })]
    UnknownKey {
        /// What is written, with its section.
        key: String,
        /// Its value.
        value: String,
        /// The key that is perhaps meant; with its section if it is of another one.
        nearest: Option<String>,
        /// The keys that there are.
        known: Vec<String>,
    },
    /// The key needs values of another type.
    #[error("`{key}` is {value}, but it must be {expected}")]
    WrongType {
        /// The key, with its section.
        key: String,
        /// Its value.
        value: String,
        /// What it must be.
        expected: String,
    },
    /// The value is of the right type, but its content is not.
    #[error("`{key}` is {value}: {reason}")]
    Rejected {
        /// The key, with its section.
        key: String,
        /// Its value.
        value: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The value breaks a constraint.
    #[error("`{key}` is {value}, but it must be {must}{}", Others(others))]
    Constraint {
        /// The key, with its section.
        key: String,
        /// Its value.
        value: String,
        /// The constraint.
        must: String,
        /// What the constraint compares with: keys of the section, their values and origins.
        others: Vec<(String, String, Origin)>,
    },
    /// The file has no such profile.
    #[error("unknown profile `{profile}`{}", ProfileHint { nearest: nearest.as_deref(), known })]
    UnknownProfile {
        /// The profile that is asked for.
        profile: String,
        /// The profile that is perhaps meant.
        nearest: Option<String>,
        /// The profiles that there are.
        known: Vec<String>,
    },
    /// The variable begins with `TASKER_` and means nothing.
    #[error("unknown variable{}", VariableHint(nearest.as_deref()))]
    UnknownVariable {
        /// The variable that is perhaps meant.
        nearest: Option<String>,
    },
    /// The value of a variable is no Unicode text.
    #[error("its value is not valid Unicode")]
    NotUnicode,
    /// The file is not TOML.
    #[error("{message}")]
    Syntax {
        /// What the parser says.
        message: String,
    },
    /// The file cannot be read.
    #[error("the configuration file cannot be read: {source}")]
    Unreadable {
        /// Why.
        source: Arc<io::Error>,
    },
    /// The file is no UTF-8 text.
    #[error("the configuration file is not valid UTF-8")]
    NotText,
    /// The file is larger than any configuration.
    #[error("the configuration file is larger than {limit} bytes")]
    TooLarge {
        /// How large a file may be.
        limit: u64,
    },
}

impl Fault {
    /// Returns what is wrong.
    pub fn kind(&self) -> &FaultKind {
        &self.kind
    }

    /// Returns where it is.
    pub fn origin(&self) -> &Origin {
        &self.origin
    }

    /// Returns the file, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        self.origin.file()
    }

    /// Returns the line, from 1, if it is in a file and the line is known.
    pub fn line(&self) -> Option<u64> {
        self.origin.line()
    }

    /// Returns what is wrong, without where it is.
    pub fn message(&self) -> String {
        self.kind.to_string()
    }
}

impl FaultKind {
    /// Tells whether nothing of the file could be read.
    pub(crate) fn is_about_the_whole_file(&self) -> bool {
        matches!(
            self,
            Self::Syntax { .. } | Self::Unreadable { .. } | Self::NotText | Self::TooLarge { .. }
        )
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.origin, self.kind)
    }
}

/// All faults of all layers of a configuration.
#[derive(Clone, Debug, Error)]
pub struct Faults(pub(crate) Vec<Fault>);

impl Faults {
    /// Returns the faults, layer by layer, in the order of their lines. There is at least one.
    pub fn as_slice(&self) -> &[Fault] {
        &self.0
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, fault) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { "\n" };
            write!(f, "{separator}{fault}")?;
        }
        Ok(())
    }
}

/// What is perhaps meant, else what there is.
struct Hint<'a> {
    nearest: Option<&'a str>,
    known: &'a [String],
}

impl fmt::Display for Hint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nearest {
            Some(nearest) => write!(f, "; did you mean `{nearest}`?"),
            None => write!(f, "; known are {}", Names(self.known)),
        }
    }
}

/// The profile that is perhaps meant, and those that there are.
struct ProfileHint<'a> {
    nearest: Option<&'a str>,
    known: &'a [String],
}

impl fmt::Display for ProfileHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.nearest, self.known) {
            (_, []) => f.write_str("; there are none"),
            (Some(nearest), [_]) => write!(f, "; did you mean `{nearest}`?"),
            (Some(nearest), known) => write!(f, "; did you mean `{nearest}`? Known are {}", Names(known)),
            (None, known) => write!(f, "; known are {}", Names(known)),
        }
    }
}

/// The variable that is perhaps meant, else what variables there are.
struct VariableHint<'a>(Option<&'a str>);

impl fmt::Display for VariableHint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(nearest) => write!(f, "; did you mean {nearest}?"),
            None => write!(
                f,
                "; only TASKER_<SECTION>__<KEY> and {} mean something",
                RESERVED.join(", ")
            ),
        }
    }
}

/// Names, one after another.
struct Names<'a>(&'a [String]);

impl fmt::Display for Names<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, name) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}`{name}`")?;
        }
        Ok(())
    }
}

/// The values that a constraint compares with.
struct Others<'a>(&'a [(String, String, Origin)]);

impl fmt::Display for Others<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (key, value, origin) in self.0 {
            write!(f, "; `{key}` is {value} ({origin})")?;
        }
        Ok(())
    }
}
