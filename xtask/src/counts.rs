//! What commands counted last, as `docs/reliability.md` tells it: each writes its own line there when it is asked to.

use std::ffi::OsString;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, ExitCode, Stdio};

use anyhow::{Context as _, bail, ensure};

use crate::run::{exit, root};

/// The argument that asks for it.
const WRITE: &str = "--write";

/// Where the counts stand.
const PAGE: &str = "docs/reliability.md";

/// The lines before and after the counts.
const BEGIN: &str = "<!-- counts: written by the commands, with `--write` -->";
const END: &str = "<!-- end of counts -->";

/// Runs what `command` makes of the arguments of `cargo xtask NAME`. When `--write` is among them, the last line that it
/// prints is written to the page, if it succeeds.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn run(
    name: &str,
    mut arguments: Vec<OsString>,
    command: impl FnOnce(Vec<OsString>) -> anyhow::Result<Command>,
) -> anyhow::Result<ExitCode> {
    let before = arguments.len();
    arguments.retain(|argument| argument != WRITE);
    if arguments.len() == before {
        return exit(command(arguments)?);
    }
    let shown = shown(name, &arguments)?;
    let mut child = command(arguments)?.stdout(Stdio::piped()).spawn()?;
    let out = child.stdout.take().context("its output is a pipe")?;
    let mut last = None;
    for line in BufReader::new(out).lines() {
        let line = line?;
        println!("{line}");
        if !line.trim().is_empty() {
            last = Some(line);
        }
    }
    let status = child.wait()?;
    if !status.success() {
        return Ok(ExitCode::FAILURE);
    }
    note(
        &shown,
        &last.with_context(|| format!("`{shown}` printed nothing"))?,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// Writes to the page what a command, as one types it, counted.
pub(crate) fn note(shown: &str, counts: &str) -> anyhow::Result<()> {
    let path = root().join(PAGE);
    let text = std::fs::read_to_string(&path).with_context(|| format!("cannot read {PAGE}"))?;
    let text = noted(&text, shown, counts.trim())?;
    std::fs::write(&path, text).with_context(|| format!("cannot write {PAGE}"))
}

/// Returns the command as one types it.
fn shown(name: &str, arguments: &[OsString]) -> anyhow::Result<String> {
    let mut shown = format!("cargo xtask {name}");
    for argument in arguments {
        let text = argument.to_str().context("an argument is no text")?;
        ensure!(
            !text.contains(['|', '`', '\n']),
            "{text:?} cannot stand in a table; leave {WRITE} out"
        );
        shown.push(' ');
        shown.push_str(text);
    }
    Ok(shown)
}

/// Returns the page with what a command counted: in its row, or in a new one.
fn noted(page: &str, command: &str, counts: &str) -> anyhow::Result<String> {
    let Some((before, rest)) = page.split_once(BEGIN) else {
        bail!("{PAGE} has no line `{BEGIN}`")
    };
    let Some((table, after)) = rest.split_once(END) else {
        bail!("{PAGE} has no line `{END}`")
    };
    let begin = format!("| `{command}` |");
    let row = format!("{begin} {} |", counts.replace('|', "/"));
    let mut rows: Vec<&str> = table.lines().filter(|line| line.starts_with("| `")).collect();
    match rows.iter_mut().find(|line| line.starts_with(&begin)) {
        Some(known) => *known = &row,
        None => rows.push(&row),
    }
    rows.sort_unstable();
    let rows = rows.join("\n");
    Ok(format!(
        "{before}{BEGIN}\n\n| command | counts |\n|---|---|\n{rows}\n\n{END}{after}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_has_one_row() {
        let page = format!("Text.\n\n{BEGIN}\n{END}\n\nMore.\n");
        let page = noted(&page, "cargo xtask sim --seeds 9", "9 histories").unwrap();
        let page = noted(&page, "cargo xtask bugs", "83 found").unwrap();
        let page = noted(&page, "cargo xtask sim --seeds 9", "10 histories").unwrap();
        let table = "| command | counts |\n|---|---|\n| `cargo xtask bugs` | 83 found |\n\
             | `cargo xtask sim --seeds 9` | 10 histories |\n";
        assert_eq!(page, format!("Text.\n\n{BEGIN}\n\n{table}\n{END}\n\nMore.\n"));
    }

    #[test]
    fn a_page_without_a_place_is_refused() {
        let error = noted("Text.", "cargo xtask sim", "9").unwrap_err();
        assert!(error.to_string().contains("has no line"), "{error}");
    }

    #[test]
    fn an_argument_that_would_break_the_table_is_refused() {
        assert!(shown("sim", &["a|b".into()]).is_err());
    }
}
