//! Lists of tasks.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tasker::{TaskFilter, TaskMark, TaskQuery, TaskScope, TaskSummary};
use tasker_types::{Namespace, TaskId, TaskState, TemplateName, Version};
use utoipa::{IntoParams, ToSchema};

use super::forms;
use super::tasks::Task;
use super::views;
use crate::access::Reach;
use crate::app::App;
use crate::extract::Query;
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// How many tasks a page has unless the request says otherwise.
const PAGE: u32 = 20;
/// How many it may have.
const LONGEST: u32 = 100;

/// Which tasks are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only tasks in one of these states; may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<views::State>)]
    state: Vec<TaskState>,
    /// Only tasks of this namespace.
    #[param(value_type = Option<forms::Name>)]
    namespace: Option<Namespace>,
    /// Only tasks of handlers of this name.
    #[param(value_type = Option<forms::Name>)]
    name: Option<TemplateName>,
    /// Only tasks of this version.
    #[param(value_type = Option<String>, example = "2.1.0")]
    version: Option<Version>,
    /// Only tasks that this one asked for.
    initiator: Option<String>,
    /// Only tasks whose request came from this system.
    source_system: Option<String>,
    /// Only tasks that have all these labels; may be repeated.
    #[serde(default)]
    tag: Vec<String>,
    /// Only tasks that have all these notes; may be repeated.
    #[serde(default)]
    annotation: Vec<String>,
    /// At most so many.
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the last page ended: its `next_cursor`.
    cursor: Option<String>,
    /// Whether to show the tasks in full, with what holds them up.
    #[serde(default)]
    include_dependencies: bool,
}

/// Some tasks, the newest first.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tasks {
    tasks: Vec<Listed>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
}

/// A task of a list: a summary, or all of it if dependencies were asked for.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Listed {
    /// A summary.
    Summary(Summary),
    /// All of it.
    Full(Box<Task>),
}

/// A task in a list.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Summary {
    /// The task.
    #[schema(value_type = String, format = Uuid)]
    task_id: TaskId,
    /// `namespace.name@version`.
    #[schema(examples("payments.process_refund@2.1.0"))]
    full_name: String,
    #[schema(value_type = views::State)]
    state: &'static str,
    /// Why it is in error.
    failure: Option<&'static str>,
    /// Higher first.
    priority: i16,
    /// Labels.
    tags: Vec<String>,
    /// How many of its steps are done.
    completed_steps: u64,
    /// How many steps it has.
    total_steps: u64,
    /// When it was created.
    #[schema(value_type = String, format = DateTime)]
    created_at: tasker_types::Timestamp,
    /// When its first step was claimed.
    #[schema(value_type = Option<String>, format = DateTime)]
    started_at: Option<tasker_types::Timestamp>,
    /// When it ended.
    #[schema(value_type = Option<String>, format = DateTime)]
    finished_at: Option<tasker_types::Timestamp>,
}

impl From<&TaskSummary> for Summary {
    fn from(task: &TaskSummary) -> Self {
        Self {
            task_id: task.task_id,
            full_name: task.name.clone(),
            state: task.state.as_str(),
            failure: task.failure.map(|failure| failure.as_str()),
            priority: task.priority,
            tags: task.tags.clone(),
            completed_steps: task.completed_steps,
            total_steps: task.total_steps,
            created_at: task.created_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
        }
    }
}

/// Lists tasks, the newest first
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(Wanted), responses((status = 200, body = Tasks)))]
pub(crate) async fn index(
    State(app): State<App>,
    granted: Granted,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Tasks>, Problem> {
    let full = wanted.include_dependencies;
    let mut query = wanted.query()?;
    query.filter.within = scopes(granted.reach());
    let page = app.tasker().list(query).await?;
    let next_cursor = page.next.map(|mark| format!("{}_{}", mark.value, mark.place));
    let mut tasks = Vec::with_capacity(page.tasks.len());
    for summary in &page.tasks {
        match full {
            false => tasks.push(Listed::Summary(summary.into())),
            true => tasks.extend(
                in_full(&app, summary.task_id)
                    .await?
                    .map(|task| Listed::Full(Box::new(task))),
            ),
        }
    }
    Ok(Json(Tasks { tasks, next_cursor }))
}

impl Wanted {
    fn query(self) -> Result<TaskQuery, Problem> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LONGEST).contains(&limit) {
            return Err(Problem::new(
                Code::InvalidQuery,
                format!("`limit` is {limit}, but it must be between 1 and {LONGEST}"),
            ));
        }
        let cursor = |text: String| {
            let parsed = text.split_once('_').and_then(|(value, place)| {
                let (value, place) = (value.parse().ok()?, place.parse().ok()?);
                Some(TaskMark { value, place })
            });
            parsed.ok_or_else(|| {
                Problem::new(Code::InvalidQuery, "`cursor` is not the `next_cursor` of a page")
            })
        };
        let after = self.cursor.map(cursor).transpose()?;
        let filter = TaskFilter {
            states: self.state,
            namespace: self.namespace,
            name: self.name,
            version: self.version,
            initiator: self.initiator,
            source_system: self.source_system,
            tags: self.tag,
            annotations: self.annotation.into_iter().map(|name| (name, None)).collect(),
            ..TaskFilter::default()
        };
        Ok(TaskQuery {
            after,
            ..TaskQuery::new(filter, limit)
        })
    }
}

/// Returns how far a permission reaches, as a filter says it.
pub(crate) fn scopes(reach: &Reach) -> Option<Vec<TaskScope>> {
    match reach {
        Reach::Everything => None,
        Reach::Within(scopes) => Some(scopes.clone()),
    }
}

/// Returns all of a task with what holds it up; `None` if it has gone meanwhile.
async fn in_full(app: &App, id: TaskId) -> Result<Option<Task>, Problem> {
    let Some(snapshot) = app.tasker().store().snapshot(id).await? else {
        return Ok(None);
    };
    let task = Task::read(&snapshot, app.tasker()).await?;
    task.with_analysis(&snapshot, app.tasker()).map(Some)
}
