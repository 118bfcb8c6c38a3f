//! The steps of a task.

use std::time::Duration;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tasker::{Demand, HandlerProblem, Intervened, Intervention, SecretNames, Transition};
use tasker_types::{StepNo, TaskId};
use utoipa::ToSchema;

use super::change::{Because, carry_out};
use super::forms;
use super::tasks::{Found, Step, find};

use super::views::{IntervenedView, TransitionView, entity_tag, step_of};
use crate::app::App;
use crate::extract::{Body, OptionalBody, Path};
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// The longest that an attempt may be permitted to take: a hundred years.
const LONGEST_TIMEOUT: Duration = Duration::from_secs(3_155_760_000);

/// The steps of a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Steps {
    /// In the order of the handler.
    workflow_steps: Vec<Step>,
}

/// A step in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepAnswer {
    workflow_step: StepDetails,
    /// What was done, if something was.
    #[serde(skip_serializing_if = "Option::is_none")]
    intervened: Option<IntervenedView>,
}

/// A step, with its settings as they are for this task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StepDetails {
    #[serde(flatten)]
    step: Step,
    /// What runs it.
    handler: String,
    /// The configuration of what runs it, without secrets.
    config: Value,
    /// How long an attempt may take.
    timeout_seconds: Option<f64>,
    /// Whether a failed attempt may be followed by another.
    retryable: bool,
    /// Whether a request could bypass it.
    skippable: bool,
    /// The outside system that it touches.
    dependent_system: Option<String>,
}

/// What happened to a step.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Transitions {
    /// In order.
    transitions: Vec<TransitionView>,
}

/// Other settings of a step, for this task alone. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "retry_limit": 5, "timeout_seconds": 60, "config": { "url": "https://other.example" } }))]
pub(crate) struct StepChange {
    /// How many attempts there may be in all. If this makes work possible, the task goes on.
    #[serde(default, deserialize_with = "forms::whole_or_null")]
    #[schema(minimum = 1, maximum = 4294967295i64)]
    retry_limit: Option<u32>,
    /// How long an attempt may take: more than 0, and at most a hundred years.
    #[serde(default)]
    #[schema(exclusive_minimum = 0, maximum = 3155760000i64)]
    timeout_seconds: Option<f64>,
    /// Keys of the configuration that are to be otherwise; the others are those of the handler.
    #[serde(default)]
    #[schema(value_type = Option<Object>)]
    config: Option<Map<String, Value>>,
    /// Why; kept in the history.
    #[serde(default)]
    reason: Option<String>,
}

/// How a step is resolved.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "result": { "paid": true }, "reason": "paid by hand" }))]
pub(crate) struct Resolution {
    /// The result that the steps after it see; null without.
    #[serde(default)]
    #[schema(value_type = Option<Value>)]
    result: Option<Value>,
    /// Why; kept in the history.
    #[serde(default)]
    reason: Option<String>,
}

/// Lists the steps of a task
#[utoipa::path(get, path = "/tasks/{task_id}/workflow_steps", tag = "workflow_steps",
    params(("task_id" = String, Path, format = Uuid, description = "The task.")), responses((status = 200, body = Steps)))]
pub(crate) async fn index(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
) -> Result<Json<Steps>, Problem> {
    let found = find(&app, &granted, id).await?;
    let report = app.tasker().report_of(&found.snapshot).await?;
    Ok(Json(Steps {
        workflow_steps: report
            .steps
            .iter()
            .map(|step| Step::new(step, app.tasker()))
            .collect(),
    }))
}

/// Shows a step, with its settings as they are for this task
#[utoipa::path(get, path = "/tasks/{task_id}/workflow_steps/{name}", tag = "workflow_steps",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step.")),
    responses((status = 200, body = StepAnswer, headers(("ETag" = String, description = "Names what is kept of the step, for `If-Match`.")))))]
pub(crate) async fn show(
    State(app): State<App>,
    granted: Granted,
    Path((id, name)): Path<(TaskId, String)>,
) -> Result<Response, Problem> {
    shown(&app, &granted, id, &name, None).await
}

/// Shows what happened to a step
#[utoipa::path(get, path = "/tasks/{task_id}/workflow_steps/{name}/transitions", tag = "workflow_steps",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step.")),
    responses((status = 200, body = Transitions)))]
pub(crate) async fn transitions(
    State(app): State<App>,
    granted: Granted,
    Path((id, name)): Path<(TaskId, String)>,
) -> Result<Json<Transitions>, Problem> {
    let found = find(&app, &granted, id).await?;
    let step = found.step(&name)?;
    let history = app.tasker().history(id).await?;
    let secrets = SecretNames::of(app.tasker().config().telemetry());
    let of_step = history
        .iter()
        .filter(|entry| step_of(&entry.change) == Some(step));
    Ok(Json(Transitions {
        transitions: of_step
            .map(|entry| TransitionView::new(entry, &found.snapshot, |value| secrets.masked(&value)))
            .collect(),
    }))
}

/// Changes the settings of a step, for this task alone; never while it is running
#[utoipa::path(patch, path = "/tasks/{task_id}/workflow_steps/{name}", tag = "workflow_steps", request_body = StepChange,
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step."),
        ("If-Match" = Option<String>, Header, description = "The tag that the step must still have.")),
    responses((status = 200, body = StepAnswer)))]
pub(crate) async fn update(
    State(app): State<App>,
    granted: Granted,
    Path((id, name)): Path<(TaskId, String)>,
    headers: HeaderMap,
    Body(change): Body<StepChange>,
) -> Result<Response, Problem> {
    let found = find(&app, &granted, id).await?;
    let step = found.step(&name)?;
    let demands = change.demands(&app, &found, step)?;
    let intervention = Intervention::all(id, demands, granted.actor()).because(change.reason);
    carried_out(&app, &granted, &headers, (found, step, &name), intervention).await?;
    shown(&app, &granted, id, &name, None).await
}

/// Deletes a step, which cancels it; its history is kept
#[utoipa::path(delete, path = "/tasks/{task_id}/workflow_steps/{name}", tag = "workflow_steps",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step."),
        ("If-Match" = Option<String>, Header, description = "The tag that the step must still have.")),
    responses((status = 200, body = StepAnswer)))]
pub(crate) async fn destroy(
    State(app): State<App>,
    granted: Granted,
    Path(place): Path<(TaskId, String)>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    intervene(&app, &granted, &place, &headers, Demand::CancelStep, None).await
}

/// Gives a failed or cancelled step its attempts back; the task goes on
#[utoipa::path(post, path = "/tasks/{task_id}/workflow_steps/{name}/retry", tag = "workflow_steps", request_body = Option<Because>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step."),
        ("If-Match" = Option<String>, Header, description = "The tag that the step must still have.")),
    responses((status = 200, body = StepAnswer)))]
pub(crate) async fn retry(
    State(app): State<App>,
    granted: Granted,
    Path(place): Path<(TaskId, String)>,
    headers: HeaderMap,
    OptionalBody(because): OptionalBody<Because>,
) -> Result<Response, Problem> {
    intervene(
        &app,
        &granted,
        &place,
        &headers,
        Demand::ResetStep,
        because.reason,
    )
    .await
}

/// Declares a step done, with the result that the steps after it see
#[utoipa::path(post, path = "/tasks/{task_id}/workflow_steps/{name}/resolve", tag = "workflow_steps", request_body = Option<Resolution>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step."),
        ("If-Match" = Option<String>, Header, description = "The tag that the step must still have.")),
    responses((status = 200, body = StepAnswer)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    granted: Granted,
    Path(place): Path<(TaskId, String)>,
    headers: HeaderMap,
    OptionalBody(resolution): OptionalBody<Resolution>,
) -> Result<Response, Problem> {
    let result = resolution.result.as_ref().map(tasker::Json::from);
    let limit = app.tasker().config().limits().result;
    if let Some(bytes) = result
        .as_ref()
        .map(|result| result.as_str().len() as u64)
        .filter(|bytes| *bytes > limit)
    {
        let detail = format!("the result has {bytes} bytes, but `limits.result` is {limit}");
        return Err(Problem::new(Code::InvalidRequest, detail));
    }
    let demand = |step| Demand::ResolveStep(step, result);
    intervene(&app, &granted, &place, &headers, demand, resolution.reason).await
}

/// Cancels a step
#[utoipa::path(post, path = "/tasks/{task_id}/workflow_steps/{name}/cancel", tag = "workflow_steps", request_body = Option<Because>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."), ("name" = inline(forms::NameText), Path, description = "The step."),
        ("If-Match" = Option<String>, Header, description = "The tag that the step must still have.")),
    responses((status = 200, body = StepAnswer)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    granted: Granted,
    Path(place): Path<(TaskId, String)>,
    headers: HeaderMap,
    OptionalBody(because): OptionalBody<Because>,
) -> Result<Response, Problem> {
    intervene(
        &app,
        &granted,
        &place,
        &headers,
        Demand::CancelStep,
        because.reason,
    )
    .await
}

impl StepChange {
    /// Checks everything, so that nothing is changed if one of several settings cannot be.
    fn demands(&self, app: &App, found: &Found, step: StepNo) -> Result<Vec<Demand>, Problem> {
        let refused = |detail: String| Err(Problem::new(Code::InvalidRequest, detail));
        let mut demands = Vec::new();
        if let Some(config) = &self.config {
            let template = &found.snapshot.task.template;
            let mut merged = template
                .step(step)
                .config()
                .as_object()
                .cloned()
                .unwrap_or_default();
            merged.extend(config.clone());
            let merged = Value::Object(merged);
            // A handler that is elsewhere checks its configuration there.
            if let Err(HandlerProblem::Config { faults }) =
                template.check_config(step, &merged, app.tasker().handlers())
            {
                let problem = Problem::new(Code::InvalidRequest, format!("`config`: {}", faults.join("; ")));
                return Err(problem.with("faults", faults));
            }
            demands.push(Demand::SetConfig(step, tasker::Json::from(&merged)));
        }
        if let Some(seconds) = self.timeout_seconds {
            match Duration::try_from_secs_f64(seconds) {
                Ok(timeout) if !timeout.is_zero() && timeout <= LONGEST_TIMEOUT => {
                    demands.push(Demand::SetTimeout(step, Some(timeout)));
                }
                _ => {
                    return refused(format!(
                        "`timeout_seconds` is {seconds}, but it must be more than 0 and at most {}",
                        LONGEST_TIMEOUT.as_secs()
                    ));
                }
            }
        }
        if let Some(limit) = self.retry_limit {
            if limit == 0 {
                return refused("`retry_limit` is 0, but it must be at least 1".to_owned());
            }
            // Last, since it may start the step.
            demands.push(Demand::SetRetryLimit(step, limit));
        }
        Ok(demands)
    }
}

/// The settings of a step that operators may have changed.
#[derive(Debug, Serialize)]
pub(super) struct Settings {
    config: Value,
    timeout_seconds: Option<f64>,
}

impl Settings {
    /// The store tells settings to workers only; what changed is in the history.
    pub(super) async fn of(app: &App, found: &Found, step: StepNo) -> Result<Self, Problem> {
        let template = found.snapshot.task.template.step(step);
        let mut settings = Self {
            config: template.config().clone(),
            timeout_seconds: template.timeout().map(|timeout| timeout.as_secs_f64()),
        };
        let history = app.tasker().history(found.snapshot.task.id).await?;
        for entry in history.iter().filter(|entry| is_setting_of(entry, step)) {
            let metadata = entry
                .metadata
                .as_ref()
                .map(tasker::Json::to_value)
                .unwrap_or_default();
            if let Some(config) = metadata.get("config") {
                settings.config = config.clone();
            }
            if let Some(timeout) = metadata.get("timeout_seconds") {
                settings.timeout_seconds = timeout.as_f64();
            }
        }
        Ok(settings)
    }

    pub(super) fn tag(&self, found: &Found, step: StepNo) -> String {
        let record = found.snapshot.steps.iter().find(|record| record.step == step);
        let kept = record.map(|record| {
            (
                record.state,
                record.attempts,
                record.run,
                record.retry_limit,
                record.next_retry_at,
                record.permanent,
            )
        });
        entity_tag(&(found.snapshot.task.id, step, kept, self))
    }
}

fn is_setting_of(entry: &Transition, step: StepNo) -> bool {
    matches!(&entry.change, tasker::Change::Setting { step: Some(changed) } if *changed == step)
}

async fn shown(
    app: &App,
    granted: &Granted,
    id: TaskId,
    name: &str,
    done: Option<&Intervened>,
) -> Result<Response, Problem> {
    let found = find(app, granted, id).await?;
    let step = found.step(name)?;
    let settings = Settings::of(app, &found, step).await?;
    let tag = settings.tag(&found, step);
    let template = found.snapshot.task.template.step(step);
    let report = app.tasker().report_of(&found.snapshot).await?;
    let secrets = SecretNames::of(app.tasker().config().telemetry());
    let workflow_step = StepDetails {
        step: Step::new(&report.steps[step.0 as usize], app.tasker()),
        handler: template.handler().to_string(),
        config: secrets.masked(&settings.config),
        timeout_seconds: settings.timeout_seconds,
        retryable: template.retryable(),
        skippable: template.skippable(),
        dependent_system: template.dependent_system().map(ToString::to_string),
    };
    let intervened = done.map(|done| IntervenedView::new(done, &found.snapshot));
    let answer = StepAnswer {
        workflow_step,
        intervened,
    };
    let mut response = Json(answer).into_response();
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(header::ETAG, tag);
    }
    Ok(response)
}

async fn intervene(
    app: &App,
    granted: &Granted,
    (id, name): &(TaskId, String),
    headers: &HeaderMap,
    demand: impl FnOnce(StepNo) -> Demand,
    reason: Option<String>,
) -> Result<Response, Problem> {
    let found = find(app, granted, *id).await?;
    let step = found.step(name)?;
    let intervention = Intervention::new(*id, demand(step), granted.actor()).because(reason);
    let done = carried_out(app, granted, headers, (found, step, name), intervention).await?;
    shown(app, granted, *id, name, Some(&done)).await
}

/// Carries out an intervention; a refusal names the step, which the store knows by its number.
async fn carried_out(
    app: &App,
    granted: &Granted,
    headers: &HeaderMap,
    (found, step, name): (Found, StepNo, &str),
    intervention: Intervention,
) -> Result<Intervened, Problem> {
    let done = carry_out(app, granted, headers, (found, Some(step)), intervention).await;
    done.map_err(|problem| problem.with("step", name))
}
