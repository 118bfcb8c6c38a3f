//! What every package has, and what is said about dependencies.

use super::edges::names;
use super::{Violation, Workspace};
use crate::sources::{Package, read};

/// The table that takes the lints of the workspace over.
const LINTS: &str = "[lints]\nworkspace = true";
/// What refuses code that the compiler cannot check.
const FORBIDDEN: &str = "unsafe_code = \"forbid\"";
/// Where every dependency has its reason.
const REASONS: &str = "ARCHITECTURE.md";

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        check_package(package, &mut violations);
    }
    check_unsafe(workspace, &mut violations)?;
    check_dependencies(workspace, &mut violations)?;
    Ok(violations)
}

/// The lints that all packages take over, and those of the one outside of the workspace, have the compiler refuse `unsafe`,
/// which nothing below can permit again.
fn check_unsafe(workspace: &Workspace, violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    for file in ["Cargo.toml", "fuzz/Cargo.toml"] {
        let manifest = workspace.root.join(file);
        if !forbids_unsafe(&read(&manifest)?) {
            violations.push(Violation::new(
                manifest,
                "the compiler does not refuse `unsafe` code",
                format!("say `{FORBIDDEN}` among the lints"),
            ));
        }
    }
    Ok(())
}

fn forbids_unsafe(manifest: &str) -> bool {
    let mut table = "";
    manifest.lines().any(|line| {
        if line.starts_with('[') {
            table = line;
        }
        line == FORBIDDEN && (table == "[workspace.lints.rust]" || table == "[lints.rust]")
    })
}

fn check_package(package: &Package, violations: &mut Vec<Violation>) {
    if !package.manifest.contains(LINTS) {
        violations.push(Violation::new(
            package.directory.join("Cargo.toml"),
            "the lints of the workspace do not apply",
            "add `[lints]` with `workspace = true`",
        ));
    }
}

/// Every dependency is used, and named where its reason is.
fn check_dependencies(workspace: &Workspace, violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    let manifest = workspace.root.join("Cargo.toml");
    let reasons = workspace.root.join(REASONS);
    let text = if reasons.is_file() {
        read(&reasons)?
    } else {
        String::new()
    };
    for (line, name) in dependencies(&read(&manifest)?) {
        let mut violate = |message: String, advice| {
            violations.push(Violation::new(&manifest, message, advice).at(line));
        };
        if !workspace
            .packages
            .iter()
            .any(|package| names(&package.manifest, name))
        {
            violate(format!("no package uses `{name}`"), "leave it out");
        } else if !has_word(&text, name) {
            violate(
                format!("{REASONS} does not name `{name}`"),
                "say there what it is for, or leave it out",
            );
        }
    }
    Ok(())
}

/// Tells whether a text has a name as a whole word.
fn has_word(text: &str, name: &str) -> bool {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
        .any(|word| word == name)
}

/// Returns the dependencies of the workspace on others, and their lines.
fn dependencies(manifest: &str) -> Vec<(usize, &str)> {
    let mut inside = false;
    let mut names = Vec::new();
    for (index, line) in manifest.lines().enumerate() {
        if line.starts_with('[') {
            inside = line == "[workspace.dependencies]";
        } else if let Some((name, value)) = line.split_once(" = ")
            && inside
            && !value.contains("path = ")
        {
            names.push((index + 1, name));
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_whole_word() {
        assert!(has_word("| clap, clap_complete | arguments |", "clap_complete"));
        assert!(!has_word("| tokio-util | tokens |", "tokio"));
    }

    #[test]
    fn unsafe_code_is_forbidden_by_a_lint_alone() {
        assert!(forbids_unsafe("[lints.rust]\nunsafe_code = \"forbid\"\n"));
        assert!(!forbids_unsafe("[lints.rust]\nunsafe_code = \"warn\"\n"));
        assert!(!forbids_unsafe("[package.metadata]\nunsafe_code = \"forbid\"\n"));
    }

    #[test]
    fn only_dependencies_on_others_need_a_reason() {
        let manifest = "[workspace]\nmembers = []\n[workspace.dependencies]\nours = { path = \"a\" }\nserde = \"1\"\n\
                        \n[workspace.lints.rust]\nmissing_docs = \"warn\"\n";
        assert_eq!(dependencies(manifest), [(5, "serde")]);
    }
}
