//! What is known of tasks and claims that this process had to do with.

use std::sync::Arc;

use moka::sync::Cache;
use tasker_engine::{Claim, Lease, Origin, Template, TraceContext};
use tasker_types::TaskId;

/// How many steps the tasks may have, in hundreds, that are known.
const KEPT: u64 = 100_000;

/// What is known of a task.
#[derive(Debug)]
pub(crate) struct KnownTask {
    pub(crate) template: Arc<Template>,
    pub(crate) correlation_id: Option<String>,
    /// The span that it is part of, as its request brought it along.
    pub(crate) trace_context: Option<TraceContext>,
}

impl KnownTask {
    pub(crate) fn of(template: &Arc<Template>, origin: &Origin) -> Self {
        Self {
            template: Arc::clone(template),
            correlation_id: origin.correlation_id.clone(),
            trace_context: origin.trace_context,
        }
    }
}

/// A claim whose outcome is not recorded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Held {
    /// Which attempt it is.
    pub(crate) attempt: u32,
    /// Whether no attempt is left after it.
    pub(crate) is_last: bool,
}

impl Held {
    /// The first of several attempts.
    const FIRST: Self = Self {
        attempt: 1,
        is_last: false,
    };
}

/// What is known of tasks and claims that this process had to do with, as far as there is room.
#[derive(Debug)]
pub(crate) struct Known {
    tasks: Cache<TaskId, Arc<KnownTask>>,
    /// Claims that are not the first of several attempts, as most are.
    held: Cache<Lease, Held>,
}

impl Default for Known {
    fn default() -> Self {
        let weight = |_: &TaskId, known: &Arc<KnownTask>| {
            1 + u32::try_from(known.template.steps().len() / 100).unwrap_or(u32::MAX - 1)
        };
        Self {
            tasks: Cache::builder().max_capacity(KEPT).weigher(weight).build(),
            held: Cache::new(KEPT),
        }
    }
}

impl Known {
    pub(crate) fn task(&self, task: TaskId) -> Option<Arc<KnownTask>> {
        self.tasks.get(&task)
    }

    /// Takes notice of a task.
    pub(super) fn meet(&self, task: TaskId, known: impl FnOnce() -> KnownTask) {
        if !self.tasks.contains_key(&task) {
            self.tasks.insert(task, Arc::new(known()));
        }
    }

    /// Takes notice of a claim.
    pub(super) fn claimed(&self, claim: &Claim) {
        self.meet(claim.lease.task, || KnownTask {
            template: Arc::clone(&claim.task.template),
            correlation_id: claim.task.correlation_id.clone(),
            trace_context: claim.task.trace_context,
        });
        let held = Held {
            attempt: claim.attempt,
            is_last: claim.is_last_attempt(),
        };
        if held != Held::FIRST {
            self.held.insert(claim.lease, held);
        }
    }

    /// Returns what was known of a claim, which is over.
    pub(super) fn ended(&self, lease: &Lease) -> Held {
        self.held.remove(lease).unwrap_or(Held::FIRST)
    }
}
