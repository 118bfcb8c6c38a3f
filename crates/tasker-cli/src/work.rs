//! Runs a worker in this process while someone watches.

use std::time::Duration;

use tasker::{StoreError, Transition, Worker};
use tasker_types::{TaskId, TaskState};
use tokio::sync::broadcast;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use crate::exit::Problem;
use crate::signals::Signals;
use crate::view::View;
use crate::view::follow::Follower;

/// How often a view looks for news, and is drawn at most.
pub(crate) const FRAME: Duration = Duration::from_millis(100);

/// A worker that runs beside the command.
#[derive(Debug)]
pub(crate) struct Job {
    running: JoinHandle<Result<(), StoreError>>,
    shutdown: CancellationToken,
}

impl Job {
    /// Starts a worker.
    pub(crate) fn start(worker: Worker, signals: &Signals) -> Self {
        let shutdown = signals.stop.child_token();
        let running = tokio::spawn(worker.run(shutdown.clone(), signals.abort.clone()));
        Self { running, shutdown }
    }

    /// Lets the worker work until the watcher has seen enough or a signal comes; then stops it, while the watcher
    /// goes on watching.
    ///
    /// # Errors
    ///
    /// What ended the worker or the watcher before its time.
    pub(crate) async fn watched_by(
        mut self,
        watcher: impl Future<Output = Result<(), StoreError>>,
    ) -> Result<(), Problem> {
        let mut watcher = std::pin::pin!(watcher);
        let mut seen = None;
        let stopped = loop {
            tokio::select! {
                stopped = &mut self.running => break stopped,
                result = &mut watcher, if seen.is_none() => {
                    seen = Some(result);
                    self.shutdown.cancel();
                }
            }
        };
        match stopped {
            Ok(result) => result?,
            Err(error) => {
                return Err(Problem::store("worker", "the worker ended too early").caused_by(&error));
            }
        }
        seen.unwrap_or(Ok(()))?;
        Ok(())
    }

    /// Stops the worker and waits for its end.
    pub(crate) async fn stop(self) -> Result<(), Problem> {
        self.watched_by(async { Ok(()) }).await
    }
}

/// Watches a task until it is no longer active.
pub(crate) async fn watch_task(
    follower: &mut Follower,
    view: &View,
    mut finished: Option<broadcast::Receiver<(TaskId, TaskState)>>,
) -> Result<(), StoreError> {
    let mut ticks = tokio::time::interval(FRAME);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        refresh_and_tell(follower, view).await?;
        if !follower.model().state.is_active() {
            return Ok(());
        }
        // A worker in this process says at once when the task ends; other processes are noticed by looking.
        tokio::select! {
            _ = ticks.tick() => {}
            () = next(&mut finished) => {}
        }
    }
}

/// Takes in the news of a task, and shows and tells them.
pub(crate) async fn refresh_and_tell(follower: &mut Follower, view: &View) -> Result<(), StoreError> {
    let template = follower.template();
    refresh(follower, view, &mut |transition| view.tell(transition, &template)).await
}

/// Takes in the news of a task and shows them; each transition is handed to `told`.
pub(crate) async fn refresh(
    follower: &mut Follower,
    view: &View,
    told: &mut dyn FnMut(&Transition),
) -> Result<(), StoreError> {
    match follower.refresh(told).await {
        Err(error) if error.is_transient() => tracing::debug!(%error, "the view waits for the store"),
        result => {
            result?;
        }
    }
    for (step, said) in follower.said() {
        view.tell_said(follower.now(), &step, &said);
    }
    view.show(follower.model(), follower.now());
    Ok(())
}

async fn next(finished: &mut Option<broadcast::Receiver<(TaskId, TaskState)>>) {
    let closed = match finished {
        Some(receiver) => matches!(receiver.recv().await, Err(broadcast::error::RecvError::Closed)),
        None => std::future::pending().await,
    };
    if closed {
        // Nothing more will come; the ticks go on.
        *finished = None;
    }
}
