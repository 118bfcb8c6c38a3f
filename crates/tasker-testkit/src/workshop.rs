//! A worker on a store, in virtual time: a place to run a workflow in, and to look at it.

use std::any::Any;
use std::sync::Arc;
use std::sync::Mutex;
use std::time::Duration;

use tasker_engine::{
    Actor, Clock, Created, Demand, Entropy, Execution, Handlers, Intervened, Intervention, Limits,
    MemoryStore, NewTask, Resolved, SeededEntropy, StepHandler, Store, StoreError, TaskRequest, TokioClock,
    UniqueIdentity, Unresolved, Worker, WorkerHandle, WorkerSetup, verify_all,
};
use tasker_types::{Backoff, HandlerRef, Namespace, TaskId, Timestamp, Version};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::harness::Harness;
use crate::plan::Plan;
use crate::view::TaskView;

/// 2026-01-01T00:00:00Z, when every workshop opens.
const OPENED_AT: Timestamp = Timestamp::from_micros(1_767_225_600_000_000);
/// How soon and how late a task is looked at that somebody else than the worker may end.
const LOOK: [Duration; 2] = [Duration::from_millis(100), Duration::from_secs(60)];

/// Runs a test in virtual time: whenever everything waits, the clock jumps to the next moment at which something
/// happens.
///
/// Time stands still while code runs, and jumps past what waits for the world outside, such as a server: give such steps
/// a handler of the test's own, or plan what they return.
///
/// # Panics
///
/// When the test does, or there can be no runtime.
pub fn virtual_time<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(test)
}

/// A worker that runs in the background on a store of its own, by default in memory and without jitter.
///
/// It belongs into [`virtual_time`], or into a test with `#[tokio::test(start_paused = true)]`.
#[derive(Debug)]
pub struct Workshop {
    /// The store.
    pub store: Arc<dyn Store>,
    handle: WorkerHandle,
    handlers: Handlers,
    clock: Arc<TokioClock>,
    entropy: SeededEntropy,
    patience: Duration,
    created: Mutex<Vec<TaskId>>,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), StoreError>>,
    _kept: Box<dyn Any + Send + Sync>,
}

/// Furnishes a [`Workshop`].
#[must_use = "a builder does nothing until `open` is called"]
pub struct WorkshopBuilder {
    named: Vec<(String, Arc<dyn StepHandler>)>,
    others: Option<Handlers>,
    plan: Plan,
    backoff: Arc<Backoff>,
    execution: Arc<Execution>,
    store: Option<OpenStore>,
    patience: Duration,
}

/// Opens a store that reads a clock; beside it comes what must live as long as it does.
type OpenStore = Box<dyn FnOnce(Arc<dyn Clock>) -> (Arc<dyn Store>, Box<dyn Any + Send + Sync>)>;

impl WorkshopBuilder {
    /// Runs steps that name this handler, in whatever namespace and version.
    pub fn handler(mut self, name: impl Into<String>, handler: Arc<dyn StepHandler>) -> Self {
        self.named.push((name.into(), handler));
        self
    }

    /// Looks all other handlers up here, such as in those of a whole `Tasker`.
    pub fn handlers(mut self, handlers: Handlers) -> Self {
        self.others = Some(handlers);
        self
    }

    /// Has something go wrong, or replaces what steps return.
    pub fn plan(mut self, plan: Plan) -> Self {
        self.plan = plan;
        self
    }

    /// Waits between attempts like this instead of 1, 2, 4, … seconds without jitter.
    pub fn backoff(mut self, backoff: Arc<Backoff>) -> Self {
        self.backoff = backoff;
        self
    }

    /// Runs steps with these settings instead of the defaults.
    pub fn execution(mut self, execution: Arc<Execution>) -> Self {
        self.execution = execution;
        self
    }

    /// Keeps tasks in this store instead of in memory. It is given the clock that it must read, and beside it comes what
    /// must live as long as it does, such as a directory.
    pub fn store<K: Any + Send + Sync>(
        mut self,
        open: impl FnOnce(Arc<dyn Clock>) -> (Arc<dyn Store>, K) + 'static,
    ) -> Self {
        self.store = Some(Box::new(|clock| {
            let (store, kept) = open(clock);
            (store, Box::new(kept))
        }));
        self
    }

    /// Waits so long, in virtual time, for tasks to end before it gives up; a day without.
    pub fn patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// Opens the workshop: from now on its worker runs.
    pub fn open(self) -> Workshop {
        let clock = Arc::new(TokioClock::starting_at(OPENED_AT));
        let open = self.store.unwrap_or_else(|| {
            Box::new(|clock| -> (Arc<dyn Store>, Box<dyn Any + Send + Sync>) {
                (Arc::new(MemoryStore::new(clock)), Box::new(()))
            })
        });
        let (store, kept) = open(Arc::<TokioClock>::clone(&clock));
        let handlers = self.plan.applied_to(by_name(self.named, self.others));
        let setup = WorkerSetup::new(
            Arc::clone(&store),
            handlers.clone(),
            Arc::<TokioClock>::clone(&clock),
            Arc::new(SeededEntropy::new(11)),
        );
        let worker = Worker::new(WorkerSetup {
            backoff: self.backoff,
            execution: self.execution,
            ..setup
        });
        let (handle, shutdown) = (worker.handle(), CancellationToken::new());
        Workshop {
            store,
            handle,
            handlers,
            clock,
            entropy: SeededEntropy::new(12),
            patience: self.patience,
            created: Mutex::default(),
            running: tokio::spawn(worker.run(shutdown.clone(), CancellationToken::new())),
            shutdown,
            _kept: kept,
        }
    }
}

fn by_name(named: Vec<(String, Arc<dyn StepHandler>)>, others: Option<Handlers>) -> Handlers {
    Handlers::new(move |namespace: &Namespace, wanted: &HandlerRef| {
        let known = named.iter().find(|(name, _)| name == wanted.name.as_str());
        match (known, &others) {
            (Some((_, handler)), _) => Ok(Resolved {
                handler: Arc::clone(handler),
                version: Version::new(1, 0, 0),
            }),
            (None, Some(others)) => others.resolve(namespace, wanted),
            (None, None) => Err(Unresolved {
                message: format!("the workshop has no handler `{}`", wanted.name),
            }),
        }
    })
}

impl Workshop {
    /// Begins to furnish a workshop.
    pub fn builder() -> WorkshopBuilder {
        WorkshopBuilder {
            named: Vec::new(),
            others: None,
            plan: Plan::new(),
            backoff: Harness::backoff(),
            execution: Arc::default(),
            store: None,
            patience: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// Returns the handlers, to check templates against when they are loaded.
    pub fn handlers(&self) -> &Handlers {
        &self.handlers
    }

    /// Returns the time, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Returns how much virtual time has passed since the workshop was opened.
    pub fn elapsed(&self) -> Duration {
        self.now().since(OPENED_AT)
    }

    /// Lets time pass, and what happens meanwhile.
    pub async fn pass(&self, time: Duration) {
        tokio::time::sleep(time).await;
    }

    /// Returns an id that no task has.
    pub fn new_id(&self) -> TaskId {
        TaskId::new(self.now(), self.entropy.next_u128())
    }

    /// Creates a task, whose first steps start at once.
    ///
    /// # Panics
    ///
    /// When the request or the store refuses.
    #[track_caller]
    pub fn create(&self, request: impl Into<TaskRequest>) -> impl Future<Output = TaskId> {
        let request = request.into();
        let new = match request.prepare(self.new_id(), &Limits::default(), &UniqueIdentity) {
            Ok(new) => new,
            Err(error) => panic!("the request was refused: {error}"),
        };
        async {
            match self.create_task(new).await {
                Ok(task) => task,
                Err(error) => panic!("the store refused the task: {error}"),
            }
        }
    }

    /// Creates a task about which more is to be said. One with a key that was used returns the task of that key.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn create_task(&self, task: NewTask) -> Result<TaskId, StoreError> {
        let mut created = self
            .handle
            .create(Actor::User("ann".to_owned()), vec![task])
            .await?;
        let task = created.pop().map(Created::task).ok_or(StoreError::Closed)?;
        self.created.lock().unwrap().push(task);
        Ok(task)
    }

    /// Looks at a task.
    ///
    /// # Panics
    ///
    /// When there is no such task, or the store refuses.
    pub async fn look(&self, task: TaskId) -> TaskView {
        match TaskView::of(&*self.store, task).await {
            Ok(Some(view)) => view,
            Ok(None) => panic!("there is no task {task}"),
            Err(error) => panic!("the store does not show the task {task}: {error}"),
        }
    }

    /// Waits until a task has ended, well or in error, and looks at it.
    ///
    /// # Panics
    ///
    /// When it has not ended after the workshop's patience.
    pub async fn end(&self, task: TaskId) -> TaskView {
        let (begun, mut finished) = (self.now(), self.handle.finished());
        let [mut wait, longest] = LOOK;
        loop {
            let view = self.look(task).await;
            if !view.state().is_active() {
                return view;
            }
            let waited = self.now().since(begun);
            assert!(
                waited < self.patience,
                "the task did not end within {} s\n\n{view}",
                self.patience.as_secs_f64()
            );
            // Whoever ended, it is time to look again; and so it is when the worker is gone.
            let _ = tokio::time::timeout(wait.min(self.patience - waited), finished.recv()).await;
            wait = (wait * 2).min(longest);
        }
    }

    /// Creates a task, waits until it has ended, and looks at it.
    ///
    /// # Panics
    ///
    /// As [`create`](Self::create) and [`end`](Self::end).
    pub async fn run(&self, request: impl Into<TaskRequest>) -> TaskView {
        let task = self.create(request).await;
        self.end(task).await
    }

    /// Waits until every task that was created here has ended, well or in error.
    ///
    /// # Panics
    ///
    /// When one has not ended after the workshop's patience.
    pub async fn drain(&self) {
        let created = self.created.lock().unwrap().clone();
        for task in created {
            self.end(task).await;
        }
    }

    /// Has an operator demand something of a task.
    ///
    /// # Errors
    ///
    /// What the store refuses.
    pub async fn intervene(&self, task: TaskId, demand: Demand) -> Result<Intervened, StoreError> {
        self.store
            .intervene(Intervention::new(task, demand, Actor::User("ann".to_owned())))
            .await
    }

    /// Stops the worker, and checks that the history of every task follows the rules.
    ///
    /// # Errors
    ///
    /// What the store says.
    ///
    /// # Panics
    ///
    /// When a history does not follow the rules, with the report.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shutdown.cancel();
        self.running.await.unwrap_or(Err(StoreError::Closed))?;
        let report = verify_all(&*self.store).await?;
        assert!(report.holds(), "{report}");
        Ok(())
    }
}

impl std::fmt::Debug for WorkshopBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WorkshopBuilder")
            .field("plan", &self.plan)
            .field("patience", &self.patience)
            .finish_non_exhaustive()
    }
}
