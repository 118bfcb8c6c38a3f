//! The context of a task: its defaults, its schema, its size.

use std::fmt;

use serde::Serialize;
use serde_json::Value;
use tasker_types::Limits;
use thiserror::Error;

use super::model::Template;

/// How deep defaults are filled in; a schema that refers to itself ends here.
const DEEPEST: usize = 64;

/// What is wrong with a context: all of it.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(transparent)]
pub struct ContextFaults(Vec<String>);

impl ContextFaults {
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
    jsonschema::draft202012::new(schema).map(|_| ()).map_err(|error| error.to_string())
}

impl Template {
    /// Fills in the defaults of the template's schema and checks the context.
    ///
    /// Defaults are filled in under `properties`, `items` and references within the schema, before validation.
    ///
    /// # Errors
    ///
    /// All faults: no object, over the limit, or where it does not fit the schema.
    pub fn prepare_context(&self, mut context: Value, limits: &Limits) -> Result<Value, ContextFaults> {
        if !context.is_object() {
            let kind = match context {
                Value::Array(_) => "a list",
                Value::String(_) => "a text",
                Value::Number(_) => "a number",
                Value::Bool(_) => "true or false",
                _ => "null",
            };
            return Err(ContextFaults(vec![format!("the context must be a JSON object, but it is {kind}")]));
        }
        if let Some(schema) = self.context_schema() {
            fill_defaults(schema, schema, &mut context, 0);
        }
        let size = context.to_string().len() as u64;
        if size > limits.context {
            return Err(ContextFaults(vec![format!(
                "the context has {size} bytes, but the limit is {}; pass a reference to the data instead, or raise \
                 `limits.context`",
                limits.context
            )]));
        }
        let Some(schema) = self.context_schema() else { return Ok(context) };
        let validator = jsonschema::draft202012::new(schema).map_err(|error| ContextFaults(vec![error.to_string()]))?;
        let faults: Vec<_> = validator
            .iter_errors(&context)
            .map(|error| {
                let place = error.instance_path().to_string();
                let place = if place.is_empty() { "the context".to_owned() } else { format!("`{place}`") };
                format!("{place} does not fit the template's schema: {error}")
            })
            .collect();
        if faults.is_empty() { Ok(context) } else { Err(ContextFaults(faults)) }
    }
}

fn fill_defaults(root: &Value, schema: &Value, value: &mut Value, depth: usize) {
    if depth > DEEPEST {
        return;
    }
    if let Some(target) = schema.get("$ref").and_then(Value::as_str).and_then(|path| path.strip_prefix('#'))
        && let Some(target) = root.pointer(target)
    {
        fill_defaults(root, target, value, depth + 1);
    }
    if let (Some(Value::Object(properties)), Value::Object(fields)) = (schema.get("properties"), &mut *value) {
        for (name, property) in properties {
            if !fields.contains_key(name)
                && let Some(default) = default_of(root, property)
            {
                fields.insert(name.clone(), default.clone());
            }
            if let Some(field) = fields.get_mut(name) {
                fill_defaults(root, property, field, depth + 1);
            }
        }
    }
    if let (Some(items), Value::Array(values)) = (schema.get("items"), value) {
        for item in values {
            fill_defaults(root, items, item, depth + 1);
        }
    }
}

/// Returns the default of a schema, its own or that of what it refers to.
fn default_of<'a>(root: &'a Value, mut schema: &'a Value) -> Option<&'a Value> {
    for _ in 0..DEEPEST {
        if let Some(default) = schema.get("default") {
            return Some(default);
        }
        schema = root.pointer(schema.get("$ref")?.as_str()?.strip_prefix('#')?)?;
    }
    None
}
