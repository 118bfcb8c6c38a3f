//! `cargo xtask fuzz`: gives the functions of `fuzz/` whatever the fuzzer thinks of, each for a while.
//!
//! cargo-fuzz builds them, outside of the workspace and with the stable compiler, so without sanitizers: nothing of ours is
//! unsafe. What is found interesting is kept below `target`; what goes wrong belongs into the corpus in the tree.

use std::fs;
use std::process::ExitCode;

use anyhow::{Context, bail, ensure};

use crate::run::{cargo, ensure_tool, is_quietly_done, root};

/// Fuzzes one target after the other.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn main(only: Option<&str>, seconds: u64) -> anyhow::Result<ExitCode> {
    ensure_tool("fuzz", None)?;
    // cargo-fuzz itself knows of no `--locked`.
    let mut metadata = cargo(["metadata", "--locked", "--format-version", "1", "--manifest-path"]);
    metadata.arg(root().join("fuzz/Cargo.toml"));
    ensure!(
        is_quietly_done(metadata),
        "fuzz/Cargo.lock is not what its manifest asks for: run `cargo update --workspace --manifest-path fuzz/Cargo.toml`"
    );
    let targets = targets()?;
    let mut ran = 0;
    for target in &targets {
        if only.is_some_and(|only| only != target) {
            continue;
        }
        println!("==> {target}");
        let found = root().join("target/fuzz/corpus").join(target);
        fs::create_dir_all(&found).with_context(|| format!("cannot make {}", found.display()))?;
        let mut fuzz = cargo(["fuzz", "run", "--sanitizer", "none", target.as_str()]);
        fuzz.arg(&found).arg(root().join("fuzz/corpus").join(target));
        fuzz.args([
            "--",
            "-print_final_stats=1",
            "-verbosity=0",
            "-timeout=20",
            "-rss_limit_mb=4096",
        ]);
        fuzz.arg(format!("-max_total_time={seconds}"));
        let status = fuzz.status().context("cannot start `cargo fuzz`")?;
        if !status.success() {
            println!(
                "{ran} targets without a failure, and then `{target}`: its input is in fuzz/artifacts/{target}"
            );
            return Ok(ExitCode::FAILURE);
        }
        ran += 1;
    }
    if ran == 0 {
        bail!(
            "there is no target `{}`, but: {}",
            only.unwrap_or_default(),
            targets.join(", ")
        );
    }
    println!("{ran} targets, {seconds} seconds each, 0 failures");
    Ok(ExitCode::SUCCESS)
}

fn targets() -> anyhow::Result<Vec<String>> {
    let directory = root().join("fuzz/fuzz_targets");
    let entries = directory
        .read_dir()
        .with_context(|| format!("cannot read {}", directory.display()))?;
    let mut targets = Vec::new();
    for entry in entries {
        let path = entry?.path();
        if let Some(name) = path.file_stem().and_then(|name| name.to_str()) {
            targets.push(name.to_owned());
        }
    }
    targets.sort();
    Ok(targets)
}
