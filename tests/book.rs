//! The pages of docs/ are true: each code block is loaded, compiled or run.
//!
//! What is done with a block follows from the words behind its fence:
//!
//! | words | then |
//! |---|---|
//! | `rust` | it is a test of the documentation; the page must be named in `tests/src/lib.rs` |
//! | `yaml` | it loads as a template |
//! | `yaml steps` | it loads as the steps of one |
//! | `toml` | it loads as a configuration |
//! | `yaml wrong`, `toml wrong` | it is refused |
//! | `yaml syntax`, `toml syntax`, `json` | it is read, as the file of another program |
//! | `console` | its commands run, and write what stands there |
//! | `console postgres` | they run on a PostgreSQL database of the page's own |
//! | `console terminal` | its command goes on beside those that follow |
//! | `sh` | it runs, and ends well |
//! | `mutants` | each line is about a file that is there; `cargo xtask mutants` tries them |
//!
//! A word with a dot is a file: the block is written there before the commands of the page are run.
//! A block that cannot be tested says `untested`, and is counted.

mod blocks;
mod console;
mod links;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use tasker::{Tasker, UnknownHandlers};
use tasker_config::Loader;
use tempfile::TempDir;

use blocks::Block;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("..")
        .canonicalize()
        .unwrap()
}

/// The pages of the book, and those that promise to be tested like them.
fn pages() -> Vec<PathBuf> {
    let mut pages = links::pages_of_the_summary();
    pages.push(root().join("crates/tasker-cli/README.md"));
    pages
}

fn blocks() -> Vec<Block> {
    pages().iter().flat_map(|page| blocks::of(page)).collect()
}

/// Writes a block into a directory of its own.
fn written(block: &Block, name: &str, text: &str) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(block.file().unwrap_or(name));
    std::fs::write(&path, text).unwrap();
    (directory, path)
}

/// Loads a template; says what is wrong with it.
fn load_template(block: &Block, text: &str) -> Result<(), String> {
    let (_directory, path) = written(block, "template.yaml", text);
    let tasker = Tasker::builder().memory().build().unwrap();
    match tasker.load(&path, UnknownHandlers::Warn) {
        Ok(_) => Ok(()),
        Err(faults) => Err(faults.to_string()),
    }
}

fn load_configuration(block: &Block) -> Result<(), String> {
    let (_directory, path) = written(block, "tasker.toml", &block.text);
    match Loader::new().file(path).load() {
        Ok(_) => Ok(()),
        Err(faults) => Err(faults.to_string()),
    }
}

/// Checks that a mutant, `crates/…: replace …`, is one of code that is there.
fn name_code(mutant: &str) -> Result<(), String> {
    let file = mutant.split_once(": ").map(|(file, _)| root().join(file));
    match file {
        Some(file) if file.is_file() => Ok(()),
        _ => Err(format!("{mutant}: there is no such file")),
    }
}

/// Checks what can be checked of a block by itself.
fn check(block: &Block) -> Result<(), String> {
    let words: Vec<&str> = block.words().filter(|word| !word.contains('.')).collect();
    let refused = |result: Result<(), String>| match result {
        Ok(()) => Err("it has no fault, though it says so".to_owned()),
        Err(_) => Ok(()),
    };
    match words.as_slice() {
        ["rust"] => links::is_tested_as_documentation(&block.page),
        ["yaml"] => load_template(block, &block.text),
        ["yaml", "steps"] => load_template(block, &format!("name: part\nsteps:\n{}", block.text)),
        ["yaml", "wrong"] => refused(load_template(block, &block.text)),
        ["toml"] => load_configuration(block),
        ["toml", "wrong"] => refused(load_configuration(block)),
        ["yaml", "syntax"] => serde_saphyr::from_str::<Option<serde_json::Value>>(&block.text)
            .map(drop)
            .map_err(|error| error.to_string()),
        ["toml", "syntax"] => toml::from_str::<toml::Table>(&block.text)
            .map(drop)
            .map_err(|error| error.to_string()),
        ["json"] => serde_json::from_str::<serde_json::Value>(&block.text)
            .map(drop)
            .map_err(|error| error.to_string()),
        ["mutants"] => block.text.lines().try_for_each(name_code),
        // These run with their page.
        ["console", rest @ ..] if rest.iter().all(|word| matches!(*word, "postgres" | "terminal")) => Ok(()),
        ["sh"] => Ok(()),
        // `cargo xtask codegen --check` compares the page with what it is written from.
        _ if block.is_generated => Ok(()),
        _ if words.contains(&"untested") => Ok(()),
        [] => Err(
            "put it between fences, with words that say how it is tested; tests/book.rs lists them"
                .to_owned(),
        ),
        words => Err(format!("nobody knows how to test `{}`", words.join(" "))),
    }
}

#[test]
fn every_block_is_what_it_says() {
    let faults: Vec<String> = blocks()
        .iter()
        .filter_map(|block| Some(format!("{block}: {}", check(block).err()?)))
        .collect();
    assert_eq!(faults, Vec::<String>::new(), "{}", faults.join("\n"));
}

#[test]
fn no_block_is_untested() {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    let mut untested = Vec::new();
    for block in blocks() {
        let kind = if block.is_generated {
            "generated"
        } else {
            block.words().next().unwrap_or_default()
        };
        *counts.entry(kind.to_owned()).or_default() += 1;
        if block.words().any(|word| word == "untested") {
            untested.push(block.to_string());
        }
    }
    assert_eq!(untested, Vec::<String>::new(), "of {counts:?}");
    // The guides show all kinds.
    for kind in ["rust", "yaml", "toml", "console"] {
        assert!(counts.contains_key(kind), "{counts:?}");
    }
}

#[test]
fn commands_write_what_stands_there() {
    let pages = pages();
    let faults: Vec<String> = std::thread::scope(|scope| {
        let runs: Vec<_> = pages
            .iter()
            .map(|page| scope.spawn(|| console::run(&blocks::of(page))))
            .collect();
        runs.into_iter().flat_map(|run| run.join().unwrap()).collect()
    });
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
