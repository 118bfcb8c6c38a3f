//! How an attempt failed, as it is recorded.

use serde::{Deserialize, Serialize};

use crate::json::Json;

/// Whether a failed attempt may be followed by another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Trying again may help.
    Retryable,
    /// Trying again cannot help.
    Permanent,
}

/// Why an attempt failed. It is kept with the attempt and shown to people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// A short, stable name for the kind of failure, such as `timeout` or `HTTP_404`.
    pub code: String,
    /// What happened, for a person.
    pub message: String,
    /// Whether trying again may help.
    pub severity: Severity,
    /// What the handler adds for a program to read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub context: Option<Json>,
}

impl Failure {
    /// A handler returned an error without a code of its own.
    pub const ERROR: &str = "error";
    /// The worker that held the lease was not heard of in time.
    pub const LEASE_EXPIRED: &str = "lease_expired";
    /// The worker's grace ended before the handler did.
    pub const INTERRUPTED: &str = "interrupted";
    /// The handler did not end within the step's time.
    pub const TIMEOUT: &str = "timeout";
    /// The handler panicked.
    pub const PANIC: &str = "panic";
    /// The result is no JSON, or over its limit.
    pub const RESULT_REJECTED: &str = "result_rejected";
    /// A handler published an event that it does not declare, or that is too much.
    pub const EVENT_REJECTED: &str = "event_rejected";
    /// A handler asked for a task that cannot be created.
    pub const REQUEST_REJECTED: &str = "request_rejected";
    /// Context, parents or configuration do not have the types that the handler declares.
    pub const INPUT_REJECTED: &str = "input_rejected";
    /// The handler that the claim was for is no longer registered.
    pub const HANDLER_MISSING: &str = "handler_missing";

    /// Returns the failure as `code: message` in one line; without the code where it says nothing beside the message.
    pub fn in_one_line(&self) -> String {
        let printable = |c: char| if c.is_control() { ' ' } else { c };
        let lines = self.message.lines().map(str::trim);
        let message: String = lines
            .filter(|line| !line.is_empty())
            .take(1)
            .flat_map(str::chars)
            .map(printable)
            .collect();
        // The message of a command names how it ended.
        let says_nothing =
            self.code == Self::ERROR || self.code.starts_with("exit_") || self.code.starts_with("signal_");
        match (message.is_empty(), says_nothing) {
            (true, _) => self.code.clone(),
            (false, true) => message,
            (false, false) => format!("{}: {message}", self.code),
        }
    }

    /// Returns a failure that may be tried again.
    pub fn retryable(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            code: code.into(),
            message: message.into(),
            severity: Severity::Retryable,
            context: None,
        }
    }

    /// Returns the failure of a step whose lease ended before it did.
    pub fn lease_expired() -> Self {
        Self::retryable(
            Self::LEASE_EXPIRED,
            "the worker that ran the step was not heard of in time",
        )
    }

    /// Returns the failure of a step whose worker stopped.
    pub fn interrupted() -> Self {
        Self::retryable(Self::INTERRUPTED, "the worker was stopped before the step ended")
    }

    /// Returns a failure that trying again cannot mend.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Permanent,
            ..Self::retryable(code, message)
        }
    }
}
