//! Tasks that are created within a transaction of the caller's.

use std::sync::Arc;
use std::time::Duration;

use diesel::result::{DatabaseErrorKind, Error};
use diesel_async::{AsyncConnection as _, AsyncPgConnection, RunQueryDsl as _, SimpleAsyncConnection as _};
use tasker_engine::{Actor, Create, CreateReply, Created, NewTask, Store as _, StoreError};
use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Durability, Harness, ManualClock, shapes};
use tasker_types::{Database, DatabaseValues, Position, StepNo, TaskId, TaskState};
use tokio::sync::watch;

/// A store, and a connection of an application on the same database, with a table of its own.
struct Shop {
    store: PostgresStore,
    h: Harness,
    connection: AsyncPgConnection,
    /// From before the store began to listen.
    wake: watch::Receiver<u64>,
}

impl Shop {
    async fn open() -> Self {
        let cluster = Cluster::shared();
        let (clock, schema) = (ManualClock::new(), cluster.schema());
        let options = PostgresOptions::new(cluster.url())
            .schema(&schema)
            .clock(Arc::new(clock.clone()));
        let store = PostgresStore::open(options).await.unwrap();
        let wake = store.wake();
        let mut connection = connect().await;
        let own = format!(
            "CREATE SCHEMA {schema}_shop; SET search_path = {schema}_shop; \
             CREATE TABLE orders (id bigint PRIMARY KEY); CREATE TEMPORARY TABLE tasks (key bigint)"
        );
        connection.batch_execute(&own).await.unwrap();
        Self {
            h: Harness::new(Arc::new(store.clone()), clock),
            store,
            connection,
            wake,
        }
    }

    fn request(&self, tasks: Vec<NewTask>) -> Create {
        Create::new(self.h.worker(), Actor::User("ann".to_owned()), tasks)
    }

    /// Begins a transaction, adds an order, and creates tasks.
    async fn begin(&mut self, tasks: Vec<NewTask>) -> Result<CreateReply, StoreError> {
        let request = self.request(tasks);
        let order = "BEGIN; INSERT INTO orders VALUES (7)";
        self.connection.batch_execute(order).await.unwrap();
        self.store.create_in(&mut self.connection, request).await
    }

    async fn say(&mut self, sql: &str) {
        self.connection.batch_execute(sql).await.unwrap();
    }

    async fn has(&self, task: TaskId) -> bool {
        self.store.snapshot(task).await.unwrap().is_some()
    }

    async fn orders(&mut self) -> i64 {
        count(&mut self.connection, "SELECT count(*) AS count FROM orders").await
    }
}

#[derive(diesel::QueryableByName)]
struct Count {
    #[diesel(sql_type = diesel::sql_types::BigInt)]
    count: i64,
}

async fn count(connection: &mut AsyncPgConnection, sql: &str) -> i64 {
    let row: Count = diesel::sql_query(sql).get_result(connection).await.unwrap();
    row.count
}

async fn connect() -> AsyncPgConnection {
    AsyncPgConnection::establish(Cluster::shared().url())
        .await
        .unwrap()
}

#[tokio::test]
async fn what_is_committed_is_there_and_runs() {
    let mut shop = Shop::open().await;
    let task = shop.h.new_task(shapes::diamond());
    let id = task.id;
    let reply = shop.begin(vec![task]).await.unwrap();
    assert_eq!(reply.tasks, [Created::New(id)]);
    assert!(!shop.has(id).await, "before the commit");
    shop.say("COMMIT").await;
    assert_eq!(shop.orders().await, 1);
    shop.h.run_ready().await;
    assert_eq!(shop.h.state(id).await, TaskState::Complete);
    shop.h.verify().await;
}

#[tokio::test]
async fn what_is_rolled_back_never_was() {
    let mut shop = Shop::open().await;
    let before = shop.store.position().await.unwrap();
    let task = shop.h.new_task(shapes::diamond());
    let id = task.id;
    shop.begin(vec![task.clone()]).await.unwrap();
    shop.say("ROLLBACK").await;
    assert_eq!(shop.orders().await, 0);
    assert!(!shop.has(id).await);
    assert_eq!(shop.store.events(before, 10).await.unwrap(), []);
    assert!(shop.h.claim(10).await.is_empty());
    // Neither its names nor its template are in the way of another try.
    assert_eq!(shop.begin(vec![task]).await.unwrap().tasks, [Created::New(id)]);
    shop.say("COMMIT").await;
    shop.h.run_ready().await;
    shop.h.verify().await;
}

#[tokio::test]
async fn a_constraint_that_fails_takes_the_task_with_it() {
    let mut shop = Shop::open().await;
    shop.say("INSERT INTO orders VALUES (1)").await;
    let task = shop.h.new_task(shapes::single());
    let (id, request) = (task.id, shop.request(vec![task]));
    let store = shop.store.clone();
    let done: Result<(), Error> = shop
        .connection
        .transaction(async |connection| {
            store.create_in(connection, request).await.unwrap();
            connection.batch_execute("INSERT INTO orders VALUES (1)").await
        })
        .await;
    assert!(matches!(
        done,
        Err(Error::DatabaseError(DatabaseErrorKind::UniqueViolation, _))
    ));
    assert!(!shop.has(id).await);
    shop.h.verify().await;
}

#[tokio::test]
async fn a_savepoint_that_is_rolled_back_leaves_what_was_created_before() {
    let mut shop = Shop::open().await;
    let (kept, lost) = (
        shop.h.new_task(shapes::linear(2)),
        shop.h.new_task(shapes::linear(3)),
    );
    let ids = (kept.id, lost.id);
    shop.begin(vec![kept]).await.unwrap();
    shop.say("SAVEPOINT own").await;
    let request = shop.request(vec![lost]);
    shop.store.create_in(&mut shop.connection, request).await.unwrap();
    shop.say("ROLLBACK TO own; COMMIT").await;
    assert_eq!(shop.h.state(ids.0).await, TaskState::Pending);
    assert!(!shop.has(ids.1).await);
    shop.h.verify().await;
}

#[tokio::test]
async fn conflicts_are_answers_and_the_transaction_goes_on() {
    let mut shop = Shop::open().await;
    let mut first = shop.h.new_task(shapes::single());
    first.identity = "order 7".to_owned();
    let mut second = shop.h.new_task(shapes::single());
    second.identity = "order 7".to_owned();
    let ids = (first.id, second.id);
    assert_eq!(
        shop.begin(vec![first]).await.unwrap().tasks,
        [Created::New(ids.0)]
    );
    let request = shop.request(vec![second]);
    let reply = shop.store.create_in(&mut shop.connection, request).await.unwrap();
    assert_eq!(reply.tasks, [Created::Duplicate(ids.0)]);
    shop.say("INSERT INTO orders VALUES (8); COMMIT").await;
    assert_eq!(shop.orders().await, 2);
    shop.h.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_another_transaction_takes_is_waited_for() {
    for (end, created) in [("COMMIT", false), ("ROLLBACK", true)] {
        let mut shop = Shop::open().await;
        let mut tasks = [
            shop.h.new_task(shapes::single()),
            shop.h.new_task(shapes::single()),
        ];
        for task in &mut tasks {
            task.identity = "order 7".to_owned();
        }
        let [first, second] = tasks;
        let ids = (first.id, second.id);
        shop.begin(vec![first]).await.unwrap();
        let (store, request) = (shop.store.clone(), shop.request(vec![second]));
        let other = tokio::spawn(async move {
            let mut connection = connect().await;
            connection.batch_execute("BEGIN").await.unwrap();
            let reply = store.create_in(&mut connection, request).await.unwrap();
            connection.batch_execute("COMMIT").await.unwrap();
            reply
        });
        let waiting = "SELECT count(*) AS count FROM pg_stat_activity \
             WHERE wait_event_type = 'Lock' AND query LIKE 'INSERT INTO tasks%'";
        let mut watcher = connect().await;
        while count(&mut watcher, waiting).await == 0 {
            tokio::task::yield_now().await;
        }
        shop.say(end).await;
        let expected = match created {
            true => Created::New(ids.1),
            false => Created::Duplicate(ids.0),
        };
        assert_eq!(other.await.unwrap().tasks, [expected], "{end}");
        shop.h.verify().await;
    }
}

#[tokio::test]
async fn several_creations_of_a_transaction_have_positions_of_their_own() {
    let mut shop = Shop::open().await;
    let tasks: Vec<_> = (0..3).map(|_| shop.h.new_task(shapes::linear(2))).collect();
    shop.say("BEGIN").await;
    for task in &tasks {
        let mut skipping = task.clone();
        skipping.bypass = vec![StepNo(0)];
        let request = shop.request(vec![skipping]);
        shop.store.create_in(&mut shop.connection, request).await.unwrap();
    }
    shop.say("COMMIT").await;
    let events = shop.store.events(Position(0), 100).await.unwrap();
    assert_eq!(events.len(), 6);
    assert!(events.windows(2).all(|pair| pair[0].position < pair[1].position));
    // A page at a time, nothing is passed over.
    let (mut after, mut paged) = (Position(0), Vec::new());
    loop {
        let page = shop.store.events(after, 1).await.unwrap();
        let Some(entry) = page.last() else { break };
        after = entry.position;
        paged.extend(page);
    }
    assert_eq!(paged, events);
    shop.h.run_ready().await;
    shop.h.verify().await;
}

#[tokio::test]
async fn workers_are_told_when_it_is_committed() {
    let mut shop = Shop::open().await;
    let mut wake = shop.wake.clone();
    let soon = Duration::from_secs(30);
    // The first hint is that of the one who begins to listen.
    tokio::time::timeout(soon, wake.changed()).await.unwrap().unwrap();
    let task = shop.h.new_task(shapes::single());
    shop.begin(vec![task]).await.unwrap();
    assert!(!wake.has_changed().unwrap(), "there is nothing to do yet");
    shop.say("COMMIT").await;
    tokio::time::timeout(soon, wake.changed()).await.unwrap().unwrap();
}

#[tokio::test]
async fn names_of_the_caller_mean_afterwards_what_they_meant() {
    let mut shop = Shop::open().await;
    let path = "SELECT length(current_setting('search_path'))::bigint AS count";
    let before = count(&mut shop.connection, path).await;
    let task = shop.h.new_task(shapes::single());
    shop.begin(vec![task]).await.unwrap();
    assert_eq!(count(&mut shop.connection, path).await, before);
    // The temporary table of the caller's is not the store's.
    let own = "SELECT count(*) AS count FROM tasks";
    assert_eq!(count(&mut shop.connection, own).await, 0);
    shop.say("COMMIT").await;
    assert_eq!(count(&mut shop.connection, path).await, before);
}

#[tokio::test]
async fn a_connection_without_a_transaction_is_refused() {
    let mut shop = Shop::open().await;
    let request = shop.request(vec![shop.h.new_task(shapes::single())]);
    let refused = shop.store.create_in(&mut shop.connection, request).await;
    assert_eq!(
        refused.unwrap_err().to_string(),
        "the connection for a creation within a transaction is outside of any, but it must be in one: call `transaction` of \
         diesel-async, or send `BEGIN`"
    );
    let request = shop
        .request(vec![shop.h.new_task(shapes::single())])
        .wanting(shop.h.want(1));
    let refused = shop.store.create_in(&mut shop.connection, request).await;
    assert!(
        refused
            .unwrap_err()
            .to_string()
            .contains("no step may run before")
    );
}

#[tokio::test]
async fn a_transaction_that_sees_no_new_templates_is_to_begin_anew() {
    let mut shop = Shop::open().await;
    shop.say("BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO orders VALUES (7)")
        .await;
    let task = shop.h.new_task(shapes::diamond());
    let request = shop.request(vec![task]);
    let refused = shop
        .store
        .create_in(&mut shop.connection, request.clone())
        .await
        .unwrap_err();
    assert!(refused.is_transient(), "{refused}");
    assert!(refused.to_string().contains("begin it anew"), "{refused}");
    shop.say("ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ; INSERT INTO orders VALUES (7)")
        .await;
    shop.store.create_in(&mut shop.connection, request).await.unwrap();
    shop.say("COMMIT").await;
    shop.h.run_ready().await;
    shop.h.verify().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_tasks_take_as_many_statements_as_two() {
    let cluster = Cluster::start(Durability::None).unwrap();
    let clock = ManualClock::new();
    let url = format!("{}&options=-clog_statement%3Dall", cluster.url());
    let values = DatabaseValues {
        writers: 1,
        ..DatabaseValues::default()
    };
    let options = PostgresOptions::new(url)
        .settings(&Database::try_from(values).unwrap())
        .clock(Arc::new(clock.clone()));
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    let log = cluster.directory().unwrap().join("log");
    let statements = || {
        let text = std::fs::read_to_string(&log).unwrap();
        // `BEGIN` and `COMMIT` are not prepared; settings are those of the connection that sends hints.
        let told = text
            .lines()
            .filter(|line| line.contains("LOG:  execute") && !line.contains(": SET "));
        told.count()
    };
    let template = shapes::linear(4);
    let mut counts = Vec::new();
    for tasks in [2, 2, 5_000] {
        let tasks = (0..tasks).map(|_| h.new_task(Arc::clone(&template))).collect();
        let before = statements();
        h.create_all(tasks).await;
        counts.push(statements() - before);
    }
    // The first creation also writes the template.
    assert_eq!(counts[1], counts[2], "{counts:?}");
    assert!(counts[2] <= 12, "{counts:?}");
    let sum = store.events(Position(0), u32::MAX).await.unwrap();
    assert_eq!(sum.len(), 5_004);
}
