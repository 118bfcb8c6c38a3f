//! A worker process: one handler, which writes down that it began.

use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tasker::{Entropy as _, Scope, StepContext, StepError, SystemEntropy, Tasker, TaskerBuilder, handler};
use tasker_config::Loader;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// How long a lease lasts.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

fn builder(url: &str) -> anyhow::Result<TaskerBuilder> {
    let config = Loader::new()
        .set("execution.lease_seconds", LEASE.as_secs_f64())
        .set("execution.heartbeat_seconds", 0.5)
        .set("execution.max_concurrent_steps", 8)
        .set("backoff.default_backoff_seconds", vec![0])
        .load()?;
    Ok(Tasker::builder().config(config).postgres(url))
}

/// Returns a Tasker on a server that answers.
pub(crate) async fn connect(url: &str) -> anyhow::Result<Tasker> {
    Ok(builder(url)?.connect().await?)
}

/// Works until it is told to stop.
pub(crate) async fn work(url: &str, log: &Path) -> anyhow::Result<()> {
    let log = OpenOptions::new().create(true).append(true).open(log)?;
    let log = Arc::new(log);
    let run = handler(move |ctx: StepContext| run(ctx, Arc::clone(&log)));
    // The server may be away while a worker starts.
    let tasker = loop {
        match builder(url)?.handler("work", Arc::clone(&run)).connect().await {
            Ok(tasker) => break tasker,
            Err(tasker::BuildError::Store(error)) if error.is_transient() => {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Err(error) => return Err(error.into()),
        }
    };
    let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut term = signal(SignalKind::terminate())?;
    let asked = stop.clone();
    tokio::spawn(async move {
        term.recv().await;
        asked.cancel();
    });
    tasker.worker(Scope::All).run(stop, abort).await?;
    tasker.close().await.context("the store is closed")
}

/// Writes down that an attempt began, takes a while, and fails now and then; the result is what was written down.
async fn run(ctx: StepContext, log: Arc<File>) -> Result<String, StepError> {
    let dice = SystemEntropy.next_u64();
    let nonce = format!("{dice:016x}");
    let line = format!("{} {} {nonce}\n", ctx.task_id(), ctx.step_name());
    // One write, so that lines of many processes do not mix.
    (&*log).write_all(line.as_bytes())?;
    tokio::time::sleep(Duration::from_millis(dice % 60)).await;
    if (dice / 60).is_multiple_of(10) {
        return Err(StepError::retryable("it failed this time"));
    }
    Ok(nonce)
}
