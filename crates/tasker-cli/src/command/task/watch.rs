//! `tasker task watch`.

use std::ops::ControlFlow;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use tasker::{StoreError, TaskReport, Tasker, Template, Transition};
use tasker_types::TaskId;
use tokio::time::{Instant, MissedTickBehavior};

use super::show::{Entry, entry};
use crate::args::Watch;
use crate::command::run::report;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::signals;
use crate::summary;
use crate::view::View;
use crate::view::follow::Follower;
use crate::view::model::Counts;
use crate::work::{FRAME, refresh};

/// How often a service is asked what has happened.
const REQUESTS: Duration = Duration::from_millis(500);

/// One line of `--json`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "snake_case")]
enum JsonLine<'a> {
    Transition(Entry<'a>),
    Task(&'a TaskReport),
}

/// Watches a task until it is no longer active, someone interrupts, or nobody reads any more.
pub(super) async fn run(session: &Session, tasker: &Tasker, arguments: &Watch) -> Result<Exit, Problem> {
    let task = session.find(tasker, &arguments.task).await?;
    let unknown = || Problem::from(StoreError::UnknownTask { task });
    let follower = Follower::start(Arc::clone(tasker.store()), task).await?;
    let view = match session.output() {
        // Lines and a drawing would overwrite each other.
        Output::Json => session.no_view(),
        _ => session.view(),
    };
    let follower = follower.ok_or_else(unknown)?;
    let mut teller = Teller {
        output: session.output(),
        view: view.clone(),
        template: follower.template(),
        told: Ok(ControlFlow::Continue(())),
        pace: match session.remote() {
            Some(_) => REQUESTS,
            None => FRAME,
        },
    };
    // From before the first line, so that whoever reads one can interrupt.
    let interruption = signals::interruption()?;
    let interrupted = tokio::select! {
        result = watch(follower, &mut teller) => {
            result?;
            false
        }
        () = interruption => true,
    };
    view.close();
    if session.output() == Output::Json {
        let report = tasker.report(task).await?.ok_or_else(unknown)?;
        let _ = Output::json_line(&JsonLine::Task(&report))?;
        return Ok(Exit::of_task(report.state));
    }
    if interrupted {
        left(session, tasker, task).await
    } else {
        report(session, tasker, task).await
    }
}

/// Says how far a task is that is watched no longer.
async fn left(session: &Session, tasker: &Tasker, task: TaskId) -> Result<Exit, Problem> {
    let Some(report) = tasker.report(task).await? else {
        return Err(StoreError::UnknownTask { task }.into());
    };
    session.output().result(&report, || match session.output() {
        Output::Quiet => String::new(),
        _ => format!(
            "{}  tasker task watch {task}    watches it again; it was left alone\n",
            summary::headline(&report, session.layout().colours)
        ),
    })?;
    Ok(Exit::Interrupted)
}

async fn watch(mut follower: Follower, teller: &mut Teller) -> Result<(), Problem> {
    let view = teller.view.clone();
    if teller.output == Output::Json || view.tells() {
        follower
            .recount(&mut |transition| teller.tell(transition))
            .await?;
    }
    let mut idle = Idle::default();
    let mut ticks = tokio::time::interval(teller.pace);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        refresh(&mut follower, &view, &mut |transition| teller.tell(transition)).await?;
        let model = follower.model();
        if !model.state.is_active() || teller.told.clone()?.is_break() {
            return Ok(());
        }
        if idle.is_noticed(&model.counts(follower.now()), Instant::now()) {
            view.say(&format!(
                "nothing runs the task at present; `tasker resume {}` would",
                model.id
            ));
        }
        ticks.tick().await;
    }
}

/// Tells of transitions in the form that was asked for.
#[derive(Debug)]
struct Teller {
    output: Output,
    view: View,
    template: Arc<Template>,
    /// How often it is looked for something to tell.
    pace: Duration,
    /// Whether what was told has been read so far.
    told: Result<ControlFlow<()>, Problem>,
}

impl Teller {
    fn tell(&mut self, transition: &Transition) {
        match (self.output, &self.told) {
            (Output::Json, Ok(ControlFlow::Continue(()))) => {
                self.told = Output::json_line(&JsonLine::Transition(entry(transition, &self.template)));
            }
            (Output::Json, _) => {}
            _ => self.view.tell(transition, &self.template),
        }
    }
}

/// How long steps may be ready, and none running, before that is said.
const PATIENCE: Duration = Duration::from_secs(3);

/// Notices that nobody works on a task.
#[derive(Debug, Default)]
struct Idle {
    since: Option<Instant>,
    told: bool,
}

impl Idle {
    /// Tells, once, that steps have been ready and none running for long enough.
    fn is_noticed(&mut self, counts: &Counts, now: Instant) -> bool {
        if counts.running > 0 || counts.ready == 0 {
            *self = Self::default();
            return false;
        }
        let since = *self.since.get_or_insert(now);
        let noticed = !self.told && now.duration_since(since) >= PATIENCE;
        self.told |= noticed;
        noticed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nobody_at_work_is_noticed_once() {
        let ready = Counts {
            ready: 1,
            ..Counts::default()
        };
        let running = Counts { running: 1, ..ready };
        let mut idle = Idle::default();
        let mut look = async |counts: &Counts, seconds| {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            idle.is_noticed(counts, Instant::now())
        };
        assert!(!look(&ready, 0).await);
        assert!(!look(&ready, 2).await);
        assert!(look(&ready, 1).await);
        assert!(!look(&ready, 60).await);
        assert!(!look(&running, 0).await);
        assert!(!look(&ready, 2).await);
        assert!(look(&ready, 3).await);
        assert!(!look(&Counts::default(), 60).await);
    }
}
