//! Moving all tasks from one database to another.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use diesel_async::{AsyncConnection as _, AsyncPgConnection, SimpleAsyncConnection as _};
use serde_json::{Value, json};
use tasker_engine::{Actor, Create, Demand, Json, Progress, Renewal, Store, TaskFilter, TaskQuery, TaskSort};
use tasker_store::{
    Endpoint, PostgresOptions, PostgresStore, SqliteOptions, SqliteStore, Transferred, transfer,
};
use tasker_testkit::{
    Appetite, Cluster, Harness, ManualClock, canonical_task, fail, fail_permanently, random_operations,
    shapes, succeed_creating, succeed_with, suspend,
};
use tasker_types::{Position, StepNo, TaskId, TaskState};

/// A database that is not open, and the clock that its stores read.
struct Place {
    endpoint: Endpoint,
    clock: ManualClock,
    _directory: tempfile::TempDir,
}

impl Place {
    fn sqlite(clock: &ManualClock) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self {
            endpoint: Endpoint::Sqlite(directory.path().join("tasker.db").into()),
            clock: clock.clone(),
            _directory: directory,
        }
    }

    fn postgres(clock: &ManualClock) -> Self {
        let cluster = Cluster::shared();
        let options = PostgresOptions::new(cluster.url())
            .schema(cluster.schema())
            .clock(Arc::new(clock.clone()));
        Self {
            endpoint: Endpoint::Postgres(options),
            clock: clock.clone(),
            _directory: tempfile::tempdir().unwrap(),
        }
    }

    async fn open(&self) -> Harness {
        let store: Arc<dyn Store> = match &self.endpoint {
            Endpoint::Sqlite(file) => {
                let options = SqliteOptions::new(file, Arc::new(self.clock.clone()));
                Arc::new(SqliteStore::open(options).unwrap())
            }
            Endpoint::Postgres(options) => Arc::new(PostgresStore::open(options.clone()).await.unwrap()),
        };
        Harness::new(store, self.clock.clone())
    }
}

/// What a store tells by what lies beside the tasks: lists, and the secret of cursors.
async fn beside(store: &dyn Store) -> Vec<Value> {
    // A store that has no secret yet keeps one that no other was offered.
    static ASKED: AtomicU8 = AtomicU8::new(0);
    let tagged = TaskFilter {
        tags: vec!["naïve \"tag\"".to_owned()],
        ..TaskFilter::default()
    };
    let mut found = Vec::new();
    for (filter, sort) in [
        (TaskFilter::default(), TaskSort::Updated),
        (tagged, TaskSort::Created),
    ] {
        let query = TaskQuery {
            sort,
            ..TaskQuery::new(filter, 1_000)
        };
        found.push(json!(store.list(query).await.unwrap().tasks));
    }
    let fresh = [ASKED.fetch_add(1, Ordering::Relaxed); 32];
    found.push(json!(store.cursor_secret(fresh).await.unwrap()));
    found
}

/// Everything that a store holds: each task, and all events in their order without their positions.
async fn everything(store: &dyn Store) -> (BTreeMap<TaskId, Value>, Vec<Value>) {
    let events = store.events(Position(0), u32::MAX).await.unwrap();
    let mut tasks = BTreeMap::new();
    for event in &events {
        if let Entry::Vacant(place) = tasks.entry(event.task) {
            place.insert(canonical_task(store, event.task).await.unwrap());
        }
    }
    let event = |event| {
        let mut value = json!(event);
        value.as_object_mut().unwrap().shift_remove("position");
        value
    };
    (tasks, events.iter().map(event).collect())
}

/// Brings tasks into every state, with everything that a task and a step may have.
async fn live(h: &Harness) {
    let new = || h.new_task(shapes::diamond());
    let mut tasks: Vec<_> = (0..8).map(|_| new()).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    tasks[0].identity = "order 7".to_owned();
    tasks[0].origin.tags = vec!["naïve \"tag\"".to_owned()];
    tasks[1].priority = 7;
    tasks[2].deadline_at = Some(tasker_engine::Clock::now(&h.clock).plus(Duration::from_secs(9_000)));
    h.store
        .create(Create::new(h.worker(), Actor::User("ann's".to_owned()), tasks))
        .await
        .unwrap();
    let mut later = new();
    later.start_at = Some(tasker_engine::Clock::now(&h.clock).plus(Duration::from_secs(500)));
    h.create_all(vec![later]).await;
    let claims = h.claim(6).await;
    assert_eq!(claims.len(), 6);
    let child = h.new_task(shapes::single());
    h.turn(
        vec![
            succeed_creating(&claims[0], vec![child]),
            succeed_with(&claims[1], &json!({ "text": "\u{0}\u{1F600}\\", "sum": 1.50 })),
            fail(&claims[2], Duration::from_secs(60)),
            fail_permanently(&claims[3]),
            suspend(&claims[4], Duration::from_secs(70), &json!([1, null])),
        ],
        3,
    )
    .await;
    let mut renewal = Renewal::new(h.worker(), vec![claims[5].lease], Harness::LEASE);
    renewal.progress = vec![(claims[5].lease, Progress::default())];
    h.store.renew(renewal).await.unwrap();
    let stuck = claims[3].lease.task;
    h.demand(
        ids[6],
        Demand::SetConfig(StepNo(1), Json::parse(r#"{"a":[1]}"#).unwrap()),
    )
    .await;
    h.demand(ids[6], Demand::SetRetryLimit(StepNo(1), 9)).await;
    h.demand(ids[7], Demand::CancelTask).await;
    let resolved = h.create(shapes::single()).await;
    h.demand(resolved, Demand::CancelStep(StepNo(0))).await;
    h.demand(resolved, Demand::ResolveTask).await;
    assert_eq!(h.state(stuck).await, TaskState::Error);
    h.pass(1);
    let done = h.create(shapes::single()).await;
    h.demand(done, Demand::ResolveStep(StepNo(0), Some(Json::null())))
        .await;
}

/// Goes on with everything that was under way, to its end.
async fn finish(h: &Harness) {
    for _ in 0..4 {
        h.pass(600);
        h.sweep().await;
        h.run_ready().await;
    }
    let (tasks, _) = everything(&*h.store).await;
    for (task, was) in tasks {
        if was["task"]["state"] == "error" {
            h.demand(task, Demand::RetryTask).await;
        }
    }
    h.run_ready().await;
    for (task, _) in everything(&*h.store).await.0 {
        assert!(!h.state(task).await.is_active(), "{task}");
        assert_ne!(h.state(task).await, TaskState::Error);
    }
    h.verify().await;
}

async fn moved(from: &Place, to: &Place) -> Transferred {
    transfer(&from.endpoint, &to.endpoint).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_a_file_holds_is_moved_to_a_server_and_back() {
    let clock = ManualClock::new();
    let places = [
        Place::sqlite(&clock),
        Place::postgres(&clock),
        Place::sqlite(&clock),
        Place::postgres(&clock),
    ];
    let first = places[0].open().await;
    live(&first).await;
    let (was, lists) = (everything(&*first.store).await, beside(&*first.store).await);
    assert_eq!(lists[1].as_array().unwrap().len(), 1);
    for pair in places.windows(2) {
        let sum = moved(&pair[0], &pair[1]).await;
        assert_eq!(sum.tasks, was.0.len() as u64);
        assert_eq!(sum.transitions, was.1.len() as u64);
        let h = pair[1].open().await;
        let is = everything(&*h.store).await;
        assert_eq!(is, was);
        assert_eq!(beside(&*h.store).await, lists);
        h.verify().await;
    }
    for place in &places[..] {
        finish(&place.open().await).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_comes_after_a_move_comes_after_what_was_moved() {
    let clock = ManualClock::new();
    for (from, to) in [
        (Place::sqlite(&clock), Place::postgres(&clock)),
        (Place::postgres(&clock), Place::sqlite(&clock)),
    ] {
        let h = from.open().await;
        // More rows than a chunk has.
        h.create_all((0..700).map(|_| h.new_task(shapes::linear(2))).collect())
            .await;
        h.run_ready().await;
        let sum = moved(&from, &to).await;
        assert_eq!((sum.tasks, sum.steps), (700, 1_400));
        let h = to.open().await;
        let before = h.store.events(Position(0), u32::MAX).await.unwrap();
        h.pass(1);
        let task = h.create(shapes::single()).await;
        h.run_ready().await;
        let last = before.last().unwrap().position;
        let after = h.store.events(last, u32::MAX).await.unwrap();
        assert!(after.len() >= 4 && after.iter().all(|entry| entry.task == task));
        let all = h.store.events(Position(0), u32::MAX).await.unwrap();
        assert_eq!(all.len(), before.len() + after.len());
        h.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_happened_is_moved() {
    for seed in 5_000..5_003 {
        let clocks = [ManualClock::new(), ManualClock::new()];
        let (file, server) = (Place::sqlite(&clocks[0]), Place::postgres(&clocks[1]));
        let (a, b) = (file.open().await, server.open().await);
        random_operations(seed, &a, &b, Appetite::Few).await;
        let (to_server, to_file) = (Place::postgres(&clocks[0]), Place::sqlite(&clocks[1]));
        moved(&file, &to_server).await;
        moved(&server, &to_file).await;
        let (a2, b2) = (to_server.open().await, to_file.open().await);
        assert_eq!(
            everything(&*a.store).await,
            everything(&*a2.store).await,
            "seed {seed}"
        );
        assert_eq!(
            everything(&*b.store).await,
            everything(&*b2.store).await,
            "seed {seed}"
        );
        a2.verify().await;
        b2.verify().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_was_used_takes_nothing() {
    let clock = ManualClock::new();
    let (file, server) = (Place::sqlite(&clock), Place::postgres(&clock));
    for place in [&file, &server] {
        let h = place.open().await;
        h.create(shapes::single()).await;
    }
    for (from, to) in [
        (&file, &server),
        (&server, &file),
        (&file, &file),
        (&server, &server),
    ] {
        let refused = transfer(&from.endpoint, &to.endpoint)
            .await
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("can only be moved into an empty database"),
            "{refused}"
        );
    }
    assert_eq!(everything(&*server.open().await.store).await.0.len(), 1);
    assert_eq!(everything(&*file.open().await.store).await.0.len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_not_there_is_refused() {
    let clock = ManualClock::new();
    let (from, to) = (Place::sqlite(&clock), Place::sqlite(&clock));
    let refused = transfer(&from.endpoint, &to.endpoint).await.unwrap_err();
    assert!(refused.to_string().contains("there is no such file"), "{refused}");
    let Endpoint::Sqlite(file) = &from.endpoint else {
        unreachable!()
    };
    assert!(!file.path().exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_move_that_fails_leaves_the_target_empty() {
    let (cluster, clock) = (Cluster::shared(), ManualClock::new());
    let schema = cluster.schema();
    let options = PostgresOptions::new(cluster.url())
        .schema(&schema)
        .clock(Arc::new(clock.clone()));
    let (from, to) = (Place::sqlite(&clock), Endpoint::Postgres(options.clone()));
    live(&from.open().await).await;
    tasker_store::postgres::migrate::up(&options).await.unwrap();
    // The history comes last.
    let mut connection = AsyncPgConnection::establish(cluster.url()).await.unwrap();
    let refuse = format!("ALTER TABLE {schema}.history ADD CONSTRAINT refuse CHECK (false)");
    connection.batch_execute(&refuse).await.unwrap();
    let failed = transfer(&from.endpoint, &to).await.unwrap_err();
    assert!(failed.to_string().contains("refuse"), "{failed}");
    let permit = format!("ALTER TABLE {schema}.history DROP CONSTRAINT refuse");
    connection.batch_execute(&permit).await.unwrap();
    let sum = transfer(&from.endpoint, &to).await.unwrap();
    assert!(sum.tasks > 8);
}
