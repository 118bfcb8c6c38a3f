//! `cargo xtask sbom`: writes which packages of others the program `tasker` is made of, as CycloneDX lists them.
//!
//! cargo-cyclonedx reads it from `Cargo.lock`, which is first held against the manifests.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};

use crate::run::{cargo, ensure_tool, is_quietly_done, root};

/// The version of the tool that is installed, so that the same tree has the same list.
const VERSION: &str = "0.5.9";

/// What the tool calls the file beside the manifest of the program, without its ending.
const NAME: &str = "tasker-sbom";

/// Writes the list to a file.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main(output: Option<PathBuf>) -> anyhow::Result<ExitCode> {
    let is_current = is_quietly_done(cargo(["metadata", "--locked", "--format-version", "1"]));
    ensure!(
        is_current,
        "Cargo.lock is not what the manifests ask for: run `cargo update --workspace`"
    );
    ensure_tool("cyclonedx", Some(VERSION))?;
    let manifest = root().join("crates/tasker-cli/Cargo.toml");
    let mut cyclonedx = cargo([
        "cyclonedx",
        "--quiet",
        "--format",
        "json",
        "--spec-version",
        "1.5",
    ]);
    cyclonedx.args(["--no-build-deps", "--override-filename", NAME, "--manifest-path"]);
    // The tool knows of no `--locked`, and need not ask anyone for what is locked.
    let done = cyclonedx.arg(&manifest).env("CARGO_NET_OFFLINE", "true").status();
    ensure!(
        done.is_ok_and(|status| status.success()),
        "`cargo cyclonedx` fails"
    );
    let output = output.unwrap_or_else(|| root().join("target/tasker.cdx.json"));
    let count = collect(&output)?;
    println!("{} lists {count} packages", output.display());
    Ok(ExitCode::SUCCESS)
}

/// Takes what the tool wrote beside each manifest out of the tree, keeps that of the program, and counts its packages.
fn collect(output: &Path) -> anyhow::Result<usize> {
    let written = |package: &Path| package.join(format!("{NAME}.json"));
    let text = written(&root().join("crates/tasker-cli"));
    let text =
        fs::read_to_string(&text).with_context(|| format!("`cargo cyclonedx` wrote no {}", text.display()));
    for package in crate::sources::packages(&root())? {
        let file = written(&package.directory);
        if file.is_file() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let text = text?;
    if let Some(directory) = output.parent() {
        fs::create_dir_all(directory).with_context(|| format!("cannot make {}", directory.display()))?;
    }
    fs::write(output, &text).with_context(|| format!("cannot write {}", output.display()))?;
    Ok(packages(&text))
}

/// Counts the packages of a list.
fn packages(text: &str) -> usize {
    text.matches("\"purl\"").count()
}
