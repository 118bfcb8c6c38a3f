//! Removing what ended, in a file.

use std::sync::Arc;

use tasker_store::{SqliteOptions, SqliteStore};
use tasker_testkit::{Harness, ManualClock};

use crate::pruning;

fn open() -> (Harness, SqliteStore) {
    let clock = ManualClock::new();
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone()));
    let store = SqliteStore::open(options).unwrap();
    (
        Harness::new(Arc::new(store.clone()), clock).keeping(directory),
        store,
    )
}

#[tokio::test]
async fn what_ended_for_good_goes() {
    let (h, store) = open();
    pruning::what_ended_for_good_goes(&h, &store).await;
}

#[tokio::test]
async fn a_line_of_tasks_goes_together() {
    let (h, store) = open();
    pruning::a_line_of_tasks_goes_together(&h, &store).await;
}

#[tokio::test]
async fn many_go_in_batches() {
    let (h, store) = open();
    pruning::many_go_in_batches(&h, &store).await;
}
