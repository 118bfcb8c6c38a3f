//! The test vectors for the analysis of graphs.

use serde_json::Value;
use tasker_graph::{GraphWeights, TaskDocument, analyze};

const VECTORS: &str = include_str!("../../../../tests/golden/graph.jsonl");

/// Returns the first place where what is expected did not come out. Keys that are not expected are not compared.
fn difference(expected: &Value, found: &Value, place: &str) -> Option<String> {
    match (expected, found) {
        (Value::Object(expected), Value::Object(found)) => expected.iter().find_map(|(key, expected)| {
            let found = found.get(key).unwrap_or(&Value::Null);
            difference(expected, found, &format!("{place}.{key}"))
        }),
        (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
            let pairs = expected.iter().zip(found).enumerate();
            pairs
                .map(|(index, (expected, found))| difference(expected, found, &format!("{place}[{index}]")))
                .find_map(|difference| difference)
        }
        (Value::Number(left), Value::Number(right)) if equal(left, right) => None,
        _ if expected == found => None,
        _ => Some(format!("{place} is {found}, but {expected} is expected")),
    }
}

/// Compares numbers up to the last digits, in which the reader of JSON may be off.
fn equal(left: &serde_json::Number, right: &serde_json::Number) -> bool {
    match (left.as_f64(), right.as_f64()) {
        (Some(left), Some(right)) => (left - right).abs() <= 1e-14 * left.abs().max(right.abs()),
        _ => false,
    }
}

#[test]
fn the_graph_vectors_hold() {
    let mut count = 0;
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let document: TaskDocument = serde_json::from_value(vector["input"].clone()).unwrap();
        let values: tasker_graph::DependencyGraphValues =
            serde_json::from_value(vector["config"].clone()).unwrap();
        let weights = GraphWeights::try_from(values).unwrap();
        let analysis = analyze(&document.facts, &document.edges, &weights).unwrap();
        let found = serde_json::to_value(&analysis).unwrap();
        assert_eq!(
            difference(&vector["expected"], &found, ""),
            None,
            "{}",
            vector["id"]
        );
        count += 1;
    }
    assert!(count > 0, "there are vectors");
}
