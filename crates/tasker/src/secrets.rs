//! Which names stand for secrets, so that their values are neither kept nor shown.

use serde_json::{Map, Value};
use tasker_types::TelemetryValues;

/// Parts of names of secrets of HTTP, whatever the configuration says: in lower case, with `_` between their words.
const PARTS: [&str; 15] = [
    "authorization",
    "certificate",
    "cookie",
    "credential",
    "crypt",
    "email",
    "apikey",
    "_key",
    "otp",
    "passw",
    "salt",
    "secret",
    "session",
    "ssn",
    "token",
];

/// Knows names of secrets: of headers, and of keys in configurations.
///
/// They are those that are usual (passwords, tokens, keys, cookies and the like), and those of
/// `telemetry.filter_parameters`; `telemetry.filter_mask` is shown instead of their values.
#[derive(Clone, Debug)]
pub struct SecretNames {
    telemetry: TelemetryValues,
}

impl SecretNames {
    /// Returns the usual names and those of the configuration.
    #[must_use]
    pub fn of(telemetry: &TelemetryValues) -> Self {
        Self {
            telemetry: telemetry.clone(),
        }
    }

    /// Tells whether a value of this name is a secret. Case does not matter, and `-` is the same as `_`.
    pub fn has(&self, name: &str) -> bool {
        let plain = name.to_ascii_lowercase().replace('-', "_");
        PARTS.iter().any(|part| plain.contains(part)) || self.telemetry.hides(name)
    }

    /// Returns a JSON value, such as the configuration of a step, with all values of secrets masked.
    ///
    /// A URL's user, password and query are masked wherever a text begins like one.
    #[must_use]
    pub fn masked(&self, value: &Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(self.masked_fields(fields)),
            Value::Array(items) => items.iter().map(|item| self.masked(item)).collect(),
            Value::String(text) => Value::String(masked_url(text, &self.telemetry.filter_mask)),
            other => other.clone(),
        }
    }

    fn masked_fields(&self, fields: &Map<String, Value>) -> Map<String, Value> {
        let masked = |(name, value): (&String, &Value)| {
            let value = if self.has(name) && !value.is_null() {
                Value::String(self.telemetry.filter_mask.clone())
            } else {
                self.masked(value)
            };
            (name.clone(), value)
        };
        fields.iter().map(masked).collect()
    }
}

/// Masks what comes before the host of a URL and after its path.
fn masked_url(text: &str, mask: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    if !matches!(scheme, "http" | "https" | "postgres" | "postgresql") {
        return text.to_owned();
    }
    let (rest, query) = match rest.split_once('?') {
        Some((rest, _)) => (rest, format!("?{mask}")),
        None => (rest, String::new()),
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = match host.rsplit_once('@') {
        Some((_, host)) => format!("{mask}@{host}"),
        None => host.to_owned(),
    };
    format!("{scheme}://{host}{path}{query}")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_of_secrets_are_known_in_every_spelling() {
        let names = SecretNames::of(&TelemetryValues::default());
        for name in [
            "Authorization",
            "Proxy-Authorization",
            "Set-Cookie",
            "X-Api-Key",
            "apiKey",
            "PASSWORD",
            "auth_token",
        ] {
            assert!(names.has(name), "{name}");
        }
        for name in ["Content-Type", "Retry-After", "url", "key", "Date", "ETag"] {
            assert!(!names.has(name), "{name}");
        }
    }

    #[test]
    fn values_of_secrets_are_masked_wherever_they_are() {
        let config = json!({
            "url": "https://ann:pw@example.org/a?token=1",
            "headers": { "Authorization": "Bearer abc", "Accept": "text/plain" },
            "body": [{ "password": { "old": 1 }, "api_key": null, "amount": 7 }, "see http://x/"],
        });
        let masked = json!({
            "url": "https://[FILTERED]@example.org/a?[FILTERED]",
            "headers": { "Authorization": "[FILTERED]", "Accept": "text/plain" },
            "body": [{ "password": "[FILTERED]", "api_key": null, "amount": 7 }, "see http://x/"],
        });
        assert_eq!(
            SecretNames::of(&TelemetryValues::default()).masked(&config),
            masked
        );
    }

    #[test]
    fn the_configuration_adds_names_and_says_what_stands_there() {
        let names = SecretNames::of(&TelemetryValues {
            filter_parameters: vec!["trace_id".to_owned()],
            filter_mask: "***".to_owned(),
            ..TelemetryValues::default()
        });
        let config = json!({
            "url": "https://ann:pw@example.org/a?b=1",
            "headers": { "X-Trace-Id": "7", "traceId": "8", "Authorization": "Bearer abc", "Accept": "*/*" },
        });
        let masked = json!({
            "url": "https://***@example.org/a?***",
            "headers": { "X-Trace-Id": "***", "traceId": "***", "Authorization": "***", "Accept": "*/*" },
        });
        assert_eq!(names.masked(&config), masked);
    }
}
