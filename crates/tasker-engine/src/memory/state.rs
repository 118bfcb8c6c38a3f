//! The rows of the store in memory, and what keeps them consistent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tasker_types::{
    Namespace, Position, RunNo, StepFacts, StepNo, StepState, TaskContext, TaskId, TaskState, Timestamp, Version,
};

use crate::failure::Failure;
use crate::finalizer::{Decision, FailureReason, decide};
use crate::json::Json;
use crate::record::{Actor, Change, Snapshot, StepRecord, TaskRecord, Transition};
use crate::store::{Created, NewTask, StoreError};
use crate::transition::{
    AttemptsLeft, IllegalStepTransition, Situation, StepEvent, TaskEvent, step_transition, task_transition,
};

/// A task and its steps.
#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub(super) record: TaskRecord,
    pub(super) digest: Option<String>,
    pub(super) steps: Vec<StepRow>,
}

/// A step, with what its record leaves out.
#[derive(Clone, Debug)]
pub(super) struct StepRow {
    pub(super) record: StepRecord,
    pub(super) result: Option<Json>,
    pub(super) checkpoint: Option<Json>,
    pub(super) timeout: Option<Duration>,
    pub(super) config: Option<Json>,
    /// Whether the task counts it as live.
    live: bool,
}

/// A place in the queue. The order is the order of claims: rank (the priority, negated), age, step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queued {
    pub(super) rank: i16,
    pub(super) key: i64,
    pub(super) step: StepNo,
}

/// Everything.
#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) tasks: BTreeMap<i64, TaskRow>,
    pub(super) keys: BTreeMap<TaskId, i64>,
    pub(super) identities: BTreeMap<String, TaskId>,
    pub(super) idempotency: BTreeMap<(Namespace, String), TaskId>,
    pub(super) queue: BTreeSet<Queued>,
    pub(super) history: Vec<Transition>,
    /// When each namespace was last handed a step, in top-ups.
    pub(super) served: BTreeMap<Namespace, u64>,
    pub(super) top_ups: u64,
    /// Tasks whose end is to be checked before the commit.
    pub(super) touched: BTreeSet<i64>,
    /// Places that were added to the queue since the last commit.
    pub(super) added: Vec<Queued>,
    pub(super) woken: bool,
}

/// What a step's entry in the history says beside the states.
#[derive(Debug, Default)]
pub(super) struct Note {
    pub(super) handler_version: Option<Version>,
    pub(super) ran_us: Option<u64>,
    pub(super) metadata: Option<Json>,
}

impl State {
    pub(super) fn key_of(&self, task: TaskId) -> Option<i64> {
        self.keys.get(&task).copied()
    }

    pub(super) fn task(&self, key: i64) -> &TaskRow {
        &self.tasks[&key]
    }

    #[expect(clippy::expect_used, reason = "keys come from the map of keys, which is filled together with the tasks")]
    pub(super) fn task_mut(&mut self, key: i64) -> &mut TaskRow {
        self.tasks.get_mut(&key).expect("a task has a row")
    }

    pub(super) fn step(&self, key: i64, step: StepNo) -> &StepRow {
        &self.task(key).steps[step.0 as usize]
    }

    pub(super) fn step_mut(&mut self, key: i64, step: StepNo) -> &mut StepRow {
        &mut self.task_mut(key).steps[step.0 as usize]
    }

    /// Checks that a task and a step exist.
    pub(super) fn find(&self, task: TaskId, step: StepNo) -> Result<i64, StoreError> {
        let key = self.key_of(task).ok_or(StoreError::UnknownTask { task })?;
        if (step.0 as usize) < self.task(key).steps.len() {
            Ok(key)
        } else {
            Err(StoreError::UnknownStep { task, step })
        }
    }

    pub(super) fn touch(&mut self, key: i64) {
        self.touched.insert(key);
    }

    /// Brings the queue and the count of live steps in line with a step.
    pub(super) fn sync(&mut self, key: i64, step: StepNo) {
        let task = self.task(key);
        let row = &task.steps[step.0 as usize].record;
        let facts = row.facts(self.now);
        let queued = task.record.state.is_active()
            && matches!(row.state, StepState::Pending | StepState::Error)
            && facts.dependencies_satisfied()
            && facts.retry_eligible();
        let place = Queued { rank: task.record.priority.saturating_neg(), key, step };
        if queued {
            if self.queue.insert(place) {
                self.added.push(place);
            }
        } else {
            self.queue.remove(&place);
        }
        let row = self.step_mut(key, step);
        row.record.queued = queued;
        let live = queued || row.record.state == StepState::InProgress;
        let before = std::mem::replace(&mut row.live, live);
        let count = &mut self.task_mut(key).record.live_steps;
        *count = *count + u32::from(live) - u32::from(before);
        self.touch(key);
    }

    fn sync_all(&mut self, key: i64) {
        for step in 0..self.task(key).steps.len() {
            self.sync(key, StepNo(u32::try_from(step).unwrap_or(u32::MAX)));
        }
    }

    pub(super) fn log(&mut self, key: i64, change: Change, actor: &Actor, metadata: Option<Json>) {
        let position = Position(i64::try_from(self.history.len()).unwrap_or(i64::MAX) + 1);
        let entry = Transition {
            position,
            task: self.task(key).record.id,
            change,
            at: self.now,
            actor: actor.clone(),
            metadata,
        };
        self.history.push(entry);
    }

    /// Asks whether an event is legal for a step.
    pub(super) fn may(&self, key: i64, step: StepNo, event: StepEvent) -> Result<StepState, IllegalStepTransition> {
        let task = self.task(key);
        let row = &task.steps[step.0 as usize].record;
        let left = row.attempts < row.retry_limit && row.retryable;
        let attempts = if left { AttemptsLeft::Some } else { AttemptsLeft::None };
        step_transition(row.state, event, Situation { task: task.record.state, attempts })
    }

    /// Applies an event to a step: its state, its lease, its times, its history, its children.
    pub(super) fn apply(
        &mut self,
        key: i64,
        step: StepNo,
        event: StepEvent,
        actor: &Actor,
        note: Note,
    ) -> Result<StepState, IllegalStepTransition> {
        let to = self.may(key, step, event)?;
        let now = self.now;
        let row = self.step_mut(key, step);
        let from = row.record.state;
        row.record.state = to;
        match event {
            StepEvent::Start => {
                row.record.attempts += 1;
                row.record.run = RunNo(row.record.run.0 + 1);
                row.record.started_at = Some(now);
                row.record.finished_at = None;
                row.record.next_retry_at = None;
            }
            StepEvent::Release | StepEvent::Suspend => row.record.attempts -= 1,
            StepEvent::Reset => {
                row.record.attempts = 0;
                row.record.permanent = false;
                row.record.next_retry_at = None;
                row.record.failure = None;
                row.checkpoint = None;
            }
            _ => {}
        }
        if to != StepState::InProgress {
            row.record.lease = None;
        }
        row.record.finished_at = (!matches!(to, StepState::Pending | StepState::InProgress)).then_some(now);
        if to.is_finished() {
            row.record.next_retry_at = None;
        }
        let (run, attempt) = (row.record.run, row.record.attempts);
        let change =
            Change::Step { step, from, event, to, run, attempt, handler_version: note.handler_version, ran_us: note.ran_us };
        self.log(key, change, actor, note.metadata);
        self.sync(key, step);
        if to.is_done() {
            let children: Vec<_> = self.task(key).record.template.children(step).collect();
            for child in children {
                self.step_mut(key, child).record.unmet_parents -= 1;
                self.sync(key, child);
            }
        }
        Ok(to)
    }

    /// Applies an event to a task: its state, its times, its history, the queue.
    pub(super) fn apply_to_task(
        &mut self,
        key: i64,
        event: TaskEvent,
        actor: &Actor,
        failure: Option<FailureReason>,
        metadata: Option<Json>,
    ) -> Result<TaskState, StoreError> {
        let now = self.now;
        let record = &mut self.task_mut(key).record;
        let from = record.state;
        let to = task_transition(from, event)
            .map_err(|source| StoreError::IllegalTask { task: record.id, source })?;
        record.state = to;
        record.failure = failure;
        if event == TaskEvent::Start {
            record.started_at = Some(now);
        }
        record.finished_at = (!to.is_active()).then_some(now);
        if !to.is_active() {
            record.next_check_at = None;
        }
        let metadata =
            metadata.or_else(|| failure.map(|reason| Json::from(&json!({ "reason": reason.as_str() }))));
        self.log(key, Change::Task { from, event, to }, actor, metadata);
        self.sync_all(key);
        Ok(to)
    }

    pub(super) fn facts(&self, key: i64) -> Vec<StepFacts> {
        self.task(key).steps.iter().map(|row| row.record.facts(self.now)).collect()
    }

    /// Returns the context of a task that is active.
    pub(super) fn active_context(&self, key: i64) -> Option<TaskContext> {
        let state = self.task(key).record.state;
        state.is_active().then(|| TaskContext::of(state, &self.facts(key)))
    }

    /// Ends the tasks that were touched and can no longer progress.
    pub(super) fn finalize_touched(&mut self) -> Vec<(TaskId, TaskState)> {
        let mut finished = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            let Some(context) = self.active_context(key).filter(|_| self.task(key).record.live_steps == 0) else {
                continue;
            };
            let (event, failure) = match decide(Some(&context), &tasker_types::Backoff::default()) {
                Decision::Complete => (TaskEvent::Complete, None),
                Decision::Fail { reason } => (TaskEvent::Fail, Some(reason)),
                Decision::LookAgain { .. } => continue,
            };
            if event == TaskEvent::Complete && self.task(key).record.state == TaskState::Pending {
                // Every step was bypassed or resolved before one began.
                let _ = self.apply_to_task(key, TaskEvent::Start, &Actor::System, None, None);
            }
            if let Ok(state) = self.apply_to_task(key, event, &Actor::System, failure, None) {
                finished.push((self.task(key).record.id, state));
            }
        }
        self.touched.clear();
        finished
    }

    pub(super) fn create(
        &mut self,
        task: NewTask,
        actor: &Actor,
        check_in: Duration,
        finished: &mut Vec<(TaskId, TaskState)>,
    ) -> Created {
        if self.keys.contains_key(&task.id) {
            return Created::New(task.id);
        }
        let namespace = task.template.namespace().clone();
        if let Some(idempotency) = &task.idempotency {
            let known = self.idempotency.get(&(namespace.clone(), idempotency.key.clone())).copied();
            if let Some(other) = known {
                let same = self.key_of(other).is_some_and(|key| self.task(key).digest.as_ref() == Some(&idempotency.digest));
                return if same { Created::Repeated(other) } else { Created::KeyReused(other) };
            }
        }
        if let Some(other) = self.identities.get(&task.identity) {
            return Created::Duplicate(*other);
        }
        let id = task.id;
        let key = i64::try_from(self.tasks.len()).unwrap_or(i64::MAX) + 1;
        self.keys.insert(id, key);
        self.identities.insert(task.identity.clone(), id);
        if let Some(idempotency) = &task.idempotency {
            self.idempotency.insert((namespace, idempotency.key.clone()), id);
        }
        let bypass = task.bypass.clone();
        self.tasks.insert(key, new_row(task, self.now, check_in));
        self.log(key, Change::Created, actor, None);
        self.sync_all(key);
        for step in bypass {
            let metadata = Some(Json::from(&json!({ "bypassed": true })));
            let note = Note { metadata, ..Note::default() };
            // A fresh step is pending, and a pending step can be resolved.
            let _ = self.apply(key, step, StepEvent::Resolve, actor, note);
        }
        finished.extend(self.finalize_touched());
        Created::New(id)
    }

    pub(super) fn snapshot(&self, key: i64) -> Snapshot {
        let task = self.task(key);
        Snapshot {
            task: task.record.clone(),
            steps: task.steps.iter().map(|row| row.record.clone()).collect(),
            position: self.history.last().map_or(Position(0), |entry| entry.position),
            taken_at: self.now,
        }
    }

    /// Wakes listeners when this commit leaves new work in the queue that is due. Work that was there before has had
    /// its hint: to wake for it again would keep a worker busy that cannot run it.
    pub(super) fn wake_for_queued(&mut self) {
        let added = std::mem::take(&mut self.added);
        self.woken |= added.iter().any(|place| self.queue.contains(place) && self.is_due(place));
    }

    pub(super) fn is_due(&self, place: &Queued) -> bool {
        self.step(place.key, place.step).record.next_retry_at.is_none_or(|due| due <= self.now)
    }

    /// Records a failure, and when the step is due again if it will be tried again.
    pub(super) fn set_failure(&mut self, key: i64, step: StepNo, failure: Failure, retry_in: Duration) {
        let now = self.now;
        let row = &mut self.step_mut(key, step).record;
        row.permanent = failure.severity == crate::failure::Severity::Permanent;
        row.failure = Some(failure);
        row.next_retry_at = row.facts(now).retry_eligible().then(|| now.plus(retry_in));
        self.sync(key, step);
    }
}

fn new_row(task: NewTask, now: Timestamp, check_in: Duration) -> TaskRow {
    let template = task.template;
    let steps = template
        .steps()
        .iter()
        .enumerate()
        .map(|(index, step)| StepRow {
            record: StepRecord {
                step: StepNo(u32::try_from(index).unwrap_or(u32::MAX)),
                state: StepState::Pending,
                attempts: 0,
                run: RunNo(0),
                retry_limit: step.retry_limit(),
                retryable: step.retryable(),
                permanent: false,
                unmet_parents: u32::try_from(step.depends_on().len()).unwrap_or(u32::MAX),
                next_retry_at: task.start_at.filter(|start| *start > now && step.depends_on().is_empty()),
                queued: false,
                lease: None,
                started_at: None,
                finished_at: None,
                failure: None,
            },
            result: None,
            checkpoint: None,
            timeout: None,
            config: None,
            live: false,
        })
        .collect();
    TaskRow {
        record: TaskRecord {
            id: task.id,
            template,
            state: TaskState::Pending,
            failure: None,
            context: task.context,
            origin: task.origin,
            identity: task.identity,
            idempotency_key: task.idempotency.as_ref().map(|idempotency| idempotency.key.clone()),
            priority: task.priority,
            parent: task.parent,
            created_at: now,
            started_at: None,
            finished_at: None,
            start_at: task.start_at,
            deadline_at: task.deadline_at,
            next_check_at: Some(now.plus(check_in)),
            live_steps: 0,
        },
        digest: task.idempotency.map(|idempotency| idempotency.digest),
        steps,
    }
}
