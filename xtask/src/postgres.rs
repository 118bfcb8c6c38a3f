//! The PostgreSQL server that tests start: finding one, or installing it.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::run::is_quietly_done;

const ADVICE: &str = "the tests need a PostgreSQL server: `apt-get install postgresql` on Debian installs one, as root; or name a \
     database that may be filled with schemas in TASKER_TEST_DATABASE_URL";

/// Makes sure that tests find a server's programs, or a database that they may use.
#[expect(clippy::print_stdout, reason = "a command says what it does to the machine")]
pub(crate) fn ensure() -> anyhow::Result<()> {
    if std::env::var_os("TASKER_TEST_DATABASE_URL").is_some() || is_there() {
        return Ok(());
    }
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|told| told.stdout.trim_ascii() == b"0");
    ensure!(is_root && Path::new("/etc/debian_version").exists(), ADVICE);
    println!("==> installing a PostgreSQL server for the tests");
    for arguments in [
        &["update"][..],
        &["install", "--yes", "--no-install-recommends", "postgresql"],
    ] {
        let done = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot start `apt-get`")?;
        ensure!(done.success(), ADVICE);
    }
    ensure!(is_there(), ADVICE);
    Ok(())
}

fn is_there() -> bool {
    let mut initdb = Command::new("initdb");
    initdb.arg("--version");
    let installed = std::fs::read_dir("/usr/lib/postgresql")
        .into_iter()
        .flatten()
        .flatten()
        .any(|version| version.path().join("bin/initdb").is_file());
    installed || is_quietly_done(initdb)
}
