//! What the engine does, with everything that it does for users: history, results, leases.

use std::sync::Arc;
use std::time::Instant;

use anyhow::Context as _;
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{
    Actor, Clock as _, Create, Entropy as _, Handlers, Json, NewTask, Resolve, Resolved, StepBuilder,
    StepHandler, Store, Template, Unresolved, Worker, WorkerSetup, handler,
};
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_types::{ExecutionValues, HandlerRef, Namespace, TaskId, TaskState, Version, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::figure::median;

/// A large task.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Shape {
    /// All steps side by side.
    Wide,
    /// Each step after another.
    Chain,
}

/// How a large task ran.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
pub(crate) struct Ran {
    pub(crate) seconds: f64,
    pub(crate) peak_mb: f64,
}

struct Nothing(Arc<dyn StepHandler>);

impl Resolve for Nothing {
    fn resolve(&self, _: &Namespace, _: &HandlerRef) -> Result<Resolved, Unresolved> {
        Ok(Resolved {
            handler: Arc::clone(&self.0),
            version: Version::new(1, 0, 0),
        })
    }
}

pub(crate) fn chain(steps: usize) -> anyhow::Result<Arc<Template>> {
    let steps = (0..steps).map(|number| {
        let step = StepBuilder::new(format!("s{number}"), "nothing");
        if number == 0 {
            step
        } else {
            step.depends_on([format!("s{}", number - 1)])
        }
    });
    Ok(steps
        .fold(Template::builder("chain"), |template, step| template.step(step))
        .build()?)
}

/// Returns a step, two after it side by side, and one after both.
pub(crate) fn diamond() -> anyhow::Result<Arc<Template>> {
    let step = |name: &str| StepBuilder::new(name, "nothing");
    Ok(Template::builder("diamond")
        .step(step("begin"))
        .step(step("left").depends_on(["begin"]))
        .step(step("right").depends_on(["begin"]))
        .step(step("end").depends_on(["left", "right"]))
        .build()?)
}

fn wide(steps: usize) -> anyhow::Result<Arc<Template>> {
    let steps = (0..steps).map(|number| StepBuilder::new(format!("s{number}"), "nothing"));
    Ok(steps
        .fold(Template::builder("wide"), |template, step| template.step(step))
        .build()?)
}

pub(crate) fn open(directory: &std::path::Path) -> anyhow::Result<Arc<SqliteStore>> {
    Ok(Arc::new(SqliteStore::open(SqliteOptions::new(
        directory.join("tasker.db"),
        Arc::new(SystemClock),
    ))?))
}

pub(crate) fn worker(store: Arc<dyn Store>, slots: u32, batch: u32) -> anyhow::Result<Worker> {
    let nothing = handler(async || Ok(json!({ "done": true })));
    worker_with(store, slots, batch, Nothing(nothing))
}

/// Returns a worker that has these handlers.
pub(crate) fn worker_with(
    store: Arc<dyn Store>,
    slots: u32,
    batch: u32,
    handlers: impl Resolve + 'static,
) -> anyhow::Result<Worker> {
    let handlers = Handlers::new(handlers);
    let mut setup = WorkerSetup::new(store, handlers, Arc::new(SystemClock), Arc::new(SystemEntropy));
    let values = ExecutionValues {
        max_concurrent_steps: Some(slots),
        claim_batch: batch,
        ..ExecutionValues::default()
    };
    setup.execution = Arc::new(values.try_into()?);
    Ok(Worker::new(setup))
}

pub(crate) fn new_task(template: &Arc<Template>) -> NewTask {
    let id = TaskId::new(SystemClock.now(), SystemEntropy.next_u128());
    NewTask::new(id, Arc::clone(template), Json::from(&json!({ "order": 7 })))
}

pub(crate) fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    Ok(tokio::runtime::Builder::new_multi_thread().enable_all().build()?)
}

/// Returns how many steps a second a worker runs of tasks with four steps in a row, from the first claim to the end of the
/// last task, checked to be complete.
pub(crate) fn steps_per_second(tasks: usize, batch: u32) -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let template = chain(4)?;
    runtime()?.block_on(async {
        let store = open(directory.path())?;
        let creator = WorkerId::new(SystemClock.now(), SystemEntropy.next_u128());
        let all: Vec<NewTask> = (0..tasks).map(|_| new_task(&template)).collect();
        for chunk in all.chunks(1_000) {
            store
                .create(Create::new(creator, Actor::System, chunk.to_vec()))
                .await?;
        }
        let worker = worker(Arc::<SqliteStore>::clone(&store), batch * 2, batch)?;
        let mut finished = worker.handle().finished();
        let stop = CancellationToken::new();
        let start = Instant::now();
        let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
        let mut left = tasks;
        while left > 0 {
            let (task, state) = finished.recv().await.context("the worker ended too early")?;
            anyhow::ensure!(state == TaskState::Complete, "task {task} ended as {state}");
            left -= 1;
        }
        let seconds = start.elapsed().as_secs_f64();
        stop.cancel();
        running.await??;
        store.close().await?;
        Ok((tasks * 4) as f64 / seconds)
    })
}

/// Returns the median time from the request of a task with four steps in a row to its end, alone, in milliseconds.
pub(crate) fn task_alone() -> anyhow::Result<f64> {
    let directory = tempfile::tempdir()?;
    let template = chain(4)?;
    runtime()?.block_on(async {
        let store = open(directory.path())?;
        let worker = worker(Arc::<SqliteStore>::clone(&store), 8, 50)?;
        let handle = worker.handle();
        let mut finished = handle.finished();
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
        let mut times = Vec::new();
        for _ in 0..200 {
            let start = Instant::now();
            handle.create(Actor::System, vec![new_task(&template)]).await?;
            finished.recv().await.context("the worker ended too early")?;
            times.push(start.elapsed());
        }
        stop.cancel();
        running.await??;
        Ok(median(&times))
    })
}

/// Runs one large task to its end.
pub(crate) fn run_shape(shape: Shape, steps: usize) -> anyhow::Result<Ran> {
    let directory = tempfile::tempdir()?;
    let template = match shape {
        Shape::Wide => wide(steps)?,
        Shape::Chain => chain(steps)?,
    };
    runtime()?.block_on(async {
        let store = open(directory.path())?;
        let worker = worker(Arc::<SqliteStore>::clone(&store), 400, 200)?;
        let handle = worker.handle();
        let mut finished = handle.finished();
        let stop = CancellationToken::new();
        let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
        let start = Instant::now();
        handle.create(Actor::System, vec![new_task(&template)]).await?;
        let (_, state) = finished.recv().await.context("the worker ended too early")?;
        anyhow::ensure!(state == TaskState::Complete, "the task ended as {state}");
        let seconds = start.elapsed().as_secs_f64();
        stop.cancel();
        running.await??;
        Ok(Ran {
            seconds,
            peak_mb: peak_mb()?,
        })
    })
}

/// Returns the most memory that this process had resident, in megabytes.
pub(crate) fn peak_mb() -> anyhow::Result<f64> {
    memory_mb("self", "VmHWM:")
}

/// Returns a kind of memory of a process, in megabytes.
pub(crate) fn memory_mb(process: &str, kind: &str) -> anyhow::Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))
        .context("the memory of a process is read from /proc")?;
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix(kind))
        .with_context(|| format!("there is no {kind}"))?;
    let kilobytes: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
    Ok(kilobytes / 1_024.0)
}
