//! What may be wrong with a file, and what several stores on one file owe each other.

use std::future::poll_fn;
use std::path::PathBuf;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::sqlite::SqliteConnection;
use tasker_engine::{
    Actor, Create, Created, Demand, Intervention, Receipt, Store, StoreError, TaskFilter, TaskQuery, Turn,
};
use tasker_store::{SqliteOptions, SqliteStore, migrate};
use tasker_testkit::{Harness, ManualClock, shapes, succeed};
use tasker_types::{Database, DatabaseValues, Section as _, StepNo, TaskId};
use tempfile::TempDir;

/// A directory with a file for stores, and a clock for all of them.
struct Place {
    _directory: TempDir,
    path: PathBuf,
    clock: ManualClock,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        Self {
            _directory: directory,
            path,
            clock: ManualClock::new(),
        }
    }

    /// Returns options that do not wait for others who write.
    fn options(&self) -> SqliteOptions {
        let values = DatabaseValues {
            busy_timeout_seconds: 0.0,
            ..DatabaseValues::default()
        };
        SqliteOptions::new(&self.path, Arc::new(self.clock.clone()))
            .settings(&Database::check(values).unwrap())
    }

    /// Opens a store whose writer has a thread and does not wait for others who write.
    fn open(&self) -> SqliteStore {
        SqliteStore::open(self.options()).unwrap()
    }

    /// Opens a store that waits for others who write as long as is usual.
    fn open_patient(&self) -> SqliteStore {
        SqliteStore::open(SqliteOptions::new(&self.path, Arc::new(self.clock.clone()))).unwrap()
    }

    fn harness(&self, store: &SqliteStore) -> Harness {
        Harness::new(Arc::new(store.clone()), self.clock.clone())
    }

    /// Opens the file as another program would.
    fn raw(&self) -> SqliteConnection {
        SqliteConnection::establish(self.path.to_str().unwrap()).unwrap()
    }

    #[track_caller]
    fn refused(&self, says: &str) {
        let expected = format!("the store `{}` {says}", self.path.display());
        let refused = SqliteStore::open(self.options()).unwrap_err();
        assert_eq!(refused.to_string(), expected);
        assert!(!refused.is_transient());
        let locks = PathBuf::from(format!("{}.locks", self.path.display()));
        assert!(!locks.exists(), "a file that is refused has no lock");
    }
}

fn creation(h: &Harness) -> (TaskId, Create) {
    let task = h.new_task(shapes::single());
    (
        task.id,
        Create::new(h.worker(), Actor::User("ann".to_owned()), vec![task]),
    )
}

/// Lets a future do what it can at once, which is to ask.
async fn ask<T>(mut future: impl Future<Output = T> + Unpin) -> impl Future<Output = T> + Unpin {
    poll_fn(|context| match std::pin::Pin::new(&mut future).poll(context) {
        Poll::Pending => Poll::Ready(()),
        Poll::Ready(_) => panic!("there was an answer already"),
    })
    .await;
    future
}

#[tokio::test]
async fn a_file_that_another_writer_has_is_not_available_for_now() {
    let place = Place::new();
    let store = place.open();
    let h = place.harness(&store);
    let before = h.create(shapes::single()).await;
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (task, request) = creation(&h);
    let refused = store.create(request.clone()).await.unwrap_err();
    let expected = format!(
        "the store `{}` is not available: database is locked",
        place.path.display()
    );
    assert_eq!(refused.to_string(), expected);
    assert!(refused.is_transient());
    // Who only reads need not wait.
    assert_eq!(h.look(before).await, "pending: pending");
    assert!(store.snapshot(task).await.unwrap().is_none());
    let refused = SqliteStore::open(place.options()).unwrap_err();
    assert_eq!(refused.to_string(), expected);
    assert!(refused.is_transient());
    other.batch_execute("COMMIT").unwrap();
    assert_eq!(store.create(request).await.unwrap().tasks, [Created::New(task)]);
    h.run_ready().await;
    assert_eq!(h.look(before).await, "complete: complete");
    assert_eq!(h.look(task).await, "complete: complete");
    h.verify().await;
}

#[test]
fn a_schema_of_a_newer_program_is_refused() {
    let place = Place::new();
    migrate::up(&place.path).unwrap();
    let newer = "UPDATE tasker_schema SET version = 3, oldest_program = 2";
    place.raw().batch_execute(newer).unwrap();
    place.refused(
        "cannot be used: its schema has version 3 and needs a program that knows version 2, but this one knows 1; \
         use a newer `tasker`",
    );
}

#[test]
fn a_newer_schema_that_this_program_may_use_is_used() {
    let place = Place::new();
    migrate::up(&place.path).unwrap();
    let newer = "UPDATE tasker_schema SET version = 3, oldest_program = 1";
    place.raw().batch_execute(newer).unwrap();
    place.open();
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let place = Place::new();
    let text = "id,amount\n1,20\n".repeat(100);
    std::fs::write(&place.path, &text).unwrap();
    place.refused(
        "cannot be used: file is not a database; \
         name another file with `database.url` or `--data-dir`, or restore this one from a copy",
    );
    assert_eq!(std::fs::read_to_string(&place.path).unwrap(), text);
}

#[test]
fn a_database_of_another_program_is_refused_and_left_alone() {
    let place = Place::new();
    let orders = "CREATE TABLE orders (id INTEGER)";
    place.raw().batch_execute(orders).unwrap();
    let before = std::fs::read(&place.path).unwrap();
    place.refused(
        "cannot be used: it is a database, but not one of Tasker's; \
         name another file with `database.url` or `--data-dir`, or restore this one from a copy",
    );
    assert!(
        std::fs::read(&place.path).unwrap() == before,
        "its bytes were changed"
    );
}

#[test]
fn a_directory_in_place_of_the_file_is_refused() {
    let place = Place::new();
    std::fs::create_dir(&place.path).unwrap();
    place.refused(
        "cannot be used: unable to open database file; \
         name a file in a directory that this user may write to, with `database.url` or `--data-dir`",
    );
}

#[test]
fn a_file_in_place_of_the_directory_is_refused() {
    let mut place = Place::new();
    std::fs::write(&place.path, "").unwrap();
    place.path.push("tasker.db");
    let refused = SqliteStore::open(place.options()).unwrap_err().to_string();
    let expected = format!(
        "the store `{}` cannot be used: the directory `{}` cannot be made: File exists (os error 17); \
         name another one with `database.url` or `--data-dir`",
        place.path.display(),
        place.path.parent().unwrap().display()
    );
    assert_eq!(refused, expected);
}

#[test]
fn a_new_file_that_many_open_at_once_is_made_once() {
    let place = Place::new();
    std::thread::scope(|scope| {
        let opening: Vec<_> = (0..8).map(|_| scope.spawn(|| place.open_patient())).collect();
        let stores: Vec<_> = opening.into_iter().map(|thread| thread.join().unwrap()).collect();
        assert_eq!(stores.len(), 8);
    });
    assert_eq!(migrate::status(&place.path).unwrap().version, 1);
}

#[tokio::test]
async fn what_one_store_creates_another_claims() {
    let place = Place::new();
    let (one, two) = (place.open_patient(), place.open_patient());
    let (creator, worker) = (place.harness(&one), place.harness(&two));
    let task = creator.create(shapes::linear(3)).await;
    let claim = worker.claim_one().await;
    assert_eq!(claim.lease.task, task);
    assert!(creator.claim(9).await.is_empty());
    let next = worker.turn(vec![succeed(&claim)], 0).await;
    assert!(next.claims.is_empty());
    creator.run_ready().await;
    assert_eq!(worker.look(task).await, "complete: complete complete complete");
    worker.verify().await;
}

#[tokio::test]
async fn a_template_that_another_store_wrote_is_written_once() {
    let place = Place::new();
    let (one, two) = (place.open_patient(), place.open_patient());
    place.harness(&one).create(shapes::diamond()).await;
    let other = place.harness(&two);
    // The second harness would make the ids of the first again.
    other.new_task(shapes::diamond());
    other.create(shapes::diamond()).await;
    other.run_ready().await;
    other.verify().await;
    let listed = one
        .list(TaskQuery::new(TaskFilter::default(), 100))
        .await
        .unwrap()
        .tasks;
    assert_eq!(listed.len(), 2);
    assert!(listed.iter().all(|task| task.completed_steps == 7));
}

#[tokio::test]
async fn the_leases_of_a_store_that_is_gone_end_at_once() {
    let place = Place::new();
    let (one, two) = (place.open_patient(), place.open_patient());
    let (dying, h) = (place.harness(&one), place.harness(&two));
    let task = dying.create(shapes::single()).await;
    let claim = dying.claim_one().await;
    // A living store keeps its leases until they are over.
    assert!(h.sweep().await.expired.is_empty());
    assert_eq!(h.look(task).await, "in_progress: in_progress");
    drop((one, dying));
    assert_eq!(h.sweep().await.expired, [(task, StepNo(0))]);
    assert_eq!(h.end(succeed(&claim)).await, Receipt::LeaseLost);
    assert_eq!(h.snapshot(task).await.steps[0].attempts, 1);
    h.pass(1);
    h.run_ready().await;
    assert_eq!(h.look(task).await, "complete: complete");
    h.verify().await;
}

#[tokio::test]
async fn the_leases_of_a_store_that_lives_end_in_their_time() {
    let place = Place::new();
    let (one, two) = (place.open_patient(), place.open_patient());
    let (slow, h) = (place.harness(&one), place.harness(&two));
    let task = slow.create(shapes::single()).await;
    let claim = slow.claim_one().await;
    h.pass(29);
    assert!(h.sweep().await.expired.is_empty());
    h.pass(2);
    assert_eq!(h.sweep().await.expired, [(task, StepNo(0))]);
    assert_eq!(slow.end(succeed(&claim)).await, Receipt::LeaseLost);
    h.verify().await;
}

#[tokio::test]
async fn a_request_whose_caller_is_gone_is_carried_out() {
    let place = Place::new();
    let store = place.open_patient();
    let h = place.harness(&store);
    let (task, request) = creation(&h);
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    drop(ask(store.create(request)).await);
    other.batch_execute("COMMIT").unwrap();
    store.close().await.unwrap();
    assert_eq!(h.look(task).await, "pending: pending");
}

#[tokio::test]
async fn a_store_that_is_dropped_first_does_what_it_was_asked() {
    let place = Place::new();
    let store = place.open_patient();
    let h = place.harness(&store);
    let (task, request) = creation(&h);
    drop(h);
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    drop(ask(store.create(request)).await);
    other.batch_execute("COMMIT").unwrap();
    drop(store);
    let h = place.harness(&place.open());
    assert_eq!(h.look(task).await, "pending: pending");
}

#[tokio::test]
async fn requests_that_come_in_together_share_a_commit() {
    let place = Place::new();
    let store = place.open_patient();
    let h = place.harness(&store);
    let wake = *store.wake().borrow();
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    let (tasks, requests): (Vec<_>, Vec<_>) = (0..100).map(|_| creation(&h)).unzip();
    let mut answers = Vec::new();
    for request in requests {
        answers.push(ask(store.create(request)).await);
    }
    other.batch_execute("COMMIT").unwrap();
    for (task, answer) in tasks.into_iter().zip(answers) {
        assert_eq!(answer.await.unwrap().tasks, [Created::New(task)]);
        assert_eq!(h.look(task).await, "pending: pending");
    }
    // The first commit has those that came before the writer looked, the second all others.
    assert!(*store.wake().borrow() - wake <= 2);
    h.verify().await;
}

#[tokio::test]
async fn a_request_that_is_refused_undoes_nothing_of_those_beside_it() {
    let place = Place::new();
    let store = place.open_patient();
    let h = place.harness(&store);
    let ann = Actor::User("ann".to_owned());
    let done = h.create(shapes::single()).await;
    h.run_ready().await;
    let mut other = place.raw();
    other.batch_execute("BEGIN IMMEDIATE").unwrap();
    // This one alone may have the first commit.
    let ((zeroth, nobody), (first, one), (second, two)) = (creation(&h), creation(&h), creation(&h));
    let illegal = Intervention::new(done, Demand::RetryTask, ann.clone());
    let unknown = Intervention::new(second, Demand::CancelTask, ann);
    let zeroth_answer = ask(store.create(nobody)).await;
    let first_answer = ask(store.create(one)).await;
    let illegal = ask(store.intervene(illegal)).await;
    let unknown = ask(store.intervene(unknown)).await;
    let second_answer = ask(store.create(two)).await;
    other.batch_execute("COMMIT").unwrap();
    let (illegal, unknown) = (illegal.await.unwrap_err(), unknown.await.unwrap_err());
    assert_eq!(
        illegal.to_string(),
        format!("task `{done}`: event `resume` is illegal in state `complete`")
    );
    assert_eq!(unknown.to_string(), format!("there is no task `{second}`"));
    for (task, answer) in [
        (zeroth, zeroth_answer),
        (first, first_answer),
        (second, second_answer),
    ] {
        assert_eq!(answer.await.unwrap().tasks, [Created::New(task)]);
        assert_eq!(h.look(task).await, "pending: pending");
    }
    assert_eq!(h.look(done).await, "complete: complete");
    h.verify().await;
}

async fn refuses_when_closed(store: SqliteStore, h: Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    store.close().await.unwrap();
    let (_, request) = creation(&h);
    let refused: StoreError = store.create(request).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store is closed");
    assert!(!refused.is_transient());
    let turn = Turn::new(h.worker(), vec![succeed(&claim)], h.want(1));
    let refused = store.turn(turn).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store is closed");
    let refused = h.intervene(task, Demand::CancelTask).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store is closed");
    // What is there can still be read, and closing again does nothing.
    assert_eq!(h.look(task).await, "in_progress: in_progress");
    store.close().await.unwrap();
}

#[tokio::test]
async fn a_closed_store_refuses_to_write() {
    let place = Place::new();
    let store = place.open();
    let h = place.harness(&store);
    refuses_when_closed(store, h).await;
}

#[tokio::test]
async fn a_closed_store_that_writes_inline_refuses_to_write() {
    let place = Place::new();
    let store = SqliteStore::open(place.options().inline()).unwrap();
    let h = place.harness(&store);
    refuses_when_closed(store, h).await;
}

#[tokio::test]
async fn a_clock_that_jumps_loses_nothing() {
    const HOUR: Duration = Duration::from_secs(3_600);
    let place = Place::new();
    let store = place.open();
    let h = place.harness(&store);
    let mut tasks = Vec::new();
    for _ in 0..2 {
        tasks.push(h.create(shapes::diamond()).await);
        place.clock.turn_back(HOUR);
        let claims = h.claim(2).await;
        assert!(
            !claims.is_empty(),
            "what is ready stays so when the clock goes back"
        );
        place.clock.turn_back(HOUR * 24);
        assert!(h.sweep().await.expired.is_empty());
        let outcomes = claims.iter().map(succeed).collect();
        let reply = h.turn(outcomes, 2).await;
        assert!(reply.receipts.iter().all(|receipt| *receipt == Receipt::Recorded));
        place.clock.advance(HOUR * 26);
        // A lease may end early when the clock jumps; the step is then tried again.
        let swept = h.sweep().await;
        assert_eq!(swept.expired.len(), reply.claims.len());
        place.clock.advance(HOUR);
    }
    place.clock.turn_back(HOUR * 48);
    for _ in 0..12 {
        h.run_ready().await;
        place.clock.advance(HOUR * 5);
        h.sweep().await;
    }
    for task in tasks {
        assert_eq!(
            h.look(task).await,
            "complete: complete complete complete complete complete complete complete"
        );
    }
    h.verify().await;
}

#[tokio::test]
async fn a_store_has_a_number_that_no_other_ever_had() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tasker.db");
    let locks = || {
        let files = std::fs::read_dir(directory.path().join("tasker.db.locks")).unwrap();
        let mut names: Vec<_> = files
            .map(|file| file.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    };
    let open = || {
        let clock = std::sync::Arc::new(tasker_testkit::ManualClock::new());
        tasker_store::SqliteStore::open(tasker_store::SqliteOptions::new(&path, clock)).unwrap()
    };
    let first = open();
    let second = open();
    assert_eq!(locks(), ["1.lock", "2.lock"]);
    drop(first);
    drop(second);
    assert_eq!(locks(), Vec::<String>::new());
    // A file of the next number that somebody else holds is passed over.
    let held = std::fs::File::create(directory.path().join("tasker.db.locks/3.lock")).unwrap();
    held.lock().unwrap();
    let _third = open();
    assert_eq!(locks(), ["3.lock", "4.lock"]);
}
