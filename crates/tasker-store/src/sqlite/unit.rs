//! A unit of work: the rows that one request looks at, changed in memory by the engine's rules, and written back in sets.
//!
//! Queue entries and leases are never written by hand: what a step's row says before and after a change decides which
//! of them come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sqlite::SqliteConnection;
use tasker_engine::{
    Actor, AttemptsLeft, Decision, Failure, FailureReason, IllegalStepTransition, Json, Severity, Situation,
    StepEvent, StoreError, TaskEvent, decide, step_transition, task_transition,
};
use tasker_types::{
    Backoff, StepFacts, StepNo, StepState, TaskContext, TaskId, TaskState, Timestamp, Version,
};

use super::cache::Cache;
use super::flush::Counts;
use super::history::Entry;
use super::kept::Carried;
use super::rows::{Kind, StepKey, StepRow, TaskRow, load_all_steps, load_steps, load_tasks, payload};

/// A row with what the database has.
#[derive(Debug)]
pub(super) struct Tracked<T> {
    pub(super) before: Option<T>,
    pub(super) now: T,
}

impl<T: Clone> Tracked<T> {
    /// Returns a row as the database has it.
    pub(super) fn loaded(row: T) -> Self {
        Self {
            before: Some(row.clone()),
            now: row,
        }
    }
}

/// What a step's entry in the history says beside the states.
#[derive(Debug, Default)]
pub(super) struct Note {
    pub(super) handler_version: Option<Version>,
    pub(super) ran_us: Option<u64>,
    pub(super) metadata: Option<Json>,
}

/// What a new task has beside its row.
#[derive(Debug)]
pub(super) struct NewRow {
    pub(super) identity: Option<String>,
    pub(super) idempotency: Option<tasker_engine::Idempotency>,
    pub(super) origin: Option<String>,
    pub(super) parent: Option<(TaskId, StepNo)>,
    pub(super) start_at: Option<Timestamp>,
}

/// A unit of work.
pub(super) struct Unit<'c> {
    pub(super) connection: &'c mut SqliteConnection,
    pub(super) cache: &'c mut Cache,
    pub(super) now: Timestamp,
    pub(super) process: i64,
    pub(super) tasks: BTreeMap<i64, Tracked<TaskRow>>,
    pub(super) created: BTreeMap<i64, NewRow>,
    pub(super) steps: BTreeMap<StepKey, Tracked<StepRow>>,
    /// Payloads to write, by their key; `None` to remove.
    pub(super) payloads: BTreeMap<i64, Option<Json>>,
    pub(super) entries: Vec<Entry<'static>>,
    /// What claims carry, by the key of the task.
    pub(super) carried: BTreeMap<i64, Arc<Carried>>,
    /// Tasks whose end is to be checked.
    pub(super) touched: BTreeSet<i64>,
    /// Whether listeners are to be told, whatever the queue says.
    pub(super) woken: bool,
    /// When each place that this unit added to the queue is due.
    pub(super) added: Vec<Option<Timestamp>>,
}

impl<'c> Unit<'c> {
    /// Returns a unit that has changed nothing yet.
    pub(super) fn new(
        connection: &'c mut SqliteConnection,
        cache: &'c mut Cache,
        now: Timestamp,
        process: i64,
    ) -> Self {
        Self {
            connection,
            cache,
            now,
            process,
            tasks: BTreeMap::new(),
            created: BTreeMap::new(),
            steps: BTreeMap::new(),
            payloads: BTreeMap::new(),
            entries: Vec::new(),
            carried: BTreeMap::new(),
            touched: BTreeSet::new(),
            woken: false,
            added: Vec::new(),
        }
    }
}

impl Unit<'_> {
    /// Loads tasks that are not loaded yet.
    pub(super) fn load_tasks(&mut self, keys: impl IntoIterator<Item = i64>) -> QueryResult<()> {
        let mut missing = BTreeSet::new();
        for key in keys {
            if self.tasks.contains_key(&key) {
                continue;
            }
            match self.cache.kept.get(key) {
                Some(kept) => {
                    self.tasks.insert(key, Tracked::loaded(kept.row.clone()));
                }
                None => {
                    missing.insert(key);
                }
            }
        }
        let missing: Vec<i64> = missing.into_iter().collect();
        let cache = &mut *self.cache;
        let rows = load_tasks(self.connection, &missing, &mut |connection, id| {
            cache.graph(connection, id)
        })?;
        for (key, row) in rows {
            if row.state.is_active() {
                self.cache.kept.put_task(key, &row);
            }
            self.tasks.insert(key, Tracked::loaded(row));
        }
        Ok(())
    }

    /// Loads steps that are not loaded yet, of tasks that are.
    pub(super) fn load_steps(&mut self, keys: impl IntoIterator<Item = StepKey>) -> QueryResult<()> {
        let mut missing = BTreeSet::new();
        let mut wanted = Vec::new();
        let mut wholes = BTreeSet::new();
        for key in keys {
            if self.steps.contains_key(&key) {
                continue;
            }
            let Some(kept) = self.cache.kept.get(key.0) else {
                missing.insert(key);
                continue;
            };
            if let Some(row) = kept.steps.get(&key.1) {
                self.steps.insert(key, Tracked::loaded(row.clone()));
            } else if !kept.whole && kept.is_small() {
                wholes.insert(key.0);
                wanted.push(key);
            } else if !kept.whole {
                missing.insert(key);
            }
        }
        self.keep_whole(&wholes.into_iter().collect::<Vec<_>>())?;
        for key in wanted {
            if let Some(row) = self.cache.kept.get(key.0).and_then(|kept| kept.steps.get(&key.1)) {
                self.steps.insert(key, Tracked::loaded(row.clone()));
            }
        }
        let missing: Vec<StepKey> = missing.into_iter().collect();
        for (key, row) in load_steps(self.connection, &missing)? {
            self.steps.insert(key, Tracked::loaded(row));
        }
        Ok(())
    }

    /// Loads and keeps all steps of tasks that are kept.
    fn keep_whole(&mut self, tasks: &[i64]) -> QueryResult<()> {
        let mut rows = load_all_steps(self.connection, tasks)?.into_iter().peekable();
        for task in tasks {
            let mut steps = BTreeMap::new();
            while let Some((key, row)) = rows.next_if(|(key, _)| key.0 == *task) {
                steps.insert(key.1, row);
            }
            self.cache.kept.put_whole(*task, steps);
        }
        Ok(())
    }

    /// Loads all steps of a task that is loaded.
    pub(super) fn load_all_steps(&mut self, task: i64) -> QueryResult<()> {
        if self
            .cache
            .kept
            .get(task)
            .is_some_and(|kept| !kept.whole && kept.is_small())
        {
            self.keep_whole(&[task])?;
        }
        let rows: Vec<(StepKey, StepRow)> = match self.cache.kept.get(task) {
            Some(kept) if kept.whole => {
                let rows = kept.steps.iter();
                rows.map(|(step, row)| ((task, *step), row.clone())).collect()
            }
            _ => load_all_steps(self.connection, &[task])?,
        };
        for (key, row) in rows {
            self.steps.entry(key).or_insert_with(|| Tracked::loaded(row));
        }
        Ok(())
    }

    pub(super) fn task(&self, key: i64) -> &TaskRow {
        &self.tasks[&key].now
    }

    #[expect(clippy::expect_used, reason = "every caller has loaded the task")]
    pub(super) fn task_mut(&mut self, key: i64) -> &mut TaskRow {
        &mut self.tasks.get_mut(&key).expect("the task is loaded").now
    }

    pub(super) fn step(&self, key: StepKey) -> &StepRow {
        &self.steps[&key].now
    }

    #[expect(clippy::expect_used, reason = "every caller has loaded the step")]
    pub(super) fn step_mut(&mut self, key: StepKey) -> &mut StepRow {
        &mut self.steps.get_mut(&key).expect("the step is loaded").now
    }

    /// Has a payload written, or removed.
    pub(super) fn put(&mut self, key: StepKey, kind: Kind, body: Option<Json>) {
        self.payloads.insert(payload(key, kind), body);
    }

    /// Returns the loaded steps of a task.
    pub(super) fn steps_of(&self, task: i64) -> impl Iterator<Item = (u32, &StepRow)> {
        self.steps
            .range((task, 0)..=(task, u32::MAX))
            .map(|(key, row)| (key.1, &row.now))
    }

    pub(super) fn actor(&mut self, actor: &Actor) -> QueryResult<i64> {
        self.cache.actor(self.connection, actor)
    }

    /// Asks whether an event is legal for a step.
    pub(super) fn may(&self, key: StepKey, event: StepEvent) -> Result<StepState, IllegalStepTransition> {
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
    /// [`Unit::tell_children`].
    pub(super) fn apply(
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
            task: key.0,
            step: Some(key.1),
            event: event.as_str(),
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            actor,
            run: Some(run),
            attempt: Some(attempt),
            handler_version: note.handler_version.map(|version| version.to_string()),
            ran_us: note.ran_us,
            metadata: note.metadata,
        });
        self.touched.insert(key.0);
        Ok(to)
    }

    /// Tells the children of steps that are done; the steps are done since now, each once.
    pub(super) fn tell_children(&mut self, done: &[StepKey]) -> QueryResult<()> {
        let mut children = Vec::new();
        for (task, step) in done {
            let graph = &self.task(*task).graph;
            children.extend(
                graph
                    .template
                    .children(StepNo(*step))
                    .map(|child| (*task, child.0)),
            );
        }
        self.load_steps(children.iter().copied())?;
        for child in children {
            let row = self.step_mut(child);
            row.unmet_parents = row.unmet_parents.saturating_sub(if tasker_types::bug(61) {
                0
            } else {
                1 + u32::from(tasker_types::bug(60))
            });
        }
        Ok(())
    }

    /// Applies an event to a task: its state, its times, its history. All its steps must be loaded unless none of them is
    /// in the queue before or after.
    pub(super) fn apply_to_task(
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
            task: key,
            step: None,
            event: event.as_str(),
            from: Some(from.as_str()),
            to: Some(to.as_str()),
            actor,
            run: None,
            attempt: None,
            handler_version: None,
            ran_us: None,
            metadata,
        });
        self.touched.insert(key);
        Ok(to)
    }

    /// Returns the facts of all steps of a task.
    pub(super) fn all_facts(&mut self, key: i64) -> QueryResult<Vec<StepFacts>> {
        self.load_all_steps(key)?;
        let now = self.now;
        Ok(self.steps_of(key).map(|(_, row)| row.facts(now)).collect())
    }

    /// Returns the context of a task that is active.
    pub(super) fn active_context(&mut self, key: i64) -> QueryResult<Option<TaskContext>> {
        let state = self.task(key).state;
        if !state.is_active() {
            return Ok(None);
        }
        Ok(Some(TaskContext::of(state, &self.all_facts(key)?)))
    }

    /// Ends the tasks that were touched and can no longer progress. What this unit changed counts, though it is not
    /// written yet.
    pub(super) fn finalize_touched(&mut self) -> Result<Vec<(TaskId, TaskState)>, Trouble> {
        let touched = std::mem::take(&mut self.touched);
        let mut finished = Vec::new();
        self.count_live();
        let idle: Vec<i64> = touched
            .into_iter()
            .filter(|key| self.task(*key).state.is_active() && self.task(*key).live_steps == 0)
            .collect();
        if idle.is_empty() {
            return Ok(finished);
        }
        let system = self.actor(&Actor::System)?;
        let counts = self.counts(&idle)?;
        for key in idle {
            let decision = match counts.get(&key) {
                Some(Counts { steps, done }) if steps == done => Decision::Complete,
                _ => {
                    let context = self.active_context(key)?;
                    decide(context.as_ref(), &Backoff::default())
                }
            };
            let (event, failure) = match decision {
                Decision::Complete => (TaskEvent::Complete, None),
                Decision::Fail { reason } => (TaskEvent::Fail, Some(reason)),
                Decision::LookAgain { .. } => continue,
            };
            if event == TaskEvent::Complete && self.task(key).state == TaskState::Pending {
                // Every step was bypassed or resolved before one began.
                self.apply_to_task(key, TaskEvent::Start, system, None, None)?;
            }
            let state = self.apply_to_task(key, event, system, failure, None)?;
            finished.push((self.task(key).id, state));
        }
        self.touched.clear();
        Ok(finished)
    }

    /// Brings the counts of live steps in line with the steps.
    pub(super) fn count_live(&mut self) {
        let mut change: BTreeMap<i64, i64> = BTreeMap::new();
        for (key, row) in &mut self.steps {
            let Some(task) = self.tasks.get(&key.0) else {
                continue;
            };
            let live = |row: &StepRow, active| row.state == StepState::InProgress || row.queued(active);
            let before = row
                .before
                .as_ref()
                .zip(task.before.as_ref())
                .is_some_and(|(row, task)| live(row, task.state.is_active()));
            let after = live(&row.now, task.now.state.is_active());
            *change.entry(key.0).or_default() +=
                i64::from(after) - i64::from(before && !tasker_types::bug(70));
        }
        for (key, change) in change {
            if let Some(task) = self.tasks.get_mut(&key) {
                task.now.live_steps = task.before.as_ref().map_or(0, |before| before.live_steps) + change;
            }
        }
    }

    /// Records a failure, and when the step is due again if it will be tried again.
    pub(super) fn set_failure(&mut self, key: StepKey, failure: &Failure, retry_in: std::time::Duration) {
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
    pub(super) fn keep_failure(&mut self, key: StepKey, failure: &Failure) {
        let json = Json::of(failure).unwrap_or_else(|_| Json::null());
        self.put(key, Kind::Failure, Some(json));
    }

    /// Returns the template of a task's step.
    pub(super) fn template(&self, task: i64) -> &Arc<tasker_engine::Template> {
        &self.task(task).graph.template
    }
}

/// Why a unit of work was given up: the database failed, or the request was refused.
#[derive(Debug)]
pub(super) enum Trouble {
    Database(diesel::result::Error),
    Refused(StoreError),
}

impl From<diesel::result::Error> for Trouble {
    fn from(error: diesel::result::Error) -> Self {
        Self::Database(error)
    }
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}
