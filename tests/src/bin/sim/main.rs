//! `cargo xtask sim`: plays the runs of many seeds, and says what went wrong in which.

mod record;

use std::panic;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use clap::Parser;
use record::Record;
use tests::simulation::{Counts, Run, Temper, play_with, shrink};
use tests::{Progress, StoreKind};

/// How many seeds a recorded run plays before it writes down how far it is.
const PORTION: u64 = 2_000;

/// Runs workers that crash, stall and fail, in virtual time, and verifies every history.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask sim",
    after_help = "Examples:\n  cargo xtask sim --seeds 1000\n  cargo xtask sim --seed 42 --store memory\n  \
                  cargo xtask sim --seeds 20000 --store memory --workers 4 --steps 20\n  \
                  cargo xtask sim --seeds 1000000 --store memory --record target/sim.json"
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
    /// How many workers there are; 1 to 4 by default.
    #[arg(long)]
    workers: Option<u64>,
    /// How many steps each task has; 1 to 30 by default.
    #[arg(long)]
    steps: Option<u64>,
    /// Stop after so many seconds.
    #[arg(long)]
    seconds: Option<u64>,
    /// Keep count in this file, and go on after the seeds that it has.
    #[arg(long, requires = "store", conflicts_with = "seed")]
    record: Option<PathBuf>,
    /// Print the digest of every run.
    #[arg(long)]
    digests: bool,
}

/// Which seeds to play, and how.
struct Plan {
    kind: StoreKind,
    first: u64,
    seeds: u64,
    until: Option<Instant>,
    workers: Option<u64>,
    steps: Option<u64>,
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
    let began = Instant::now();
    let mut total = Record::default();
    for kind in args
        .store
        .map_or_else(|| StoreKind::ALL.to_vec(), |kind| vec![kind])
    {
        let seeds = args.seeds.unwrap_or(if args.seed.is_some() { 1 } else { 100 });
        let plan = Plan {
            kind,
            first: args.seed.unwrap_or(0),
            seeds,
            until: args.seconds.map(|seconds| began + Duration::from_secs(seconds)),
            workers: args.workers,
            steps: args.steps,
            digests: args.digests || seeds == 1,
        };
        total += match &args.record {
            Some(file) => plan.recorded(file)?,
            None => {
                let (counts, wrong) = plan.play()?;
                println!("{kind}: {counts}");
                Record::of(&counts, wrong)
            }
        };
    }
    println!("{total}");
    Ok(if total.violations == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

impl Plan {
    /// Plays the seeds that a file does not have yet, and keeps count in it.
    fn recorded(mut self, file: &std::path::Path) -> anyhow::Result<Record> {
        let mut record = Record::read(file)?;
        let last = self.first + self.seeds;
        while record.histories < last && !self.is_over() {
            self.first = record.histories;
            self.seeds = (last - record.histories).min(PORTION);
            let (counts, wrong) = self.play()?;
            record += Record::of(&counts, wrong);
            record.write(file)?;
        }
        Ok(record)
    }

    fn is_over(&self) -> bool {
        self.until.is_some_and(|until| Instant::now() >= until)
    }

    /// Plays seeds on all cores; returns what happened, and in how many something was wrong.
    fn play(&self) -> anyhow::Result<(Counts, u64)> {
        let next = AtomicU64::new(0);
        let progress = Progress::new(format!("{} histories", self.kind), self.seeds);
        let sum = Mutex::new((Counts::default(), 0));
        let play_some = || -> anyhow::Result<()> {
            while !self.is_over() {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= self.seeds {
                    break;
                }
                let run = self.one(self.first + number)?;
                let mut sum = sum
                    .lock()
                    .map_err(|_| anyhow::anyhow!("another thread panicked"))?;
                sum.0 += run.counts;
                sum.1 += u64::from(self.is_wrong(&run)?);
                progress.one_more();
            }
            Ok(())
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

    fn one(&self, seed: u64) -> anyhow::Result<Run> {
        let temper = Temper::of(seed).sized(self.workers, self.steps);
        panic::catch_unwind(|| play_with(seed, temper, |clock| self.kind.open(clock)))
            .map_err(|_| anyhow::anyhow!("seed {seed} panicked on {}", self.kind))?
            .context("a runtime could not be made")
    }

    /// Tells whether something went wrong in a run, and prints the smallest run in which it does.
    #[expect(
        clippy::print_stdout,
        reason = "a command's answer goes to its standard output"
    )]
    fn is_wrong(&self, run: &Run) -> anyhow::Result<bool> {
        let Self {
            kind, workers, steps, ..
        } = *self;
        if self.digests {
            println!("{kind}: seed {}: {}", run.seed, run.digest);
        }
        if run.problems.is_empty() {
            return Ok(false);
        }
        println!("{kind}: seed {} went wrong", run.seed);
        for problem in &run.problems {
            println!("  {problem}");
        }
        let temper = Temper::of(run.seed).sized(workers, steps);
        if let Some((temper, run)) = shrink(run.seed, temper, |clock| kind.open(clock))? {
            println!("the smallest run of this seed in which something goes wrong: {temper}");
            for problem in &run.problems {
                println!("  {problem}");
            }
            println!("{}", run.history);
        }
        Ok(true)
    }
}
