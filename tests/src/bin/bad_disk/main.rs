//! `cargo xtask bad-disk`: has a disk do to SQLite what disks do.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use rustix::process::{Resource, Rlimit, setrlimit};
use tests::bad_disk::{History, Suite, failures, faults};
use tests::crash_points::{Ground, Span, live_through};

/// Has each read, write, sync, truncation and removal of a database in a file fail, and the power at each sync.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bad-disk",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask bad-disk\n  cargo xtask bad-disk --only fdatasync\n  \
                  cargo xtask bad-disk --only power\n  cargo xtask bad-disk --one-of 20"
)]
struct Args {
    /// Only faults whose description contains this text: a call, an error, `killed`, `larger`, `power`.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// One of so many faults, evenly.
    #[arg(long, default_value_t = 1, value_name = "N")]
    one_of: usize,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Live on a ground whose disk is bad
    #[command(hide = true)]
    Live {
        /// The ground, as JSON.
        ground: String,
        /// How far: finish or whole.
        #[arg(value_parser = span)]
        span: Span,
        /// How large a file may become, in bytes; 0 for any size.
        limit: u64,
    },
}

fn span(name: &str) -> Result<Span, String> {
    match name {
        "finish" => Ok(Span::ToFinish),
        "whole" => Ok(Span::Whole),
        _ => Err(format!("there is no span `{name}`, but: finish, whole")),
    }
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    if let Some(Command::Live { ground, span, limit }) = args.command {
        let ground: Ground = serde_json::from_str(&ground)?;
        if limit > 0 {
            let limit = Rlimit {
                current: Some(limit),
                maximum: Some(limit),
            };
            setrlimit(Resource::Fsize, limit).context("the size of files cannot be limited")?;
        }
        println!("{}", serde_json::to_string(&live_through(&ground, span)?)?);
        return Ok(ExitCode::SUCCESS);
    }
    let suite = Suite {
        program: std::env::current_exe()?,
    };
    let is_wanted = |what: String| args.only.as_ref().is_none_or(|text| what.contains(text));
    let every = args.one_of.max(1);
    let counts = suite.count()?;
    let events = suite.record()?;
    let mut faults = faults(&counts);
    let mut failures = failures(&events);
    faults.retain(|fault| is_wanted(fault.to_string()));
    failures.retain(|failure| is_wanted(failure.to_string()));
    let faults: Vec<_> = faults.into_iter().step_by(every).collect();
    let failures: Vec<_> = failures.into_iter().step_by(every).collect();
    let began = Instant::now();
    let mut histories = suite.run(&faults)?;
    let missed = histories.iter().filter(|history| history.happened == 0).count();
    println!(
        "{} faults of calls, {missed} of which did not come about: {:.0} seconds",
        faults.len(),
        began.elapsed().as_secs_f64(),
    );
    let began = Instant::now();
    histories.extend(suite.restore(&events, &failures)?);
    println!(
        "{} failures of the power: {:.0} seconds",
        failures.len(),
        began.elapsed().as_secs_f64()
    );
    Ok(report(&histories))
}

/// Prints what is violated in which history, and counts them.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn report(histories: &[History]) -> ExitCode {
    let (mut transitions, mut violations) = (0, 0);
    for History {
        what,
        problems,
        transitions: own,
        ..
    } in histories
    {
        transitions += own;
        if !problems.is_empty() {
            violations += 1;
            println!("{what} goes wrong:");
        }
        for problem in problems {
            println!("  {problem}");
        }
    }
    println!(
        "{} histories, {transitions} transitions, {violations} violations",
        histories.len()
    );
    if violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}
