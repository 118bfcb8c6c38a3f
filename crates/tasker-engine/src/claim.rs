//! The right to run a step, and what came of it.
//!
//! Claims and outcomes are plain values that serialize, so that a worker may hold them far from the store.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker_types::{LeaseToken, RunNo, StepNo, TaskId, Timestamp, Version};

use crate::events::Published;
use crate::failure::Failure;
use crate::json::Json;
use crate::store::NewTask;
use crate::template::{StepTemplate, Template};
use crate::trace::TraceContext;

/// Names a claimed step, and proves the right to write about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Lease {
    /// The step's task.
    pub task: TaskId,
    /// The store's own short key of the task.
    pub task_key: i64,
    /// The step.
    pub step: StepNo,
    /// Which claim of the step this is.
    pub run: RunNo,
    /// The token under which the store keeps the lease.
    pub token: LeaseToken,
}

/// What a handler needs to know of the task; shared by the claims of one task.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ClaimedTask {
    /// The template as it was when the task was created.
    pub template: Arc<Template>,
    /// The task's context.
    pub context: Json,
    /// The correlation id that the request brought along.
    pub correlation_id: Option<String>,
    /// The span that the task is part of, as the request brought it along.
    pub trace_context: Option<TraceContext>,
}

/// A step that a worker holds.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[must_use = "a dropped claim leaves its step in progress until the lease expires"]
pub struct Claim {
    /// The right to the step.
    pub lease: Lease,
    /// The task.
    pub task: Arc<ClaimedTask>,
    /// Which attempt this is since the last reset, from 1.
    pub attempt: u32,
    /// How many attempts there may be.
    pub retry_limit: u32,
    /// The results of the parents, in step order; `None` for one that was resolved without a result.
    pub parents: Vec<(StepNo, Option<Json>)>,
    /// What the handler left when it suspended itself.
    pub checkpoint: Option<Json>,
    /// A time limit that replaces the template's.
    pub timeout: Option<Duration>,
    /// A configuration that replaces the template's.
    pub config: Option<Json>,
    /// The version of the handler that the worker declared for the step.
    pub handler_version: Version,
    /// When the step was claimed, by the store's clock.
    pub claimed_at: Timestamp,
}

impl Claim {
    /// Returns the step as the template describes it.
    pub fn template(&self) -> &StepTemplate {
        self.task.template.step(self.lease.step)
    }

    /// Tells whether no further attempt is allowed after this one.
    pub fn is_last_attempt(&self) -> bool {
        self.attempt >= self.retry_limit || !self.template().retryable()
    }

    /// Returns the key that is the same for all attempts of the step.
    pub fn idempotency_key(&self) -> String {
        format!("{}/{}", self.lease.task, self.template().name())
    }
}

/// What a running handler says of itself: how far it is, and in a few words what it is doing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// How much is done.
    pub done: u64,
    /// Of how much; 0 when nobody knows.
    pub total: u64,
    /// What it is doing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

impl Progress {
    /// Returns how much is done in whole percent, at most 100; `None` when nobody knows.
    pub fn percent(&self) -> Option<u64> {
        let percent = u128::from(self.done.min(self.total)) * 100;
        let percent = percent.checked_div(u128::from(self.total))?;
        u64::try_from(percent).ok()
    }
}

impl fmt::Display for Progress {
    /// Writes `40 % (4 of 10): the note`, as far as it is known.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { done, total, note } = self;
        match (self.percent(), *done) {
            (Some(percent), _) if *total == 100 => write!(f, "{percent} %")?,
            (Some(percent), _) => write!(f, "{percent} % ({done} of {total})")?,
            (None, 0) => return f.write_str(note.as_deref().unwrap_or_default()),
            (None, done) => write!(f, "{done}")?,
        }
        note.as_ref().map_or(Ok(()), |note| write!(f, ": {note}"))
    }
}

/// What became of a claim.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Outcome {
    /// The claim.
    pub lease: Lease,
    /// How it ended.
    pub end: End,
    /// How long the handler ran, by the worker's clock; `None` if it never began.
    pub ran_for: Option<Duration>,
    /// What the handler said last, if no renewal has told it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub progress: Option<Progress>,
    /// Tasks to create in the commit that records the step's result. No other end creates any.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tasks: Vec<NewTask>,
    /// Events that the handler published; they are recorded with the end, whatever it is.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub events: Vec<Published>,
}

/// How a claim ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum End {
    /// The handler returned a result.
    Succeed {
        /// The result.
        result: Json,
    },
    /// The handler failed.
    Fail {
        /// How.
        failure: Failure,
        /// How long the store lets the step wait if it may be tried again, from the store's now.
        retry_in: Duration,
    },
    /// The worker stopped before the handler began: the attempt is given back.
    Release,
    /// The worker stopped the handler: the attempt stays charged, and the step is due at once.
    Interrupt,
    /// The handler waits in the store: the attempt is given back.
    Suspend {
        /// How long.
        wake_in: Duration,
        /// What the handler wants to find when it is called again.
        checkpoint: Json,
    },
}

/// What the store did with an outcome.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Receipt {
    /// It is recorded, now or when the same outcome was sent before.
    Recorded,
    /// The step was cancelled meanwhile: kept in the history as a late outcome, not as a result.
    Late,
    /// The lease was over: nothing was changed.
    LeaseLost,
}

#[cfg(test)]
mod tests {
    use super::Progress;

    #[track_caller]
    fn says(done: u64, total: u64, note: Option<&str>, text: &str) {
        let note = note.map(ToOwned::to_owned);
        assert_eq!(Progress { done, total, note }.to_string(), text);
    }

    #[test]
    fn progress_is_told_as_far_as_it_is_known() {
        says(4, 10, Some("loading"), "40 % (4 of 10): loading");
        says(40, 100, None, "40 %");
        says(7, 0, Some("files"), "7: files");
        says(0, 0, Some("waking up"), "waking up");
        says(0, 3, None, "0 % (0 of 3)");
        says(9, 3, None, "100 % (9 of 3)");
        says(u64::MAX, u64::MAX, None, &format!("100 % ({0} of {0})", u64::MAX));
        says(0, 0, None, "");
    }
}
