//! `cargo xtask loom`: has loom try every order in which threads can meet where the registry is changed.
//!
//! The crate is built with loom's locks in the place of its own, in a directory beside other builds.

use std::process::ExitCode;

use crate::run::{cargo, exit, root};

pub(crate) fn main() -> anyhow::Result<ExitCode> {
    let mut loom = cargo([
        "test",
        "--quiet",
        "--locked",
        "--package",
        "tasker-registry",
        "--lib",
    ]);
    loom.args(["--release", "present::model"])
        .env("RUSTFLAGS", "--cfg loom")
        .env("CARGO_TARGET_DIR", root().join("target/loom"));
    exit(loom)
}
