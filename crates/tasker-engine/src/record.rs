//! What a store knows about a task, for those who look.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tasker_types::{
    LeaseToken, Position, RunNo, StepFacts, StepNo, StepState, TaskContext, TaskId, TaskState, Timestamp,
    Version, WorkerId,
};

use crate::claim::Progress;
use crate::failure::Failure;
use crate::finalizer::FailureReason;
use crate::json::Json;
use crate::origin::Origin;
use crate::template::Template;
use crate::transition::{StepEvent, TaskEvent};

/// Who did something.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Actor {
    /// The store itself: finalizing, expiring leases.
    System,
    /// A worker.
    Worker(WorkerId),
    /// A person or a program, by name.
    User(String),
}

/// A text that names no actor.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no actor: `system`, `worker:ID` or `user:NAME`")]
pub struct UnknownActor {
    text: String,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::System => f.write_str("system"),
            Self::Worker(id) => write!(f, "worker:{id}"),
            Self::User(name) => write!(f, "user:{name}"),
        }
    }
}

impl FromStr for Actor {
    type Err = UnknownActor;

    fn from_str(text: &str) -> Result<Self, UnknownActor> {
        match text.split_once(':') {
            None if text == "system" => Some(Self::System),
            Some(("worker", id)) => id.parse().ok().map(Self::Worker),
            Some(("user", name)) => Some(Self::User(name.to_owned())),
            _ => None,
        }
        .ok_or_else(|| UnknownActor {
            text: text.to_owned(),
        })
    }
}

impl From<Actor> for String {
    fn from(actor: Actor) -> Self {
        actor.to_string()
    }
}

impl TryFrom<String> for Actor {
    type Error = UnknownActor;

    fn try_from(text: String) -> Result<Self, UnknownActor> {
        text.parse()
    }
}

/// A task as the store has it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct TaskRecord {
    /// The task's id.
    pub id: TaskId,
    /// The template as it was when the task was created.
    pub template: Arc<Template>,
    /// The state.
    pub state: TaskState,
    /// Why the task is in error.
    pub failure: Option<FailureReason>,
    /// The context, with the defaults of the template's schema.
    pub context: Json,
    /// What the request said.
    pub origin: Origin,
    /// The identity that no other task has.
    pub identity: String,
    /// The key under which the request may be repeated.
    pub idempotency_key: Option<String>,
    /// Higher first.
    pub priority: i16,
    /// The task and step that created this one.
    pub parent: Option<(TaskId, StepNo)>,
    /// The first task of the line of tasks that created one another; `None` for a task that no other created.
    pub root: Option<TaskId>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its state, or what is said about it, last changed.
    pub updated_at: Timestamp,
    /// When its first step was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended, for good or in error.
    pub finished_at: Option<Timestamp>,
    /// No step starts before.
    pub start_at: Option<Timestamp>,
    /// Then the task fails.
    pub deadline_at: Option<Timestamp>,
    /// When the safety net looks at the task next.
    pub next_check_at: Option<Timestamp>,
    /// How many steps are in progress or in the queue, as the store counts them.
    pub live_steps: u32,
}

/// The lease on a step in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldLease {
    /// Who holds it.
    pub worker: WorkerId,
    /// Under which token.
    pub token: LeaseToken,
    /// Until when, by the store's clock.
    pub until: Timestamp,
}

/// A step as the store has it. Its result is asked for apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct StepRecord {
    /// The step's number.
    pub step: StepNo,
    /// The state.
    pub state: StepState,
    /// Attempts since the last reset.
    pub attempts: u32,
    /// Claims, for ever.
    pub run: RunNo,
    /// How many attempts there may be.
    pub retry_limit: u32,
    /// Whether a failed attempt may be followed by another.
    pub retryable: bool,
    /// Whether the last failure was permanent.
    pub permanent: bool,
    /// How many parents are not done, as the store counts them.
    pub unmet_parents: u32,
    /// When the step is due; `None` when nothing makes it wait.
    pub next_retry_at: Option<Timestamp>,
    /// Whether the queue has the step.
    pub queued: bool,
    /// The lease, while the step is in progress.
    pub lease: Option<HeldLease>,
    /// When the last attempt was claimed.
    pub started_at: Option<Timestamp>,
    /// When the step last came to a state other than pending and in progress.
    pub finished_at: Option<Timestamp>,
    /// How the last failed attempt failed.
    pub failure: Option<Failure>,
    /// What the handler of the last attempt said of itself.
    pub progress: Option<Progress>,
}

impl StepRecord {
    /// Returns the facts from which the step's readiness follows at a time.
    pub fn facts(&self, now: Timestamp) -> StepFacts {
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
}

/// A task and its steps at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Snapshot {
    /// The task.
    pub task: TaskRecord,
    /// Its steps, in step order.
    pub steps: Vec<StepRecord>,
    /// The position of the last transition that the snapshot includes.
    pub position: Position,
    /// When it was taken, by the store's clock.
    pub taken_at: Timestamp,
}

/// Everything that a store has of a task.
#[derive(Clone, Debug)]
pub struct Reading {
    /// The task and its steps.
    pub snapshot: Snapshot,
    /// The results of its steps that have one, in step order.
    pub results: Vec<(StepNo, Json)>,
    /// Its history, in order.
    pub history: Vec<Transition>,
}

impl Snapshot {
    /// Returns the counts over the steps and what follows from them.
    pub fn context(&self) -> TaskContext {
        let facts: Vec<_> = self.steps.iter().map(|step| step.facts(self.taken_at)).collect();
        TaskContext::of(self.task.state, &facts)
    }
}

/// One entry of the history. It is kept until its task is pruned.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transition {
    /// Its place in the order in which transitions were committed.
    pub position: Position,
    /// The task.
    pub task: TaskId,
    /// What changed.
    pub change: Change,
    /// When, by the store's clock.
    pub at: Timestamp,
    /// Who did it.
    pub actor: Actor,
    /// What else is known: the failure, a reason, what an operator gave.
    pub metadata: Option<Json>,
}

/// What an entry of the history is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "subject", rename_all = "snake_case")]
pub enum Change {
    /// The task was created, its steps with it.
    Created,
    /// The task changed its state.
    Task {
        /// The state before.
        from: TaskState,
        /// What happened.
        event: TaskEvent,
        /// The state after.
        to: TaskState,
    },
    /// A step changed its state.
    Step {
        /// The step.
        step: StepNo,
        /// The state before.
        from: StepState,
        /// What happened.
        event: StepEvent,
        /// The state after.
        to: StepState,
        /// Which claim of the step it belongs to; 0 before the first.
        run: RunNo,
        /// Attempts since the last reset, after the change.
        attempt: u32,
        /// The version of the handler, at a start.
        handler_version: Option<Version>,
        /// How many microseconds the handler ran, at an end.
        ran_us: Option<u64>,
    },
    /// A worker reported the end of a step that was cancelled meanwhile. No state changed.
    LateOutcome {
        /// The step.
        step: StepNo,
        /// Which claim of the step was reported.
        run: RunNo,
    },
    /// An operator changed a setting of the task or of a step. No state changed.
    Setting {
        /// The step, if it is one's.
        step: Option<StepNo>,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actors_read_back() {
        for text in [
            "system",
            "worker:01890000-0000-7000-8000-000000000000",
            "user:Ann B.",
        ] {
            assert_eq!(text.parse::<Actor>().unwrap().to_string(), text);
        }
        assert!("robot".parse::<Actor>().is_err());
    }
}
