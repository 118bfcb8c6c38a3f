//! The stores that every test of the whole runs on.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tasker_engine::{Clock, MemoryStore, Store};
use tasker_store::{SqliteOptions, SqliteStore};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// In memory.
    Memory,
    /// In a SQLite file of its own.
    Sqlite,
}

/// An open, empty store, and what must live as long as it does.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Opened {
    /// Keeps something, such as a directory, for as long as the store is open.
    pub fn new(store: Arc<dyn Store>, kept: impl Any + Send + Sync) -> Self {
        Self {
            store,
            _kept: Box::new(kept),
        }
    }
}

impl StoreKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Memory, Self::Sqlite];

    /// Returns the name that the command line uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Sqlite => "sqlite",
        }
    }

    /// Opens a new store that reads this clock and does its work wherever it is called from.
    pub fn open(self, clock: Arc<dyn Clock>) -> Opened {
        match self {
            Self::Memory => Opened::new(Arc::new(MemoryStore::new(clock)), ()),
            Self::Sqlite => sqlite(clock, SqliteOptions::inline),
        }
    }

    /// Opens a new store that reads this clock, with the threads that it has in production.
    pub fn open_threaded(self, clock: Arc<dyn Clock>) -> Opened {
        match self {
            Self::Memory => self.open(clock),
            Self::Sqlite => sqlite(clock, std::convert::identity),
        }
    }
}

#[expect(clippy::expect_used, reason = "a test without a store cannot go on")]
fn sqlite(clock: Arc<dyn Clock>, change: fn(SqliteOptions) -> SqliteOptions) -> Opened {
    let directory = tempfile::tempdir().expect("a directory can be made");
    let options = change(SqliteOptions::new(directory.path().join("tasker.db"), clock));
    Opened::new(
        Arc::new(SqliteStore::open(options).expect("a new file can be opened")),
        directory,
    )
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
