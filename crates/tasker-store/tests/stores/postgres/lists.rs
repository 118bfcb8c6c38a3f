//! Lists of tasks, and what workers hold.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::{Actor, Create, Store as _, Totals, Turn};
use tasker_store::{PostgresStore, TaskFilter};
use tasker_testkit::{Harness, ManualClock, shapes, succeed};
use tasker_types::{TaskId, TaskState};

async fn both() -> (PostgresStore, Harness) {
    let clock = ManualClock::new();
    let store = PostgresStore::open(super::options(clock.clone())).await.unwrap();
    (store.clone(), Harness::new(Arc::new(store), clock))
}

async fn find(store: &PostgresStore, filter: TaskFilter) -> Vec<TaskId> {
    let found = store.list(&filter).await.unwrap();
    found.into_iter().map(|task| task.task_id).collect()
}

#[tokio::test]
async fn a_list_has_what_passes_its_filter_the_newest_first() {
    let (store, h) = both().await;
    let mut tasks = vec![h.new_task(shapes::linear(1)), h.new_task(shapes::linear(2))];
    tasks[0].origin.initiator = Some("ann".to_owned());
    tasks[0].origin.tags = vec!["eu".to_owned(), "vip".to_owned()];
    // Such a character is none that the server's own JSON could hold.
    tasks[1].origin.source_system = Some("shop\0".to_owned());
    tasks[1].origin.tags = vec!["eu".to_owned()];
    tasks[1].origin.annotations.insert("ticket".to_owned(), json!(7));
    let (first, second) = (tasks[0].id, tasks[1].id);
    let create = Create::new(h.worker(), Actor::System, tasks);
    store.create(create).await.unwrap();

    let all = TaskFilter::default;
    assert_eq!(find(&store, all()).await, [second, first]);
    assert_eq!(find(&store, TaskFilter { limit: 1, ..all() }).await, [second]);
    let after = Some(second);
    assert_eq!(find(&store, TaskFilter { after, ..all() }).await, [first]);
    let initiator = Some("ann".to_owned());
    assert_eq!(find(&store, TaskFilter { initiator, ..all() }).await, [first]);
    let source_system = Some("shop\0".to_owned());
    assert_eq!(
        find(
            &store,
            TaskFilter {
                source_system,
                ..all()
            }
        )
        .await,
        [second]
    );
    let tags = |tags: &[&str], limit| TaskFilter {
        tags: tags.iter().map(ToString::to_string).collect(),
        limit,
        ..all()
    };
    assert_eq!(find(&store, tags(&["eu"], 100)).await, [second, first]);
    assert_eq!(find(&store, tags(&["eu"], 1)).await, [second]);
    assert_eq!(find(&store, tags(&["vip", "eu"], 100)).await, [first]);
    assert!(find(&store, tags(&["us"], 100)).await.is_empty());
    let noted = |value| TaskFilter {
        annotations: vec![("ticket".to_owned(), value)],
        ..all()
    };
    assert_eq!(find(&store, noted(None)).await, [second]);
    assert_eq!(find(&store, noted(Some(json!(7)))).await, [second]);
    assert!(find(&store, noted(Some(json!("7")))).await.is_empty());
    let states = vec![TaskState::Complete];
    assert!(find(&store, TaskFilter { states, ..all() }).await.is_empty());
    let version = Some("9.9.9".parse().unwrap());
    assert!(find(&store, TaskFilter { version, ..all() }).await.is_empty());
    let listed = store.list(&all()).await.unwrap();
    assert_eq!(listed[1].tags, ["eu", "vip"]);
    assert_eq!((listed[0].total_steps, listed[0].completed_steps), (2, 0));
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
