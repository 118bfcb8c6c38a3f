//! Lists of tasks, and what workers hold.

use std::sync::Arc;

use tasker_engine::{Actor, Create, Store as _, Totals, Turn};
use tasker_store::PostgresStore;
use tasker_testkit::{Harness, ManualClock, shapes, succeed};

async fn both() -> (PostgresStore, Harness) {
    let clock = ManualClock::new();
    let store = PostgresStore::open(super::options(clock.clone())).await.unwrap();
    (store.clone(), Harness::new(Arc::new(store), clock))
}

#[tokio::test]
async fn what_there_is_is_counted_by_state() {
    let (store, h) = both().await;
    assert_eq!(store.totals().await.unwrap(), Totals::default());
    assert!(store.schema().await.unwrap().is_usable());
    let expected = crate::totals::scene(&h).await;
    assert_eq!(store.totals().await.unwrap(), expected);
}

#[tokio::test]
async fn the_fewest_steps_that_a_worker_holds_are_counted_among_those_that_hold_any() {
    let (store, h) = both().await;
    assert_eq!(store.fewest_held().await.unwrap(), None);
    let tasks = (0..3).map(|_| h.new_task(shapes::linear(1))).collect();
    store
        .create(Create::new(h.worker(), Actor::System, tasks))
        .await
        .unwrap();
    let turn = Turn::new(h.worker(), Vec::new(), h.want(3));
    let claims = store.turn(turn).await.unwrap().claims;
    assert_eq!(store.fewest_held().await.unwrap(), Some(3));
    let done = vec![succeed(&claims[0])];
    store.turn(Turn::new(h.worker(), done, h.want(0))).await.unwrap();
    assert_eq!(store.fewest_held().await.unwrap(), Some(2));
}
