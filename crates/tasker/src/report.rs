//! What a person or a program wants to know of a task, in one value.

use serde::Serialize;
use tasker_engine::{Failure, FailureReason, Json, Progress, Snapshot, StepRecord};
use tasker_types::{
    BlockingReason, ExecutionStatus, HealthStatus, StepNo, StepState, TaskContext, TaskId, TaskState,
    Timestamp,
};

/// A task and its steps, with their results.
#[derive(Clone, Debug, Serialize)]
pub struct TaskReport {
    /// The task.
    pub task_id: TaskId,
    /// The template's full name.
    pub name: String,
    /// The state.
    pub state: TaskState,
    /// Completed steps in percent of all.
    pub completion_percentage: f64,
    /// What the task is doing.
    pub execution_status: ExecutionStatus,
    /// How it fares.
    pub health_status: HealthStatus,
    /// Why it is in error.
    pub failure: Option<FailureReason>,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first step was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// The result of the step that the template names, else those of its leaves by name; once it is complete.
    pub result: Option<serde_json::Value>,
    /// The steps, in the order of the template.
    pub steps: Vec<StepReport>,
}

/// A step of a [`TaskReport`].
#[derive(Clone, Debug, Serialize)]
pub struct StepReport {
    /// Its name.
    pub name: String,
    /// The state.
    pub state: StepState,
    /// Attempts since the last reset.
    pub attempts: u32,
    /// How many attempts there may be.
    pub retry_limit: u32,
    /// When the last attempt began.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When the step is due.
    pub next_retry_at: Option<Timestamp>,
    /// Why it is not running; `None` when it could be.
    pub blocking_reason: Option<BlockingReason>,
    /// What it waits for.
    pub depends_on: Vec<String>,
    /// Its result.
    pub result: Option<Json>,
    /// What the handler of the last attempt said of itself.
    pub progress: Option<Progress>,
    /// How its last failed attempt failed.
    pub error: Option<Failure>,
}

impl TaskReport {
    /// Makes a report of what a store says.
    pub fn new(snapshot: &Snapshot, results: &[(StepNo, Json)]) -> Self {
        let task = &snapshot.task;
        let TaskContext {
            completion_percentage,
            execution_status,
            health_status,
            ..
        } = snapshot.context();
        let result_of = |step: StepNo| {
            let place = results.binary_search_by_key(&step, |(step, _)| *step).ok()?;
            Some(results[place].1.clone())
        };
        let steps = snapshot
            .steps
            .iter()
            .map(|step| step_report(snapshot, step, result_of(step.step)))
            .collect();
        Self {
            task_id: task.id,
            name: task.template.full_name(),
            state: task.state,
            completion_percentage,
            execution_status,
            health_status,
            failure: task.failure,
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            result: (task.state == TaskState::Complete).then(|| result(snapshot, &result_of)),
            steps,
        }
    }
}

fn result(snapshot: &Snapshot, result_of: &dyn Fn(StepNo) -> Option<Json>) -> serde_json::Value {
    let template = &snapshot.task.template;
    let value = |step: StepNo| result_of(step).map_or(serde_json::Value::Null, |json| json.to_value());
    if let Some(step) = template.result() {
        return value(step);
    }
    let leaves = template
        .dag()
        .leaves()
        .into_iter()
        .map(|leaf| StepNo(u32::try_from(leaf).unwrap_or(u32::MAX)));
    leaves
        .map(|leaf| (template.step(leaf).name().to_string(), value(leaf)))
        .collect()
}

fn step_report(snapshot: &Snapshot, step: &StepRecord, result: Option<Json>) -> StepReport {
    let template = &snapshot.task.template;
    let step_template = template.step(step.step);
    StepReport {
        name: step_template.name().to_string(),
        state: step.state,
        attempts: step.attempts,
        retry_limit: step.retry_limit,
        started_at: step.started_at,
        finished_at: step.finished_at,
        next_retry_at: step.next_retry_at,
        blocking_reason: step
            .facts(snapshot.taken_at)
            .blocking_reason(snapshot.task.state.is_active()),
        depends_on: step_template
            .depends_on()
            .iter()
            .map(|parent| template.step(*parent).name().to_string())
            .collect(),
        result,
        progress: step.progress.clone(),
        error: step.failure.clone(),
    }
}
