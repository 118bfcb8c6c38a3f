//! What can be wrong with a change or a search, with what is there instead.

use std::error::Error;
use std::fmt::Display;
use std::str::FromStr;

use tasker_types::{
    EventName, HandlerName, InvalidEventName, InvalidName, Namespace, Version, VersionReq, nearest,
};

use crate::events::EventSource;
use crate::name::FullName;

/// How many names like the one that was asked for a search offers.
const SUGGESTIONS: usize = 3;

/// A search that found nothing, by how far it came.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum LookupError {
    /// No handler is in this namespace.
    #[error("there is no namespace `{namespace}`{}", did_you_mean(nearest))]
    UnknownNamespace {
        /// The namespace that was asked for.
        namespace: Namespace,
        /// Those that are spelled much like it, the nearest first.
        nearest: Vec<Namespace>,
    },
    /// The namespace has no handler of this name.
    #[error(
        "there is no handler `{name}` in the namespace `{namespace}`{}",
        did_you_mean(nearest)
    )]
    UnknownHandler {
        /// The namespace, which exists.
        namespace: Namespace,
        /// The handler that was asked for.
        name: HandlerName,
        /// Those of the namespace that are spelled much like it, the nearest first.
        nearest: Vec<HandlerName>,
    },
    /// The handler does not have this version.
    #[error(
        "the handler `{namespace}.{name}` has no version `{version}`; it has {}",
        list(existing)
    )]
    UnknownVersion {
        /// The namespace, which exists.
        namespace: Namespace,
        /// The handler, which exists.
        name: HandlerName,
        /// The version that was asked for.
        version: Version,
        /// Those that it has, ascending.
        existing: Vec<Version>,
    },
    /// No version of the handler fits the requirement.
    #[error(
        "the handler `{namespace}.{name}` has no version that fits `{requirement}`; it has {}",
        list(existing)
    )]
    NoMatchingVersion {
        /// The namespace, which exists.
        namespace: Namespace,
        /// The handler, which exists.
        name: HandlerName,
        /// What was asked for.
        requirement: VersionReq,
        /// The versions that it has, ascending.
        existing: Vec<Version>,
    },
}

/// A change that is refused, and changed nothing.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RegisterError {
    /// What should be a namespace is no name.
    #[error("the namespace of the handler `{name}` is not a name: {source}")]
    InvalidNamespace {
        /// The handler's name, as it was given.
        name: String,
        /// What is wrong with the namespace.
        source: InvalidName,
    },
    /// What should be a handler's name is none.
    #[error("a handler of the namespace `{namespace}` has no valid name: {source}")]
    InvalidName {
        /// The namespace.
        namespace: Namespace,
        /// What is wrong with the name.
        source: InvalidName,
    },
    /// What should be a version is none.
    #[error(
        "the handler `{namespace}.{name}` has the version `{version}`, which is no semantic version such as `1.2.0`: {source}"
    )]
    InvalidVersion {
        /// The namespace.
        namespace: Namespace,
        /// The handler's name.
        name: HandlerName,
        /// The version, as it was given.
        version: String,
        /// What is wrong with it.
        source: <Version as FromStr>::Err,
    },
    /// The version is registered already.
    #[error("the handler `{handler}` is registered already; use `replace` to put another in its place")]
    Duplicate {
        /// The handler.
        handler: FullName,
    },
    /// A batch puts two handlers in one place.
    #[error("the handler `{handler}` is in the batch twice")]
    TwiceInBatch {
        /// The handler.
        handler: FullName,
    },
    /// The registry's own check refused the handler.
    #[error("the handler `{handler}` is not valid: {source}")]
    InvalidHandler {
        /// The handler.
        handler: FullName,
        /// What the check said.
        source: Box<dyn Error + Send + Sync>,
    },
    /// A custom event is wrong, or is defined otherwise by someone else.
    #[error(transparent)]
    Event(#[from] EventError),
    /// A batch removes what is not there.
    #[error("nothing to remove: {source}")]
    NothingToRemove {
        /// The handler.
        handler: FullName,
        /// How far the search for it came.
        source: Box<LookupError>,
    },
}

impl RegisterError {
    /// Returns the handler that the change was about, if it names one.
    pub fn handler(&self) -> Option<&FullName> {
        match self {
            Self::InvalidNamespace { .. } | Self::InvalidName { .. } | Self::InvalidVersion { .. } => None,
            Self::Duplicate { handler }
            | Self::TwiceInBatch { handler }
            | Self::InvalidHandler { handler, .. }
            | Self::NothingToRemove { handler, .. } => Some(handler),
            Self::Event(fault) => match fault.declared_by() {
                EventSource::Handler(handler) => Some(handler),
                EventSource::Other(_) => None,
            },
        }
    }
}

impl EventError {
    /// Returns who declares the event.
    pub fn declared_by(&self) -> &EventSource {
        match self {
            Self::Invalid { declared_by, .. } => declared_by,
            Self::Conflict(conflict) => &conflict.declared_by,
        }
    }
}

/// A custom event that cannot be declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EventError {
    /// Its name is none.
    #[error("{declared_by} declares a custom event that cannot be: {source}")]
    Invalid {
        /// Who declares it.
        declared_by: EventSource,
        /// What is wrong with the name.
        source: Box<InvalidEventName>,
    },
    /// It is described in two ways.
    #[error(transparent)]
    Conflict(Box<EventConflict>),
}

/// A custom event that is described in two ways.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{declared_by} describes the custom event `{name}` as \"{description}\", but {other} as \"{other_description}\"; \
     give both the same description, or one of them another name"
)]
pub struct EventConflict {
    /// The event.
    pub name: EventName,
    /// Who declares it now.
    pub declared_by: EventSource,
    /// How.
    pub description: String,
    /// Who declared it before.
    pub other: EventSource,
    /// How.
    pub other_description: String,
}

/// A custom event that nobody declared.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there is no custom event `{name}`{}", did_you_mean(nearest))]
pub struct UnknownEvent {
    /// The event that was asked for.
    pub name: String,
    /// Those that are spelled much like it, the nearest first.
    pub nearest: Vec<EventName>,
}

/// A batch that is refused, and changed nothing.
#[derive(Debug, thiserror::Error)]
#[error("{} of {changes} changes refused, so none was made: {}", faults.len(), join_faults(faults))]
pub struct BatchError {
    /// How many changes the batch had.
    pub changes: usize,
    /// Every change that was refused, in the order of the batch.
    pub faults: Vec<RegisterError>,
}

/// Returns the known names that are spelled much like one that is not known, the nearest first.
pub(crate) fn suggest<'a, T>(unknown: &str, known: impl IntoIterator<Item = &'a T>) -> Vec<T>
where
    T: AsRef<str> + Clone + 'a,
{
    let mut known: Vec<&T> = known.into_iter().collect();
    let mut suggestions = Vec::new();
    while suggestions.len() < SUGGESTIONS {
        let Some(found) = nearest(unknown, known.iter().map(|name| (*name).as_ref())) else {
            break;
        };
        let Some(place) = known.iter().position(|name| (*name).as_ref() == found) else {
            break;
        };
        suggestions.push(known.remove(place).clone());
    }
    suggestions
}

fn did_you_mean<T: Display>(nearest: &[T]) -> String {
    match nearest {
        [] => String::new(),
        names => format!("; did you mean {}?", enumerate(names, "or")),
    }
}

fn list<T: Display>(names: &[T]) -> String {
    enumerate(names, "and")
}

fn enumerate<T: Display>(names: &[T], last: &str) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("`{name}`")).collect();
    match names.split_last() {
        Some((end, [])) => end.clone(),
        Some((end, start)) => format!("{} {last} {end}", start.join(", ")),
        None => "none".to_owned(),
    }
}

fn join_faults(faults: &[RegisterError]) -> String {
    faults
        .iter()
        .map(RegisterError::to_string)
        .collect::<Vec<_>>()
        .join("; ")
}
