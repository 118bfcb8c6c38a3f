//! Creating tasks.

use std::collections::BTreeMap;

use axum::extract::{OriginalUri, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tasker::{Created, Origin, RunError, TaskRequest};
use tasker_types::{HandlerName, Namespace, Timestamp};
use utoipa::ToSchema;

use super::forms;
use super::handlers::requirement;
use super::tasks::{Task, TaskAnswer, answer, find};
use crate::app::App;
use crate::extract::Body;
use crate::guard::Granted;
use crate::problem::{Code, Problem};
use crate::trace::{Brought, brought};

/// The header under which a request may be repeated.
const IDEMPOTENCY_KEY: &str = "idempotency-key";

/// A request for a task.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(example = json!({
    "name": "process_refund", "namespace": "payments", "context": { "order": 7 }, "reason": "the customer asked",
    "tags": ["vip"], "priority": 5
}))]
pub(crate) struct NewTaskRequest {
    /// The handler.
    #[schema(value_type = forms::NameText)]
    name: HandlerName,
    /// The namespace of the handler; by default that of the configuration.
    #[serde(default)]
    #[schema(value_type = Option<forms::NameText>)]
    namespace: Option<Namespace>,
    /// A version such as `2.1.0`, or a requirement such as `^2`; by default the latest.
    #[serde(default)]
    #[schema(value_type = Option<forms::VersionRequirement>)]
    version: Option<String>,
    /// The context, as the schema of the handler permits it.
    #[serde(default)]
    #[schema(value_type = Object)]
    context: Map<String, Value>,
    /// Who asks; by default the caller.
    #[serde(default)]
    initiator: Option<String>,
    /// The system that the request comes from.
    #[serde(default)]
    source_system: Option<String>,
    /// Why; `unknown` without.
    #[serde(default)]
    reason: Option<String>,
    /// Labels.
    #[serde(default)]
    #[schema(value_type = forms::Labels)]
    tags: Vec<String>,
    /// Notes by name: any JSON.
    #[serde(default)]
    #[schema(value_type = forms::Notes)]
    annotations: BTreeMap<String, Value>,
    /// Skippable steps that are resolved from the start.
    #[serde(default)]
    #[schema(value_type = Vec<forms::NameText>)]
    bypass_steps: Vec<String>,
    /// Higher first.
    #[serde(default, deserialize_with = "forms::whole")]
    #[schema(minimum = -32768, maximum = 32767)]
    priority: i16,
    /// The key under which the request may be repeated; the header `Idempotency-Key` says the same.
    #[serde(default)]
    #[schema(min_length = 1, max_length = 255)]
    idempotency_key: Option<String>,
    /// When the task was asked for.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    requested_at: Option<Timestamp>,
    /// No step starts before.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    start_at: Option<Timestamp>,
    /// Then the task fails.
    #[serde(default)]
    #[schema(value_type = Option<String>, format = DateTime)]
    deadline_at: Option<Timestamp>,
}

/// Creates a task
///
/// Workers begin with it at once. A request that repeats an idempotency key is answered with the task of the first one.
#[utoipa::path(post, path = "/tasks", tag = "tasks", request_body = NewTaskRequest,
    params(("Idempotency-Key" = Option<String>, Header, description = "The key under which the request may be repeated.")),
    responses(
        (status = 201, body = TaskAnswer, description = "It was created.", headers(("Location" = String, description = "The task."))),
        (status = 200, body = TaskAnswer, description = "It was created by an earlier request with the same key.")
    ))]
pub(crate) async fn create(
    State(app): State<App>,
    granted: Granted,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    Body(mut request): Body<NewTaskRequest>,
) -> Result<Response, Problem> {
    if let Some(key) = key_of(&headers)? {
        if request
            .idempotency_key
            .as_ref()
            .is_some_and(|other| *other != key)
        {
            let detail = "the header `Idempotency-Key` and the field `idempotency_key` say different things";
            return Err(Problem::new(Code::InvalidRequest, detail));
        }
        request.idempotency_key = Some(key);
    }
    let brought = brought(&headers, app.tasker().config().telemetry())?;
    let prepared = prepare(&app, &granted, request, brought)?;
    let (status, id) = match commit(&app, &granted, prepared).await? {
        Created::New(id) => (StatusCode::CREATED, id),
        other => (StatusCode::OK, other.accepted()?),
    };
    let found = find(&app, &granted, id).await?;
    let task = Task::read(&found.snapshot, app.tasker()).await?;
    let mut response = answer(&found, task, None);
    *response.status_mut() = status;
    // Another application may have nested the service anywhere.
    let location = format!("{}/{id}", uri.path().trim_end_matches('/'));
    if let Ok(location) = HeaderValue::from_str(&location) {
        response.headers_mut().insert(header::LOCATION, location);
    }
    Ok(response)
}

fn key_of(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let Some(value) = headers.get(IDEMPOTENCY_KEY) else {
        return Ok(None);
    };
    let key = value.to_str().map_err(|_| {
        Problem::new(
            Code::InvalidRequest,
            "the header `Idempotency-Key` has characters that are no ASCII",
        )
    })?;
    Ok(Some(key.to_owned()))
}

/// Finds the handler and checks what can be checked without the store.
pub(crate) fn prepare(
    app: &App,
    granted: &Granted,
    request: NewTaskRequest,
    brought: Brought<'_>,
) -> Result<TaskRequest, Problem> {
    let namespace = request
        .namespace
        .unwrap_or_else(|| app.tasker().config().engine().default_namespace.clone());
    let version = request.version.as_deref().map(requirement).transpose()?;
    let known = app.guard().asks_who();
    let initiator = request
        .initiator
        .or_else(|| known.then(|| granted.caller().name().to_owned()));
    granted.require(&namespace, initiator.as_deref())?;
    let template = app
        .templates()
        .find(&namespace, &request.name, version.as_ref())?;
    let origin = Origin {
        initiator,
        source_system: request.source_system,
        reason: request.reason,
        tags: request.tags,
        annotations: request.annotations,
        correlation_id: brought.correlation_id.map(str::to_owned),
        trace_context: brought.trace_context,
        requested_at: request.requested_at,
    };
    let mut task = TaskRequest::new(template)
        .context(Value::Object(request.context))
        .origin(origin)
        .bypass(request.bypass_steps)
        .priority(request.priority);
    if let Some(key) = request.idempotency_key {
        task = task.idempotency_key(key);
    }
    if let Some(time) = request.start_at {
        task = task.start_at(time);
    }
    if let Some(time) = request.deadline_at {
        task = task.deadline_at(time);
    }
    Ok(task)
}

/// Creates the task.
pub(crate) async fn commit(app: &App, granted: &Granted, task: TaskRequest) -> Result<Created, Problem> {
    app.tasker()
        .create(task, granted.actor())
        .await
        .map_err(Problem::from)
}

impl From<RunError> for Problem {
    fn from(error: RunError) -> Self {
        match error {
            RunError::Request(error) => error.into(),
            RunError::Refused(refusal) => refusal.into(),
            RunError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}
