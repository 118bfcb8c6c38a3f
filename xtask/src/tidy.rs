//! `cargo xtask tidy`: the rules that no compiler checks.

mod edges;
mod locked;
mod manifests;
mod modules;
mod readmes;
mod words;

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use crate::run::root;
use crate::sources::{Package, packages};

/// The workspace as the rules look at it.
#[derive(Debug)]
struct Workspace {
    root: PathBuf,
    packages: Vec<Package>,
}

/// A rule that is broken, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Violation {
    file: PathBuf,
    /// From 1; 0 where the whole file is meant.
    line: usize,
    message: String,
    advice: String,
}

impl Violation {
    fn new(file: impl Into<PathBuf>, message: impl Into<String>, advice: impl Into<String>) -> Self {
        Self {
            file: file.into(),
            line: 0,
            message: message.into(),
            advice: advice.into(),
        }
    }

    fn at(mut self, line: usize) -> Self {
        self.line = line;
        self
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if self.line > 0 {
            write!(f, ":{}", self.line)?;
        }
        write!(f, ": {}\n    {}", self.message, self.advice)
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let root = root();
    let workspace = Workspace {
        packages: packages(&root)?,
        root,
    };
    let mut violations = edges::check(&workspace)?;
    violations.extend(locked::check(&workspace)?);
    violations.extend(manifests::check(&workspace)?);
    violations.extend(modules::check(&workspace)?);
    violations.extend(readmes::check(&workspace)?);
    violations.extend(words::check(&workspace)?);
    for violation in &violations {
        let file = violation.file.strip_prefix(&workspace.root).map(Path::to_owned);
        let file = file.unwrap_or_else(|_| violation.file.clone());
        println!(
            "{}",
            Violation {
                file,
                ..violation.clone()
            }
        );
    }
    if violations.is_empty() {
        println!("tidy");
        return Ok(ExitCode::SUCCESS);
    }
    println!("{} to tidy up", violations.len());
    Ok(ExitCode::FAILURE)
}
