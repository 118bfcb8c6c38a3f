//! Compares the rows, the counters, the queue and the results with the history and with each other.

use tasker_types::{BlockingReason, Position, StepFacts, StepNo, StepState, TaskState};

use super::replay::{Replayed, ReplayedStep};
use super::{Fault, Findings};
use crate::finalizer::FailureReason;
use crate::json::Json;
use crate::record::{Snapshot, StepRecord};

/// Checks what a store holds about a task now.
pub(super) fn check(
    snapshot: &Snapshot,
    results: &[(StepNo, Json)],
    replayed: &Replayed,
    findings: &mut Findings,
) {
    for (row, history) in snapshot.steps.iter().zip(&replayed.steps) {
        check_against_history(row, history, findings);
        check_row(snapshot, row, findings);
    }
    check_task(snapshot, replayed, findings);
    check_results(snapshot, results, findings);
}

/// Returns the facts of a step with its parents counted from their rows instead of its own counter.
fn counted_facts(snapshot: &Snapshot, row: &StepRecord) -> StepFacts {
    let parents = snapshot.task.template.step(row.step).depends_on();
    let undone = parents
        .iter()
        .filter(|parent| !snapshot.steps[parent.0 as usize].state.is_done())
        .count();
    let unmet_parents = u32::try_from(undone).unwrap_or(u32::MAX);
    StepFacts {
        unmet_parents,
        ..row.facts(snapshot.taken_at)
    }
}

/// Tells whether a step runs, is ready, or waits only for its time or its task.
fn possible(facts: &StepFacts) -> bool {
    let reason = facts.blocking_reason(true);
    matches!(
        reason,
        None | Some(BlockingReason::WaitingForBackoff | BlockingReason::Running)
    )
}

fn differs(what: &'static str, expected: impl Into<u64>, row: impl Into<u64>) -> Option<Fault> {
    let (expected, row) = (expected.into(), row.into());
    (expected != row).then_some(Fault::NumberDiffers { what, expected, row })
}

fn check_against_history(row: &StepRecord, history: &ReplayedStep, findings: &mut Findings) {
    let last = history.last;
    if row.state != history.state {
        let fault = Fault::StateDiffers {
            history: history.state.as_str(),
            row: row.state.as_str(),
        };
        findings.add(Some(row.step), last, fault);
    }
    let numbers = [
        differs("the number of attempts", history.attempts, row.attempts),
        differs("the number of runs", history.run.0, row.run.0),
        differs("the retry limit", history.retry_limit, row.retry_limit),
    ];
    for fault in numbers.into_iter().flatten() {
        findings.add(Some(row.step), last, fault);
    }
    if history
        .permanent
        .is_some_and(|permanent| permanent != row.permanent)
    {
        findings.add(Some(row.step), last, Fault::PermanenceDiffers);
    }
}

fn check_row(snapshot: &Snapshot, row: &StepRecord, findings: &mut Findings) {
    let facts = counted_facts(snapshot, row);
    let step = Some(row.step);
    if let Some(fault) = differs(
        "the count of unmet parents",
        facts.unmet_parents,
        row.unmet_parents,
    ) {
        findings.add(step, [], fault);
    }
    match (row.state, row.lease) {
        (StepState::InProgress, None) => findings.add(step, [], Fault::LeaseMissing),
        (StepState::InProgress, Some(_)) | (_, None) => {}
        (state, Some(_)) => findings.add(step, [], Fault::LeaseLeft { state }),
    }
    let reason = facts.blocking_reason(snapshot.task.state.is_active());
    match reason.filter(|reason| *reason != BlockingReason::WaitingForBackoff) {
        None if !row.queued => findings.add(step, [], Fault::NotQueued),
        Some(reason) if row.queued => findings.add(step, [], Fault::QueuedWrongly { reason }),
        _ => {}
    }
    let state = row.state;
    if snapshot.task.state == TaskState::Complete && !state.is_done() {
        findings.add(step, [], Fault::UndoneInCompleteTask { state });
    } else if snapshot.task.state.is_final() && !state.is_finished() {
        findings.add(step, [], Fault::UnfinishedInFinalTask { state });
    }
}

fn check_task(snapshot: &Snapshot, replayed: &Replayed, findings: &mut Findings) {
    let task = &snapshot.task;
    let last: Option<Position> = replayed.last;
    if task.state != replayed.state {
        let fault = Fault::StateDiffers {
            history: replayed.state.as_str(),
            row: task.state.as_str(),
        };
        findings.add(None, last, fault);
    }
    let live = snapshot
        .steps
        .iter()
        .filter(|row| row.queued || row.state == StepState::InProgress)
        .count();
    if let Some(fault) = differs("the count of live steps", live as u64, task.live_steps) {
        findings.add(None, [], fault);
    }
    match (task.state, task.failure) {
        (TaskState::Error, None) => findings.add(None, last, Fault::ReasonMissing),
        (TaskState::Error, Some(_)) | (_, None) => {}
        (state, Some(_)) => findings.add(None, last, Fault::ReasonLeft { state }),
    }
    let could = snapshot
        .steps
        .iter()
        .find(|row| possible(&counted_facts(snapshot, row)));
    if task.state.is_active() && could.is_none() {
        findings.add(None, last, Fault::CannotProgress { state: task.state });
    }
    // A deadline ends a task whatever its steps could still do.
    let for_its_steps = task
        .failure
        .is_some_and(|reason| reason != FailureReason::DeadlineExceeded);
    if task.state == TaskState::Error
        && for_its_steps
        && let Some(row) = could
    {
        findings.add(Some(row.step), last, Fault::CouldProgress);
    }
}

fn check_results(snapshot: &Snapshot, results: &[(StepNo, Json)], findings: &mut Findings) {
    let mut found = vec![0_u32; snapshot.steps.len()];
    for (step, _) in results {
        match found.get_mut(step.0 as usize) {
            Some(count) => *count += 1,
            None => findings.add(Some(*step), [], Fault::UnknownStep),
        }
    }
    for (row, count) in snapshot.steps.iter().zip(found) {
        let fault = match (row.state, count) {
            (StepState::Complete, 0) => Fault::ResultMissing,
            (_, 2..) => Fault::ResultTwice,
            (state, 1) if !state.is_done() => Fault::ResultUnexpected { state },
            _ => continue,
        };
        findings.add(Some(row.step), [], fault);
    }
}
