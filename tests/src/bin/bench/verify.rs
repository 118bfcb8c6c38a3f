//! How long `tasker verify` takes over a database that has seen much work.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{Actor, Clock as _, Create, Entropy as _, NewTask, Store};
use tasker_store::{PostgresOptions, PostgresStore, SqliteOptions, SqliteStore};
use tasker_testkit::{Cluster, Durability};
use tasker_types::{TaskState, WorkerId};
use tokio_util::sync::CancellationToken;

use crate::engine::{diamond, new_task, runtime, worker};
use crate::figure::{Figure, Figures};

/// How many tasks are created at once.
const TOGETHER: usize = 1_000;

/// How many steps a worker takes at once.
const BATCH: u32 = 200;

/// How long a million steps may take, in seconds.
const LIMIT: f64 = 30.0;

/// Measures the check of as many steps, in tasks of four, which a worker ran.
pub(crate) fn bench(store: &str, steps: usize, figures: &mut Figures) -> anyhow::Result<()> {
    let tasks = steps.div_ceil(4);
    let name = format!("{store}_verify_{}_steps", tasks * 4);
    let program = crate::tasker()?;
    let mut verify = Command::new(program);
    let took = if store == "postgres" {
        let cluster = Cluster::start(Durability::Full).map_err(anyhow::Error::msg)?;
        runtime()?.block_on(async {
            let opened = PostgresStore::open(PostgresOptions::new(cluster.url())).await?;
            fill(Arc::new(opened.clone()), tasks).await?;
            opened.close().await?;
            anyhow::Ok(())
        })?;
        verify.args(["--set", &format!("database.url={}", cluster.url())]);
        measure(verify, tasks)?
    } else {
        let directory = tempfile::tempdir()?;
        runtime()?.block_on(async {
            let opened = open(directory.path())?;
            fill(Arc::new(opened.clone()), tasks).await?;
            opened.close().await?;
            anyhow::Ok(())
        })?;
        verify.arg("--data-dir").arg(directory.path());
        measure(verify, tasks)?
    };
    figures.add(
        Figure::new(&name, "s", took.as_secs_f64())
            .beside("thirty seconds for a million", LIMIT * (tasks * 4) as f64 / 1e6)
            .at_most(1.0),
    );
    Ok(())
}

fn open(directory: &Path) -> anyhow::Result<SqliteStore> {
    let options = SqliteOptions::new(directory.join("tasker.db"), Arc::new(SystemClock));
    Ok(SqliteStore::open(options)?)
}

/// Creates tasks, and has a worker run them.
async fn fill(store: Arc<dyn Store>, tasks: usize) -> anyhow::Result<()> {
    let template = diamond()?;
    let creator = WorkerId::new(SystemClock.now(), SystemEntropy.next_u128());
    let worker = worker(Arc::clone(&store), BATCH * 2, BATCH)?;
    let mut finished = worker.handle().finished();
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
    let mut left = tasks;
    while left > 0 {
        let some = left.min(TOGETHER);
        let new: Vec<NewTask> = (0..some).map(|_| new_task(&template)).collect();
        store.create(Create::new(creator, Actor::System, new)).await?;
        for _ in 0..some {
            let (task, state) = finished.recv().await.context("the worker ended too early")?;
            anyhow::ensure!(state == TaskState::Complete, "task {task} ended as {state}");
        }
        left -= some;
    }
    stop.cancel();
    running.await??;
    Ok(())
}

/// Runs the command, which must find every task and nothing wrong.
fn measure(mut verify: Command, tasks: usize) -> anyhow::Result<Duration> {
    verify.arg("verify").stdin(Stdio::null());
    let began = Instant::now();
    let output = verify.output().context("`tasker verify` cannot be started")?;
    let took = began.elapsed();
    let told = String::from_utf8_lossy(&output.stdout);
    anyhow::ensure!(
        output.status.success() && told.starts_with(&format!("{tasks} histories, ")),
        "`tasker verify` found: {told}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(took)
}
