//! Lists of tasks.

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Deserializer, Serialize, de};
use tasker::{SortOrder, TaskFilter, TaskQuery, TaskScope, TaskSort, TaskSummary};
use tasker_types::{Namespace, TaskId, TaskState, TemplateName, Timestamp, Version};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{IntoParams, PartialSchema, ToSchema};

use super::filter::{Annotation, Beginning, Context, Label, Party, Selection};
use super::forms::{AnnotationText, BeginningText, ContextText, LabelText, NameText, PartyText, VersionText};
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

/// Which tasks are wanted, in what order, and from where on. What may be repeated must all hold, but for states.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields, default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// Only tasks in one of these states; may be repeated.
    #[param(value_type = Vec<views::State>)]
    state: Vec<TaskState>,
    /// Only tasks whose ids begin with this.
    #[param(inline, value_type = Option<BeginningText>)]
    id_prefix: Option<Beginning>,
    /// Only tasks of this namespace.
    #[param(inline, value_type = Option<NameText>)]
    namespace: Option<Namespace>,
    /// Only tasks of handlers of this name.
    #[param(inline, value_type = Option<NameText>)]
    name: Option<TemplateName>,
    /// Only tasks of this version.
    #[param(inline, value_type = Option<VersionText>)]
    version: Option<Version>,
    /// Only tasks that this one asked for.
    #[param(inline, value_type = Option<PartyText>)]
    initiator: Option<Party>,
    /// Only tasks whose request came from this system.
    #[param(inline, value_type = Option<PartyText>)]
    source_system: Option<Party>,
    /// Only tasks that have all these labels; may be repeated.
    #[param(inline, value_type = Vec<LabelText>)]
    tag: Vec<Label>,
    /// Only tasks that have all these notes; may be repeated.
    #[param(inline, value_type = Vec<AnnotationText>)]
    annotation: Vec<Annotation>,
    /// Only tasks whose contexts have all of this; may be repeated.
    #[param(inline, value_type = Vec<ContextText>)]
    context: Vec<Context>,
    /// Only tasks that were created at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    created_after: Option<Timestamp>,
    /// Only tasks that were created before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    created_before: Option<Timestamp>,
    /// Only tasks that last changed at this time or later.
    #[param(value_type = Option<String>, format = DateTime)]
    updated_after: Option<Timestamp>,
    /// Only tasks that last changed before this time.
    #[param(value_type = Option<String>, format = DateTime)]
    updated_before: Option<Timestamp>,
    /// By what they are sorted; by default by their creation.
    #[param(inline, value_type = Option<Sort>)]
    sort: Option<TaskSort>,
    /// Which end comes first; by default the newest, or the highest priority.
    #[param(inline, value_type = Option<Order>)]
    order: Option<SortOrder>,
    /// At most so many; 20 by default.
    #[serde(deserialize_with = "number")]
    #[param(minimum = 1, maximum = 100)]
    limit: Option<u32>,
    /// Where the last page ended: its `next_cursor`. Everything else but `limit` must be as it was for that page.
    #[param(pattern = "^[A-Za-z0-9_-]{66}$", min_length = 66, max_length = 66)]
    cursor: Option<String>,
    /// Whether to count all tasks that are left.
    total: bool,
    /// Whether to show the tasks in full, with what holds them up.
    include_dependencies: bool,
}

/// Reads a number, which an empty text is not.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    let text = String::deserialize(deserializer)?;
    let digits = Some(&text).filter(|text| text.bytes().all(|byte| byte.is_ascii_digit()));
    let number = digits.and_then(|text| text.parse().ok());
    number
        .map(Some)
        .ok_or_else(|| de::Error::custom(format!("`{text}` is not a number such as 20")))
}

/// By what a list is sorted.
pub(crate) struct Sort;

impl PartialSchema for Sort {
    fn schema() -> RefOr<Schema> {
        let names = TaskSort::ALL.map(TaskSort::as_str);
        views::one_of(&names, "By what a list is sorted.")
    }
}

impl ToSchema for Sort {}

/// Which end of a list comes first.
pub(crate) struct Order;

impl PartialSchema for Order {
    fn schema() -> RefOr<Schema> {
        let names = SortOrder::ALL.map(SortOrder::as_str);
        views::one_of(&names, "Which end of a list comes first.")
    }
}

impl ToSchema for Order {}

/// Some tasks, in the order that was asked for.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Tasks {
    /// There may be fewer than were asked for although more follow, when many were looked at that are not wanted.
    tasks: Vec<Listed>,
    /// Where to go on; null at the end.
    next_cursor: Option<String>,
    /// How many tasks there are in all; null unless that was asked for.
    total: Option<u64>,
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
    /// When its state, or what is said about it, last changed.
    #[schema(value_type = String, format = DateTime)]
    updated_at: tasker_types::Timestamp,
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
            updated_at: task.updated_at,
            started_at: task.started_at,
            finished_at: task.finished_at,
        }
    }
}

/// Lists tasks
///
/// Pages that follow one another by `next_cursor` have each task once whose place in the list does not change meanwhile.
#[utoipa::path(get, path = "/tasks", tag = "tasks", params(Wanted), responses((status = 200, body = Tasks)))]
pub(crate) async fn index(
    State(app): State<App>,
    granted: Granted,
    Query(wanted): Query<Wanted>,
) -> Result<Json<Tasks>, Problem> {
    let (full, cursor) = (wanted.include_dependencies, wanted.cursor.clone());
    let mut query = wanted.query()?;
    if let Some(cursor) = cursor {
        query.after = Some(app.cursors().read(app.tasker(), &query, &cursor).await?);
    }
    query.filter.within = scopes(granted.reach());
    let page = app.tasker().list(query.clone()).await?;
    let next_cursor = match page.next {
        Some(place) => Some(app.cursors().write(app.tasker(), &query, place).await?),
        None => None,
    };
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
    Ok(Json(Tasks {
        tasks,
        next_cursor,
        total: page.total,
    }))
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
        let selection = Selection {
            state: self.state,
            namespace: self.namespace,
            name: self.name,
            version: self.version,
            initiator: self.initiator,
            source_system: self.source_system,
            tags: self.tag,
            annotations: self.annotation,
            context: self.context,
            created_after: self.created_after,
            created_before: self.created_before,
            updated_after: self.updated_after,
            updated_before: self.updated_before,
        };
        let filter = TaskFilter {
            id_prefix: self.id_prefix.map(|beginning| beginning.0),
            ..selection.into()
        };
        Ok(TaskQuery {
            sort: self.sort.unwrap_or_default(),
            order: self.order.unwrap_or_default(),
            count: self.total,
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
    task.with_analysis(&snapshot, app.tasker()).await.map(Some)
}
