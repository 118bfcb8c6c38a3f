//! Many tasks in one request.
//!
//! Each task is a change of its own: what is refused of one leaves the others as they are.

use axum::Json;
use axum::extract::State;
use axum::http::HeaderMap;
use serde::{Deserialize, Serialize};
use tasker::{Demand, Intervention, TaskFilter, TaskQuery};
use tasker_types::{TaskId, TaskState};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{RefOr, Schema};
use utoipa::{PartialSchema, ToSchema};

use super::create::{NewTaskRequest, commit, prepare};
use super::filter::Selection;
use super::list::scopes;
use super::tasks::find;
use super::views;
use crate::access::Permission;
use crate::app::App;
use crate::extract::Body;
use crate::guard::Granted;
use crate::problem::{Code, Problem};
use crate::trace::{Brought, brought};

/// How many tasks a request may be about.
const MOST: usize = 1_000;
/// How many tasks of a filter are listed at once.
const PAGE: u32 = 100;

/// What is done to tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Action {
    /// Create those of `tasks`.
    Create,
    /// Cancel those of `ids` or `filter`.
    Cancel,
    /// Retry those of `ids` or `filter`.
    Retry,
}

/// What is to be done to many tasks: at most 1000 in one request.
#[derive(ToSchema)]
#[serde(untagged)]
#[schema(example = json!({ "action": "retry", "filter": { "state": ["error"], "namespace": "payments" }, "dry_run": true }))]
#[expect(dead_code, reason = "it describes what `Bulk` reads")]
pub(crate) enum BulkRequest {
    /// Tasks are created.
    Create(BulkCreate),
    /// Tasks that are named are cancelled or retried.
    ByIds(BulkByIds),
    /// Those tasks of a filter whose state permits it are cancelled or retried, the newest first.
    ByFilter(Box<BulkByFilter>),
}

/// Creating many tasks.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Bulk` reads")]
pub(crate) struct BulkCreate {
    action: CreateAction,
    /// The tasks to create.
    #[schema(max_items = 1000)]
    tasks: Vec<NewTaskRequest>,
    /// Whether only to say what would be done.
    #[schema(required = false)]
    dry_run: bool,
    /// Not used.
    reason: Option<String>,
}

/// Changing tasks that are named.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Bulk` reads")]
pub(crate) struct BulkByIds {
    action: ChangeAction,
    /// The tasks to change.
    #[schema(value_type = Vec<IdText>, max_items = 1000)]
    ids: Vec<TaskId>,
    /// Whether only to say what would be done.
    #[schema(required = false)]
    dry_run: bool,
    /// Why; kept in the history of tasks that are changed.
    reason: Option<String>,
}

/// Changing the tasks of a filter.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[expect(dead_code, reason = "it describes what `Bulk` reads")]
pub(crate) struct BulkByFilter {
    action: ChangeAction,
    /// Which tasks to change.
    filter: Selection,
    /// Whether only to say what would be done.
    #[schema(required = false)]
    dry_run: bool,
    /// Why; kept in the history of tasks that are changed.
    reason: Option<String>,
}

/// Creating.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `Action` reads")]
pub(crate) enum CreateAction {
    /// Create tasks.
    Create,
}

/// Changing.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
#[expect(dead_code, reason = "it describes what `Action` reads")]
pub(crate) enum ChangeAction {
    /// Cancel tasks.
    Cancel,
    /// Retry tasks.
    Retry,
}

/// The id of a task.
pub(crate) struct IdText;

impl PartialSchema for IdText {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Uuid)))
            .into()
    }
}

impl ToSchema for IdText {}

/// What is to be done to many tasks, as it comes.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Bulk {
    action: Action,
    /// The tasks to create.
    #[serde(default)]
    tasks: Option<Vec<NewTaskRequest>>,
    /// The tasks to change.
    #[serde(default)]
    ids: Option<Vec<TaskId>>,
    /// Which tasks to change; those whose state permits it, the newest first.
    #[serde(default)]
    filter: Option<Selection>,
    /// Whether only to say what would be done.
    #[serde(default)]
    dry_run: bool,
    /// Why; kept in the history of tasks that are changed.
    #[serde(default)]
    reason: Option<String>,
}

/// What was done.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkAnswer {
    action: Action,
    /// Whether nothing was done.
    dry_run: bool,
    /// What became of each task, in the order of the request or of the list.
    results: Vec<BulkResult>,
    /// How many were done, or would be.
    done_count: usize,
    /// How many were refused, or would be.
    refused_count: usize,
    /// Whether the filter leaves further tasks: ask again for them.
    more: bool,
}

/// What became of one task.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkResult {
    /// The task; null for one that was not created.
    #[schema(value_type = Option<String>, format = Uuid)]
    task_id: Option<TaskId>,
    /// Its state afterwards, where it is known.
    #[schema(value_type = Option<views::State>)]
    state: Option<&'static str>,
    /// Why it was refused.
    #[schema(value_type = Option<crate::problem::ProblemDetails>)]
    problem: Option<Problem>,
}

/// Creates, cancels or retries many tasks
///
/// Needs the permission of what is done, too. Each task is a change of its own, whose refusal is told with it.
#[utoipa::path(post, path = "/tasks/bulk", tag = "tasks", request_body = BulkRequest, responses((status = 200, body = BulkAnswer)))]
pub(crate) async fn bulk(
    State(app): State<App>,
    granted: Granted,
    headers: HeaderMap,
    Body(bulk): Body<Bulk>,
) -> Result<Json<BulkAnswer>, Problem> {
    let granted = granted.also(match bulk.action {
        Action::Create => Permission::TaskCreate,
        Action::Cancel => Permission::TaskCancel,
        Action::Retry => Permission::TaskRetry,
    })?;
    let (results, more) = match (bulk.action, &bulk.tasks, &bulk.ids, &bulk.filter) {
        (Action::Create, Some(tasks), None, None) => {
            few_enough(tasks.len())?;
            let brought = brought(&headers, app.tasker().config().telemetry())?;
            let mut results = Vec::with_capacity(tasks.len());
            for task in tasks {
                results.push(created(&app, &granted, task.clone(), brought, bulk.dry_run).await);
            }
            (results, false)
        }
        (Action::Cancel | Action::Retry, None, Some(ids), None) => {
            few_enough(ids.len())?;
            (changed(&app, &granted, &bulk, ids).await, false)
        }
        (Action::Cancel | Action::Retry, None, None, Some(selection)) => {
            let mut ids = selected(&app, &granted, bulk.action, selection).await?;
            let more = ids.len() > MOST;
            ids.truncate(MOST);
            (changed(&app, &granted, &bulk, &ids).await, more)
        }
        (Action::Create, ..) => return Err(mixed("`create` takes `tasks`, and neither `ids` nor `filter`")),
        _ => {
            return Err(mixed(
                "`cancel` and `retry` take either `ids` or `filter`, and no `tasks`",
            ));
        }
    };
    let refused_count = results.iter().filter(|result| result.problem.is_some()).count();
    Ok(Json(BulkAnswer {
        action: bulk.action,
        dry_run: bulk.dry_run,
        done_count: results.len() - refused_count,
        refused_count,
        results,
        more,
    }))
}

fn mixed(detail: &str) -> Problem {
    Problem::new(Code::InvalidBody, detail)
}

fn few_enough(count: usize) -> Result<(), Problem> {
    if count <= MOST {
        return Ok(());
    }
    let detail = format!("the request is about {count} tasks, but it may be about {MOST}");
    Err(Problem::new(Code::InvalidRequest, detail))
}

async fn created(
    app: &App,
    granted: &Granted,
    request: NewTaskRequest,
    brought: Brought<'_>,
    dry_run: bool,
) -> BulkResult {
    let created = async {
        let prepared = prepare(app, granted, request, brought)?;
        if dry_run {
            // It says what is wrong with the request; the id that it has is forgotten.
            app.tasker().prepare(prepared)?;
            return Ok(None);
        }
        let id = commit(app, granted, prepared).await?.accepted()?;
        Ok(Some(id))
    };
    match created.await {
        Ok(task_id) => BulkResult {
            task_id,
            state: Some(TaskState::Pending.as_str()),
            problem: None,
        },
        Err(problem) => BulkResult {
            task_id: None,
            state: None,
            problem: Some(problem),
        },
    }
}

async fn changed(app: &App, granted: &Granted, bulk: &Bulk, ids: &[TaskId]) -> Vec<BulkResult> {
    let mut results = Vec::with_capacity(ids.len());
    for id in ids {
        let (state, problem) = match change(app, granted, bulk, *id).await {
            Ok(state) => (Some(state.as_str()), None),
            Err(problem) => (None, Some(problem)),
        };
        results.push(BulkResult {
            task_id: Some(*id),
            state,
            problem,
        });
    }
    results
}

async fn change(app: &App, granted: &Granted, bulk: &Bulk, id: TaskId) -> Result<TaskState, Problem> {
    let state = find(app, granted, id).await?.snapshot.task.state;
    let demand = match bulk.action {
        Action::Retry => Demand::RetryTask,
        _ => Demand::CancelTask,
    };
    if !bulk.dry_run {
        let intervention = Intervention::new(id, demand, granted.actor()).because(bulk.reason.clone());
        return Ok(app.tasker().store().intervene(intervention).await?.task_state);
    }
    let (is_possible, next) = match bulk.action {
        Action::Retry => (state == TaskState::Error, TaskState::InProgress),
        _ => (!state.is_final(), TaskState::Cancelled),
    };
    if is_possible {
        return Ok(next);
    }
    let detail = format!("task `{id}` is {state}");
    Err(Problem::new(Code::IllegalTransition, detail).with("state", state.as_str()))
}

/// Returns the tasks of a filter, one more than are done in one request if there are.
async fn selected(
    app: &App,
    granted: &Granted,
    action: Action,
    selection: &Selection,
) -> Result<Vec<TaskId>, Problem> {
    let possible: &[TaskState] = match action {
        Action::Retry => &[TaskState::Error],
        _ => &[TaskState::Pending, TaskState::InProgress, TaskState::Error],
    };
    let wanted = |state: &&TaskState| selection.state.is_empty() || selection.state.contains(state);
    let states: Vec<_> = possible.iter().filter(wanted).copied().collect();
    // Without a state a filter leaves nothing out.
    if states.is_empty() {
        return Ok(Vec::new());
    }
    let filter = TaskFilter {
        states,
        within: scopes(granted.reach()),
        ..selection.clone().into()
    };
    let mut query = TaskQuery::new(filter, PAGE);
    let mut ids: Vec<TaskId> = Vec::new();
    loop {
        let page = app.tasker().list(query.clone()).await?;
        ids.extend(page.tasks.iter().map(|task| task.task_id));
        match page.next {
            Some(next) if ids.len() <= MOST => query.after = Some(next),
            _ => return Ok(ids),
        }
    }
}
