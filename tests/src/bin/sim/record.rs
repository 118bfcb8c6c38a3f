//! How far a long run is, kept in a file.

use std::fmt;
use std::ops::AddAssign;
use std::path::Path;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use tests::simulation::Counts;

/// What came of runs.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Record {
    /// Runs; the seeds below this number.
    pub(crate) histories: u64,
    /// Tasks in them.
    pub(crate) tasks: u64,
    /// Entries of their histories.
    pub(crate) transitions: u64,
    /// Runs in which something was wrong.
    pub(crate) violations: u64,
}

impl Record {
    pub(crate) fn of(counts: &Counts, violations: u64) -> Self {
        Self {
            histories: counts.seeds,
            tasks: counts.tasks,
            transitions: counts.transitions,
            violations,
        }
    }

    /// Reads a record; a file that is not there has no runs.
    pub(crate) fn read(file: &Path) -> anyhow::Result<Self> {
        if !file.exists() {
            return Ok(Self::default());
        }
        let text =
            std::fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        serde_json::from_str(&text).with_context(|| format!("{} is no record of runs", file.display()))
    }

    /// Writes a record, whole or not at all.
    pub(crate) fn write(&self, file: &Path) -> anyhow::Result<()> {
        let new = file.with_extension("new");
        std::fs::write(&new, serde_json::to_string_pretty(self)? + "\n")
            .and_then(|()| std::fs::rename(&new, file))
            .with_context(|| format!("cannot write {}", file.display()))
    }
}

impl AddAssign for Record {
    fn add_assign(&mut self, other: Self) {
        self.histories += other.histories;
        self.tasks += other.tasks;
        self.transitions += other.transitions;
        self.violations += other.violations;
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            histories,
            transitions,
            violations,
            ..
        } = self;
        write!(
            f,
            "{histories} histories, {transitions} transitions, {violations} violations"
        )
    }
}
