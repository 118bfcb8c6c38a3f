//! Removing tasks that ended for good a while ago, a batch in a transaction, one process at a time.

use std::collections::BTreeSet;
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Text};
use tasker_engine::StoreError;

use super::PostgresStore;
use super::connection::Connection;
use super::error::{Remedy, classify, remedy};
use super::list;
use super::statement::{Bind, Statement, execute};
use super::within::now;
use crate::prune::{LOOKED_AT, Prune, PruneMode, PrunedBatch, Seen, before, candidates, fitting};
use crate::work::without;

/// How often a batch is tried.
const TRIES: u32 = 5;

/// Taken by the one who prunes, until the end of the transaction.
const LOCK: &str =
    "SELECT pg_try_advisory_xact_lock(hashtextextended('tasker prune ' || current_schema(), 0))";

const LOOK: &str = "\
SELECT t.key, t.created_at < $2, t.state IN ('complete', 'cancelled', 'resolved_manually') AND t.finished_at < $2 \
FROM tasks AS t WHERE t.key > $1 ORDER BY t.key LIMIT $3";

/// Tasks that may go: none that descends from the same root is unfinished or was so a moment ago.
const FREE: &str = "\
SELECT t.key, (SELECT count(*) FROM graph_steps AS g WHERE g.graph = t.graph) FROM tasks AS t \
WHERE t.key = ANY($1) AND t.state IN ('complete', 'cancelled', 'resolved_manually') AND t.finished_at < $2 \
    AND NOT EXISTS (SELECT FROM tasks AS m WHERE m.root_task = coalesce(t.root_task, t.id) AND NOT \
        (m.state IN ('complete', 'cancelled', 'resolved_manually') AND m.finished_at < $2)) \
    AND NOT EXISTS (SELECT FROM tasks AS m WHERE m.id = t.root_task AND NOT \
        (m.state IN ('complete', 'cancelled', 'resolved_manually') AND m.finished_at < $2)) \
ORDER BY t.key FOR UPDATE OF t";

/// What goes with tasks, and they themselves. None that ended for good is in the queue or holds a lease.
const REMOVE: [&str; 4] = [
    "DELETE FROM payloads AS p WHERE p.task = ANY($1)",
    "DELETE FROM task_history AS t WHERE t.task = ANY($1)",
    "DELETE FROM steps AS s WHERE s.task = ANY($1)",
    "DELETE FROM tasks AS t WHERE t.key = ANY($1)",
];

/// How many rows of the history are changed at once.
const ROWS: usize = 64;

/// Takes the entries of tasks out of the history. The others keep their positions: a row that they share has `null` where
/// an entry was.
async fn forget(connection: &Connection<'_>, tasks: &[i64]) -> QueryResult<()> {
    const PLACES: &str = "SELECT DISTINCT t.position FROM unnest($1) AS k (task) JOIN task_history AS t ON t.task = k.task \
         ORDER BY t.position";
    const ENTRIES: &str = "SELECT h.position, h.entries FROM unnest($1) AS p (position) \
         JOIN history AS h ON h.position = p.position";
    const CHANGE: &str = "UPDATE history AS h SET entries = u.entries FROM unnest($1, $2) AS u (position, entries) \
         WHERE h.position = u.position";
    const REMOVE: &str = "DELETE FROM history AS h WHERE h.position = ANY($1)";
    let gone: BTreeSet<i64> = tasks.iter().copied().collect();
    let places = Statement::<(BigInt,)>::new(PLACES, vec![Bind::Ints(tasks.to_vec())])
        .load::<(i64,)>(connection)
        .await?;
    for part in places.chunks(ROWS) {
        let part = part.iter().map(|place| place.0).collect();
        let rows = Statement::<(BigInt, Text)>::new(ENTRIES, vec![Bind::Ints(part)])
            .load::<(i64, String)>(connection)
            .await?;
        let (mut empty, mut changed, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for (position, text) in rows {
            let left = without(&text, &gone);
            match left.map_err(|error| diesel::result::Error::DeserializationError(Box::new(error)))? {
                Some(left) => {
                    changed.push(position);
                    entries.push(left);
                }
                None => empty.push(position),
            }
        }
        if !changed.is_empty() {
            let binds = vec![Bind::Ints(changed), Bind::OwnTexts(entries)];
            execute(connection, CHANGE, binds).await?;
        }
        if !empty.is_empty() {
            execute(connection, REMOVE, vec![Bind::Ints(empty)]).await?;
        }
    }
    Ok(())
}

impl PostgresStore {
    /// Removes a batch of tasks that ended for good, with their steps, results and histories, in one transaction on a
    /// connection of its own. `None` when another process is at it.
    ///
    /// A task in error has not ended for good. One that belongs to a line of tasks, of which each created the next, goes
    /// when all of the line may go. Templates and actors stay. Positions of the history stay what they are.
    ///
    /// # Errors
    ///
    /// What the database says.
    pub async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        let mut tries = 0;
        loop {
            tries += 1;
            let connection = self.shared.desk.target.connect().await?;
            let error = match self.prune_with(&connection, prune).await {
                Ok(batch) => return Ok(batch),
                Err(error) => error,
            };
            // What the connection did is undone when it goes.
            let _ = connection.batch_execute("ROLLBACK").await;
            if remedy(&error) == Remedy::GiveUp || tries >= TRIES {
                return Err(classify(self.url(), error));
            }
            tokio::time::sleep(Duration::from_millis(u64::from(tries * tries) * 10)).await;
        }
    }

    async fn prune_with(
        &self,
        connection: &Connection<'_>,
        prune: &Prune,
    ) -> QueryResult<Option<PrunedBatch>> {
        connection.batch_execute("BEGIN").await?;
        let (is_ours,) = Statement::<(Bool,)>::new(LOCK, Vec::new())
            .get_result::<(bool,)>(connection)
            .await?;
        if !is_ours {
            connection.batch_execute("ROLLBACK").await?;
            return Ok(None);
        }
        let now = match &self.shared.desk.clock {
            Some(clock) => clock.now(),
            None => now(connection).await?,
        };
        let end = prune.end(now);
        let binds = vec![
            Bind::Int(prune.after.map_or(i64::MIN, |after| after.0)),
            Bind::Int(end),
            Bind::Int(i64::from(LOOKED_AT)),
        ];
        let seen: Vec<Seen> =
            Statement::<(BigInt, Bool, diesel::sql_types::Nullable<Bool>)>::new(LOOK, binds)
                .load::<(i64, bool, Option<bool>)>(connection)
                .await?
                .into_iter()
                .map(|(key, is_old, is_over)| Seen {
                    key,
                    is_old,
                    is_over: is_over.unwrap_or_default(),
                })
                .collect();
        let (over, mut next) = candidates(&seen, LOOKED_AT, prune.limit);
        let mut free: Vec<(i64, i64)> = Vec::new();
        if !over.is_empty() {
            free = Statement::<(BigInt, BigInt)>::new(FREE, vec![Bind::Ints(over.clone()), Bind::Int(end)])
                .load(connection)
                .await?;
        }
        let mut kept = over.len() - free.len();
        let fits = fitting(free.iter().map(|(_, steps)| *steps));
        if let Some((first, _)) = free.get(fits) {
            next = before(*first);
            let later = over.iter().filter(|key| *key >= first).count();
            kept -= later - (free.len() - fits);
            free.truncate(fits);
        }
        if prune.mode == PruneMode::Remove && !free.is_empty() {
            let keys: Vec<i64> = free.iter().map(|(key, _)| *key).collect();
            forget(connection, &keys).await?;
            list::unlabel(connection, &keys).await?;
            for sql in REMOVE {
                execute(connection, sql, vec![Bind::Ints(keys.clone())]).await?;
            }
        }
        connection.batch_execute("COMMIT").await?;
        Ok(Some(PrunedBatch {
            pruned: free.len() as u64,
            kept: kept as u64,
            next,
        }))
    }
}
