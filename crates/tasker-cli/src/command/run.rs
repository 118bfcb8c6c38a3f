//! `tasker run`: one task, from its template to its end.

use std::sync::Arc;

use tasker::{Created, Scope, TaskRequest, Tasker, UnknownHandlers};
use tasker_types::TaskId;

use crate::args::Run;
use crate::exit::{Exit, Problem};
use crate::input::{self, Expected};
use crate::locate;
use crate::output::Output;
use crate::session::Session;
use crate::signals::Signals;
use crate::summary;
use crate::view::follow::Follower;
use crate::view::text::Colours;
use crate::when::When;
use crate::work::{Job, refresh_and_tell, watch_task};

/// Runs the template to its end, or goes on with the task that the key names.
pub(super) fn run(session: &Session, arguments: &Run) -> Result<Exit, Problem> {
    session.block_on(async {
        let tasker = session.open().await?;
        let request = request(session, &tasker, arguments)?;
        let signals = Signals::listen(&session.view(), session.grace())?;
        let task = create(session, &tasker, request, &signals).await?;
        report(session, &tasker, task).await
    })
}

/// Reads template and context.
fn request(session: &Session, tasker: &Tasker, arguments: &Run) -> Result<TaskRequest, Problem> {
    let path = locate::template(tasker, &arguments.template, arguments.version.as_deref())?;
    let loaded = tasker.load(&path, UnknownHandlers::Refuse)?;
    session.warn_all(&loaded.warnings);
    if let Some(version) = &arguments.version {
        locate::check_version(&loaded.template, version)?;
    }
    let mut request = TaskRequest::new(Arc::clone(&loaded.template))
        .origin(session.origin())
        .bypass(arguments.bypass.iter().cloned())
        .tags(arguments.tag.iter().cloned())
        .priority(arguments.priority);
    for (name, value) in &arguments.annotation {
        request = request.annotate(name, value.clone());
    }
    if let Some(reason) = &arguments.reason {
        request = request.reason(reason);
    }
    let now = tasker.clock().now();
    if let Some(when) = arguments.start_at {
        request = request.start_at(when.from(now));
    }
    if let Some(when) = arguments.deadline {
        request = request.deadline_at(when.from(now));
    }
    if let Some(context) = &arguments.context {
        let limit = tasker.config().limits().context;
        request = request.context(input::json(
            context,
            Expected {
                what: "the context",
                limit,
                key: "limits.context",
            },
        )?);
    }
    if let Some(key) = &arguments.key {
        if [arguments.start_at, arguments.deadline]
            .iter()
            .any(|when| matches!(when, Some(When::In(_))))
        {
            let message =
                "with `--key` the repeated command must say the same, but a wait from now never does";
            return Err(Problem::refused("wait_with_key", message)
                .with_help("give `--start-at` and `--deadline` times such as 2026-01-31T12:00:00Z"));
        }
        request = request.idempotency_key(key);
    }
    Ok(request)
}

/// Creates the task and runs it until it is no longer active or a signal comes.
async fn create(
    session: &Session,
    tasker: &Tasker,
    request: TaskRequest,
    signals: &Signals,
) -> Result<TaskId, Problem> {
    let new = tasker.prepare(request)?;
    let worker = tasker.worker(Scope::Task(new.id));
    let handle = worker.handle();
    let finished = handle.finished();
    let job = Job::start(worker, signals);
    let created = match handle.create(session.actor(), vec![new]).await {
        Ok(created) => created,
        Err(error) => {
            // What ended the worker says more than that it is closed.
            job.stop().await?;
            return Err(error.into());
        }
    };
    match created.first() {
        Some(Created::New(task)) => {
            let follower = follow(tasker, *task).await?;
            let view = session.view();
            if view.tells() {
                // The worker was faster than the follower.
                let template = follower.template();
                follower
                    .recount(&mut |transition| view.tell(transition, &template))
                    .await?;
            }
            watch(session, follower, job, finished).await?;
            Ok(*task)
        }
        Some(Created::Repeated(task)) => {
            job.stop().await?;
            go_on(session, tasker, *task, signals).await?;
            Ok(*task)
        }
        Some(refused) => {
            job.stop().await?;
            Ok(refused.accepted()?)
        }
        None => {
            job.stop().await?;
            Err(Problem::store(
                "store_failed",
                "the store did not say what became of the task",
            ))
        }
    }
}

/// Runs a task that exists, if it is unfinished.
pub(super) async fn go_on(
    session: &Session,
    tasker: &Tasker,
    task: TaskId,
    signals: &Signals,
) -> Result<(), Problem> {
    // It is followed from before the worker begins, so that nothing that the worker does stays untold.
    let follower = follow(tasker, task).await?;
    if !follower.model().state.is_active() {
        return Ok(());
    }
    let worker = tasker.worker(Scope::Task(task));
    let finished = worker.handle().finished();
    let job = Job::start(worker, signals);
    watch(session, follower, job, finished).await
}

type Finished = tokio::sync::broadcast::Receiver<(TaskId, tasker::TaskState)>;

async fn watch(
    session: &Session,
    mut follower: Follower,
    job: Job,
    finished: Finished,
) -> Result<(), Problem> {
    let view = session.view();
    let result = job
        .watched_by(watch_task(&mut follower, &view, Some(finished)))
        .await;
    // What the worker did last, such as handing leases back, is shown too.
    let shown = refresh_and_tell(&mut follower, &view).await;
    view.close();
    result?;
    Ok(shown?)
}

/// Begins to follow a task.
async fn follow(tasker: &Tasker, task: TaskId) -> Result<Follower, Problem> {
    let follower = Follower::start(Arc::clone(tasker.store()), task).await?;
    Ok(follower.ok_or(tasker::StoreError::UnknownTask { task })?)
}

/// Writes how the task ended.
pub(super) async fn report(session: &Session, tasker: &Tasker, task: TaskId) -> Result<Exit, Problem> {
    let Some(report) = tasker.report(task).await? else {
        return Err(tasker::StoreError::UnknownTask { task }.into());
    };
    let exit = Exit::of_task(report.state);
    session
        .output()
        .result(&report, || match (session.output(), &report.result) {
            (Output::Quiet, Some(result)) => result.to_string(),
            (Output::Quiet, None) => String::new(),
            _ => summary::task(&report, session.layout().colours),
        })?;
    if session.output() == Output::Quiet && exit == Exit::Failed {
        session.complain(&summary::task(&report, Colours::Off));
    }
    Ok(exit)
}
