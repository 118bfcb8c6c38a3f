//! The states of steps and tasks.
//!
//! Which event leads from which state to which is in `tasker-engine`; here are only the names, which are
//! the same in code, database and API.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use thiserror::Error;

/// A text that names no state.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is no state; the states are `pending`, `in_progress`, `complete`, `error`, `cancelled` \
     and `resolved_manually`"
)]
pub struct UnknownState {
    /// What was given.
    pub text: String,
}

macro_rules! states {
    ($(#[$doc:meta])* $name:ident { $($(#[$state_doc:meta])* $state:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(
            Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
        )]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$state_doc])* $state,)+
        }

        impl $name {
            /// Every state, in the order in which the documentation lists them.
            pub const ALL: &[Self] = &[$(Self::$state,)+];

            /// Returns the name that code, database and API use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$state => $text,)+
                }
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownState;

            fn from_str(text: &str) -> Result<Self, UnknownState> {
                Self::ALL
                    .iter()
                    .copied()
                    .find(|state| state.as_str() == text)
                    .ok_or_else(|| UnknownState { text: text.to_owned() })
            }
        }
    };
}

states! {
    /// The state of a step.
    StepState {
        /// Not started, or waiting to be started again.
        #[default]
        Pending = "pending",
        /// A worker holds its lease.
        InProgress = "in_progress",
        /// Its result is recorded.
        Complete = "complete",
        /// Its last attempt failed.
        Error = "error",
        /// Stopped by an operator or with its task.
        Cancelled = "cancelled",
        /// An operator declared it done.
        ResolvedManually = "resolved_manually",
    }
}

states! {
    /// The state of a task.
    TaskState {
        /// No step has been claimed yet.
        #[default]
        Pending = "pending",
        /// A step has been claimed.
        InProgress = "in_progress",
        /// Every step is complete or resolved.
        Complete = "complete",
        /// It cannot progress without a person.
        Error = "error",
        /// Stopped by an operator.
        Cancelled = "cancelled",
        /// An operator declared it done.
        ResolvedManually = "resolved_manually",
    }
}

impl StepState {
    /// Tells whether children may start after this step: it is complete or resolved manually.
    pub const fn is_done(self) -> bool {
        matches!(self, Self::Complete | Self::ResolvedManually)
    }

    /// Tells whether no more work happens by itself: done or cancelled.
    pub const fn is_finished(self) -> bool {
        self.is_done() || matches!(self, Self::Cancelled)
    }

    /// Tells whether no event leads out of this state.
    pub const fn is_final(self) -> bool {
        self.is_done()
    }
}

impl TaskState {
    /// Tells whether the task's steps may run: it is pending or in progress.
    pub const fn is_active(self) -> bool {
        matches!(self, Self::Pending | Self::InProgress)
    }

    /// Tells whether no event leads out of this state.
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Complete | Self::Cancelled | Self::ResolvedManually)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_read_back() {
        for state in StepState::ALL {
            assert_eq!(state.as_str().parse::<StepState>().unwrap(), *state);
            assert_eq!(serde_json::to_string(state).unwrap(), format!("\"{state}\""));
        }
        for state in TaskState::ALL {
            assert_eq!(state.as_str().parse::<TaskState>().unwrap(), *state);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones() {
        assert_eq!(
            "done".parse::<StepState>().unwrap_err().to_string(),
            "`done` is no state; the states are `pending`, `in_progress`, `complete`, `error`, `cancelled` \
             and `resolved_manually`"
        );
    }

    #[test]
    fn final_states_are_those_without_a_way_out() {
        let steps = StepState::ALL.iter().filter(|state| state.is_final());
        assert!(steps.eq(&[StepState::Complete, StepState::ResolvedManually]));
        let tasks = TaskState::ALL.iter().filter(|state| state.is_final());
        assert!(tasks.eq(&[
            TaskState::Complete,
            TaskState::Cancelled,
            TaskState::ResolvedManually
        ]));
    }
}
