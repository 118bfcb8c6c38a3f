//! Lists of tasks.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, SmallInt, Text, Uuid as SqlUuid};
use tasker_engine::Origin;
use tasker_types::{TaskState, Timestamp};
use uuid::Uuid;

use super::connection::Connection;
use super::rows::{key_of, parsed, task_id, time};
use super::statement::{Bind, Statement};
use crate::list::{TaskFilter, TaskSummary};

type RowSql = (
    BigInt,
    SqlUuid,
    Text,
    Text,
    Nullable<Text>,
    SmallInt,
    Nullable<Text>,
    BigInt,
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
    Option<String>,
    i16,
    Option<String>,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
);

const LIST: &str = "\
SELECT t.key, t.id, g.namespace || '.' || g.name || '@' || g.version, t.state, t.failure, t.priority, t.origin, \
    (SELECT count(*) FROM steps AS s WHERE s.task = t.key AND s.state IN ('complete', 'resolved_manually')), \
    (SELECT count(*) FROM steps AS s WHERE s.task = t.key), \
    t.created_at, t.started_at, t.finished_at \
FROM tasks AS t JOIN graphs AS g ON g.id = t.graph \
WHERE (cardinality($1::text[]) = 0 OR t.state = ANY($1)) \
    AND ($2 = '' OR g.namespace = $2) AND ($3 = '' OR g.name = $3) \
    AND starts_with(replace(t.id::text, '-', ''), $4) AND ($5::bigint IS NULL OR t.key < $5) \
    AND ($7 = '' OR g.version = $7) \
ORDER BY t.key DESC LIMIT $6";

/// How many tasks are read at once whose origins are looked at.
const PAGE: u32 = 1_000;

/// Returns the tasks that pass a filter, the newest first.
///
/// What is said about a task lies in a text that may hold what the server's own JSON cannot, so it is compared here, page by
/// page.
pub(super) async fn list(connection: &Connection<'_>, filter: &TaskFilter) -> QueryResult<Vec<TaskSummary>> {
    let shown = |text: Option<String>| text.unwrap_or_default();
    let namespace = shown(filter.namespace.as_ref().map(ToString::to_string));
    let name = shown(filter.name.as_ref().map(ToString::to_string));
    let version = shown(filter.version.as_ref().map(ToString::to_string));
    let prefix = filter
        .id_prefix
        .as_deref()
        .unwrap_or_default()
        .replace('-', "")
        .to_lowercase();
    let mut before = match filter.after {
        Some(task) => match key_of(connection, task).await? {
            Some(key) => Some(key),
            // Nothing was created before a task that is not there.
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let all = filter.passes(&Origin::default());
    let page = if all { filter.limit } else { PAGE };
    let mut tasks = Vec::new();
    while tasks.len() < filter.limit as usize {
        let binds = vec![
            Bind::Texts(filter.states.iter().map(|state| state.as_str()).collect()),
            Bind::Text(&namespace),
            Bind::Text(&name),
            Bind::Text(&prefix),
            Bind::MaybeInt(before),
            Bind::Int(i64::from(page)),
            Bind::Text(&version),
        ];
        let rows = Statement::<RowSql>::new(LIST, binds)
            .load::<Row>(connection)
            .await?;
        let full = rows.len() == page as usize;
        before = rows.last().map(|row| row.0).or(before);
        for row in rows {
            let (passes, task) = summary(filter, row);
            if passes && tasks.len() < filter.limit as usize {
                tasks.push(task);
            }
        }
        if !full {
            break;
        }
    }
    Ok(tasks)
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

/// Returns whether what is said about a task passes, and the task.
fn summary(filter: &TaskFilter, row: Row) -> (bool, TaskSummary) {
    let origin: Origin = row
        .6
        .and_then(|text| serde_json::from_str(&text).ok())
        .unwrap_or_default();
    let passes = filter.passes(&origin);
    let task = TaskSummary {
        task_id: task_id(row.1),
        name: row.2,
        state: parsed(&row.3, TaskState::Pending),
        failure: row.4.and_then(|reason| reason.parse().ok()),
        priority: row.5,
        tags: origin.tags,
        completed_steps: u64::try_from(row.7).unwrap_or_default(),
        total_steps: u64::try_from(row.8).unwrap_or_default(),
        created_at: Timestamp::from_micros(row.9),
        started_at: time(row.10),
        finished_at: time(row.11),
    };
    (passes, task)
}
