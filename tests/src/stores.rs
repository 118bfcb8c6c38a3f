//! The stores that every test of the whole runs on.

use std::any::Any;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use tasker_engine::{Clock, MemoryStore, Store};
use tasker_store::{SqliteOptions, SqliteStore};

use crate::postgres;

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In a SQLite file of its own.
    Sqlite,
    /// In a schema of its own of a throw-away PostgreSQL server.
    Postgres,
}

/// An open, empty store, and what must live as long as it does.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    again: Option<Again>,
    _kept: Box<dyn Any + Send + Sync>,
}

/// Opens a store once more, as another process does.
struct Again(Box<dyn Fn() -> Arc<dyn Store> + Send + Sync>);

impl fmt::Debug for Again {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Again")
    }
}

impl Opened {
    /// Keeps something, such as a directory, for as long as the store is open.
    pub fn new(store: Arc<dyn Store>, kept: impl Any + Send + Sync) -> Self {
        Self {
            store,
            again: None,
            _kept: Box::new(kept),
        }
    }

    /// Says how to open the store once more.
    #[must_use]
    pub fn with(mut self, again: impl Fn() -> Arc<dyn Store> + Send + Sync + 'static) -> Self {
        self.again = Some(Again(Box::new(again)));
        self
    }

    /// Opens the store once more, as another process does; `None` when it lives in the memory of one.
    pub fn again(&self) -> Option<Arc<dyn Store>> {
        self.again.as_ref().map(|again| again.0())
    }
}

impl StoreKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Memory, Self::Sqlite, Self::Postgres];

    /// Returns the name that the command line uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }

    /// Opens a new store that reads this clock and does its work wherever it is called from.
    pub fn open(self, clock: Arc<dyn Clock>) -> Opened {
        match self {
            Self::Memory => Opened::new(Arc::new(MemoryStore::new(clock)), ()),
            Self::Sqlite => sqlite(clock, in_memory(), SqliteOptions::inline),
            Self::Postgres => Opened::new(Arc::new(postgres::Elsewhere::open(clock)), ()),
        }
    }

    /// Opens a new store that reads this clock, with the threads that it has in production.
    pub fn open_threaded(self, clock: Arc<dyn Clock>) -> Opened {
        match self {
            Self::Memory | Self::Postgres => self.open(clock),
            Self::Sqlite => sqlite(clock, std::env::temp_dir(), std::convert::identity),
        }
    }
}

/// Returns a directory whose files need no disk, if there is one: a simulation loses no power.
pub(crate) fn in_memory() -> PathBuf {
    let shared = PathBuf::from("/dev/shm");
    if shared.is_dir() {
        shared
    } else {
        std::env::temp_dir()
    }
}

#[expect(clippy::expect_used, reason = "a test without a store cannot go on")]
fn sqlite(clock: Arc<dyn Clock>, at: PathBuf, change: fn(SqliteOptions) -> SqliteOptions) -> Opened {
    let directory = tempfile::tempdir_in(at).expect("a directory can be made");
    let options = change(SqliteOptions::new(directory.path().join("tasker.db"), clock));
    let open = move || -> Arc<dyn Store> {
        Arc::new(SqliteStore::open(options.clone()).expect("the file can be opened"))
    };
    Opened::new(open(), directory).with(open)
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
