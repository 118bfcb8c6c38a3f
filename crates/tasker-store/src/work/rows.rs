//! The rows that a change looks at, as values.

use std::fmt::Debug;
use std::sync::Arc;

use tasker_engine::{
    FailureReason, HeldLease, Json, Origin, StepRecord, StepTemplate, Template, TraceContext,
};
use tasker_types::{
    HandlerRef, LeaseToken, Namespace, RunNo, StepFacts, StepNo, StepState, TaskId, TaskState, Timestamp,
    WorkerId,
};

/// A step of a task, by the task's key and the step's number.
pub(crate) type StepKey = (i64, u32);

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// A task's context; it stands with step 0.
    Context = 0,
    Result = 1,
    Checkpoint = 2,
    Config = 3,
    Failure = 4,
    Progress = 5,
}

/// What a request brought along for whoever works on its task.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Brought {
    pub(crate) correlation_id: Option<String>,
    pub(crate) trace_context: Option<TraceContext>,
}

impl Brought {
    /// Reads what is said about a task.
    pub(crate) fn read(origin: Option<String>) -> Self {
        let origin = origin.and_then(|text| serde_json::from_str::<Origin>(&text).ok());
        origin.map(|origin| Self::of(&origin)).unwrap_or_default()
    }

    pub(crate) fn of(origin: &Origin) -> Self {
        Self {
            correlation_id: origin.correlation_id.clone(),
            trace_context: origin.trace_context,
        }
    }
}

/// Where a payload lies.
pub(crate) type Place = (StepKey, Kind);

/// A template as tasks keep it, with the queue in which each of its steps waits.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) id: i64,
    pub(crate) template: Arc<Template>,
    pub(crate) queues: Vec<i64>,
}

impl Graph {
    /// Tells whether there is a step of this number.
    #[cfg(feature = "postgres")]
    pub(crate) fn has(&self, step: u32) -> bool {
        self.queues.len() > step as usize
    }
}

/// A graph never changes.
impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Graph {}

/// Where steps of one handler wait.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) namespace: Namespace,
    pub(crate) handler: HandlerRef,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRow {
    pub(crate) id: TaskId,
    pub(crate) graph: Arc<Graph>,
    pub(crate) state: TaskState,
    pub(crate) failure: Option<FailureReason>,
    pub(crate) priority: i16,
    pub(crate) live_steps: i64,
    pub(crate) brought: Brought,
    pub(crate) updated_at: Timestamp,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) deadline_at: Option<Timestamp>,
    pub(crate) next_check_at: Option<Timestamp>,
}

/// The right to a step in progress, as a store keeps it.
pub(crate) trait Lease: Copy + PartialEq + Debug {
    /// Returns the token that a write about the step must name.
    fn token(&self) -> LeaseToken;

    /// Returns when it ends.
    fn until(&self) -> Timestamp;

    /// Returns the key of the actor who has it.
    fn actor(&self) -> i64;
}

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRow<L> {
    pub(crate) state: StepState,
    pub(crate) attempts: u32,
    pub(crate) run: u32,
    pub(crate) retry_limit: u32,
    pub(crate) retryable: bool,
    pub(crate) permanent: bool,
    pub(crate) unmet_parents: u32,
    pub(crate) next_retry_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) timeout_us: Option<i64>,
    pub(crate) lease: Option<L>,
}

/// A step's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct QueuePlace {
    /// The priority, negated: lower first.
    pub(crate) rank: i16,
    pub(crate) due_at: Option<Timestamp>,
}

/// Tells whether the queue has a step, as others see it: where it should be, or anywhere if it should not be there. A step
/// that is in the wrong queue, at the wrong rank or time, or there twice, is not where claims look for it.
pub(crate) fn in_queue(expected: Option<(i64, QueuePlace)>, found: &[(i64, QueuePlace)]) -> bool {
    match expected {
        Some(expected) => *found == [expected],
        None => !found.is_empty(),
    }
}

impl<L: Lease> StepRow<L> {
    /// Returns the row of a step that was just created, due at a time.
    pub(crate) fn new(step: &StepTemplate, due: Option<Timestamp>) -> Self {
        Self {
            state: StepState::Pending,
            attempts: 0,
            run: 0,
            retry_limit: step.retry_limit(),
            retryable: step.retryable(),
            permanent: false,
            unmet_parents: u32::try_from(step.depends_on().len()).unwrap_or(u32::MAX),
            next_retry_at: due,
            started_at: None,
            finished_at: None,
            timeout_us: None,
            lease: None,
        }
    }

    /// Returns the facts from which the step's readiness follows.
    pub(crate) fn facts(&self, now: Timestamp) -> StepFacts {
        StepFacts {
            state: self.state,
            attempts: self.attempts,
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents: self.unmet_parents,
            due_in: self
                .next_retry_at
                .filter(|due| *due > now)
                .map(|due| due.since(now)),
        }
    }

    /// Tells whether the queue has the step, given whether its task is active.
    pub(crate) fn queued(&self, active: bool) -> bool {
        let facts = self.facts(Timestamp::default());
        active
            && matches!(self.state, StepState::Pending | StepState::Error)
            && facts.dependencies_satisfied()
            && facts.retry_eligible()
    }

    /// Returns the step's place in the queue, given whether its task is active, and its priority.
    pub(crate) fn place(&self, active: bool, priority: i16) -> Option<QueuePlace> {
        self.queued(active).then(|| QueuePlace {
            rank: priority.saturating_neg(),
            due_at: self.next_retry_at,
        })
    }

    /// Returns the step as others see it, given whether the queue has it.
    pub(crate) fn record(
        self,
        step: StepNo,
        queued: bool,
        worker: Option<WorkerId>,
        failure: Option<&Json>,
        progress: Option<&Json>,
    ) -> StepRecord {
        StepRecord {
            step,
            state: self.state,
            attempts: self.attempts,
            run: RunNo(self.run),
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents: self.unmet_parents,
            next_retry_at: self.next_retry_at,
            queued,
            lease: self.lease.zip(worker).map(|(lease, worker)| HeldLease {
                worker,
                token: lease.token(),
                until: lease.until(),
            }),
            started_at: self.started_at,
            finished_at: self.finished_at,
            failure: failure.and_then(|json| json.to().ok()),
            progress: progress.and_then(|json| json.to().ok()),
        }
    }
}
