//! What decides what may happen next, and nothing else.

use std::cmp::min;
use std::time::Duration;

use tasker_engine::{Json, Lease, MemoryStore, Snapshot, StepRecord, Store, StoreError};
use tasker_types::{BlockingReason, StepFacts, StepNo, StepState, TaskState, Timestamp};

use super::node::Node;
use super::world::{World, answer};

/// What a store holds, read once.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) snapshot: Snapshot,
    pub(super) results: Vec<(StepNo, Json)>,
}

/// Two are equal that say the same about everything but the time at which they were read.
impl PartialEq for State {
    fn eq(&self, other: &Self) -> bool {
        let rows = |state: &Self| {
            let steps = state.snapshot.steps.iter().map(|row| (numbers(row), row.lease));
            steps.collect::<Vec<_>>()
        };
        let task = |state: &Self| {
            let task = &state.snapshot.task;
            (task.state, task.failure, task.live_steps, state.snapshot.position)
        };
        task(self) == task(other) && rows(self) == rows(other) && self.results == other.results
    }
}

/// Returns the numbers of a row, without its times.
fn numbers(row: &StepRecord) -> [u32; 7] {
    [
        row.state as u32,
        row.attempts,
        row.run.0,
        row.unmet_parents,
        u32::from(row.permanent),
        u32::from(row.queued),
        u32::from(row.next_retry_at.is_some()),
    ]
}

impl State {
    pub(super) fn read(node: &Node, world: &World) -> Result<Self, StoreError> {
        world.clock.set(node.now);
        Self::read_store(&node.store, world)
    }

    pub(super) fn read_store(store: &MemoryStore, world: &World) -> Result<Self, StoreError> {
        let task = world.task;
        let snapshot = answer(store.snapshot(task))?.ok_or(StoreError::UnknownTask { task })?;
        let results = answer(store.results(task))?;
        Ok(Self { snapshot, results })
    }

    pub(super) fn task_state(&self) -> TaskState {
        self.snapshot.task.state
    }

    pub(super) fn row(&self, step: StepNo) -> &StepRecord {
        &self.snapshot.steps[step.0 as usize]
    }

    fn now(&self) -> Timestamp {
        self.snapshot.taken_at
    }

    fn facts(&self) -> impl Iterator<Item = StepFacts> + '_ {
        self.snapshot.steps.iter().map(|row| row.facts(self.now()))
    }

    /// Returns the steps that can be handed out.
    pub(super) fn ready(&self) -> Vec<usize> {
        let active = self.task_state().is_active();
        let ready = self
            .facts()
            .enumerate()
            .filter(|(_, facts)| facts.blocking_reason(active).is_none());
        ready.map(|(step, _)| step).collect()
    }

    pub(super) fn anything_ready(&self) -> bool {
        !self.ready().is_empty()
    }

    /// Tells whether a step waits for nothing but its time.
    pub(super) fn anything_waits(&self) -> bool {
        let active = self.task_state().is_active();
        let mut reasons = self.facts().map(|facts| facts.blocking_reason(active));
        reasons.any(|reason| reason == Some(BlockingReason::WaitingForBackoff))
    }

    /// Returns the steps whose leases are over and have not been ended.
    pub(super) fn over(&self) -> Vec<usize> {
        let rows = self.snapshot.steps.iter().enumerate();
        let over = rows.filter(|(_, row)| row.lease.is_some_and(|lease| lease.until < self.now()));
        over.map(|(step, _)| step).collect()
    }

    pub(super) fn anything_over(&self) -> bool {
        !self.over().is_empty()
    }

    /// Tells whether a claim is the last one of its step, and was not ended.
    pub(super) fn is_current(&self, lease: &Lease) -> bool {
        let row = self.row(lease.step);
        row.state == StepState::InProgress
            && row.run == lease.run
            && row.lease.is_some_and(|held| held.token == lease.token)
    }

    /// Tells whether an outcome of a claim is to be recorded: it is current, and not over.
    pub(super) fn holds(&self, lease: &Lease) -> bool {
        let valid = |until| until >= self.now();
        self.is_current(lease) && self.row(lease.step).lease.is_some_and(|held| valid(held.until))
    }

    /// Counts the claims that nobody knows of and that are not over yet.
    pub(super) fn lost_leases(&self, lost: &[Lease]) -> usize {
        lost.iter().filter(|lease| self.holds(lease)).count()
    }

    /// Returns what decides what may happen next, as bytes: the same for states that differ in names, numbers of runs and
    /// the hour alone, or by which of the workers is which.
    pub(super) fn key(&self, node: &Node) -> Box<[u8]> {
        let [first, second] = &node.workers;
        let one_way = self.encode(node, [&first.claims, &second.claims]);
        let other_way = self.encode(node, [&second.claims, &first.claims]);
        min(one_way, other_way).into_boxed_slice()
    }

    fn encode(&self, node: &Node, workers: [&[Lease]; 2]) -> Vec<u8> {
        let task = &self.snapshot.task;
        let mut key = Vec::with_capacity(64);
        key.push(task.state as u8);
        key.push(task.failure.map_or(0, |failure| failure as u8 + 1));
        key.push(task.live_steps as u8);
        key.push(node.lapses);
        for (row, result) in self.snapshot.steps.iter().zip(&node.results) {
            key.push(row.state as u8);
            key.push(row.attempts as u8);
            key.push(row.unmet_parents as u8);
            key.push(u8::from(row.permanent) | u8::from(row.queued) << 1 | u8::from(result.is_some()) << 2);
            let wait = row.next_retry_at.map(|due| due.since(self.now()));
            // A wait ends with a tick; what is left of a second that a moment was taken from lasts until the same tick.
            let ticks = |wait: Duration| wait.as_millis().div_ceil(1_000) as u8 + 1;
            key.push(wait.map_or(0, ticks));
            let valid = |until| if until >= self.now() { 2 } else { 1 };
            key.push(row.lease.map_or(0, |lease| valid(lease.until)));
        }
        for claims in workers {
            for lease in claims {
                key.push(lease.step.0 as u8 + 1);
                key.push(
                    u8::from(self.is_current(lease)) | u8::from(self.row(lease.step).run == lease.run) << 1,
                );
            }
            key.push(0);
        }
        key
    }
}
