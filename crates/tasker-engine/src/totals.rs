//! How much there is in a store, counted.

use serde::Serialize;
use tasker_types::{StepState, TaskState, Timestamp};

use crate::record::{Snapshot, StepRecord};

/// How many tasks, or steps, are in each state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StateCounts {
    /// Not begun.
    pub pending: u64,
    /// Begun.
    pub in_progress: u64,
    /// Ended as they should.
    pub complete: u64,
    /// Failed, perhaps not for good.
    pub error: u64,
    /// Given up by someone.
    pub cancelled: u64,
    /// Declared done by someone.
    pub resolved_manually: u64,
}

impl StateCounts {
    /// Returns how many there are in all.
    pub const fn total(&self) -> u64 {
        self.pending + self.in_progress + self.complete + self.error + self.cancelled + self.resolved_manually
    }

    fn count_task(&mut self, state: TaskState) {
        *match state {
            TaskState::Pending => &mut self.pending,
            TaskState::InProgress => &mut self.in_progress,
            TaskState::Complete => &mut self.complete,
            TaskState::Error => &mut self.error,
            TaskState::Cancelled => &mut self.cancelled,
            TaskState::ResolvedManually => &mut self.resolved_manually,
        } += 1;
    }

    fn count_step(&mut self, state: StepState) {
        *match state {
            StepState::Pending => &mut self.pending,
            StepState::InProgress => &mut self.in_progress,
            StepState::Complete => &mut self.complete,
            StepState::Error => &mut self.error,
            StepState::Cancelled => &mut self.cancelled,
            StepState::ResolvedManually => &mut self.resolved_manually,
        } += 1;
    }
}

/// What becomes of the steps in error. Each is retryable, exhausted or permanent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct RetryCounts {
    /// May be tried again.
    pub retryable: u64,
    /// Of these, those whose time has not come.
    pub in_backoff: u64,
    /// Have used up their attempts.
    pub exhausted: u64,
    /// Have attempts left and may not be tried again.
    pub permanent: u64,
}

/// How many steps are queued for workers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct QueueCounts {
    /// May be claimed now.
    pub due: u64,
    /// May be claimed when their time has come.
    pub waiting: u64,
}

/// How many tasks and steps a store has, and how the failed ones stand.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Totals {
    /// The tasks by state.
    pub tasks: StateCounts,
    /// Their steps by state.
    pub steps: StateCounts,
    /// The steps in error.
    pub retries: RetryCounts,
    /// The steps that a worker may be handed.
    pub queue: QueueCounts,
}

impl Totals {
    /// Counts a task and its steps.
    pub fn count(&mut self, snapshot: &Snapshot) {
        self.tasks.count_task(snapshot.task.state);
        for step in &snapshot.steps {
            self.steps.count_step(step.state);
            self.retries.count(step, snapshot.taken_at);
            self.queue.count(step, snapshot.taken_at);
        }
    }
}

impl QueueCounts {
    fn count(&mut self, step: &StepRecord, now: Timestamp) {
        if !step.queued {
            return;
        }
        *match step.next_retry_at {
            Some(due) if due > now => &mut self.waiting,
            _ => &mut self.due,
        } += 1;
    }
}

impl RetryCounts {
    fn count(&mut self, step: &StepRecord, now: Timestamp) {
        if step.state != StepState::Error {
            return;
        }
        let facts = step.facts(now);
        if facts.exhausted() {
            self.exhausted += 1;
        } else if !facts.retry_eligible() {
            self.permanent += 1;
        } else {
            self.retryable += 1;
            self.in_backoff += u64::from(facts.in_backoff());
        }
    }
}
