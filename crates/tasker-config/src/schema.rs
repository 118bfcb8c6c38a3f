//! Which sections and keys there are, and what their values may be.
//!
//! The types of the sections know all of it. A type is asked by giving it one value and looking at its answer, so
//! that nothing about a key is written twice.

use figment::error::{Error, Kind};
use figment::value::{Dict, Value};
use serde::Deserialize;
use tasker_types::{Backoff, Database, Engine, Execution, Key, Limits, Section, SettingFault, Telemetry};

use crate::environment::PREFIX;

/// The sections, in the order of the reference.
pub(crate) const SECTIONS: &[Schema] = &[
    Schema::of::<Backoff>(),
    Schema::of::<Database>(),
    Schema::of::<Engine>(),
    Schema::of::<Execution>(),
    Schema::of::<Limits>(),
    Schema::of::<Telemetry>(),
];

/// Keys whose values are paths, relative to the file that has them.
pub(crate) const PATHS: &[&str] = &["engine.task_config_directory"];

/// A section without its type.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    check: fn(&Value) -> Result<Vec<SettingFault>, Refusal>,
}

/// Why a value does not fit its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It has the wrong type, and this is the right one.
    Type(String),
    /// It is none of these.
    Variant(&'static [&'static str]),
    /// It has the right type, but for this reason not the right content.
    Content(String),
}

impl Schema {
    const fn of<S: Section>() -> Self {
        Self {
            name: S::NAME,
            doc: S::DOC,
            keys: S::KEYS,
            check: check::<S>,
        }
    }

    /// Finds a section.
    pub(crate) fn find(name: &str) -> Option<&'static Self> {
        SECTIONS.iter().find(|section| section.name == name)
    }

    /// Checks one value of a key as if all others had their defaults.
    ///
    /// Returns the constraints that are broken, which may be those of other keys.
    pub(crate) fn probe(&self, key: &str, value: Value) -> Result<Vec<SettingFault>, Refusal> {
        (self.check)(&nested(key, value))
    }

    /// Returns what the values of a key must be.
    pub(crate) fn expected(&self, key: &str) -> String {
        // No key takes this text, except those that take every text.
        let impossible = || Value::from("\0");
        match self.probe(key, impossible()) {
            Ok(_) | Err(Refusal::Content(_)) => "a string".to_owned(),
            Err(Refusal::Variant(variants)) => one_of(variants),
            Err(Refusal::Type(list)) if list == "a sequence" => {
                match self.probe(key, Value::from(vec![impossible()])) {
                    Err(Refusal::Type(element)) => format!("a list of {}", plural(&element)),
                    _ => "a list of strings".to_owned(),
                }
            }
            Err(Refusal::Type(expected)) => singular(&expected).to_owned(),
        }
    }

    /// Returns the other keys that a constraint speaks of.
    pub(crate) fn compared(&self, fault: &SettingFault) -> Vec<String> {
        let spoken = |key: &String| key != fault.key && fault.must.contains(&format!("`{key}`"));
        self.leaves()
            .into_iter()
            .map(|(key, _)| key)
            .filter(spoken)
            .collect()
    }

    /// Returns every key that holds a plain value, with dots between tables.
    pub(crate) fn leaves(&self) -> Vec<(String, &'static Key)> {
        fn collect(keys: &'static [Key], prefix: &str, leaves: &mut Vec<(String, &'static Key)>) {
            for key in keys {
                let name = format!("{prefix}{}", key.name);
                if key.keys.is_empty() {
                    leaves.push((name, key));
                } else {
                    collect(key.keys, &format!("{name}."), leaves);
                }
            }
        }
        let mut leaves = Vec::new();
        collect(self.keys, "", &mut leaves);
        leaves
    }

    /// Returns the variable of the environment that sets a key.
    pub(crate) fn variable(&self, key: &str) -> String {
        format!("{PREFIX}{}__{}", self.name, key.replace('.', "__")).to_ascii_uppercase()
    }
}

fn check<S: Section>(value: &Value) -> Result<Vec<SettingFault>, Refusal> {
    let values = S::Values::deserialize(value).map_err(refusal)?;
    Ok(S::check(values)
        .err()
        .map(|faults| faults.faults)
        .unwrap_or_default())
}

fn refusal(error: Error) -> Refusal {
    match error.kind {
        Kind::UnknownVariant(_, variants) => Refusal::Variant(variants),
        Kind::InvalidType(_, expected) | Kind::InvalidValue(_, expected) => Refusal::Type(expected),
        Kind::Message(reason) => Refusal::Content(reason),
        other => Refusal::Content(other.to_string()),
    }
}

/// Returns tables around a value, one for each part of its key.
pub(crate) fn nested(key: &str, value: Value) -> Value {
    key.rsplit('.').fold(value, |value, part| {
        Value::from(Dict::from([(part.to_owned(), value)]))
    })
}

fn singular(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" => "a whole number between 0 and 4294967295",
        "u64" | "usize" => "a whole number that is at least 0",
        "i32" | "i64" => "a whole number",
        "f32" | "f64" => "a number",
        "a boolean" => "true or false",
        other => other,
    }
}

fn plural(element: &str) -> &str {
    match element {
        "u8" | "u16" | "u32" | "u64" | "usize" => "whole numbers that are at least 0",
        "i32" | "i64" => "whole numbers",
        "f32" | "f64" => "numbers",
        _ => "strings",
    }
}

fn one_of(variants: &[&str]) -> String {
    match variants {
        [] => String::new(),
        [one] => format!("`{one}`"),
        [first @ .., last] => {
            let first: Vec<_> = first.iter().map(|variant| format!("`{variant}`")).collect();
            format!("{} or `{last}`", first.join(", "))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn expects(section: &str, key: &str, expected: &str) {
        assert_eq!(Schema::find(section).unwrap().expected(key), expected);
    }

    #[test]
    fn types_say_what_they_expect() {
        expects(
            "backoff",
            "default_backoff_seconds",
            "a list of whole numbers that are at least 0",
        );
        expects("backoff", "jitter_enabled", "true or false");
        expects(
            "backoff",
            "reenqueue_delays.processing",
            "a whole number that is at least 0",
        );
        expects("database", "synchronous", "`full` or `normal`");
        expects("database", "url", "a string");
        expects("engine", "default_namespace", "a string");
        expects("engine", "template_environment", "a list of strings");
        expects(
            "execution",
            "max_concurrent_steps",
            "a whole number between 0 and 4294967295",
        );
        expects("execution", "lease_seconds", "a number");
        expects(
            "telemetry",
            "log_level",
            "`error`, `warn`, `info`, `debug` or `trace`",
        );
    }

    #[test]
    fn paths_are_keys() {
        for path in PATHS {
            let (section, key) = path.split_once('.').unwrap();
            let leaves = Schema::find(section).unwrap().leaves();
            assert!(leaves.iter().any(|(name, _)| name == key), "{path}");
        }
    }
}
