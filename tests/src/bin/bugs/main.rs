//! `cargo xtask bugs`: makes one mistake after the other, and sees whether a simulation or a fault at a statement finds it.

mod list;

use std::panic;
use std::process::{Command, ExitCode};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, ensure};
use clap::Parser;
use list::{ALL, Bug, Found};
use tests::StoreKind;
use tests::crash_points::{Place, Suite, Wanted};
use tests::simulation::simulate;

/// How long a mistake may go unnoticed.
const LIMIT: Duration = Duration::from_secs(60);

/// Has simulations, and faults at statements, find the mistakes that are compiled in, one after the other.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bugs",
    after_help = "Examples:\n  cargo xtask bugs\n  TASKER_BUG=27 cargo xtask bugs"
)]
struct Args {
    /// The one mistake to make.
    #[arg(long, env = "TASKER_BUG")]
    bug: Option<u32>,
}

fn main() -> anyhow::Result<ExitCode> {
    ensure!(
        tasker_types::choose_bug(0),
        "no mistakes are compiled in; run `cargo xtask bugs`"
    );
    match Args::parse().bug {
        Some(number) => {
            let known = ALL.iter().find(|bug| bug.number == number);
            one(known.with_context(|| format!("there is no mistake {number}"))?)
        }
        None => all(),
    }
}

/// Makes a mistake, and looks for something that goes wrong.
fn one(bug: &Bug) -> anyhow::Result<ExitCode> {
    tasker_types::choose_bug(bug.number);
    match bug.found {
        Found::Simulated(store) => simulated(store),
        Found::AtPoints(place, part) => at_points(place, part),
    }
}

/// Has statements fail in a part of the script.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn at_points(place: Place, part: &str) -> anyhow::Result<ExitCode> {
    let suite = Suite { place, program: None };
    let wanted = Wanted {
        deeds: usize::MAX,
        occurrences: 1,
        text: Some(part.to_owned()),
        one_of: 1,
    };
    let outcome = suite.run(&wanted)?;
    let Some(wrong) = outcome.wrong().next() else {
        println!("not found in {} histories", outcome.played.len());
        return Ok(ExitCode::FAILURE);
    };
    let points = wrong.plan.iter();
    let points: Vec<String> = points
        .map(|planned| format!("{} {}", planned.kind, planned.point))
        .collect();
    let problem = wrong.ended.problems.first().map_or("", String::as_str);
    println!(
        "{}: {}",
        points.join(", then "),
        problem.lines().next().unwrap_or_default()
    );
    Ok(ExitCode::SUCCESS)
}

/// Plays seeds until one goes wrong.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn simulated(store: StoreKind) -> anyhow::Result<ExitCode> {
    let began = Instant::now();
    let mut seed = 0;
    while began.elapsed() < LIMIT {
        let Ok(run) = panic::catch_unwind(|| simulate(seed, store)) else {
            println!("seed {seed}: it panicked");
            return Ok(ExitCode::SUCCESS);
        };
        if let Some(problem) = run?.problems.first() {
            println!("seed {seed}: {problem}");
            return Ok(ExitCode::SUCCESS);
        }
        seed += 1;
    }
    println!("not found in {seed} seeds");
    Ok(ExitCode::FAILURE)
}

/// Makes every mistake, each in a process of its own, and prints what was found.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn all() -> anyhow::Result<ExitCode> {
    let program = std::env::current_exe().context("this program cannot be found")?;
    let (next, found) = (AtomicUsize::new(0), AtomicUsize::new(0));
    let make_some = || -> anyhow::Result<()> {
        while let Some(bug) = ALL.get(next.fetch_add(1, Ordering::Relaxed)) {
            let began = Instant::now();
            let output = Command::new(&program)
                .args(["--bug", &bug.number.to_string()])
                .output()
                .context("a mistake cannot be made")?;
            found.fetch_add(usize::from(output.status.success()), Ordering::Relaxed);
            let said = String::from_utf8_lossy(&output.stdout);
            let (number, store, what) = (bug.number, bug.found, bug.what);
            let seconds = began.elapsed().as_secs_f64();
            println!("{number:3} {store:6} {seconds:5.1} s  {what}: {}", said.trim());
        }
        Ok(())
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(make_some)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread panicked"))?)
    })?;
    let found = found.into_inner();
    println!("{} seeded bugs, {found} found", ALL.len());
    Ok(if found == ALL.len() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
