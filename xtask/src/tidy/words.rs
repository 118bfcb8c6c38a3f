//! Words that are not written here.

use std::path::Path;

use super::modules::product;
use super::{Violation, Workspace};
use crate::sources::{read, rust_files};

/// A word, and what to write instead.
struct Word {
    text: &'static str,
    r#where: Where,
    advice: &'static str,
}

/// Tests that kill a process at a moment of their choice, and so must let real time pass until then.
const KILLERS: [&str; 2] = ["tests/kill.rs", "tests/examples.rs"];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Where {
    Anywhere,
    InTests,
    InTestsThatKillNoProcess,
}

const WORDS: &[Word] = &[
    Word {
        text: "todo!(",
        r#where: Where::Anywhere,
        advice: "write it, or leave it out",
    },
    Word {
        text: "unimplemented!(",
        r#where: Where::Anywhere,
        advice: "write it, or leave it out",
    },
    Word {
        text: "#[ignore",
        r#where: Where::InTests,
        advice: "a test runs, or it is not there",
    },
    Word {
        text: "#[allow(",
        r#where: Where::Anywhere,
        advice: "write `#[expect(…, reason = \"…\")]`, which says when it is no longer needed",
    },
    Word {
        text: "thread::sleep",
        r#where: Where::InTestsThatKillNoProcess,
        advice: "wait for what is to happen, or let time be virtual (tasker-testkit)",
    },
];

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    let files = workspace
        .packages
        .iter()
        .map(|package| rust_files(&package.directory));
    for file in files.collect::<anyhow::Result<Vec<_>>>()?.concat() {
        // The words are written in this file to say that they are not.
        if !file.ends_with(file!().trim_start_matches("xtask/")) {
            check_text(&file, &read(&file)?, is_test(workspace, &file), &mut violations);
        }
    }
    Ok(violations)
}

/// Tells whether a whole file is a test.
fn is_test(workspace: &Workspace, file: &Path) -> bool {
    let path = file.strip_prefix(&workspace.root).unwrap_or(file);
    path.components()
        .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")))
}

fn check_text(file: &Path, text: &str, is_test: bool, violations: &mut Vec<Violation>) {
    let product = if is_test { 0 } else { product(text).lines().count() };
    for (index, line) in text.lines().enumerate() {
        let line_is_test = index >= product;
        for word in WORDS {
            let applies = match word.r#where {
                Where::Anywhere => true,
                Where::InTests => line_is_test,
                Where::InTestsThatKillNoProcess => {
                    line_is_test && !KILLERS.iter().any(|path| file.ends_with(path))
                }
            };
            if applies && line.contains(word.text) && !line.trim_start().starts_with("//") {
                violations.push(
                    Violation::new(file, format!("`{}` is not written here", word.text), word.advice)
                        .at(index + 1),
                );
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, is_test: bool, lines: &[usize]) {
        check_file("a.rs", text, is_test, lines);
    }

    #[track_caller]
    fn check_file(file: &str, text: &str, is_test: bool, lines: &[usize]) {
        let mut violations = Vec::new();
        check_text(Path::new(file), text, is_test, &mut violations);
        assert_eq!(
            violations
                .iter()
                .map(|violation| violation.line)
                .collect::<Vec<_>>(),
            lines
        );
    }

    #[test]
    fn tests_do_not_sleep() {
        check(
            "thread::sleep(a);\n#[cfg(test)]\nmod tests {\n    thread::sleep(a);\n",
            false,
            &[4],
        );
        check("thread::sleep(a);\n", true, &[1]);
        check_file("tests/kill.rs", "thread::sleep(a);\n", true, &[]);
    }

    #[test]
    fn nothing_is_left_for_later() {
        check("fn a() {\n    todo!()\n}\n// todo!() is a word\n", false, &[2]);
    }
}
