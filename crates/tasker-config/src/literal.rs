//! How TOML spells a value.

use std::fmt::Write;

use figment::value::Value as Untyped;
use serde_json::Value;
use tasker_types::Telemetry;

/// How many characters of a value a message shows.
const SHOWN: usize = 80;

/// Returns a value as TOML spells it on one line.
pub(crate) fn literal(value: &Value) -> String {
    let mut text = String::new();
    spell(value, &mut text);
    text
}

/// Returns a value for a message: as TOML spells it, but not at any length.
pub(crate) fn shown(value: &Untyped) -> String {
    let mut text = match value {
        // JSON has no name for what is no number, and not all integers.
        Untyped::Num(_, number) => match (number.to_u128(), number.to_i128(), number.to_f64()) {
            (Some(number), ..) => number.to_string(),
            (_, Some(number), _) => number.to_string(),
            (.., number) => format!("{:?}", number.unwrap_or_default()),
        },
        _ => serde_json::to_value(value)
            .map(|value| literal(&value))
            .unwrap_or_default(),
    };
    if let Some((end, _)) = text.char_indices().nth(SHOWN) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Returns the value of a key for a message, without what its name or names within it say to be secret.
///
/// What counts as secret are the defaults: a configuration with faults does not say.
pub(crate) fn shown_of(key: &str, value: &Untyped) -> String {
    shown(&masked(key, value, &Telemetry::default()))
}

fn masked(name: &str, value: &Untyped, telemetry: &Telemetry) -> Untyped {
    let name = name.rsplit('.').next().unwrap_or(name);
    if telemetry.hides(name) {
        return Untyped::from(telemetry.filter_mask.as_str());
    }
    match value {
        Untyped::Dict(tag, table) => {
            let entries = table
                .iter()
                .map(|(name, value)| (name.clone(), masked(name, value, telemetry)));
            Untyped::Dict(*tag, entries.collect())
        }
        // A list is of what its name says.
        Untyped::Array(tag, values) => {
            let values = values.iter().map(|value| masked("", value, telemetry));
            Untyped::Array(*tag, values.collect())
        }
        value => value.clone(),
    }
}

fn spell(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("nothing"),
        Value::Bool(_) | Value::Number(_) => {
            // Writing to a string does not fail.
            let _ = write!(text, "{value}");
        }
        Value::String(string) => spell_string(string, text),
        Value::Array(values) => {
            text.push('[');
            for (index, value) in values.iter().enumerate() {
                text.push_str(if index == 0 { "" } else { ", " });
                spell(value, text);
            }
            text.push(']');
        }
        Value::Object(table) if table.is_empty() => text.push_str("{}"),
        Value::Object(table) => {
            for (index, (key, value)) in table.iter().enumerate() {
                text.push_str(if index == 0 { "{ " } else { ", " });
                spell_key(key, text);
                text.push_str(" = ");
                spell(value, text);
            }
            text.push_str(" }");
        }
    }
}

fn spell_key(key: &str, text: &mut String) {
    let bare = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    if !key.is_empty() && key.chars().all(bare) {
        text.push_str(key);
    } else {
        spell_string(key, text);
    }
}

fn spell_string(string: &str, text: &mut String) {
    text.push('"');
    for character in string.chars() {
        match character {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            control if control.is_control() => {
                let _ = write!(text, "\\u{:04X}", u32::from(control));
            }
            other => text.push(other),
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: Value, expected: &str) {
        assert_eq!(literal(&value), expected);
    }

    #[test]
    fn values_are_spelled_as_toml_reads_them() {
        check(serde_json::json!([1, 2.5, true]), "[1, 2.5, true]");
        check(serde_json::json!("a \"b\"\n\u{1b}"), r#""a \"b\"\n\u001B""#);
        check(serde_json::json!({"a": 1, "b c": {}}), r#"{ a = 1, "b c" = {} }"#);
    }

    #[test]
    fn a_message_shows_the_beginning_of_a_long_value() {
        assert_eq!(shown(&Untyped::from("ü".repeat(200))).chars().count(), SHOWN + 1);
        assert_eq!(shown(&Untyped::from(f64::NAN)), "NaN");
    }
}
