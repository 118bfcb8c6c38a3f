//! What the statements cost: each one that the port's methods run finds its rows by a key or an index.

use diesel::sql_types::Text;
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use diesel::query_dsl::RunQueryDsl as _;
use tasker_engine::{Demand, Json, Scope, Turn, Want};
use tasker_testkit::{Harness, ManualClock, fail, fail_permanently, shapes, succeed, suspend};
use tasker_types::{Position, StepNo};

use super::writer::Writer;
use super::*;
use crate::probe::{Fault, Moment};
use crate::prune::{Prune, PruneMode};

/// Tables that grow with the work.
const LARGE: [&str; 6] = [
    "tasks",
    "steps",
    "ready_steps",
    "history",
    "task_history",
    "payloads",
];

/// Notes the texts of statements, without those that only control transactions.
#[derive(Debug, Default)]
struct Texts(Mutex<BTreeSet<String>>);

impl Probe for Texts {
    fn pass(&self, sql: &str) -> Option<(Moment, Fault)> {
        if ["SELECT", "INSERT", "UPDATE", "DELETE"]
            .iter()
            .any(|verb| sql.starts_with(verb))
        {
            self.0.lock().unwrap().insert(sql.to_owned());
        }
        None
    }
}

/// Works with the connection that writes.
fn writing<T>(store: &SqliteStore, work: impl FnOnce(&mut Connection) -> T) -> T {
    let Writer::Inline(core) = &store.shared.writer else {
        panic!("the writer has a thread")
    };
    work(&mut core.lock().unwrap().as_mut().unwrap().connection)
}

#[derive(diesel::QueryableByName)]
struct Line {
    #[diesel(sql_type = Text)]
    detail: String,
}

/// Returns the lines of a statement's plan.
fn plan(connection: &mut Connection, sql: &str) -> Vec<String> {
    let explain = format!("EXPLAIN QUERY PLAN {sql}");
    let lines: QueryResult<Vec<Line>> =
        connection.carry_out(&explain, |inner| diesel::sql_query(&explain).load(inner));
    let lines = lines.unwrap();
    lines.into_iter().map(|line| line.detail).collect()
}

/// Returns the lines of a statement's plan that read a large table from its beginning to its end.
fn scans(connection: &mut Connection, sql: &str) -> Vec<String> {
    let scans = plan(connection, sql).into_iter().filter(|line| {
        let scanned = line.strip_prefix("SCAN ").and_then(|rest| rest.split(' ').next());
        scanned.is_some_and(|name| {
            let large = |table: &str| {
                let words: Vec<_> = sql.split(|c: char| !c.is_alphanumeric() && c != '_').collect();
                name == table || words.windows(3).any(|words| words == [table, "AS", name])
            };
            LARGE.iter().any(|table| large(table))
        })
    });
    scans.collect()
}

/// Puts a store through all that workers and operators ask of it.
async fn live(h: &Harness, store: &SqliteStore) {
    for _ in 0..20 {
        h.create(shapes::diamond()).await;
    }
    let all = h.claim(100).await;
    let mut outcomes: Vec<_> = all.iter().map(succeed).collect();
    outcomes[0] = fail(&all[0], Duration::from_secs(5));
    outcomes[1] = fail_permanently(&all[1]);
    outcomes[2] = suspend(&all[2], Duration::from_secs(5), &serde_json::json!({}));
    let mut turn = Turn::new(h.worker(), outcomes, h.want(8));
    let claims = h.store.turn(turn.clone()).await.unwrap().claims;
    turn.again = true;
    h.store.turn(turn).await.unwrap();
    h.renew(&claims).await;
    let (task, other, stuck) = (all[3].lease.task, all[4].lease.task, all[1].lease.task);
    let want = Want {
        scope: Scope::Task(task),
        ..h.want(2)
    };
    h.store
        .turn(Turn::new(h.worker(), Vec::new(), want))
        .await
        .unwrap();
    h.pass(60);
    h.sweep().await;
    h.store
        .sweep(tasker_engine::Sweep::new(9, Harness::backoff(), 1).within(Scope::Task(task)))
        .await
        .unwrap();
    h.end(succeed(&claims[0])).await;
    h.store.examine(task).await.unwrap();
    h.store.check_in(task, Duration::from_secs(5)).await.unwrap();
    h.demand(h.create(shapes::single()).await, Demand::CancelStep(StepNo(0)))
        .await;
    h.demand(stuck, Demand::RetryTask).await;
    h.demand(task, Demand::SetPriority(3)).await;
    h.demand(task, Demand::SetConfig(StepNo(6), Json::null())).await;
    h.demand(task, Demand::SetRetryLimit(StepNo(6), 9)).await;
    h.demand(task, Demand::ResolveStep(StepNo(6), Some(Json::null())))
        .await;
    h.demand(other, Demand::CancelTask).await;
    h.run_ready().await;
    for task in [task, other] {
        h.snapshot(task).await;
        h.results(task).await;
        h.history(task).await;
    }
    h.store.events(Position(3), 9).await.unwrap();
    for query in crate::list::examples() {
        store.list(query).await.unwrap();
    }
    let prune = Prune::new(Duration::ZERO, PruneMode::Remove);
    h.pass(60);
    assert!(store.prune(&prune).await.unwrap().unwrap().pruned > 0);
    h.verify().await;
}

async fn lived() -> (SqliteStore, Vec<String>, Harness) {
    let clock = ManualClock::new();
    let directory = tempfile::tempdir().unwrap();
    let texts = Arc::new(Texts::default());
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone()))
        .probe(Arc::<Texts>::clone(&texts))
        .inline();
    let store = SqliteStore::open(options).unwrap();
    texts.0.lock().unwrap().clear();
    let h = Harness::new(Arc::new(store.clone()), clock).keeping(directory);
    live(&h, &store).await;
    let texts = texts.0.lock().unwrap().iter().cloned().collect();
    (store, texts, h)
}

#[tokio::test]
async fn no_statement_reads_a_large_table_from_end_to_end() {
    // A template is compared with the tasks only while a foreign key is violated, which none ever is at that moment.
    // Who asks how many tasks there are has them counted.
    const EXCEPTIONS: [&str; 2] = [
        "INSERT INTO graphs ",
        "SELECT count(*) FROM tasks AS t WHERE true",
    ];
    let (store, texts, _h) = lived().await;
    assert!(texts.len() > 40, "only {} statements were seen", texts.len());
    for sql in texts
        .iter()
        .filter(|sql| !EXCEPTIONS.iter().any(|exception| sql.starts_with(exception)))
    {
        let scans = writing(&store, |connection| scans(connection, sql));
        assert!(scans.is_empty(), "{scans:?} in the plan of\n{sql}");
    }
}

#[tokio::test]
async fn a_scan_is_noticed() {
    let (store, _, _h) = lived().await;
    let found = |sql| writing(&store, |connection| scans(connection, sql));
    assert_eq!(found("SELECT * FROM steps"), ["SCAN steps"]);
    assert_eq!(found("SELECT * FROM steps AS s WHERE s.waits = 1"), ["SCAN s"]);
    assert_eq!(found("SELECT * FROM steps WHERE key = 1"), Vec::<String>::new());
}

/// Every claim looks for steps whose time has come. Those that it found earlier and that still wait for a worker, of
/// which there may be any number, must not be looked at each time.
#[tokio::test]
async fn a_step_that_is_due_is_noticed_once() {
    let (store, texts, _h) = lived().await;
    let unpark = texts
        .iter()
        .find(|sql| sql.starts_with("UPDATE ready_steps SET parked = 0"))
        .unwrap();
    assert_eq!(
        writing(&store, |connection| plan(connection, unpark)),
        ["SEARCH ready_steps USING INDEX ready_steps_parked_due_at_index (parked=? AND due_at<?)"]
    );
}

/// Each page begins where the last one ended, and reads no row before.
#[tokio::test]
async fn a_page_of_a_list_begins_at_its_place_in_an_index() {
    let (store, texts, _h) = lived().await;
    let mut places = BTreeSet::new();
    for sql in texts
        .iter()
        .filter(|sql| sql.starts_with("SELECT t.key, t.id, g.namespace,"))
    {
        let plan = writing(&store, |connection| plan(connection, sql));
        let search = |line: &&String| line.starts_with("SEARCH u ") || line.starts_with("SEARCH l ");
        let line = plan
            .iter()
            .find(search)
            .unwrap_or_else(|| panic!("{plan:#?}\n{sql}"));
        // The index is in the order of the list: only what several of its parts have is put in order.
        let inner: Vec<_> = plan.iter().skip_while(|other| *other != line).skip(1).collect();
        assert!(inner.len() <= 5, "{plan:#?}");
        places.insert(line.clone());
    }
    let places: Vec<_> = places.into_iter().collect();
    insta::assert_snapshot!(places.join("\n"), @r"
    SEARCH l USING PRIMARY KEY (kind=? AND value=? AND (created_at,task)<(?,?))
    SEARCH l USING PRIMARY KEY (kind=? AND value=? AND (created_at,task)>(?,?) AND created_at<?)
    SEARCH l USING PRIMARY KEY (kind=? AND value=? AND (created_at,task)>(?,?))
    SEARCH l USING PRIMARY KEY (kind=? AND value=? AND created_at>? AND (created_at,task)<(?,?))
    SEARCH u USING COVERING INDEX tasks_created_at_index (created_at<?)
    SEARCH u USING COVERING INDEX tasks_created_at_index (created_at>? AND created_at<?)
    SEARCH u USING COVERING INDEX tasks_created_at_index (created_at>?)
    SEARCH u USING COVERING INDEX tasks_graph_state_created_at_index (graph=? AND state=? AND created_at<?)
    SEARCH u USING COVERING INDEX tasks_graph_state_created_at_index (graph=? AND state=? AND created_at>? AND created_at<?)
    SEARCH u USING COVERING INDEX tasks_graph_state_created_at_index (graph=? AND state=? AND created_at>?)
    ");
}

/// What was counted while tables were small would lead the planner astray when they have grown.
#[tokio::test]
async fn nothing_is_kept_of_how_large_tables_were() {
    const COUNT: &str = "SELECT count(*) FROM sqlite_schema WHERE name LIKE 'sqlite_stat%'";
    let (store, _, _h) = lived().await;
    store.close().await.unwrap();
    let mut connection = SqliteFile::new(store.path()).open(Mode::Read).unwrap();
    let row: (i64,) = Statement::<(BigInt,)>::new(COUNT, &[])
        .get_result(&mut connection)
        .unwrap();
    assert_eq!(row.0, 0);
}
