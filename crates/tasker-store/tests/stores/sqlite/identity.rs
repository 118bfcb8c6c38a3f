//! Identities are unique in the file, whoever asks.

use tasker_engine::Created;
use tasker_testkit::{ManualClock, shapes};

#[tokio::test]
async fn an_identity_is_taken_by_a_task_of_an_earlier_request() {
    let h = crate::sqlite::open(ManualClock::new()).await;
    let (mut a, mut b) = (h.new_task(shapes::single()), h.new_task(shapes::single()));
    a.identity = "order 7".to_owned();
    b.identity = "order 7".to_owned();
    let first = a.id;
    h.create_all(vec![a]).await;
    assert_eq!(h.create_all(vec![b]).await.tasks, [Created::Duplicate(first)]);
}

#[tokio::test]
async fn the_id_of_a_task_is_its_identity_too() {
    let h = crate::sqlite::open(ManualClock::new()).await;
    let (a, mut b) = (h.new_task(shapes::single()), h.new_task(shapes::single()));
    let first = a.id;
    b.identity = first.to_string();
    h.create_all(vec![a]).await;
    assert_eq!(h.create_all(vec![b]).await.tasks, [Created::Duplicate(first)]);
}
