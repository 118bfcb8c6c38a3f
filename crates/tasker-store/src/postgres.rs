//! Tasks in PostgreSQL: any number of processes on any number of machines, and one truth.

mod budget;
mod cache;
mod claim;
mod connect;
mod connection;
mod create;
mod crowd;
/// What is not as it should be with a server and a schema.
pub mod doctor;
mod error;
mod flush;
mod front;
mod health;
mod history;
mod intervene;
mod list;
/// The schema of a database: bringing it up to date, and back.
pub mod migrate;
#[cfg(test)]
mod plans;
mod prune;
mod read;
mod readers;
mod rows;
mod secret;
mod statement;
mod sweep;
mod together;
mod tokens;
#[cfg(feature = "sqlite")]
pub(crate) mod transfer;
mod turn;
mod unit;
mod wake;
mod within;
mod writer;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// The connection that [`PostgresStore::create_in`] takes.
pub use diesel_async::AsyncPgConnection;

use async_trait::async_trait;
use tasker_engine::{
    Clock, Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, Reading, Renewal, Snapshot,
    Store, StoreError, Sweep, Swept, TaskPage, TaskQuery, Totals, Transition, Turn, TurnReply,
};
use tasker_types::{Database, Execution, Position, StepNo, TaskContext, TaskId, Timestamp};
use tokio::sync::watch;

use crate::pool::{Busy, Pools};
use crate::probe::{Onlookers, Probe, SlowStatements};
use crate::status::{Connections, Schema};
use budget::Budget;
use connect::Target;
use error::classify;
use front::Front;
use readers::{Crowd, Readers};
use writer::{Desk, Job, Writer};

/// How a PostgreSQL database is used.
#[derive(Clone)]
pub struct PostgresOptions {
    url: String,
    schema: Option<String>,
    clock: Option<Arc<dyn Clock>>,
    database: Database,
    execution: Execution,
    onlookers: Onlookers,
    many_deleted: i64,
}

impl fmt::Debug for PostgresOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PostgresOptions").finish_non_exhaustive()
    }
}

impl PostgresOptions {
    /// Returns the options for a URL such as `postgres://ann:secret@host/tasks`, with the default settings. Leases and waits
    /// are timed by the server's clock.
    pub fn new(url: impl Into<String>) -> Self {
        Self {
            url: url.into(),
            schema: None,
            clock: None,
            database: Database::default(),
            execution: Execution::default(),
            onlookers: Onlookers::default(),
            many_deleted: front::MANY,
        }
    }

    /// Sets how many connections write and read, and how long a statement may take.
    #[must_use]
    pub fn settings(mut self, database: &Database) -> Self {
        self.database = database.clone();
        self
    }

    /// Sets how many connections there may be while others need the server, too.
    #[must_use]
    pub fn execution(mut self, execution: &Execution) -> Self {
        self.execution = execution.clone();
        self
    }

    /// Keeps the tables in this schema, which is made if need be, instead of the first of the user's search path.
    #[must_use]
    pub fn schema(mut self, schema: impl Into<String>) -> Self {
        self.schema = Some(schema.into());
        self
    }

    /// Times leases and waits by this clock instead of the server's: for tests, with one process alone.
    #[must_use]
    pub fn clock(mut self, clock: Arc<dyn Clock>) -> Self {
        self.clock = Some(clock);
        self
    }

    /// Has every statement pass by this, to see what becomes of the store when some fail.
    #[must_use]
    pub fn probe(mut self, probe: Arc<dyn Probe>) -> Self {
        self.onlookers.probe = Some(probe);
        self
    }

    /// Sets how many places of the queue are many that were deleted and are still there; looks then begin where the last one
    /// found a place: for tests.
    #[must_use]
    pub fn many_deleted_places(mut self, places: u32) -> Self {
        self.many_deleted = places.into();
        self
    }

    /// Has statements that take long logged and counted.
    #[must_use]
    pub fn slow_statements(mut self, slow: Arc<SlowStatements>) -> Self {
        self.onlookers.slow = Some(slow);
        self
    }
}

impl PostgresOptions {
    fn target(&self) -> Result<Target, StoreError> {
        Target::new(
            &self.url,
            self.schema.clone(),
            &self.database,
            self.onlookers.clone(),
        )
    }
}

#[derive(Debug)]
struct Shared {
    desk: Arc<Desk>,
    writer: Writer,
    readers: Readers,
    /// Those who ask for snapshots.
    looks: Arc<Crowd<TaskId, Snapshot>>,
    budget: Budget,
    offset: i64,
    _listener: Option<wake::Listener>,
}

/// A store in a PostgreSQL database.
///
/// Copies share the connections. It belongs to the runtime on which it was opened.
#[derive(Clone, Debug)]
pub struct PostgresStore {
    shared: Arc<Shared>,
    wake: watch::Receiver<u64>,
}

impl PostgresStore {
    /// Connects, and brings the schema up to date if need be.
    ///
    /// # Errors
    ///
    /// When the server cannot be reached, or the schema belongs to a newer program.
    pub async fn open(options: PostgresOptions) -> Result<Self, StoreError> {
        let target = options.target()?;
        let PostgresOptions {
            clock,
            database,
            execution,
            many_deleted,
            ..
        } = options;
        let notifies = database.notifications;
        let [first, second] = target.connect_two().await?;
        migrate::ensure(&target, first).await?;
        let (contexts, graphs) = (Arc::default(), Arc::default());
        let front = Arc::new(Front::new(many_deleted));
        let busy = Busy::default();
        let session = writer::begin(
            second,
            &target,
            clock.as_ref(),
            &contexts,
            &front,
            &graphs,
            &busy.open,
        )
        .await?;
        let offset = session.offset;
        let budget = Budget::new(database, execution);
        let server = budget::server(&session.connection)
            .await
            .map_err(|error| classify(target.shown(), error))?;
        // The one that asks is its own.
        let sizes = budget.sizes(server, 1);
        let (sender, wake) = watch::channel(0);
        let desk = Arc::new(Desk {
            target: target.clone(),
            clock,
            contexts,
            front,
            graphs,
            wake: sender,
            nonce: session.nonce.clone(),
            hint: Arc::default(),
            busy,
            crowds: crowd::Crowds::default(),
        });
        let listener = notifies.then(|| wake::Listener::start(&desk));
        let writer = Writer::start(&desk, budget.most(), sizes.writers, session);
        let shared = Arc::new(Shared {
            readers: Readers::new(target, sizes.readers),
            looks: Arc::default(),
            desk,
            writer,
            budget,
            offset,
            _listener: listener,
        });
        tokio::spawn(budget::keep(Arc::downgrade(&shared)));
        Ok(Self { shared, wake })
    }

    /// Looks how full the server is, and takes as many connections as that leaves; this happens by itself twice a minute.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn balance(&self) -> Result<(), StoreError> {
        self.shared.balance().await
    }

    /// Returns the URL as it may be shown: without a password.
    pub fn url(&self) -> &str {
        self.shared.desk.target.shown()
    }

    /// Returns how many steps the worker holds that holds fewest, of those that hold any; `None` when nothing runs.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn fewest_held(&self) -> Result<Option<u32>, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(list::fewest_held(connection)))
            .await
    }

    /// Returns the version of the schema, which shows that the server answers.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(health::schema(connection)))
            .await
    }

    /// Counts tasks and steps, in one pass over all of them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let now = self.now();
        self.shared
            .readers
            .read(move |connection| Box::pin(health::totals(connection, now)))
            .await
    }

    /// Returns how many connections there are, how many of them are reading, and what the server has.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn connections(&self) -> Result<Connections, StoreError> {
        let (readers, reading) = self.shared.readers.in_use();
        let server = self
            .shared
            .readers
            .read(move |connection| Box::pin(health::connections(connection)))
            .await?;
        Ok(Connections {
            readers,
            reading,
            writers: self.shared.writer.size(),
            server: Some(server),
        })
    }

    /// Returns how busy the connections of this process are.
    pub fn pools(&self) -> Pools {
        Pools {
            readers: self.shared.readers.pool(),
            writers: self.shared.desk.busy.pool(self.shared.writer.size()),
        }
    }

    /// Carries out what was asked for, closes the connections that write, and refuses further changes.
    ///
    /// # Errors
    ///
    /// None at present.
    pub async fn close(&self) -> Result<(), StoreError> {
        self.shared.writer.close().await;
        Ok(())
    }

    fn now(&self) -> Option<Timestamp> {
        self.shared.desk.clock.as_ref().map(|clock| clock.now())
    }
}

/// How often the end of the events is looked at again while transactions are under way that may come before it.
const LOOKS: u32 = 40;

#[async_trait]
impl Store for PostgresStore {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let job = |reply| Job::Create(Box::new(request), reply);
        self.shared.writer.ask(job).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.shared
            .writer
            .ask(|reply| Job::Turn(Box::new(turn), reply))
            .await
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.shared.writer.ask(|reply| Job::Renew(renewal, reply)).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.shared.writer.ask(|reply| Job::Sweep(sweep, reply)).await
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.shared.writer.ask(|reply| Job::Examine(task, reply)).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        let job = |reply| Job::CheckIn(task, delay, reply);
        self.shared.writer.ask(job).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let job = |reply| Job::Intervene(intervention, reply);
        self.shared.writer.ask(job).await
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        let (clock, graphs) = (
            self.shared.desk.clock.clone(),
            Arc::clone(&self.shared.desk.graphs),
        );
        let looks = &self.shared.looks;
        let found = self
            .shared
            .readers
            .read_together(looks, task, move |connection, tasks| {
                let (now, graphs) = (clock.as_ref().map(|clock| clock.now()), Arc::clone(&graphs));
                Box::pin(async move { read::snapshots_of(connection, &graphs, &tasks, now).await })
            });
        found.await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(read::results(connection, task)))
            .await
    }

    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        let (now, tasks) = (self.now(), tasks.to_vec());
        let graphs = Arc::clone(&self.shared.desk.graphs);
        self.shared
            .readers
            .read(move |connection| {
                Box::pin(async move { read::readings(connection, &graphs, &tasks, now).await })
            })
            .await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(history::of_task(connection, task, after, limit)))
            .await
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        let offset = self.shared.offset;
        for _ in 0..LOOKS {
            let (entries, more) = self
                .shared
                .readers
                .read(move |connection| Box::pin(history::of_all(connection, after, limit, offset)))
                .await?;
            if !more {
                return Ok(entries);
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let (entries, _) = self
            .shared
            .readers
            .read(move |connection| Box::pin(history::of_all(connection, after, limit, offset)))
            .await?;
        Ok(entries)
    }

    async fn position(&self) -> Result<Position, StoreError> {
        let offset = self.shared.offset;
        let mut last = None;
        let mut end = 0;
        for _ in 0..LOOKS {
            let (newest, safe) = self
                .shared
                .readers
                .read(move |connection| Box::pin(history::position(connection, offset)))
                .await?;
            let last = *last.get_or_insert(newest);
            if last < safe {
                return Ok(Position(last));
            }
            end = safe;
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        // A transaction that lasts may still write before the last entry.
        self.shared
            .readers
            .read(move |connection| Box::pin(history::position_before(connection, end)))
            .await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(list::list(connection, query)))
            .await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.keep_cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        let mut wake = self.wake.clone();
        wake.mark_unchanged();
        wake
    }
}
