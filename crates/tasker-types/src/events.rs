//! Events that users define, and the names that the system keeps for its own.

use std::borrow::Borrow;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use thiserror::Error;

use crate::names::{InvalidName, check_name};

/// The greatest length of an event's name, in bytes.
const MAX_LENGTH: usize = 128;

/// The namespaces of the system's own events. No custom event is in one, however it is spelled.
pub const SYSTEM_EVENT_NAMESPACES: [&str; 5] = ["task", "step", "workflow", "observability", "registry"];

/// The system's events outside of [`SYSTEM_EVENT_NAMESPACES`]: what a registry of handlers tells.
///
/// The rest of their namespace is free.
pub const HANDLER_EVENTS: [&str; 4] = [
    "handler.registered",
    "handler.replaced",
    "handler.removed",
    "handler.refused",
];

/// The name of a custom event: `namespace.event`.
///
/// Each part is a name; there are two or more, of at most 128 characters in all. It is none of the system's.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EventName(Arc<str>);

/// A custom event as someone defines it, not checked yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EventDefinition {
    /// Its name, which should be an [`EventName`].
    pub name: String,
    /// What it means.
    pub description: Option<String>,
}

/// A custom event whose name is good.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CustomEvent {
    /// Its name.
    pub name: EventName,
    /// What it means.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
}

/// A text that cannot be the name of a custom event.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidEventName {
    /// It has no namespace.
    #[error("`{text}` has no dot; a custom event is named `namespace.event`, for instance `orders.{text}`")]
    NoDot {
        /// What was given.
        text: String,
    },
    /// A part of it is no name.
    #[error("`{text}` is no event (`namespace.event`): {source}")]
    Part {
        /// What was given.
        text: String,
        /// What is wrong with the part.
        source: InvalidName,
    },
    /// Longer than 128 characters.
    #[error("`{start}…` has {length} characters; the name of an event has at most 128")]
    TooLong {
        /// The first characters of the text.
        start: String,
        /// Its length in characters.
        length: usize,
    },
    /// It is in a namespace of the system.
    #[error("`{text}` is in the namespace `{namespace}`, which has the system's own events; choose another")]
    Reserved {
        /// What was given.
        text: String,
        /// The system's namespace.
        namespace: &'static str,
    },
    /// The system has an event of this name.
    #[error("`{text}` is an event of the system; choose another name")]
    System {
        /// What was given.
        text: String,
    },
}

impl EventName {
    /// Checks the text and returns the name.
    ///
    /// # Errors
    ///
    /// [`InvalidEventName`] says what is wrong with the text.
    pub fn new(text: &str) -> Result<Self, InvalidEventName> {
        let length = text.chars().count();
        if length > MAX_LENGTH {
            return Err(InvalidEventName::TooLong {
                start: text.chars().take(24).collect(),
                length,
            });
        }
        for part in text.split('.') {
            check_name(part).map_err(|source| InvalidEventName::Part {
                text: text.to_owned(),
                source,
            })?;
        }
        let Some((namespace, _)) = text.split_once('.') else {
            return Err(InvalidEventName::NoDot {
                text: text.to_owned(),
            });
        };
        let reserved = SYSTEM_EVENT_NAMESPACES
            .into_iter()
            .find(|reserved| reserved.eq_ignore_ascii_case(namespace));
        if let Some(namespace) = reserved {
            return Err(InvalidEventName::Reserved {
                text: text.to_owned(),
                namespace,
            });
        }
        if HANDLER_EVENTS
            .iter()
            .any(|system| system.eq_ignore_ascii_case(text))
        {
            return Err(InvalidEventName::System {
                text: text.to_owned(),
            });
        }
        Ok(Self(text.into()))
    }

    /// Returns the text of the name.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl EventDefinition {
    /// Returns the definition of an event that only has a name.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            description: None,
        }
    }

    /// Says what the event means.
    #[must_use]
    pub fn described(mut self, description: impl Into<String>) -> Self {
        self.description = Some(description.into());
        self
    }

    /// Checks the name and returns the event.
    ///
    /// # Errors
    ///
    /// [`InvalidEventName`] says what is wrong with the name.
    pub fn check(self) -> Result<CustomEvent, InvalidEventName> {
        Ok(CustomEvent {
            name: EventName::new(&self.name)?,
            description: self.description,
        })
    }
}

impl From<&str> for EventDefinition {
    fn from(name: &str) -> Self {
        Self::new(name)
    }
}

impl From<CustomEvent> for EventDefinition {
    fn from(event: CustomEvent) -> Self {
        Self {
            name: event.name.as_str().to_owned(),
            description: event.description,
        }
    }
}

impl fmt::Display for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for EventName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}", self.as_str())
    }
}

impl FromStr for EventName {
    type Err = InvalidEventName;

    fn from_str(text: &str) -> Result<Self, InvalidEventName> {
        Self::new(text)
    }
}

impl AsRef<str> for EventName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl Borrow<str> for EventName {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl Serialize for EventName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for EventName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::new(&text).map_err(de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn refused(text: &str, message: &str) {
        assert_eq!(EventName::new(text).unwrap_err().to_string(), message);
    }

    #[test]
    fn events_have_a_namespace() {
        for text in [
            "refund.checked",
            "payments.refund.checked",
            "handler.slow",
            "tasks.a",
            "Order-2.x_1",
        ] {
            assert_eq!(EventName::new(text).unwrap().as_str(), text);
        }
        refused(
            "checked",
            "`checked` has no dot; a custom event is named `namespace.event`, for instance `orders.checked`",
        );
        refused(
            "refund.",
            "`refund.` is no event (`namespace.event`): a name must not be empty",
        );
        refused(
            "refund.2nd",
            "`refund.2nd` is no event (`namespace.event`): `2nd` must begin with a letter (A-Z, a-z)",
        );
        refused(
            "refund.is checked",
            "`refund.is checked` is no event (`namespace.event`): `is checked` has the character ` `; \
             a name has letters, digits, `_` and `-` only",
        );
        refused(
            &format!("a.{}", "b".repeat(127)),
            "`a.bbbbbbbbbbbbbbbbbbbbbb…` has 129 characters; the name of an event has at most 128",
        );
    }

    #[test]
    fn the_system_keeps_its_names() {
        for namespace in SYSTEM_EVENT_NAMESPACES {
            refused(
                &format!("{namespace}.shipped"),
                &format!(
                    "`{namespace}.shipped` is in the namespace `{namespace}`, which has the system's own events; \
                     choose another"
                ),
            );
        }
        refused(
            "Task.completed",
            "`Task.completed` is in the namespace `task`, which has the system's own events; choose another",
        );
        for event in HANDLER_EVENTS {
            refused(
                event,
                &format!("`{event}` is an event of the system; choose another name"),
            );
        }
        refused(
            "Handler.Refused",
            "`Handler.Refused` is an event of the system; choose another name",
        );
    }

    #[test]
    fn definitions_are_checked_and_read_back() {
        let event = EventDefinition::new("refund.checked")
            .described("the refund is in order")
            .check()
            .unwrap();
        let json = serde_json::to_string(&event).unwrap();
        assert_eq!(
            json,
            r#"{"name":"refund.checked","description":"the refund is in order"}"#
        );
        assert_eq!(serde_json::from_str::<CustomEvent>(&json).unwrap(), event);
        assert!(serde_json::from_str::<CustomEvent>(r#"{"name":"step.failed"}"#).is_err());
        assert!(EventDefinition::from("checked").check().is_err());
    }

    #[test]
    fn a_name_is_its_text() {
        let name = EventName::new("refund.checked").unwrap();
        let (lent, borrowed): (&str, &str) = (name.as_ref(), name.borrow());
        assert_eq!((lent, borrowed), ("refund.checked", "refund.checked"));
        assert_eq!(
            format!("{name:>15} {name:?}"),
            " refund.checked \"refund.checked\""
        );
    }
}
