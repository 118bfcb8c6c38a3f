//! What the fuzzer starts from, and what it found, goes through the same functions as in the fuzzer.

#[path = "../fuzz/src/targets.rs"]
#[expect(
    unreachable_pub,
    reason = "the programs of the fuzzer are crates of their own"
)]
mod targets;

use std::collections::BTreeSet;
use std::fs;
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz")
}

fn names(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    let name = |entry: fs::DirEntry| entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
    entries.map(|entry| name(entry.unwrap())).collect()
}

#[test]
fn every_target_has_a_program_and_a_corpus() {
    let targets: BTreeSet<String> = targets::ALL.iter().map(|target| target.name.to_owned()).collect();
    assert_eq!(names(&root().join("corpus")), targets);
    assert_eq!(names(&root().join("fuzz_targets")), targets);
    let manifest = fs::read_to_string(root().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let programs = manifest["bin"].as_array().unwrap();
    let programs = programs
        .iter()
        .map(|bin| bin["name"].as_str().unwrap().to_owned());
    assert_eq!(programs.collect::<BTreeSet<_>>(), targets);
}

#[test]
fn nothing_in_the_corpora_goes_wrong() {
    for target in targets::ALL {
        let files = fs::read_dir(root().join("corpus").join(target.name)).unwrap();
        let files: Vec<PathBuf> = files.map(|entry| entry.unwrap().path()).collect();
        assert!(files.len() >= 3, "`{}` has {} files", target.name, files.len());
        let wrong: Vec<&PathBuf> = files
            .iter()
            .filter(|file| {
                let data = fs::read(file).unwrap();
                catch_unwind(|| (target.run)(&data)).is_err()
            })
            .collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
}
