//! `cargo xtask bugs`: builds the workspace with its seeded bugs, and has the simulation and the crash points find them.
//!
//! Only the crates of the workspace are built anew, by a wrapper around the compiler; what they depend on is shared with
//! other builds.

use std::env;
use std::ffi::OsString;
use std::process::{Command, ExitCode};

use crate::keys::compile;
use crate::postgres;
use crate::run::{Build, program};

/// The variable that tells this program to stand for the compiler.
const WRAPPER: &str = "TASKER_XTASK_SEEDS_BUGS";

/// Compiles with the bugs, if this process was started as a wrapper of the compiler.
pub(crate) fn wrapped() -> Option<anyhow::Result<ExitCode>> {
    env::var_os(WRAPPER)?;
    Some(compile(env::args_os().skip(1), &["--cfg", "tasker_bug"]))
}

pub(crate) fn command(arguments: Vec<OsString>) -> anyhow::Result<Command> {
    postgres::ensure()?;
    let mut bugs = program("tests", "bugs", Build::Dev, arguments);
    bugs.env("RUSTC_WORKSPACE_WRAPPER", env::current_exe()?)
        .env(WRAPPER, "1");
    Ok(bugs)
}
