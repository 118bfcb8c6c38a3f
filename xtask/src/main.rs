//! `cargo xtask`: what is done to the workspace.
//!
//! It only starts other programs and reads files, so that it builds in seconds and knows nothing of the engine.

mod api;
mod bad_disk;
mod bugs;
mod ci;
mod counts;
mod deny;
mod fuzz;
mod keys;
mod loom;
mod mutants;
mod postgres;
mod run;
mod sbom;
mod sources;
mod tidy;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::run::{Build, cargo, program};

/// Looks after the workspace.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask",
    bin_name = "cargo xtask",
    disable_help_subcommand = true,
    after_help = "\
Examples:
  cargo xtask ci
  cargo xtask test kill
  cargo xtask conformance tests/golden/backoff.jsonl
  cargo xtask sim --seed 42 --store sqlite
  cargo xtask crash-points --store postgres"
)]
struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Write the files that are generated, or check that they are as they would be written
    Codegen {
        /// Write nothing; fail if anything would be written
        #[arg(long)]
        check: bool,
    },
    /// Bring a database to another version of its schema: `tasker migrate`
    #[command(disable_help_flag = true)]
    Migrate(Rest),
    /// Measure, in a release build
    #[command(disable_help_flag = true)]
    Bench(Rest),
    /// Compare the engine with files of vectors, or, in a release build, the analysis of graphs with brute force
    #[command(disable_help_flag = true)]
    Conformance(Rest),
    /// Play seeds of the simulation, in a release build
    #[command(disable_help_flag = true)]
    Sim(Rest),
    /// Have everything go wrong that can at each statement of both stores, in a release build
    #[command(disable_help_flag = true)]
    CrashPoints(Rest),
    /// Have a disk do to SQLite what disks do, by `strace`, in a release build; installs strace on Debian as root
    #[command(disable_help_flag = true)]
    BadDisk(Rest),
    /// Kill, stop and cut off workers and their server, in a release build
    #[command(disable_help_flag = true)]
    Chaos(Rest),
    /// Try everything that can happen to small tasks, in a release build
    #[command(disable_help_flag = true)]
    Exhaustive(Rest),
    /// Have the simulation find bugs that are seeded for it
    #[command(disable_help_flag = true)]
    Bugs(Rest),
    /// Give readers of what comes from outside whatever the fuzzer thinks of; installs cargo-fuzz
    Fuzz {
        /// The one target; every one by default
        target: Option<String>,
        /// How long each
        #[arg(long, default_value_t = 60)]
        seconds: u64,
    },
    /// Try every order in which threads can meet in the registry, by loom
    Loom,
    /// Change the pure code a little, and see whether a test notices: a shard of all changes; installs cargo-mutants
    Mutants {
        /// Which shard of how many
        #[arg(long, default_value = "0/64", value_name = "SHARD/COUNT")]
        shard: String,
        /// Write the counts to docs/reliability.md; sim, crash-points, bad-disk, chaos, exhaustive and bugs take this, too
        #[arg(long)]
        write: bool,
    },
    /// Have a generated client and schemathesis judge the HTTP API; installs Python packages below `target`
    #[command(disable_help_flag = true)]
    Api(Rest),
    /// Write a CycloneDX list of what the program is made of; installs cargo-cyclonedx
    Sbom {
        /// The file; target/tasker.cdx.json by default
        #[arg(long)]
        output: Option<PathBuf>,
    },
    /// Check licences, sources, bans and, where they can be reached, advisories; installs cargo-deny
    Deny,
    /// Check the rules that no compiler checks
    Tidy,
    /// Check that every key of the configuration is read by something
    Keys,
    /// Run all tests, or those whose names contain a word; installs a PostgreSQL server on Debian as root
    Test(Rest),
    /// Do everything that must hold before a change is taken
    Ci,
}

/// What the program that is started understands.
#[derive(Debug, clap::Args)]
struct Rest {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARGUMENTS")]
    arguments: Vec<OsString>,
}

fn main() -> anyhow::Result<ExitCode> {
    if let Some(compiled) = keys::wrapped().or_else(bugs::wrapped) {
        return compiled;
    }
    match Args::parse().command {
        Command::Codegen { check } => {
            let check = check.then(|| OsString::from("--check"));
            run::exit(program("tests", "codegen", Build::Dev, check))
        }
        Command::Migrate(rest) => {
            let migrate = std::iter::once(OsString::from("migrate"));
            run::exit(program(
                "tasker-cli",
                "tasker",
                Build::Dev,
                migrate.chain(rest.arguments),
            ))
        }
        Command::Bench(rest) => run::exit(program("tests", "bench", Build::Release, rest.arguments)),
        Command::Conformance(rest) => {
            // Millions of graphs take minutes; vectors take seconds, and nobody should wait for a release build.
            let is_long = rest.arguments.iter().any(|argument| argument == "--graphs");
            let build = if is_long { Build::Release } else { Build::Dev };
            run::exit(program("tests", "conformance", build, rest.arguments))
        }
        Command::Sim(rest) => counts::run("sim", rest.arguments, |arguments| {
            if !arguments
                .iter()
                .any(|argument| argument == "memory" || argument == "sqlite")
            {
                postgres::ensure()?;
            }
            Ok(program("tests", "sim", Build::Release, arguments))
        }),
        Command::Exhaustive(rest) => counts::run("exhaustive", rest.arguments, |arguments| {
            Ok(program("tests", "exhaustive", Build::Release, arguments))
        }),
        Command::CrashPoints(rest) => counts::run("crash-points", rest.arguments, |arguments| {
            postgres::ensure()?;
            Ok(program("tests", "crash_points", Build::Release, arguments))
        }),
        Command::BadDisk(rest) => counts::run("bad-disk", rest.arguments, bad_disk::command),
        Command::Chaos(rest) => counts::run("chaos", rest.arguments, |arguments| {
            postgres::ensure()?;
            Ok(program("tests", "chaos", Build::Release, arguments))
        }),
        Command::Bugs(rest) => counts::run("bugs", rest.arguments, bugs::command),
        Command::Fuzz { target, seconds } => fuzz::main(target.as_deref(), seconds),
        Command::Loom => loom::main(),
        Command::Mutants { shard, write } => mutants::main(&shard, write),
        Command::Api(rest) => api::main(rest.arguments),
        Command::Sbom { output } => sbom::main(output),
        Command::Deny => deny::main(),
        Command::Tidy => tidy::main(),
        Command::Keys => keys::main(),
        Command::Test(rest) => test(rest.arguments),
        Command::Ci => ci::main(),
    }
}

/// Runs the tests, by nextest where it is installed, and then those of the documentation, which it does not run.
fn test(filter: Vec<OsString>) -> anyhow::Result<ExitCode> {
    postgres::ensure()?;
    postgres::ensure_pool()?;
    if run::is_quietly_done(cargo(["nextest", "--version"])) {
        let mut tests = cargo(["nextest", "run", "--workspace", "--locked"]);
        tests.args(&filter);
        let code = run::exit(tests)?;
        if code != ExitCode::SUCCESS || !filter.is_empty() {
            return Ok(code);
        }
        return run::exit(cargo(["test", "--doc", "--workspace", "--locked"]));
    }
    let mut tests = cargo(["test", "--workspace", "--locked"]);
    tests.args(&filter);
    run::exit(tests)
}
