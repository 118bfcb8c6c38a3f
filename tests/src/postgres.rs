//! A PostgreSQL store for tests that live in virtual time.
//!
//! Its connections belong to a runtime of their own, where time is real. Whoever asks waits with his thread, so that a
//! paused clock does not run away while the server works.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker_engine::{
    Clock, Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, Renewal, Snapshot, Store,
    StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, ManualClock};
use tasker_types::{Database, DatabaseValues, Position, StepNo, TaskContext, TaskId, Timestamp};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// A store whose connections belong to another runtime.
#[derive(Debug)]
pub(crate) struct Elsewhere {
    /// The clock of the one who asks.
    clock: Arc<dyn Clock>,
    /// Given back when this one is dropped.
    lent: Option<Schema>,
}

/// A schema of its own with a store that is open in it. Making one takes longer than emptying one.
struct Schema {
    store: PostgresStore,
    /// The clock that the store reads, which is set before each request.
    shown: ManualClock,
    broom: AsyncPgConnection,
}

impl fmt::Debug for Schema {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Schema").finish_non_exhaustive()
    }
}

/// Schemas that nobody uses.
static IDLE: Mutex<Vec<Schema>> = Mutex::new(Vec::new());

/// What an empty store has not. Templates, queues and actors stay, for the store remembers them.
const EMPTY: &str = "DELETE FROM history; DELETE FROM task_history; DELETE FROM payloads; DELETE FROM leases; DELETE FROM ready_steps; \
     DELETE FROM steps; DELETE FROM tasks; UPDATE queues SET last_served = 0";

#[expect(clippy::expect_used, reason = "a test without a store cannot go on")]
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .enable_all()
            .build()
            .expect("a runtime can be made")
    })
}

/// Runs a future on the other runtime while this thread waits.
#[expect(clippy::expect_used, reason = "a test whose store panicked cannot go on")]
fn wait<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    runtime().spawn(async move {
        // Whoever asked waits for it.
        let _ = sender.send(future.await);
    });
    receiver.recv().expect("the store answers")
}

impl Schema {
    #[expect(clippy::expect_used, reason = "a test without a store cannot go on")]
    async fn make(now: Timestamp) -> Self {
        let cluster = Cluster::shared();
        let (schema, shown) = (cluster.schema(), ManualClock::at(now));
        let values = DatabaseValues {
            writers: 1,
            readers: 1,
            ..DatabaseValues::default()
        };
        let options = PostgresOptions::new(cluster.url())
            .schema(&schema)
            .settings(&Database::try_from(values).expect("the settings are within bounds"))
            .clock(Arc::new(shown.clone()));
        let store = PostgresStore::open(options)
            .await
            .expect("a new schema can be filled");
        let mut broom = AsyncPgConnection::establish(cluster.url())
            .await
            .expect("the server can be reached");
        let search = format!("SET search_path = {schema}");
        broom.batch_execute(&search).await.expect("the schema is there");
        Self { store, shown, broom }
    }

    #[expect(clippy::expect_used, reason = "a test without a store cannot go on")]
    async fn empty(mut self) -> Self {
        self.broom
            .batch_execute(EMPTY)
            .await
            .expect("the schema can be emptied");
        self
    }
}

impl Elsewhere {
    /// Returns an empty store.
    pub(crate) fn open(clock: Arc<dyn Clock>) -> Self {
        let idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner).pop();
        let now = clock.now();
        let lent = match idle {
            Some(schema) => wait(schema.empty()),
            None => wait(Schema::make(now)),
        };
        Self {
            clock,
            lent: Some(lent),
        }
    }

    #[expect(clippy::expect_used, reason = "it is given back only when it is dropped")]
    fn schema(&self) -> &Schema {
        self.lent.as_ref().expect("the schema is lent")
    }

    fn store(&self) -> PostgresStore {
        let schema = self.schema();
        schema.shown.set(self.clock.now());
        schema.store.clone()
    }
}

impl Drop for Elsewhere {
    fn drop(&mut self) {
        // What a test left half done in it, another would meet.
        if !std::thread::panicking() {
            let mut idle = IDLE.lock().unwrap_or_else(PoisonError::into_inner);
            idle.extend(self.lent.take());
        }
    }
}

#[async_trait]
impl Store for Elsewhere {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let store = self.store();
        wait(async move { store.create(request).await })
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let store = self.store();
        wait(async move { store.turn(turn).await })
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let store = self.store();
        wait(async move { store.renew(renewal).await })
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let store = self.store();
        wait(async move { store.sweep(sweep).await })
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let store = self.store();
        wait(async move { store.examine(task).await })
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        let store = self.store();
        wait(async move { store.check_in(task, delay).await })
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let store = self.store();
        wait(async move { store.intervene(intervention).await })
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        let store = self.store();
        wait(async move { store.snapshot(task).await })
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        let store = self.store();
        wait(async move { store.results(task).await })
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let store = self.store();
        wait(async move { store.history(task, after, limit).await })
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        let store = self.store();
        wait(async move { store.events(after, limit).await })
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        let store = self.store();
        wait(async move { store.list(query).await })
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let store = self.store();
        wait(async move { store.cursor_secret(fresh).await })
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.schema().store.wake()
    }
}
