//! The rows of tasks under way, kept in memory between transactions by the one who writes.
//!
//! They are what the database has, as long as nobody else has written to the file; SQLite tells when somebody has, and
//! then everything here is forgotten, as it is when a transaction is undone. So a turn of the only process that works on
//! a file reads next to nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use tasker_engine::{ClaimedTask, Json};

use super::rows::StepRow;
use crate::work::{StepKey, TaskRow};

/// The steps of a task with no more than so many are loaded and kept together; of a larger one, those in progress.
pub(super) const SMALL: usize = 64;

/// How many steps are kept; with more, everything is forgotten and loaded anew as it is needed.
const STEPS: usize = 50_000;

/// How many bytes of contexts and configurations are kept.
const BYTES: usize = 32 << 20;

/// What the claims of a task's steps carry, whichever step it is.
#[derive(Debug)]
pub(super) struct Carried {
    pub(super) task: Arc<ClaimedTask>,
    /// Configurations that replace the template's.
    pub(super) configs: BTreeMap<u32, Json>,
}

/// A task that is kept.
#[derive(Debug)]
pub(super) struct KeptTask {
    pub(super) row: TaskRow,
    pub(super) steps: BTreeMap<u32, StepRow>,
    /// Whether all steps are there.
    pub(super) whole: bool,
    pub(super) carried: Option<Arc<Carried>>,
}

impl KeptTask {
    /// Tells whether all steps of the task are kept together.
    pub(super) fn is_small(&self) -> bool {
        self.row.graph.template.steps().len() <= SMALL
    }
}

/// The tasks that are kept.
#[derive(Debug, Default)]
pub(super) struct Kept {
    tasks: HashMap<i64, KeptTask>,
    steps: usize,
    bytes: usize,
}

impl Kept {
    pub(super) fn get(&self, task: i64) -> Option<&KeptTask> {
        self.tasks.get(&task)
    }

    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    /// Forgets everything if it has become too much. What a unit of work has taken from here stays with that unit.
    pub(super) fn trim(&mut self) {
        if self.steps > STEPS || self.tasks.len() > STEPS || self.bytes > BYTES {
            self.clear();
        }
    }

    pub(super) fn forget(&mut self, task: i64) {
        if let Some(task) = self.tasks.remove(&task) {
            self.steps -= task.steps.len();
            self.bytes -= task.carried.as_ref().map_or(0, |carried| carried.bytes());
        }
    }

    /// Keeps a task's row.
    pub(super) fn put_task(&mut self, key: i64, row: &TaskRow) {
        match self.tasks.get_mut(&key) {
            Some(kept) => kept.row = row.clone(),
            None => {
                let kept = KeptTask {
                    row: row.clone(),
                    steps: BTreeMap::new(),
                    whole: false,
                    carried: None,
                };
                self.tasks.insert(key, kept);
            }
        }
    }

    /// Keeps the row of a step whose task is kept.
    pub(super) fn put_step(&mut self, key: StepKey, row: &StepRow) {
        let Some(task) = self.tasks.get_mut(&key.0) else {
            return;
        };
        if task.whole || row.lease.is_some() {
            self.steps += usize::from(task.steps.insert(key.1, row.clone()).is_none());
        } else {
            self.steps -= usize::from(task.steps.remove(&key.1).is_some());
        }
    }

    /// Keeps all steps of a task that is kept.
    pub(super) fn put_whole(&mut self, key: i64, steps: BTreeMap<u32, StepRow>) {
        if let Some(task) = self.tasks.get_mut(&key) {
            self.steps += steps.len();
            self.steps -= task.steps.len();
            task.steps = steps;
            task.whole = true;
        }
    }

    /// Keeps what the claims of a task that is kept carry.
    pub(super) fn put_carried(&mut self, key: i64, carried: &Arc<Carried>) {
        if let Some(task) = self.tasks.get_mut(&key) {
            self.bytes += carried.bytes();
            self.bytes -= task.carried.as_ref().map_or(0, |carried| carried.bytes());
            task.carried = Some(Arc::clone(carried));
        }
    }

    /// Has what the claims of a task carry read anew.
    pub(super) fn drop_carried(&mut self, key: i64) {
        if let Some(carried) = self.tasks.get_mut(&key).and_then(|task| task.carried.take()) {
            self.bytes -= carried.bytes();
        }
    }
}

impl Carried {
    fn bytes(&self) -> usize {
        let configs: usize = self.configs.values().map(|config| config.as_str().len()).sum();
        self.task.context.as_str().len() + configs
    }
}
