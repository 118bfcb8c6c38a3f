//! Every build takes the versions of `Cargo.lock`.

use std::fs;
use std::path::Path;

use super::{Violation, Workspace};
use crate::sources::{read, rust_files};

/// What cargo looks versions up for.
const RESOLVING: [&str; 11] = [
    "bench",
    "build",
    "check",
    "clippy",
    "doc",
    "install",
    "metadata",
    "nextest run",
    "run",
    "rustc",
    "test",
];

/// Where else commands stand than in the sources of the tasks.
const SCRIPTS: [&str; 3] = [".ci", ".github/workflows", ".cargo"];

const ADVICE: &str = "add `--locked`";

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for path in rust_files(&workspace.root.join("xtask/src"))? {
        let text = read(&path)?;
        let source = text.split("#[cfg(test)]").next().unwrap_or_default();
        for (line, command) in calls(source) {
            violations.extend(judge(&path, line, &command));
        }
        if !path.ends_with("run.rs")
            && let Some(line) = source
                .lines()
                .position(|line| line.contains(concat!("Command::new(\"", "cargo\")")))
        {
            let message = "cargo is started past `run::cargo`";
            violations.push(Violation::new(&path, message, "call `run::cargo`").at(line + 1));
        }
    }
    for directory in SCRIPTS {
        let directory = workspace.root.join(directory);
        if !directory.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&directory)? {
            let path = entry?.path();
            for (line, command) in commands(&read(&path)?) {
                violations.extend(judge(&path, line, command));
            }
        }
    }
    Ok(violations)
}

/// Tells what is wrong with a command of cargo, which begins with its subcommand.
fn judge(path: &Path, line: usize, command: &str) -> Option<Violation> {
    let mut words = command.split_whitespace();
    let first = words.next()?;
    let second = words.next().map(|second| format!("{first} {second}"));
    let resolves = RESOLVING.contains(&first) || second.is_some_and(|two| RESOLVING.contains(&two.as_str()));
    let is_locked = command.split_whitespace().any(|word| word == "--locked");
    (resolves && !is_locked).then(|| {
        let message = format!("`cargo {first}` may take other versions than those of Cargo.lock");
        Violation::new(path, message, ADVICE).at(line)
    })
}

/// Returns the arguments of each `cargo([...])` and `.args(["run", ...])` of a source, and the line where it begins.
fn calls(source: &str) -> Vec<(usize, String)> {
    let mut calls = Vec::new();
    for begin in ["cargo([", "cargo.args(["] {
        for (at, _) in source.match_indices(begin) {
            let rest = &source[at + begin.len()..];
            let list = rest.split_once(']').map_or(rest, |(list, _)| list);
            let words: Vec<&str> = list.split('"').skip(1).step_by(2).collect();
            let line = source[..at].lines().count().max(1);
            calls.push((line, words.join(" ")));
        }
    }
    calls
}

/// Returns the commands of cargo in a script, or in its table of aliases, without `cargo` itself.
fn commands(text: &str) -> Vec<(usize, &str)> {
    let mut commands = Vec::new();
    let mut in_aliases = false;
    for (index, line) in text.lines().enumerate() {
        if line.starts_with('[') {
            in_aliases = line == "[alias]";
        }
        let line = line.trim_start();
        if line.starts_with('#') {
            continue;
        }
        let alias = line.split_once(" = \"").filter(|_| in_aliases);
        let command = alias.or_else(|| line.split_once("cargo "));
        if let Some((_, command)) = command {
            commands.push((index + 1, command.trim_end_matches('"')));
        }
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdict(command: &str) -> Option<String> {
        judge(Path::new("a"), 1, command).map(|violation| violation.message)
    }

    #[test]
    fn a_build_without_the_lock_is_found() {
        assert!(verdict("build --release").is_some());
        assert!(verdict("nextest run --workspace").is_some());
        assert_eq!(verdict("build --locked --release"), None);
        assert_eq!(verdict("fmt --all"), None);
        assert_eq!(verdict("nextest --version"), None);
    }

    #[test]
    fn calls_are_read_over_several_lines() {
        let source = "fn a() {\n    cargo([\n        \"clippy\",\n        \"--locked\",\n    ])\n}\n";
        assert_eq!(calls(source), [(2, "clippy --locked".to_owned())]);
    }

    #[test]
    fn scripts_and_aliases_have_commands() {
        let script = "# cargo build\ncargo test --locked\n[alias]\nxtask = \"run --package xtask --\"\n[env]\nA = \"run\"\n";
        assert_eq!(
            commands(script),
            [(2, "test --locked"), (4, "run --package xtask --")]
        );
    }
}
