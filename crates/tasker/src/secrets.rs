//! Which names stand for secrets, so that their values are neither kept nor shown.

use serde_json::Value;
use tasker_types::TelemetryValues;

use crate::mask::Mask;

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

    /// Returns what is shown instead of a secret: `telemetry.filter_mask`.
    #[must_use]
    pub fn mask(&self) -> &str {
        &self.telemetry.filter_mask
    }

    /// Returns a JSON value, such as the configuration of a step, with all values of secrets masked.
    ///
    /// A URL's user, password, query and fragment are masked wherever a text begins like one.
    #[must_use]
    pub fn masked(&self, value: &Value) -> Value {
        let mask = self.mask();
        let secret = Mask {
            hides: |name: &str| self.has(name),
            text: |text: String| masked_url(&text, mask),
            mask,
        };
        secret.value(value.clone())
    }
}

/// Masks what comes before the host of a URL and after its path.
fn masked_url(text: &str, mask: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else {
        return text.to_owned();
    };
    // Who reads a URL does not mind white space before it, nor the case of its scheme.
    let known = scheme.trim_start().to_ascii_lowercase();
    if !matches!(&*known, "http" | "https" | "postgres" | "postgresql") {
        return text.to_owned();
    }
    let (rest, query) = match rest.find(['?', '#']) {
        Some(at) => (&rest[..at], format!("{}{mask}", &rest[at..=at])),
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

    #[track_caller]
    fn url(text: &str, masked: &str) {
        assert_eq!(masked_url(text, "***"), masked);
    }

    #[test]
    fn a_url_is_masked_however_it_is_written() {
        url("HTTPS://ann:pw@h/a", "HTTPS://***@h/a");
        url(" http://ann:pw@h", " http://***@h");
        url(
            "postgres://ann:p@w@h:5432/db?sslmode=off",
            "postgres://***@h:5432/db?***",
        );
        url("https://h/callback#access_token=1?x", "https://h/callback#***");
        url("https://h?mail=ann@example.org", "https://h?***");
        url("ftp://ann:pw@h/", "ftp://ann:pw@h/");
        url("https://h/a", "https://h/a");
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
