//! Where tasks are kept.

use serde::{Deserialize, Serialize};

use super::{Bounds, Check, section, table};

/// When SQLite waits for the disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Synchronous {
    /// At every commit: what was acknowledged survives a power failure.
    #[default]
    Full,
    /// At checkpoints only: a power failure may lose the last commits, never the database.
    Normal,
}

table! {
    /// The values of [`Database`].
    DatabaseValues {
        /// Where tasks are kept, `sqlite:PATH` or `postgres://…`; by default the file `tasker.db` in the data directory.
        url: Option<String> = None,
        /// Where Tasker keeps its own tables instead, if `url` names the database of the application, which Tasker then
        /// leaves alone.
        secondary_url: Option<String> = None,
        /// When SQLite waits for the disk: at every commit (`full`), or at checkpoints only (`normal`), where
        /// a power failure may lose the last commits.
        synchronous: Synchronous = Synchronous::Full,
        /// How many connections read beside those that write.
        readers: u32 = 2; in Bounds::between(1.0, 64.0),
        /// How many connections write, on PostgreSQL; SQLite has one.
        writers: u32 = 2; in Bounds::between(1.0, 64.0),
        /// Seconds to wait for another process that is writing before giving up.
        busy_timeout_seconds: f64 = 5.0; in Bounds::between(0.0, 3600.0),
        /// Seconds after which PostgreSQL ends a statement, and half of them, at most 30, for which it waits for a lock; `0`
        /// lets statements take as long as they like. SQLite has its `busy_timeout_seconds` alone.
        statement_timeout_seconds: f64 = 60.0; in Bounds::between(0.0, 86_400.0),
        /// Whether processes on one PostgreSQL database tell each other at once that there may be work, by `LISTEN` and
        /// `NOTIFY`; without it each looks by itself, `execution.poll_max_seconds` later at most.
        notifications: bool = true,
        /// Days after which workers and services remove tasks that ended for good; they are kept for ever by default.
        retention_days: Option<f64> = None; in Bounds::between(0.0, 36_500.0),
    }
}

section! {
    /// Where tasks are kept.
    Database(DatabaseValues) in "database"
}

impl DatabaseValues {
    fn check(&self, _: &mut Check) {}
}
