//! Files that are never compiled, tests that are linked more than once, and a vocabulary that grows too large.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Violation, Workspace};
use crate::sources::{Package, read, rust_files};

/// How many lines the vocabulary may have without its tests.
const VOCABULARY: usize = 2_700;

pub(super) fn check(workspace: &Workspace) -> anyhow::Result<Vec<Violation>> {
    let mut violations = Vec::new();
    for package in &workspace.packages {
        check_files(package, &mut violations)?;
        if package.name == "tasker-types" {
            check_size(package, &mut violations)?;
        }
    }
    Ok(violations)
}

fn check_files(package: &Package, violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    let tests = test_programs(package)?;
    if let [_, others @ ..] = tests.as_slice() {
        for other in others {
            violations.push(Violation::new(
                other,
                format!("{} has more than one program of tests", package.name),
                "every program is linked: make it a module of the other one",
            ));
        }
    }
    let mut programs = tests;
    let source = package.directory.join("src");
    programs.extend(
        ["lib.rs", "main.rs"]
            .map(|name| source.join(name))
            .into_iter()
            .filter(|path| path.is_file()),
    );
    programs.extend(programs_in(&source.join("bin"))?);
    programs.extend(programs_in(&package.directory.join("benches"))?);
    programs.extend(programs_in(&package.directory.join("examples"))?);
    programs.extend(Some(package.directory.join("build.rs")).filter(|path| path.is_file()));
    let mut compiled = BTreeSet::new();
    for program in &programs {
        let directory = program.parent().map(Path::to_owned).unwrap_or_default();
        collect(program, &directory, &mut compiled)?;
    }
    for file in rust_files(&package.directory)? {
        if !compiled.contains(&file) {
            violations.push(Violation::new(
                file,
                "no module names this file, so it is never compiled",
                "name it with `mod`, or remove it",
            ));
        }
    }
    Ok(())
}

/// Returns the programs that cargo makes of the tests of a package.
fn test_programs(package: &Package) -> anyhow::Result<Vec<PathBuf>> {
    let named = package.directory.join("main.rs");
    if named.is_file() {
        return Ok(vec![named]);
    }
    programs_in(&package.directory.join("tests"))
}

/// Returns the programs that cargo finds in a directory: its files, and `main.rs` of its directories.
fn programs_in(directory: &Path) -> anyhow::Result<Vec<PathBuf>> {
    let mut programs = Vec::new();
    if directory.is_dir() {
        for entry in fs::read_dir(directory)? {
            let path = entry?.path();
            let main = path.join("main.rs");
            if path.extension().is_some_and(|extension| extension == "rs") {
                programs.push(path);
            } else if main.is_file() {
                programs.push(main);
            }
        }
    }
    programs.sort();
    Ok(programs)
}

/// Collects a file and those of its modules, which lie in a directory.
fn collect(file: &Path, directory: &Path, compiled: &mut BTreeSet<PathBuf>) -> anyhow::Result<()> {
    if !compiled.insert(file.to_owned()) {
        return Ok(());
    }
    for module in modules(&read(file)?) {
        let inner = directory.join(&module);
        let named = directory.join(format!("{module}.rs"));
        let within = inner.join("mod.rs");
        if let Some(found) = [named, within].into_iter().find(|path| path.is_file()) {
            collect(&found, &inner, compiled)?;
        }
    }
    Ok(())
}

/// Returns the modules that a file names and does not contain.
fn modules(text: &str) -> Vec<String> {
    let named = |line: &str| {
        let line = line.trim().strip_suffix(';')?;
        let (before, name) = line.rsplit_once("mod ")?;
        let visibility = before.trim();
        (visibility.is_empty() || visibility.starts_with("pub")).then(|| name.trim().to_owned())
    };
    text.lines().filter_map(named).collect()
}

/// The vocabulary stays one that a person can know.
fn check_size(package: &Package, violations: &mut Vec<Violation>) -> anyhow::Result<()> {
    let mut lines = 0;
    for file in rust_files(&package.directory.join("src"))? {
        let is_test = file
            .components()
            .any(|part| matches!(part.as_os_str().to_str(), Some("tests" | "tests.rs")));
        if !is_test {
            lines += product(&read(&file)?).lines().count();
        }
    }
    if lines > VOCABULARY {
        violations.push(Violation::new(
            package.directory.join("src"),
            format!(
                "{} has {lines} lines without tests, more than {VOCABULARY}",
                package.name
            ),
            "put what only one crate uses into that crate",
        ));
    }
    Ok(())
}

/// Returns a file without the tests at its end.
pub(super) fn product(text: &str) -> &str {
    text.find("#[cfg(test)]\nmod ")
        .map_or(text, |tests| text.get(..tests).unwrap_or(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modules_are_found_by_their_declarations() {
        let text = "mod a;\npub mod b;\npub(crate) mod c;\n    mod d;\nmod e {\n// mod f;\nuse x::mod_g;\n";
        assert_eq!(modules(text), ["a", "b", "c", "d"]);
    }

    #[test]
    fn tests_at_the_end_are_no_product() {
        assert_eq!(product("fn a() {}\n#[cfg(test)]\nmod tests {}\n"), "fn a() {}\n");
        assert_eq!(product("#[cfg(test)]\nuse x;\n"), "#[cfg(test)]\nuse x;\n");
    }
}
