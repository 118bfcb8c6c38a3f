//! Lists of tasks.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Uuid as SqlUuid};
use tasker_engine::{Origin, TaskPage, TaskQuery};
use tasker_types::{TaskState, Timestamp};
use uuid::Uuid;

use super::connection::Connection;
use super::flush::INSERT_LABELS;
use super::rows::{load_payloads, parsed, task_id, time, uuid};
use super::statement::{Bind, Statement, execute};
use crate::list::{Dialect, Found, Gathering, Graphs, Label, Plan, Sql, Steps, Value, graphs, labels};
use crate::work::Kind;

type RowSql = (
    BigInt,
    SqlUuid,
    Text,
    Text,
    Text,
    Text,
    Nullable<Text>,
    SmallInt,
    Nullable<Text>,
    BigInt,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

type Row = (
    i64,
    Uuid,
    String,
    String,
    String,
    String,
    Option<String>,
    i16,
    Option<String>,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

/// Returns how a list is made.
pub(super) async fn plan(connection: &Connection<'_>, query: TaskQuery) -> QueryResult<Plan> {
    let graphs = match graphs(&query, Dialect::Postgres) {
        Graphs::Any => None,
        Graphs::Found(sql) => {
            let rows = Statement::<(BigInt,)>::new(&sql.text, binds(&sql))
                .load::<(i64,)>(connection)
                .await?;
            Some(rows.into_iter().map(|row| row.0).collect())
        }
    };
    Ok(Plan::new(query, Dialect::Postgres, graphs))
}

/// Returns a page of tasks.
///
/// What is said about a task lies in a text that may hold what the server's own JSON cannot, so it is compared here.
pub(super) async fn list(connection: &Connection<'_>, query: TaskQuery) -> QueryResult<TaskPage> {
    let count = query.count;
    let plan = plan(connection, query).await?;
    let page = gather(connection, Gathering::page(&plan)).await?;
    let total = match plan.counted() {
        _ if !count => None,
        Some(sql) => {
            let (count,) = Statement::<(BigInt,)>::new(&sql.text, binds(&sql))
                .get_result::<(i64,)>(connection)
                .await?;
            Some(u64::try_from(count).unwrap_or_default())
        }
        None => Some(gather(connection, Gathering::count(&plan)).await?.total()),
    };
    let steps = steps(connection, page.keys()).await?;
    Ok(page.finish(&steps, total))
}

async fn gather(connection: &Connection<'_>, mut gathering: Gathering) -> QueryResult<Gathering> {
    while let Some(sql) = gathering.next() {
        let rows = Statement::<RowSql>::new(&sql.text, binds(&sql))
            .load::<Row>(connection)
            .await?;
        let rows: Vec<Found> = rows.into_iter().map(found).collect();
        let places = gathering.unsure(&rows);
        let places: Vec<_> = places.into_iter().map(|key| ((key, 0), Kind::Context)).collect();
        let contexts = load_payloads(connection, &places).await?;
        let contexts = contexts
            .into_iter()
            .map(|(((key, _), _), context)| (key, context));
        gathering.take(rows, contexts.collect());
    }
    Ok(gathering)
}

pub(super) fn binds(sql: &Sql) -> Vec<Bind<'_>> {
    let bind = |value| match value {
        &Value::Int(value) => Bind::Int(value),
        Value::Text(value) => Bind::Text(value),
        Value::Ints(values) => Bind::Ints(values.clone()),
        Value::Texts(values) => Bind::Texts(values.iter().map(String::as_str).collect()),
        Value::Id(id) => Bind::Id(uuid(*id)),
    };
    sql.values.iter().map(bind).collect()
}

fn found(row: Row) -> Found {
    Found {
        key: row.0,
        id: task_id(row.1),
        namespace: row.2,
        name: row.3,
        version: row.4,
        state: parsed(&row.5, TaskState::Pending),
        failure: row.6.and_then(|reason| reason.parse().ok()),
        priority: row.7,
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
async fn steps(connection: &Connection<'_>, tasks: Vec<i64>) -> QueryResult<BTreeMap<i64, Steps>> {
    const SQL: &str = "SELECT s.task, count(*), count(*) FILTER (WHERE s.state IN ('complete', 'resolved_manually')) \
         FROM steps AS s WHERE s.task = ANY($1) GROUP BY s.task";
    let rows = Statement::<(BigInt, BigInt, BigInt)>::new(SQL, vec![Bind::Ints(tasks)])
        .load::<(i64, i64, i64)>(connection)
        .await?;
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

/// Labels of tasks: whose, since when, of which kind, and what they say.
type Rows = Vec<(i64, i64, Label, String)>;

async fn delete_labels(connection: &Connection<'_>, rows: &Rows) -> QueryResult<()> {
    const SQL: &str = "DELETE FROM task_labels AS l USING unnest($1, $2, $3, $4) AS u (kind, value, created_at, task) \
         WHERE l.kind = u.kind AND l.value = u.value AND l.created_at = u.created_at AND l.task = u.task";
    if rows.is_empty() {
        return Ok(());
    }
    let binds = vec![
        Bind::Texts(rows.iter().map(|(_, _, kind, _)| kind.as_str()).collect()),
        Bind::Texts(rows.iter().map(|(.., value)| value.as_str()).collect()),
        Bind::Ints(rows.iter().map(|(_, created_at, ..)| *created_at).collect()),
        Bind::Ints(rows.iter().map(|(task, ..)| *task).collect()),
    ];
    execute(connection, SQL, binds).await.map(drop)
}

/// Has a task found by what is said about it now, instead of before.
pub(super) async fn relabel(
    connection: &Connection<'_>,
    task: i64,
    created_at: i64,
    before: &Origin,
    now: &Origin,
) -> QueryResult<()> {
    let (old, new) = (labels(before), labels(now));
    let gone = old.iter().filter(|label| !new.contains(label)).cloned();
    let gone = gone
        .map(|(kind, value)| (task, created_at, kind, value))
        .collect();
    delete_labels(connection, &gone).await?;
    let come: Vec<_> = new.iter().filter(|label| !old.contains(label)).collect();
    if come.is_empty() {
        return Ok(());
    }
    let binds = vec![
        Bind::Texts(come.iter().map(|(kind, _)| kind.as_str()).collect()),
        Bind::Texts(come.iter().map(|(_, value)| value.as_str()).collect()),
        Bind::Ints(vec![task; come.len()]),
        Bind::Int(created_at),
    ];
    execute(connection, INSERT_LABELS, binds).await.map(drop)
}

/// Has tasks found no more that are about to go.
pub(super) async fn unlabel(connection: &Connection<'_>, tasks: &[i64]) -> QueryResult<()> {
    const SQL: &str =
        "SELECT t.key, t.created_at, t.origin FROM tasks AS t WHERE t.key = ANY($1) AND t.origin IS NOT NULL";
    let rows = Statement::<(BigInt, BigInt, Nullable<Text>)>::new(SQL, vec![Bind::Ints(tasks.to_vec())])
        .load::<(i64, i64, Option<String>)>(connection)
        .await?;
    let mut gone = Rows::new();
    for (task, created_at, text) in rows {
        let labels = labels(&origin(text)).into_iter();
        gone.extend(labels.map(|(kind, value)| (task, created_at, kind, value)));
    }
    delete_labels(connection, &gone).await
}

const FEWEST_HELD: &str = "\
SELECT min(h.held) FROM (SELECT count(*) AS held FROM leases AS l CROSS JOIN unnest(l.tasks, l.steps) AS k (task, step) \
    JOIN steps AS s ON s.task = k.task AND s.step = k.step AND s.token = l.token GROUP BY l.actor) AS h";

/// Returns how many steps the worker holds that holds fewest of those that hold any.
pub(super) async fn fewest_held(connection: &Connection<'_>) -> QueryResult<Option<u32>> {
    let (held,) = Statement::<(Nullable<BigInt>,)>::new(FEWEST_HELD, Vec::new())
        .get_result::<(Option<i64>,)>(connection)
        .await?;
    Ok(held.and_then(|held| u32::try_from(held).ok()))
}
