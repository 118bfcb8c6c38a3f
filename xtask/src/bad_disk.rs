//! `cargo xtask bad-disk`: has `strace` make the disk bad under a database in a file.

use std::ffi::OsString;
use std::process::Command;

use anyhow::ensure;

use crate::postgres::install;
use crate::run::{Build, is_quietly_done, program};

const ADVICE: &str = "`strace` has the disk fail: install it (`apt-get install strace` on Debian), on Linux";

pub(crate) fn command(arguments: Vec<OsString>) -> anyhow::Result<Command> {
    if !is_there() {
        install("`strace`", &["strace"], ADVICE)?;
        ensure!(is_there(), ADVICE);
    }
    Ok(program("tests", "bad_disk", Build::Release, arguments))
}

fn is_there() -> bool {
    let mut strace = Command::new("strace");
    strace.arg("--version");
    is_quietly_done(strace)
}
