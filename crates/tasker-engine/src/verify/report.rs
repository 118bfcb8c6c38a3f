//! Checks the tasks of a store.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tasker_types::{Position, StepNo, TaskId};

use super::{Fault, Violation, verify_task};
use crate::json::Json;
use crate::record::{Change, Snapshot, Transition};
use crate::store::{Store, StoreError};

/// How many entries of a history are read at a time.
const PAGE: u32 = 1_000;

/// How often a task is read in the hope that it rests meanwhile.
const READINGS: u32 = 4;

/// What a check of a store found.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// How many tasks were checked.
    pub tasks: u64,
    /// How many steps they have.
    pub steps: u64,
    /// How many entries their histories have.
    pub transitions: u64,
    /// The rules that are violated, task by task.
    pub violations: Vec<Violation>,
}

impl Report {
    /// Tells whether every rule holds.
    pub fn holds(&self) -> bool {
        self.violations.is_empty()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for violation in &self.violations {
            writeln!(f, "{violation}")?;
        }
        let Self {
            tasks,
            steps,
            transitions,
            violations,
        } = self;
        write!(
            f,
            "{tasks} tasks, {steps} steps, {transitions} transitions: {} violations",
            violations.len()
        )
    }
}

/// What a store says about one task.
struct Reading {
    snapshot: Snapshot,
    results: Vec<(StepNo, Json)>,
    history: Vec<Transition>,
}

/// Checks some tasks of a store. Others may work on them meanwhile.
///
/// # Errors
///
/// When the store cannot be read, or does not know one of the tasks.
pub async fn verify_store(
    store: &dyn Store,
    tasks: impl IntoIterator<Item = TaskId>,
) -> Result<Report, StoreError> {
    let mut report = Report::default();
    for task in tasks {
        let reading = read(store, task).await?.ok_or(StoreError::UnknownTask { task })?;
        report.add(&reading);
    }
    Ok(report)
}

/// Checks every task of a store, and that all histories together are in order.
///
/// It reads one task at a time, so its memory is bounded by the largest of them, and two counts for each task.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn verify_all(store: &dyn Store) -> Result<Report, StoreError> {
    let mut report = Report::default();
    // What is written meanwhile may be in one of the histories already and not in the other yet.
    let end = store.position().await?;
    let mut counts: BTreeMap<TaskId, (Option<u32>, u32)> = BTreeMap::new();
    let mut after = Position(0);
    loop {
        let page = store.events(after, PAGE).await?;
        let Some(last) = page
            .last()
            .map(|entry| entry.position)
            .filter(|last| *last > after)
        else {
            report.compare(counts);
            return Ok(report);
        };
        for entry in &page {
            counts.entry(entry.task).or_default().1 += u32::from(entry.position <= end);
            if entry.position <= after {
                let positions = vec![after, entry.position];
                report.note(entry.task, positions, Fault::PositionsDoNotAscend);
            }
            after = entry.position;
            if entry.change != Change::Created {
                continue;
            }
            match read(store, entry.task).await? {
                Some(reading) => {
                    let own = reading.history.iter().filter(|entry| entry.position <= end);
                    counts.entry(entry.task).or_default().0 = u32::try_from(own.count()).ok();
                    report.add(&reading);
                }
                // Pruning takes a task's history with it.
                None if store.history(entry.task, Position(0), 1).await?.is_empty() => {}
                None => report.note(entry.task, vec![entry.position], Fault::TaskMissing),
            }
        }
        after = last;
    }
}

impl Report {
    fn add(&mut self, reading: &Reading) {
        self.tasks += 1;
        self.steps += reading.snapshot.steps.len() as u64;
        self.transitions += reading.history.len() as u64;
        self.violations
            .extend(verify_task(&reading.snapshot, &reading.history, &reading.results));
    }

    /// Compares for each task that was checked how many entries its own history has and how many that of all has.
    fn compare(&mut self, counts: BTreeMap<TaskId, (Option<u32>, u32)>) {
        for (task, (own, outbox)) in counts {
            if let Some(history) = own.filter(|history| *history != outbox) {
                self.note(task, Vec::new(), Fault::OutboxDiffers { history, outbox });
            }
        }
    }

    fn note(&mut self, task: TaskId, positions: Vec<Position>, fault: Fault) {
        self.violations.push(Violation {
            task,
            step: None,
            positions,
            fault,
        });
    }
}

/// Reads a task as it was at one moment; `None` for an unknown one.
///
/// Results and history are read after the snapshot. When a worker moved the task in between it is read again; a task
/// that never rests is cut back to its snapshot.
async fn read(store: &dyn Store, task: TaskId) -> Result<Option<Reading>, StoreError> {
    let mut left = READINGS;
    loop {
        let Some(snapshot) = store.snapshot(task).await? else {
            return Ok(None);
        };
        let mut results = store.results(task).await?;
        let mut history = whole_history(store, task).await?;
        left -= 1;
        let rested = history
            .last()
            .is_none_or(|last| last.position <= snapshot.position);
        if !rested && left > 0 {
            continue;
        }
        if !rested {
            history.retain(|entry| entry.position <= snapshot.position);
            results.retain(|(step, _)| {
                snapshot
                    .steps
                    .get(step.0 as usize)
                    .is_none_or(|row| row.state.is_done())
            });
        }
        return Ok(Some(Reading {
            snapshot,
            results,
            history,
        }));
    }
}

async fn whole_history(store: &dyn Store, task: TaskId) -> Result<Vec<Transition>, StoreError> {
    let mut history: Vec<Transition> = Vec::new();
    let mut after = Position(0);
    loop {
        let page = store.history(task, after, PAGE).await?;
        let Some(last) = page
            .last()
            .map(|entry| entry.position)
            .filter(|last| *last > after)
        else {
            return Ok(history);
        };
        after = last;
        history.extend(page);
    }
}
