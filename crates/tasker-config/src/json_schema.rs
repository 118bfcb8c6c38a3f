//! The JSON Schema of a configuration file, for editors.

use serde_json::{Map, Value, json};
use tasker_types::{Bounds, Key};

use crate::config::Config;
use crate::schema::{SECTIONS, Schema, Shape};

/// Returns the JSON Schema of `tasker.toml`, in draft 7, which editors know best.
///
/// It refuses what the loader refuses of one value: unknown names, wrong types, values out of their bounds.
/// What compares values, such as `execution.heartbeat_seconds` with `execution.lease_seconds`, only the loader sees.
pub fn json_schema() -> Value {
    let defaults = Config::default().entries();
    let default = |section: &str, key: &str| {
        let entry = defaults
            .iter()
            .find(|entry| entry.section() == section && entry.key() == key)?;
        (!entry.value().is_null()).then(|| entry.value().clone())
    };
    let mut definitions = Map::new();
    let mut sections = Map::new();
    for section in SECTIONS {
        let table = table(section, section.keys, "", section.doc, &default);
        definitions.insert(section.name.to_owned(), table);
        let reference = json!({ "$ref": format!("#/definitions/{}", section.name) });
        sections.insert(section.name.to_owned(), reference);
    }
    let profile = json!({
        "description": "Sections that count instead of those of the file when TASKER_PROFILE names this profile.",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
    });
    definitions.insert("profile".to_owned(), profile);
    let profiles = json!({
        "description": "Profiles by name; TASKER_PROFILE chooses one.",
        "type": "object",
        "additionalProperties": { "$ref": "#/definitions/profile" },
    });
    sections.insert("profiles".to_owned(), profiles);
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "tasker.toml",
        "description": "The configuration of Tasker. Every key has a default; a file needs only those that differ.",
        "type": "object",
        "additionalProperties": false,
        "properties": sections,
        "definitions": definitions,
    })
}

/// Returns the schema of a table; the prefix is that of its keys within the section.
fn table(
    section: &Schema,
    keys: &[Key],
    prefix: &str,
    doc: &str,
    default: &dyn Fn(&str, &str) -> Option<Value>,
) -> Value {
    let mut properties = Map::new();
    for key in keys {
        let name = format!("{prefix}{}", key.name);
        let schema = if key.keys.is_empty() {
            value(section, key, &name, default(section.name, &name))
        } else {
            table(section, key.keys, &format!("{name}."), key.doc, default)
        };
        properties.insert(key.name.to_owned(), schema);
    }
    json!({
        "description": sentences(doc),
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    })
}

/// Returns the schema of a plain value.
fn value(section: &Schema, key: &Key, name: &str, default: Option<Value>) -> Value {
    let mut description = sentences(key.doc);
    if !key.constraint.is_empty() {
        description.push_str(&format!(" It must be {}.", key.constraint));
    }
    let mut schema = Map::new();
    schema.insert("description".to_owned(), description.into());
    let own = section.shape(name);
    shape(&own, &key.bounds, &mut schema);
    match own {
        Shape::Table => {
            schema.insert("additionalProperties".to_owned(), entry(section, name, false));
        }
        Shape::List(element) if *element == Shape::Table => {
            schema.insert("items".to_owned(), entry(section, name, true));
        }
        _ => {}
    }
    if let Some(default) = default {
        schema.insert("default".to_owned(), default);
    }
    schema.into()
}

/// Returns the schema of the tables that a list or a table holds.
fn entry(section: &Schema, name: &str, is_list: bool) -> Value {
    let properties = section.entry(name, is_list).into_iter().map(|(field, own)| {
        let mut schema = Map::new();
        shape(&own, &Bounds::NONE, &mut schema);
        (field.to_owned(), Value::from(schema))
    });
    json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties.collect::<Map<_, _>>(),
    })
}

fn shape(shape: &Shape, bounds: &Bounds, schema: &mut Map<String, Value>) {
    let mut say = |key: &str, value: Value| schema.insert(key.to_owned(), value);
    match shape {
        Shape::Truth => {
            say("type", "boolean".into());
        }
        Shape::Choice(variants) => {
            say("enum", json!(variants));
        }
        Shape::Text => {
            say("type", "string".into());
            if bounds.is_not_empty() {
                say("minLength", 1.into());
            }
            if let Some(pattern) = bounds.pattern() {
                say("pattern", pattern.into());
            }
        }
        Shape::Table => {
            say("type", "object".into());
        }
        Shape::Number => {
            say("type", "number".into());
            range(bounds, None, None, schema);
        }
        Shape::Whole { signed, greatest } => {
            say("type", "integer".into());
            // Files cannot spell greater ones.
            let greatest = greatest.map_or(json!(i64::MAX), |greatest| json!(greatest));
            range(bounds, (!signed).then_some(0.0), Some(greatest), schema);
        }
        Shape::List(element) => {
            say("type", "array".into());
            if bounds.is_not_empty() {
                say("minItems", 1.into());
            }
            let mut items = Map::new();
            self::shape(element, &bounds.of_each(), &mut items);
            schema.insert("items".to_owned(), items.into());
        }
    }
}

/// Adds the bounds of a number, else those of its type.
fn range(bounds: &Bounds, least: Option<f64>, greatest: Option<Value>, schema: &mut Map<String, Value>) {
    let mut say = |key: &str, bound: Option<Value>| {
        if let Some(bound) = bound {
            schema.insert(key.to_owned(), bound);
        }
    };
    match bounds.exclusive_minimum() {
        Some(above) => say("exclusiveMinimum", Some(number(above))),
        None => say("minimum", bounds.minimum().or(least).map(number)),
    }
    say("maximum", bounds.maximum().map(number).or(greatest));
}

/// Returns a number as people write it: whole ones without a fraction.
fn number(bound: f64) -> Value {
    let text = bound.to_string();
    serde_json::from_str(&text).unwrap_or_else(|_| text.into())
}

/// Returns sentences of several lines as one line.
fn sentences(doc: &str) -> String {
    doc.split_whitespace().collect::<Vec<_>>().join(" ")
}
