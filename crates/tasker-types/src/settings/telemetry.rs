//! What the program says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Check, section, table};

/// The least important log messages that are shown.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    /// Work failed and nobody will try again.
    Error,
    /// Something that a person should look at.
    Warn,
    /// What happens, a line for each event of a task.
    #[default]
    Info,
    /// What is decided and why.
    Debug,
    /// Everything.
    Trace,
}

impl fmt::Display for LogLevel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
            Self::Trace => "trace",
        })
    }
}

/// How a log message is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    /// One JSON object a line.
    Json,
    /// For people.
    #[default]
    Pretty,
    /// `key=value` pairs.
    Logfmt,
}

table! {
    /// The values of [`Telemetry`].
    TelemetryValues {
        /// The least important log messages that are shown.
        log_level: LogLevel = LogLevel::Info,
        /// How log messages are written to standard error.
        log_format: LogFormat = LogFormat::Pretty,
    }
}

section! {
    /// What the program says about itself.
    Telemetry(TelemetryValues) in "telemetry"
}

impl TelemetryValues {
    fn check(&self, _: &mut Check) {}
}
