//! Starts other programs.

use std::ffi::{OsStr, OsString};
use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};

use anyhow::Context;

/// How a program is built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Build {
    /// In seconds.
    Dev,
    /// To run for long or to be measured.
    Release,
}

/// Returns the directory of the workspace.
pub(crate) fn root() -> PathBuf {
    let mut root = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    root.pop();
    root
}

/// Returns a command of cargo for the whole workspace.
pub(crate) fn cargo<A: AsRef<OsStr>>(arguments: impl IntoIterator<Item = A>) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(arguments).current_dir(root());
    cargo
}

/// Returns a program of the workspace, which runs in the directory of the caller.
pub(crate) fn program(
    package: &str,
    name: &str,
    build: Build,
    arguments: impl IntoIterator<Item = OsString>,
) -> Command {
    let mut cargo = Command::new("cargo");
    cargo.args(["run", "--quiet", "--locked", "--package", package, "--bin", name]);
    cargo.arg("--manifest-path").arg(root().join("Cargo.toml"));
    if build == Build::Release {
        cargo.arg("--release");
    }
    cargo.arg("--").args(arguments);
    cargo
}

/// Installs a tool of cargo's that is not there, in this version if it must be one.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
pub(crate) fn ensure_tool(name: &str, version: Option<&str>) -> anyhow::Result<()> {
    if is_quietly_done(cargo([name, "--version"])) {
        return Ok(());
    }
    let package = format!("cargo-{name}");
    println!("==> installing {package}");
    let mut install = cargo(["install", &package, "--locked"]);
    if let Some(version) = version {
        install.args(["--version", version]);
    }
    let installed = install.status();
    anyhow::ensure!(
        installed.is_ok_and(|status| status.success()),
        "{package} cannot be installed; `cargo install {package} --locked` does it where crates.io can be reached"
    );
    Ok(())
}

/// Runs a program and returns its exit code as our own.
pub(crate) fn exit(mut command: Command) -> anyhow::Result<ExitCode> {
    let status = command
        .status()
        .with_context(|| format!("cannot start {:?}", command.get_program()))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Runs a program without a word, and tells whether it succeeded.
pub(crate) fn is_quietly_done(mut command: Command) -> bool {
    let status = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}
