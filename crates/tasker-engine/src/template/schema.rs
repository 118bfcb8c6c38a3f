//! The JSON Schema of a template, for editors.
//!
//! Its tables are made of the lists of keys by which templates are read, so that both know the same keys and spellings.

use serde_json::{Map, Value, json};
use tasker_types::{HANDLER_EVENTS, NAME_PATTERN, SYSTEM_EVENT_NAMESPACES};

use super::read::{ENVIRONMENT_KEYS, EVENT_KEYS, KnownKey, OVERRIDE_KEYS, STEP_KEYS, TEMPLATE_KEYS};

/// What `[namespace.]name[@requirement]` matches.
const HANDLER_PATTERN: &str = r"^([A-Za-z][A-Za-z0-9_-]{0,127}\.)?[A-Za-z][A-Za-z0-9_-]{0,127}(@.*[^\s].*)?$";

/// What semantic versions match, by the specification of them.
const VERSION_PATTERN: &str = r"^(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(-(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*)(\.(0|[1-9]\d*|\d*[a-zA-Z-][0-9a-zA-Z-]*))*)?(\+[0-9a-zA-Z-]+(\.[0-9a-zA-Z-]+)*)?$";

/// The longest timeout in seconds: what 64 bits hold, as a number with a fraction.
const LONGEST: u64 = 18_446_744_073_709_549_568;

/// Returns the JSON Schema of templates, in draft 7, which editors know best.
///
/// It refuses what the loader refuses about the shape of a template: unknown keys, two spellings of one key, wrong types,
/// values out of their bounds, what is missing. What needs to look at several steps, such as a dependency that names no
/// step, only the loader sees.
///
/// `handlers` are names of handlers with the schema of their `config`.
pub fn template_schema(handlers: &[(&str, Value)]) -> Value {
    let mut step = table(STEP_KEYS, step_key, &["name", "handler"]);
    let mut definitions = Map::new();
    let mut conditions = Vec::new();
    for (name, schema) in handlers {
        definitions.insert(format!("config_of_{name}"), schema.clone());
        conditions.push(configured(name));
    }
    if !conditions.is_empty() {
        add_conditions(&mut step, conditions);
    }
    definitions.insert("step".to_owned(), step);
    definitions.insert("event".to_owned(), table(EVENT_KEYS, event_key, &["name"]));
    definitions.insert(
        "override".to_owned(),
        table(OVERRIDE_KEYS, override_key, &["name"]),
    );
    definitions.insert(
        "environment".to_owned(),
        table(ENVIRONMENT_KEYS, environment_key, &[]),
    );
    let mut schema = Map::new();
    schema.insert(
        "$schema".to_owned(),
        "http://json-schema.org/draft-07/schema#".into(),
    );
    schema.insert("title".to_owned(), "Tasker template".into());
    schema.insert(
        "description".to_owned(),
        "A named, versioned graph of steps, one a file.".into(),
    );
    if let Value::Object(template) = table(TEMPLATE_KEYS, template_key, &["name", "steps"]) {
        schema.extend(template);
    }
    schema.insert("definitions".to_owned(), definitions.into());
    schema.into()
}

/// Returns the schema of a table of known keys, some of which must be there under one of their spellings.
fn table(known: &[KnownKey], describe: fn(&str) -> Value, required: &[&str]) -> Value {
    let mut properties = Map::new();
    let mut conditions = Vec::new();
    for (name, others) in known {
        let schema = describe(name);
        for other in *others {
            properties.insert((*other).to_owned(), older(&schema, name));
        }
        properties.insert((*name).to_owned(), schema);
        let spellings: Vec<&str> = std::iter::once(*name).chain(others.iter().copied()).collect();
        if spellings.len() > 1 {
            conditions.extend(spelled_once(&spellings, required.contains(name)));
        }
    }
    let alone = known
        .iter()
        .filter(|(name, others)| others.is_empty() && required.contains(name));
    let alone: Vec<&str> = alone.map(|(name, _)| *name).collect();
    let mut table = json!({
        "type": "object",
        "additionalProperties": false,
        "properties": properties,
    });
    if !alone.is_empty() {
        table["required"] = alone.into();
    }
    if !conditions.is_empty() {
        add_conditions(&mut table, conditions);
    }
    table
}

fn add_conditions(table: &mut Value, conditions: Vec<Value>) {
    match table.get_mut("allOf").and_then(Value::as_array_mut) {
        Some(all) => all.extend(conditions),
        None => table["allOf"] = conditions.into(),
    }
}

/// Returns what holds for a key with several spellings: no two of them, and one if the key is required.
fn spelled_once(spellings: &[&str], required: bool) -> Vec<Value> {
    let has = |spelling: &&str| json!({ "required": [spelling] });
    if required {
        return vec![json!({ "oneOf": spellings.iter().map(has).collect::<Vec<_>>() })];
    }
    let mut conditions = Vec::new();
    for (index, first) in spellings.iter().enumerate() {
        for second in spellings.iter().skip(index + 1) {
            conditions.push(json!({ "not": { "required": [first, second] } }));
        }
    }
    conditions
}

/// Returns the schema of an older spelling, which editors accept and do not offer.
fn older(schema: &Value, name: &str) -> Value {
    let mut schema = schema.clone();
    schema["description"] = format!("An older spelling of `{name}`.").into();
    schema["deprecated"] = true.into();
    schema["doNotSuggest"] = true.into();
    schema
}

/// Returns that a step of this handler has a configuration of its schema.
fn configured(handler: &str) -> Value {
    let named = |key: &str| {
        json!({
            "required": [key],
            "properties": { (key): { "type": "string", "pattern": format!("^{handler}(@.*)?$") } },
        })
    };
    let config = json!({ "$ref": format!("#/definitions/config_of_{handler}") });
    json!({
        "if": { "anyOf": [named("handler"), named("handler_class")] },
        "then": {
            "properties": { "config": config, "handler_config": config },
            "anyOf": [{ "required": ["config"] }, { "required": ["handler_config"] }],
        },
    })
}

fn template_key(name: &str) -> Value {
    match name {
        "namespace" => optional_name(
            "Who owns the template, and the handlers that its steps name; `default_system` if it is left out.",
        ),
        "name" => required_name("What the template is called in its namespace."),
        "version" => json!({
            "description": "A semantic version, such as 2.1.0; 0.1.0 if it is left out. In quotes if it has only one dot.",
            "type": ["string", "null"],
            "pattern": VERSION_PATTERN,
        }),
        "description" => text("What the template is for, for people."),
        "default_dependent_system" => optional_name(
            "The outside system that steps touch unless they name another: a label, for metrics.",
        ),
        "context_schema" => json!({
            "description": "What the context of a task must be, as JSON Schema 2020-12; its defaults are filled in and kept in the context.",
            "type": ["object", "null"],
        }),
        "result" => {
            optional_name("The step whose result is the task's; without it, those of the last steps by name.")
        }
        "steps" => json!({
            "description": "The steps; at least one.",
            "type": "array",
            "minItems": 1,
            "items": { "$ref": "#/definitions/step" },
        }),
        "environments" => json!({
            "description": "By name, what is different there. `TASKER_PROFILE` chooses one.",
            "type": ["object", "null"],
            "additionalProperties": { "$ref": "#/definitions/environment" },
        }),
        "named_steps" => json!({
            "description": "Only compared with the names of the steps; not needed.",
            "type": ["array", "null"],
            "items": { "type": "string" },
            "deprecated": true,
            "doNotSuggest": true,
        }),
        "task_handler_class" => json!({
            "description": "Means nothing here and is ignored.",
            "deprecated": true,
            "doNotSuggest": true,
        }),
        _ => json!({}),
    }
}

fn step_key(name: &str) -> Value {
    match name {
        "name" => required_name("What the step is called; unique in the template."),
        "description" => text("What the step does, for people."),
        "handler" => json!({
            "description": "The code that runs the step: `[namespace.]name[@requirement]`. Without a namespace the template's own is searched, then the built-in ones.",
            "type": "string",
            "pattern": HANDLER_PATTERN,
        }),
        "depends_on" => json!({
            "description": "The steps that must be done before this one starts; their results are its to read.",
            "anyOf": [
                { "type": "array", "items": { "type": "string", "pattern": NAME_PATTERN } },
                { "type": "string", "pattern": NAME_PATTERN },
                { "type": "null" },
            ],
        }),
        "dependent_system" => optional_name(
            "The outside system that the step touches; the template's default if it is left out.",
        ),
        "skippable" => json!({
            "description": "Whether a request may bypass the step.",
            "type": ["boolean", "null"],
            "default": false,
        }),
        "events" => json!({
            "description": "Events of its own that the step's handler may publish.",
            "type": ["array", "null"],
            "items": { "$ref": "#/definitions/event" },
        }),
        other => setting(
            other,
            "Handed to the handler, and checked by it when the template is loaded.",
        ),
    }
}

fn override_key(name: &str) -> Value {
    match name {
        "name" => required_name("Which step is different."),
        other => setting(other, "Merged over the step's configuration, key by key."),
    }
}

/// Returns the schema of what environments can change about a step.
fn setting(name: &str, config: &str) -> Value {
    match name {
        "config" => json!({ "description": config, "type": ["object", "null"] }),
        "retryable" => json!({
            "description": "With false the step has one attempt, and a crash after its start leaves the decision to a person.",
            "type": ["boolean", "null"],
            "default": true,
        }),
        "retry_limit" => json!({
            "description": "Attempts in all.",
            "type": ["integer", "null"],
            "minimum": 1,
            "maximum": u32::MAX,
            "default": 3,
        }),
        "timeout_seconds" => json!({
            "description": "Seconds from the start of the handler; then its work is stopped, and the attempt has failed. No limit if it is left out.",
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "maximum": LONGEST,
        }),
        _ => json!({}),
    }
}

fn event_key(name: &str) -> Value {
    match name {
        "name" => json!({
            "description": "What the event is called: `namespace.event`, in no namespace of the system.",
            "type": "string",
            "pattern": r"^[A-Za-z][A-Za-z0-9_-]*(\.[A-Za-z][A-Za-z0-9_-]*)+$",
            "maxLength": 128,
            "not": { "pattern": reserved_events() },
        }),
        "description" => text("What the event means, for people."),
        _ => json!({}),
    }
}

/// Returns what the events of the system match, in capitals and small letters.
fn reserved_events() -> String {
    let any_case = |text: &str| -> String {
        let letters = text.chars();
        letters
            .map(|c| match c {
                '.' => r"\.".to_owned(),
                c => format!("[{}{c}]", c.to_ascii_uppercase()),
            })
            .collect()
    };
    let namespaces: Vec<_> = SYSTEM_EVENT_NAMESPACES.into_iter().map(any_case).collect();
    let events: Vec<_> = HANDLER_EVENTS.into_iter().map(any_case).collect();
    format!(r"^(({})\..*|{})$", namespaces.join("|"), events.join("|"))
}

fn environment_key(name: &str) -> Value {
    match name {
        "steps" => json!({
            "description": "The steps that are different, and how.",
            "type": ["array", "null"],
            "items": { "$ref": "#/definitions/override" },
        }),
        _ => json!({}),
    }
}

fn text(description: &str) -> Value {
    json!({ "description": description, "type": ["string", "null"] })
}

fn required_name(description: &str) -> Value {
    json!({ "description": description, "type": "string", "pattern": NAME_PATTERN })
}

fn optional_name(description: &str) -> Value {
    json!({ "description": description, "type": ["string", "null"], "pattern": NAME_PATTERN })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_and_spelling_is_described() {
        let schema = template_schema(&[]);
        let tables = [
            (TEMPLATE_KEYS, &schema),
            (STEP_KEYS, &schema["definitions"]["step"]),
            (OVERRIDE_KEYS, &schema["definitions"]["override"]),
            (EVENT_KEYS, &schema["definitions"]["event"]),
            (ENVIRONMENT_KEYS, &schema["definitions"]["environment"]),
        ];
        for (known, table) in tables {
            for (name, others) in known {
                for spelling in std::iter::once(name).chain(*others) {
                    let schema = &table["properties"][*spelling];
                    assert!(schema["description"].is_string(), "{spelling}: {schema}");
                }
            }
        }
    }
}
