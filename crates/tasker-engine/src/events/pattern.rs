//! Which events a listener wants.

use std::fmt;
use std::str::FromStr;

use tasker_types::{EventName, SYSTEM_EVENT_NAMESPACES, nearest};
use thiserror::Error;

use super::catalogue::SystemEvent;

/// The longest pattern, in bytes.
const LONGEST: usize = 128;

/// The name of an event, or several: `*` stands for any text, so `task.*` is all that happens to tasks.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern(String);

/// A text that is no pattern of events.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum InvalidPattern {
    /// It has other characters, or is too long.
    #[error("`{text}` is no pattern of events: 1 to 128 letters, digits, `.`, `_`, `-` and `*`")]
    Malformed {
        /// What was given.
        text: String,
    },
    /// It is a name that no event has.
    #[error("there is no event `{text}`{hint}")]
    Unknown {
        /// What was given.
        text: String,
        /// What there is instead.
        hint: String,
    },
}

impl Pattern {
    /// Tells whether the pattern stands for a name.
    pub fn matches(&self, name: &str) -> bool {
        matches(self.0.as_bytes(), name.as_bytes())
    }

    /// Returns the text of the pattern.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Goes back to the last star when the rest does not fit.
fn matches(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut of, mut star) = (0, 0, None);
    while of < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, of));
                at += 1;
            }
            Some(byte) if *byte == name[of] => (at, of) = (at + 1, of + 1),
            _ => match star {
                Some((back, from)) => {
                    star = Some((back, from + 1));
                    (at, of) = (back + 1, from + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl FromStr for Pattern {
    type Err = InvalidPattern;

    fn from_str(text: &str) -> Result<Self, InvalidPattern> {
        let fits = |char: char| char.is_ascii_alphanumeric() || matches!(char, '.' | '_' | '-' | '*');
        if text.is_empty() || text.len() > LONGEST || !text.chars().all(fits) {
            let text = text.chars().take(LONGEST).collect();
            return Err(InvalidPattern::Malformed { text });
        }
        // A name without a star must be one that can be published.
        if !text.contains('*') && SystemEvent::named(text).is_none() && EventName::new(text).is_err() {
            let near = nearest(text, SystemEvent::ALL.iter().map(|event| event.name()));
            let hint = match near {
                Some(near) => format!("; did you mean `{near}`?"),
                None => format!("; the system's are in `{}`", SYSTEM_EVENT_NAMESPACES.join("`, `")),
            };
            return Err(InvalidPattern::Unknown {
                text: text.to_owned(),
                hint,
            });
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
