//! `tasker worker`: runs whatever there is, until it is stopped.

use serde::Serialize;
use tasker::Scope;
use tasker_types::TaskState;
use tokio::sync::broadcast;

use crate::args::WorkerArguments;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::signals::Signals;
use crate::work::Job;

/// How many tasks ended while this worker ran, by its own last step.
#[derive(Debug, Default, Serialize)]
struct Worked {
    completed: u64,
    failed: u64,
}

/// Works until a signal comes, or until nothing is left when that was asked for.
pub(super) fn run(session: &Session, _: &WorkerArguments) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let view = session.view();
        let signals = Signals::listen(&view, session.grace())?;
        let worker = tasker.worker(Scope::All);
        let mut finished = worker.handle().finished();
        let place = session.location()?;
        view.say(&format!("working on the tasks of {place}; Ctrl-C stops"));
        let mut worked = Worked::default();
        let stop = signals.stop.clone();
        let retaining = tasker.clone();
        let retaining = tokio::spawn(async move { retaining.retain().await });
        let job = Job::start(worker, &signals);
        let watched = job
            .watched_by(async {
                loop {
                    let (task, state) = tokio::select! {
                        () = stop.cancelled() => return Ok(()),
                        ended = finished.recv() => match ended {
                            Ok(ended) => ended,
                            Err(broadcast::error::RecvError::Lagged(_)) => continue,
                            Err(broadcast::error::RecvError::Closed) => return Ok(()),
                        },
                    };
                    match state {
                        TaskState::Complete => worked.completed += 1,
                        _ => worked.failed += 1,
                    }
                    view.say(&format!("task {task} is {state}"));
                }
            })
            .await;
        retaining.abort();
        view.close();
        watched?;
        session.output().result(&worked, || match session.output() {
            Output::Quiet => String::new(),
            _ => format!("{} tasks completed, {} failed\n", worked.completed, worked.failed),
        })?;
        Ok(Exit::Done)
    })
}
