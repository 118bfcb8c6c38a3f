//! `cargo xtask chaos`: kills, stops and cuts off workers, and their server with them, and checks what is left.

mod check;
mod worker;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow};
use clap::{Parser, Subcommand};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::json;
use tasker::{Actor, Entropy, SeededEntropy, StepBuilder, TaskRequest, Tasker, Template};
use tasker_testkit::{Cluster, Durability};
use tokio::time::sleep;

/// How often workers are looked at.
const LOOK: Duration = Duration::from_millis(50);
/// How long what is unfinished has in the end, without any trouble.
const PATIENCE: Duration = Duration::from_secs(180);

/// Runs tasks with several worker processes on one PostgreSQL server while workers are killed, and stopped for longer than
/// their leases, and the server is restarted or crashes; then checks that each step was recorded once for each attempt.
#[derive(Debug, Parser)]
#[command(
    name = "cargo xtask chaos",
    args_conflicts_with_subcommands = true,
    after_help = "Examples:\n  cargo xtask chaos\n  cargo xtask chaos --seconds 300 --workers 8 --seed 7"
)]
struct Args {
    /// How many worker processes there are.
    #[arg(long, default_value_t = 4)]
    workers: usize,
    /// For how many seconds there is trouble.
    #[arg(long, default_value_t = 60)]
    seconds: u64,
    /// How many tasks of six steps are created each second.
    #[arg(long, default_value_t = 20)]
    rate: u64,
    /// What the trouble follows from.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    #[command(subcommand)]
    command: Option<Hidden>,
}

#[derive(Debug, Subcommand)]
enum Hidden {
    /// Work until told to stop
    #[command(hide = true)]
    Work {
        /// The database.
        url: String,
        /// Where handlers write down that they began.
        log: PathBuf,
    },
}

/// What was done to them.
#[derive(Clone, Copy, Debug, Default)]
struct Trouble {
    kills: u64,
    stops: u64,
    restarts: u64,
    crashes: u64,
}

/// A worker process; it is killed when it is dropped.
struct Worker {
    child: Child,
    /// When it goes on, if it is stopped.
    stopped_until: Option<Instant>,
}

impl Worker {
    fn start(url: &str, log: &Path) -> anyhow::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("work").arg(url).arg(log).stdin(Stdio::null());
        Ok(Self {
            child: command.spawn().context("a worker cannot be started")?,
            stopped_until: None,
        })
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        Ok(kill_process(Pid::from_child(&self.child), signal)?)
    }

    fn kill(&mut self) -> anyhow::Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.kill();
    }
}

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    match &args.command {
        Some(Hidden::Work { url, log }) => runtime.block_on(worker::work(url, log))?,
        None => return runtime.block_on(chaos(&args)),
    }
    Ok(ExitCode::SUCCESS)
}

/// Two branches of two steps between a first and a last one.
fn template() -> anyhow::Result<Arc<Template>> {
    let step = |name: &str, parents: &[&str]| {
        StepBuilder::new(name, "work")
            .retry_limit(10_000)
            .depends_on(parents.iter().copied())
    };
    Ok(Template::builder("chaos")
        .step(step("first", &[]))
        .step(step("a1", &["first"]))
        .step(step("b1", &["first"]))
        .step(step("a2", &["a1"]))
        .step(step("b2", &["b1"]))
        .step(step("last", &["a2", "b2"]))
        .build()?)
}

#[expect(
    clippy::print_stdout,
    reason = "a command's answer goes to its standard output"
)]
async fn chaos(args: &Args) -> anyhow::Result<ExitCode> {
    let cluster = Cluster::start(Durability::Full).map_err(anyhow::Error::msg)?;
    let place = tempfile::tempdir()?;
    let log = place.path().join("began.log");
    let tasker = worker::connect(cluster.url()).await?;
    let dice = SeededEntropy::new(args.seed);
    let mut workers = Vec::new();
    for _ in 0..args.workers.max(1) {
        workers.push(Worker::start(cluster.url(), &log)?);
    }
    let (mut trouble, mut problems) = (Trouble::default(), Vec::new());
    let template = template()?;
    let begun = Instant::now();
    let mut tasks = 0;
    let mut next_server = Duration::from_secs(8);
    while begun.elapsed().as_secs() < args.seconds {
        let due = begun.elapsed().as_millis() as u64 * args.rate / 1_000;
        while tasks < due && create(&tasker, &template, tasks).await? {
            tasks += 1;
        }
        look_after(&mut workers, &mut problems, cluster.url(), &log)?;
        let which = usize::try_from(dice.next_u64() % workers.len() as u64)?;
        let worker = &mut workers[which];
        match dice.next_u64() % 40 {
            0 => {
                worker.kill()?;
                *worker = Worker::start(cluster.url(), &log)?;
                trouble.kills += 1;
            }
            1 if worker.stopped_until.is_none() => {
                worker.signal(Signal::STOP)?;
                let past = worker::LEASE + Duration::from_millis(dice.next_u64() % 2_000);
                worker.stopped_until = Some(Instant::now() + past);
                trouble.stops += 1;
            }
            _ => {}
        }
        if begun.elapsed() > next_server {
            if dice.next_u64().is_multiple_of(2) {
                cluster.restart().map_err(anyhow::Error::msg)?;
                trouble.restarts += 1;
            } else {
                cluster.crash().map_err(anyhow::Error::msg)?;
                trouble.crashes += 1;
            }
            next_server = begun.elapsed() + Duration::from_millis(6_000 + dice.next_u64() % 8_000);
        }
        sleep(LOOK).await;
    }
    let end = Instant::now() + PATIENCE;
    while check::unfinished(&tasker).await? > 0 {
        look_after(&mut workers, &mut problems, cluster.url(), &log)?;
        if Instant::now() > end {
            problems.push(format!(
                "after {PATIENCE:?} without trouble there is unfinished work"
            ));
            break;
        }
        sleep(LOOK).await;
    }
    for worker in &mut workers {
        worker.signal(Signal::CONT)?;
        worker.signal(Signal::TERM)?;
    }
    for worker in &mut workers {
        let status = worker.child.wait()?;
        if !status.success() {
            problems.push(format!("a worker that was asked to stop ended with {status}"));
        }
    }
    let found = check::check(&tasker, tasks, &log).await?;
    problems.extend(found.problems);
    for problem in &problems {
        println!("{problem}");
    }
    let Trouble {
        kills,
        stops,
        restarts,
        crashes,
    } = trouble;
    println!(
        "{} workers, {tasks} tasks, {} steps, {} attempts, {kills} kills, {stops} stops past the lease, {restarts} restarts and \
         {crashes} crashes of the server, {} expiries",
        args.workers, found.steps, found.attempts, found.expiries
    );
    println!(
        "{tasks} histories, {} transitions, {} violations",
        found.transitions,
        problems.len()
    );
    Ok(if problems.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

/// Lets stopped workers go on whose time it is; a worker that ended without being asked to is a problem.
fn look_after(
    workers: &mut [Worker],
    problems: &mut Vec<String>,
    url: &str,
    log: &Path,
) -> anyhow::Result<()> {
    for worker in workers {
        if worker.stopped_until.is_some_and(|until| Instant::now() >= until) {
            worker.signal(Signal::CONT)?;
            worker.stopped_until = None;
        }
        if let Some(status) = worker.child.try_wait()? {
            problems.push(format!("a worker ended by itself, with {status}"));
            *worker = Worker::start(url, log)?;
        }
    }
    Ok(())
}

/// Creates a task, or finds that it was created by a request whose answer was lost; `false` while the server does not answer.
async fn create(tasker: &Tasker, template: &Arc<Template>, number: u64) -> anyhow::Result<bool> {
    let request = TaskRequest::new(Arc::clone(template))
        .context(json!({ "number": number }))
        .idempotency_key(format!("task {number}"));
    match tasker.create(request, Actor::User("chaos".to_owned())).await {
        Ok(_) => Ok(true),
        Err(tasker::RunError::Store(error)) if error.is_transient() => {
            writeln!(std::io::stderr(), "task {number} waits: {error}")?;
            Ok(false)
        }
        Err(error) => Err(anyhow!(error)),
    }
}
