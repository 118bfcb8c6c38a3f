//! One task: what is shown of it, and finding it for a caller who may see it.

use std::collections::BTreeMap;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker::{Insight, Snapshot, StepReport, StoreError, TaskReport, Tasker};
use tasker_types::{StepNo, TaskId, Timestamp};
use utoipa::{IntoParams, ToSchema};

use super::views::{self, FailureView, IntervenedView, task_tag};
use crate::app::App;
use crate::extract::{Path, Query};
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// A task in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskAnswer {
    pub(crate) task: Task,
    /// What was done, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) intervened: Option<IntervenedView>,
}

/// A task: one run of a handler.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Task {
    /// Its id.
    #[schema(value_type = String, format = Uuid)]
    pub(crate) task_id: TaskId,
    /// The handler's name.
    #[schema(examples("process_refund"))]
    name: String,
    /// The namespace of the handler.
    #[schema(examples("payments"))]
    namespace: String,
    /// The version of the handler.
    #[schema(examples("2.1.0"))]
    version: String,
    /// `namespace.name@version`.
    #[schema(examples("payments.process_refund@2.1.0"))]
    full_name: String,
    #[schema(value_type = views::State)]
    state: &'static str,
    /// Why it is in error.
    #[schema(examples("steps_in_error_state"))]
    failure: Option<&'static str>,
    /// What it is doing.
    #[schema(examples("processing"))]
    execution_status: &'static str,
    /// What to do about it.
    #[schema(examples("wait_for_completion"))]
    recommended_action: &'static str,
    /// How it fares.
    #[schema(examples("healthy"))]
    health_status: &'static str,
    /// Completed steps in percent of all.
    completion_percentage: f64,
    /// Higher first.
    priority: i16,
    /// Who asked for it.
    initiator: Option<String>,
    /// The system that the request came from.
    source_system: Option<String>,
    /// Why.
    reason: Option<String>,
    /// Labels.
    tags: Vec<String>,
    /// Notes by name.
    #[schema(value_type = BTreeMap<String, Value>)]
    annotations: BTreeMap<String, Value>,
    /// The correlation id that the request brought along.
    correlation_id: Option<String>,
    /// The key under which the request may be repeated.
    idempotency_key: Option<String>,
    /// The context, without secrets.
    context: Value,
    /// The result of the task, once it is complete, without secrets.
    result: Option<Value>,
    /// The task whose step created this one.
    #[schema(value_type = Option<String>, format = Uuid)]
    parent_task_id: Option<TaskId>,
    /// The first task of the line of tasks that created one another.
    #[schema(value_type = Option<String>, format = Uuid)]
    root_task_id: Option<TaskId>,
    /// When it was asked for, by the one who asked.
    #[schema(value_type = Option<String>, format = DateTime)]
    requested_at: Option<Timestamp>,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: Timestamp,
    /// When its first step was claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// No step starts before.
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<Timestamp>,
    /// Then it fails.
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
    /// Its steps, in the order of the handler.
    workflow_steps: Vec<Step>,
    /// What holds it up, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    dependency_analysis: Option<Value>,
}

/// A step of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Step {
    /// Its name.
    #[schema(examples("validate"))]
    pub(crate) name: String,
    #[schema(value_type = views::State)]
    pub(crate) state: &'static str,
    /// Attempts since the last reset.
    attempts: u32,
    /// How many attempts there may be.
    retry_limit: u32,
    /// Why it is not running; null when it could be.
    #[schema(examples("waiting_for_backoff"))]
    blocking_reason: Option<&'static str>,
    /// The steps that it waits for.
    depends_on: Vec<String>,
    /// When it is due.
    #[schema(value_type = Option<String>, format = DateTime)]
    next_retry_at: Option<Timestamp>,
    /// When the last attempt began.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<Timestamp>,
    /// Its result, without secrets.
    result: Option<Value>,
    /// How its last failed attempt failed.
    error: Option<FailureView>,
}

impl Step {
    pub(crate) fn new(report: &StepReport, tasker: &Tasker) -> Self {
        let telemetry = tasker.config().telemetry();
        Self {
            name: report.name.clone(),
            state: report.state.as_str(),
            attempts: report.attempts,
            retry_limit: report.retry_limit,
            blocking_reason: report.blocking_reason.map(|reason| reason.as_str()),
            depends_on: report.depends_on.clone(),
            next_retry_at: report.next_retry_at,
            started_at: report.started_at,
            finished_at: report.finished_at,
            result: report
                .result
                .as_ref()
                .map(|result| tasker::masked(result.to_value(), telemetry)),
            error: report.error.as_ref().map(FailureView::from),
        }
    }
}

impl Task {
    /// Reads the results of a task, and returns it with them.
    pub(crate) async fn read(snapshot: &Snapshot, tasker: &Tasker) -> Result<Self, StoreError> {
        Ok(Self::new(snapshot, &tasker.report_of(snapshot).await?, tasker))
    }

    fn new(snapshot: &Snapshot, report: &TaskReport, tasker: &Tasker) -> Self {
        let task = &snapshot.task;
        let telemetry = tasker.config().telemetry();
        let masked = |value: Value| tasker::masked(value, telemetry);
        let context = snapshot.context();
        Self {
            task_id: task.id,
            name: task.template.name().to_string(),
            namespace: task.template.namespace().to_string(),
            version: task.template.version().to_string(),
            full_name: task.template.full_name(),
            state: task.state.as_str(),
            failure: task.failure.map(|failure| failure.as_str()),
            execution_status: context.execution_status.as_str(),
            recommended_action: context.recommended_action.as_str(),
            health_status: context.health_status.as_str(),
            completion_percentage: context.completion_percentage,
            priority: task.priority,
            initiator: task.origin.initiator.clone(),
            source_system: task.origin.source_system.clone(),
            reason: task.origin.reason.clone(),
            tags: task.origin.tags.clone(),
            annotations: task
                .origin
                .annotations
                .iter()
                .map(|(name, value)| (name.clone(), tasker::masked_field(name, value.clone(), telemetry)))
                .collect(),
            correlation_id: task.origin.correlation_id.clone(),
            idempotency_key: task.idempotency_key.clone(),
            context: masked(task.context.to_value()),
            result: report.result.clone().map(masked),
            parent_task_id: task.parent.map(|(parent, _)| parent),
            root_task_id: task.root,
            requested_at: task.origin.requested_at,
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
            start_at: task.start_at,
            deadline_at: task.deadline_at,
            workflow_steps: report.steps.iter().map(|step| Step::new(step, tasker)).collect(),
            dependency_analysis: None,
        }
    }

    /// Adds what holds the task up.
    pub(crate) async fn with_analysis(
        mut self,
        snapshot: &Snapshot,
        tasker: &Tasker,
    ) -> Result<Self, Problem> {
        let analysis = tasker.analysis(snapshot).await;
        let analysis = analysis.map_err(|error| Problem::internal(&error))?;
        let value = serde_json::to_value(&*analysis).map_err(|error| Problem::internal(&error))?;
        self.dependency_analysis = Some(value);
        Ok(self)
    }
}

/// A task that a caller may see, as it is now.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) snapshot: Snapshot,
}

/// Returns the step of this name.
pub(crate) fn step(snapshot: &Snapshot, name: &str) -> Result<StepNo, Problem> {
    let template = &snapshot.task.template;
    let names = || template.steps().iter().map(|step| step.name().as_str());
    template.step_named(name).map(|(step, _)| step).ok_or_else(|| {
        let problem = Problem::new(
            Code::UnknownStep,
            format!(
                "the task `{}` has no step `{}`",
                snapshot.task.id,
                name.escape_debug()
            ),
        );
        match tasker_types::nearest(name, names()) {
            Some(near) => problem.with("nearest", near),
            None => problem,
        }
    })
}

impl Found {
    /// Returns the step of this name.
    pub(crate) fn step(&self, name: &str) -> Result<StepNo, Problem> {
        step(&self.snapshot, name)
    }

    /// Checks that `If-Match`, if it is there, names this tag.
    pub(crate) fn matches(headers: &HeaderMap, tag: &str) -> Result<(), Problem> {
        let mut values = headers.get_all(header::IF_MATCH).iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let matches = values
            .filter_map(|value| value.to_str().ok())
            .flat_map(|value| value.split(','))
            .any(|given| matches!(given.trim(), given if given == "*" || given == tag));
        if matches {
            return Ok(());
        }
        Err(Problem::new(
            Code::PreconditionFailed,
            format!("it is not what `If-Match` names; its tag is {tag}"),
        ))
    }
}

/// Finds a task for a caller whose permission reaches it.
pub(crate) async fn find(app: &App, granted: &Granted, id: TaskId) -> Result<Found, Problem> {
    let snapshot = app.tasker().store().snapshot(id).await?;
    let snapshot = snapshot.ok_or(StoreError::UnknownTask { task: id })?;
    let task = &snapshot.task;
    granted.require(task.template.namespace(), task.origin.initiator.as_deref())?;
    Ok(Found { snapshot })
}

/// Finds a task, with what is known of what holds it up.
pub(crate) async fn insight(app: &App, granted: &Granted, id: TaskId) -> Result<Insight, Problem> {
    let insight = app.tasker().insight(id).await?;
    let insight = insight.ok_or(StoreError::UnknownTask { task: id })?;
    let task = &insight.snapshot().task;
    granted.require(task.template.namespace(), task.origin.initiator.as_deref())?;
    Ok(insight)
}

/// Returns a task as an answer, with its tag.
pub(crate) fn answer(found: &Found, task: Task, intervened: Option<IntervenedView>) -> Response {
    let mut response = Json(TaskAnswer { task, intervened }).into_response();
    if let Ok(tag) = HeaderValue::from_str(&task_tag(&found.snapshot)) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    response
}

/// What is wanted beside the task.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Whether to add what holds the task up.
    #[serde(default)]
    include_dependencies: bool,
}

/// Shows a task with its steps
#[utoipa::path(get, path = "/tasks/{task_id}", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), Wanted),
    responses((status = 200, body = TaskAnswer, headers(("ETag" = String, description = "Names what is kept of the task, for `If-Match`.")))))]
pub(crate) async fn show(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    Query(wanted): Query<Wanted>,
) -> Result<Response, Problem> {
    let found = find(&app, &granted, id).await?;
    let mut task = Task::read(&found.snapshot, app.tasker()).await?;
    if wanted.include_dependencies {
        task = task.with_analysis(&found.snapshot, app.tasker()).await?;
    }
    Ok(answer(&found, task, None))
}
