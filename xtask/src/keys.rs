//! `cargo xtask keys`: every key of the configuration is read by something.
//!
//! The compiler knows who reads a field, and says so of deprecated ones. So the crates below the command line are checked
//! with the fields of all settings deprecated, by a wrapper around the compiler, and the warnings are counted: those
//! beside the definitions say which keys there are, all others say who reads them. There is no list to keep.

use std::collections::BTreeSet;
use std::env;
use std::ffi::OsString;
use std::fs;
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::run::{cargo, root};

/// The variable that tells this program to stand for the compiler.
const WRAPPER: &str = "TASKER_XTASK_WRAPS_RUSTC";

/// Where the settings are defined and checked, which is no reading.
const DEFINITIONS: &str = "crates/tasker-types/src/settings";

/// Compiles instead of checking, if this process was started as a wrapper of the compiler.
pub(crate) fn wrapped() -> Option<anyhow::Result<ExitCode>> {
    env::var_os(WRAPPER)?;
    let added = ["--cfg", "tasker_keys", "--force-warn", "deprecated"];
    Some(compile(env::args_os().skip(1), &added))
}

/// Compiles with more arguments, for a wrapper of the compiler.
pub(crate) fn compile(
    mut arguments: impl Iterator<Item = OsString>,
    added: &[&str],
) -> anyhow::Result<ExitCode> {
    let compiler = arguments
        .next()
        .context("a wrapper is told which compiler it wraps")?;
    let mut compiler = Command::new(compiler);
    compiler.args(arguments);
    compiler.args(added);
    crate::run::exit(compiler)
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let mut check = cargo([
        "check",
        "--locked",
        "--package",
        "tasker-cli",
        "--message-format",
        "short",
    ]);
    check
        .env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(WRAPPER, "1");
    let output = check.output().context("cannot start cargo")?;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "the crates cannot be checked:\n{text}");
    let keys = Keys::of(&text);
    let page = fs::read_to_string(root().join("docs/configuration.md")).context("docs/configuration.md")?;
    for name in documented(&page) {
        ensure!(
            keys.knows(name),
            "the compiler does not know the key `{name}` of docs/configuration.md"
        );
    }
    for field in keys.unread() {
        println!("{DEFINITIONS}: nothing reads `{field}`");
    }
    let (all, unread) = (keys.defined.len(), keys.unread().count());
    println!("{all} keys, {unread} of them read by nothing");
    Ok(ExitCode::from(u8::from(unread > 0)))
}

/// Returns the last names of the keys that the reference page has.
fn documented(page: &str) -> impl Iterator<Item = &str> {
    page.lines()
        .filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`')?.rsplit('.').next())
}

/// The fields of settings by table and name, and those that are read.
#[derive(Debug, Default)]
struct Keys {
    defined: BTreeSet<String>,
    read: BTreeSet<String>,
}

impl Keys {
    /// Reads the warnings of the compiler, one a line: `FILE:LINE:COLUMN: warning: use of deprecated field ...`.
    fn of(warnings: &str) -> Self {
        let mut keys = Self::default();
        for line in warnings.lines() {
            let Some((place, field)) = line.split_once(": warning: use of deprecated field `") else {
                continue;
            };
            let mut names = field.trim_end_matches('`').rsplit("::");
            let (Some(name), Some(table)) = (names.next(), names.next()) else {
                continue;
            };
            let field = format!("{table}::{name}");
            if place.starts_with(DEFINITIONS) {
                keys.defined.insert(field);
            } else {
                keys.read.insert(field);
            }
        }
        keys
    }

    fn unread(&self) -> impl Iterator<Item = &String> {
        self.defined.difference(&self.read)
    }

    fn knows(&self, name: &str) -> bool {
        self.defined
            .iter()
            .any(|field| field.ends_with(&format!("::{name}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WARNINGS: &str = "\
crates/tasker-types/src/settings/limits.rs:9:9: warning: use of deprecated field `settings::limits::LimitsValues::context`
crates/tasker-types/src/settings/limits.rs:11:9: warning: use of deprecated field `settings::limits::LimitsValues::result`
crates/tasker-engine/src/request.rs:70:12: warning: use of deprecated field `tasker_types::LimitsValues::context`
crates/tasker-engine/src/request.rs:71:12: warning: unused variable: `result`
";

    #[test]
    fn a_key_that_only_its_definition_names_is_read_by_nothing() {
        let keys = Keys::of(WARNINGS);
        assert_eq!(keys.unread().collect::<Vec<_>>(), ["LimitsValues::result"]);
        assert!(keys.knows("context") && !keys.knows("contex"));
    }

    #[test]
    fn the_page_names_keys() {
        let page = "# Configuration\n### `limits.context`\ntext\n### `backoff.reenqueue_delays.processing`\n";
        assert_eq!(documented(page).collect::<Vec<_>>(), ["context", "processing"]);
    }
}
