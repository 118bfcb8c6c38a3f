//! `docs/schemas/tasker.schema.json` and the loader of the configuration.

use std::fs;

use serde_json::{Value, json};
use tasker_config::{FaultKind, Loader};

use super::{against, blocks, files, root, schema, values};

/// Returns what the loader says against a text, besides what compares values.
fn refused(text: &str) -> Vec<String> {
    let place = tempfile::tempdir().unwrap();
    let file = place.path().join("tasker.toml");
    fs::write(&file, text).unwrap();
    match Loader::new().file(file).load() {
        Ok(_) => Vec::new(),
        Err(faults) => {
            let compares =
                |kind: &FaultKind| matches!(kind, FaultKind::Constraint { others, .. } if !others.is_empty());
            let faults = faults.as_slice().iter();
            faults
                .filter(|fault| !compares(fault.kind()))
                .map(tasker_config::Fault::message)
                .collect()
        }
    }
}

/// Compares what both say about a value of a key.
#[track_caller]
fn agree(validator: &jsonschema::Validator, key: &str, value: &Value) {
    let document = key
        .rsplit('.')
        .fold(value.clone(), |value, part| json!({ (part): value }));
    let text = toml::to_string(&document).unwrap();
    let (loader, schema) = (refused(&text), against(validator, &document));
    assert_eq!(
        loader.is_empty(),
        schema.is_empty(),
        "{text}\nthe loader says {loader:?}\nthe schema says {schema:?}"
    );
}

#[test]
fn the_schema_and_the_loader_agree_about_every_key() {
    let validator = schema("tasker.schema.json");
    for section in tasker_config::reference() {
        for key in &section.keys {
            let key = format!("{}.{}", section.name, key.name);
            for value in values() {
                agree(&validator, &key, &value);
            }
        }
        let names = [
            section.name.to_owned(),
            format!("{}.{}s", section.name, section.keys[0].name),
            format!("profiles.test.{}.{}", section.name, section.keys[0].name),
            format!("profiles.{}.{}s", section.name, section.name),
        ];
        for name in names {
            for value in values() {
                agree(&validator, &name, &value);
            }
        }
    }
    for name in ["profile", "profiles", "profiles.test", "x"] {
        for value in values() {
            agree(&validator, name, &value);
        }
    }
}

#[test]
fn the_schema_and_the_loader_agree_at_every_bound() {
    let validator = schema("tasker.schema.json");
    for section in tasker_config::reference() {
        for key in &section.keys {
            let bounds = key.bounds;
            let edges = [bounds.minimum(), bounds.exclusive_minimum(), bounds.maximum()];
            for edge in edges.into_iter().flatten() {
                for number in [edge - 1.0, edge - 0.001, edge, edge + 0.001, edge + 1.0] {
                    let number = match number as i64 {
                        whole if whole as f64 == number => json!(whole),
                        _ => json!(number),
                    };
                    let key = format!("{}.{}", section.name, key.name);
                    agree(&validator, &key, &number);
                    agree(&validator, &key, &json!([number]));
                }
            }
        }
    }
}

#[test]
fn the_schema_takes_every_configuration_in_the_tree() {
    let validator = schema("tasker.schema.json");
    let configurations = files(&root().join("docs"), "tasker.toml");
    let texts = configurations.into_iter().map(|path| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    });
    let mut seen = 0;
    for (path, text) in texts.chain(blocks("toml")) {
        let document: Value = toml::from_str(&text).unwrap();
        // Cargo's own files are TOML, too.
        if ["package", "dependencies", "workspace", "lib"]
            .iter()
            .any(|key| document.get(key).is_some())
        {
            continue;
        }
        seen += 1;
        assert_eq!(against(&validator, &document), [""; 0], "{}", path.display());
        assert_eq!(refused(&text), [""; 0], "{}", path.display());
    }
    assert!(seen >= 2);
}

#[test]
fn the_schema_explains_every_key_with_its_default() {
    let text = fs::read_to_string(root().join("docs/schemas/tasker.schema.json")).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    for section in tasker_config::reference() {
        for key in &section.keys {
            let path = key.name.replace('.', "/properties/");
            let pointer = format!("/definitions/{}/properties/{path}", section.name);
            let described = schema.pointer(&pointer).unwrap_or_else(|| panic!("{pointer}"));
            assert!(
                !described["description"].as_str().unwrap().is_empty(),
                "{pointer}"
            );
            assert_eq!(
                described.get("default").is_some(),
                key.default.is_some(),
                "{pointer}"
            );
        }
    }
}
