//! What is not as it should be with a database, and what mends it.

use std::time::Duration;

use serde::Serialize;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FindingSeverity {
    /// It works, and may not stay so or lose what was acknowledged.
    Warning,
    /// It does not work, or gets slower by the hour.
    Problem,
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Finding {
    /// What kind of finding it is, for programs.
    pub code: &'static str,
    /// How bad it is.
    pub severity: FindingSeverity,
    /// What is the matter, with the names and numbers.
    pub message: String,
    /// What mends it: SQL that may be run as it stands, or a command or a setting where SQL cannot.
    pub mend: String,
}

impl Finding {
    pub(crate) fn warning(code: &'static str, message: String, mend: impl Into<String>) -> Self {
        Self {
            code,
            severity: FindingSeverity::Warning,
            message,
            mend: mend.into(),
        }
    }

    pub(crate) fn problem(code: &'static str, message: String, mend: impl Into<String>) -> Self {
        Self {
            severity: FindingSeverity::Problem,
            ..Self::warning(code, message, mend)
        }
    }
}

/// From when on something is a finding.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Checkup {
    /// How long a transaction may be open before it counts as what keeps dead rows: 5 minutes.
    pub long_transaction: Duration,
    /// How many dead rows a table may have, beside a fifth of its rows: 10 000.
    pub dead_rows: u64,
    /// How many bytes a log may hold back: 64 MiB in SQLite's file, 1 GiB by a replication slot.
    pub log_bytes: Option<u64>,
    /// How many bytes of a SQLite file may be free, beside a quarter of it: 16 MiB.
    pub free_bytes: u64,
}

impl Default for Checkup {
    fn default() -> Self {
        Self {
            long_transaction: Duration::from_secs(300),
            dead_rows: 10_000,
            log_bytes: None,
            free_bytes: 16 << 20,
        }
    }
}

/// Returns a number of bytes as a person reads it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["bytes", "KiB", "MiB", "GiB"];
    let mut unit = 0;
    let mut left = count;
    while left >= 10_240 && unit + 1 < UNITS.len() {
        left /= 1_024;
        unit += 1;
    }
    format!("{left} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_told_in_a_unit_that_fits() {
        assert_eq!(bytes(9_000), "9000 bytes");
        assert_eq!(bytes(64 << 20), "64 MiB");
        assert_eq!(bytes(3 << 40), "3072 GiB");
    }
}
