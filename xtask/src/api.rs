//! `cargo xtask api`: has programs of others judge the HTTP API, in a directory of Python packages of its own.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, ensure};

use crate::postgres::install;
use crate::run::{cargo, exit, is_quietly_done, root};

const ADVICE: &str = "the API is checked by programs in Python: install `python3` with `venv` (`apt-get install python3-venv` \
     on Debian), and let `pip` reach its registry";

/// Checks the API.
pub(crate) fn main(arguments: Vec<OsString>) -> anyhow::Result<ExitCode> {
    let python = python().context(ADVICE)?;
    let built = cargo(["build", "--quiet", "--locked", "--package", "tasker-cli"]).status()?;
    ensure!(built.success(), "`tasker` cannot be built");
    let mut check = Command::new(python);
    check.arg(root().join("tests/api/check.py"));
    check.arg("--tasker").arg(target()?.join("debug/tasker"));
    check.args(arguments);
    exit(check)
}

/// Returns a Python that has the packages, after installing them where they are not yet.
fn python() -> anyhow::Result<PathBuf> {
    let wanted = root().join("tests/api/requirements.txt");
    let place = target()?.join("api");
    let python = place.join("bin/python");
    let done = place.join("installed.txt");
    if same(&wanted, &done) {
        return Ok(python);
    }
    if !made(&place) {
        install("Python's `venv`", &["python3", "python3-venv"], ADVICE)?;
        ensure!(made(&place), "`python3 -m venv` fails");
    }
    let installed = Command::new(&python)
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--requirement",
        ])
        .arg(&wanted)
        .status()
        .context("cannot start `pip`")?;
    ensure!(installed.success(), "`pip install` fails");
    std::fs::copy(&wanted, &done).with_context(|| format!("cannot write {}", done.display()))?;
    Ok(python)
}

fn made(place: &Path) -> bool {
    let mut venv = Command::new("python3");
    venv.args(["-m", "venv", "--clear"]).arg(place);
    is_quietly_done(venv)
}

fn same(one: &Path, other: &Path) -> bool {
    match (std::fs::read(one), std::fs::read(other)) {
        (Ok(one), Ok(other)) => one == other,
        _ => false,
    }
}

/// Returns the directory that cargo builds in.
fn target() -> anyhow::Result<PathBuf> {
    // This program lies in `debug` of it.
    let here = std::env::current_exe().context("cannot find this program")?;
    let target = here.ancestors().nth(2).context("this program lies at the root")?;
    Ok(target.to_path_buf())
}
