//! The history: entries that are committed together stand in one row, which costs a fraction of a row for each.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Text};
use serde::Serialize;
use tasker_engine::{Actor, Transition};
use tasker_types::{Position, TaskId, Timestamp};

use super::connection::Connection;
use super::rows::{json, key_of, task_id};
use super::statement::{Bind, Statement};
use super::unit::Unit;
use crate::work::{Entry, change};

/// A row that has this many entries takes in no other task's: whoever reads the history of a task reads them all.
const FULL: usize = 128;

/// How many entries a row has at most.
const MOST: usize = 1_024;

/// How many rows are read at once.
const ROWS: i64 = 64;

/// A row of the history.
struct Row {
    position: i64,
    at: i64,
    entries: String,
}

impl Row {
    /// Returns the entries with their positions. Of tasks that are gone there are none.
    fn entries(&self) -> QueryResult<Vec<(i64, Entry<'_>)>> {
        let entries: Vec<Option<Entry<'_>>> = serde_json::from_str(&self.entries).map_err(|error| {
            let text = format!(
                "the history up to position {} makes no sense: {error}",
                self.position
            );
            diesel::result::Error::DeserializationError(text.into())
        })?;
        let first = self.position - i64::try_from(entries.len()).unwrap_or(i64::MAX) + 1;
        let places = (first..).zip(entries);
        Ok(places
            .filter_map(|(position, entry)| Some((position, entry?)))
            .collect())
    }
}

impl Unit<'_> {
    /// Writes what was added to the history. The entries of a task keep their order and stand together.
    pub(super) fn flush_entries(&mut self) -> QueryResult<()> {
        let mut entries = std::mem::take(&mut self.work.entries);
        entries.sort_by_key(|entry| entry.task);
        let mut row: Vec<&Entry<'_>> = Vec::new();
        for own in entries.chunk_by(|one, other| one.task == other.task) {
            for part in own.chunks(MOST) {
                if !row.is_empty() && row.len() + part.len() > FULL {
                    self.write_history(&row)?;
                    row.clear();
                }
                row.extend(part);
            }
        }
        if !row.is_empty() {
            self.write_history(&row)?;
        }
        Ok(())
    }

    fn write_history(&mut self, entries: &[&Entry<'_>]) -> QueryResult<()> {
        const HISTORY: &str = "INSERT INTO history (position, at, entries) VALUES (?1, ?2, ?3)";
        const TASKS: &str = "INSERT INTO task_history (task, position) SELECT value, ?2 FROM json_each(?1)";
        let count = i64::try_from(entries.len()).unwrap_or(i64::MAX);
        let position = self.cache.take_positions(self.connection, count)?;
        let text = json(&entries.iter().map(|entry| parts(entry)).collect::<Vec<_>>());
        let binds = [
            Bind::Int(position),
            Bind::Int(self.work.now.as_micros()),
            Bind::Text(&text),
        ];
        Statement::<()>::new(HISTORY, &binds).execute(self.connection)?;
        let mut tasks: Vec<i64> = entries.iter().map(|entry| entry.task).collect();
        tasks.dedup();
        let tasks = json(&tasks);
        Statement::<()>::new(TASKS, &[Bind::Text(&tasks), Bind::Int(position)]).execute(self.connection)?;
        Ok(())
    }
}

/// Returns the parts of an entry as the database lists them.
fn parts<'e>(entry: &'e Entry<'_>) -> impl Serialize + use<'e> {
    (
        entry.task,
        entry.step,
        entry.event,
        entry.from,
        entry.to,
        entry.actor,
        entry.run,
        entry.attempt,
        &entry.handler_version,
        entry.ran_us,
        &entry.metadata,
    )
}

/// Reads rows of the history after a position, of one task or of all.
fn rows(connection: &mut Connection, task: Option<i64>, after: i64) -> QueryResult<Vec<Row>> {
    const ALL: &str =
        "SELECT position, at, entries FROM history WHERE position > ?1 ORDER BY position LIMIT ?2";
    const OWN: &str = "SELECT h.position, h.at, h.entries FROM task_history AS t CROSS JOIN history AS h \
         ON h.position = t.position WHERE t.task = ?3 AND t.position > ?1 ORDER BY t.position LIMIT ?2";
    let mut binds = vec![Bind::Int(after), Bind::Int(ROWS)];
    binds.extend(task.map(Bind::Int));
    let sql = if task.is_some() { OWN } else { ALL };
    let rows =
        Statement::<(BigInt, BigInt, Text)>::new(sql, &binds).load::<(i64, i64, String)>(connection)?;
    Ok(rows
        .into_iter()
        .map(|(position, at, entries)| Row {
            position,
            at,
            entries,
        })
        .collect())
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
            row.entries()?
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
    for (position, at, entries) in rows {
        let row = Row {
            position,
            at,
            entries,
        };
        // Others have entries in the same row.
        let mut entries = row.entries()?;
        entries.retain(|(_, entry)| names.tasks.contains_key(&entry.task));
        names.learn(connection, entries.iter().map(|(_, entry)| entry))?;
        for (position, entry) in entries {
            let transition = names.transition(position, at, entry)?;
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
            let mut entries = row.entries()?;
            entries.retain(|(position, entry)| {
                *position > after.0 && task.is_none_or(|task| task == entry.task)
            });
            names.learn(connection, entries.iter().map(|(_, entry)| entry))?;
            for (position, entry) in entries.into_iter().take(limit - found.len()) {
                found.push(names.transition(position, row.at, entry)?);
            }
        }
    }
    Ok(found)
}

/// What tasks and actors are called outside.
#[derive(Default)]
struct Names {
    tasks: BTreeMap<i64, TaskId>,
    actors: BTreeMap<i64, Actor>,
}

impl Names {
    fn learn<'e>(
        &mut self,
        connection: &mut Connection,
        entries: impl Iterator<Item = &'e Entry<'e>> + Clone,
    ) -> QueryResult<()> {
        const TASKS: &str =
            "SELECT t.key, t.id FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value";
        const ACTORS: &str =
            "SELECT a.id, a.name FROM json_each(?1) AS k CROSS JOIN actors AS a ON a.id = k.value";
        let unknown = |key: i64, known: bool| (!known).then_some(key);
        let tasks: Vec<i64> = entries
            .clone()
            .filter_map(|entry| unknown(entry.task, self.tasks.contains_key(&entry.task)))
            .collect();
        if !tasks.is_empty() {
            let rows =
                Statement::<(BigInt, Binary)>::new(TASKS, &[Bind::Text(&json(&tasks))])
                    .load::<(i64, Vec<u8>)>(connection)?;
            self.tasks
                .extend(rows.into_iter().map(|(key, id)| (key, task_id(&id))));
        }
        let actors: Vec<i64> = entries
            .filter_map(|entry| unknown(entry.actor, self.actors.contains_key(&entry.actor)))
            .collect();
        if !actors.is_empty() {
            let rows =
                Statement::<(BigInt, Text)>::new(ACTORS, &[Bind::Text(&json(&actors))])
                    .load::<(i64, String)>(connection)?;
            let actor = |name: String| name.parse().unwrap_or(Actor::System);
            self.actors
                .extend(rows.into_iter().map(|(id, name)| (id, actor(name))));
        }
        Ok(())
    }

    fn transition(&self, position: i64, at: i64, entry: Entry<'_>) -> QueryResult<Transition> {
        let change = change(&entry);
        let (Some(change), Some(task)) = (change, self.tasks.get(&entry.task)) else {
            let text = format!(
                "the history entry at position {position} makes no sense: `{}`",
                entry.event
            );
            return Err(diesel::result::Error::DeserializationError(text.into()));
        };
        Ok(Transition {
            position: Position(position),
            task: *task,
            change,
            at: Timestamp::from_micros(at),
            actor: self.actors.get(&entry.actor).cloned().unwrap_or(Actor::System),
            metadata: entry.metadata,
        })
    }
}
