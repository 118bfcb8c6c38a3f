//! Looking at a task: its graph, a picture of it, and why it is not done.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_graph::NodeLabel;
use tasker_types::{Position, StepName, TaskId};
use utoipa::{IntoParams, ToSchema};

use super::forms::NameText;
use super::tasks::{find, insight, step};
use super::views::{self, colour};
use crate::app::App;
use crate::extract::{Path, Query};
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// The graph of a task, with the states of its steps.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TaskGraph {
    #[schema(value_type = String, format = Uuid)]
    task_id: TaskId,
    /// The steps, in the order of the handler.
    nodes: Vec<Node>,
    /// Each dependency.
    edges: Vec<GraphEdge>,
}

/// A step in a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Node {
    /// The step.
    name: String,
    #[schema(value_type = views::State)]
    state: &'static str,
    /// How far it is from a root at most.
    level: u32,
}

/// A dependency in a graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct GraphEdge {
    /// The step that comes first.
    from: String,
    /// The step that waits for it.
    to: String,
}

/// Shows the graph of a task
#[utoipa::path(get, path = "/tasks/{task_id}/graph", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task.")), responses((status = 200, body = TaskGraph)))]
pub(crate) async fn graph(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
) -> Result<Json<TaskGraph>, Problem> {
    let snapshot = find(&app, &granted, id).await?.snapshot;
    let dag = snapshot.task.template.dag();
    let nodes = snapshot.steps.iter().zip(dag.levels()).enumerate();
    Ok(Json(TaskGraph {
        task_id: id,
        nodes: nodes
            .map(|(number, (step, level))| Node {
                name: dag.name(number).to_owned(),
                state: step.state.as_str(),
                level: *level,
            })
            .collect(),
        edges: dag
            .edges()
            .map(|(from, to)| GraphEdge {
                from: dag.name(from).to_owned(),
                to: dag.name(to).to_owned(),
            })
            .collect(),
    }))
}

/// How a drawing is written.
#[derive(Clone, Copy, Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Format {
    /// As a Mermaid flow chart.
    #[default]
    Mermaid,
    /// As a Graphviz digraph.
    Dot,
}

/// Which drawing is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Drawing {
    /// How it is written.
    #[serde(default)]
    #[param(inline)]
    format: Format,
}

/// Draws a task, with the states of its steps
#[utoipa::path(get, path = "/tasks/{task_id}/diagram", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), Drawing),
    responses((status = 200, body = String, content_type = "text/plain", description = "The drawing, as text.")))]
pub(crate) async fn diagram(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    Query(drawing): Query<Drawing>,
) -> Result<Response, Problem> {
    let snapshot = find(&app, &granted, id).await?.snapshot;
    let label = |step: usize| {
        let state = snapshot.steps[step].state;
        NodeLabel {
            note: Some(state.to_string()),
            class: Some(state.as_str()),
            colour: Some(colour(state)),
        }
    };
    let dag = snapshot.task.template.dag();
    let text = match drawing.format {
        Format::Mermaid => dag.to_mermaid(&label),
        Format::Dot => dag.to_graphviz(&label),
    };
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    Ok(([(header::CONTENT_TYPE, plain)], text).into_response())
}

/// Why a task is not done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Explained {
    #[schema(value_type = String, format = Uuid)]
    task_id: TaskId,
    #[schema(value_type = views::State)]
    state: &'static str,
    /// For people.
    text: String,
    /// For programs: of each step that is not done the chain of causes, what can be done, and when it clears.
    #[schema(value_type = Object)]
    explanation: Value,
}

/// Which step is to be explained.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Explaining {
    /// The step; all that are not done without it.
    #[param(inline, value_type = Option<NameText>)]
    step: Option<StepName>,
}

/// Explains why a task is not done: of each step the chain of causes, and when it clears
#[utoipa::path(get, path = "/tasks/{task_id}/explain", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), Explaining),
    responses((status = 200, body = Explained)))]
pub(crate) async fn explain(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    Query(wanted): Query<Explaining>,
) -> Result<Json<Explained>, Problem> {
    let insight = insight(&app, &granted, id).await?;
    let (text, explanation) = match &wanted.step {
        Some(name) => told(&insight.explain_step(step(insight.snapshot(), name.as_str())?)),
        None => told(&insight.explain()),
    }?;
    Ok(Json(Explained {
        task_id: id,
        state: insight.snapshot().task.state.as_str(),
        text,
        explanation,
    }))
}

/// Returns an explanation for people and for programs.
fn told<T: Serialize + fmt::Display>(explanation: &T) -> Result<(String, Value), Problem> {
    let value = serde_json::to_value(explanation).map_err(|error| Problem::internal(&error))?;
    Ok((explanation.to_string(), value))
}

/// What happened to a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// In order.
    transitions: Vec<views::TransitionView>,
}

/// Which part of a history is wanted.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Part {
    /// Only entries after this position.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// At most so many entries, the earliest; all without it.
    #[param(minimum = 1, maximum = 1000)]
    limit: Option<u32>,
}

/// How many entries of a history a page may have.
const ENTRIES: u32 = 1_000;

/// Shows what happened to a task and its steps
#[utoipa::path(get, path = "/tasks/{task_id}/transitions", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), Part), responses((status = 200, body = History)))]
pub(crate) async fn transitions(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    Query(part): Query<Part>,
) -> Result<Json<History>, Problem> {
    if let Some(limit) = part.limit.filter(|limit| !(1..=ENTRIES).contains(limit)) {
        return Err(Problem::new(
            Code::InvalidQuery,
            format!("`limit` is {limit}, but it must be between 1 and {ENTRIES}"),
        ));
    }
    let after = part.after.unwrap_or(0);
    let after = i64::try_from(after).map_err(|_| {
        let detail = format!("`after` is {after}, but a position is at most {}", i64::MAX);
        Problem::new(Code::InvalidQuery, detail)
    })?;
    let found = find(&app, &granted, id).await?;
    let secrets = tasker::SecretNames::of(app.tasker().config().telemetry());
    let after = Position(after);
    let history = match part.limit {
        Some(limit) => app.tasker().store().history(id, after, limit).await?,
        None => app.tasker().history_after(id, after).await?,
    };
    let view = |entry| views::TransitionView::new(entry, &found.snapshot, |value| secrets.masked(&value));
    Ok(Json(History {
        transitions: history.iter().map(view).collect(),
    }))
}

/// A task as the engine has it.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Record {
    /// The task and its steps at one moment, with the template as it was when the task was created, without secrets and
    /// leases. Its form is that of this version of the service.
    #[schema(value_type = Object)]
    snapshot: Value,
    /// The results of its steps by their names, without secrets.
    #[schema(value_type = BTreeMap<String, Value>)]
    results: BTreeMap<String, Value>,
}

/// Shows a task as the engine has it, for programs such as `tasker --server`
#[utoipa::path(get, path = "/tasks/{task_id}/record", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task.")), responses((status = 200, body = Record)))]
pub(crate) async fn record(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
) -> Result<Json<Record>, Problem> {
    let mut snapshot = find(&app, &granted, id).await?.snapshot;
    let results = app.tasker().store().results(id).await?;
    let telemetry = app.tasker().config().telemetry();
    let masked = |value: Value| tasker::masked(value, telemetry);
    let task = &mut snapshot.task;
    task.context = tasker::Json::from(&masked(task.context.to_value()));
    for (name, value) in &mut task.origin.annotations {
        *value = tasker::masked_field(name, value.take(), telemetry);
    }
    for step in &mut snapshot.steps {
        step.lease = None;
    }
    let template = Arc::clone(&task.template);
    let results = results.into_iter().map(|(step, result)| {
        let name = template.step(step).name().to_string();
        (name, masked(result.to_value()))
    });
    let results = results.collect();
    let mut snapshot = serde_json::to_value(&snapshot).map_err(|error| Problem::internal(&error))?;
    let secrets = tasker::SecretNames::of(telemetry);
    let steps = snapshot
        .pointer_mut("/task/template/steps")
        .and_then(Value::as_array_mut);
    for config in steps
        .into_iter()
        .flatten()
        .filter_map(|step| step.get_mut("config"))
    {
        *config = secrets.masked(config);
    }
    Ok(Json(Record { snapshot, results }))
}
