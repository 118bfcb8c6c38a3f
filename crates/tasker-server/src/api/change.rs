//! Changing a task: what is said of it, its priority, and what becomes of it.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Response;
use serde::Deserialize;
use serde_json::Value;
use tasker::{Demand, Description, Intervened, Intervention, StoreError};
use tasker_types::{StepNo, TaskId};
use utoipa::ToSchema;

use super::forms;
use super::steps::Settings;
use super::tasks::{Found, Task, TaskAnswer, answer, find};
use super::views::{IntervenedView, task_tag};
use crate::app::App;
use crate::extract::{Body, OptionalBody, Path};
use crate::guard::Granted;
use crate::problem::Problem;

/// What is to be said of a task instead. What is left out stays.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "priority": 7, "tags": ["vip"], "annotations": { "ticket": 4711, "old": null } }))]
pub(crate) struct TaskChange {
    /// Why it was asked for.
    #[serde(default)]
    reason: Option<String>,
    /// Its labels; those that it had are gone.
    #[serde(default)]
    #[schema(value_type = Option<forms::Labels>)]
    tags: Option<Vec<String>>,
    /// Notes by name; null takes one away.
    #[serde(default)]
    #[schema(value_type = forms::Notes)]
    annotations: BTreeMap<String, Value>,
    /// Higher first; queued steps change their place.
    #[serde(default, deserialize_with = "forms::whole_or_null")]
    #[schema(minimum = -32768, maximum = 32767)]
    priority: Option<i16>,
    /// Why this is changed; kept in the history.
    #[serde(default)]
    because: Option<String>,
}

/// Why something is done.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({ "reason": "the bank is reachable again" }))]
pub(crate) struct Because {
    /// Kept in the history.
    #[serde(default)]
    pub(crate) reason: Option<String>,
}

/// Changes what is said of a task, and its priority
#[utoipa::path(patch, path = "/tasks/{task_id}", tag = "tasks", request_body = TaskChange,
    params(("task_id" = String, Path, format = Uuid, description = "The task."),
        ("If-Match" = Option<String>, Header, description = "The tag that the task must still have.")),
    responses((status = 200, body = TaskAnswer)))]
pub(crate) async fn update(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
    Body(change): Body<TaskChange>,
) -> Result<Response, Problem> {
    let mut description = Description::new();
    if let Some(reason) = change.reason {
        description = description.reason(reason);
    }
    if let Some(tags) = change.tags {
        description = description.tags(tags);
    }
    for (name, value) in change.annotations {
        description = match value {
            Value::Null => description.without(name),
            value => description.annotate(name, value),
        };
    }
    let demands = [
        (!description.is_empty()).then_some(Demand::Describe(description)),
        change.priority.map(Demand::SetPriority),
    ];
    let demands = demands.into_iter().flatten().collect();
    let intervention = Intervention::all(id, demands, granted.actor()).because(change.because);
    let found = find(&app, &granted, id).await?;
    carry_out(&app, &granted, &headers, (found, None), intervention).await?;
    shown(&app, &granted, id, None).await
}

/// Deletes a task, which cancels it and its unfinished steps; its history is kept
#[utoipa::path(delete, path = "/tasks/{task_id}", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task."),
        ("If-Match" = Option<String>, Header, description = "The tag that the task must still have.")),
    responses((status = 200, body = TaskAnswer)))]
pub(crate) async fn destroy(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    intervene(&app, &granted, id, &headers, Demand::CancelTask, None).await
}

/// Gives the failed steps of a task in error their attempts back, and goes on
#[utoipa::path(post, path = "/tasks/{task_id}/retry", tag = "tasks", request_body = Option<Because>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."),
        ("If-Match" = Option<String>, Header, description = "The tag that the task must still have.")),
    responses((status = 200, body = TaskAnswer)))]
pub(crate) async fn retry(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
    OptionalBody(because): OptionalBody<Because>,
) -> Result<Response, Problem> {
    intervene(&app, &granted, id, &headers, Demand::RetryTask, because.reason).await
}

/// Declares a task in error done, and cancels its unfinished steps
#[utoipa::path(post, path = "/tasks/{task_id}/resolve", tag = "tasks", request_body = Option<Because>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."),
        ("If-Match" = Option<String>, Header, description = "The tag that the task must still have.")),
    responses((status = 200, body = TaskAnswer)))]
pub(crate) async fn resolve(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
    OptionalBody(because): OptionalBody<Because>,
) -> Result<Response, Problem> {
    intervene(&app, &granted, id, &headers, Demand::ResolveTask, because.reason).await
}

/// Cancels a task and its unfinished steps
#[utoipa::path(post, path = "/tasks/{task_id}/cancel", tag = "tasks", request_body = Option<Because>,
    params(("task_id" = String, Path, format = Uuid, description = "The task."),
        ("If-Match" = Option<String>, Header, description = "The tag that the task must still have.")),
    responses((status = 200, body = TaskAnswer)))]
pub(crate) async fn cancel(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    headers: HeaderMap,
    OptionalBody(because): OptionalBody<Because>,
) -> Result<Response, Problem> {
    intervene(&app, &granted, id, &headers, Demand::CancelTask, because.reason).await
}

async fn intervene(
    app: &App,
    granted: &Granted,
    id: TaskId,
    headers: &HeaderMap,
    demand: Demand,
    reason: Option<String>,
) -> Result<Response, Problem> {
    let intervention = Intervention::new(id, demand, granted.actor()).because(reason);
    let found = find(app, granted, id).await?;
    let done = carry_out(app, granted, headers, (found, None), intervention).await?;
    shown(app, granted, id, Some(&done)).await
}

/// Carries out an intervention on a task that was found, or on a step of it, if it is what `If-Match` names, where it
/// names any.
///
/// What is compared here can change until the store begins, so the store is told up to where it was looked at. Something
/// that happened to the task meanwhile, such as to another step, need not have changed what was named: then it is looked
/// at again.
pub(super) async fn carry_out(
    app: &App,
    granted: &Granted,
    headers: &HeaderMap,
    (mut found, step): (Found, Option<StepNo>),
    intervention: Intervention,
) -> Result<Intervened, Problem> {
    loop {
        let mut intervention = intervention.clone();
        if headers.contains_key(header::IF_MATCH) {
            let tag = match step {
                Some(step) => Settings::of(app, &found, step).await?.tag(&found, step),
                None => task_tag(&found.snapshot),
            };
            Found::matches(headers, &tag)?;
            intervention = intervention.expecting(found.snapshot.position);
        }
        match app.tasker().store().intervene(intervention).await {
            Err(StoreError::Changed { task }) => found = find(app, granted, task).await?,
            done => return done.map_err(Problem::from),
        }
    }
}

async fn shown(
    app: &App,
    granted: &Granted,
    id: TaskId,
    done: Option<&Intervened>,
) -> Result<Response, Problem> {
    let found = find(app, granted, id).await?;
    let task = Task::read(&found.snapshot, app.tasker()).await?;
    let intervened = done.map(|done| IntervenedView::new(done, &found.snapshot));
    Ok(answer(&found, task, intervened))
}
