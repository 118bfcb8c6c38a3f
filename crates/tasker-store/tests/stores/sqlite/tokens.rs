//! API tokens in a file.

use std::sync::Arc;

use tasker_engine::TokenStore;
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_testkit::ManualClock;
use tempfile::TempDir;

async fn open(clock: ManualClock) -> (Arc<dyn TokenStore>, TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock));
    (Arc::new(SqliteStore::open(options).unwrap()), directory)
}

tasker_testkit::token_conformance!(open);
