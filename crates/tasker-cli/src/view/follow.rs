//! Keeps a model of one task up to date from a store.
//!
//! It works for a task that any process runs: it takes a snapshot once and then reads what is added to the history.
//! What the history does not say, such as when a step is due, comes with the next snapshot, which is taken the more
//! rarely the longer it takes.

use std::sync::Arc;
use std::time::Duration;

use tasker::{Change, Failure, Severity, Snapshot, StepEvent, Store, StoreError, Template, Transition};
use tasker_types::{Position, StepState, TaskId, Timestamp};
use tokio::time::Instant;

use super::model::{Model, Step};
use super::plain::failure;

/// How many transitions are read at once.
const PAGE: u32 = 1_000;
/// A snapshot may take one part in so many of the time between two.
const SHARE: u32 = 20;
/// Two snapshots are at least so far apart.
const SNAPSHOT_INTERVAL: Duration = Duration::from_millis(90);

/// How often a step that runs is looked at for what it says.
const LISTEN: Duration = Duration::from_secs(1);

/// A task that is being watched.
#[derive(Debug)]
pub(crate) struct Follower {
    store: Arc<dyn Store>,
    task: TaskId,
    template: Arc<Template>,
    model: Model,
    /// The store's time of the last snapshot, and ours.
    taken: (Timestamp, Instant),
    next_snapshot: Instant,
    stale: bool,
    /// What running steps have said and nobody was told.
    said: Vec<(String, String)>,
}

impl Follower {
    /// Begins to follow a task; `None` when there is no such task.
    pub(crate) async fn start(store: Arc<dyn Store>, task: TaskId) -> Result<Option<Self>, StoreError> {
        let begun = Instant::now();
        let Some(snapshot) = store.snapshot(task).await? else {
            return Ok(None);
        };
        let template = Arc::clone(&snapshot.task.template);
        let mut follower = Self {
            store,
            task,
            template,
            model: model_of(&snapshot),
            taken: (snapshot.taken_at, Instant::now()),
            next_snapshot: begun,
            stale: false,
            said: Vec::new(),
        };
        follower.plan_snapshot(begun);
        Ok(Some(follower))
    }

    /// Returns the task as far as it is known.
    pub(crate) fn model(&self) -> &Model {
        &self.model
    }

    /// Returns the template of the task.
    pub(crate) fn template(&self) -> Arc<Template> {
        Arc::clone(&self.template)
    }

    /// Returns the store's time, as far as it is known.
    pub(crate) fn now(&self) -> Timestamp {
        self.taken.0.plus(self.taken.1.elapsed())
    }

    /// Hands every transition that the model includes to `told`.
    pub(crate) async fn recount(&self, told: &mut dyn FnMut(&Transition)) -> Result<(), StoreError> {
        let mut after = BEGINNING;
        while after < self.model.position {
            let page = self.store.history(self.task, after, PAGE).await?;
            page.iter()
                .filter(|transition| transition.position <= self.model.position)
                .for_each(&mut *told);
            match page.last() {
                Some(last) => after = last.position,
                None => break,
            }
        }
        Ok(())
    }

    /// Takes in what has happened, handing every transition to `told`; tells whether something has.
    pub(crate) async fn refresh(&mut self, told: &mut dyn FnMut(&Transition)) -> Result<bool, StoreError> {
        let mut changed = false;
        loop {
            let page = self.store.history(self.task, self.model.position, PAGE).await?;
            for transition in &page {
                self.stale |= apply(&mut self.model, transition);
                told(transition);
                changed = true;
            }
            if page.len() < PAGE as usize {
                break;
            }
        }
        // What handlers say is in no history.
        let runs = |step: &Step| step.state == StepState::InProgress;
        self.stale |= self.taken.1.elapsed() >= LISTEN && self.model.steps.iter().any(runs);
        if self.stale && Instant::now() >= self.next_snapshot {
            changed |= self.take_snapshot(told).await?;
        }
        Ok(changed)
    }

    /// Takes a snapshot; what happened between the history and it is told first, so that nothing stays untold.
    async fn take_snapshot(&mut self, told: &mut dyn FnMut(&Transition)) -> Result<bool, StoreError> {
        let begun = Instant::now();
        let Some(snapshot) = self.store.snapshot(self.task).await? else {
            return Ok(false);
        };
        let mut after = self.model.position;
        while after < snapshot.position {
            let page = self.store.history(self.task, after, PAGE).await?;
            page.iter()
                .filter(|transition| transition.position <= snapshot.position)
                .for_each(&mut *told);
            match page.last() {
                Some(last) => after = last.position,
                None => break,
            }
        }
        let model = model_of(&snapshot);
        for (before, after) in self.model.steps.iter().zip(&model.steps) {
            if let Some(said) = after
                .progress
                .as_ref()
                .filter(|_| before.progress != after.progress)
            {
                self.said.push((after.name.clone(), said.clone()));
            }
        }
        self.model = model;
        self.taken = (snapshot.taken_at, Instant::now());
        self.stale = false;
        self.plan_snapshot(begun);
        Ok(true)
    }

    /// Takes out what steps have said of themselves since the last time, with their names.
    pub(crate) fn said(&mut self) -> Vec<(String, String)> {
        std::mem::take(&mut self.said)
    }

    fn plan_snapshot(&mut self, begun: Instant) {
        let now = Instant::now();
        self.next_snapshot = now + (now.duration_since(begun) * SHARE).max(SNAPSHOT_INTERVAL);
    }
}

/// Makes a model of a snapshot.
pub(crate) fn model_of(snapshot: &Snapshot) -> Model {
    let task = &snapshot.task;
    let steps = snapshot.steps.iter().map(|record| {
        let template = task.template.step(record.step);
        Step {
            name: template.name().to_string(),
            parents: template.depends_on().to_vec(),
            state: record.state,
            attempts: record.attempts,
            retry_limit: record.retry_limit,
            retryable: record.retryable,
            permanent: record.permanent,
            due_at: record.next_retry_at,
            started_at: record.started_at,
            finished_at: record.finished_at,
            progress: record.progress.as_ref().map(ToString::to_string),
            error: record.failure.as_ref().map(Failure::in_one_line),
        }
    });
    Model {
        id: task.id.to_string(),
        name: task.template.full_name(),
        state: task.state,
        failure: task.failure.map(|failure| failure.to_string()),
        created_at: task.created_at,
        finished_at: task.finished_at,
        steps: steps.collect(),
        position: snapshot.position,
    }
}

/// Takes a transition into the model; tells whether a snapshot would say more.
fn apply(model: &mut Model, transition: &Transition) -> bool {
    model.position = model.position.max(transition.position);
    match &transition.change {
        Change::Created | Change::LateOutcome { .. } => false,
        Change::Setting { .. } => true,
        Change::Task { to, .. } => {
            model.state = *to;
            model.finished_at = (!to.is_active()).then_some(transition.at);
            model.failure = None;
            *to == tasker_types::TaskState::Error
        }
        Change::Step {
            step,
            event,
            to,
            attempt,
            ..
        } => {
            let Some(step) = model.step_mut(*step) else {
                return true;
            };
            step.state = *to;
            step.attempts = *attempt;
            step.due_at = None;
            match (event, to) {
                (StepEvent::Start, _) => {
                    step.started_at = Some(transition.at);
                    step.progress = None;
                }
                (_, StepState::Pending | StepState::InProgress) => {}
                _ => step.finished_at = Some(transition.at),
            }
            if let Some(failure) = failure(transition) {
                step.permanent = failure.severity == Severity::Permanent;
                step.error = Some(failure.in_one_line());
            }
            !matches!(event, StepEvent::Start | StepEvent::Succeed | StepEvent::Cancel)
        }
    }
}

/// Returns the position after which the history of a task begins.
pub(crate) const BEGINNING: Position = Position(0);

#[cfg(test)]
mod tests;
