//! Which sections and keys there are, and what their values may be.
//!
//! The types of the sections know all of it. A type is asked by giving it one value and looking at its answer, so
//! that nothing about a key is written twice.

use figment::error::{Error, Kind};
use figment::value::{Dict, Value};
use serde::Deserialize;
use tasker_types::{
    Auth, Backoff, Bounds, Cache, Database, Engine, Execution, GraphWeights, Health, Key, Limits, Section,
    Server, SettingFault, Telemetry,
};

use crate::environment::PREFIX;

/// The sections, in the order of the reference.
pub(crate) const SECTIONS: &[Schema] = &[
    Schema::of::<Auth>(),
    Schema::of::<Backoff>(),
    Schema::of::<Cache>(),
    Schema::of::<Database>(),
    Schema::of::<GraphWeights>(),
    Schema::of::<Engine>(),
    Schema::of::<Execution>(),
    Schema::of::<Health>(),
    Schema::of::<Limits>(),
    Schema::of::<Server>(),
    Schema::of::<Telemetry>(),
];

/// Keys whose values are paths, relative to the file that has them.
pub(crate) const PATHS: &[&str] = &[
    "auth.jwt.keys",
    "engine.task_config_directory",
    "engine.custom_events_directories",
];

/// A section without its type.
#[derive(Debug)]
pub(crate) struct Schema {
    pub(crate) name: &'static str,
    pub(crate) doc: &'static str,
    pub(crate) keys: &'static [Key],
    check: fn(&Value) -> Result<Vec<SettingFault>, Refusal>,
    fields: fn(&Value) -> &'static [&'static str],
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

/// The type of a key's values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Shape {
    /// Any text.
    Text,
    /// True or false.
    Truth,
    /// A whole number, none below zero if it has no sign.
    Whole { signed: bool, greatest: Option<u32> },
    /// A number.
    Number,
    /// One of these texts.
    Choice(&'static [&'static str]),
    /// A table whose names are not fixed, or that is part of a list.
    Table,
    /// A list of such.
    List(Box<Self>),
}

impl Shape {
    /// Returns the shape of a type by its name in errors.
    fn named(name: &str) -> Self {
        match name {
            "u8" | "u16" | "u32" => Self::Whole {
                signed: false,
                greatest: Some(u32::MAX),
            },
            "u64" | "usize" => Self::Whole {
                signed: false,
                greatest: None,
            },
            "i32" | "i64" => Self::Whole {
                signed: true,
                greatest: None,
            },
            "f32" | "f64" => Self::Number,
            "a boolean" => Self::Truth,
            "a map" => Self::Table,
            name if name.starts_with("struct ") => Self::Table,
            _ => Self::Text,
        }
    }

    /// Says what values of this shape within these bounds are.
    fn with(&self, bounds: &Bounds) -> String {
        let suffix = |bounds: &Bounds| match bounds.to_string() {
            bounds if bounds.is_empty() => bounds,
            bounds if bounds.starts_with("between") => format!(" {bounds}"),
            bounds => format!(" that is {bounds}"),
        };
        match self {
            Self::Text => format!("a string{}", suffix(bounds)),
            Self::Truth => "true or false".to_owned(),
            Self::Table => "a table of tables".to_owned(),
            Self::Whole {
                signed: false,
                greatest,
            } if bounds.is_none() => match greatest {
                Some(greatest) => format!("a whole number between 0 and {greatest}"),
                None => "a whole number that is at least 0".to_owned(),
            },
            Self::Whole { .. } => format!("a whole number{}", suffix(bounds)),
            Self::Number => format!("a number{}", suffix(bounds)),
            Self::Choice(variants) => one_of(variants),
            Self::List(element) => format!("a list of {}{}", element.plural(), suffix(bounds)),
        }
    }

    fn plural(&self) -> &'static str {
        match self {
            Self::Whole { .. } => "whole numbers",
            Self::Number => "numbers",
            Self::Truth => "true or false",
            Self::Table => "tables",
            Self::Text | Self::Choice(_) | Self::List(_) => "strings",
        }
    }
}

impl Schema {
    const fn of<S: Section>() -> Self {
        Self {
            name: S::NAME,
            doc: S::DOC,
            keys: S::KEYS,
            check: check::<S>,
            fields: fields::<S>,
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

    /// Returns the type of a key's values.
    pub(crate) fn shape(&self, key: &str) -> Shape {
        shape_of(|value| self.probe(key, value))
    }

    /// Returns the keys of the tables that a list or a table holds, with their types.
    pub(crate) fn entry(&self, key: &str, is_list: bool) -> Vec<(&'static str, Shape)> {
        let within = |field: &str, value: Value| {
            let entry = Value::from(Dict::from([(field.to_owned(), value)]));
            match is_list {
                true => Value::from(vec![entry]),
                false => Value::from(Dict::from([("x".to_owned(), entry)])),
            }
        };
        let fields = (self.fields)(&nested(key, within("\0", Value::from(0))));
        let shape = |field: &str| shape_of(|value| self.probe(key, within(field, value)));
        fields.iter().map(|field| (*field, shape(field))).collect()
    }

    /// Returns what the values of a key must be: their type, and its bounds.
    pub(crate) fn expected(&self, key: &str) -> String {
        let bounds = self.find_key(key).map_or(Bounds::NONE, |key| key.bounds);
        self.shape(key).with(&bounds)
    }

    /// Finds a key by its name within the section.
    fn find_key(&self, name: &str) -> Option<&'static Key> {
        let mut parts = name.split('.');
        let find = |keys: &'static [Key], part| keys.iter().find(|key| key.name == part);
        let first = find(self.keys, parts.next()?)?;
        parts.try_fold(first, |key, part| find(key.keys, part))
    }

    /// Returns the other keys that a constraint speaks of.
    pub(crate) fn compared(&self, fault: &SettingFault) -> Vec<String> {
        let spoken = |key: &String| *key != fault.key && fault.must.contains(&format!("`{key}`"));
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

/// Returns the type of values by how they are refused.
fn shape_of(probe: impl Fn(Value) -> Result<Vec<SettingFault>, Refusal>) -> Shape {
    // No key takes this text, except those that take every text.
    let impossible = || Value::from("\0");
    match probe(impossible()) {
        Ok(_) | Err(Refusal::Content(_)) => Shape::Text,
        Err(Refusal::Variant(variants)) => Shape::Choice(variants),
        Err(Refusal::Type(list)) if list == "a sequence" => match probe(Value::from(vec![impossible()])) {
            Err(Refusal::Type(element)) => Shape::List(Box::new(Shape::named(&element))),
            _ => Shape::List(Box::new(Shape::Text)),
        },
        Err(Refusal::Type(expected)) => Shape::named(&expected),
    }
}

/// Returns the fields that there are where a value has one that there is not.
fn fields<S: Section>(value: &Value) -> &'static [&'static str] {
    match S::Values::deserialize(value).map_err(|error| error.kind) {
        Err(Kind::UnknownField(_, fields)) => fields,
        _ => &[],
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
            "a list of whole numbers that is not empty, with every value between 0 and 315360000",
        );
        expects("backoff", "jitter_enabled", "true or false");
        expects(
            "backoff",
            "reenqueue_delays.processing",
            "a whole number between 0 and 315360000",
        );
        expects("database", "synchronous", "`full` or `normal`");
        expects("database", "url", "a string");
        expects("engine", "default_namespace", "a string");
        expects("engine", "task_config_directory", "a string that is not empty");
        expects("engine", "template_environment", "a list of strings");
        expects(
            "execution",
            "max_concurrent_steps",
            "a whole number between 1 and 100000",
        );
        expects("execution", "heartbeat_seconds", "a number that is more than 0");
        expects(
            "limits",
            "yaml_aliases",
            "a whole number between 0 and 4294967295",
        );
        expects("limits", "stderr_tail", "a whole number that is at least 0");
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
