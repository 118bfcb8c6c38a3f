//! Several unfinished tasks at once.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tasker::{Scope, Store, StoreError, TaskSummary, Tasker, Template};
use tasker_types::{Position, TaskId, TaskState};
use tokio::sync::broadcast;
use tokio::time::{Instant, MissedTickBehavior};

use crate::database;
use crate::exit::{Exit, Problem};
use crate::session::Session;
use crate::signals::Signals;
use crate::view::View;
use crate::view::tasks::{Row, Tasks, render};
use crate::work::{FRAME, Job};

/// How many transitions are read at once.
const PAGE: u32 = 1_000;
/// Looking may take one part in so many of the time.
const SHARE: u32 = 10;
/// How many active tasks a view lists at most.
const ROWS: u32 = 100;

/// Tasks that cannot end here, and why.
pub(super) type Elsewhere = Vec<(TaskId, String)>;

/// Returns why a template's steps cannot all run in this program: a handler that it does not have.
pub(super) fn missing_handlers(tasker: &Tasker, template: &Template) -> Option<String> {
    template.steps().iter().find_map(|step| {
        let unresolved = tasker
            .handlers()
            .resolve(template.namespace(), step.handler())
            .err()?;
        Some(format!("step `{}`: {unresolved}", step.name()))
    })
}

/// Returns those of the tasks that need handlers which this program does not have.
///
/// One task of each template is looked at.
pub(super) async fn elsewhere(tasker: &Tasker, tasks: &[TaskSummary]) -> Result<Elsewhere, StoreError> {
    let templates = templates(tasker, tasks).await?;
    let missing: BTreeMap<&str, String> = templates
        .iter()
        .filter_map(|(name, template)| Some((name.as_str(), missing_handlers(tasker, template)?)))
        .collect();
    let elsewhere = tasks
        .iter()
        .filter_map(|task| Some((task.task_id, missing.get(task.name.as_str())?.clone())));
    Ok(elsewhere.collect())
}

/// Returns the template of each name.
async fn templates(
    tasker: &Tasker,
    tasks: &[TaskSummary],
) -> Result<BTreeMap<String, Arc<Template>>, StoreError> {
    let mut templates = BTreeMap::new();
    for task in tasks {
        if !templates.contains_key(&task.name)
            && let Some(snapshot) = tasker.store().snapshot(task.task_id).await?
        {
            templates.insert(task.name.clone(), snapshot.task.template);
        }
    }
    Ok(templates)
}

/// Runs all tasks until none of these is active but those that cannot end here.
pub(super) async fn go_on(
    session: &Session,
    tasker: &Tasker,
    tasks: &[TaskSummary],
    signals: &Signals,
) -> Result<Elsewhere, Problem> {
    let elsewhere = elsewhere(tasker, tasks).await?;
    let view = session.view();
    let worker = tasker.worker(Scope::All);
    let mut watched = Watched {
        store: tasker.store(),
        names: tasks
            .iter()
            .map(|task| (task.task_id, task.name.clone()))
            .collect(),
        templates: templates(tasker, tasks).await?,
        waiting: tasks.len().saturating_sub(elsewhere.len()) as u64,
        position: if view.tells() {
            last_position(&**tasker.store()).await?
        } else {
            Position(0)
        },
        view: &view,
        finished: worker.handle().finished(),
        failed: 0,
    };
    let job = Job::start(worker, signals);
    let result = job.watched_by(watched.watch(tasker, &elsewhere)).await;
    let told = watched.tell().await;
    view.close();
    result?;
    told?;
    Ok(elsewhere)
}

/// What the watcher of several tasks knows.
struct Watched<'a> {
    store: &'a Arc<dyn Store>,
    names: BTreeMap<TaskId, String>,
    templates: BTreeMap<String, Arc<Template>>,
    /// How many tasks were to be ended here.
    waiting: u64,
    position: Position,
    view: &'a View,
    finished: broadcast::Receiver<(TaskId, TaskState)>,
    /// How many have ended in error or cancelled.
    failed: u64,
}

impl Watched<'_> {
    async fn watch(&mut self, tasker: &Tasker, elsewhere: &Elsewhere) -> Result<(), StoreError> {
        let begun = Instant::now();
        let mut ticks = tokio::time::interval(FRAME);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let looked = Instant::now();
            self.tell().await?;
            self.count_failed();
            let active = match self.look(tasker, elsewhere, begun.elapsed()).await {
                Ok(active) => active,
                Err(error) if error.is_transient() => 1,
                Err(error) => return Err(error),
            };
            if active == 0 {
                return Ok(());
            }
            tokio::time::sleep(looked.elapsed() * SHARE).await;
            ticks.tick().await;
        }
    }

    /// Takes in how tasks have ended; what was missed while nobody looked is not counted.
    fn count_failed(&mut self) {
        loop {
            match self.finished.try_recv() {
                Ok((_, state)) => self.failed += u64::from(Exit::of_task(state) == Exit::Failed),
                Err(broadcast::error::TryRecvError::Lagged(_)) => {}
                Err(_) => return,
            }
        }
    }

    /// Tells what has happened since the last time, if the view is one that tells.
    async fn tell(&mut self) -> Result<(), StoreError> {
        while self.view.tells() {
            let page = self.store.events(self.position, PAGE).await?;
            for transition in &page {
                self.position = transition.position;
                let name = self.names.get(&transition.task);
                if let Some(template) = name.and_then(|name| self.templates.get(name)) {
                    self.view.tell_of(transition, template);
                }
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        Ok(())
    }

    /// Looks which tasks are active, shows them, and returns how many are waited for.
    async fn look(
        &self,
        tasker: &Tasker,
        elsewhere: &Elsewhere,
        elapsed: Duration,
    ) -> Result<u64, StoreError> {
        let active = database::active(tasker).await?;
        let waited_for: Vec<&TaskSummary> = active
            .iter()
            .filter(|task| self.names.contains_key(&task.task_id))
            .filter(|task| !elsewhere.iter().any(|(other, _)| *other == task.task_id))
            .collect();
        let left = waited_for.len() as u64;
        let tasks = Tasks {
            total: self.waiting,
            ended: self.waiting.saturating_sub(left),
            failed: self.failed,
            elapsed,
            active: waited_for
                .iter()
                .take(ROWS as usize)
                .map(|task| row(task))
                .collect(),
        };
        self.view.show_lines(|size| render(&tasks, size));
        Ok(left)
    }
}

fn row(task: &TaskSummary) -> Row {
    Row {
        id: task.task_id.to_string(),
        name: task.name.clone(),
        state: task.state,
        done: task.completed_steps,
        steps: task.total_steps,
    }
}

/// Returns the last position of the log, by halving: the log says only whether there is something after a position.
async fn last_position(store: &dyn Store) -> Result<Position, StoreError> {
    let mut low = 0_i64;
    let mut step = 1_i64;
    while let Some(next) = store.events(Position(low.saturating_add(step)), 1).await?.first() {
        low = next.position.0;
        step = step.saturating_mul(2);
    }
    // There is nothing after `high`, and something at `low` or nothing at all.
    let mut high = low.saturating_add(step);
    while low < high {
        let middle = low + (high - low) / 2;
        match store.events(Position(middle), 1).await?.first() {
            Some(next) => low = next.position.0,
            None => high = middle,
        }
    }
    Ok(Position(high))
}
