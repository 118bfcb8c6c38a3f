//! What would make a violation go away.

use std::fmt;

use serde::Serialize;
use tasker_types::{StepNo, TaskId};

use super::{Fault, Report, Violation};

/// What would make a violation go away: an intent, which each store carries out in its own rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "mend", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Mend {
    /// Put the step into the queue, where its task's priority and its own time belong.
    Queue,
    /// Take the step out of the queue.
    Unqueue,
    /// Set a number to what follows from the history or the other rows.
    Count {
        /// The number.
        what: &'static str,
        /// What follows.
        to: u64,
    },
    /// Set the state of the row to the one in which its history ends.
    State {
        /// That state.
        to: &'static str,
    },
    /// Set whether the last failure was permanent as the history says.
    Permanence,
    /// End the attempt as one whose lease is over, so that the step is tried again if it may be.
    EndAttempt,
    /// Take away the lease of a step that is not in progress.
    DropLease,
    /// Take away the reason of an error that the task is not in.
    DropReason,
    /// Cancel a step that was left when its task ended.
    CancelStep,
    /// Have the finalizer decide about the task.
    Decide,
    /// Let the task go on.
    Resume,
    /// Note anew where the history of the task is.
    ListHistory,
}

impl fmt::Display for Mend {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Queue => f.write_str("put the step into the queue"),
            Self::Unqueue => f.write_str("take the step out of the queue"),
            Self::Count { what, to } => write!(f, "set {what} to {to}"),
            Self::State { to } => write!(f, "set the state to `{to}`, in which the history ends"),
            Self::Permanence => f.write_str("set whether the last failure was permanent as the history says"),
            Self::EndAttempt => f.write_str("end the attempt as one whose lease is over"),
            Self::DropLease => f.write_str("take away the lease"),
            Self::DropReason => f.write_str("take away the reason"),
            Self::CancelStep => f.write_str("cancel the step"),
            Self::Decide => f.write_str("have the finalizer decide about the task"),
            Self::Resume => f.write_str("let the task go on"),
            Self::ListHistory => f.write_str("note anew where the history of the task is"),
        }
    }
}

impl Fault {
    /// Returns what would mend it. `None` when the history itself breaks a rule, which no change of rows undoes, or when
    /// something is lost that nothing else tells: then a person must decide.
    pub fn mend(&self) -> Option<Mend> {
        Some(match self {
            Self::NotQueued => Mend::Queue,
            Self::QueuedWrongly { .. } => Mend::Unqueue,
            Self::NumberDiffers { what, expected, .. } => Mend::Count { what, to: *expected },
            Self::StateDiffers { history, .. } => Mend::State { to: history },
            Self::PermanenceDiffers => Mend::Permanence,
            Self::LeaseMissing => Mend::EndAttempt,
            Self::LeaseLeft { .. } => Mend::DropLease,
            Self::ReasonLeft { .. } => Mend::DropReason,
            Self::UnfinishedInFinalTask { .. } => Mend::CancelStep,
            Self::CannotProgress { .. } => Mend::Decide,
            Self::CouldProgress => Mend::Resume,
            Self::OutboxDiffers { .. } => Mend::ListHistory,
            _ => return None,
        })
    }
}

/// What is proposed for one violation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Proposal {
    /// The task.
    pub task: TaskId,
    /// The step, if it is about one.
    pub step: Option<StepNo>,
    /// What to do; `None` when a person must decide.
    #[serde(flatten)]
    pub mend: Option<Mend>,
}

impl From<&Violation> for Proposal {
    fn from(violation: &Violation) -> Self {
        Self {
            task: violation.task,
            step: violation.step,
            mend: violation.fault.mend(),
        }
    }
}

impl fmt::Display for Proposal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.mend {
            Some(mend) => write!(f, "would {mend}"),
            None => f.write_str(
                "would do nothing: a person must decide, with the history and what is known elsewhere",
            ),
        }
    }
}

impl Report {
    /// Returns what is proposed for each violation, in their order.
    pub fn proposals(&self) -> Vec<Proposal> {
        self.violations.iter().map(Proposal::from).collect()
    }
}
