//! A file that no module names would never be compiled, and its tests would never run.

use std::fs;
use std::path::Path;

#[test]
fn every_file_here_is_a_module() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    check(here, &here.join("main.rs"));
}

/// Checks that a directory's files and directories are named by the file that stands for it.
fn check(directory: &Path, parent: &Path) {
    let text = fs::read_to_string(parent).unwrap();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        if path.extension().is_none_or(|extension| extension != "rs") || stem == "main" {
            continue;
        }
        assert!(
            text.contains(&format!("mod {stem};")),
            "{} does not name {}",
            parent.display(),
            path.display()
        );
        let inner = directory.join(stem);
        if inner.is_dir() {
            check(&inner, &path);
        }
    }
}
