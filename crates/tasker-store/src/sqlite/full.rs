//! What happens when SQLite gives up in the middle of a transaction.

use tasker_engine::{Create, Json, NewTask};
use tasker_testkit::{Harness, ManualClock, shapes};
use tokio::sync::oneshot;

use super::unit::Trouble;
use super::writer::{Core, Job, Writer, job};
use super::*;

fn open() -> (SqliteStore, Harness) {
    let clock = ManualClock::new();
    let directory = tempfile::tempdir().unwrap();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone())).inline();
    let store = SqliteStore::open(options).unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock).keeping(directory);
    (store, h)
}

/// Works with what belongs to the connection that writes.
fn core<T>(store: &SqliteStore, work: impl FnOnce(&mut Core) -> T) -> T {
    let Writer::Inline(core) = &store.shared.writer else {
        panic!("the writer has a thread")
    };
    work(core.lock().unwrap().as_mut().unwrap())
}

/// Lets the file grow by so many pages and no more.
fn leave_room(store: &SqliteStore, pages: i64) {
    core(store, |core| {
        let connection = &mut core.connection;
        let count: (i64,) = Statement::<(BigInt,)>::new("SELECT page_count FROM pragma_page_count", &[])
            .get_result(connection)
            .unwrap();
        connection
            .batch_execute(&format!("PRAGMA max_page_count = {}", count.0 + pages))
            .unwrap();
    });
}

fn small(h: &Harness) -> (TaskId, Create) {
    let task = h.new_task(shapes::single());
    (
        task.id,
        Create::new(h.worker(), tasker_engine::Actor::System, vec![task]),
    )
}

fn large(h: &Harness) -> (TaskId, Create) {
    let context = Json::from(&serde_json::json!("x".repeat(1_000_000)));
    let id = h.new_task(shapes::single()).id;
    let task = NewTask::new(id, shapes::single(), context);
    (
        id,
        Create::new(h.worker(), tasker_engine::Actor::System, vec![task]),
    )
}

fn creation(request: Create) -> (Job, oneshot::Receiver<Result<CreateReply, StoreError>>) {
    job(move |unit| unit.create(request))
}

fn full(store: &SqliteStore) -> String {
    format!(
        "the store `{}` cannot be written: database or disk is full; \
         make room on its disk and try again; nothing was changed",
        store.path().display()
    )
}

#[tokio::test]
async fn a_full_disk_is_told_and_loses_nothing() {
    let (store, h) = open();
    let before = h.create(shapes::single()).await;
    leave_room(&store, 20);
    let (task, request) = large(&h);
    let refused = store.create(request.clone()).await.unwrap_err();
    assert_eq!(refused.to_string(), full(&store));
    assert!(!refused.is_transient());
    assert!(store.snapshot(task).await.unwrap().is_none());
    assert_eq!(h.look(before).await, "pending: pending");
    leave_room(&store, 1_000);
    store.create(request).await.unwrap();
    h.run_ready().await;
    assert_eq!(h.look(before).await, "complete: complete");
    assert_eq!(h.look(task).await, "complete: complete");
    h.verify().await;
}

#[tokio::test]
async fn requests_that_share_a_commit_with_one_too_many_are_answered_truly() {
    let (store, h) = open();
    h.create(shapes::single()).await;
    leave_room(&store, 20);
    let ((first, one), (second, two), (third, three)) = (small(&h), large(&h), small(&h));
    let (jobs, answers): (Vec<_>, Vec<_>) = [one, two, three].map(creation).into_iter().unzip();
    core(&store, |core| core.transact(jobs, None));
    for (task, answer) in [first, second, third].into_iter().zip(answers) {
        let told = answer.await.unwrap();
        assert_eq!(told.is_ok(), store.snapshot(task).await.unwrap().is_some());
        assert_eq!(told.is_err(), task == second);
    }
    h.verify().await;
}

#[tokio::test]
async fn who_shared_a_transaction_that_was_lost_is_told_and_may_try_again() {
    let (store, h) = open();
    let ((first, one), (third, three)) = (small(&h), small(&h));
    let (earlier, first_answer) = creation(one.clone());
    let (later, third_answer) = creation(three.clone());
    let (loses, second_answer) = job(|unit| -> Result<(), Trouble> {
        unit.connection.batch_execute("ROLLBACK")?;
        let full = diesel::result::DatabaseErrorKind::Unknown;
        let full =
            diesel::result::Error::DatabaseError(full, Box::new("database or disk is full".to_owned()));
        Err(full.into())
    });
    core(&store, |core| core.transact(vec![earlier, loses, later], None));
    assert_eq!(first_answer.await.unwrap().unwrap_err().to_string(), full(&store));
    assert_eq!(
        second_answer.await.unwrap().unwrap_err().to_string(),
        full(&store)
    );
    assert_eq!(third_answer.await.unwrap().unwrap_err().to_string(), full(&store));
    for (task, request) in [(first, one), (third, three)] {
        assert!(store.snapshot(task).await.unwrap().is_none());
        store.create(request).await.unwrap();
        assert_eq!(h.look(task).await, "pending: pending");
    }
    h.verify().await;
}
