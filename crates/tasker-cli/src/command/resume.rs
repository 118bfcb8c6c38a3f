//! `tasker resume`: goes on with what is unfinished.

mod several;

use serde::Serialize;
use tasker::{Demand, Intervention, StoreError, TaskReport, Tasker};
use tasker_types::{TaskId, TaskState};

use crate::args::Resume;
use crate::command::run::{go_on, report};
use crate::database;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::signals::Signals;
use crate::summary;

/// Goes on with one task or with all.
pub(super) fn run(session: &Session, arguments: &Resume) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let signals = Signals::listen(&session.view(), session.grace())?;
        match &arguments.task {
            Some(prefix) => {
                let task = session.find(&tasker, prefix).await?;
                one(session, &tasker, task, &signals).await
            }
            None => all(session, &tasker, &signals).await,
        }
    })
}

async fn one(session: &Session, tasker: &Tasker, task: TaskId, signals: &Signals) -> Result<Exit, Problem> {
    let unknown = || Problem::from(StoreError::UnknownTask { task });
    let snapshot = tasker.store().snapshot(task).await?.ok_or_else(unknown)?;
    if !snapshot.task.state.is_final() {
        let missing = several::missing_handlers(tasker, &snapshot.task.template);
        if let Some(message) = missing {
            return Err(Problem::refused(
                "unknown_handler",
                format!("the task `{task}` cannot run here: {message}"),
            ));
        }
    }
    if snapshot.task.state == TaskState::Error {
        let retry = Intervention::new(task, Demand::RetryTask, session.actor());
        tasker.store().intervene(retry).await.map_err(|error| match error {
            StoreError::IllegalTask { .. } => Problem::from(error).with_help(format!(
                "nothing could happen then: retry or resolve single steps, among them those that were cancelled, with \
                 `tasker task retry {task} STEP`"
            )),
            error => error.into(),
        })?;
    }
    go_on(session, tasker, task, signals).await?;
    report(session, tasker, task).await
}

/// What became of several tasks.
#[derive(Debug, Serialize)]
struct Resumed {
    tasks: Vec<TaskReport>,
}

async fn all(session: &Session, tasker: &Tasker, signals: &Signals) -> Result<Exit, Problem> {
    let active = database::active(tasker).await?;
    let elsewhere = match active.as_slice() {
        [] => Vec::new(),
        [only] => {
            let elsewhere = several::elsewhere(tasker, &active).await?;
            if elsewhere.is_empty() {
                go_on(session, tasker, only.task_id, signals).await?;
            }
            elsewhere
        }
        _ => several::go_on(session, tasker, &active, signals).await?,
    };
    let mut resumed = Resumed {
        tasks: Vec::with_capacity(active.len()),
    };
    for task in &active {
        resumed.tasks.extend(tasker.report(task.task_id).await?);
    }
    session.output().result(&resumed, || match session.output() {
        Output::Quiet => String::new(),
        _ => summary::tasks(&resumed.tasks, session.layout().colours),
    })?;
    for (task, message) in &elsewhere {
        session.warn(&format!("the task `{task}` cannot end here: {message}"));
    }
    let is_elsewhere = |task: TaskId| elsewhere.iter().any(|(other, _)| *other == task);
    let exits = resumed
        .tasks
        .iter()
        .map(|report| match Exit::of_task(report.state) {
            // Nobody interrupted it: this program lacks what it needs.
            Exit::Interrupted if is_elsewhere(report.task_id) => Exit::Refused,
            exit => exit,
        });
    Ok(exits.max().unwrap_or(Exit::Done))
}
