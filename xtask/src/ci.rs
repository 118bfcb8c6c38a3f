//! `cargo xtask ci`: one stage after the other, until one fails.

use std::ffi::OsString;
use std::process::{Command, ExitCode};
use std::time::Instant;

use anyhow::Context;

use crate::run::{Build, cargo, program, root};

/// How many seeds the simulation plays; there is time for more elsewhere.
const SEEDS: &str = "20";

/// One of how many faults of a disk is tried.
const BAD_DISKS: &str = "40";

struct Stage {
    name: &'static str,
    command: Command,
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let start = Instant::now();
    for Stage { name, mut command } in stages()? {
        println!("==> {name}");
        let begin = Instant::now();
        let status = command
            .status()
            .with_context(|| format!("cannot start {:?}", command.get_program()))?;
        let seconds = begin.elapsed().as_secs_f64();
        if !status.success() {
            println!("==> {name} failed after {seconds:.1} s");
            return Ok(ExitCode::FAILURE);
        }
        println!("==> {name} passed in {seconds:.1} s");
    }
    println!("==> all passed in {:.1} s", start.elapsed().as_secs_f64());
    Ok(ExitCode::SUCCESS)
}

fn stages() -> anyhow::Result<Vec<Stage>> {
    let stage = |name, command| Stage { name, command };
    let mut doc = cargo(["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    let ours = |command: &str, arguments: Vec<OsString>| -> anyhow::Result<Command> {
        let mut xtask = Command::new(std::env::current_exe().context("cannot find this program")?);
        xtask.arg(command).args(arguments);
        Ok(xtask)
    };
    Ok(vec![
        stage("fmt", cargo(["fmt", "--all", "--check"])),
        stage(
            "clippy",
            cargo([
                "clippy",
                "--workspace",
                "--all-targets",
                "--locked",
                "--",
                "-D",
                "warnings",
            ]),
        ),
        // Who embeds the crate takes what they need of it.
        stage(
            "without features",
            cargo(["check", "-p", "tasker", "--no-default-features", "--locked"]),
        ),
        stage(
            "with postgres alone",
            cargo([
                "check",
                "-p",
                "tasker",
                "--no-default-features",
                "--features",
                "postgres",
                "--locked",
            ]),
        ),
        stage("tidy", ours("tidy", Vec::new())?),
        stage("codegen", ours("codegen", vec!["--check".into()])?),
        stage("keys", ours("keys", Vec::new())?),
        stage("deny", ours("deny", Vec::new())?),
        stage("test", ours("test", Vec::new())?),
        stage("loom", ours("loom", Vec::new())?),
        stage(
            "conformance",
            program("tests", "conformance", Build::Dev, vectors()?),
        ),
        stage(
            "sim",
            program(
                "tests",
                "sim",
                Build::Release,
                ["--seeds", SEEDS].map(OsString::from),
            ),
        ),
        stage(
            "bad-disk",
            ours("bad-disk", ["--one-of", BAD_DISKS].map(OsString::from).to_vec())?,
        ),
        stage("api", ours("api", Vec::new())?),
        stage("doc", doc),
    ])
}

/// Returns the files of vectors in the tree.
fn vectors() -> anyhow::Result<Vec<OsString>> {
    let directory = root().join("tests/golden");
    let entries = directory
        .read_dir()
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut files = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "jsonl") {
            files.push(path.into_os_string());
        }
    }
    files.sort();
    Ok(files)
}
