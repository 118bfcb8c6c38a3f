//! Removing what ended, in a database of many processes.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker_engine::Store as _;
use tasker_store::{PostgresOptions, PostgresStore, Prune, PruneMode};
use tasker_testkit::{Cluster, Harness, ManualClock, shapes};

use crate::pruning;

async fn open() -> (Harness, PostgresStore) {
    let clock = ManualClock::new();
    let store = PostgresStore::open(super::options(clock.clone())).await.unwrap();
    (Harness::new(Arc::new(store.clone()), clock), store)
}

#[tokio::test]
async fn what_ended_for_good_goes() {
    let (h, store) = open().await;
    pruning::what_ended_for_good_goes(&h, &store).await;
}

#[tokio::test]
async fn a_line_of_tasks_goes_together() {
    let (h, store) = open().await;
    pruning::a_line_of_tasks_goes_together(&h, &store).await;
}

#[tokio::test]
async fn many_go_in_batches() {
    let (h, store) = open().await;
    pruning::many_go_in_batches(&h, &store).await;
}

#[tokio::test]
async fn one_process_prunes_at_a_time() {
    let (cluster, clock) = (Cluster::shared(), ManualClock::new());
    let schema = cluster.schema();
    let options = PostgresOptions::new(cluster.url())
        .schema(&schema)
        .clock(Arc::new(clock.clone()));
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    let task = h.create(shapes::single()).await;
    h.run_ready().await;
    h.pass(1);
    let mut other = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let lock =
        format!("BEGIN; SELECT pg_advisory_xact_lock(hashtextextended('tasker prune ' || '{schema}', 0))");
    other.batch_execute(&lock).await.unwrap();
    let prune = Prune::new(Duration::ZERO, PruneMode::Remove);
    assert_eq!(store.prune(&prune).await.unwrap(), None);
    assert!(store.snapshot(task).await.unwrap().is_some());
    other.batch_execute("COMMIT").await.unwrap();
    assert_eq!(store.prune(&prune).await.unwrap().unwrap().pruned, 1);
}
