//! What every crate says of itself: examples that are tested, and that need no other crate of ours.

use super::{Violation, Workspace};
use crate::sources::{Package, read};

/// What makes the examples of a README tests.
const README_IS_TESTED: &str = "include_str!(\"../README.md\")";

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        if package.name.starts_with("tasker") {
            check_package(package, &mut violations)?;
        }
    }
    Ok(violations)
}

fn check_package(package: &Package, violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    let file = package.directory.join("README.md");
    if !file.is_file() {
        violations.push(Violation::new(
            file,
            format!("{} has no README", package.name),
            "write one whose example needs no other crate of ours",
        ));
        return Ok(());
    }
    // The examples of a program are commands, which are tested with the pages of docs/.
    if !package.is_library() {
        return Ok(());
    }
    let library = package.directory.join("src/lib.rs");
    if !read(&library)?.contains(README_IS_TESTED) {
        violations.push(Violation::new(
            library,
            "the example of the README is not tested",
            "write `#![doc = include_str!(\"../README.md\")]`",
        ));
    }
    let text = read(&file)?;
    let lines: Vec<(usize, &str)> = example_lines(&text).collect();
    if lines.is_empty() {
        violations.push(Violation::new(
            &file,
            format!("the README of {} has no example", package.name),
            "write one in a block that begins with ```rust",
        ));
    }
    let own = package.name.replace('-', "_");
    for (number, line) in lines {
        for other in crates_of_ours(line).filter(|name| *name != own) {
            violations.push(
                Violation::new(
                    &file,
                    format!("the example needs `{other}`, too"),
                    format!(
                        "export what it needs from {}, so that the crate can be used alone",
                        package.name
                    ),
                )
                .at(number),
            );
        }
    }
    Ok(())
}

/// Returns the lines of the examples in Rust with their numbers, hidden ones too.
fn example_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut inside = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        match line.strip_prefix("```") {
            Some(_) if inside => inside = false,
            Some(language) => inside = language.split(',').next() == Some("rust"),
            None => return inside.then_some((index + 1, line)),
        }
        None
    })
}

/// Returns our crates that a line of Rust names in a path.
fn crates_of_ours(line: &str) -> impl Iterator<Item = &str> {
    let ends = line.match_indices("::").map(|(end, _)| end);
    ends.filter_map(|end| {
        let before = line.get(..end)?;
        let start = before
            .rfind(|c: char| !c.is_ascii_alphanumeric() && c != '_')
            .map_or(0, |at| at + 1);
        let is_path_inside = before.get(..start)?.ends_with("::");
        let name = before.get(start..)?;
        ((name == "tasker" || name.starts_with("tasker_")) && !is_path_inside).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_examples_in_rust_are_looked_at() {
        let text = "# a\n```rust\nuse tasker_a::B;\n```\n```text\nx\n```\n```rust,no_run\n# y\n```\n";
        assert_eq!(
            example_lines(text).collect::<Vec<_>>(),
            [(3, "use tasker_a::B;"), (9, "# y")]
        );
    }

    #[test]
    fn crates_are_found_at_the_beginning_of_paths() {
        let found = |line| crates_of_ours(line).collect::<Vec<_>>();
        assert_eq!(found("use tasker_engine::{Clock};"), ["tasker_engine"]);
        assert_eq!(
            found("# let x = <tasker::Json as A>::b(tasker_types::C);"),
            ["tasker", "tasker_types"]
        );
        assert_eq!(
            found("use tasker_store::engine::Clock; let tasker = Tasker::builder();"),
            ["tasker_store"]
        );
        assert_eq!(found("crate::tasker::run(); mytasker::x"), [""; 0]);
    }
}
