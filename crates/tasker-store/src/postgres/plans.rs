//! What statements cost: those of a turn find their rows by a key or an index, those of lists from their place on.

use std::sync::{Arc, Mutex};

use diesel::sql_types::Text;
use tasker_engine::{Create, Store as _, Turn, Want};
use tasker_testkit::{Cluster, Harness, ManualClock, shapes, succeed};
use tasker_types::DatabaseValues;

use super::read::PLACES;
use super::rows::{LOCKED_TASKS, STEPS};
use super::statement::Statement;
use super::unit::{COUNTS, COUNTS_AHEAD, LOCK_PLACES};
use super::{PostgresOptions, PostgresStore, claim, flush, list, sweep};
use crate::list::{Gathering, examples};
use crate::probe::{Fault, Moment, Probe};

/// Notes every statement that is sent.
#[derive(Debug, Default)]
struct Texts(Mutex<Vec<String>>);

impl Probe for Texts {
    fn pass(&self, sql: &str) -> Option<(Moment, Fault)> {
        self.0.lock().unwrap().push(sql.to_owned());
        None
    }
}

#[tokio::test]
async fn a_turn_that_leaves_the_queue_alone_takes_six_statements() {
    let cluster = Cluster::shared();
    let texts = Arc::new(Texts::default());
    let values = DatabaseValues {
        writers: 1,
        ..DatabaseValues::default()
    };
    let options = PostgresOptions::new(cluster.url())
        .schema(cluster.schema())
        .settings(&values.try_into().unwrap())
        .probe(Arc::<Texts>::clone(&texts));
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), ManualClock::new());
    h.create(shapes::linear(6)).await;
    let mut claim = h.claim_one().await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        let want = Want {
            top_up: false,
            ..h.want(9)
        };
        texts.0.lock().unwrap().clear();
        let turn = Turn::new(h.worker(), vec![succeed(&claim)], want);
        claim = store.turn(turn).await.unwrap().claims.remove(0);
        sent = texts.0.lock().unwrap().clone();
    }
    let begins: Vec<&str> = sent.iter().map(|sql| sql.split(' ').next().unwrap()).collect();
    assert_eq!(
        begins,
        ["BEGIN", "SELECT", "SELECT", "SELECT", "WITH", "COMMIT"],
        "{sent:#?}"
    );
    store.close().await.unwrap();
}

/// Returns the lines of a statement's plan.
async fn plan(store: &PostgresStore, gathering: Gathering) -> Vec<String> {
    let read = store.shared.readers.read(move |connection| {
        Box::pin(async move {
            let mut gathering = gathering;
            let sql = gathering.next().unwrap();
            let text = format!("EXPLAIN {}", sql.text);
            Statement::<(Text,)>::new(&text, list::binds(&sql))
                .load::<(String,)>(connection)
                .await
        })
    });
    read.await.unwrap().into_iter().map(|row| row.0).collect()
}

#[tokio::test]
async fn no_list_reads_the_tasks_from_end_to_end() {
    let cluster = Cluster::shared();
    let clock = ManualClock::new();
    let options = PostgresOptions::new(cluster.url()).schema(cluster.schema());
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    let tasks = (0..9).map(|_| h.new_task(shapes::single())).collect();
    let create = Create::new(h.worker(), tasker_engine::Actor::System, tasks);
    store.create(create).await.unwrap();
    for query in examples() {
        store.list(query.clone()).await.unwrap();
        let mut query = query;
        // Any template will do for a plan.
        let planned = store.shared.readers.read({
            let query = query.clone();
            move |connection| Box::pin(async move { list::plan(connection, query).await })
        });
        let planned = planned.await.unwrap().with_some_graph();
        query.after = None;
        let lines = plan(&store, Gathering::page(&planned)).await;
        let text = lines.join("\n");
        assert!(
            !text.contains("Seq Scan on tasks") && !text.contains("Seq Scan on task_labels"),
            "{text}"
        );
        let begins = |line: &String| {
            line.contains("Index Cond") && line.contains("ROW(") && line.contains("created_at")
        };
        assert!(lines.iter().any(begins), "{text}");
        assert!(!text.contains("Rows Removed"), "{text}");
    }
    store.close().await.unwrap();
}

/// The tables that grow with the number of tasks.
const TABLES: [&str; 7] = [
    "tasks",
    "steps",
    "ready_steps",
    "leases",
    "payloads",
    "history",
    "task_history",
];

/// Returns the statements of turns and sweeps, with the types of what they are given.
fn statements() -> Vec<(&'static str, &'static str)> {
    let begins = [
        (LOCKED_TASKS, "bigint[]"),
        (STEPS, "bigint[], integer[]"),
        (COUNTS, "bigint[]"),
        (COUNTS_AHEAD, "bigint[], bigint[]"),
    ];
    begins
        .into_iter()
        .chain(claim::LOOKS)
        .chain(flush::endings())
        .chain(sweep::SWEEPS)
        .collect()
}

#[test]
fn the_statements_of_a_turn_are_these() {
    let texts: Vec<&str> = statements().into_iter().map(|(sql, _)| sql).collect();
    insta::assert_snapshot!(texts.join(";\n\n"));
}

/// Copies all tasks with their steps, places in the queue and payloads, until there are a million steps of eight thousand.
fn multiply(cluster: &Cluster, schema: &str) {
    let copies = |table: &str, key: &str, others: &str| {
        format!(
            "INSERT INTO {table} SELECT (jsonb_populate_record(row, \
                 jsonb_build_object('{key}', row.{key} + copy * 1000000{others}))).* \
             FROM {table} AS row CROSS JOIN generate_series(1, 124) AS copy;"
        )
    };
    let sql = [
        format!("SET search_path = {schema};"),
        copies("tasks", "key", ", 'id', gen_random_uuid()")
            .replace("INTO tasks SELECT", "INTO tasks OVERRIDING SYSTEM VALUE SELECT"),
        copies("steps", "task", ""),
        copies("ready_steps", "task", ""),
        copies("payloads", "task", ""),
    ];
    let told = cluster
        .psql()
        .args(["--command", &sql.concat()])
        .output()
        .unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[tokio::test]
async fn no_statement_of_a_turn_reads_a_table_from_end_to_end() {
    let (cluster, schema) = (Cluster::shared(), Cluster::shared().schema());
    let options = PostgresOptions::new(cluster.url()).schema(&schema);
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), ManualClock::new());
    let tasks = (0..2_000).map(|_| h.new_task(shapes::diamond())).collect();
    let create = Create::new(h.worker(), tasker_engine::Actor::System, tasks);
    store.create(create).await.unwrap();
    for stage in [
        "eight thousand steps",
        "analyzed",
        "a million steps",
        "a million steps, analyzed",
    ] {
        match stage {
            "a million steps" => multiply(cluster, &schema),
            "eight thousand steps" => {}
            _ => analyze(&store).await,
        }
        for (sql, types) in statements() {
            let text = explain(&store, sql, types).await;
            assert_eq!(read_whole(&text), None, "{stage}: {sql}\n{text}");
        }
    }
    store.close().await.unwrap();
}

/// Returns the line of a plan that reads one of the tables, or an index on it, from end to end. The index of deadlines has
/// only the tasks with one, and is read in its order.
fn read_whole(plan: &str) -> Option<&str> {
    let lines: Vec<&str> = plan.lines().collect();
    let is_whole = |at: usize| {
        let line = lines[at];
        let reads = TABLES.iter().any(|table| line.contains(&format!(" on {table} ")));
        let is_scan = line.contains("Scan using ") || line.contains("Seq Scan on ");
        let next = lines.get(at + 1).copied().unwrap_or_default();
        let is_bounded = ["Index Cond:", "TID Cond:"]
            .iter()
            .any(|bound| next.contains(bound));
        reads && is_scan && !is_bounded && !line.contains("tasks_deadline_at_index")
    };
    (0..lines.len()).find(|at| is_whole(*at)).map(|at| lines[at])
}

/// The queue is empty time and again, and a plan from such a time is kept until the planner looks again.
#[tokio::test]
async fn places_are_found_by_their_keys_though_the_queue_was_empty() {
    let cluster = Cluster::shared();
    let options = PostgresOptions::new(cluster.url()).schema(cluster.schema());
    let store = PostgresStore::open(options).await.unwrap();
    analyze(&store).await;
    for (sql, types) in [
        (flush::DELETE_READY, "bigint[], integer[], bigint[], integer[]"),
        (LOCK_PLACES, "bigint[]"),
        (PLACES, "bigint[]"),
    ] {
        let text = explain(&store, sql, types).await;
        let by_key = |line: &str| {
            ["(rank = ", "(task = ", "(step = "]
                .iter()
                .all(|part| line.contains(part))
        };
        assert!(text.lines().any(by_key), "{text}");
        assert!(!text.contains("Join Filter"), "{text}");
    }
    let (next, types) = claim::LOOKS[2];
    let text = explain(&store, next, types).await;
    assert!(text.contains("ready_steps_due_at_index"), "{text}");
    let (take, types) = claim::LOOKS[0];
    let text = explain(&store, take, types).await;
    assert!(!text.contains("Sort Key: r_1.rank"), "{text}");
    store.close().await.unwrap();
}

async fn analyze(store: &PostgresStore) {
    let analyzed = store.shared.readers.read(|connection| {
        let sql = "ANALYZE tasks, steps, ready_steps, payloads";
        Box::pin(async move { connection.batch_execute(sql).await })
    });
    analyzed.await.unwrap();
}

/// Returns the plan that a connection keeps for a statement, which does not know the values, only their types.
async fn explain(store: &PostgresStore, sql: &'static str, types: &'static str) -> String {
    let lines = store.shared.readers.read(move |connection| {
        Box::pin(async move {
            let prepare = format!("PREPARE turn ({types}) AS {sql}");
            connection.batch_execute(&prepare).await?;
            let values = vec!["NULL"; types.split(',').count()].join(", ");
            let explain = format!("EXPLAIN EXECUTE turn ({values})");
            let lines = Statement::<(Text,)>::new(&explain, Vec::new())
                .load::<(String,)>(connection)
                .await?;
            connection.batch_execute("DEALLOCATE turn").await?;
            Ok(lines)
        })
    });
    let lines: Vec<String> = lines.await.unwrap().into_iter().map(|row| row.0).collect();
    lines.join("\n")
}
