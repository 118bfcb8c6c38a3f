//! `cargo xtask bench`: what the product does, measured beside what the machine does bare, in one run.
#![expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "a bench prints its figures"
)]

mod bare;
mod configuration;
mod engine;
mod figure;
mod graph;
mod held;
mod http;
mod postgres;
mod registry;
mod verify;
mod workers;

use std::path::PathBuf;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clap::{Parser, ValueEnum};
use figure::{Figure, Figures, median};

/// Measures throughput, latency, memory, start-up, the analysis of graphs, the registry and the configuration.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask bench",
    after_help = "Examples:\n  cargo xtask bench\n  cargo xtask bench throughput --tasks 2000\n  cargo xtask bench graph\n  cargo xtask bench registry\n  cargo xtask bench http\n  cargo xtask bench http --store sqlite --listed 100000\n  cargo xtask bench --store postgres\n  cargo xtask bench held --store postgres\n  cargo xtask bench verify --store postgres\n  cargo xtask bench --json figures.json\n  cargo xtask bench --against figures.json"
)]
struct Args {
    /// Write every figure with its name, unit, baseline and ratio to this file.
    #[arg(long)]
    json: Option<PathBuf>,
    /// Show the figures beside those of an earlier run, from the file that `--json` wrote.
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Measure only this: throughput, latency, memory, start-up, graph, registry, config or verify; of PostgreSQL throughput,
    /// one-by-one, latency, processes, held (a transaction, for a minute), or verify; or http, which nothing else brings along.
    #[arg(value_name = "BENCH")]
    only: Option<String>,
    /// Measure this store: sqlite, or postgres beside `pgbench`; by default both for http, and sqlite for all else.
    #[arg(long)]
    store: Option<Engine>,
    /// How many tasks of four steps the throughput is measured with.
    #[arg(long, default_value_t = 20_000)]
    tasks: usize,
    /// How many steps `tasker verify` has to check.
    #[arg(long, default_value_t = 1_000_000)]
    verified: usize,
    /// Among how many tasks the service finds some.
    #[arg(long, default_value_t = 1_000_000)]
    listed: usize,
    /// How many finished steps and claims one turn carries.
    #[arg(long, default_value_t = 200)]
    batch: u32,
    /// Run one shape to its end and print the peak of memory; for the bench itself.
    #[arg(long, hide = true)]
    shape: Option<engine::Shape>,
    /// Work on the tasks of this database until the process is ended; for the bench itself.
    #[arg(long, hide = true, requires = "schema")]
    work: Option<String>,
    /// The schema of that database.
    #[arg(long, hide = true)]
    schema: Option<String>,
    /// Analyse one graph and print what that took; for the bench itself.
    #[arg(long, hide = true)]
    graph: Option<graph::Graph>,
    /// How many steps that shape or graph has.
    #[arg(long, hide = true, default_value_t = 0)]
    steps: usize,
}

/// Where tasks are kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Engine {
    /// In a file.
    Sqlite,
    /// On a server.
    Postgres,
}

impl Engine {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Sqlite => "sqlite",
            Self::Postgres => "postgres",
        }
    }
}

/// What is measured on whichever store.
const BOTH: [&str; 2] = ["verify", "http"];

/// What is measured on SQLite, or without a store.
const SQLITE: [&str; 7] = [
    "throughput",
    "latency",
    "memory",
    "start-up",
    "graph",
    "registry",
    "config",
];

fn main() -> ExitCode {
    match run(&Args::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &Args) -> anyhow::Result<()> {
    if let Some(shape) = args.shape {
        println!(
            "{}",
            serde_json::to_string(&engine::run_shape(shape, args.steps)?)?
        );
        return Ok(());
    }
    if let (Some(url), Some(schema)) = (&args.work, &args.schema) {
        return workers::work(url, schema, args.batch);
    }
    if let Some(graph) = args.graph {
        println!("{}", serde_json::to_string(&graph::measure(graph, args.steps)?)?);
        return Ok(());
    }
    if let Some(only) = args.only.as_deref() {
        let known: &[&str] = match args.store {
            Some(Engine::Postgres) => &postgres::PARTS,
            _ => &SQLITE,
        };
        anyhow::ensure!(
            known.contains(&only) || BOTH.contains(&only),
            "there is no bench `{only}` here, but: {}, {}",
            known.join(", "),
            BOTH.join(", ")
        );
    }
    let mut figures = Figures::default();
    if args.only.as_deref() == Some("http") {
        if args.store != Some(Engine::Postgres) {
            http::sqlite(args.listed, &mut figures)?;
        }
        if args.store != Some(Engine::Sqlite) {
            http::postgres(args.listed, &mut figures)?;
        }
        return figures.finish(args.json.as_deref(), args.against.as_deref());
    }
    if args.only.as_deref() == Some("verify") {
        verify::bench(
            args.store.unwrap_or(Engine::Sqlite).as_str(),
            args.verified,
            &mut figures,
        )?;
        return figures.finish(args.json.as_deref(), args.against.as_deref());
    }
    if args.store == Some(Engine::Postgres) {
        postgres::measure(args.only.as_deref(), args.tasks, args.batch, &mut figures)?;
        return figures.finish(args.json.as_deref(), args.against.as_deref());
    }
    let wanted = |name: &str| args.only.as_deref().is_none_or(|only| only == name);
    if wanted("throughput") {
        throughput(args, &mut figures)?;
    }
    if wanted("latency") {
        latency(&mut figures)?;
    }
    if wanted("memory") {
        memory(&mut figures)?;
    }
    if wanted("start-up") {
        start_up(&mut figures)?;
    }
    if wanted("graph") {
        graph::bench(&mut figures)?;
    }
    if wanted("registry") {
        registry::bench(&mut figures)?;
    }
    if wanted("config") {
        configuration::bench(&mut figures)?;
    }
    if wanted("verify") {
        verify::bench("sqlite", args.verified, &mut figures)?;
    }
    figures.finish(args.json.as_deref(), args.against.as_deref())
}

/// Steps per second on SQLite, beside bare pairs of claim and completion by sets.
fn throughput(args: &Args, figures: &mut Figures) -> anyhow::Result<()> {
    let before = bare::pairs_per_second(args.batch as usize)?;
    let steps = engine::steps_per_second(args.tasks, args.batch)?;
    let after = bare::pairs_per_second(args.batch as usize)?;
    let baseline = f64::midpoint(before, after);
    let name = format!("sqlite_linear_4_batch_{}", args.batch);
    figures.add(
        Figure::new(&name, "steps/s", steps)
            .beside(
                &format!(
                    "bare pairs/s at batches of {} (mean of before and after)",
                    args.batch
                ),
                baseline,
            )
            .at_least(0.15),
    );
    Ok(())
}

/// One task of four steps alone, beside the disk.
fn latency(figures: &mut Figures) -> anyhow::Result<()> {
    let fsync = bare::fsync()?;
    let task = engine::task_alone()?;
    let again = bare::fsync()?;
    let fsync = f64::midpoint(fsync, again);
    figures.add(Figure::new("fsync_p50", "ms", fsync));
    figures.add(
        Figure::new("task_of_4_alone_p50", "ms", task)
            .beside("five fsyncs", fsync * 5.0)
            .at_most(1.1),
    );
    Ok(())
}

/// The peak of memory for large tasks, each in a process of its own, and for half as large ones.
fn memory(figures: &mut Figures) -> anyhow::Result<()> {
    let program = std::env::current_exe()?;
    for (shape, steps) in [("wide", 100_000), ("chain", 10_000)] {
        let mut peaks = Vec::new();
        for steps in [steps / 2, steps] {
            let output = Command::new(&program)
                .args(["--shape", shape, "--steps", &steps.to_string()])
                .stderr(Stdio::inherit())
                .output()?;
            anyhow::ensure!(
                output.status.success(),
                "the {shape} of {steps} steps did not end well"
            );
            let ran: engine::Ran = serde_json::from_slice(&output.stdout)?;
            figures.add(Figure::new(
                &format!("{shape}_{steps}_peak_memory"),
                "MB",
                ran.peak_mb,
            ));
            figures.add(Figure::new(&format!("{shape}_{steps}_time"), "s", ran.seconds));
            peaks.push(ran.peak_mb);
        }
        figures.add(
            Figure::new(&format!("{shape}_growth"), "MB", peaks[1])
                .beside("twice the half as large one", peaks[0] * 2.0)
                .at_most(1.0),
        );
    }
    Ok(())
}

/// Builds the program, and returns where it is.
fn tasker() -> anyhow::Result<PathBuf> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--quiet", "--release", "--locked", "-p", "tasker-cli"])
        .status()?;
    anyhow::ensure!(built.success(), "`tasker` cannot be built");
    Ok(std::env::current_exe()?.with_file_name("tasker"))
}

/// How long `tasker --help` takes as a whole process.
fn start_up(figures: &mut Figures) -> anyhow::Result<()> {
    let program = tasker()?;
    let times = (0..50)
        .map(|_| {
            let start = Instant::now();
            let status = Command::new(&program)
                .arg("--help")
                .stdout(Stdio::null())
                .status()?;
            anyhow::ensure!(status.success(), "`tasker --help` failed");
            Ok(start.elapsed())
        })
        .collect::<anyhow::Result<Vec<Duration>>>()?;
    figures.add(
        Figure::new("help_p50", "ms", median(&times))
            .beside("the limit", 10.0)
            .at_most(1.0),
    );
    Ok(())
}
