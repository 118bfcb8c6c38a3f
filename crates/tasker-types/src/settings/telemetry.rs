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
    }

    /// Tells whether values under this name are secret.
    pub fn hides(&self, name: &str) -> bool {
        let plain = name.to_lowercase();
        let snake = snake_case(name);
        self.filter_parameters.iter().any(|part| {
            let part = part.to_lowercase();
            plain.contains(&part) || snake.contains(&part)
        })
    }
}

/// Returns a name in small letters with `_` between its words.
fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    let mut small = false;
    for c in name.chars() {
        if c.is_uppercase() && small {
            snake.push('_');
        }
        small = c.is_lowercase() || c.is_numeric();
        match c {
            '-' | ' ' => snake.push('_'),
            c => snake.extend(c.to_lowercase()),
        }
    }
    snake
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn hides(name: &str, hidden: bool) {
        assert_eq!(Telemetry::default().hides(name), hidden, "{name}");
    }

    #[test]
    fn names_of_secrets_are_known_however_they_are_spelled() {
        for name in [
            "password",
            "PASSWORD",
            "dbPassword",
            "e_mail_or_email",
            "api_key",
            "apiKey",
            "X-Api-Key",
            "private key",
            "AuthToken",
            "clientSecret",
            "ssn",
        ] {
            hides(name, true);
        }
        for name in ["", "key", "keyboard", "monkey", "amount", "name", "pass"] {
            hides(name, false);
        }
    }

    #[test]
    fn the_configuration_decides_what_is_secret() {
        let values = TelemetryValues {
            filter_parameters: vec!["IBAN".to_owned()],
            ..TelemetryValues::default()
        };
        let telemetry = Telemetry::try_from(values).unwrap();
        assert!(telemetry.hides("customer_iban") && !telemetry.hides("password"));
    }
}
