//! What the program says about itself.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Bounds, Check, section, table};

/// What names of secrets contain, unless the configuration says otherwise.
const SECRETS: [&str; 10] = [
    "passw",
    "email",
    "secret",
    "token",
    "_key",
    "crypt",
    "salt",
    "certificate",
    "otp",
    "ssn",
];

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
        /// Parts of the names of secrets: values under a name that contains one of them are not shown and not logged.
        /// Capitals do not count, `-` is `_`, and `apiKey` is `api_key`.
        filter_parameters: Vec<String> = SECRETS.map(str::to_owned).to_vec(); in Bounds::matching("^.+$"),
        /// What is shown instead of them.
        filter_mask: String = "[FILTERED]".to_owned(),
        /// The header of a request whose value is its correlation id. It is kept with the task that the request creates, and is
        /// in every line that is logged of it; without such a header `X-Request-ID` is read.
        correlation_id_header: String = "X-Correlation-ID".to_owned(); in Bounds::matching("^[A-Za-z0-9_-]+$"),
        /// Whether the work is measured, and `/metrics` tells it.
        metrics_enabled: bool = true,
        /// Whether who asks for `/metrics` must say who they are and have the permission `tasker.metrics:index`.
        metrics_auth_required: bool = false,
    }
}

section! {
    /// What the program says about itself.
    Telemetry(TelemetryValues) in "telemetry"
}

impl TelemetryValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.filter_parameters.iter().all(|part| !part.is_empty()),
            "filter_parameters",
            &self.filter_parameters,
            "a list of texts that are not empty",
        );
        let header = self.correlation_id_header.as_str();
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        check.require(
            !header.is_empty() && header.bytes().all(plain),
            "correlation_id_header",
            &self.correlation_id_header,
            "the name of a header, of letters, digits, `-` and `_`",
        );
    }
}
