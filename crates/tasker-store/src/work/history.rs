//! How the history is kept: entries that are committed together stand in one row, which costs a fraction of a row for each.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::value::RawValue;
use tasker_engine::{Actor, Transition};
use tasker_types::{Position, TaskId, Timestamp};

use super::entry::{Entry, change};

/// How many entries a row has at most.
const MOST: usize = 1_024;

/// Entries that are to stand in one row.
#[derive(Debug)]
pub(crate) struct NewHistoryRow {
    pub(crate) count: i64,
    pub(crate) entries: String,
    /// The keys of the tasks that have entries in it.
    pub(crate) tasks: Vec<i64>,
}

impl NewHistoryRow {
    /// A row that has this many entries takes in no other task's: whoever reads the history of a task reads them all.
    pub(crate) const FULL: usize = 128;

    /// Puts entries into rows. Those of a task keep their order and stand together.
    pub(crate) fn of(entries: &[Entry<'_>]) -> Vec<Self> {
        let mut entries: Vec<&Entry<'_>> = entries.iter().collect();
        entries.sort_by_key(|entry| entry.task);
        let mut rows = Vec::new();
        let mut row: Vec<&Entry<'_>> = Vec::new();
        for own in entries.chunk_by(|one, other| one.task == other.task) {
            for part in own.chunks(MOST) {
                if !row.is_empty() && row.len() + part.len() > Self::FULL {
                    rows.push(Self::together(&row));
                    row.clear();
                }
                row.extend(part);
            }
        }
        if !row.is_empty() {
            rows.push(Self::together(&row));
        }
        rows
    }

    fn together(entries: &[&Entry<'_>]) -> Self {
        let parts: Vec<_> = entries.iter().map(|entry| parts(entry)).collect();
        let mut tasks: Vec<i64> = entries.iter().map(|entry| entry.task).collect();
        tasks.dedup();
        Self {
            count: i64::try_from(entries.len()).unwrap_or(i64::MAX),
            entries: serde_json::to_string(&parts).unwrap_or_default(),
            tasks,
        }
    }
}

/// Returns the parts of an entry as a row lists them.
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

/// A row as it was read.
#[derive(Debug)]
pub(crate) struct HistoryRow {
    /// The position of its last entry.
    pub(crate) position: i64,
    pub(crate) at: i64,
    pub(crate) entries: String,
}

impl HistoryRow {
    /// Returns the entries with their positions. Of tasks that are gone there are none.
    ///
    /// # Errors
    ///
    /// When the row makes no sense; the text says so.
    pub(crate) fn entries(&self) -> Result<Vec<(i64, Entry<'_>)>, String> {
        let entries: Vec<Option<Entry<'_>>> = serde_json::from_str(&self.entries).map_err(|error| {
            format!(
                "the history up to position {} makes no sense: {error}",
                self.position
            )
        })?;
        let first = self.position - i64::try_from(entries.len()).unwrap_or(i64::MAX) + 1;
        let places = (first..).zip(entries);
        Ok(places
            .filter_map(|(position, entry)| Some((position, entry?)))
            .collect())
    }
}

/// Returns a row's entries with `null` in place of those of some tasks, or `None` if no other is left. The others keep their
/// positions.
///
/// # Errors
///
/// When the entries make no sense.
pub(crate) fn without(entries: &str, tasks: &BTreeSet<i64>) -> serde_json::Result<Option<String>> {
    let mut parts: Vec<Option<&RawValue>> = serde_json::from_str(entries)?;
    for part in &mut parts {
        let Some(entry) = *part else { continue };
        let fields: Vec<&RawValue> = serde_json::from_str(entry.get())?;
        let task = fields.first().and_then(|task| task.get().parse().ok());
        if task.is_some_and(|task| tasks.contains(&task)) {
            *part = None;
        }
    }
    match parts.iter().any(Option::is_some) {
        true => serde_json::to_string(&parts).map(Some),
        false => Ok(None),
    }
}

/// What tasks and actors are called outside.
#[derive(Debug, Default)]
pub(crate) struct Names {
    pub(crate) tasks: BTreeMap<i64, TaskId>,
    pub(crate) actors: BTreeMap<i64, Actor>,
}

impl Names {
    /// Returns the keys of tasks and of actors that entries name and that are not known yet.
    pub(crate) fn unknown(&self, entries: &[(i64, Entry<'_>)]) -> (BTreeSet<i64>, BTreeSet<i64>) {
        let tasks = entries.iter().map(|(_, entry)| entry.task);
        let actors = entries.iter().map(|(_, entry)| entry.actor);
        (
            tasks.filter(|key| !self.tasks.contains_key(key)).collect(),
            actors.filter(|key| !self.actors.contains_key(key)).collect(),
        )
    }

    /// Takes in actors as they were read.
    pub(crate) fn learn_actors(&mut self, rows: Vec<(i64, String)>) {
        let actor = |name: String| name.parse().unwrap_or(Actor::System);
        self.actors
            .extend(rows.into_iter().map(|(id, name)| (id, actor(name))));
    }

    /// Returns what an entry tells.
    ///
    /// # Errors
    ///
    /// When it makes no sense; the text says so.
    pub(crate) fn transition(&self, position: i64, at: i64, entry: Entry<'_>) -> Result<Transition, String> {
        let (Some(change), Some(task)) = (change(&entry), self.tasks.get(&entry.task)) else {
            return Err(format!(
                "the history entry at position {position} makes no sense: `{}`",
                entry.event
            ));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(entries: &str, tasks: &[i64], expected: Option<&str>) {
        let left = without(entries, &tasks.iter().copied().collect()).unwrap();
        assert_eq!(left.as_deref(), expected);
    }

    #[test]
    fn entries_of_others_stay_where_and_as_they_are() {
        let entries = r#"[[1,null,"created"],[2,0,"start",{"a":1.50,"b":"\u00e9"}],null,[3,1,"succeed"]]"#;
        let left = r#"[null,[2,0,"start",{"a":1.50,"b":"\u00e9"}],null,null]"#;
        check(entries, &[1, 3], Some(left));
        check(entries, &[9], Some(entries));
        check(left, &[2], None);
    }

    #[test]
    fn entries_of_a_task_stand_together_in_their_order() {
        let entries: Vec<Entry<'_>> = [3, 1, 3]
            .into_iter()
            .zip(["created", "start", "complete"])
            .map(|(task, event)| Entry::new(task, None, event, 7))
            .collect();
        let rows = NewHistoryRow::of(&entries);
        assert_eq!(rows.len(), 1);
        assert_eq!((rows[0].count, rows[0].tasks.as_slice()), (3, [1, 3].as_slice()));
        let read = HistoryRow {
            position: 12,
            at: 0,
            entries: rows[0].entries.clone(),
        };
        let read = read.entries().unwrap();
        let told: Vec<_> = read
            .iter()
            .map(|(position, entry)| (*position, entry.task, entry.event))
            .collect();
        assert_eq!(told, [(10, 1, "start"), (11, 3, "created"), (12, 3, "complete")]);
    }

    #[test]
    fn a_row_takes_in_other_tasks_until_it_is_full_and_a_task_has_several_when_it_is_too_long() {
        let entries = |task: i64, count: usize| (0..count).map(move |_| Entry::new(task, None, "created", 7));
        let counts = |entries: Vec<Entry<'_>>| -> Vec<i64> {
            NewHistoryRow::of(&entries).iter().map(|row| row.count).collect()
        };
        const FULL: usize = NewHistoryRow::FULL;
        let full = i64::try_from(FULL).unwrap();
        assert_eq!(counts(entries(1, FULL).collect()), [full]);
        assert_eq!(counts(entries(1, FULL).chain(entries(2, 1)).collect()), [full, 1]);
        assert_eq!(
            counts(entries(1, FULL - 1).chain(entries(2, 1)).collect()),
            [full]
        );
        let most = i64::try_from(MOST).unwrap();
        assert_eq!(counts(entries(1, MOST + 1).collect()), [most, 1]);
        assert!(counts(Vec::new()).is_empty());
    }
}
