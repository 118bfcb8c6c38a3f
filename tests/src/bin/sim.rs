//! `cargo xtask sim`: plays the runs of many seeds, and says what went wrong in which.

use std::panic;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use anyhow::Context as _;
use clap::Parser;
use tests::StoreKind;
use tests::simulation::{Counts, simulate};

/// Runs workers that crash, stall and fail, in virtual time, and verifies every history.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask sim",
    after_help = "Examples:\n  cargo xtask sim --seeds 1000\n  cargo xtask sim --seed 42 --store memory"
)]
struct Args {
    /// How many seeds to play, from `--seed` on; 100 by default, 1 with `--seed` alone.
    #[arg(long)]
    seeds: Option<u64>,
    /// The seed to begin with.
    #[arg(long)]
    seed: Option<u64>,
    /// The store: memory or sqlite; every one by default.
    #[arg(long, value_parser = store)]
    store: Option<StoreKind>,
    /// Print the digest of every run.
    #[arg(long)]
    digests: bool,
}

fn store(name: &str) -> Result<StoreKind, String> {
    let known = StoreKind::ALL.iter().copied().find(|kind| kind.as_str() == name);
    known.ok_or_else(|| {
        let names: Vec<_> = StoreKind::ALL.iter().map(|kind| kind.as_str()).collect();
        format!("there is no store `{name}`, but: {}", names.join(", "))
    })
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let first = args.seed.unwrap_or(0);
    let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 100 });
    let kinds = args
        .store
        .map_or_else(|| StoreKind::ALL.to_vec(), |kind| vec![kind]);
    let mut failed = 0;
    for kind in kinds {
        let (counts, wrong) = play(kind, first, seeds, args.digests || seeds == 1)?;
        println!("{kind}: {counts}; {wrong} seeds went wrong");
        failed += wrong;
    }
    Ok(if failed == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Plays seeds on all cores; returns what happened, and in how many something was wrong.
#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
fn play(kind: StoreKind, first: u64, seeds: u64, digests: bool) -> anyhow::Result<(Counts, u64)> {
    let next = AtomicU64::new(0);
    let sum = Mutex::new((Counts::default(), 0));
    let play_some = || -> anyhow::Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return Ok(());
            }
            let seed = first + number;
            let run = panic::catch_unwind(|| simulate(seed, kind))
                .map_err(|_| anyhow::anyhow!("seed {seed} panicked on {kind}"))?
                .context("a runtime could not be made")?;
            let mut sum = sum
                .lock()
                .map_err(|_| anyhow::anyhow!("another thread panicked"))?;
            sum.0 += run.counts;
            if digests {
                println!("{kind}: seed {}: {}", run.seed, run.digest);
            }
            if !run.problems.is_empty() {
                sum.1 += 1;
                println!("{kind}: seed {} went wrong", run.seed);
                for problem in &run.problems {
                    println!("  {problem}");
                }
                println!("{}", run.history);
            }
        }
    };
    thread::scope(|scope| {
        let threads = thread::available_parallelism().map_or(1, usize::from);
        let running: Vec<_> = (0..threads).map(|_| scope.spawn(play_some)).collect();
        running
            .into_iter()
            .try_for_each(|thread| thread.join().map_err(|_| anyhow::anyhow!("a run panicked"))?)
    })?;
    sum.into_inner().map_err(|_| anyhow::anyhow!("a run panicked"))
}
