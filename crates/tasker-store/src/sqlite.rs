//! Tasks in a SQLite file: one connection writes, others read, and any number of processes may open the file.

mod cache;
mod claim;
mod connection;
mod create;
/// What is not as it should be with a database file.
pub mod doctor;
mod error;
#[cfg(test)]
mod faults;
mod file;
mod flush;
#[cfg(test)]
mod full;
mod health;
mod history;
mod intervene;
mod kept;
mod lease;
mod list;
/// The schema of a database file: bringing it up to date, and back.
pub mod migrate;
#[cfg(test)]
mod plans;
mod process;
mod prune;
mod read;
pub(crate) mod rows;
mod secret;
pub(crate) mod statement;
mod sweep;
mod tokens;
#[cfg(feature = "postgres")]
pub(crate) mod transfer;
mod turn;
mod unit;
mod writer;

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use tasker_engine::{
    Clock, Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, Reading, Renewal, Snapshot,
    Store, StoreError, Sweep, Swept, TaskPage, TaskQuery, Totals, Transition, Turn, TurnReply,
};
use tasker_types::{Database, Position, StepNo, TaskContext, TaskId};
use tokio::sync::{Semaphore, watch};

use crate::pool::{Pool, Pools, Tally};
use crate::probe::{Probe, SlowStatements};
use crate::status::{Connections, Schema};
use crate::work::Graphs;
use cache::Cache;
use connection::Connection;
use error::{classify, is_over};
use file::Mode;
pub use file::SqliteFile;
use process::ProcessLock;
use statement::{Bind, Statement};
use writer::{Core, Share, Writer};

/// How a SQLite file is opened.
#[derive(Clone, Debug)]
pub struct SqliteOptions {
    file: SqliteFile,
    clock: Arc<dyn Clock>,
    inline: bool,
}

impl SqliteOptions {
    /// Returns the options for a file, and a clock by which leases and waits are timed.
    pub fn new(file: impl Into<SqliteFile>, clock: Arc<dyn Clock>) -> Self {
        Self {
            file: file.into(),
            clock,
            inline: false,
        }
    }

    /// Sets when SQLite waits for the disk, how many connections read, and how long to wait for another process.
    #[must_use]
    pub fn settings(mut self, database: &Database) -> Self {
        self.file = self.file.settings(database);
        self
    }

    /// Has every statement pass by this, to see what becomes of the store when some fail.
    #[must_use]
    pub fn probe(mut self, probe: Arc<dyn Probe>) -> Self {
        self.file = self.file.probe(probe);
        self
    }

    /// Has statements that take long logged and counted.
    #[must_use]
    pub fn slow_statements(mut self, slow: Arc<SlowStatements>) -> Self {
        self.file = self.file.slow_statements(slow);
        self
    }

    /// Has every request run in the thread that makes it, so that a simulation decides on the order of everything.
    #[must_use]
    pub fn inline(mut self) -> Self {
        self.inline = true;
        self
    }
}

/// Connections that only read, lent one at a time.
struct Readers {
    idle: Mutex<Vec<Connection>>,
    permits: Arc<Semaphore>,
    count: u32,
    waiting: Tally,
}

impl fmt::Debug for Readers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Readers")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

#[derive(Debug)]
struct Shared {
    file: SqliteFile,
    clock: Arc<dyn Clock>,
    inline: bool,
    writer: Writer,
    readers: Readers,
    /// Templates that were read by those who look.
    graphs: Arc<Graphs>,
    /// Held until the last copy is dropped: others know by it that this process lives.
    _process: ProcessLock,
}

/// A store in a SQLite file.
///
/// Copies share the connections. When the last one is dropped, what was asked for is carried out first.
#[derive(Clone, Debug)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    wake: watch::Receiver<u64>,
}

impl Drop for Shared {
    fn drop(&mut self) {
        self.writer.close();
    }
}

impl SqliteStore {
    /// Opens a file, which is created and brought up to date if need be. Blocks while it does.
    ///
    /// # Errors
    ///
    /// When the file is no database of Tasker, cannot be written, or belongs to a newer program.
    pub fn open(options: SqliteOptions) -> Result<Self, StoreError> {
        let SqliteOptions { file, clock, inline } = options;
        let path = file.path.clone();
        let mut connection = file.open(Mode::Write)?;
        migrate::ensure(&path, &mut connection)?;
        let (key, process) = loop {
            let key = note_process(&mut connection).map_err(|error| classify(&path, error))?;
            if let Some(lock) = ProcessLock::take(&path, key)? {
                break (key, lock);
            }
        };
        let (sender, wake) = watch::channel(0);
        let core = Core {
            connection,
            cache: Cache::default(),
            file: file.clone(),
            clock: Arc::clone(&clock),
            process: key,
            wake: sender,
            refusal: None,
            share: Share::Alone,
        };
        let readers = (0..if inline { 1 } else { file.settings.readers })
            .map(|_| file.open(Mode::Read))
            .collect::<Result<Vec<_>, _>>()?;
        let writer = if inline {
            Writer::inline(core)
        } else {
            Writer::thread(core).map_err(|error| StoreError::Unavailable {
                store: path.display().to_string(),
                source: Box::new(error),
            })?
        };
        let permits = Arc::new(Semaphore::new(readers.len()));
        let readers = Readers {
            count: u32::try_from(readers.len()).unwrap_or(u32::MAX),
            idle: Mutex::new(readers),
            permits,
            waiting: Tally::default(),
        };
        Ok(Self {
            shared: Arc::new(Shared {
                file,
                clock,
                inline,
                writer,
                readers,
                graphs: Arc::default(),
                _process: process,
            }),
            wake,
        })
    }

    /// Returns the file.
    pub fn path(&self) -> &Path {
        &self.shared.file.path
    }

    /// Returns how many steps the worker holds that holds fewest, of those that hold any; `None` when nothing runs.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn fewest_held(&self) -> Result<Option<u32>, StoreError> {
        self.read(list::fewest_held).await
    }

    /// Returns the version of the file's schema, which shows that the file can be read.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn schema(&self) -> Result<Schema, StoreError> {
        self.read(health::schema).await
    }

    /// Counts tasks and steps, in one pass over all of them.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn totals(&self) -> Result<Totals, StoreError> {
        let clock = Arc::clone(&self.shared.clock);
        self.read(move |connection| health::totals(connection, clock.now()))
            .await
    }

    /// Returns how many connections there are, and how many of them are reading.
    pub fn connections(&self) -> Connections {
        let readers = &self.shared.readers;
        let free = u32::try_from(readers.permits.available_permits()).unwrap_or(u32::MAX);
        Connections {
            readers: readers.count,
            reading: readers.count.saturating_sub(free),
            writers: 1,
            server: None,
        }
    }

    /// Returns how busy the connections are.
    pub fn pools(&self) -> Pools {
        let readers = &self.shared.readers;
        let Connections {
            readers: size,
            reading,
            ..
        } = self.connections();
        let idle = readers.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        Pools {
            readers: Pool {
                size,
                in_use: reading,
                idle: u32::try_from(idle).unwrap_or(u32::MAX),
                waiting: readers.waiting.get(),
            },
            writers: self.shared.writer.pool(),
        }
    }

    /// Carries out what was asked for, leaves the file in good order, and refuses further changes.
    ///
    /// # Errors
    ///
    /// None at present; a file that is left without a last checkpoint loses nothing.
    pub async fn close(&self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        if shared.inline {
            shared.writer.close();
            return Ok(());
        }
        tokio::task::spawn_blocking(move || shared.writer.close())
            .await
            .map_err(|_| StoreError::Closed)
    }

    /// Reads in a transaction of its own, so that everything is seen at one moment.
    async fn read<T: Send + 'static>(
        &self,
        look: impl FnOnce(&mut Connection) -> QueryResult<T> + Send + 'static,
    ) -> Result<T, StoreError> {
        if self.shared.inline {
            return self.shared.read(look);
        }
        let shared = Arc::clone(&self.shared);
        let waiting = shared.readers.waiting.begin();
        let permit = Arc::clone(&shared.readers.permits).acquire_owned().await;
        let permit = permit.map_err(|_| StoreError::Closed)?;
        drop(waiting);
        // It runs to its end though the caller may go away, and only then may another one read.
        let reading = tokio::task::spawn_blocking(move || {
            let result = shared.read(look);
            drop(permit);
            result
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }
}

impl Shared {
    fn read<T>(&self, look: impl FnOnce(&mut Connection) -> QueryResult<T>) -> Result<T, StoreError> {
        let lent = self
            .readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .pop();
        let path = &self.file.path;
        let Some(mut connection) = lent else {
            return Err(StoreError::Unavailable {
                store: path.display().to_string(),
                source: "every connection that reads is in use".into(),
            });
        };
        let result = connection
            .batch_execute("BEGIN")
            .and_then(|()| look(&mut connection))
            .map_err(|error| classify(path, error));
        // A transaction that only read has nothing to lose, but one that does not end would see the same for ever.
        if let Err(error) = connection.batch_execute("ROLLBACK")
            && !is_over(&error)
            && let Ok(another) = self.file.open(Mode::Read)
        {
            connection = another;
        }
        self.readers
            .idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .push(connection);
        result
    }
}

/// Gives this store a number that no other store of the file ever had, and forgets those that hold nothing any more.
fn note_process(connection: &mut Connection) -> QueryResult<i64> {
    const NOTE: &str = "INSERT INTO processes (pid) VALUES (?1) RETURNING id";
    const FORGET: &str = "DELETE FROM processes WHERE id < ?1 AND id NOT IN (SELECT process FROM leases)";
    let pid = i64::from(std::process::id());
    let row: (i64,) = Statement::<(BigInt,)>::new(NOTE, &[Bind::Int(pid)]).get_result(connection)?;
    Statement::<()>::new(FORGET, &[Bind::Int(row.0)]).execute(connection)?;
    Ok(row.0)
}

/// Returns the stores that hold leases but are proven dead.
fn dead_processes(connection: &mut Connection, path: &Path, own: i64) -> QueryResult<Vec<i64>> {
    const SQL: &str = "SELECT DISTINCT process FROM leases WHERE process <> ?1";
    let rows = Statement::<(BigInt,)>::new(SQL, &[Bind::Int(own)]).load::<(i64,)>(connection)?;
    Ok(rows
        .into_iter()
        .map(|row| row.0)
        .filter(|number| process::dead(path, *number))
        .collect())
}

#[async_trait]
impl Store for SqliteStore {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.shared.writer.write(move |unit| unit.create(request)).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.shared.writer.write(move |unit| unit.turn(turn)).await
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.shared.writer.write(move |unit| unit.renew(&renewal)).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let path = self.shared.file.path.clone();
        self.shared
            .writer
            .write(move |unit| {
                let dead = dead_processes(unit.connection, &path, unit.process)?;
                unit.sweep(&sweep, &dead)
            })
            .await
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.shared.writer.write(move |unit| unit.examine(task)).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.shared
            .writer
            .write(move |unit| unit.check_in(task, delay))
            .await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        self.shared
            .writer
            .write(move |unit| unit.intervene(&intervention))
            .await
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        let clock = Arc::clone(&self.shared.clock);
        let graphs = Arc::clone(&self.shared.graphs);
        self.read(move |connection| read::snapshot(connection, &graphs, task, clock.now()))
            .await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.read(move |connection| read::results(connection, task)).await
    }

    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        let (clock, tasks) = (Arc::clone(&self.shared.clock), tasks.to_vec());
        let graphs = Arc::clone(&self.shared.graphs);
        self.read(move |connection| read::readings(connection, &graphs, &tasks, clock.now()))
            .await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        self.read(move |connection| history::of_task(connection, task, after, limit))
            .await
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.read(move |connection| history::of_all(connection, after, limit))
            .await
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.read(read::position).await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.read(move |connection| list::list(connection, query)).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.shared
            .writer
            .write(move |unit| unit.cursor_secret(fresh))
            .await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        let mut wake = self.wake.clone();
        wake.mark_unchanged();
        wake
    }
}
