//! Where tasks are kept.

use serde::{Deserialize, Serialize};

use super::{Check, section, table};

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
        /// Where tasks are kept, `sqlite:PATH`; by default the file `tasker.db` in the data directory.
        url: Option<String> = None,
        /// When SQLite waits for the disk: at every commit (`full`), or at checkpoints only (`normal`), where
        /// a power failure may lose the last commits.
        synchronous: Synchronous = Synchronous::Full; "full or normal",
        /// How many connections read beside the one that writes.
        readers: u32 = 2; "1 to 64",
        /// Seconds to wait for another process that is writing before giving up.
        busy_timeout_seconds: f64 = 5.0; "0 to 3600",
    }
}

section! {
    /// Where tasks are kept.
    Database(DatabaseValues) in "database"
}

impl DatabaseValues {
    fn check(&self, check: &mut Check) {
        check.require(
            (1..=64).contains(&self.readers),
            "readers",
            self.readers,
            "between 1 and 64",
        );
        check.number(
            0.0..=3600.0,
            "busy_timeout_seconds",
            self.busy_timeout_seconds,
            "between 0 and 3600",
        );
    }
}
