//! A unit of work: the rows that one request looks at, changed in memory by the engine's rules, and written back in sets.
//!
//! Queue entries and leases are never written by hand: what a step's row says before and after a change decides which
//! of them come and go.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diesel::result::QueryResult;
use tasker_engine::{Actor, StoreError};
use tasker_types::{TaskContext, TaskId, TaskState, Timestamp};

use super::cache::Cache;
use super::connection::Connection;
use super::kept::Carried;
use super::rows::{LeaseRow, StepRow, load_all_steps, load_steps, load_tasks};
use crate::work::{StepKey, Work};

/// A unit of work.
pub(super) struct Unit<'c> {
    pub(super) connection: &'c mut Connection,
    pub(super) cache: &'c mut Cache,
    pub(super) process: i64,
    pub(super) work: Work<LeaseRow>,
    /// What claims carry, by the key of the task.
    pub(super) carried: BTreeMap<i64, Arc<Carried>>,
    /// When each place that this unit added to the queue is due.
    pub(super) added: Vec<Option<Timestamp>>,
}

impl<'c> Unit<'c> {
    /// Returns a unit that has changed nothing yet.
    pub(super) fn new(
        connection: &'c mut Connection,
        cache: &'c mut Cache,
        now: Timestamp,
        process: i64,
    ) -> Self {
        Self {
            connection,
            cache,
            process,
            work: Work::new(now),
            carried: BTreeMap::new(),
            added: Vec::new(),
        }
    }
}

impl Unit<'_> {
    /// Loads tasks that are not loaded yet.
    pub(super) fn load_tasks(&mut self, keys: impl IntoIterator<Item = i64>) -> QueryResult<()> {
        let mut missing = BTreeSet::new();
        for key in keys {
            if self.work.tasks.contains_key(&key) {
                continue;
            }
            match self.cache.kept.get(key) {
                Some(kept) => {
                    self.work.add_task(key, kept.row.clone());
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
            self.work.add_task(key, row);
        }
        Ok(())
    }

    /// Loads steps that are not loaded yet, of tasks that are.
    pub(super) fn load_steps(&mut self, keys: impl IntoIterator<Item = StepKey>) -> QueryResult<()> {
        let mut missing = BTreeSet::new();
        let mut wanted = Vec::new();
        let mut wholes = BTreeSet::new();
        for key in keys {
            if self.work.steps.contains_key(&key) {
                continue;
            }
            let Some(kept) = self.cache.kept.get(key.0) else {
                missing.insert(key);
                continue;
            };
            if let Some(row) = kept.steps.get(&key.1) {
                self.work.add_step(key, row.clone());
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
                self.work.add_step(key, row.clone());
            }
        }
        let missing: Vec<StepKey> = missing.into_iter().collect();
        for (key, row) in load_steps(self.connection, &missing)? {
            self.work.add_step(key, row);
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
            self.work.add_step(key, row);
        }
        Ok(())
    }

    pub(super) fn actor(&mut self, actor: &Actor) -> QueryResult<i64> {
        self.cache.actor(self.connection, actor)
    }

    /// Tells the children of steps that are done; the steps are done since now, each once.
    pub(super) fn tell_children(&mut self, done: &[StepKey]) -> QueryResult<()> {
        let children = self.work.children(done);
        self.load_steps(children.iter().copied())?;
        self.work.tell(&children);
        Ok(())
    }

    /// Returns the context of a task that is active.
    pub(super) fn active_context(&mut self, key: i64) -> QueryResult<Option<TaskContext>> {
        if !self.work.task(key).state.is_active() {
            return Ok(None);
        }
        self.load_all_steps(key)?;
        Ok(self.work.active_context(key))
    }

    /// Ends the tasks that were touched and can no longer progress. What this unit changed counts, though it is not
    /// written yet.
    pub(super) fn finalize_touched(&mut self) -> Result<Vec<(TaskId, TaskState)>, Trouble> {
        let idle = self.work.idle();
        if idle.is_empty() {
            return Ok(Vec::new());
        }
        let system = self.actor(&Actor::System)?;
        let mut counts = self.counts(&idle)?;
        for key in self.work.unfinished(&mut counts) {
            self.load_all_steps(key)?;
        }
        Ok(self.work.finalize(&idle, &counts, system)?)
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
