//! Ending tasks that can no longer progress.

use std::collections::BTreeMap;

use tasker_engine::{Decision, StoreError, TaskEvent, decide};
use tasker_types::{Backoff, StepState, TaskId, TaskState};

use super::{Lease, StepRow, Work};

/// How many steps a task has, and how many of them are done, in the database.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Counts {
    pub(crate) steps: i64,
    pub(crate) done: i64,
}

impl<L: Lease> Work<L> {
    /// Returns the tasks that were touched and have nothing in progress or in the queue: those that may end. The touched
    /// ones are forgotten.
    pub(crate) fn idle(&mut self) -> Vec<i64> {
        self.count_live();
        std::mem::take(&mut self.touched)
            .into_iter()
            .filter(|key| self.task(*key).state.is_active() && self.task(*key).live_steps == 0)
            .collect()
    }

    /// Corrects counts that were read by what was changed since, and tells of which idle tasks some step is not done.
    pub(crate) fn unfinished(&self, counts: &mut BTreeMap<i64, Counts>) -> Vec<i64> {
        for (key, row) in &self.steps {
            if let (Some(counts), Some(before)) = (counts.get_mut(&key.0), &row.before) {
                counts.done += i64::from(row.now.state.is_done()) - i64::from(before.state.is_done());
            }
        }
        counts
            .iter()
            .filter(|(_, counts)| counts.steps != counts.done)
            .map(|(key, _)| *key)
            .collect()
    }

    /// Ends idle tasks as the finalizer decides, in the name of the actor that is the store itself. All steps of those that are not done are loaded.
    pub(crate) fn finalize(
        &mut self,
        idle: &[i64],
        counts: &BTreeMap<i64, Counts>,
        system: i64,
    ) -> Result<Vec<(TaskId, TaskState)>, StoreError> {
        let mut finished = Vec::new();
        for key in idle.iter().copied() {
            let decision = match counts.get(&key) {
                Some(Counts { steps, done }) if steps == done => Decision::Complete,
                _ => decide(self.active_context(key).as_ref(), &Backoff::default()),
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
    pub(crate) fn count_live(&mut self) {
        let mut change: BTreeMap<i64, i64> = BTreeMap::new();
        for (key, row) in &self.steps {
            let Some(task) = self.tasks.get(&key.0) else {
                continue;
            };
            let live = |row: &StepRow<L>, active| row.state == StepState::InProgress || row.queued(active);
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
}
