//! Checks the tasks of a store.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;
use tasker_types::{Position, TaskId};

use super::{Fault, Violation, verify_task};
use crate::record::{Change, Reading};
use crate::store::{Store, StoreError};

/// How many entries of a history are read at a time.
const PAGE: u32 = 1_000;

/// How many steps are read at a time, if the tasks to come have as many as those before.
const STEPS: usize = 2_000;

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
        let mut readings = store.readings(&[task]).await?;
        let reading = readings.pop().ok_or(StoreError::UnknownTask { task })?;
        let reading = rested(store, reading).await?;
        report.add(&reading.ok_or(StoreError::UnknownTask { task })?);
    }
    Ok(report)
}

/// Checks every task of a store, and that all histories together are in order.
///
/// It reads some tasks at a time, fewer the larger those before were, so its memory is bounded by the largest of them, and
/// two counts for each task.
///
/// # Errors
///
/// When the store cannot be read.
pub async fn verify_all(store: &dyn Store) -> Result<Report, StoreError> {
    let mut report = Report::default();
    // What is written meanwhile may be in one of the histories already and not in the other yet.
    let end = store.position().await?;
    let mut counts: BTreeMap<TaskId, (Option<u32>, u32)> = BTreeMap::new();
    let mut together = 1;
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
        let mut created = Vec::new();
        for entry in &page {
            counts.entry(entry.task).or_default().1 += u32::from(entry.position <= end);
            if entry.position <= after {
                let positions = vec![after, entry.position];
                report.note(entry.task, positions, Fault::PositionsDoNotAscend);
            }
            after = entry.position;
            if entry.change == Change::Created {
                created.push((entry.task, entry.position));
            }
        }
        let mut left = &created[..];
        while !left.is_empty() {
            let (some, rest) = left.split_at(together.min(left.len()));
            let before = report.steps;
            report.check(store, some, end, &mut counts).await?;
            let steps = usize::try_from(report.steps - before).unwrap_or(usize::MAX);
            together = (STEPS * some.len() / steps.max(1)).clamp(1, STEPS);
            left = rest;
        }
        after = last;
    }
}

impl Report {
    /// Checks tasks, each with the position at which it was created, and counts the entries of each.
    async fn check(
        &mut self,
        store: &dyn Store,
        created: &[(TaskId, Position)],
        end: Position,
        counts: &mut BTreeMap<TaskId, (Option<u32>, u32)>,
    ) -> Result<(), StoreError> {
        let tasks: Vec<TaskId> = created.iter().map(|(task, _)| *task).collect();
        let readings = store.readings(&tasks).await?.into_iter();
        let mut readings: BTreeMap<TaskId, Reading> = readings
            .map(|reading| (reading.snapshot.task.id, reading))
            .collect();
        for (task, position) in created {
            let reading = match readings.remove(task) {
                Some(reading) => rested(store, reading).await?,
                None => None,
            };
            match reading {
                Some(reading) => {
                    let own = reading.history.iter().filter(|entry| entry.position <= end);
                    counts.entry(*task).or_default().0 = u32::try_from(own.count()).ok();
                    self.add(&reading);
                }
                // Pruning takes a task's history with it.
                None if store.history(*task, Position(0), 1).await?.is_empty() => {}
                None => self.note(*task, vec![*position], Fault::TaskMissing),
            }
        }
        Ok(())
    }

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

/// Returns a task as it was at one moment; `None` if it is gone.
///
/// Results and history may have been read after the snapshot. When a worker moved the task in between it is read again; a
/// task that never rests is cut back to its snapshot.
async fn rested(store: &dyn Store, mut reading: Reading) -> Result<Option<Reading>, StoreError> {
    for _ in 1..READINGS {
        if rests(&reading) {
            return Ok(Some(reading));
        }
        let Some(again) = store.readings(&[reading.snapshot.task.id]).await?.pop() else {
            return Ok(None);
        };
        reading = again;
    }
    if !rests(&reading) {
        let Reading {
            snapshot,
            results,
            history,
        } = &mut reading;
        history.retain(|entry| entry.position <= snapshot.position);
        results.retain(|(step, _)| {
            snapshot
                .steps
                .get(step.0 as usize)
                .is_none_or(|row| row.state.is_done())
        });
    }
    Ok(Some(reading))
}

/// Tells whether the history of a task ends with its snapshot.
fn rests(reading: &Reading) -> bool {
    let last = reading.history.last();
    last.is_none_or(|last| last.position <= reading.snapshot.position)
}
