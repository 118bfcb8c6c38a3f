//! The context of a task: its defaults, its schema, its size.

use std::fmt;

use jsonschema::error::ValidationErrorKind;
use serde::Serialize;
use serde_json::Value;
use tasker_types::Limits;
use thiserror::Error;

use super::defaults::fill_defaults;
use super::model::Template;
use crate::json::{DEEPEST, is_deeper};

/// How many faults a report lists, and how many characters of each: a context may be large and wrong everywhere.
const SHOWN_FAULTS: usize = 50;
const SHOWN_CHARACTERS: usize = 300;

/// What is wrong with a context: all of it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(transparent)]
pub struct ContextFaults(Vec<String>);

impl ContextFaults {
    fn one(fault: impl Into<String>) -> Self {
        Self(vec![fault.into()])
    }

    /// Returns the faults; at least one.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for ContextFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}

/// Checks that a value is a JSON Schema of draft 2020-12 that refers to nothing outside of itself.
pub(super) fn check_schema(schema: &Value) -> Result<(), String> {
    let Err(error) = jsonschema::draft202012::new(schema) else {
        return Ok(());
    };
    Err(match error.kind() {
        ValidationErrorKind::Referencing(_) => {
            format!("{error}; a reference names a part of the schema itself, such as `#/$defs/name`")
        }
        _ => shortened(&error.to_string()),
    })
}

impl Template {
    /// Fills in the defaults of the template's schema and checks the context.
    ///
    /// Defaults are filled in under `properties`, `items` and references within the schema, before validation.
    ///
    /// # Errors
    ///
    /// All faults: no object, over the limit, nested too deep, or where it does not fit the schema.
    pub fn prepare_context(&self, mut context: Value, limits: &Limits) -> Result<Value, ContextFaults> {
        check_form(&context, limits)?;
        let Some(schema) = self.context_schema() else {
            return Ok(context);
        };
        fill_defaults(schema, &mut context, limits.context).map_err(ContextFaults::one)?;
        check_size(
            &context,
            limits.context,
            " with the defaults of the template's schema",
        )?;
        let validator =
            jsonschema::draft202012::new(schema).map_err(|error| ContextFaults::one(error.to_string()))?;
        let mut errors = validator.iter_errors(&context);
        let mut faults: Vec<_> = errors
            .by_ref()
            .take(SHOWN_FAULTS)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() {
                    "the context".to_owned()
                } else {
                    format!("`{place}`")
                };
                format!(
                    "{place} does not fit the template's schema: {}",
                    shortened(&error.to_string())
                )
            })
            .collect();
        let more = errors.count();
        drop(validator);
        if more > 0 {
            faults.push(format!("and {more} more faults"));
        }
        if faults.is_empty() {
            Ok(context)
        } else {
            Err(ContextFaults(faults))
        }
    }
}

/// Checks what can be said of a context without a schema: it is an object, not too deep and not too large.
pub(crate) fn check_form(context: &Value, limits: &Limits) -> Result<(), ContextFaults> {
    if !context.is_object() {
        let kind = match context {
            Value::Array(_) => "a list",
            Value::String(_) => "a text",
            Value::Number(_) => "a number",
            Value::Bool(_) => "true or false",
            _ => "null",
        };
        return Err(ContextFaults::one(format!(
            "the context must be a JSON object, but it is {kind}"
        )));
    }
    if is_deeper(context, DEEPEST) {
        return Err(ContextFaults::one(format!(
            "the context is nested more than {DEEPEST} levels deep; make it flatter, or pass it as a text"
        )));
    }
    check_size(context, limits.context, "")
}

fn check_size(context: &Value, limit: u64, with: &str) -> Result<(), ContextFaults> {
    let size = size_of(context);
    if size <= limit {
        return Ok(());
    }
    Err(ContextFaults::one(format!(
        "the context has {size} bytes{with}, but the limit is {limit}; pass a reference to the data instead, or raise \
         `limits.context`"
    )))
}

/// Returns how many bytes a value has as JSON, without writing it anywhere.
pub(super) fn size_of(value: &Value) -> u64 {
    struct Count(u64);
    impl std::io::Write for Count {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0 += bytes.len() as u64;
            Ok(bytes.len())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let mut count = Count(0);
    match serde_json::to_writer(&mut count, value) {
        Ok(()) => count.0,
        // A tree with texts as keys can always be written.
        Err(_) => u64::MAX,
    }
}

/// Keeps the start and the end of a long text: what is wrong stands in one of them, the wrong value between.
fn shortened(text: &str) -> String {
    let length = text.chars().count();
    if length <= SHOWN_CHARACTERS {
        return text.to_owned();
    }
    let start: String = text.chars().take(SHOWN_CHARACTERS / 2).collect();
    let end: String = text.chars().skip(length - SHOWN_CHARACTERS / 2).collect();
    format!("{start} … {end}")
}
