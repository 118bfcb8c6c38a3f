//! Removing tasks that ended for good a while ago, a batch in a transaction.

use std::collections::BTreeSet;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer, Text};
use tasker_engine::StoreError;

use super::SqliteStore;
use super::connection::Connection;
use super::list;
use super::rows::{json, packed, payload};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use crate::prune::{LOOKED_AT, Prune, PruneMode, PrunedBatch, Seen, before, candidates, fitting};
use crate::work::{Kind, without};

/// Tasks in their order. The newest is never over, so that its key is not given to another.
const LOOK: &str = "\
SELECT t.key, t.created_at < ?2, \
    coalesce(t.state IN ('complete', 'cancelled', 'resolved_manually') AND t.finished_at < ?2 \
        AND t.key < (SELECT max(key) FROM tasks), 0) \
FROM tasks AS t WHERE t.key > ?1 ORDER BY t.key LIMIT ?3";

/// Tasks that may go: none that descends from the same root is unfinished or was so a moment ago.
const FREE: &str = "\
SELECT t.key, (SELECT count(*) FROM graph_steps AS g WHERE g.graph = t.graph) \
FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value \
WHERE NOT EXISTS (SELECT 1 FROM tasks AS m WHERE m.root_task = coalesce(t.root_task, t.id) AND NOT \
        (m.state IN ('complete', 'cancelled', 'resolved_manually') AND m.finished_at < ?2)) \
    AND NOT EXISTS (SELECT 1 FROM tasks AS m WHERE m.id = t.root_task AND NOT \
        (m.state IN ('complete', 'cancelled', 'resolved_manually') AND m.finished_at < ?2)) \
ORDER BY t.key";

impl SqliteStore {
    /// Removes a batch of tasks that ended for good, with their steps, results and histories, in one transaction. It is
    /// never `None`: SQLite lets one process write at a time.
    ///
    /// A task in error has not ended for good. One that belongs to a line of tasks, of which each created the next, goes
    /// when all of the line may go. The newest task stays, and so do templates and actors. Positions of the history stay
    /// what they are.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        let prune = *prune;
        let pruned = self.shared.writer.write(move |unit| unit.prune(&prune)).await;
        pruned.map(Some)
    }
}

impl Unit<'_> {
    fn prune(&mut self, prune: &Prune) -> Result<PrunedBatch, Trouble> {
        let end = prune.end(self.work.now);
        let binds = [
            Bind::Int(prune.after.map_or(i64::MIN, |after| after.0)),
            Bind::Int(end),
            Bind::Int(i64::from(LOOKED_AT)),
        ];
        let seen: Vec<Seen> = Statement::<(BigInt, Integer, Integer)>::new(LOOK, &binds)
            .load::<(i64, i32, i32)>(self.connection)?
            .into_iter()
            .map(|(key, is_old, is_over)| Seen {
                key,
                is_old: is_old != 0,
                is_over: is_over != 0,
            })
            .collect();
        let (over, mut next) = candidates(&seen, LOOKED_AT, prune.limit);
        let mut free: Vec<(i64, i64)> = Vec::new();
        if !over.is_empty() {
            let binds = [Bind::Text(&json(&over)), Bind::Int(end)];
            free = Statement::<(BigInt, BigInt)>::new(FREE, &binds).load(self.connection)?;
        }
        let mut kept = over.len() - free.len();
        let fits = fitting(free.iter().map(|(_, steps)| *steps));
        if let Some((first, _)) = free.get(fits) {
            next = before(*first);
            let later = over.iter().filter(|key| *key >= first).count();
            kept -= later - (free.len() - fits);
            free.truncate(fits);
        }
        let keys: BTreeSet<i64> = free.iter().map(|(key, _)| *key).collect();
        if prune.mode == PruneMode::Remove && !keys.is_empty() {
            remove(self.connection, &keys)?;
            self.cache.kept.clear();
        }
        Ok(PrunedBatch {
            pruned: keys.len() as u64,
            kept: kept as u64,
            next,
        })
    }
}

/// Removes tasks with all that belongs to them. None that ended for good is in the queue or holds a lease.
fn remove(connection: &mut Connection, tasks: &BTreeSet<i64>) -> QueryResult<()> {
    const PAYLOADS: &str = "DELETE FROM payloads WHERE key >= ?1 AND key < ?2";
    const STEPS: &str = "DELETE FROM steps WHERE key >= ?1 AND key < ?2";
    const PLACES: &str = "DELETE FROM task_history WHERE task = ?1";
    const TASK: &str = "DELETE FROM tasks WHERE key = ?1";
    forget(connection, tasks)?;
    list::unlabel(connection, tasks)?;
    for task in tasks {
        let context = |task| payload(((task, 0), Kind::Context));
        let payloads = [Bind::Int(context(*task)), Bind::Int(context(task + 1))];
        Statement::<()>::new(PAYLOADS, &payloads).execute(connection)?;
        let steps = [Bind::Int(packed((*task, 0))), Bind::Int(packed((task + 1, 0)))];
        Statement::<()>::new(STEPS, &steps).execute(connection)?;
        Statement::<()>::new(PLACES, &[Bind::Int(*task)]).execute(connection)?;
        Statement::<()>::new(TASK, &[Bind::Int(*task)]).execute(connection)?;
    }
    Ok(())
}

/// Takes the entries of tasks out of the history. The others keep their positions: a row that they share has `null` where
/// an entry was.
fn forget(connection: &mut Connection, tasks: &BTreeSet<i64>) -> QueryResult<()> {
    const ROWS: &str =
        "SELECT DISTINCT p.position FROM json_each(?1) AS k CROSS JOIN task_history AS p ON p.task = k.value";
    const ENTRIES: &str = "SELECT entries FROM history WHERE position = ?1";
    const CHANGE: &str = "UPDATE history SET entries = ?2 WHERE position = ?1";
    const REMOVE: &str = "DELETE FROM history WHERE position = ?1";
    let keys = json(tasks);
    let rows = Statement::<(BigInt,)>::new(ROWS, &[Bind::Text(&keys)]).load::<(i64,)>(connection)?;
    for (position,) in rows {
        let (text,): (String,) =
            Statement::<(Text,)>::new(ENTRIES, &[Bind::Int(position)]).get_result(connection)?;
        let left = without(&text, tasks);
        match left.map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))? {
            Some(left) => {
                let binds = [Bind::Int(position), Bind::Text(&left)];
                Statement::<()>::new(CHANGE, &binds).execute(connection)?;
            }
            None => {
                Statement::<()>::new(REMOVE, &[Bind::Int(position)]).execute(connection)?;
            }
        }
    }
    Ok(())
}
