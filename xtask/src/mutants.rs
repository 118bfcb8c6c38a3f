//! `cargo xtask mutants`: changes the pure code a little, and sees whether a test notices.
//!
//! cargo-mutants does the work. All of it takes hours, so a run does one shard of many.

use std::process::ExitCode;

use crate::counts;
use crate::run::{cargo, ensure_tool};

/// Crates whose whole code is pure.
const PACKAGES: [&str; 2] = ["tasker-types", "tasker-graph"];

/// The pure modules of the engine.
const MODULES: [&str; 4] = [
    "crates/tasker-engine/src/backoff.rs",
    "crates/tasker-engine/src/finalizer.rs",
    "crates/tasker-engine/src/transition.rs",
    "crates/tasker-engine/src/verify/*.rs",
];

pub(crate) fn main(shard: &str, write: bool) -> anyhow::Result<ExitCode> {
    ensure_tool("mutants", None)?;
    let mut mutants = cargo(["mutants", "--shard", shard, "--output", "target"]);
    for package in PACKAGES {
        mutants.args(["--file", &format!("crates/{package}/src/**/*.rs")]);
    }
    for module in MODULES {
        mutants.args(["--file", module]);
    }
    mutants.args(["--cargo-arg", "--locked"]);
    let mut arguments = vec!["--shard".into(), shard.into()];
    arguments.extend(write.then(|| "--write".into()));
    counts::run("mutants", arguments, |_| Ok(mutants))
}
