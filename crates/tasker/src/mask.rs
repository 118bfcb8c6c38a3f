//! What is shown and logged of values that may have secrets in them.

use serde_json::Value;
use tasker_types::TelemetryValues;

/// Returns a value without what the names in it say to be secret.
///
/// `telemetry.filter_parameters` says which names are secret, at any depth, and `telemetry.filter_mask` what stands
/// there instead. Nothing at all is no secret: null stays null.
#[must_use]
pub fn masked(value: Value, telemetry: &TelemetryValues) -> Value {
    Mask::of(telemetry).value(value)
}

/// Returns the value of a name, or the mask if the name is that of a secret.
#[must_use]
pub fn masked_field(name: &str, value: Value, telemetry: &TelemetryValues) -> Value {
    Mask::of(telemetry).field(name, value)
}

/// How a value is masked: which names are secret, and what is done with texts of other names.
pub(crate) struct Mask<'a, Hides, Text> {
    pub(crate) hides: Hides,
    pub(crate) text: Text,
    pub(crate) mask: &'a str,
}

impl<'a> Mask<'a, (), ()> {
    fn of(telemetry: &'a TelemetryValues) -> Mask<'a, impl Fn(&str) -> bool, impl Fn(String) -> String> {
        Mask {
            hides: |name: &str| telemetry.hides(name),
            text: |text| text,
            mask: &telemetry.filter_mask,
        }
    }
}

impl<Hides: Fn(&str) -> bool, Text: Fn(String) -> String> Mask<'_, Hides, Text> {
    /// Masks what is within a value, at any depth.
    pub(crate) fn value(&self, value: Value) -> Value {
        match value {
            Value::Object(fields) => {
                let fields = fields.into_iter().map(|(name, value)| {
                    let value = self.field(&name, value);
                    (name, value)
                });
                Value::Object(fields.collect())
            }
            Value::Array(items) => Value::Array(items.into_iter().map(|item| self.value(item)).collect()),
            Value::String(text) => Value::String((self.text)(text)),
            value => value,
        }
    }

    fn field(&self, name: &str, value: Value) -> Value {
        if !value.is_null() && (self.hides)(name) {
            self.mask.into()
        } else {
            self.value(value)
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn secrets_are_masked_at_any_depth() {
        let value = json!({
            "user": "ada",
            "password": "hunter2",
            "token": null,
            "gateway": { "apiKey": { "id": 1 }, "url": "https://one.example" },
            "people": [{ "email": "ada@example.org", "age": 36 }],
        });
        assert_eq!(
            masked(value, &TelemetryValues::default()),
            json!({
                "user": "ada",
                "password": "[FILTERED]",
                "token": null,
                "gateway": { "apiKey": "[FILTERED]", "url": "https://one.example" },
                "people": [{ "email": "[FILTERED]", "age": 36 }],
            })
        );
    }

    #[test]
    fn the_configuration_says_what_is_secret_and_what_stands_there() {
        let telemetry = TelemetryValues {
            filter_parameters: vec!["user".to_owned()],
            filter_mask: "***".to_owned(),
            ..TelemetryValues::default()
        };
        let value = json!({ "user_name": "ada", "password": "hunter2" });
        assert_eq!(
            masked(value, &telemetry),
            json!({ "user_name": "***", "password": "hunter2" })
        );
    }
}
