//! Parts that several answers have.

use std::fmt::Write;

use serde::Serialize;
use sha2::{Digest, Sha256};
use tasker::{Actor, Change, Failure, Intervened, Snapshot, Transition};
use tasker_types::{StepNo, StepState, TaskState, Timestamp, Version};
use utoipa::openapi::schema::{ObjectBuilder, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

/// The states of tasks and steps, as a schema; they are the same six.
pub(crate) struct State;

impl PartialSchema for State {
    fn schema() -> RefOr<Schema> {
        let states: Vec<_> = TaskState::ALL.iter().map(|state| state.as_str()).collect();
        one_of(&states, "The state of a task or of a step.")
    }
}

/// Returns the schema of some words.
pub(crate) fn one_of(words: &[&'static str], description: &str) -> RefOr<Schema> {
    ObjectBuilder::new()
        .schema_type(SchemaType::Type(Type::String))
        .enum_values(Some(words.iter().copied()))
        .description(Some(description))
        .into()
}

impl ToSchema for State {}

/// How an attempt failed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FailureView {
    /// A short, stable name for the kind of failure.
    #[schema(examples("HTTP_404"))]
    code: String,
    /// What happened, for a person.
    message: String,
    /// `retryable` or `permanent`.
    #[schema(value_type = String, examples("retryable"))]
    severity: tasker::Severity,
    /// What the handler adds for a program to read.
    #[schema(value_type = Value)]
    context: serde_json::Value,
}

impl From<&Failure> for FailureView {
    fn from(failure: &Failure) -> Self {
        Self {
            code: failure.code.clone(),
            message: failure.message.clone(),
            severity: failure.severity,
            context: failure
                .context
                .as_ref()
                .map_or(serde_json::Value::Null, tasker::Json::to_value),
        }
    }
}

/// An entry of the history of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TransitionView {
    /// Its place among all entries; later ones have greater places.
    position: i64,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What changed: `created`, `task`, `step`, `late_outcome` or `setting`.
    #[schema(examples("step"))]
    subject: &'static str,
    /// The step, if it is one's.
    step: Option<String>,
    /// The state before.
    #[schema(value_type = Option<State>)]
    from: Option<&'static str>,
    /// What happened.
    #[schema(examples("fail"))]
    event: Option<&'static str>,
    /// The state after.
    #[schema(value_type = Option<State>)]
    to: Option<&'static str>,
    /// Which claim of the step it belongs to.
    run: Option<u32>,
    /// Attempts since the last reset.
    attempt: Option<u32>,
    /// The version of what runs the step, at a start.
    #[schema(value_type = Option<String>)]
    handler_version: Option<Version>,
    /// How many microseconds it ran, at an end.
    ran_us: Option<u64>,
    /// Who: `system`, `worker:ID` or `user:NAME`.
    #[schema(value_type = String, examples("user:ann"))]
    actor: Actor,
    /// What else is known, without secrets.
    #[schema(value_type = Value)]
    metadata: serde_json::Value,
}

impl TransitionView {
    pub(crate) fn new(
        entry: &Transition,
        snapshot: &Snapshot,
        masked: impl Fn(serde_json::Value) -> serde_json::Value,
    ) -> Self {
        let name = |step: &StepNo| snapshot.task.template.step(*step).name().to_string();
        let mut view = Self {
            position: entry.position.0,
            at: entry.at,
            subject: "created",
            step: step_of(&entry.change).map(|step| name(&step)),
            from: None,
            event: None,
            to: None,
            run: None,
            attempt: None,
            handler_version: None,
            ran_us: None,
            actor: entry.actor.clone(),
            metadata: masked(
                entry
                    .metadata
                    .as_ref()
                    .map_or(serde_json::Value::Null, tasker::Json::to_value),
            ),
        };
        match &entry.change {
            Change::Created => {}
            Change::Task { from, event, to } => {
                view.subject = "task";
                (view.from, view.event, view.to) =
                    (Some(from.as_str()), Some(event.as_str()), Some(to.as_str()));
            }
            Change::Step {
                from,
                event,
                to,
                run,
                attempt,
                handler_version,
                ran_us,
                ..
            } => {
                view.subject = "step";
                (view.from, view.event, view.to) =
                    (Some(from.as_str()), Some(event.as_str()), Some(to.as_str()));
                (view.run, view.attempt) = (Some(run.0), Some(*attempt));
                (view.handler_version, view.ran_us) = (handler_version.clone(), *ran_us);
            }
            Change::LateOutcome { run, .. } => {
                view.subject = "late_outcome";
                view.run = Some(run.0);
            }
            Change::Setting { .. } => view.subject = "setting",
        }
        view
    }
}

/// What a change of what becomes of a task did.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct IntervenedView {
    /// The state of the task afterwards.
    #[schema(value_type = State)]
    task_state: &'static str,
    /// The steps whose state it changed.
    steps: Vec<ChangedStep>,
    /// Whether it ended the task.
    ended: bool,
}

/// A step whose state was changed.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ChangedStep {
    /// The step.
    name: String,
    /// The state afterwards.
    #[schema(value_type = State)]
    state: &'static str,
}

impl IntervenedView {
    pub(crate) fn new(done: &Intervened, snapshot: &Snapshot) -> Self {
        let template = &snapshot.task.template;
        let steps = done.steps.iter().map(|(step, state)| ChangedStep {
            name: template.step(*step).name().to_string(),
            state: state.as_str(),
        });
        Self {
            task_state: done.task_state.as_str(),
            steps: steps.collect(),
            ended: done.ended,
        }
    }
}

/// Returns the step that an entry of the history is about.
pub(crate) fn step_of(change: &Change) -> Option<StepNo> {
    match change {
        Change::Step { step, .. } | Change::LateOutcome { step, .. } => Some(*step),
        Change::Setting { step } => *step,
        Change::Created | Change::Task { .. } => None,
    }
}

/// Returns a tag that changes when what is kept of a thing changes, such as its state or its settings; not when time
/// alone passes.
pub(crate) fn entity_tag<T: Serialize>(kept: &T) -> String {
    // Plain values can always be written.
    let digest = Sha256::digest(serde_json::to_vec(kept).unwrap_or_default());
    let mut tag = String::with_capacity(34);
    tag.push('"');
    for byte in &digest[..16] {
        // Writing to a string cannot fail.
        let _ = write!(tag, "{byte:02x}");
    }
    tag.push('"');
    tag
}

/// Returns the tag of a task with all its steps.
pub(crate) fn task_tag(snapshot: &Snapshot) -> String {
    let task = &snapshot.task;
    let steps: Vec<_> = snapshot
        .steps
        .iter()
        .map(|step| {
            (
                step.state,
                step.attempts,
                step.run,
                step.retry_limit,
                step.next_retry_at,
                step.permanent,
            )
        })
        .collect();
    entity_tag(&(
        task.id,
        task.state,
        task.failure,
        task.priority,
        &task.origin,
        steps,
    ))
}

/// Returns how far a step is, for drawings.
pub(crate) fn colour(state: StepState) -> &'static str {
    match state {
        StepState::Pending => "#e5e7eb",
        StepState::InProgress => "#bfdbfe",
        StepState::Complete => "#bbf7d0",
        StepState::Error => "#fecaca",
        StepState::Cancelled => "#d1d5db",
        StepState::ResolvedManually => "#ddd6fe",
    }
}
