//! The JSON Schemas for editors say what the loaders say.

mod configuration;
mod templates;

use std::fs;
use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::{Value, json};

/// Values that stand for all types, and for what is at the edge of their bounds.
fn values() -> Vec<Value> {
    vec![
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(70),
        json!(200_000),
        json!(1_000_000_000_000_u64),
        json!(0.05),
        json!(1.5),
        json!(1e30),
        json!(""),
        json!("a"),
        json!("a b"),
        json!("1.2"),
        json!("1.2.3-rc.1+build"),
        json!("shop.pay@^1.2"),
        json!("full"),
        json!("debug"),
        json!([]),
        json!([1]),
        json!([-1]),
        json!(["a"]),
        json!([{ "name": "a" }]),
        json!([[]]),
        json!({}),
        json!({ "a": 1 }),
        json!({ "name": "a", "handler": "b" }),
    ]
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Reads a schema as it is committed.
fn schema(name: &str) -> Validator {
    let text = fs::read_to_string(root().join("docs/schemas").join(name)).unwrap();
    let schema: Value = serde_json::from_str(&text).unwrap();
    jsonschema::validator_for(&schema).unwrap()
}

/// Returns what a schema says against a document.
fn against(schema: &Validator, document: &Value) -> Vec<String> {
    let errors = schema.iter_errors(document);
    errors
        .map(|error| format!("{}: {error}", error.instance_path()))
        .collect()
}

/// Returns the files below a directory that end so.
fn files(directory: &Path, ending: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy();
        if name.starts_with('.') || name == "target" || name == "corpus" {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, ending));
        } else if name.ends_with(ending) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// Returns the code blocks of a language in all pages of the tree, with the pages.
fn blocks(language: &str) -> Vec<(PathBuf, String)> {
    let mut blocks = Vec::new();
    for page in files(&root(), ".md") {
        let text = fs::read_to_string(&page).unwrap();
        let mut rest = text.as_str();
        let begin = format!("```{language}\n");
        while let Some((_, after)) = rest.split_once(&begin) {
            let (block, after) = after.split_once("```").unwrap();
            blocks.push((page.clone(), block.to_owned()));
            rest = after;
        }
    }
    blocks
}
