//! `cargo xtask mutants`: changes the pure code a little, and sees whether a test notices.
//!
//! cargo-mutants does the work. All of it takes hours, so a run does one shard of many.

use std::process::ExitCode;

use anyhow::bail;

use crate::run::{cargo, exit, is_quietly_done};

/// Crates whose whole code is pure.
const PACKAGES: [&str; 2] = ["tasker-types", "tasker-graph"];

/// The pure modules of the engine.
const MODULES: [&str; 4] = [
    "crates/tasker-engine/src/backoff.rs",
    "crates/tasker-engine/src/finalizer.rs",
    "crates/tasker-engine/src/transition.rs",
    "crates/tasker-engine/src/verify/*.rs",
];

pub(crate) fn main(shard: &str) -> anyhow::Result<ExitCode> {
    if !is_quietly_done(cargo(["mutants", "--version"])) {
        bail!("cargo-mutants is not installed; install it with `cargo install cargo-mutants --locked`");
    }
    let mut mutants = cargo(["mutants", "--shard", shard, "--output", "target"]);
    for package in PACKAGES {
        mutants.args(["--file", &format!("crates/{package}/src/**/*.rs")]);
    }
    for module in MODULES {
        mutants.args(["--file", module]);
    }
    mutants.args(["--cargo-arg", "--locked"]);
    exit(mutants)
}
