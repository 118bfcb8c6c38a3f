//! A Tasker: a store, handlers, and what is needed to run tasks with them.

use std::collections::BTreeMap;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use tasker_config::Config;
use tasker_engine::{
    Actor, Clock, Create, Created, Demand, Description, Emitter, Enqueuing, Entropy, HandlerProblem,
    Handlers, Identity, Intervened, Intervention, LoadOptions, Loaded, NewTask, RequestError, Scope,
    Snapshot, StepHandler, Store, StoreError, TaskPage, TaskQuery, TaskRequest, Template, TemplateFault,
    TemplateFaults, TokenStore, UnknownHandlers, Worker, WorkerHandle, WorkerSetup,
};
use tasker_graph::Analysis;
use tasker_registry::{EventError, Registry};
#[cfg(feature = "postgres")]
use tasker_store::PostgresStore;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use tasker_store::SlowStatements;
#[cfg(feature = "sqlite")]
use tasker_store::SqliteStore;
use tasker_types::{Execution, TaskId, TaskState, Version, WorkerId};
use tokio::sync::broadcast;
use tokio_util::sync::CancellationToken;

use crate::builder::TaskerBuilder;
use crate::cache::Answers;
use crate::error::RunError;
use crate::events::Hub;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::flight::Flight;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
use crate::health::Status;
use crate::insight::{Lasted, Standing};
use crate::metrics::Metrics;
use crate::observe::Narrator;
#[cfg(feature = "otlp")]
use crate::observe::{SpanCounts, Spans};
use crate::report::TaskReport;
use crate::resolve::{BuiltIns, event_source};

/// How often a task is looked at that another process may end.
const LOOK: Duration = Duration::from_secs(1);
/// How long to wait for company after a hint that there is something to look at.
const SETTLE: Duration = Duration::from_millis(50);

/// A store, handlers, and what is needed to run tasks with them. Copies are the same Tasker.
#[derive(Clone, Debug)]
pub struct Tasker(Arc<Parts>);

/// What a Tasker is made of.
#[derive(Debug)]
pub(crate) struct Parts {
    pub(crate) config: Config,
    pub(crate) kept: Kept,
    /// Where API tokens are noted; nowhere, for a store that the program brings along.
    pub(crate) tokens: Option<Arc<dyn TokenStore>>,
    /// The store as everyone uses it: with news of its commits.
    pub(crate) store: Arc<dyn Store>,
    pub(crate) hub: Arc<Hub>,
    pub(crate) execution: Arc<Execution>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    pub(crate) identity: Arc<dyn Identity>,
    pub(crate) enqueuing: Arc<dyn Enqueuing>,
    pub(crate) actor: Actor,
    pub(crate) handlers: Handlers,
    pub(crate) registry: Arc<Registry<dyn StepHandler>>,
    pub(crate) built_ins: Arc<BuiltIns>,
    /// What is counted, if anything is.
    pub(crate) metrics: Option<Arc<Metrics>>,
    /// What tells of the work in the log and in traces.
    pub(crate) narrator: Arc<Narrator>,
    /// What holds tasks up, by how they stand.
    pub(crate) analyses: Answers<(TaskId, Standing), Arc<Analysis>>,
    /// How long the steps of tasks lasted that have ended.
    pub(crate) durations: Answers<TaskId, Option<Arc<Lasted>>>,
    /// How much there is.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) counts: Arc<Flight<Status>>,
}

/// Where tasks are kept: the port, and what the concrete store offers beside it.
#[derive(Debug)]
pub(crate) enum Kept {
    /// In SQLite.
    #[cfg(feature = "sqlite")]
    Sqlite {
        /// The port.
        port: Arc<dyn Store>,
        /// The same store with what it has beside the port.
        store: Arc<SqliteStore>,
        /// Its statements that took long.
        slow: Arc<SlowStatements>,
    },
    /// In PostgreSQL.
    #[cfg(feature = "postgres")]
    Postgres {
        /// The port.
        port: Arc<dyn Store>,
        /// The same store with what it has beside the port.
        store: PostgresStore,
        /// Its statements that took long.
        slow: Arc<SlowStatements>,
    },
    /// In a store that has nothing beside the port.
    Elsewhere(Arc<dyn Store>),
}

impl Kept {
    pub(crate) fn port(&self) -> &Arc<dyn Store> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite { port, .. } => port,
            #[cfg(feature = "postgres")]
            Self::Postgres { port, .. } => port,
            Self::Elsewhere(store) => store,
        }
    }
}

impl Tasker {
    pub(crate) fn new(parts: Parts) -> Self {
        Self(Arc::new(parts))
    }

    /// Begins to put a Tasker together.
    pub fn builder() -> TaskerBuilder {
        TaskerBuilder::default()
    }

    /// Returns the configuration.
    pub fn config(&self) -> &Config {
        &self.0.config
    }

    /// Returns the store.
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.0.store
    }

    /// Returns where API tokens are noted: beside the tasks. A store that the program brings along has no place for them.
    pub fn tokens(&self) -> Option<&Arc<dyn TokenStore>> {
        self.0.tokens.as_ref()
    }

    /// Returns where ids and secrets are drawn from.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.0.entropy
    }

    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn kept(&self) -> &Kept {
        &self.0.kept
    }

    pub(crate) fn analyses(&self) -> &Answers<(TaskId, Standing), Arc<Analysis>> {
        &self.0.analyses
    }

    pub(crate) fn answers(&self) -> &Answers<TaskId, Option<Arc<Lasted>>> {
        &self.0.durations
    }

    pub(crate) fn counting(&self) -> Option<&Arc<Metrics>> {
        self.0.metrics.as_ref()
    }

    #[cfg(feature = "otlp")]
    pub(crate) fn span_counts(&self) -> Option<SpanCounts> {
        self.0.narrator.spans.as_ref().map(Spans::counts)
    }

    pub(crate) fn hub(&self) -> &Arc<Hub> {
        &self.0.hub
    }

    /// Returns what finds handlers: in the registry, then among the built-in ones.
    pub fn handlers(&self) -> &Handlers {
        &self.0.handlers
    }

    /// Returns the registry of the program's own handlers.
    pub fn registry(&self) -> &Arc<Registry<dyn StepHandler>> {
        &self.0.registry
    }

    /// Returns the names and versions of the built-in handlers, which every namespace has.
    pub fn built_in_handlers(&self) -> impl Iterator<Item = (&'static str, &Version)> {
        self.0.built_ins.list()
    }

    /// Returns the time, by the clock of this Tasker.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.0.clock
    }

    /// Returns how templates are checked: against the limits of the configuration and these handlers, with the overrides
    /// of the profile.
    pub fn load_options(&self, unknown_handlers: UnknownHandlers) -> LoadOptions<'_> {
        let config = self.config();
        LoadOptions {
            default_namespace: config.engine().default_namespace.clone(),
            environment: config.profile(),
            handlers: Some(self.handlers()),
            unknown_handlers,
            ..LoadOptions::new(config.limits())
        }
    }

    /// Reads a template from a file, and declares its custom events.
    ///
    /// # Errors
    ///
    /// All faults of the file; an event that is described otherwise by another template or handler is one of them.
    pub fn load(
        &self,
        path: impl AsRef<Path>,
        unknown_handlers: UnknownHandlers,
    ) -> Result<Loaded, TemplateFaults> {
        let loaded = Template::load(path.as_ref(), &self.load_options(unknown_handlers))?;
        // The check has compared them already, but someone may have declared one since.
        self.declare_events(&loaded.template).map_err(|conflict| {
            TemplateFaults::from(TemplateFault {
                file: Some(path.as_ref().display().to_string()),
                line: None,
                code: "event_conflict",
                message: conflict.to_string(),
            })
        })?;
        Ok(loaded)
    }

    /// Declares the custom events of a template that was made in code, as [`load`](Self::load) does for a file and
    /// [`run`](Self::run) for what it runs.
    ///
    /// # Errors
    ///
    /// [`EventError`] if an event is described otherwise by another template or handler; none is declared then.
    pub fn declare_events(&self, template: &Template) -> Result<(), EventError> {
        self.registry()
            .declare(event_source(&template.full_name()), template.events())
    }

    /// Checks a request and returns the task to create, with a new id.
    ///
    /// # Errors
    ///
    /// What is wrong with the request.
    pub fn prepare(&self, request: TaskRequest) -> Result<NewTask, RequestError> {
        let id = TaskId::new(self.0.clock.now(), self.0.entropy.next_u128());
        request.prepare(id, self.config().limits(), &*self.0.identity)
    }

    /// Creates a task in someone's name and leaves it to whatever workers there are.
    ///
    /// Nothing is asked about handlers: they may be elsewhere. A request that repeats an idempotency key, and one whose
    /// task there is already, are answers.
    ///
    /// # Errors
    ///
    /// [`RunError`] says what is wrong with the request or with the store.
    pub async fn create(&self, request: impl Into<TaskRequest>, actor: Actor) -> Result<Created, RunError> {
        let request = request.into();
        self.declare_events(request.template())?;
        let new = self.prepare(request)?;
        let worker = WorkerId::new(self.0.clock.now(), self.0.entropy.next_u128());
        let reply = self.store().create(Create::new(worker, actor, vec![new])).await?;
        let created = reply.tasks.into_iter().next();
        Ok(created.ok_or(StoreError::Closed)?)
    }

    /// Creates a task within the caller's transaction on this Tasker's PostgreSQL database: it is there when that commits,
    /// and never was if it is rolled back. Workers are told when it commits.
    ///
    /// Otherwise as [`create`](Self::create), and as [`PostgresStore::create_in`].
    ///
    /// # Errors
    ///
    /// [`RunError`] says what is wrong with the request or with the store; the transaction is then as it was before.
    #[cfg(feature = "postgres")]
    pub async fn create_in(
        &self,
        connection: &mut tasker_store::postgres::AsyncPgConnection,
        request: impl Into<TaskRequest>,
        actor: Actor,
    ) -> Result<Created, RunError> {
        let Kept::Postgres { store, .. } = &self.0.kept else {
            return Err(StoreError::Rejected {
                what: "the store of a task that is created within a transaction",
                value: "another".to_owned(),
                must: "PostgreSQL: set `database.url` to its URL, or call `create`",
            }
            .into());
        };
        let request = request.into();
        self.declare_events(request.template())?;
        let new = self.prepare(request)?;
        let worker = WorkerId::new(self.0.clock.now(), self.0.entropy.next_u128());
        let reply = store
            .create_in(connection, Create::new(worker, actor, vec![new]))
            .await?;
        let created = reply.tasks.into_iter().next();
        Ok(created.ok_or(StoreError::Closed)?)
    }

    /// Returns a worker, not yet running.
    pub fn worker(&self, scope: Scope) -> Worker {
        let parts = &self.0;
        let setup = WorkerSetup::new(
            Arc::clone(self.store()),
            parts.handlers.clone(),
            Arc::clone(&parts.clock),
            Arc::clone(&parts.entropy),
        );
        Worker::new(WorkerSetup {
            execution: Arc::clone(&parts.execution),
            backoff: Arc::clone(parts.config.backoff()),
            limits: Arc::clone(parts.config.limits()),
            identity: Arc::clone(&parts.identity),
            enqueuing: Arc::clone(&parts.enqueuing),
            events: Emitter::new(Arc::<Hub>::clone(&parts.hub)),
            telling: Arc::clone(&parts.narrator.telling),
            scope,
            ..setup
        })
    }

    /// Creates a task and runs it to its end: until it is complete, in error or ended by someone.
    ///
    /// A failed task is no error of this function; its report says how it failed. A request that repeats an
    /// idempotency key goes on with the task of that key. When the future is dropped, handlers stop and the task can be
    /// resumed.
    ///
    /// # Errors
    ///
    /// [`RunError`] says why the task was not created or not run.
    pub async fn run(&self, request: impl Into<TaskRequest>) -> Result<TaskReport, RunError> {
        let request = request.into();
        self.check(request.template())?;
        self.declare_events(request.template())?;
        let new = self.prepare(request)?;
        let worker = self.worker(Scope::Task(new.id));
        let handle = worker.handle();
        let created = self.working(worker, self.created_and_ended(&handle, new));
        let created = created.await?;
        let task = created.accepted()?;
        match created {
            Created::New(_) => self.told(task).await,
            _ => self.resume(task).await,
        }
    }

    /// Goes on with an unfinished task until it is complete, in error or ended by someone.
    ///
    /// # Errors
    ///
    /// [`RunError`] says why it was not run.
    pub async fn resume(&self, task: TaskId) -> Result<TaskReport, RunError> {
        let snapshot = self
            .store()
            .snapshot(task)
            .await?
            .ok_or(StoreError::UnknownTask { task })?;
        if snapshot.task.state.is_active() {
            self.check(&snapshot.task.template)?;
            // A task keeps its template, so what others say by now is no reason to leave it unfinished.
            if let Err(conflict) = self.declare_events(&snapshot.task.template) {
                tracing::warn!(%conflict, %task, "the custom events of a task's template are not declared");
            }
            let worker = self.worker(Scope::Task(task));
            let finished = worker.handle().finished();
            self.working(worker, async { Ok(self.ended(task, finished).await?) })
                .await?;
        }
        self.told(task).await
    }

    /// Returns a report of a task; `None` when there is no such task.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn report(&self, task: TaskId) -> Result<Option<TaskReport>, StoreError> {
        match self.store().snapshot(task).await? {
            Some(snapshot) => self.report_of(&snapshot).await.map(Some),
            None => Ok(None),
        }
    }

    /// Returns a report of a task as a snapshot has it, with the results of its steps, which are read if any step is done.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn report_of(&self, snapshot: &Snapshot) -> Result<TaskReport, StoreError> {
        // Read after the snapshot, so that a step which it has as complete has its result.
        let results = match snapshot.steps.iter().any(|step| step.state.is_done()) {
            true => self.store().results(snapshot.task.id).await?,
            false => Vec::new(),
        };
        Ok(TaskReport::new(snapshot, &results))
    }

    /// Returns a page of the tasks that a filter leaves, in the order that is asked for.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.store().list(query).await
    }

    /// Returns the secret that the store keeps for signing what clients are given to bring back; a new one the first time.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn cursor_secret(&self) -> Result<[u8; 32], StoreError> {
        let mut fresh = [0; 32];
        for half in fresh.chunks_exact_mut(16) {
            half.copy_from_slice(&self.0.entropy.next_u128().to_be_bytes());
        }
        self.store().cursor_secret(fresh).await
    }

    /// Returns what counts how much there is.
    #[cfg(any(feature = "sqlite", feature = "postgres"))]
    pub(crate) fn counts(&self) -> &Arc<Flight<Status>> {
        &self.0.counts
    }

    /// Returns how many steps a worker runs at once.
    pub(crate) fn max_concurrent_steps(&self) -> Option<u32> {
        self.0.execution.max_concurrent_steps
    }

    /// Returns how many steps the worker holds that holds fewest of those that hold any. A store that cannot tell is
    /// asked about one task only.
    pub(crate) async fn fewest_held(&self, snapshot: &Snapshot) -> Result<Option<u32>, StoreError> {
        match &self.0.kept {
            #[cfg(feature = "sqlite")]
            Kept::Sqlite { store, .. } => store.fewest_held().await,
            #[cfg(feature = "postgres")]
            Kept::Postgres { store, .. } => store.fewest_held().await,
            Kept::Elsewhere(_) => {
                let mut held: BTreeMap<WorkerId, u32> = BTreeMap::new();
                for lease in snapshot.steps.iter().filter_map(|step| step.lease) {
                    *held.entry(lease.worker).or_default() += 1;
                }
                Ok(held.into_values().min())
            }
        }
    }

    /// Sends the last spans, and closes the store: what it has in memory is written, and whoever uses it later is told that it is closed.
    ///
    /// A store that is not closed does so when its last user is gone.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.0.narrator.flush().await;
        match &self.0.kept {
            #[cfg(feature = "sqlite")]
            Kept::Sqlite { store, .. } => store.close().await,
            #[cfg(feature = "postgres")]
            Kept::Postgres { store, .. } => store.close().await,
            Kept::Elsewhere(_) => Ok(()),
        }
    }

    /// Carries out what an operator demands of a task, in the name of this Tasker's actor.
    ///
    /// # Errors
    ///
    /// What the store says; a demand that the state does not permit changes nothing.
    pub async fn intervene(&self, task: TaskId, demand: Demand) -> Result<Intervened, StoreError> {
        self.store()
            .intervene(Intervention::new(task, demand, self.0.actor.clone()))
            .await
    }

    /// Gives a task and its queued steps another priority.
    ///
    /// # Errors
    ///
    /// As [`intervene`](Self::intervene).
    pub async fn set_priority(&self, task: TaskId, priority: i16) -> Result<Intervened, StoreError> {
        self.intervene(task, Demand::SetPriority(priority)).await
    }

    /// Changes what is said about a task: its reason, its tags, its annotations.
    ///
    /// # Errors
    ///
    /// As [`intervene`](Self::intervene); [`StoreError::Rejected`] for a tag or an annotation that cannot be kept.
    pub async fn describe(&self, task: TaskId, description: Description) -> Result<Intervened, StoreError> {
        self.intervene(task, Demand::Describe(description)).await
    }

    /// Gives the failed steps of a task in error their attempts back. [`resume`](Self::resume) or a worker goes on.
    ///
    /// # Errors
    ///
    /// As [`intervene`](Self::intervene).
    pub async fn retry(&self, task: TaskId) -> Result<Intervened, StoreError> {
        self.intervene(task, Demand::RetryTask).await
    }

    /// Cancels a task and its unfinished steps.
    ///
    /// # Errors
    ///
    /// As [`intervene`](Self::intervene).
    pub async fn cancel(&self, task: TaskId) -> Result<Intervened, StoreError> {
        self.intervene(task, Demand::CancelTask).await
    }

    /// Declares a task in error done.
    ///
    /// # Errors
    ///
    /// As [`intervene`](Self::intervene).
    pub async fn resolve(&self, task: TaskId) -> Result<Intervened, StoreError> {
        self.intervene(task, Demand::ResolveTask).await
    }

    /// Checks that every step of a template can run in this program.
    fn check(&self, template: &Template) -> Result<(), RunError> {
        let Some((step, problem)) = template.check_handlers(self.handlers()).into_iter().next() else {
            return Ok(());
        };
        let problem = match problem {
            HandlerProblem::Unknown { message } => message,
            HandlerProblem::Config { faults } => format!("its `config`: {}", faults.join("; ")),
            HandlerProblem::Parents { missing, .. } => {
                format!(
                    "its handler takes the result of `{}`; add it to `depends_on`",
                    missing.join("`, `")
                )
            }
        };
        Err(RunError::Handler {
            template: template.full_name(),
            step: template.step(step).name().clone(),
            problem,
        })
    }

    async fn created_and_ended(&self, handle: &WorkerHandle, new: NewTask) -> Result<Created, RunError> {
        let finished = handle.finished();
        let mut created = handle.create(self.0.actor.clone(), vec![new]).await?;
        let created = created.pop().ok_or(StoreError::Closed)?;
        if let Created::New(task) = created {
            self.ended(task, finished).await?;
        }
        Ok(created)
    }

    /// Has a worker work while a future is awaited, and then stops it.
    async fn working<T>(
        &self,
        worker: Worker,
        work: impl Future<Output = Result<T, RunError>>,
    ) -> Result<T, RunError> {
        let stop = CancellationToken::new();
        let mut running = Box::pin(worker.run(stop.clone(), CancellationToken::new()));
        let mut work = pin!(work);
        tokio::select! {
            biased;
            result = &mut work => {
                stop.cancel();
                running.await?;
                result
            }
            stopped = &mut running => {
                stopped?;
                Err(StoreError::Closed.into())
            }
        }
    }

    /// Waits until a task is no longer active, whoever ends it.
    async fn ended(
        &self,
        task: TaskId,
        mut finished: broadcast::Receiver<(TaskId, TaskState)>,
    ) -> Result<(), StoreError> {
        let mut wake = self.store().wake();
        loop {
            tokio::select! {
                biased;
                notice = finished.recv() => match notice {
                    Ok((ended, _)) if ended == task => return Ok(()),
                    Ok(_) => continue,
                    Err(broadcast::error::RecvError::Lagged(_)) => {}
                    Err(broadcast::error::RecvError::Closed) => tokio::time::sleep(LOOK).await,
                },
                // Such as the task's cancellation, which no worker sees.
                Ok(()) = wake.changed() => tokio::time::sleep(SETTLE).await,
                () = tokio::time::sleep(LOOK) => {}
            }
            match self.store().examine(task).await {
                Ok(None) => return Ok(()),
                Ok(Some(_)) => {}
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, %task, "the store does not say how the task stands, asking again");
                }
                Err(error) => return Err(error),
            }
        }
    }

    async fn told(&self, task: TaskId) -> Result<TaskReport, RunError> {
        Ok(self.report(task).await?.ok_or(StoreError::UnknownTask { task })?)
    }
}
