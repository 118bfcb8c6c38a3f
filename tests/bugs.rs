//! The seeded bugs: every number that is listed is in the sources, and every number in the sources is listed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// Returns the numbers that stand after a text.
fn numbers(text: &str, before: &str) -> Vec<u32> {
    let after = text
        .match_indices(before)
        .map(|(at, _)| &text[at + before.len()..]);
    after
        .filter_map(|rest| rest.split([')', ',']).next()?.parse().ok())
        .collect()
}

fn collect(directory: &Path, found: &mut Vec<u32>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.extend(numbers(&fs::read_to_string(&path).unwrap(), "tasker_types::bug("));
        }
    }
}

#[test]
fn every_seeded_bug_is_listed_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("src/bin/bugs/list.rs")).unwrap();
    let list: String = list.split_whitespace().collect();
    let listed = numbers(&list, "bug(");
    let once: BTreeSet<u32> = listed.iter().copied().collect();
    assert_eq!(once.len(), listed.len(), "a number is listed twice");
    let mut seeded = Vec::new();
    for package in ["tasker-engine", "tasker-store"] {
        collect(&root.join("../crates").join(package).join("src"), &mut seeded);
    }
    assert_eq!(once, seeded.into_iter().collect());
    assert!(once.len() >= 60, "there are {} seeded bugs", once.len());
}
