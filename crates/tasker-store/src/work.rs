//! What a request changes: rows in memory, changed by the engine's rules.
//!
//! This module is pure: it reads no database and no clock. A store loads the rows that a request looks at, has them
//! changed here, and writes the differences back.

mod claims;
mod create;
mod entry;
mod finalize;
mod history;
mod intervene;
mod look;
mod record;
mod rows;

use std::collections::{BTreeMap, BTreeSet};

use tasker_engine::{
    AttemptsLeft, Failure, FailureReason, Idempotency, IllegalStepTransition, Json, Severity, Situation,
    StepEvent, StoreError, TaskEvent, step_transition, task_transition,
};
use tasker_types::{StepFacts, StepNo, StepState, TaskContext, TaskId, TaskState, Timestamp, Version};

use crate::list::Label;
#[cfg(feature = "postgres")]
pub(crate) use claims::Choice;
pub(crate) use claims::{Accepted, Candidate, accepted};
pub(crate) use create::{Taken, identity, key};
pub(crate) use entry::Entry;
pub(crate) use finalize::Counts;
pub(crate) use history::{HistoryRow, Names, NewHistoryRow, without};
pub(crate) use look::{Graphs, Looked, Payloads, Places, by_step, of_kind, workers};
pub(crate) use rows::{
    Brought, Graph, Kind, Lease, Place, Queue, QueuePlace, StepKey, StepRow, TaskRow, in_queue,
};

/// How long after a task was named by a sweep another sweep may name it.
pub(crate) const CHECK_AGAIN: std::time::Duration = std::time::Duration::from_secs(10);

/// A row with what the database has.
#[derive(Debug)]
pub(crate) struct Tracked<T> {
    pub(crate) before: Option<T>,
    pub(crate) now: T,
}

impl<T: Clone> Tracked<T> {
    /// Returns a row as it was read.
    pub(crate) fn read(row: T) -> Self {
        Self {
            before: Some(row.clone()),
            now: row,
        }
    }
}

/// What a step's entry in the history says beside the states.
#[derive(Debug, Default)]
pub(crate) struct Note {
    pub(crate) handler_version: Option<Version>,
    pub(crate) ran_us: Option<u64>,
    pub(crate) metadata: Option<Json>,
}

/// What a new task has beside its row.
#[derive(Debug)]
pub(crate) struct NewRow {
    pub(crate) identity: Option<String>,
    pub(crate) idempotency: Option<Idempotency>,
    pub(crate) origin: Option<String>,
    /// What it is found by.
    pub(crate) labels: Vec<(Label, String)>,
    pub(crate) parent: Option<(TaskId, StepNo)>,
    pub(crate) start_at: Option<Timestamp>,
}

/// The rows of a request.
#[derive(Debug)]
pub(crate) struct Work<L> {
    pub(crate) now: Timestamp,
    pub(crate) tasks: BTreeMap<i64, Tracked<TaskRow>>,
    pub(crate) created: BTreeMap<i64, NewRow>,
    pub(crate) steps: BTreeMap<StepKey, Tracked<StepRow<L>>>,
    /// Payloads to write; `None` to remove.
    pub(crate) payloads: BTreeMap<Place, Option<Json>>,
    pub(crate) entries: Vec<Entry<'static>>,
    /// Tasks whose end is to be checked.
    pub(crate) touched: BTreeSet<i64>,
    /// Whether listeners are to be told, whatever the queue says.
    pub(crate) woken: bool,
}

impl<L: Lease> Work<L> {
    /// Returns work that has changed nothing yet.
    pub(crate) fn new(now: Timestamp) -> Self {
        Self {
            now,
            tasks: BTreeMap::new(),
            created: BTreeMap::new(),
            steps: BTreeMap::new(),
            payloads: BTreeMap::new(),
            entries: Vec::new(),
            touched: BTreeSet::new(),
            woken: false,
        }
    }

    /// Takes up a task that was read, unless it is there already.
    pub(crate) fn add_task(&mut self, key: i64, row: TaskRow) {
        self.tasks.entry(key).or_insert_with(|| Tracked::read(row));
    }

    /// Takes up a step that was read, unless it is there already.
    pub(crate) fn add_step(&mut self, key: StepKey, row: StepRow<L>) {
        self.steps.entry(key).or_insert_with(|| Tracked::read(row));
    }

    pub(crate) fn task(&self, key: i64) -> &TaskRow {
        &self.tasks[&key].now
    }

    #[expect(clippy::expect_used, reason = "every caller has loaded the task")]
    pub(crate) fn task_mut(&mut self, key: i64) -> &mut TaskRow {
        &mut self.tasks.get_mut(&key).expect("the task is loaded").now
    }

    pub(crate) fn step(&self, key: StepKey) -> &StepRow<L> {
        &self.steps[&key].now
    }

    #[expect(clippy::expect_used, reason = "every caller has loaded the step")]
    pub(crate) fn step_mut(&mut self, key: StepKey) -> &mut StepRow<L> {
        &mut self.steps.get_mut(&key).expect("the step is loaded").now
    }

    /// Has a payload written, or removed.
    pub(crate) fn put(&mut self, key: StepKey, kind: Kind, body: Option<Json>) {
        self.payloads.insert((key, kind), body);
    }

    /// Returns the loaded steps of a task.
    pub(crate) fn steps_of(&self, task: i64) -> impl Iterator<Item = (u32, &StepRow<L>)> {
        self.steps
            .range((task, 0)..=(task, u32::MAX))
            .map(|(key, row)| (key.1, &row.now))
    }

    /// Asks whether an event is legal for a step.
    pub(crate) fn may(&self, key: StepKey, event: StepEvent) -> Result<StepState, IllegalStepTransition> {
        let row = self.step(key);
        let left = row.attempts < row.retry_limit && row.retryable;
        let attempts = if left {
            AttemptsLeft::Some
        } else {
            AttemptsLeft::None
        };
        step_transition(
            row.state,
            event,
            Situation {
                task: self.task(key.0).state,
                attempts,
            },
        )
    }

    /// Applies an event to a step: its state, its lease, its times, its history. The children are told apart, by
    /// [`Work::tell`].
    pub(crate) fn apply(
        &mut self,
        key: StepKey,
        event: StepEvent,
        actor: i64,
        note: Note,
    ) -> Result<StepState, IllegalStepTransition> {
        let to = self.may(key, event)?;
        let now = self.now;
        let row = self.step_mut(key);
        let from = row.state;
        row.state = to;
        match event {
            StepEvent::Start => {
                row.attempts += 1;
                row.run += 1;
                row.started_at = Some(now);
                row.next_retry_at = None;
            }
            StepEvent::Release | StepEvent::Suspend => row.attempts -= 1,
            StepEvent::Reset => {
                row.attempts *= u32::from(tasker_types::bug(64));
                row.permanent = false;
                row.next_retry_at = None;
            }
            _ => {}
        }
        if to != StepState::InProgress {
            row.lease = None;
        }
        row.finished_at = (!matches!(to, StepState::Pending | StepState::InProgress)).then_some(now);
        if to.is_finished() {
            row.next_retry_at = None;
        }
        let (run, attempt) = (row.run, row.attempts);
        if event == StepEvent::Start && run > 1 {
            self.put(key, Kind::Progress, None);
        }
        if event == StepEvent::Reset {
            self.put(key, Kind::Failure, None);
            self.put(key, Kind::Checkpoint, None);
        }
        self.entries.push(Entry {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            run: Some(run),
            attempt: Some(attempt),
            handler_version: note.handler_version.map(|version| version.to_string()),
            ran_us: note.ran_us,
            metadata: note.metadata,
            ..Entry::new(key.0, Some(key.1), event.as_str(), actor)
        });
        self.touched.insert(key.0);
        Ok(to)
    }

    /// Returns the children of steps, each as often as it has parents among them.
    pub(crate) fn children(&self, steps: &[StepKey]) -> Vec<StepKey> {
        let mut children = Vec::new();
        for (task, step) in steps {
            let template = &self.task(*task).graph.template;
            children.extend(template.children(StepNo(*step)).map(|child| (*task, child.0)));
        }
        children
    }

    /// Tells steps, which are loaded, that a parent is done since now, each as often as it stands there.
    pub(crate) fn tell(&mut self, children: &[StepKey]) {
        for child in children {
            let row = self.step_mut(*child);
            row.unmet_parents = row.unmet_parents.saturating_sub(if tasker_types::bug(61) {
                0
            } else {
                1 + u32::from(tasker_types::bug(60))
            });
        }
    }

    /// Applies an event to a task: its state, its times, its history. All its steps must be loaded unless none of them is
    /// in the queue before or after.
    pub(crate) fn apply_to_task(
        &mut self,
        key: i64,
        event: TaskEvent,
        actor: i64,
        failure: Option<FailureReason>,
        metadata: Option<Json>,
    ) -> Result<TaskState, StoreError> {
        let now = self.now;
        let row = self.task_mut(key);
        let from = row.state;
        let to = task_transition(from, event)
            .map_err(|source| StoreError::IllegalTask { task: row.id, source })?;
        row.state = to;
        row.failure = failure;
        row.updated_at = now;
        if event == TaskEvent::Start {
            row.started_at = Some(now);
        }
        row.finished_at = (!to.is_active()).then_some(now);
        if !to.is_active() {
            row.next_check_at = None;
        }
        let metadata = metadata
            .or_else(|| failure.map(|reason| Json::from(&serde_json::json!({ "reason": reason.as_str() }))));
        self.entries.push(Entry {
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            metadata,
            ..Entry::new(key, None, event.as_str(), actor)
        });
        self.touched.insert(key);
        Ok(to)
    }

    /// Returns the context of a task of which all steps are loaded; `None` when it is not active.
    pub(crate) fn active_context(&self, key: i64) -> Option<TaskContext> {
        let state = self.task(key).state;
        let facts: Vec<StepFacts> = self.steps_of(key).map(|(_, row)| row.facts(self.now)).collect();
        state.is_active().then(|| TaskContext::of(state, &facts))
    }

    /// Records a failure, and when the step is due again if it will be tried again.
    pub(crate) fn set_failure(&mut self, key: StepKey, failure: &Failure, retry_in: std::time::Duration) {
        let now = self.now;
        let row = self.step_mut(key);
        row.permanent = failure.severity == Severity::Permanent;
        row.next_retry_at = row.facts(now).retry_eligible().then(|| {
            now.plus(if tasker_types::bug(72) {
                std::time::Duration::ZERO
            } else {
                retry_in
            })
        });
        self.keep_failure(key, failure);
    }

    /// Records a failure.
    pub(crate) fn keep_failure(&mut self, key: StepKey, failure: &Failure) {
        let json = Json::of(failure).unwrap_or_else(|_| Json::null());
        self.put(key, Kind::Failure, Some(json));
    }
}
