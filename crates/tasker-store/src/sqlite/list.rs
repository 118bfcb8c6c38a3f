//! Lists of tasks.

use std::collections::{BTreeMap, BTreeSet};

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use tasker_engine::{Origin, TaskPage, TaskQuery};
use tasker_types::{TaskState, Timestamp};

use super::connection::Connection;
use super::flush::{INSERT_LABELS, run};
use super::rows::{json, load_payloads, task_id, time};
use super::statement::{Bind, Statement};
use crate::list::{Dialect, Found, Gathering, Graphs, Plan, Sql, Steps, Value, graphs, labels};
use crate::work::Kind;

type Row = (
    i64,
    Vec<u8>,
    String,
    String,
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

type RowSql = (
    BigInt,
    Binary,
    Text,
    Text,
    Text,
    Text,
    Nullable<Text>,
    BigInt,
    Nullable<Text>,
    BigInt,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

/// Returns a page of tasks.
pub(super) fn list(connection: &mut Connection, query: TaskQuery) -> QueryResult<TaskPage> {
    let graphs = match graphs(&query, Dialect::Sqlite) {
        Graphs::Any => None,
        Graphs::Found(sql) => {
            let rows = with_binds(&sql, |binds| {
                Statement::<(BigInt,)>::new(&sql.text, binds).load::<(i64,)>(connection)
            })?;
            Some(rows.into_iter().map(|row| row.0).collect())
        }
    };
    let count = query.count;
    let plan = Plan::new(query, Dialect::Sqlite, graphs);
    let page = gather(connection, Gathering::page(&plan))?;
    let total = match plan.counted() {
        _ if !count => None,
        Some(sql) => {
            let (count,) = with_binds(&sql, |binds| {
                Statement::<(BigInt,)>::new(&sql.text, binds).get_result::<(i64,)>(connection)
            })?;
            Some(u64::try_from(count).unwrap_or_default())
        }
        None => Some(gather(connection, Gathering::count(&plan))?.total()),
    };
    let steps = steps(connection, &page.keys())?;
    Ok(page.finish(&steps, total))
}

fn gather(connection: &mut Connection, mut gathering: Gathering) -> QueryResult<Gathering> {
    while let Some(sql) = gathering.next() {
        let rows = with_binds(&sql, |binds| {
            Statement::<RowSql>::new(&sql.text, binds).load::<Row>(connection)
        })?;
        let rows: Vec<Found> = rows.into_iter().map(found).collect();
        let places = gathering.unsure(&rows);
        let places: Vec<_> = places.into_iter().map(|key| ((key, 0), Kind::Context)).collect();
        let contexts = load_payloads(connection, &places)?;
        let contexts = contexts
            .into_iter()
            .map(|(((key, _), _), context)| (key, context));
        gathering.take(rows, contexts.collect());
    }
    Ok(gathering)
}

/// Hands over the values of a statement.
fn with_binds<T>(sql: &Sql, run: impl FnOnce(&[Bind<'_>]) -> T) -> T {
    let texts: Vec<String> = sql
        .values
        .iter()
        .map(|value| match value {
            Value::Ints(values) => json(values),
            Value::Texts(values) => json(values),
            _ => String::new(),
        })
        .collect();
    let binds = sql.values.iter().zip(&texts).map(|(value, text)| match value {
        Value::Int(value) => Bind::Int(*value),
        Value::Text(value) => Bind::Text(value),
        Value::Ints(_) | Value::Texts(_) => Bind::Text(text),
        Value::Id(id) => Bind::Blob(id.as_bytes()),
    });
    run(&binds.collect::<Vec<_>>())
}

fn found(row: Row) -> Found {
    Found {
        key: row.0,
        id: task_id(&row.1),
        namespace: row.2,
        name: row.3,
        version: row.4,
        state: row.5.parse().unwrap_or(TaskState::Pending),
        failure: row.6.and_then(|reason| reason.parse().ok()),
        priority: i16::try_from(row.7).unwrap_or_default(),
        origin: origin(row.8),
        created_at: Timestamp::from_micros(row.9),
        updated_at: Timestamp::from_micros(row.10),
        started_at: time(row.11),
        finished_at: time(row.12),
    }
}

fn origin(text: Option<String>) -> Origin {
    text.and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default()
}

/// Counts the steps of tasks.
fn steps(connection: &mut Connection, tasks: &[i64]) -> QueryResult<BTreeMap<i64, Steps>> {
    const SQL: &str = "SELECT k.value, count(*), sum(s.state IN ('complete', 'resolved_manually')) \
         FROM json_each(?1) AS k CROSS JOIN steps AS s ON s.key >= k.value << 24 AND s.key < (k.value + 1) << 24 \
         GROUP BY k.value";
    let tasks = json(tasks);
    let rows = Statement::<(BigInt, BigInt, BigInt)>::new(SQL, &[Bind::Text(&tasks)])
        .load::<(i64, i64, i64)>(connection)?;
    let number = |count: i64| u64::try_from(count).unwrap_or_default();
    let rows = rows.into_iter().map(|(task, all, done)| {
        let steps = Steps {
            all: number(all),
            done: number(done),
        };
        (task, steps)
    });
    Ok(rows.collect())
}

const DELETE_LABELS: &str = "\
DELETE FROM task_labels WHERE (kind, value, created_at, task) IN \
    (SELECT value->>0, value->>1, value->>2, value->>3 FROM json_each(?1))";

/// Has a task found by what is said about it now, instead of before.
pub(super) fn relabel(
    connection: &mut Connection,
    task: i64,
    created_at: i64,
    before: &Origin,
    now: &Origin,
) -> QueryResult<()> {
    let rows = |labels: &[(crate::list::Label, String)]| -> Vec<(&'static str, String, i64, i64)> {
        let labels = labels.iter();
        labels
            .map(|(kind, value)| (kind.as_str(), value.clone(), created_at, task))
            .collect()
    };
    let (mut old, mut new) = (labels(before), labels(now));
    let kept: BTreeSet<_> = old.iter().filter(|label| new.contains(label)).cloned().collect();
    old.retain(|label| !kept.contains(label));
    new.retain(|label| !kept.contains(label));
    run(connection, DELETE_LABELS, &rows(&old))?;
    run(connection, INSERT_LABELS, &rows(&new))
}

/// Has tasks found no more that are about to go.
pub(super) fn unlabel(connection: &mut Connection, tasks: &BTreeSet<i64>) -> QueryResult<()> {
    const SQL: &str = "SELECT t.key, t.created_at, t.origin FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value \
         WHERE t.origin IS NOT NULL";
    let tasks = json(tasks);
    let rows = Statement::<(BigInt, BigInt, Nullable<Text>)>::new(SQL, &[Bind::Text(&tasks)]).load::<(
        i64,
        i64,
        Option<String>,
    )>(
        connection
    )?;
    let mut gone = Vec::new();
    for (task, created_at, text) in rows {
        let labels = labels(&origin(text)).into_iter();
        gone.extend(labels.map(|(kind, value)| (kind.as_str(), value, created_at, task)));
    }
    run(connection, DELETE_LABELS, &gone)
}

const FEWEST_HELD: &str = "SELECT min(held) FROM (SELECT sum(held) AS held FROM leases GROUP BY actor)";

/// Returns how many steps the worker holds that holds fewest of those that hold any.
pub(super) fn fewest_held(connection: &mut Connection) -> QueryResult<Option<u32>> {
    let held = Statement::<Nullable<BigInt>>::new(FEWEST_HELD, &[]).load::<Option<i64>>(connection)?;
    Ok(held
        .into_iter()
        .flatten()
        .next()
        .and_then(|held| u32::try_from(held).ok()))
}
