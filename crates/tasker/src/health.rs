//! Whether a Tasker can work, and how much there is to do.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{StoreError, TaskFilter, TaskQuery, Totals};
use tasker_store::{Connections, Schema};
use tasker_types::Timestamp;

use crate::cache::CacheStats;
use crate::tasker::{Kept, Tasker};

/// How many tasks are listed at once of a store that does not count.
const PAGE: u32 = 1_000;

/// What showed that a Tasker can work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ready {
    /// The schema of the database; `None` for a store that has none.
    pub schema: Option<Schema>,
    /// How long the store took to answer.
    pub took: Duration,
}

/// Why a Tasker cannot work now.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// The store has not answered in time.
    #[error("the database did not answer within {} seconds", limit.as_secs_f64())]
    TimedOut {
        /// How long it was given: `health.readiness_timeout_seconds`.
        limit: Duration,
    },
    /// The store cannot be read.
    #[error("the database cannot be read")]
    Store(#[from] StoreError),
    /// The schema is not the one that this program needs.
    #[error(
        "the schema of the database has version {} and this program needs version {}; run `tasker migrate up`",
        schema.version,
        schema.latest
    )]
    Schema {
        /// What there is.
        schema: Schema,
    },
}

/// How many tasks and steps there are, and how the store is connected, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Status {
    /// The counts.
    pub totals: Totals,
    /// The connections to the database; `None` for a store that has none.
    pub connections: Option<Connections>,
    /// When it was counted.
    pub counted_at: Timestamp,
    /// How long that took.
    pub took: Duration,
}

impl Tasker {
    /// Checks that the store answers, and that its schema is the one that this program needs.
    ///
    /// # Errors
    ///
    /// Why it cannot work; [`NotReady::TimedOut`] after `health.readiness_timeout_seconds`.
    pub async fn ready(&self) -> Result<Ready, NotReady> {
        let limit = Duration::from_secs_f64(self.config().health().readiness_timeout_seconds);
        let start = self.clock().now();
        let schema = tokio::time::timeout(limit, self.schema())
            .await
            .map_err(|_| NotReady::TimedOut { limit })??;
        match schema {
            Some(schema) if !schema.is_usable() => Err(NotReady::Schema { schema }),
            schema => Ok(Ready {
                schema,
                took: self.clock().now().since(start),
            }),
        }
    }

    async fn schema(&self) -> Result<Option<Schema>, StoreError> {
        match self.kept() {
            #[cfg(feature = "sqlite")]
            Kept::Sqlite { store, .. } => store.schema().await.map(Some),
            #[cfg(feature = "postgres")]
            Kept::Postgres { store, .. } => store.schema().await.map(Some),
            Kept::Elsewhere(store) => store.position().await.map(|_| None),
        }
    }

    /// Returns how much there is, and whether that was counted before: it is kept for `health.cache_duration_seconds`.
    ///
    /// Counting reads every task and step. It is done by one for all who ask at the same time, and once begun goes on though
    /// nobody waits any more, so that there is never more than one who counts.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn status(&self) -> Result<(Arc<Status>, bool), Arc<StoreError>> {
        let tasker = self.clone();
        self.counts().get(|| async move { tasker.count().await }).await
    }

    /// Returns how often [`status`](Self::status) found the counts where it had left them.
    pub fn status_stats(&self) -> CacheStats {
        self.counts().stats()
    }

    async fn count(&self) -> Result<Status, StoreError> {
        let counted_at = self.clock().now();
        let (connections, totals) = match self.kept() {
            #[cfg(feature = "sqlite")]
            Kept::Sqlite { store, .. } => (Some(store.connections()), store.totals().await?),
            #[cfg(feature = "postgres")]
            Kept::Postgres { store, .. } => (Some(store.connections().await?), store.totals().await?),
            Kept::Elsewhere(store) => {
                let mut totals = Totals::default();
                let mut query = TaskQuery::new(TaskFilter::default(), PAGE);
                loop {
                    let page = store.list(query.clone()).await?;
                    for task in page.tasks {
                        if let Some(snapshot) = store.snapshot(task.task_id).await? {
                            totals.count(&snapshot);
                        }
                    }
                    match page.next {
                        Some(next) => query.after = Some(next),
                        None => break,
                    }
                }
                (None, totals)
            }
        };
        Ok(Status {
            totals,
            connections,
            counted_at,
            took: self.clock().now().since(counted_at),
        })
    }
}
