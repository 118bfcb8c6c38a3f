//! Reading the history.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text, Uuid as SqlUuid};
use futures_util::future::try_join;
use tasker_engine::Transition;
use tasker_types::{Position, TaskId};
use uuid::Uuid;

use super::connection::Connection;
use super::rows::{key_of, task_id};
use super::statement::{Bind, Statement};
use crate::work::{Entry, HistoryRow, Names};

/// How many rows are read at once.
const ROWS: i64 = 64;

type RowSql = (BigInt, BigInt, Text);
type RowTuple = (i64, i64, String);

fn row((position, at, entries): RowTuple) -> HistoryRow {
    HistoryRow {
        position,
        at,
        entries,
    }
}

/// Says that something in the database makes no sense.
fn unreadable(problem: String) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(problem.into())
}

async fn rows(
    connection: &Connection<'_>,
    sql: &'static str,
    binds: Vec<Bind<'_>>,
) -> QueryResult<Vec<HistoryRow>> {
    let rows = Statement::<RowSql>::new(sql, binds)
        .load::<RowTuple>(connection)
        .await?;
    Ok(rows.into_iter().map(row).collect())
}

/// Returns the position of the last row of the history that has entries of a task.
pub(super) async fn last_of_task(connection: &Connection<'_>, task: i64) -> QueryResult<i64> {
    const SQL: &str = "SELECT coalesce(max(t.position), 0) FROM task_history AS t WHERE t.task = $1";
    let (last,) = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(task)])
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(last)
}

/// Returns the rows of the history that have entries of a task after a position, some at a time.
async fn rows_of_task(connection: &Connection<'_>, task: i64, after: i64) -> QueryResult<Vec<HistoryRow>> {
    const SQL: &str = "SELECT h.position, h.at, h.entries FROM task_history AS t \
         JOIN history AS h ON h.position = t.position WHERE t.task = $1 AND t.position > $2 \
         ORDER BY t.position LIMIT $3";
    let binds = vec![Bind::Int(task), Bind::Int(after), Bind::Int(ROWS)];
    rows(connection, SQL, binds).await
}

/// Looks at the entries of a task, in their order.
pub(super) async fn each_of_task(
    connection: &Connection<'_>,
    task: i64,
    mut look: impl FnMut(&Entry<'_>) + Send,
) -> QueryResult<()> {
    let mut after = 0;
    loop {
        let rows = rows_of_task(connection, task, after).await?;
        for row in &rows {
            let entries = row.entries().map_err(unreadable)?;
            let own = entries.iter().filter(|(_, entry)| entry.task == task);
            own.for_each(|(_, entry)| look(entry));
            after = row.position;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

/// Returns entries of a task's history after a position.
pub(super) async fn of_task(
    connection: &Connection<'_>,
    task: TaskId,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    let Some(key) = key_of(connection, task).await? else {
        return Ok(Vec::new());
    };
    let limit = limit as usize;
    let mut names = Names::default();
    names.tasks.insert(key, task);
    let (mut found, mut last) = (Vec::new(), after.0);
    while found.len() < limit {
        let rows = rows_of_task(connection, key, last).await?;
        let Some(end) = rows.last() else { break };
        last = end.position;
        for row in &rows {
            let mut entries = row.entries().map_err(unreadable)?;
            entries.retain(|(position, entry)| *position > after.0 && entry.task == key);
            entries.truncate(limit - found.len());
            tell(&mut names, connection, row.at, entries, &mut found).await?;
        }
    }
    Ok(found)
}

/// Returns the whole histories of tasks, which are given by their keys.
pub(super) async fn of_tasks(
    connection: &Connection<'_>,
    tasks: BTreeMap<i64, TaskId>,
) -> QueryResult<BTreeMap<TaskId, Vec<Transition>>> {
    const SQL: &str = "SELECT h.position, h.at, h.entries FROM \
         (SELECT DISTINCT t.position FROM unnest($1) AS k (task) JOIN task_history AS t ON t.task = k.task) AS p \
         JOIN history AS h ON h.position = p.position ORDER BY h.position";
    let keys = tasks.keys().copied().collect();
    let rows = rows(connection, SQL, vec![Bind::Ints(keys)]).await?;
    let mut names = Names {
        tasks,
        ..Names::default()
    };
    let mut found = Vec::new();
    for row in rows {
        // Others have entries in the same row.
        let mut entries = row.entries().map_err(unreadable)?;
        entries.retain(|(_, entry)| names.tasks.contains_key(&entry.task));
        tell(&mut names, connection, row.at, entries, &mut found).await?;
    }
    let mut histories: BTreeMap<TaskId, Vec<Transition>> = BTreeMap::new();
    for transition in found {
        histories.entry(transition.task).or_default().push(transition);
    }
    Ok(histories)
}

/// Returns entries of all histories after a position, those that no transaction can come before any more, and whether
/// there are others.
pub(super) async fn of_all(
    connection: &Connection<'_>,
    after: Position,
    limit: u32,
    offset: i64,
) -> QueryResult<(Vec<Transition>, bool)> {
    const SQL: &str = "SELECT h.position, h.at, h.entries FROM history AS h WHERE h.position > $1 AND h.position < \
         ((SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) + $2) << 19 ORDER BY h.position LIMIT $3";
    const MORE: &str = "SELECT count(*) FROM (SELECT FROM history AS h WHERE h.position > $1 LIMIT 1) AS m";
    let limit = limit as usize;
    let mut names = Names::default();
    let (mut found, mut last) = (Vec::new(), after.0);
    while found.len() < limit {
        let binds = vec![Bind::Int(last), Bind::Int(offset), Bind::Int(ROWS)];
        let rows = rows(connection, SQL, binds).await?;
        let Some(end) = rows.last() else { break };
        last = end.position;
        for row in &rows {
            let mut entries = row.entries().map_err(unreadable)?;
            entries.retain(|(position, _)| *position > after.0);
            entries.truncate(limit - found.len());
            tell(&mut names, connection, row.at, entries, &mut found).await?;
        }
    }
    if found.len() >= limit {
        return Ok((found, false));
    }
    let more: (i64,) = Statement::<(BigInt,)>::new(MORE, vec![Bind::Int(last)])
        .get_result(connection)
        .await?;
    Ok((found, more.0 > 0))
}

/// Returns the position of the last entry of all histories, and the position before which no transaction can write any
/// more.
pub(super) async fn position(connection: &Connection<'_>, offset: i64) -> QueryResult<(i64, i64)> {
    const SQL: &str = "SELECT coalesce((SELECT max(h.position) FROM history AS h), 0), \
         ((SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) + $1) << 19";
    Statement::<(BigInt, BigInt)>::new(SQL, vec![Bind::Int(offset)])
        .get_result::<(i64, i64)>(connection)
        .await
}

/// Returns the position of the last entry before one that begins a transaction.
pub(super) async fn position_before(connection: &Connection<'_>, end: i64) -> QueryResult<Position> {
    const SQL: &str = "SELECT coalesce((SELECT max(h.position) FROM history AS h WHERE h.position < $1), 0)";
    let (last,) = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(end)])
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(Position(last))
}

/// Adds what entries tell; looks up what they name.
async fn tell(
    names: &mut Names,
    connection: &Connection<'_>,
    at: i64,
    entries: Vec<(i64, Entry<'_>)>,
    found: &mut Vec<Transition>,
) -> QueryResult<()> {
    const TASKS: &str = "SELECT t.key, t.id FROM tasks AS t WHERE t.key = ANY($1)";
    const ACTORS: &str = "SELECT a.id, a.name FROM actors AS a WHERE a.id = ANY($1)";
    let (tasks, actors) = names.unknown(&entries);
    if !tasks.is_empty() || !actors.is_empty() {
        let (tasks, actors) =
            try_join(
                Statement::<(BigInt, SqlUuid)>::new(TASKS, vec![Bind::Ints(tasks.into_iter().collect())])
                    .load::<(i64, Uuid)>(connection),
                Statement::<(BigInt, Text)>::new(ACTORS, vec![Bind::Ints(actors.into_iter().collect())])
                    .load::<(i64, String)>(connection),
            )
            .await?;
        let tasks = tasks.into_iter().map(|(key, id)| (key, task_id(id)));
        names.tasks.extend(tasks);
        names.learn_actors(actors);
    }
    for (position, entry) in entries {
        found.push(names.transition(position, at, entry).map_err(unreadable)?);
    }
    Ok(())
}
