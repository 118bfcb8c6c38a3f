//! `cargo xtask mutants`: changes the pure code a little, and sees whether a test notices.
//!
//! cargo-mutants does the work. All of it takes hours, so a run does one shard of many. What survives must be explained on
//! the page of mutants, and what is explained there must survive.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context as _, ensure};

use crate::counts;
use crate::run::{cargo, ensure_tool, root};

/// Crates whose whole code is pure.
const PACKAGES: [&str; 2] = ["tasker-types", "tasker-graph"];

/// The pure modules of the engine.
const MODULES: [&str; 4] = [
    "crates/tasker-engine/src/backoff.rs",
    "crates/tasker-engine/src/finalizer.rs",
    "crates/tasker-engine/src/transition.rs",
    "crates/tasker-engine/src/verify/*.rs",
];

/// No build but that of `cargo xtask bugs` does anything in there.
const EXCLUDED: &str = "crates/tasker-types/src/bug.rs";

/// Where survivors are explained.
const PAGE: &str = "docs/mutants.md";

/// Where cargo-mutants writes what became of them, below the root.
const OUTPUT: &str = "target";

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main(shard: &str, write: bool) -> anyhow::Result<ExitCode> {
    ensure_tool("mutants", None)?;
    let page = std::fs::read_to_string(root().join(PAGE)).with_context(|| format!("cannot read {PAGE}"))?;
    let found = Found::run(shard)?;
    let verdict = found.judge(&explained(&page));
    for mutant in &verdict.unexplained {
        println!("survives, and {PAGE} does not say why: {mutant}");
    }
    for mutant in &verdict.outdated {
        println!("is found, though {PAGE} explains why it survives: {mutant}");
    }
    let counts = format!(
        "{} mutants, {} found, {} build nothing, {} survive, {} of them unexplained",
        found.caught.len() + found.missed.len() + found.unviable.len(),
        found.caught.len(),
        found.unviable.len(),
        found.missed.len(),
        verdict.unexplained.len(),
    );
    println!("{counts}");
    if !verdict.unexplained.is_empty() || !verdict.outdated.is_empty() {
        return Ok(ExitCode::FAILURE);
    }
    if write {
        counts::note(&format!("cargo xtask mutants --shard {shard}"), &counts)?;
    }
    Ok(ExitCode::SUCCESS)
}

/// What became of the mutants of a shard.
#[derive(Debug, Default)]
struct Found {
    /// A test failed, or did not end.
    caught: Vec<String>,
    /// All tests passed.
    missed: Vec<String>,
    /// The compiler refused it.
    unviable: Vec<String>,
    /// All that there are, of this shard and of others.
    all: Vec<String>,
}

/// What the page lacks, and what it has without need.
#[derive(Debug, Default, PartialEq, Eq)]
struct Verdict<'f> {
    unexplained: Vec<&'f str>,
    outdated: Vec<&'f str>,
}

impl Found {
    /// Has cargo-mutants try a shard.
    fn run(shard: &str) -> anyhow::Result<Self> {
        let listed = of_pure_code(&["--list"]).output();
        let listed = listed.context("cannot start cargo-mutants")?;
        ensure!(
            listed.status.success(),
            "cargo-mutants does not tell which mutants there are"
        );
        let mut mutants = of_pure_code(&["--shard", shard, "--output", OUTPUT]);
        // What the documentation shows is compiled anew for each mutant, and finds nothing that the tests do not.
        mutants.args([
            "--profile",
            "mutants",
            "--cargo-arg",
            "--locked",
            "--cargo-test-arg",
            "--tests",
        ]);
        let code = mutants.status().context("cannot start cargo-mutants")?.code();
        // 2: some survive; 3: the tests of some do not end. Others: it could not try them.
        ensure!(
            matches!(code, Some(0 | 2 | 3)),
            "cargo-mutants did not try shard {shard}; it says why above, and in {OUTPUT}/mutants.out/log"
        );
        let output = root().join(OUTPUT).join("mutants.out");
        let mut caught = lines(&output.join("caught.txt"))?;
        caught.extend(lines(&output.join("timeout.txt"))?);
        Ok(Self {
            caught,
            missed: lines(&output.join("missed.txt"))?,
            unviable: lines(&output.join("unviable.txt"))?,
            all: without_places(&String::from_utf8_lossy(&listed.stdout)),
        })
    }

    /// Compares it with what is explained. Mutants of other shards are no matter, and may be called like some of this one.
    fn judge(&self, explained: &BTreeSet<&str>) -> Verdict<'_> {
        let missed: BTreeSet<&str> = self.missed.iter().map(String::as_str).collect();
        let count = |of: &[String], mutant: &str| of.iter().filter(|other| *other == mutant).count();
        let is_outdated = |mutant: &&str| {
            explained.contains(mutant) && count(&self.caught, mutant) == count(&self.all, mutant)
        };
        Verdict {
            unexplained: missed
                .iter()
                .copied()
                .filter(|mutant| !explained.contains(mutant))
                .collect(),
            outdated: self
                .caught
                .iter()
                .map(String::as_str)
                .filter(is_outdated)
                .collect(),
        }
    }
}

/// Returns a run of cargo-mutants over the pure code.
fn of_pure_code(arguments: &[&str]) -> Command {
    let mut mutants = cargo(["mutants"]);
    mutants.args(arguments);
    for package in PACKAGES {
        mutants.args(["--file", &format!("crates/{package}/src/**/*.rs")]);
    }
    for module in MODULES {
        mutants.args(["--file", module]);
    }
    mutants.args(["--exclude", EXCLUDED]);
    mutants
}

/// Reads mutants from a file.
fn lines(path: &Path) -> anyhow::Result<Vec<String>> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    Ok(without_places(&text))
}

/// Returns mutants, one a line, without their places, which change with each line above them.
fn without_places(text: &str) -> Vec<String> {
    text.lines().map(without_place).collect()
}

/// Returns `crates/a/src/b.rs: replace …` for `crates/a/src/b.rs:12:5: replace …`.
fn without_place(mutant: &str) -> String {
    let mut parts = mutant.splitn(4, ':');
    match (parts.next(), parts.next(), parts.next(), parts.next()) {
        (Some(file), Some(_line), Some(_column), Some(change)) => format!("{file}:{change}"),
        _ => mutant.to_owned(),
    }
}

/// Returns the mutants in the blocks of the page.
fn explained(page: &str) -> BTreeSet<&str> {
    let is_mutant = |line: &&str| line.starts_with("crates/") && line.contains(": ");
    page.lines().filter(is_mutant).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn survivors_are_held_against_the_page() {
        let to = |number: u32| format!("crates/a/src/b.rs: replace x with {number}");
        let found = Found {
            caught: [1, 4].map(to).into(),
            missed: [2, 3].map(to).into(),
            unviable: Vec::new(),
            // One that is found here and one of another shard have the same name.
            all: [1, 2, 3, 4, 4, 5].map(to).into(),
        };
        let page = "Because.\n\n```text\ncrates/a/src/b.rs: replace x with 1\n\
                    crates/a/src/b.rs: replace x with 2\ncrates/a/src/b.rs: replace x with 4\n\
                    crates/other.rs: replace y with 0\n```\n";
        let verdict = Verdict {
            unexplained: vec!["crates/a/src/b.rs: replace x with 3"],
            outdated: vec!["crates/a/src/b.rs: replace x with 1"],
        };
        assert_eq!(found.judge(&explained(page)), verdict);
    }

    #[test]
    fn a_place_is_left_out() {
        let mutant = "crates/a/src/b.rs:12:5: replace a::b -> bool with true";
        assert_eq!(
            without_place(mutant),
            "crates/a/src/b.rs: replace a::b -> bool with true"
        );
    }
}
