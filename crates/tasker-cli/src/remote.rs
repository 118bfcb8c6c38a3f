//! A service that is asked over HTTP instead of opening a database: `--server`.
//!
//! It is a store of which only that works which looks at tasks and changes what becomes of them, so that commands need not
//! know where tasks are.

mod wire;

use std::collections::HashMap;
use std::fmt;
use std::io::Read as _;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::{Client, Method, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tasker::{
    BoxError, Create, CreateReply, Demand, IllegalStepTransition, IllegalTaskTransition, Intervened,
    Intervention, Json, LeaseStatus, Renewal, Snapshot, Store, StoreError, Sweep, Swept, TaskMark, TaskPage,
    TaskQuery, TaskSummary, Template, Transition, Turn, TurnReply,
};
use tasker_server::Code;
use tasker_types::{Position, StepNo, TaskContext, TaskId, TaskState};
use tokio::sync::watch;

use self::wire::{Answer, History, Record, Refused, Stated, Tasks, query};
use crate::exit::Problem;

/// The longest time that an answer may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// The path below which a service answers when its URL names none.
const BASE_PATH: &str = "/tasker";
/// How many entries of a history a service tells at once at most.
const ENTRIES: u32 = 1_000;
/// How long a token may be, with what surrounds it in its file.
const TOKEN_BYTES: u64 = 64 * 1024;

/// A service.
pub(crate) struct Remote {
    client: Client,
    base: Url,
    token: Option<String>,
    /// The templates of tasks that were asked for: a step has a name there, and a number here.
    templates: Mutex<HashMap<TaskId, Arc<Template>>>,
    /// Places in lists, as the service writes them: the place here is the index.
    cursors: Mutex<Vec<String>>,
    wake: watch::Receiver<u64>,
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Remote").field(&self.base.as_str()).finish()
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.base.as_str())
    }
}

/// Why there is no answer.
#[derive(Debug)]
enum Failed {
    /// The service says so.
    Refused(Refused),
    /// It did not answer, or not in its language.
    Broken(BoxError),
}

/// What a service explains of a task.
#[derive(Debug, Deserialize)]
pub(crate) struct Told {
    pub(crate) state: TaskState,
    pub(crate) text: String,
    pub(crate) explanation: Value,
}

impl Remote {
    /// Reads a URL, and the token if there is a file of one.
    pub(crate) fn new(url: &str, token_file: Option<&Path>) -> Result<Self, Problem> {
        let refused = |why: &str| {
            Problem::refused(
                "server_url",
                format!("`{}` is no URL of a service: {why}", tasker::without_secrets(url)),
            )
            .with_help(
                "write it as http://HOST:PORT, or https://HOST, with the base path if it is not /tasker",
            )
        };
        let mut base = Url::parse(url).map_err(|error| refused(&error.to_string()))?;
        if !matches!(base.scheme(), "http" | "https") || !base.has_host() {
            return Err(refused("it begins with neither http:// nor https://"));
        }
        if !base.username().is_empty() || base.password().is_some() {
            return Err(refused("it has a user; name a token with --token-file"));
        }
        if base.query().is_some() || base.fragment().is_some() {
            return Err(refused("it has more than a path"));
        }
        let path = match base.path().trim_end_matches('/') {
            "" => BASE_PATH.to_owned(),
            path => path.to_owned(),
        };
        base.set_path(&path);
        let client = tasker::http_client()
            .map_err(|error| Problem::refused("http_client", format!("no request can be sent: {error}")))?;
        Ok(Self {
            client,
            base,
            token: token_file.map(token).transpose()?,
            templates: Mutex::default(),
            cursors: Mutex::default(),
            // Nobody tells that something happened: who wants to know asks.
            wake: watch::channel(0).1,
        })
    }

    /// Returns the place that a cursor of the service names.
    pub(crate) fn mark(&self, cursor: &str) -> TaskMark {
        let mut cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.push(cursor.to_owned());
        let place = i64::try_from(cursors.len() - 1).unwrap_or(i64::MAX);
        TaskMark { value: 0, place }
    }

    /// Returns the cursor of a place.
    pub(crate) fn cursor(&self, mark: TaskMark) -> Option<String> {
        let cursors = self.cursors.lock().unwrap_or_else(PoisonError::into_inner);
        cursors.get(usize::try_from(mark.place).ok()?).cloned()
    }

    /// Asks why a task, or a step of it, is not running.
    pub(crate) async fn explain(&self, task: TaskId, step: Option<&str>) -> Result<Told, Problem> {
        let query: Vec<_> = step.map(|step| ("step", step.to_owned())).into_iter().collect();
        let told = self.get(&["tasks", &task.to_string(), "explain"], &query).await;
        told.map_err(|failed| match failed {
            Failed::Refused(refused) if refused.kind() == Some(Code::UnknownStep) => {
                let problem = Problem::refused("step_not_found", refused.detail);
                match refused.nearest {
                    Some(near) => problem.with_help(format!("did you mean `{near}`?")),
                    None => problem,
                }
            }
            failed => self.said(failed, task, None).into(),
        })
    }

    async fn get<T: DeserializeOwned>(&self, path: &[&str], query: &[(&str, String)]) -> Result<T, Failed> {
        self.ask(Method::GET, path, query, None).await
    }

    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, String)],
        body: Option<&Value>,
    ) -> Result<T, Failed> {
        let broken = |error: reqwest::Error| Failed::Broken(Box::new(error.without_url()));
        let mut url = self.base.clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.extend(path);
        }
        let mut request = self.client.request(method, url).timeout(PATIENCE).query(query);
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(broken)?;
        let status = answer.status();
        let body = answer.bytes().await.map_err(broken)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(|error| {
                let error =
                    format!("its answer is not what this program knows, perhaps of another version: {error}");
                Failed::Broken(error.into())
            });
        }
        Err(match serde_json::from_slice::<Refused>(&body) {
            Ok(refused) if !refused.code.is_empty() => Failed::Refused(refused),
            _ if status == StatusCode::NOT_FOUND => {
                Failed::Broken(format!("there is no service below {}", self.base).into())
            }
            _ => Failed::Broken(format!("it answers {status}").into()),
        })
    }

    /// Returns what a store says in such a case.
    fn said(&self, failed: Failed, task: TaskId, step: Option<StepNo>) -> StoreError {
        let store = self.base.to_string();
        let refused = match failed {
            Failed::Refused(refused) => refused,
            Failed::Broken(source) => return StoreError::Unavailable { store, source },
        };
        let state = refused.state.as_deref().unwrap_or_default();
        let event = refused.event.as_deref().unwrap_or_default();
        let advice = match (refused.kind(), step) {
            (Some(Code::UnknownTask), _) => return StoreError::UnknownTask { task },
            (Some(Code::UnknownStep), Some(step)) => return StoreError::UnknownStep { task, step },
            (Some(Code::StepInProgress), Some(step)) => return StoreError::StepInProgress { task, step },
            (Some(Code::IllegalTransition), step) => match illegal(task, step, state, event) {
                Some(error) => return error,
                None => "look at the task once more",
            },
            (Some(Code::StoreUnavailable | Code::NotReady | Code::TooManyRequests), _) => {
                let source = refused.detail.into();
                return StoreError::Unavailable { store, source };
            }
            (Some(Code::Unauthenticated), _) => "name a file with a token that it believes with --token-file",
            (Some(Code::Denied), _) => "ask those who run it for the permission",
            _ => "its page of problems says what that means",
        };
        StoreError::Unusable {
            store,
            problem: format!(
                "it answers {} {}: {}",
                refused.status, refused.code, refused.detail
            ),
            advice,
        }
    }

    async fn record(&self, task: TaskId) -> Result<Option<Record>, StoreError> {
        let asked = self
            .get::<Record>(&["tasks", &task.to_string(), "record"], &[])
            .await;
        match asked {
            Ok(record) => {
                let template = Arc::clone(&record.snapshot.task.template);
                let mut templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
                templates.insert(task, template);
                Ok(Some(record))
            }
            Err(failed) => match self.said(failed, task, None) {
                StoreError::UnknownTask { .. } => Ok(None),
                error => Err(error),
            },
        }
    }

    async fn template(&self, task: TaskId) -> Result<Arc<Template>, StoreError> {
        let known = {
            let templates = self.templates.lock().unwrap_or_else(PoisonError::into_inner);
            templates.get(&task).map(Arc::clone)
        };
        match known {
            Some(template) => Ok(template),
            None => {
                let record = self.record(task).await?;
                record
                    .map(|record| record.snapshot.task.template)
                    .ok_or(StoreError::UnknownTask { task })
            }
        }
    }

    /// Returns what asks for this: the verb, the step if it is about one, and the body. No verb is a change of what is said.
    fn request(
        &self,
        demand: &Demand,
        reason: Option<String>,
    ) -> Result<(&'static str, Option<StepNo>, Value), StoreError> {
        let because = json!({ "reason": reason });
        Ok(match demand {
            Demand::CancelTask => ("cancel", None, because),
            Demand::ResolveTask => ("resolve", None, because),
            Demand::RetryTask => ("retry", None, because),
            Demand::CancelStep(step) => ("cancel", Some(*step), because),
            Demand::ResetStep(step) => ("retry", Some(*step), because),
            Demand::ResolveStep(step, result) => {
                let mut body = because;
                if let Some(result) = result {
                    body["result"] = result.to_value();
                }
                ("resolve", Some(*step), body)
            }
            other => return self.description(std::slice::from_ref(other), reason),
        })
    }

    /// Returns what changes what is said of a task, all at once.
    fn description(
        &self,
        demands: &[Demand],
        reason: Option<String>,
    ) -> Result<(&'static str, Option<StepNo>, Value), StoreError> {
        let mut body = json!({});
        for demand in demands {
            match demand {
                Demand::SetPriority(priority) => body["priority"] = (*priority).into(),
                Demand::Describe(description) => {
                    let said = serde_json::to_value(description).map_err(|error| self.nonsense(error))?;
                    for (name, value) in said.as_object().into_iter().flatten() {
                        body[name] = value.clone();
                    }
                }
                _ => return self.elsewhere(),
            }
        }
        body["because"] = reason.into();
        Ok(("", None, body))
    }

    /// Returns the error of an answer that makes no sense.
    fn nonsense(&self, what: impl Into<BoxError>) -> StoreError {
        StoreError::Internal {
            store: self.base.to_string(),
            source: what.into(),
        }
    }

    /// Returns the error of what is not asked of a service.
    fn elsewhere<T>(&self) -> Result<T, StoreError> {
        Err(StoreError::Unusable {
            store: self.base.to_string(),
            problem: "it runs tasks by itself".to_owned(),
            advice: "work where the database is",
        })
    }
}

/// Returns the error of what a state does not permit; `None` if state and event are none that this program knows.
fn illegal(task: TaskId, step: Option<StepNo>, state: &str, event: &str) -> Option<StoreError> {
    if let Some(step) = step
        && let (Ok(state), Ok(event)) = (state.parse(), event.parse())
    {
        let source = IllegalStepTransition { state, event };
        return Some(StoreError::IllegalStep { task, step, source });
    }
    let (state, event) = (state.parse().ok()?, event.parse().ok()?);
    let source = IllegalTaskTransition { state, event };
    Some(StoreError::IllegalTask { task, source })
}

/// Reads a token from a file, which may end with a line break.
fn token(file: &Path) -> Result<String, Problem> {
    let shown = file.display();
    let unread = |error: std::io::Error| {
        Problem::refused("token_file", format!("the token in `{shown}` cannot be read")).caused_by(&error)
    };
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin()
            .lock()
            .take(TOKEN_BYTES)
            .read_to_string(&mut text)
    } else {
        std::fs::File::open(file).and_then(|file| file.take(TOKEN_BYTES).read_to_string(&mut text))
    };
    read.map_err(unread)?;
    let token = text.trim();
    if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(
            Problem::refused("token_file", format!("there is no token in `{shown}`")).with_help(
                "write one token, and nothing else, into the file: `tasker token create` makes one",
            ),
        );
    }
    Ok(token.to_owned())
}

#[async_trait]
impl Store for Remote {
    async fn create(&self, _: Create) -> Result<CreateReply, StoreError> {
        self.elsewhere()
    }

    async fn turn(&self, _: Turn) -> Result<TurnReply, StoreError> {
        self.elsewhere()
    }

    async fn renew(&self, _: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.elsewhere()
    }

    async fn sweep(&self, _: Sweep) -> Result<Swept, StoreError> {
        self.elsewhere()
    }

    async fn examine(&self, _: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.elsewhere()
    }

    async fn check_in(&self, _: TaskId, _: Duration) -> Result<(), StoreError> {
        self.elsewhere()
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let Intervention {
            task,
            demands,
            reason,
            expected,
            ..
        } = intervention;
        if expected.is_some() {
            return self.elsewhere();
        }
        let template = self.template(task).await?;
        let (verb, step, body) = match demands.as_slice() {
            [demand] => self.request(demand, reason)?,
            demands => self.description(demands, reason)?,
        };
        let id = task.to_string();
        let mut path = vec!["tasks", &id];
        if let Some(step) = step {
            path.extend(["workflow_steps", template.step(step).name().as_str()]);
        }
        let method = match verb {
            "" => Method::PATCH,
            verb => {
                path.push(verb);
                Method::POST
            }
        };
        let answer = self.ask::<Answer>(method, &path, &[], Some(&body)).await;
        let answer = answer.map_err(|failed| self.said(failed, task, step))?;
        let done = match (answer.intervened, answer.task) {
            (Some(done), _) => done,
            // What is said of a task has no effect on states.
            (None, Some(Stated { state })) => return Ok(Intervened::new(state, state, Vec::new())),
            (None, None) => return Err(self.nonsense("an answer says nothing of what was done")),
        };
        let mut steps = Vec::with_capacity(done.steps.len());
        for step in done.steps {
            let (number, _) = template
                .step_named(&step.name)
                .ok_or_else(|| self.nonsense(format!("the template has no step `{}`", step.name)))?;
            steps.push((number, step.state));
        }
        // A task that has ended was not always active before.
        let before = match done.ended {
            true => TaskState::InProgress,
            false => done.task_state,
        };
        Ok(Intervened::new(before, done.task_state, steps))
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.record(task).await?.map(|record| record.snapshot))
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        let Some(record) = self.record(task).await? else {
            return Ok(Vec::new());
        };
        let steps = record.snapshot.task.template.steps().iter().enumerate();
        let results = steps.filter_map(|(number, step)| {
            let result = record.results.get(step.name().as_str())?;
            let number = u32::try_from(number).ok()?;
            Some((StepNo(number), Json::from(result)))
        });
        Ok(results.collect())
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let template = self.template(task).await?;
        let query = [
            ("after", after.0.to_string()),
            ("limit", limit.clamp(1, ENTRIES).to_string()),
        ];
        let asked = self
            .get::<History>(&["tasks", &task.to_string(), "transitions"], &query)
            .await;
        let history = asked.map_err(|failed| self.said(failed, task, None))?;
        let entries = history.transitions.into_iter();
        let read: Result<Vec<_>, _> = entries.map(|entry| entry.read(task, &template)).collect();
        read.map_err(|error| self.nonsense(error))
    }

    async fn events(&self, _: Position, _: u32) -> Result<Vec<Transition>, StoreError> {
        self.elsewhere()
    }

    async fn list(&self, wanted: TaskQuery) -> Result<TaskPage, StoreError> {
        let cursor = wanted.after.and_then(|mark| self.cursor(mark));
        let asked = self.get::<Tasks>(&["tasks"], &query(&wanted, cursor)).await;
        let page = asked.map_err(|failed| self.said(failed, TaskId::from_bytes([0; 16]), None))?;
        let tasks: Result<Vec<TaskSummary>, _> = page
            .tasks
            .into_iter()
            .map(|mut listed| {
                listed.rest.insert("name".to_owned(), listed.full_name.into());
                serde_json::from_value(listed.rest.into_iter().collect())
            })
            .collect();
        Ok(TaskPage {
            tasks: tasks.map_err(|error| self.nonsense(error))?,
            next: page.next_cursor.map(|cursor| self.mark(&cursor)),
            total: page.total,
        })
    }

    async fn cursor_secret(&self, _: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.elsewhere()
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.clone()
    }
}
