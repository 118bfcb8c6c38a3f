//! The SQLite store, put through the conformance suite and compared with the store in memory.

mod conformance;
mod damage;
mod doctor;
mod files;
mod identity;
mod pruning;
mod random;
mod tokens;
mod totals;

use std::sync::Arc;

use tasker_engine::MemoryStore;
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_testkit::{Harness, ManualClock};

/// Opens a new store whose writer runs in the test's own thread.
async fn open(clock: ManualClock) -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone())).inline();
    Harness::new(Arc::new(SqliteStore::open(options).unwrap()), clock).keeping(directory)
}

/// Opens a new store with a thread that writes.
async fn open_threaded(clock: ManualClock) -> Harness {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone()));
    Harness::new(Arc::new(SqliteStore::open(options).unwrap()), clock).keeping(directory)
}

async fn memory(clock: ManualClock) -> Harness {
    Harness::new(Arc::new(MemoryStore::new(Arc::new(clock.clone()))), clock)
}
