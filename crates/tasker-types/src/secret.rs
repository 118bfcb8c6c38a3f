//! Which values are secret, by their names.

use crate::TelemetryValues;

impl TelemetryValues {
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
    use crate::Telemetry;

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
