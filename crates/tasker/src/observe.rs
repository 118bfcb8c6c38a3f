//! Who looks at the work of this process: what counts it, and what tells of it in the log and in traces.

mod known;
mod narrator;
#[cfg(feature = "otlp")]
mod spans;
mod store;

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{Claim, Clock, Created, End, Lease, NewTask, Outcome, Receipt, TaskRecord};
use tasker_types::{Backoff, StepNo, TaskId, TaskState, Timestamp};

use crate::metrics::Metrics;
pub(crate) use known::{Known, KnownTask};
pub(crate) use narrator::Narrator;
#[cfg(feature = "otlp")]
pub(crate) use spans::{SpanCounts, Spans};
pub(crate) use store::Observed;

/// Everyone who looks at the answers of the store.
#[derive(Clone, Debug)]
pub(crate) struct Observers {
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) backoff: Arc<Backoff>,
    pub(crate) known: Arc<Known>,
    pub(crate) metrics: Option<Arc<Metrics>>,
    pub(crate) narrator: Arc<Narrator>,
}

/// What became of a claim, as far as it is told.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) lease: Lease,
    pub(crate) kind: Kind,
    /// How it failed.
    pub(crate) code: Option<String>,
    pub(crate) ran_for: Option<Duration>,
    /// When it had ended.
    pub(crate) at: Timestamp,
}

/// How a claim ended.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Kind {
    Succeeded,
    Failed,
    GivenBack,
    Interrupted,
}

impl Kind {
    /// Returns how the claim ended, in a word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeed",
            Self::Failed => "fail",
            Self::GivenBack => "give_back",
            Self::Interrupted => "interrupt",
        }
    }
}

impl Ended {
    fn of(outcome: &Outcome, at: Timestamp) -> Self {
        Self {
            lease: outcome.lease,
            kind: match outcome.end {
                End::Succeed { .. } => Kind::Succeeded,
                End::Fail { .. } => Kind::Failed,
                End::Release | End::Suspend { .. } => Kind::GivenBack,
                End::Interrupt => Kind::Interrupted,
            },
            code: match &outcome.end {
                End::Fail { failure, .. } => Some(failure.code.clone()),
                _ => None,
            },
            ran_for: outcome.ran_for,
            at,
        }
    }
}

impl Observers {
    fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn met_all<'t>(&self, tasks: impl IntoIterator<Item = &'t NewTask>) {
        for task in tasks {
            self.known
                .meet(task.id, || KnownTask::of(&task.template, &task.origin));
        }
    }

    fn met_task(&self, task: &TaskRecord) {
        self.known
            .meet(task.id, || KnownTask::of(&task.template, &task.origin));
    }

    /// A request to the store was answered, or, without the time that it took, was not carried out.
    fn asked(&self, request: &str, seconds: Option<f64>) {
        if let Some(metrics) = &self.metrics {
            metrics.asked(request, seconds);
        }
    }

    fn created(&self, created: impl IntoIterator<Item = Created>) {
        let Some(metrics) = &self.metrics else { return };
        for created in created {
            if let Created::New(task) = created {
                metrics.created(task);
            }
        }
    }

    fn claimed(&self, request: &str, claims: &[Claim], seconds: f64) {
        if claims.is_empty() {
            return;
        }
        for claim in claims {
            self.known.claimed(claim);
        }
        if let Some(metrics) = &self.metrics {
            metrics.claimed(request, claims, seconds);
        }
    }

    fn ended(&self, ended: &Ended, receipt: Receipt) {
        let held = self.known.ended(&ended.lease);
        if let Some(metrics) = &self.metrics {
            metrics.ended(ended, held.is_last, receipt);
        }
        if receipt == Receipt::Recorded {
            self.narrator.ended(ended, held);
        }
    }

    fn expired(&self, expired: &[(TaskId, StepNo)]) {
        for (task, step) in expired {
            if let Some(metrics) = &self.metrics {
                metrics.expired(*task, *step);
            }
            self.narrator.expired(*task, *step);
        }
    }

    fn finished(&self, finished: &[(TaskId, TaskState)]) {
        for (task, state) in finished {
            if let Some(metrics) = &self.metrics {
                metrics.finished(*task, *state);
            }
            self.narrator.finished(*task, *state);
        }
    }
}

/// Returns when a task was created: its id, a UUID of version 7, begins with the milliseconds.
pub(crate) fn created_at(task: TaskId) -> Timestamp {
    let [a, b, c, d, e, f, ..] = *task.as_bytes();
    let millis = i64::from_be_bytes([0, 0, a, b, c, d, e, f]);
    Timestamp::from_micros(millis.saturating_mul(1_000))
}
