//! Looking at a task: its graph, a picture of it, and why it is not done.

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_graph::NodeLabel;
use tasker_types::TaskId;
use utoipa::{IntoParams, ToSchema};

use super::tasks::{find, insight};
use super::views::{self, colour};
use crate::app::App;
use crate::extract::{Path, Query};
use crate::guard::Granted;
use crate::problem::Problem;

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

/// Explains why a task is not done: of each step the chain of causes, and when it clears
#[utoipa::path(get, path = "/tasks/{task_id}/explain", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task.")), responses((status = 200, body = Explained)))]
pub(crate) async fn explain(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
) -> Result<Json<Explained>, Problem> {
    let insight = insight(&app, &granted, id).await?;
    let explanation = insight.explain();
    Ok(Json(Explained {
        task_id: id,
        state: insight.snapshot().task.state.as_str(),
        text: explanation.to_string(),
        explanation: serde_json::to_value(&explanation).map_err(|error| Problem::internal(&error))?,
    }))
}

/// What happened to a task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct History {
    /// In order.
    transitions: Vec<views::TransitionView>,
}

/// Shows what happened to a task and its steps
#[utoipa::path(get, path = "/tasks/{task_id}/transitions", tag = "tasks",
    params(("task_id" = String, Path, format = Uuid, description = "The task.")), responses((status = 200, body = History)))]
pub(crate) async fn transitions(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
) -> Result<Json<History>, Problem> {
    let found = find(&app, &granted, id).await?;
    let secrets = tasker::SecretNames::of(app.tasker().config().telemetry());
    let history = app.tasker().history(id).await?;
    let view = |entry| views::TransitionView::new(entry, &found.snapshot, |value| secrets.masked(&value));
    Ok(Json(History {
        transitions: history.iter().map(view).collect(),
    }))
}
