//! Runs the commands of a page in a directory of its own, and compares what they write.
//!
//! Ids, times and durations differ from run to run, so any will do; so will any spaces. A line with three dots stands
//! for any lines, three dots within a line for the rest of it.
//!
//! A block that says `postgres` has its page run on a PostgreSQL database of its own. The command of a block that says
//! `terminal` goes on beside those that follow, as in a terminal of its own; what it writes is not compared.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tasker_testkit::Cluster;

use super::blocks::Block;
use crate::program::program;

/// A command, and what it writes.
struct Step {
    command: String,
    expected: Vec<String>,
}

/// A command that goes on until the end of its page.
struct Terminal(Child);

impl Drop for Terminal {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Returns the URL of a database with nothing in it.
fn database() -> String {
    let cluster = Cluster::shared();
    let schema = cluster.schema();
    let sql = format!("CREATE SCHEMA {schema}");
    assert!(
        cluster
            .psql()
            .args(["--command", &sql])
            .status()
            .unwrap()
            .success()
    );
    let url = cluster.url();
    let separator = if url.contains('?') { '&' } else { '?' };
    format!("{url}{separator}options=-csearch_path%3D{schema}")
}

/// Runs the commands of a page, from its first block to its last; returns what is wrong.
pub(super) fn run(blocks: &[Block]) -> Vec<String> {
    let directory = tempfile::tempdir().unwrap();
    for block in blocks {
        if let Some(file) = block.file() {
            std::fs::write(directory.path().join(file), &block.text).unwrap();
        }
    }
    let says = |block: &Block, word| block.words().any(|each| each == word);
    let database = blocks.iter().any(|block| says(block, "postgres")).then(database);
    let (mut faults, mut terminals) = (Vec::new(), Vec::new());
    for block in blocks {
        let steps = match block.words().next() {
            Some("console") => steps(&block.text),
            Some("sh") if block.file().is_none() => vec![Step {
                command: block.text.clone(),
                expected: vec!["...".to_owned()],
            }],
            _ => continue,
        };
        if steps.is_empty() {
            faults.push(format!("{block}: there is no command; write `$` before it"));
        }
        for step in steps {
            let mut shell = shell(directory.path(), &step.command);
            shell.envs(database.iter().map(|url| ("TASKER_DATABASE__URL", url)));
            if says(block, "terminal") {
                let quiet = shell.stdout(Stdio::null()).stderr(Stdio::null());
                terminals.push(Terminal(quiet.spawn().unwrap()));
            } else if let Err(fault) = step.run(&mut shell) {
                faults.push(format!("{block}: $ {}\n{fault}", step.command));
            }
        }
    }
    faults
}

fn steps(text: &str) -> Vec<Step> {
    let mut steps: Vec<Step> = Vec::new();
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push(Step {
                command: command.to_owned(),
                expected: Vec::new(),
            });
        } else if let Some(step) = steps.last_mut() {
            step.expected.push(line.to_owned());
        }
    }
    steps
}

impl Step {
    fn run(&self, shell: &mut Command) -> Result<(), String> {
        let output = shell.output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        // Beside the result only what is wrong is read.
        let written = if output.stdout.is_empty() {
            text(&output.stderr)
        } else {
            text(&output.stdout)
        };
        if !output.status.success() {
            return Err(format!(
                "it ends with {}:\n{written}{}",
                output.status,
                text(&output.stderr)
            ));
        }
        let lines: Vec<&str> = written.lines().collect();
        if matches(&self.expected, &lines) {
            Ok(())
        } else {
            Err(format!(
                "it writes\n{written}instead of\n{}",
                self.expected.join("\n")
            ))
        }
    }
}

/// A shell that finds the program that was built, and knows no other directory than this one.
fn shell(directory: &Path, command: &str) -> Command {
    let mut path = program().parent().unwrap().as_os_str().to_owned();
    path.push(":");
    path.push(std::env::var_os("PATH").unwrap_or_default());
    let mut shell = Command::new("sh");
    shell
        .args(["-c", command])
        .current_dir(directory)
        .env_clear()
        .env("PATH", path)
        .env("HOME", directory)
        .stdin(Stdio::null());
    shell
}

fn matches(expected: &[String], lines: &[&str]) -> bool {
    match (expected.split_first(), lines.split_first()) {
        (None, None) => true,
        (Some((first, rest)), _) if first.trim() == "..." => {
            (0..=lines.len()).any(|skipped| matches(rest, &lines[skipped..]))
        }
        (Some((first, rest)), Some((line, others))) => line_matches(first, line) && matches(rest, others),
        _ => false,
    }
}

fn line_matches(expected: &str, line: &str) -> bool {
    let mut words = line.split_whitespace();
    for wanted in expected.split_whitespace() {
        if wanted == "..." {
            return true;
        }
        if words.next().is_none_or(|word| any(word) != any(wanted)) {
            return false;
        }
    }
    words.next().is_none()
}

/// Returns a word with what differs from run to run replaced: an id, a time, how long something took.
fn any(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let is_id = core.len() == 36
        && core.split('-').map(str::len).eq([8, 4, 4, 4, 12])
        && core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    let is_time = core.len() >= 20 && core.ends_with('Z') && core.get(10..11) == Some("T");
    let is_duration = core.parse::<f64>().is_ok() && core.contains('.');
    if is_id {
        word.replace(core, "<id>")
    } else if is_time {
        word.replace(core, "<time>")
    } else if is_duration {
        word.replace(core, "<duration>")
    } else {
        word.to_owned()
    }
}

#[test]
fn words_that_differ_from_run_to_run_are_any() {
    let id = "01a213c9-e398-798d-9e06-246459bf01fc";
    assert_eq!(any(id), any("11a213c9-e398-798d-9e06-246459bf01fd"));
    assert_eq!(any("2026-01-31T09:30:12Z"), any("2027-01-31T09:30:12.123Z"));
    assert_eq!(any("0.03"), any("12.1"));
    assert_ne!(any("3/3"), any("2/3"));
    assert_ne!(any("3"), any("4"));
}

#[test]
fn three_dots_stand_for_the_rest() {
    let expected = ["a ...", "...", "z"].map(str::to_owned);
    assert!(matches(&expected, &["a b", "z"]));
    assert!(matches(&expected, &["a", "m", "n", "z"]));
    assert!(!matches(&expected, &["a", "m"]));
    assert!(!matches(&expected, &["b", "z"]));
}
