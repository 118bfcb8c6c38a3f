//! Removing tasks that ended for good a while ago: at once, or little by little while workers run.

use std::time::Duration;

use serde::Serialize;
use tasker_engine::StoreError;
use tasker_store::{Prune, PruneMode, PrunedBatch};

use crate::tasker::{Kept, Tasker};

/// How long those who remove tasks in the background rest between batches.
const REST: Duration = Duration::from_secs(1);

/// How long they rest when there is nothing left to remove.
const IDLE: Duration = Duration::from_secs(600);

/// How long to wait for another process that prunes.
const PATIENCE: Duration = Duration::from_millis(100);

const DAY_SECONDS: f64 = 86_400.0;

/// What became of tasks that ended for good a while ago.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Pruned {
    /// How many were removed, or would be.
    pub pruned: u64,
    /// How many stay because of a task that the same root task created and that has not ended for good, or not long enough
    /// ago.
    pub kept: u64,
}

impl Tasker {
    /// Removes the tasks that ended for good so long ago, with their steps, results and histories, or counts them.
    ///
    /// It does so in batches of bounded size, each in a transaction of its own: when it is stopped, what was removed stays
    /// removed. Another process that prunes the same database at the same time is waited for, batch by batch.
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::Rejected`] for a store that keeps tasks nowhere but in memory.
    pub async fn prune(&self, older_than: Duration, mode: PruneMode) -> Result<Pruned, StoreError> {
        let mut prune = Prune::new(older_than, mode);
        let mut sum = Pruned::default();
        loop {
            let Some(batch) = self.prune_batch(&prune).await? else {
                tokio::time::sleep(PATIENCE).await;
                continue;
            };
            sum.pruned += batch.pruned;
            sum.kept += batch.kept;
            prune.after = batch.next;
            if prune.after.is_none() {
                return Ok(sum);
            }
        }
    }

    /// Removes, for as long as it is polled, what `database.retention_days` no longer wants: a batch a second, then a look
    /// every ten minutes. Of several processes one does it at a time. It never ends.
    pub async fn retain(&self) {
        let Some(days) = self.config().database().retention_days else {
            return std::future::pending().await;
        };
        let mut prune = Prune::new(Duration::from_secs_f64(days * DAY_SECONDS), PruneMode::Remove);
        loop {
            let rest = match self.prune_batch(&prune).await {
                Ok(Some(batch)) => {
                    if batch.pruned > 0 {
                        tracing::info!(tasks = batch.pruned, "removed tasks that ended long ago");
                    }
                    prune.after = batch.next;
                    if batch.next.is_some() { REST } else { IDLE }
                }
                // Whoever is at it does all that there is to do.
                Ok(None) => IDLE,
                Err(error) => {
                    tracing::warn!(%error, "tasks that ended long ago could not be removed");
                    IDLE
                }
            };
            tokio::time::sleep(rest).await;
        }
    }

    async fn prune_batch(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        match self.kept() {
            #[cfg(feature = "sqlite")]
            Kept::Sqlite { store, .. } => store.prune(prune).await,
            #[cfg(feature = "postgres")]
            Kept::Postgres { store, .. } => store.prune(prune).await,
            Kept::Elsewhere(_) => Err(StoreError::Rejected {
                what: "the store whose tasks are to be removed",
                value: "of another kind".to_owned(),
                must: "a database: SQLite or PostgreSQL",
            }),
        }
    }
}
