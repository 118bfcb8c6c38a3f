//! `docs/schemas/template.schema.json` and the loader of templates.

use std::fs;

use jsonschema::Validator;
use serde_json::{Value, json};
use tasker_engine::{LoadOptions, Template};
use tasker_types::Limits;

use super::{against, blocks, files, root, schema, values};

/// Codes of faults that are about the shape of a template, which a schema can see.
const SHAPE: [&str; 12] = [
    "unknown_key",
    "two_spellings",
    "wrong_type",
    "missing_name",
    "missing_handler",
    "no_steps",
    "bad_name",
    "bad_version",
    "bad_handler",
    "bad_retry_limit",
    "bad_timeout",
    "bad_event",
];

/// Codes of faults for which one has to look at several places, or to know more than JSON Schema.
const MEANING: [&str; 5] = [
    "unknown_step",
    "cycle",
    "duplicate_step",
    "named_steps",
    "bad_schema",
];

/// Returns the faults that the loader finds: those of shape, and those of meaning.
fn refused(document: &Value) -> (Vec<String>, Vec<String>) {
    let limits = Limits::default();
    match Template::parse(&document.to_string(), &LoadOptions::new(&limits)) {
        Ok(_) => (Vec::new(), Vec::new()),
        Err(faults) => {
            let (shape, meaning): (Vec<_>, Vec<_>) = faults
                .as_slice()
                .iter()
                .partition(|fault| SHAPE.contains(&fault.code));
            let unknown = meaning.iter().find(|fault| !MEANING.contains(&fault.code));
            assert!(unknown.is_none(), "{unknown:?}");
            let messages = |faults: Vec<&tasker_engine::TemplateFault>| {
                faults.iter().map(|fault| fault.message.clone()).collect()
            };
            (messages(shape), messages(meaning))
        }
    }
}

/// Checks that the schema refuses what the loader refuses by its shape, and nothing that the loader takes.
#[track_caller]
fn agree(validator: &Validator, document: &Value) {
    let (shape, meaning) = refused(document);
    let schema = against(validator, document);
    let agreed = if schema.is_empty() {
        shape.is_empty()
    } else {
        !(shape.is_empty() && meaning.is_empty())
    };
    assert!(
        agreed,
        "{document}\nthe loader says {shape:?} and {meaning:?}\nthe schema says {schema:?}"
    );
}

/// A template with every key.
fn whole() -> Value {
    json!({
        "namespace": "payments",
        "name": "process_refund",
        "version": "2.1.0",
        "description": "Pays money back.",
        "default_dependent_system": "gateway",
        "context_schema": { "type": "object" },
        "result": "pay",
        "named_steps": ["validate", "pay"],
        "task_handler_class": "Refund",
        "steps": [
            {
                "name": "validate",
                "description": "Looks at it.",
                "handler": "validate",
                "config": { "strict": true },
                "timeout_seconds": 2.5,
                "events": [{ "name": "refund.checked", "description": "It was checked." }],
            },
            {
                "name": "pay",
                "handler": "payments.pay@^2.1",
                "depends_on": ["validate"],
                "dependent_system": "bank",
                "retryable": true,
                "retry_limit": 4,
                "skippable": true,
            },
        ],
        "environments": {
            "production": {
                "steps": [{ "name": "validate", "config": {}, "retryable": true, "retry_limit": 9, "timeout_seconds": 4 }],
            },
        },
    })
}

/// The same in the original's spellings.
fn original() -> Value {
    json!({
        "namespace_name": "payments",
        "name": "process_refund",
        "schema": { "type": "object" },
        "named_steps": ["validate", "pay"],
        "task_handler_class": "Refund",
        "step_templates": [
            {
                "name": "validate",
                "handler_class": "validate",
                "handler_config": { "strict": true },
                "custom_events": [{ "name": "refund.checked" }],
            },
            {
                "name": "pay",
                "handler_class": "pay",
                "depends_on_step": "validate",
                "default_retryable": true,
                "default_retry_limit": 4,
            },
            { "name": "tell", "handler_class": "tell", "depends_on_steps": ["validate", "pay"] },
        ],
        "environments": {
            "production": {
                "step_templates": [
                    { "name": "validate", "handler_config": {}, "default_retryable": true, "default_retry_limit": 9 },
                ],
            },
        },
    })
}

/// Returns the place of every value in a document.
fn pointers(document: &Value, place: &str, found: &mut Vec<String>) {
    found.push(place.to_owned());
    match document {
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                pointers(item, &format!("{place}/{index}"), found);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                pointers(value, &format!("{place}/{name}"), found);
            }
        }
        _ => {}
    }
}

/// Returns the document with each of its values changed, taken away or under another name, one at a time.
fn changed(document: &Value) -> Vec<Value> {
    let mut places = Vec::new();
    pointers(document, "", &mut places);
    let mut all = Vec::new();
    for place in &places {
        for value in values().into_iter().chain([Value::Null]) {
            let mut copy = document.clone();
            *copy.pointer_mut(place).unwrap() = value;
            all.push(copy);
        }
        let Some((table, key)) = place.rsplit_once('/') else {
            continue;
        };
        for other in [
            "",
            "name",
            "handler",
            "steps",
            "retry_limit",
            "depends_on",
            "zebra",
        ] {
            let mut copy = document.clone();
            let Some(Value::Object(fields)) = copy.pointer_mut(table) else {
                continue;
            };
            let value = fields.remove(key).unwrap();
            if !other.is_empty() && !fields.contains_key(other) {
                fields.insert(other.to_owned(), value);
            }
            all.push(copy);
        }
    }
    all
}

#[test]
fn the_schema_and_the_loader_agree_about_every_change_of_a_template() {
    let validator = schema("template.schema.json");
    for document in [whole(), original()] {
        let shape = refused(&document).0;
        assert_eq!(shape, [""; 0]);
        let changed = changed(&document);
        assert!(changed.len() > 1_000);
        for document in changed {
            agree(&validator, &document);
        }
    }
}

#[test]
fn both_know_two_spellings_of_one_key() {
    let validator = schema("template.schema.json");
    let step = json!({ "name": "a", "handler": "b" });
    for (first, second) in [
        ("namespace", "namespace_name"),
        ("context_schema", "schema"),
        ("steps", "step_templates"),
    ] {
        let mut document = json!({ "name": "x", "steps": [step] });
        document[first] = whole()[first].clone();
        document[second] = document[first].clone();
        let (shape, _) = refused(&document);
        assert!(shape.iter().any(|fault| fault.contains("has both")), "{shape:?}");
        agree(&validator, &document);
    }
    for (first, second, value) in [
        ("handler", "handler_class", json!("b")),
        ("config", "handler_config", json!({})),
        ("depends_on", "depends_on_step", json!([])),
        ("depends_on_steps", "depends_on_step", json!([])),
        ("retryable", "default_retryable", json!(true)),
        ("retry_limit", "default_retry_limit", json!(2)),
        ("events", "custom_events", json!([])),
    ] {
        let mut step = step.clone();
        step[first] = value.clone();
        step[second] = value;
        agree(&validator, &json!({ "name": "x", "steps": [step] }));
    }
}

#[test]
fn both_know_the_names_of_events() {
    let validator = schema("template.schema.json");
    for (name, good) in [
        ("refund.checked", true),
        ("refund.checked.twice", true),
        ("refund", false),
        ("refund.", false),
        ("Task.done", false),
        ("tasks.done", true),
        ("handler.removed", false),
        ("handler.removed2", true),
    ] {
        let step = json!({ "name": "a", "handler": "b", "events": [{ "name": name }] });
        let document = json!({ "name": "x", "steps": [step] });
        assert_eq!(refused(&document).0.is_empty(), good, "{name}");
        agree(&validator, &document);
    }
}

#[test]
fn the_schema_takes_every_template_in_the_tree() {
    let validator = schema("template.schema.json");
    let texts = files(&root(), ".yaml").into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        // What `tasker new` fills in.
        (path, text.replace("@YAML_NAME@", "x"))
    });
    let mut seen = 0;
    for (path, text) in texts.chain(blocks("yaml")) {
        let document: Value = serde_saphyr::from_str(&text).unwrap();
        seen += 1;
        assert_eq!(against(&validator, &document), [""; 0], "{}", path.display());
        assert_eq!(refused(&document), (Vec::new(), Vec::new()), "{}", path.display());
    }
    assert!(seen >= 4);
}

#[test]
fn every_example_says_which_schema_it_has() {
    for path in files(&root().join("docs"), ".yaml") {
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().next().unwrap();
        let schema = line.strip_prefix("# yaml-language-server: $schema=").unwrap();
        let schema = path.parent().unwrap().join(schema).canonicalize().unwrap();
        assert!(
            schema.ends_with("docs/schemas/template.schema.json"),
            "{}",
            path.display()
        );
    }
}

#[track_caller]
fn configured(handler: &str, config: &Value, expected: &[&str]) {
    let validator = schema("template.schema.json");
    let step = json!({ "name": "a", "handler": handler, "config": config });
    assert_eq!(
        against(&validator, &json!({ "name": "x", "steps": [step] })),
        expected
    );
}

#[test]
fn the_configuration_of_built_in_handlers_is_checked() {
    configured(
        "command",
        &json!({ "program": "ls", "args": ["-l"], "env": { "A": "b" }, "cwd": "/" }),
        &[],
    );
    configured(
        "command",
        &json!({ "progam": "ls" }),
        &[
            "/steps/0/config: Additional properties are not allowed ('progam' was unexpected)",
            "/steps/0/config: \"program\" is a required property",
        ],
    );
    configured(
        "command@^0.1",
        &json!({ "program": "" }),
        &["/steps/0/config/program: \"\" is shorter than 1 character"],
    );
    configured("sleep", &json!({ "seconds": 1.5 }), &[]);
    configured(
        "sleep",
        &json!({ "seconds": -1 }),
        &["/steps/0/config/seconds: -1 is less than the minimum of 0"],
    );
    // A handler of a namespace is not the built-in one.
    configured("shop.command", &json!({ "anything": 1 }), &[]);
}
