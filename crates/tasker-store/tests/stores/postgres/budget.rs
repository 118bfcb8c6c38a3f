//! Connections to a server that others need, too, and statements that take too long.

use std::sync::Arc;
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use tasker_engine::{Actor, Create, Store as _, StoreError, TaskFilter, TaskQuery};
use tasker_store::{Pools, PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Durability, Harness, ManualClock, shapes};
use tasker_types::DatabaseValues;

fn sizes(store: &PostgresStore) -> (u32, u32) {
    let Pools { readers, writers } = store.pools();
    (readers.size, writers.size)
}

async fn others(cluster: &Cluster, count: usize) -> Vec<AsyncPgConnection> {
    let mut connections = Vec::new();
    for _ in 0..count {
        connections.push(AsyncPgConnection::establish(cluster.url()).await.unwrap());
    }
    connections
}

/// Balances until the store has so many connections that read and write: those that are closed show on the server in a while.
async fn balanced(store: &PostgresStore, expected: (u32, u32)) {
    for _ in 0..500 {
        store.balance().await.unwrap();
        if sizes(store) == expected {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{:?} instead of {expected:?}", sizes(store));
}

fn harness(store: &PostgresStore) -> Harness {
    Harness::new(Arc::new(store.clone()), ManualClock::new())
}

async fn create(h: &Harness) {
    let create = Create::new(h.worker(), Actor::System, vec![h.new_task(shapes::linear(2))]);
    h.store.create(create).await.unwrap();
}

#[tokio::test]
async fn a_full_server_is_left_to_others_and_an_empty_one_is_used() {
    let settings = [("max_connections", "43"), ("superuser_reserved_connections", "3")];
    let cluster = Cluster::start_with(Durability::None, &settings).unwrap();
    let values = DatabaseValues {
        readers: 6,
        writers: 6,
        ..DatabaseValues::default()
    };
    let crowd = others(&cluster, 34).await;
    let options = PostgresOptions::new(cluster.url()).settings(&values.try_into().unwrap());
    let store = PostgresStore::open(options).await.unwrap();
    let h = harness(&store);
    assert_eq!(sizes(&store), (2, 1));
    create(&h).await;

    drop(crowd);
    balanced(&store, (6, 6)).await;
    create(&h).await;

    let crowd = others(&cluster, 25).await;
    balanced(&store, (2, 2)).await;
    // Those that read and write beyond that are closed, which leaves two for hints.
    for _ in 0..500 {
        let Pools { readers, writers } = store.pools();
        if readers.idle + readers.in_use <= 2 && writers.idle + writers.in_use <= 2 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let Pools { readers, writers } = store.pools();
    assert!(readers.idle <= 2 && writers.idle <= 2, "{readers:?} {writers:?}");
    create(&h).await;
    let found = store
        .list(TaskQuery::new(TaskFilter::default(), 10))
        .await
        .unwrap();
    assert_eq!(found.tasks.len(), 3);
    drop(crowd);
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_statement_that_takes_too_long_is_ended_and_nothing_hangs() {
    let cluster = Cluster::shared();
    let values = DatabaseValues {
        statement_timeout_seconds: 0.2,
        ..DatabaseValues::default()
    };
    let schema = cluster.schema();
    let options = PostgresOptions::new(cluster.url())
        .schema(&schema)
        .settings(&values.try_into().unwrap());
    let store = PostgresStore::open(options).await.unwrap();
    let h = harness(&store);
    create(&h).await;
    let mut other = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let lock = format!("BEGIN; LOCK TABLE \"{schema}\".tasks IN ACCESS EXCLUSIVE MODE");
    other.batch_execute(&lock).await.unwrap();
    let query = TaskQuery::new(TaskFilter::default(), 10);
    let refused = store.list(query.clone()).await.unwrap_err();
    assert!(refused.is_transient(), "{refused:?}");
    assert!(matches!(refused, StoreError::Unavailable { .. }), "{refused:?}");
    other.batch_execute("ROLLBACK").await.unwrap();
    assert_eq!(store.list(query).await.unwrap().tasks.len(), 1);
}
