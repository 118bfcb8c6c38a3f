//! The rows of the store in memory, and what keeps them consistent.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::json;
use tasker_types::{
    LeaseToken, Namespace, Position, RunNo, StepFacts, StepNo, StepState, TaskContext, TaskId, TaskState,
    Timestamp, Version, WorkerId,
};

use super::queue::{Queue, Queued};
use crate::failure::Failure;
use crate::finalizer::{Decision, FailureReason, decide};
use crate::json::Json;
use crate::record::{Actor, Change, HeldLease, Snapshot, StepRecord, TaskRecord, Transition};
use crate::store::StoreError;
use crate::transition::{
    AttemptsLeft, IllegalStepTransition, Situation, StepEvent, TaskEvent, step_transition, task_transition,
};

/// The indexes of times.
pub(super) const DEADLINE: usize = 0;
pub(super) const CHECK: usize = 1;

/// A task and its steps.
#[derive(Clone, Debug)]
pub(super) struct TaskRow {
    pub(super) record: TaskRecord,
    pub(super) digest: Option<String>,
    pub(super) steps: Vec<StepRow>,
    /// Where its history lies in that of all.
    pub(super) entries: Vec<usize>,
    /// The times under which it is indexed: its deadline while it is active, and its next check.
    pub(super) times: [Option<Timestamp>; 2],
}

/// A step, with what its record leaves out.
#[derive(Clone, Debug)]
pub(super) struct StepRow {
    pub(super) record: StepRecord,
    pub(super) result: Option<Json>,
    pub(super) checkpoint: Option<Json>,
    pub(super) timeout: Option<Duration>,
    pub(super) config: Option<Json>,
    /// Where its history lies in that of all.
    pub(super) entries: Vec<usize>,
    /// The lane of the queue for its handler.
    pub(super) lane: usize,
    /// Its place in the queue, and since or until when it waits there.
    pub(super) place: Option<(Queued, Option<Timestamp>)>,
    /// Whether the task counts it as live.
    pub(super) live: bool,
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub(super) struct State {
    pub(super) now: Timestamp,
    pub(super) tasks: BTreeMap<i64, TaskRow>,
    pub(super) keys: BTreeMap<TaskId, i64>,
    pub(super) identities: BTreeMap<String, TaskId>,
    pub(super) idempotency: BTreeMap<(Namespace, String), TaskId>,
    pub(super) queue: Queue,
    /// When each lease is over.
    pub(super) leases: BTreeSet<(Timestamp, i64, StepNo)>,
    /// What each worker holds under each token.
    pub(super) held: BTreeMap<(WorkerId, LeaseToken), BTreeSet<(i64, StepNo)>>,
    /// When each task that is active fails, and when each is looked at.
    pub(super) times: [BTreeSet<(Timestamp, i64)>; 2],
    pub(super) history: Vec<Transition>,
    /// When each namespace was last handed a step, in top-ups.
    pub(super) served: BTreeMap<Namespace, u64>,
    pub(super) top_ups: u64,
    /// Tasks whose end is to be checked before the commit.
    pub(super) touched: BTreeSet<i64>,
    /// Steps that came to another place in the queue since the last commit.
    pub(super) added: Vec<(i64, StepNo)>,
    pub(super) woken: bool,
    pub(super) cursor_secret: Option<[u8; 32]>,
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

    #[expect(
        clippy::expect_used,
        reason = "keys come from the map of keys, which is filled together with the tasks"
    )]
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
        let row = &task.steps[step.0 as usize];
        let facts = row.record.facts(self.now);
        let queued = task.record.state.is_active()
            && !(tasker_types::bug(7) && row.record.state == StepState::Error)
            && matches!(row.record.state, StepState::Pending | StepState::Error)
            && (facts.dependencies_satisfied() || tasker_types::bug(5))
            && (facts.retry_eligible() || tasker_types::bug(6));
        let rank = task.record.priority.saturating_neg();
        let place = queued.then_some((Queued { rank, key, step }, row.record.next_retry_at));
        let (lane, before) = (row.lane, row.place);
        if place != before {
            if let Some((place, at)) = before {
                self.queue.remove(lane, place, at);
            }
            if let Some((place, at)) = place {
                self.queue.insert(lane, place, at);
                self.added.push((key, step));
            }
        }
        let row = self.step_mut(key, step);
        row.place = place;
        row.record.queued = queued;
        let live = queued || row.record.state == StepState::InProgress;
        let before = std::mem::replace(&mut row.live, live);
        let count = &mut self.task_mut(key).record.live_steps;
        *count = *count + u32::from(live) - u32::from(before && !tasker_types::bug(8));
        self.touch(key);
    }

    /// Brings the indexes of times in line with a task.
    pub(super) fn sync_task(&mut self, key: i64) {
        let row = self.task_mut(key);
        let deadline = row.record.deadline_at.filter(|_| row.record.state.is_active());
        let after = [deadline, row.record.next_check_at];
        let before = std::mem::replace(&mut row.times, after);
        for ((index, before), after) in self.times.iter_mut().zip(before).zip(after) {
            if let Some(time) = before {
                index.remove(&(time, key));
            }
            index.extend(after.map(|time| (time, key)));
        }
    }

    /// Gives a step a lease, or takes it away.
    pub(super) fn set_lease(&mut self, key: i64, step: StepNo, lease: Option<HeldLease>) {
        let before = std::mem::replace(&mut self.step_mut(key, step).record.lease, lease);
        if let Some(before) = before {
            self.leases.remove(&(before.until, key, step));
            let holder = (before.worker, before.token);
            if let Some(steps) = self.held.get_mut(&holder) {
                steps.remove(&(key, step));
                if steps.is_empty() {
                    self.held.remove(&holder);
                }
            }
        }
        if let Some(lease) = lease {
            self.leases.insert((lease.until, key, step));
            self.held
                .entry((lease.worker, lease.token))
                .or_default()
                .insert((key, step));
        }
    }

    /// Puts a task back as it was, and forgets the history that was written since.
    pub(super) fn restore(&mut self, key: i64, before: TaskRow, entries: usize) {
        let steps = (0..before.steps.len()).map(|step| StepNo(u32::try_from(step).unwrap_or(u32::MAX)));
        // What the indexes have of it now is taken out; what they are to have is put in.
        for step in steps.clone() {
            self.set_lease(key, step, None);
            let row = self.step_mut(key, step);
            if let (lane, Some((place, at))) = (row.lane, row.place.take()) {
                self.queue.remove(lane, place, at);
            }
        }
        let times = self.task(key).times;
        let leases: Vec<_> = before.steps.iter().map(|row| row.record.lease).collect();
        self.tasks.insert(key, before);
        self.task_mut(key).times = times;
        self.sync_task(key);
        for (step, lease) in steps.zip(leases) {
            let row = self.step_mut(key, step);
            (row.record.lease, row.place) = (None, None);
            self.set_lease(key, step, lease);
            self.sync(key, step);
        }
        self.history.truncate(entries);
        self.touched.clear();
        self.added.clear();
    }

    pub(super) fn sync_all(&mut self, key: i64) {
        for step in 0..self.task(key).steps.len() {
            self.sync(key, StepNo(u32::try_from(step).unwrap_or(u32::MAX)));
        }
    }

    pub(super) fn log(&mut self, key: i64, change: Change, actor: &Actor, metadata: Option<Json>) {
        if tasker_types::bug(18)
            && matches!(
                change,
                Change::Step {
                    event: StepEvent::Expire,
                    ..
                }
            )
        {
            return;
        }
        let (entry, now) = (self.history.len(), self.now);
        let row = self.task_mut(key);
        row.entries.push(entry);
        if matches!(change, Change::Task { .. } | Change::Setting { step: None }) {
            row.record.updated_at = now;
        }
        if let Change::Step { step, .. }
        | Change::LateOutcome { step, .. }
        | Change::Setting { step: Some(step) } = change
        {
            row.steps[step.0 as usize].entries.push(entry);
        }
        let position = Position(i64::try_from(entry).unwrap_or(i64::MAX) + 1);
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
    pub(super) fn may(
        &self,
        key: i64,
        step: StepNo,
        event: StepEvent,
    ) -> Result<StepState, IllegalStepTransition> {
        let task = self.task(key);
        let row = &task.steps[step.0 as usize].record;
        let left = (row.attempts < row.retry_limit && row.retryable) || tasker_types::bug(25);
        let attempts = if left {
            AttemptsLeft::Some
        } else {
            AttemptsLeft::None
        };
        step_transition(
            row.state,
            event,
            Situation {
                task: task.record.state,
                attempts,
            },
        )
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
                row.record.attempts += u32::from(!tasker_types::bug(9));
                row.record.run = RunNo(row.record.run.0 + u32::from(!tasker_types::bug(10)));
                row.record.started_at = Some(now);
                row.record.finished_at = None;
                row.record.next_retry_at = None;
                row.record.progress = None;
            }
            StepEvent::Release | StepEvent::Suspend => {
                row.record.attempts -= u32::from(!tasker_types::bug(11))
            }
            StepEvent::Reset => {
                row.record.attempts *= u32::from(tasker_types::bug(12));
                row.record.permanent &= tasker_types::bug(13);
                row.record.next_retry_at = None;
                row.record.failure = None;
                row.checkpoint.take_if(|_| !tasker_types::bug(14));
            }
            _ => {}
        }
        row.record.finished_at = (!matches!(to, StepState::Pending | StepState::InProgress)).then_some(now);
        if to.is_finished() {
            row.record.next_retry_at = None;
        }
        let (run, attempt) = (row.record.run, row.record.attempts);
        if to != StepState::InProgress && !tasker_types::bug(15) {
            self.set_lease(key, step, None);
        }
        let change = Change::Step {
            step,
            from,
            event,
            to,
            run,
            attempt,
            handler_version: note.handler_version,
            ran_us: note.ran_us,
        };
        self.log(key, change, actor, note.metadata);
        self.sync(key, step);
        if (to.is_done() && !(tasker_types::bug(17) && event == StepEvent::Resolve))
            || (tasker_types::bug(16) && to == StepState::Cancelled)
        {
            let mut children: Vec<_> = self.task(key).record.template.children(step).collect();
            if tasker_types::bug(3) {
                children.pop();
            }
            if tasker_types::bug(4) {
                children.extend(
                    children
                        .first()
                        .copied()
                        .filter(|child| self.step(key, *child).record.unmet_parents > 1),
                );
            }
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
        let to = task_transition(from, event).map_err(|source| StoreError::IllegalTask {
            task: record.id,
            source,
        })?;
        record.state = to;
        record.failure = failure.filter(|_| !tasker_types::bug(20));
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
        self.sync_task(key);
        if !tasker_types::bug(21) {
            self.sync_all(key);
        }
        Ok(to)
    }

    pub(super) fn facts(&self, key: i64) -> Vec<StepFacts> {
        self.task(key)
            .steps
            .iter()
            .map(|row| row.record.facts(self.now))
            .collect()
    }

    /// Returns the context of a task that is active.
    pub(super) fn active_context(&self, key: i64) -> Option<TaskContext> {
        let state = self.task(key).record.state;
        state
            .is_active()
            .then(|| TaskContext::of(state, &self.facts(key)))
    }

    /// Ends the tasks that were touched and can no longer progress.
    pub(super) fn finalize_touched(&mut self) -> Vec<(TaskId, TaskState)> {
        let mut finished = Vec::new();
        for key in std::mem::take(&mut self.touched) {
            if tasker_types::bug(2) {
                continue;
            }
            // The counter says in constant time what the context says by a walk over all steps.
            if self.task(key).record.live_steps > 0 && !tasker_types::bug(1) {
                continue;
            }
            let Some(context) = self.active_context(key) else {
                continue;
            };
            let (event, failure) = match decide(Some(&context), &tasker_types::Backoff::default()) {
                Decision::Complete => (TaskEvent::Complete, None),
                Decision::Fail { reason } => (TaskEvent::Fail, Some(reason)),
                Decision::LookAgain { .. } if tasker_types::bug(1) => (TaskEvent::Complete, None),
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

    /// Returns the position of the last entry of the history.
    pub(super) fn position(&self) -> Position {
        self.history.last().map_or(Position(0), |entry| entry.position)
    }

    pub(super) fn snapshot(&self, key: i64) -> Snapshot {
        let task = self.task(key);
        Snapshot {
            task: task.record.clone(),
            steps: task.steps.iter().map(|row| row.record.clone()).collect(),
            position: self.position(),
            taken_at: self.now,
        }
    }

    /// Wakes listeners when this commit leaves new work in the queue that is due. Work that was there before has had
    /// its hint: to wake for it again would keep a worker busy that cannot run it.
    pub(super) fn wake_for_queued(&mut self) {
        let added = std::mem::take(&mut self.added);
        let now = self.now;
        let due = |(_, at): (Queued, Option<Timestamp>)| at.is_none_or(|time| time <= now);
        self.woken |= !tasker_types::bug(22)
            && added
                .into_iter()
                .any(|(key, step)| self.step(key, step).place.is_some_and(due));
    }

    /// Records a failure, and when the step is due again if it will be tried again.
    pub(super) fn set_failure(&mut self, key: i64, step: StepNo, failure: Failure, retry_in: Duration) {
        let now = self.now;
        let row = &mut self.step_mut(key, step).record;
        row.permanent = !tasker_types::bug(23) && failure.severity == crate::failure::Severity::Permanent;
        row.failure = Some(failure);
        row.next_retry_at = row.facts(now).retry_eligible().then(|| {
            now.plus(if tasker_types::bug(24) {
                Duration::ZERO
            } else {
                retry_in
            })
        });
        self.sync(key, step);
    }
}
