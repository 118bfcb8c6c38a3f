//! Lists of tasks.

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use serde_json::json;
use tasker_types::{TaskState, Timestamp};

use super::connection::Connection;
use super::rows::{json as list_of, key_of, task_id, time};
use super::statement::{Bind, Statement};
use crate::list::{TaskFilter, TaskSummary};

type Row = (
    i64,
    Vec<u8>,
    String,
    String,
    Option<String>,
    i64,
    Option<String>,
    i64,
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
    Nullable<Text>,
    BigInt,
    Nullable<Text>,
    BigInt,
    BigInt,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

const LIST: &str = "\
SELECT t.key, t.id, g.namespace || '.' || g.name || '@' || g.version, t.state, t.failure, t.priority, \
    t.origin ->> '$.tags', \
    (SELECT count(*) FROM steps AS s WHERE s.key >= t.key << 24 AND s.key < (t.key + 1) << 24 \
        AND s.state IN ('complete', 'resolved_manually')), \
    (SELECT count(*) FROM steps AS s WHERE s.key >= t.key << 24 AND s.key < (t.key + 1) << 24), \
    t.created_at, t.started_at, t.finished_at \
FROM tasks AS t JOIN graphs AS g ON g.id = t.graph \
WHERE (?1 = '[]' OR t.state IN (SELECT value FROM json_each(?1))) \
    AND (?2 = '' OR g.namespace = ?2) AND (?3 = '' OR g.name = ?3) \
    AND substr(lower(hex(t.id)), 1, length(?4)) = ?4 \
    AND (?5 IS NULL OR t.key < ?5) AND (?7 = '' OR g.version = ?7) \
    AND (?8 = '[]' OR t.origin ->> '$.initiator' IN (SELECT value FROM json_each(?8))) \
    AND (?9 = '[]' OR t.origin ->> '$.source_system' IN (SELECT value FROM json_each(?9))) \
    AND NOT EXISTS (SELECT 1 FROM json_each(?10) AS w \
        WHERE w.value NOT IN (SELECT value FROM json_each(t.origin, '$.tags'))) \
    AND NOT EXISTS (SELECT 1 FROM json_each(?11) AS w WHERE NOT EXISTS (\
        SELECT 1 FROM json_each(t.origin, '$.annotations') AS a WHERE a.key = w.value ->> 0 \
            AND (w.value -> 1 IS NULL OR (a.value IS w.value ->> 1 AND a.type = json_type(w.value, '$[1]'))))) \
ORDER BY t.key DESC LIMIT ?6";

/// Returns the tasks that pass a filter, the newest first.
pub(super) fn list(connection: &mut Connection, filter: &TaskFilter) -> QueryResult<Vec<TaskSummary>> {
    let states = list_of(&filter.states);
    let namespace = filter
        .namespace
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let name = filter.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let version = filter
        .version
        .as_ref()
        .map(ToString::to_string)
        .unwrap_or_default();
    let initiator = list_of(filter.initiator.as_slice());
    let source_system = list_of(filter.source_system.as_slice());
    let tags = list_of(&filter.tags);
    // A list of one element is an annotation of any value.
    let annotations = filter.annotations.iter().map(|(name, value)| match value {
        Some(value) => {
            let mut value = value.clone();
            value.sort_all_objects();
            json!([name, value])
        }
        None => json!([name]),
    });
    let annotations = list_of(&annotations.collect::<Vec<_>>());
    let prefix = filter
        .id_prefix
        .as_deref()
        .unwrap_or_default()
        .replace('-', "")
        .to_lowercase();
    let before = match filter.after {
        Some(task) => match key_of(connection, task)? {
            Some(key) => Some(key),
            // Nothing was created before a task that is not there.
            None => return Ok(Vec::new()),
        },
        None => None,
    };
    let binds = [
        Bind::Text(&states),
        Bind::Text(&namespace),
        Bind::Text(&name),
        Bind::Text(&prefix),
        Bind::MaybeInt(before),
        Bind::Int(i64::from(filter.limit)),
        Bind::Text(&version),
        Bind::Text(&initiator),
        Bind::Text(&source_system),
        Bind::Text(&tags),
        Bind::Text(&annotations),
    ];
    let rows = Statement::<RowSql>::new(LIST, &binds).load::<Row>(connection)?;
    Ok(rows.into_iter().map(summary).collect())
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

fn summary(row: Row) -> TaskSummary {
    TaskSummary {
        task_id: task_id(&row.1),
        name: row.2,
        state: row.3.parse().unwrap_or(TaskState::Pending),
        failure: row.4.and_then(|reason| reason.parse().ok()),
        priority: i16::try_from(row.5).unwrap_or_default(),
        tags: row
            .6
            .and_then(|tags| serde_json::from_str(&tags).ok())
            .unwrap_or_default(),
        completed_steps: u64::try_from(row.7).unwrap_or_default(),
        total_steps: u64::try_from(row.8).unwrap_or_default(),
        created_at: Timestamp::from_micros(row.9),
        started_at: time(row.10),
        finished_at: time(row.11),
    }
}
