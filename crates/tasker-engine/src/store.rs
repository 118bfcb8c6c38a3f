//! The port to a store: a few atomic intents.
//!
//! A store makes changes durable; when to make which is the engine's business. Every method does all of its
//! work or nothing, in one commit, and its documentation says what doing it twice means. Futures may be dropped
//! at any await: the work is then done or not done, never half.
//!
//! Lease time is the store's. No request carries a point in time for it, only durations, to which the store
//! adds its own now.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use tasker_types::{
    Backoff, HandlerRef, LeaseToken, Namespace, Position, StepNo, StepState, TaskContext, TaskId, TaskState,
    Timestamp, Version, WorkerId,
};
use thiserror::Error;
use tokio::sync::watch;

use crate::claim::{Claim, Lease, Outcome, Progress, Receipt};
use crate::json::Json;
use crate::list::{TaskPage, TaskQuery};
use crate::origin::{Description, Origin, OriginFault};
use crate::record::{Actor, Reading, Snapshot, Transition};
use crate::template::Template;
use crate::transition::{IllegalStepTransition, IllegalTaskTransition};

/// Where tasks are kept.
#[async_trait]
pub trait Store: Send + Sync + Debug {
    /// Creates tasks with their steps and their first history, queues what is ready, and hands the caller as
    /// many of the first steps as it wants, all in one commit.
    ///
    /// A bypassed step is created `resolved_manually` with metadata `{"bypassed": true}`. A task whose
    /// steps are all bypassed is complete at once.
    /// An identity or idempotency key that is taken is an answer ([`Created`]), not an error: the other tasks
    /// of the request are created all the same.
    ///
    /// Doing it again with the same task ids creates nothing and answers [`Created::New`] for them; the claims
    /// that the first call handed out under the same token are handed out again.
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError>;

    /// Records outcomes under their tokens, tells children, hands ready children to this worker as far as it
    /// wants, completes or fails tasks that this ends, and tops up from the queue, all in one commit.
    ///
    /// A result that is recorded creates the tasks of its outcome in the same commit, as [`create`](Self::create) does:
    /// an identity or key that is taken is an answer, and the result is recorded all the same. The metadata of its entry
    /// in the history are then [`Created::note`]. An outcome that comes late or again, or is no result, creates nothing.
    ///
    /// Doing it again: an outcome that is recorded answers [`Receipt::Recorded`] again and changes nothing; with
    /// [`Turn::again`] the claims that an earlier call handed out under the same token are handed out again.
    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError>;

    /// Extends leases, keeps what their handlers said, and tells which of them are over. Answers in the order of the
    /// request.
    ///
    /// Doing it again extends them again.
    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError>;

    /// Does what time demands: ends leases that are over, or whose process is proven dead, with
    /// [`StepEvent::Expire`](crate::StepEvent::Expire) and the code `lease_expired`; fails tasks that are past their
    /// deadline with `deadline_exceeded`; and names tasks whose time to be looked at has come.
    ///
    /// Doing it again does what is left.
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError>;

    /// Looks at one task as the finalizer does, completes it or fails it if that is due, and returns its context
    /// as it was before; `None` when the task is not active or not known.
    ///
    /// Doing it again changes nothing more.
    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError>;

    /// Notes when the safety net looks at a task again. A task that is not active is left alone.
    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError>;

    /// Carries out what an operator demands: all of it in one commit, or nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError::Changed`] if the history of the task goes on after the position that is expected;
    /// [`StoreError::IllegalStep`] and [`StoreError::IllegalTask`] when the state does not permit it, and then
    /// nothing is changed. Doing it twice is therefore an error for most demands, and changes nothing.
    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError>;

    /// Returns a task and its steps at one moment; `None` for an unknown task.
    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError>;

    /// Returns the results of a task's steps that have one, in step order. A step that was resolved without a
    /// result has none.
    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError>;

    /// Returns entries of a task's history after a position, in order, at most `limit`.
    async fn history(&self, task: TaskId, after: Position, limit: u32)
    -> Result<Vec<Transition>, StoreError>;

    /// Returns everything that there is of some tasks, in the order in which they are asked for; those that are unknown are
    /// left out.
    ///
    /// Without an implementation of its own a store is asked for one part after the other, and the results and the history
    /// of a task may go on after its snapshot.
    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        const PAGE: u32 = 1_000;
        let mut readings = Vec::with_capacity(tasks.len());
        for task in tasks {
            let Some(snapshot) = self.snapshot(*task).await? else {
                continue;
            };
            let results = self.results(*task).await?;
            let mut history: Vec<Transition> = Vec::new();
            loop {
                let after = history.last().map_or(Position(0), |last| last.position);
                let page = self.history(*task, after, PAGE).await?;
                if page.last().is_none_or(|last| last.position <= after) {
                    break;
                }
                history.extend(page);
            }
            readings.push(Reading {
                snapshot,
                results,
                history,
            });
        }
        Ok(readings)
    }

    /// Returns entries of all histories after a position, in the order of their commits and without gaps, at most
    /// `limit`.
    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError>;

    /// Returns the position of the last entry of all histories; 0 when there is none.
    ///
    /// Without an implementation of its own a store is read from the beginning.
    async fn position(&self) -> Result<Position, StoreError> {
        const PAGE: u32 = 1_000;
        let mut last = Position(0);
        loop {
            let page = self.events(last, PAGE).await?;
            let full = page.len() == PAGE as usize;
            last = page.last().map_or(last, |entry| entry.position);
            if !full {
                return Ok(last);
            }
        }
    }

    /// Returns a page of the tasks that a filter leaves, in the order that is asked for, at one moment.
    ///
    /// Pages that follow one another by [`TaskPage::next`] have each task once whose place did not change meanwhile,
    /// whatever is created or pruned between them.
    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError>;

    /// Returns the secret by which places in lists are signed that clients keep; it is kept with the tasks, so that all
    /// processes have the same. If there is none yet, it is `fresh`.
    ///
    /// Doing it again returns the same, whatever is fresh then.
    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError>;

    /// Returns a number that changes when there may be work that no worker was handed, or a cancellation to learn
    /// of. It is a hint: nothing is lost without it.
    fn wake(&self) -> watch::Receiver<u64>;
}

/// Which handlers a worker has: the store hands it only steps that these can run.
pub trait Accepts: Send + Sync + Debug {
    /// Returns the version of the handler that would run such a step, or `None`.
    fn version_for(&self, namespace: &Namespace, handler: &HandlerRef) -> Option<Version>;
}

/// Which tasks a worker works on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// All of them.
    #[default]
    All,
    /// This one alone.
    Task(TaskId),
}

/// What a worker would like to be handed.
#[derive(Clone, Debug)]
pub struct Want {
    /// At most so many steps.
    pub limit: u32,
    /// Only steps for which it has handlers.
    pub accepts: Arc<dyn Accepts>,
    /// Only steps of these tasks.
    pub scope: Scope,
    /// Whether the queue is to fill up what the request makes ready itself. Where it is not, a store need not look there, as
    /// long as everything fits that the request makes ready.
    pub top_up: bool,
    /// For how long.
    pub lease: Duration,
    /// The token under which the claims are kept: new for every request, the same when it is repeated.
    pub token: LeaseToken,
}

/// A request to create tasks.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Create {
    /// Who creates them; the one to whom their first steps are handed.
    pub worker: WorkerId,
    /// Who is named in the history.
    pub actor: Actor,
    /// The tasks.
    pub tasks: Vec<NewTask>,
    /// What the caller would like to be handed; `None` for nothing.
    pub want: Option<Want>,
    /// When the safety net first looks at the tasks.
    pub check_in: Duration,
}

impl Create {
    /// Returns a request that hands nothing out and has the safety net look in 30 seconds.
    pub fn new(worker: WorkerId, actor: Actor, tasks: Vec<NewTask>) -> Self {
        Self {
            worker,
            actor,
            tasks,
            want: None,
            check_in: Duration::from_secs(30),
        }
    }

    /// Asks for first steps in the same commit.
    #[must_use]
    pub fn wanting(mut self, want: Want) -> Self {
        self.want = Some(want);
        self
    }
}

/// A task to create. Everything about it has been checked.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct NewTask {
    /// Its id.
    pub id: TaskId,
    /// Its template.
    pub template: Arc<Template>,
    /// Its context, prepared by the template.
    pub context: Json,
    /// What the request says beside.
    pub origin: Origin,
    /// Steps that are resolved from the start, ascending; the template says that they may be.
    pub bypass: Vec<StepNo>,
    /// Higher first.
    pub priority: i16,
    /// No two tasks have the same identity.
    pub identity: String,
    /// The key under which the request may be repeated, unique within the namespace, and a digest of the request.
    pub idempotency: Option<Idempotency>,
    /// No step starts before.
    pub start_at: Option<Timestamp>,
    /// Then the task fails.
    pub deadline_at: Option<Timestamp>,
    /// The task and step that create it.
    pub parent: Option<(TaskId, StepNo)>,
}

impl NewTask {
    /// Returns a task with nothing but the necessary; its identity is its id.
    pub fn new(id: TaskId, template: Arc<Template>, context: Json) -> Self {
        Self {
            id,
            template,
            context,
            origin: Origin::default(),
            bypass: Vec::new(),
            priority: 0,
            identity: id.to_string(),
            idempotency: None,
            start_at: None,
            deadline_at: None,
            parent: None,
        }
    }
}

/// The key under which a request may be repeated.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Idempotency {
    /// The key.
    pub key: String,
    /// A digest of everything that the request says; a repetition must have the same.
    pub digest: String,
}

/// What became of one task of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Created {
    /// It was created.
    New(TaskId),
    /// The idempotency key had been used for the same request; this is its task.
    Repeated(TaskId),
    /// The idempotency key had been used for another request, whose task this is. Nothing was created.
    KeyReused(TaskId),
    /// A task with this identity exists. Nothing was created.
    Duplicate(TaskId),
}

impl Created {
    /// Returns the metadata of the entry of a result that created tasks: `{"tasks": [{"new": ID}, …]}`; `None` if it
    /// created none.
    pub fn note(created: &[Self]) -> Option<Json> {
        #[derive(Serialize)]
        struct Note<'a> {
            tasks: &'a [Created],
        }
        (!created.is_empty())
            .then(|| Json::of(&Note { tasks: created }).ok())
            .flatten()
    }

    /// Returns the task that there is now: the new one, or the one that was there before.
    pub fn task(self) -> TaskId {
        match self {
            Self::New(task) | Self::Repeated(task) | Self::KeyReused(task) | Self::Duplicate(task) => task,
        }
    }

    /// Returns the task that the request now has: the new one, or the first one of its key.
    ///
    /// # Errors
    ///
    /// Why the request was refused, with the task that stands in its way.
    pub fn accepted(self) -> Result<TaskId, Refusal> {
        match self {
            Self::New(task) | Self::Repeated(task) => Ok(task),
            Self::KeyReused(task) => Err(Refusal::KeyReused { task }),
            Self::Duplicate(task) => Err(Refusal::Duplicate { task }),
        }
    }
}

/// Why a request that is right in itself made no task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Refusal {
    /// The idempotency key was used for a request that said something else.
    #[error("the idempotency key was used for another request, whose task is `{task}`")]
    KeyReused {
        /// The task of the other request.
        task: TaskId,
    },
    /// A task has the identity already.
    #[error("the same was asked for before; its task is `{task}`")]
    Duplicate {
        /// The task of the first request.
        task: TaskId,
    },
}

impl Refusal {
    /// Returns the stable code by which programs tell refusals apart.
    pub const fn code(&self) -> &'static str {
        match self {
            Self::KeyReused { .. } => "idempotency_key_reused",
            Self::Duplicate { .. } => "duplicate_task",
        }
    }

    /// Returns the task that stands in the way.
    pub const fn task(&self) -> TaskId {
        match self {
            Self::KeyReused { task } | Self::Duplicate { task } => *task,
        }
    }
}

/// The answer to [`Create`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct CreateReply {
    /// What became of each task, in the order of the request.
    pub tasks: Vec<Created>,
    /// First steps that are now the caller's.
    pub claims: Vec<Claim>,
    /// Tasks that ended at once.
    pub finished: Vec<(TaskId, TaskState)>,
}

/// One turn of a worker.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Turn {
    /// The worker.
    pub worker: WorkerId,
    /// What became of its claims.
    pub outcomes: Vec<Outcome>,
    /// What it would like to be handed.
    pub want: Want,
    /// This request was sent before and its answer lost.
    pub again: bool,
    /// When the safety net first looks at the tasks that outcomes create.
    pub check_in: Duration,
}

impl Turn {
    /// Returns a turn that is sent for the first time, and has the safety net look at new tasks in 30 seconds.
    pub fn new(worker: WorkerId, outcomes: Vec<Outcome>, want: Want) -> Self {
        Self {
            worker,
            outcomes,
            want,
            again: false,
            check_in: Duration::from_secs(30),
        }
    }
}

/// The answer to [`Turn`].
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct TurnReply {
    /// What became of each outcome, in the order of the request.
    pub receipts: Vec<Receipt>,
    /// What became of the tasks that outcomes create, with the step whose outcome it was, in the order of the request.
    pub created: Vec<(Lease, Created)>,
    /// Steps that are now the caller's.
    pub claims: Vec<Claim>,
    /// Tasks that this turn ended.
    pub finished: Vec<(TaskId, TaskState)>,
    /// How long until the earliest step in scope is due that waits for its time and that the worker could run.
    pub next_due_in: Option<Duration>,
}

/// A request to extend leases.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Renewal {
    /// The worker that holds them.
    pub worker: WorkerId,
    /// The leases.
    pub leases: Vec<Lease>,
    /// For how long from now.
    pub lease: Duration,
    /// What handlers said since the last renewal. It is kept with the steps whose leases are held.
    pub progress: Vec<(Lease, Progress)>,
}

impl Renewal {
    /// Returns a request to extend these leases.
    pub fn new(worker: WorkerId, leases: Vec<Lease>, lease: Duration) -> Self {
        Self {
            worker,
            leases,
            lease,
            progress: Vec::new(),
        }
    }
}

/// How a lease stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaseStatus {
    /// It was extended.
    Held,
    /// The step was cancelled.
    Cancelled,
    /// It is over; the step may be someone else's.
    Lost,
}

/// A request to do what time demands.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Sweep {
    /// At most so many leases, tasks past their deadline, and tasks to look at, each.
    pub limit: u32,
    /// How long steps wait whose lease expired.
    pub backoff: Arc<Backoff>,
    /// Seeds the jitter of these waits.
    pub seed: u64,
    /// Only these tasks.
    pub scope: Scope,
}

impl Sweep {
    /// Returns a request over all tasks.
    pub fn new(limit: u32, backoff: Arc<Backoff>, seed: u64) -> Self {
        Self {
            limit,
            backoff,
            seed,
            scope: Scope::All,
        }
    }

    /// Restricts the request to some tasks.
    #[must_use]
    pub fn within(mut self, scope: Scope) -> Self {
        self.scope = scope;
        self
    }
}

/// What a sweep did.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Swept {
    /// Leases that were ended.
    pub expired: Vec<(TaskId, StepNo)>,
    /// Tasks that this ended.
    pub finished: Vec<(TaskId, TaskState)>,
    /// Tasks to look at.
    pub due: Vec<TaskId>,
    /// How long until the next deadline of a task in scope.
    pub next_deadline_in: Option<Duration>,
}

/// Something that an operator demands of a task.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Intervention {
    /// The task.
    pub task: TaskId,
    /// What to do, in this order: all of it, or nothing.
    pub demands: Vec<Demand>,
    /// Who demands it.
    pub actor: Actor,
    /// Why; kept in the history.
    pub reason: Option<String>,
    /// The position up to which the history of the task is known to whoever demands it: if it goes on, nothing is done.
    pub expected: Option<Position>,
}

impl Intervention {
    /// Returns an intervention without a reason, whatever has happened meanwhile.
    pub fn new(task: TaskId, demand: Demand, actor: Actor) -> Self {
        Self::all(task, vec![demand], actor)
    }

    /// Returns an intervention that does several things, in their order, or nothing.
    pub fn all(task: TaskId, demands: Vec<Demand>, actor: Actor) -> Self {
        Self {
            task,
            demands,
            actor,
            reason: None,
            expected: None,
        }
    }

    /// Demands it of the task as it was at a position, such as that of a [`Snapshot`].
    #[must_use]
    pub fn expecting(mut self, position: Position) -> Self {
        self.expected = Some(position);
        self
    }

    /// Says why.
    #[must_use]
    pub fn because(mut self, reason: Option<String>) -> Self {
        self.reason = reason;
        self
    }

    /// Returns what the history keeps of a change of settings: what was set, and why.
    pub fn metadata(&self, mut set: serde_json::Value) -> Json {
        if let (Some(reason), Some(fields)) = (&self.reason, set.as_object_mut()) {
            fields.insert("reason".to_owned(), reason.as_str().into());
        }
        Json::from(&set)
    }
}

/// What an operator can demand.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Demand {
    /// Cancel the task and its unfinished steps.
    CancelTask,
    /// Declare the task done and cancel its unfinished steps.
    ResolveTask,
    /// Reset every stuck step that is in error, and let the task go on.
    RetryTask,
    /// Let a task in error go on as it is. Illegal when nothing could happen.
    ResumeTask,
    /// Cancel a step.
    CancelStep(StepNo),
    /// Give a step its attempts back and let it start again.
    ResetStep(StepNo),
    /// Declare a step done, with the result that its children see.
    ResolveStep(StepNo, Option<Json>),
    /// Allow a step so many attempts in all. At least 1; never while it is in progress.
    SetRetryLimit(StepNo, u32),
    /// Give a step another time limit. Never while it is in progress.
    SetTimeout(StepNo, Option<Duration>),
    /// Give a step another configuration. Never while it is in progress.
    SetConfig(StepNo, Json),
    /// Give a task and its queued steps another priority.
    SetPriority(i16),
    /// Say something else about a task: its reason, its tags, its annotations.
    Describe(Description),
}

/// What an intervention did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Intervened {
    /// The state of the task afterwards.
    pub task_state: TaskState,
    /// The steps whose state changed, with their states afterwards, in step order.
    pub steps: Vec<(StepNo, StepState)>,
    /// Whether it ended the task: the task was active before, and is not any more.
    pub ended: bool,
}

impl Intervened {
    /// Returns what an intervention did to a task that had one state before, and has another afterwards.
    pub fn new(before: TaskState, task_state: TaskState, steps: Vec<(StepNo, StepState)>) -> Self {
        Self {
            task_state,
            steps,
            ended: before.is_active() && !task_state.is_active(),
        }
    }
}

/// The error of another library, kept as the source of ours.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Why a store did not do what it was asked.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// There is no such task.
    #[error("there is no task `{task}`")]
    UnknownTask {
        /// The task that was asked for.
        task: TaskId,
    },
    /// The task has no such step.
    #[error("task `{task}` has no step with the number {step}")]
    UnknownStep {
        /// The task.
        task: TaskId,
        /// The step that was asked for.
        step: StepNo,
    },
    /// The state of a step does not permit it.
    #[error("step {step} of task `{task}`: {source}")]
    IllegalStep {
        /// The task.
        task: TaskId,
        /// The step.
        step: StepNo,
        /// Which event in which state.
        source: IllegalStepTransition,
    },
    /// The state of a task does not permit it.
    #[error("task `{task}`: {source}")]
    IllegalTask {
        /// The task.
        task: TaskId,
        /// Which event in which state.
        source: IllegalTaskTransition,
    },
    /// A setting of a step cannot be changed now.
    #[error("step {step} of task `{task}` is in progress; cancel it or wait for its end before changing it")]
    StepInProgress {
        /// The task.
        task: TaskId,
        /// The step.
        step: StepNo,
    },
    /// Something happened to a task of which the request expected that nothing did.
    #[error("task `{task}` was changed meanwhile; look at it again")]
    Changed {
        /// The task.
        task: TaskId,
    },
    /// A value is outside of what the store takes.
    #[error("{what} is {value}, but it must be {must}")]
    Rejected {
        /// What it is.
        what: &'static str,
        /// The value.
        value: String,
        /// What it must be.
        must: &'static str,
    },
    /// The store cannot be reached or is busy. Whether the work was done is not known; trying again is safe.
    #[error("the store `{store}` is not available: {source}")]
    Unavailable {
        /// Which store.
        store: String,
        /// What the database says.
        source: BoxError,
    },
    /// The store refuses to write: the disk is full, the file is read-only. Nothing was changed.
    #[error("the store `{store}` cannot be written: {problem}; {advice}")]
    NotWritable {
        /// Which store.
        store: String,
        /// What the database says.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// The store cannot be used by this program.
    #[error("the store `{store}` cannot be used: {problem}; {advice}")]
    Unusable {
        /// Which store.
        store: String,
        /// What is wrong.
        problem: String,
        /// What to do.
        advice: &'static str,
    },
    /// What the store holds makes no sense, or a statement failed in a way that it never should.
    #[error("the store `{store}` failed: {source}")]
    Internal {
        /// Which store.
        store: String,
        /// What the database says.
        source: BoxError,
    },
    /// The store was closed.
    #[error("the store is closed")]
    Closed,
}

impl From<OriginFault> for StoreError {
    fn from(fault: OriginFault) -> Self {
        let OriginFault { what, value, must } = fault;
        Self::Rejected { what, value, must }
    }
}

impl StoreError {
    /// Tells whether the same request may succeed later without anyone doing anything.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }
}
