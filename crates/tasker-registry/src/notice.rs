//! What a registry tells about its changes.

use tasker_types::CustomEvent;

use crate::error::RegisterError;
use crate::name::FullName;

/// A change of a registry, or one that was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Counts the notices of the registry from 1, without gaps: who finds one has missed notices.
    pub number: u64,
    /// What happened.
    pub change: HandlerChange,
}

/// What happened to a handler.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum HandlerChange {
    /// It is there now, in a place that was empty.
    Registered {
        /// The handler.
        handler: FullName,
        /// The custom events that it declares.
        events: Vec<CustomEvent>,
    },
    /// It is there now, in the place of another.
    Replaced {
        /// The handler.
        handler: FullName,
        /// The custom events that it declares.
        events: Vec<CustomEvent>,
    },
    /// It is gone.
    Removed {
        /// The handler.
        handler: FullName,
    },
    /// A change was asked for and not made. Of a batch that is refused, each change that was at fault is told.
    Refused {
        /// The handler, if the change names one.
        handler: Option<FullName>,
        /// Why, as the error says it.
        reason: String,
    },
}

impl HandlerChange {
    /// Returns the name of the event: `handler.registered`, `handler.replaced`, `handler.removed` or
    /// `handler.refused`.
    pub const fn event_name(&self) -> &'static str {
        match self {
            Self::Registered { .. } => "handler.registered",
            Self::Replaced { .. } => "handler.replaced",
            Self::Removed { .. } => "handler.removed",
            Self::Refused { .. } => "handler.refused",
        }
    }
}

impl From<&RegisterError> for HandlerChange {
    fn from(error: &RegisterError) -> Self {
        Self::Refused {
            handler: error.handler().cloned(),
            reason: error.to_string(),
        }
    }
}
