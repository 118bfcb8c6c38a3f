//! Writing and reading the history.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Text};
use tasker_engine::Transition;
use tasker_types::{Position, TaskId};

use super::connection::Connection;
use super::rows::{json, key_of, task_id};
use super::statement::{Bind, Statement};
use super::unit::Unit;
use crate::work::{Entry, HistoryRow, Names, NewHistoryRow};

/// How many rows are read at once.
const ROWS: i64 = 64;

impl Unit<'_> {
    /// Writes what was added to the history.
    pub(super) fn flush_entries(&mut self) -> QueryResult<()> {
        const HISTORY: &str = "INSERT INTO history (position, at, entries) VALUES (?1, ?2, ?3)";
        const TASKS: &str = "INSERT INTO task_history (task, position) SELECT value, ?2 FROM json_each(?1)";
        let entries = std::mem::take(&mut self.work.entries);
        for row in NewHistoryRow::of(&entries) {
            let position = self.cache.take_positions(self.connection, row.count)?;
            let binds = [
                Bind::Int(position),
                Bind::Int(self.work.now.as_micros()),
                Bind::Text(&row.entries),
            ];
            Statement::<()>::new(HISTORY, &binds).execute(self.connection)?;
            let tasks = json(&row.tasks);
            Statement::<()>::new(TASKS, &[Bind::Text(&tasks), Bind::Int(position)])
                .execute(self.connection)?;
        }
        Ok(())
    }
}

/// Says that something in the database makes no sense.
fn unreadable(problem: String) -> diesel::result::Error {
    diesel::result::Error::DeserializationError(problem.into())
}

fn row((position, at, entries): (i64, i64, String)) -> HistoryRow {
    HistoryRow {
        position,
        at,
        entries,
    }
}

/// Reads rows of the history after a position, of one task or of all.
fn rows(connection: &mut Connection, task: Option<i64>, after: i64) -> QueryResult<Vec<HistoryRow>> {
    const ALL: &str =
        "SELECT position, at, entries FROM history WHERE position > ?1 ORDER BY position LIMIT ?2";
    const OWN: &str = "SELECT h.position, h.at, h.entries FROM task_history AS t CROSS JOIN history AS h \
         ON h.position = t.position WHERE t.task = ?3 AND t.position > ?1 ORDER BY t.position LIMIT ?2";
    let mut binds = vec![Bind::Int(after), Bind::Int(ROWS)];
    binds.extend(task.map(Bind::Int));
    let sql = if task.is_some() { OWN } else { ALL };
    let rows =
        Statement::<(BigInt, BigInt, Text)>::new(sql, &binds).load::<(i64, i64, String)>(connection)?;
    Ok(rows.into_iter().map(row).collect())
}

/// Returns the position of the last row of the history that has entries of a task.
pub(super) fn last_of_task(connection: &mut Connection, task: i64) -> QueryResult<i64> {
    const SQL: &str = "SELECT coalesce(max(position), 0) FROM task_history WHERE task = ?1";
    Ok(Statement::<(BigInt,)>::new(SQL, &[Bind::Int(task)])
        .get_result::<(i64,)>(connection)?
        .0)
}

/// Looks at the entries of a task, in their order.
pub(super) fn each_of_task(
    connection: &mut Connection,
    task: i64,
    mut look: impl FnMut(&Entry<'_>),
) -> QueryResult<()> {
    let mut after = 0;
    loop {
        let rows = rows(connection, Some(task), after)?;
        for row in &rows {
            row.entries()
                .map_err(unreadable)?
                .iter()
                .filter(|(_, entry)| entry.task == task)
                .for_each(|(_, entry)| look(entry));
            after = row.position;
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

/// Returns the position of the last entry; 0 before the first.
pub(super) fn last(connection: &mut Connection) -> QueryResult<i64> {
    const LAST: &str = "SELECT coalesce(max(position), 0) FROM history";
    Ok(Statement::<(BigInt,)>::new(LAST, &[])
        .get_result::<(i64,)>(connection)?
        .0)
}

/// Returns entries of a task's history after a position.
pub(super) fn of_task(
    connection: &mut Connection,
    task: TaskId,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    match key_of(connection, task)? {
        Some(key) => read(connection, Some(key), after, limit),
        None => Ok(Vec::new()),
    }
}

/// Returns the whole histories of tasks, which are given by their keys.
pub(super) fn of_tasks(
    connection: &mut Connection,
    tasks: BTreeMap<i64, TaskId>,
) -> QueryResult<BTreeMap<TaskId, Vec<Transition>>> {
    const SQL: &str = "SELECT h.position, h.at, h.entries FROM \
         (SELECT DISTINCT t.position FROM json_each(?1) AS k CROSS JOIN task_history AS t ON t.task = k.value) AS p \
         CROSS JOIN history AS h ON h.position = p.position ORDER BY h.position";
    let keys: Vec<i64> = tasks.keys().copied().collect();
    let rows =
        Statement::<(BigInt, BigInt, Text)>::new(SQL, &[Bind::Text(&json(&keys))])
            .load::<(i64, i64, String)>(connection)?;
    let mut names = Names {
        tasks,
        ..Names::default()
    };
    let mut histories: BTreeMap<TaskId, Vec<Transition>> = BTreeMap::new();
    for row in rows.into_iter().map(row) {
        // Others have entries in the same row.
        let mut entries = row.entries().map_err(unreadable)?;
        entries.retain(|(_, entry)| names.tasks.contains_key(&entry.task));
        learn(&mut names, connection, &entries)?;
        for (position, entry) in entries {
            let transition = names.transition(position, row.at, entry).map_err(unreadable)?;
            histories.entry(transition.task).or_default().push(transition);
        }
    }
    Ok(histories)
}

/// Returns entries of all histories after a position.
pub(super) fn of_all(
    connection: &mut Connection,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    read(connection, None, after, limit)
}

fn read(
    connection: &mut Connection,
    task: Option<i64>,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    let limit = limit as usize;
    let mut names = Names::default();
    let mut found = Vec::new();
    let mut last = after.0;
    while found.len() < limit {
        let rows = rows(connection, task, last)?;
        let Some(end) = rows.last() else { break };
        last = end.position;
        for row in &rows {
            let mut entries = row.entries().map_err(unreadable)?;
            entries.retain(|(position, entry)| {
                *position > after.0 && task.is_none_or(|task| task == entry.task)
            });
            learn(&mut names, connection, &entries)?;
            for (position, entry) in entries.into_iter().take(limit - found.len()) {
                found.push(names.transition(position, row.at, entry).map_err(unreadable)?);
            }
        }
    }
    Ok(found)
}

/// Looks up what entries name.
fn learn(names: &mut Names, connection: &mut Connection, entries: &[(i64, Entry<'_>)]) -> QueryResult<()> {
    const TASKS: &str = "SELECT t.key, t.id FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value";
    const ACTORS: &str =
        "SELECT a.id, a.name FROM json_each(?1) AS k CROSS JOIN actors AS a ON a.id = k.value";
    let (tasks, actors) = names.unknown(entries);
    if !tasks.is_empty() {
        let rows = Statement::<(BigInt, Binary)>::new(TASKS, &[Bind::Text(&json(&tasks))])
            .load::<(i64, Vec<u8>)>(connection)?;
        let rows = rows.into_iter().map(|(key, id)| (key, task_id(&id)));
        names.tasks.extend(rows);
    }
    if !actors.is_empty() {
        let rows = Statement::<(BigInt, Text)>::new(ACTORS, &[Bind::Text(&json(&actors))])
            .load::<(i64, String)>(connection)?;
        names.learn_actors(rows);
    }
    Ok(())
}
