//! Lists of tasks.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use tasker::{StoreError, TaskFilter, TaskSummary, Tasker};
use tasker_types::{Namespace, TaskId, TaskState, TemplateName, Version};
use utoipa::{IntoParams, ToSchema};

use super::tasks::Task;
use super::views;
use crate::access::{Reach, TaskScope};
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
    #[param(value_type = Option<String>)]
    namespace: Option<Namespace>,
    /// Only tasks of handlers of this name.
    #[param(value_type = Option<String>)]
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
    let filter = wanted.filter()?;
    let limit = filter.limit;
    let found = reached(app.tasker(), granted.reach(), filter).await?;
    let last = found.last().filter(|_| found.len() == limit as usize);
    let next_cursor = last.map(|task| task.task_id.to_string());
    let mut tasks = Vec::with_capacity(found.len());
    for summary in &found {
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
    fn filter(self) -> Result<TaskFilter, Problem> {
        let limit = self.limit.unwrap_or(PAGE);
        if !(1..=LONGEST).contains(&limit) {
            return Err(Problem::new(
                Code::InvalidQuery,
                format!("`limit` is {limit}, but it must be between 1 and {LONGEST}"),
            ));
        }
        let cursor = |text: String| {
            text.parse::<TaskId>()
                .map_err(|_| Problem::new(Code::InvalidQuery, "`cursor` is not the `next_cursor` of a page"))
        };
        Ok(TaskFilter {
            states: self.state,
            namespace: self.namespace,
            name: self.name,
            version: self.version,
            initiator: self.initiator,
            source_system: self.source_system,
            tags: self.tag,
            annotations: self.annotation.into_iter().map(|name| (name, None)).collect(),
            after: self.cursor.map(cursor).transpose()?,
            limit,
            ..TaskFilter::default()
        })
    }
}

/// Lists the tasks that a filter leaves and a permission reaches.
pub(crate) async fn reached(
    tasker: &Tasker,
    reach: &Reach,
    filter: TaskFilter,
) -> Result<Vec<TaskSummary>, StoreError> {
    let scopes = match reach {
        Reach::Everything => return tasker.list(&filter).await,
        Reach::Within(scopes) => scopes,
    };
    // The newest of each scope, and of these the newest.
    let mut found = Vec::new();
    for filter in scopes.iter().filter_map(|scope| within(&filter, scope)) {
        found.extend(tasker.list(&filter).await?);
    }
    found.sort_unstable_by_key(|task| std::cmp::Reverse(task.task_id));
    found.dedup_by_key(|task| task.task_id);
    found.truncate(filter.limit as usize);
    Ok(found)
}

/// Returns a filter that leaves what lies in a scope; `None` where that is nothing.
fn within(filter: &TaskFilter, scope: &TaskScope) -> Option<TaskFilter> {
    let mut filter = filter.clone();
    if let Some(namespace) = &scope.namespace {
        if filter
            .namespace
            .as_ref()
            .is_some_and(|wanted| wanted != namespace)
        {
            return None;
        }
        filter.namespace = Some(namespace.clone());
    }
    if let Some(owner) = &scope.owner {
        if filter.initiator.as_ref().is_some_and(|wanted| wanted != owner) {
            return None;
        }
        filter.initiator = Some(owner.clone());
    }
    Some(filter)
}

/// Returns all of a task with what holds it up; `None` if it has gone meanwhile.
async fn in_full(app: &App, id: TaskId) -> Result<Option<Task>, Problem> {
    let Some(snapshot) = app.tasker().store().snapshot(id).await? else {
        return Ok(None);
    };
    let task = Task::read(&snapshot, app.tasker()).await?;
    task.with_analysis(&snapshot, app.tasker()).map(Some)
}
