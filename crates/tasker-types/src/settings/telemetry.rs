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
        /// Whether the program measures its work and tells of it: without that there are neither metrics nor traces, and no
        /// lines of what happens to tasks in the log; what goes wrong is logged all the same.
        enabled: bool = true,
        /// The name of the service, in lines of the log in JSON and logfmt, and in traces.
        service_name: String = "tasker".to_owned(); in Bounds::not_empty(),
        /// The version of the service there; that of the program without it.
        service_version: Option<String> = None; in Bounds::not_empty(),
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
        /// Seconds after which a statement in the database is slow: it is logged as a warning, and counted.
        slow_query_threshold_seconds: f64 = 1.0; in Bounds::above(0.0).at_most(86_400.0),
        /// The part of all tasks that are told of in the log and in traces, from 0 to 1. It is the same part in every process;
        /// a task whose request brought a trace along is told of if that trace is recorded.
        event_sampling_rate: f64 = 1.0; in Bounds::between(0.0, 1.0),
        /// Patterns of events that are not told of in the log and in traces: `step.*`, `task.completed`. Spans of tasks are
        /// made of the event by which their work ends, such as `task.completed` and `task.failed`, spans of attempts of
        /// `step.completed` and `step.failed`, and lines about handlers of `step.handle`.
        filtered_events: Vec<String> = Vec::new(); in Bounds::matching(r"^[A-Za-z0-9._*-]{1,128}$"),
        /// Where traces are sent to by OTLP over HTTP, for instance `http://localhost:4318/v1/traces`; nowhere without it. What
        /// the collector must be told beside it is in `OTEL_EXPORTER_OTLP_HEADERS`.
        otlp_endpoint: Option<String> = None; in Bounds::matching("^https?://[^\\s/?#@]+([/?#][^\\s@]*)?$"),
        /// Whether spans are sent together.
        batching: Batching = Batching::default() => Batching,
    }
}

table! {
    /// The values of the table `batching`.
    Batching {
        /// Whether spans wait for others, instead of being sent as soon as they are there.
        enabled: bool = false,
        /// How many are sent together at most.
        buffer_size: u32 = 100; in Bounds::between(1.0, 10_000.0),
        /// Seconds after which they are sent however many they are.
        flush_interval_seconds: f64 = 5.0; in Bounds::above(0.0).at_most(3_600.0),
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
        let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-' | b'*');
        check.require(
            self.filtered_events
                .iter()
                .all(|pattern| (1..=128).contains(&pattern.len()) && pattern.bytes().all(fits)),
            "filtered_events",
            &self.filtered_events,
            "a list of patterns of events, of letters, digits, `.`, `_`, `-` and `*`, such as `step.*`",
        );
        check.require(
            self.otlp_endpoint.as_deref().is_none_or(is_endpoint),
            "otlp_endpoint",
            &self.otlp_endpoint,
            "a URL such as `http://localhost:4318/v1/traces`, without a user and a password",
        );
    }
}

/// Tells whether a text is the URL of a collector.
fn is_endpoint(url: &str) -> bool {
    let rest = url
        .strip_prefix("http://")
        .or_else(|| url.strip_prefix("https://"));
    let plain = |rest: &str| !rest.contains(|char: char| char.is_whitespace() || char == '@');
    rest.is_some_and(|rest| plain(rest) && !rest.starts_with(['/', '?', '#']) && !rest.is_empty())
}
