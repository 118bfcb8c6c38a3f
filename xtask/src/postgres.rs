//! The PostgreSQL server that tests start: finding one, or installing it; and installing other packages of Debian.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};

use crate::run::is_quietly_done;

const ADVICE: &str = "the tests need a PostgreSQL server: `apt-get install postgresql` on Debian installs one, as root; or name a \
     database that may be filled with schemas in TASKER_TEST_DATABASE_URL";

const POOL_ADVICE: &str = "the tests of connection pools need PgBouncer: `apt-get install pgbouncer` on Debian installs it, as root";

/// Makes sure that tests find PgBouncer.
pub(crate) fn ensure_pool() -> anyhow::Result<()> {
    let mut pool = Command::new("pgbouncer");
    pool.arg("--version");
    if Path::new("/usr/sbin/pgbouncer").is_file() || is_quietly_done(pool) {
        return Ok(());
    }
    install("PgBouncer", &["pgbouncer"], POOL_ADVICE)
}

/// Makes sure that tests find a server's programs, or a database that they may use.
pub(crate) fn ensure() -> anyhow::Result<()> {
    if std::env::var_os("TASKER_TEST_DATABASE_URL").is_some() || is_there() {
        return Ok(());
    }
    install("a PostgreSQL server", &["postgresql"], ADVICE)?;
    ensure!(is_there(), ADVICE);
    Ok(())
}

/// Installs packages as root on Debian, or else says what to do.
#[expect(clippy::print_stdout, reason = "a command says what it does to the machine")]
pub(crate) fn install(what: &str, packages: &[&str], advice: &'static str) -> anyhow::Result<()> {
    let is_root = Command::new("id")
        .arg("-u")
        .output()
        .is_ok_and(|told| told.stdout.trim_ascii() == b"0");
    ensure!(is_root && Path::new("/etc/debian_version").exists(), advice);
    println!("==> installing {what} for the tests");
    let install = [&["install", "--yes", "--no-install-recommends"][..], packages].concat();
    for arguments in [&["update"][..], &install] {
        let done = Command::new("apt-get")
            .args(arguments)
            .env("DEBIAN_FRONTEND", "noninteractive")
            .status()
            .context("cannot start `apt-get`")?;
        ensure!(done.success(), advice);
    }
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
