//! What operators demand of tasks.

use std::time::Duration;

use tasker_engine::{Change, Clock, Demand, StoreError, TaskEvent};
use tasker_types::{RunNo, StepState, TaskId, TaskState};

use super::{A, B, C, fork, limited, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

/// Asserts that a demand is refused for the task's state, and changes nothing.
async fn refused(h: &Harness, task: TaskId, demand: Demand, state: TaskState, event: TaskEvent) {
    let before = canonical_task(&*h.store, task).await.unwrap();
    match h.intervene(task, demand).await {
        Err(StoreError::IllegalTask { task: named, source }) => {
            assert_eq!((named, source.state, source.event), (task, state, event));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

/// Returns a pair in error: `a` failed for good, `b` is done.
async fn pair_in_error(h: &Harness) -> TaskId {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 0)
        .await;
    assert_eq!(h.look(task).await, "error: error complete");
    task
}

pub(super) async fn cancelling_a_task_cancels_its_unfinished_steps(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![succeed(&claim)], 9).await.claims;
    h.end(fail(&claims[0], Duration::from_secs(9))).await;
    h.demand(task, Demand::CancelTask).await;
    assert_eq!(
        h.look(task).await,
        "cancelled: complete cancelled cancelled cancelled"
    );
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.finished_at, Some(h.clock.now()));
    assert_eq!((snapshot.task.live_steps, snapshot.task.next_check_at), (0, None));
    let cancelled = h.history(task).await;
    let cancelled = cancelled.iter().filter(|entry| {
        matches!(
            entry.change,
            Change::Step {
                to: StepState::Cancelled,
                ..
            } | Change::Task { .. }
        )
    });
    assert_eq!(cancelled.count(), 5);
}

pub(super) async fn a_cancelled_task_hands_nothing_out(h: &Harness) {
    let task = h.create(pair()).await;
    h.demand(task, Demand::CancelTask).await;
    assert_eq!(h.look(task).await, "cancelled: cancelled cancelled");
    assert!(h.claim(9).await.is_empty());
    assert!(h.store.examine(task).await.unwrap().is_none());
}

pub(super) async fn a_task_that_is_over_cannot_be_cancelled(h: &Harness) {
    let complete = h.create(shapes::single()).await;
    h.run_ready().await;
    refused(
        h,
        complete,
        Demand::CancelTask,
        TaskState::Complete,
        TaskEvent::Cancel,
    )
    .await;
    let cancelled = h.create(shapes::single()).await;
    h.demand(cancelled, Demand::CancelTask).await;
    refused(
        h,
        cancelled,
        Demand::CancelTask,
        TaskState::Cancelled,
        TaskEvent::Cancel,
    )
    .await;
}

pub(super) async fn resolving_a_task_in_error_cancels_its_unfinished_steps(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![succeed(&claim)], 9).await.claims;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 0)
        .await;
    let done = h.demand(task, Demand::ResolveTask).await;
    assert_eq!(done.task_state, TaskState::ResolvedManually);
    assert_eq!(
        h.look(task).await,
        "resolved_manually: complete cancelled complete cancelled"
    );
    assert_eq!(h.snapshot(task).await.task.failure, None);
}

pub(super) async fn a_task_that_is_not_in_error_cannot_be_resolved(h: &Harness) {
    let task = h.create(pair()).await;
    refused(
        h,
        task,
        Demand::ResolveTask,
        TaskState::Pending,
        TaskEvent::Resolve,
    )
    .await;
    h.claim(1).await;
    refused(
        h,
        task,
        Demand::ResolveTask,
        TaskState::InProgress,
        TaskEvent::Resolve,
    )
    .await;
}

pub(super) async fn retrying_a_task_resets_its_stuck_steps(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.turn(claims.iter().map(fail_permanently).collect(), 0).await;
    let done = h.demand(task, Demand::RetryTask).await;
    assert_eq!(done.task_state, TaskState::InProgress);
    assert_eq!(done.steps, [(A, StepState::Pending), (B, StepState::Pending)]);
    let claims = h.claim(9).await;
    assert_eq!((claims[0].attempt, claims[0].lease.run), (1, RunNo(2)));
    h.turn(claims.iter().map(succeed).collect(), 0).await;
    assert_eq!(h.look(task).await, "complete: complete complete");
}

pub(super) async fn retrying_keeps_the_steps_that_are_done(h: &Harness) {
    let task = pair_in_error(h).await;
    let done = h.demand(task, Demand::RetryTask).await;
    assert_eq!(done.steps, [(A, StepState::Pending)]);
    assert_eq!(h.look(task).await, "in_progress: pending complete");
    h.run_ready().await;
    assert_eq!(h.snapshot(task).await.steps[1].run, RunNo(1));
}

pub(super) async fn a_task_that_is_not_in_error_cannot_be_retried(h: &Harness) {
    let task = h.create(limited(1)).await;
    refused(h, task, Demand::RetryTask, TaskState::Pending, TaskEvent::Resume).await;
    h.run_ready().await;
    refused(h, task, Demand::RetryTask, TaskState::Complete, TaskEvent::Resume).await;
}

pub(super) async fn a_task_with_nothing_but_a_cancelled_step_cannot_be_retried(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    h.demand(task, Demand::CancelStep(A)).await;
    assert_eq!(h.state(task).await, TaskState::Error);
    refused(h, task, Demand::RetryTask, TaskState::Error, TaskEvent::Resume).await;
}

pub(super) async fn a_task_cannot_resume_when_nothing_could_happen(h: &Harness) {
    let task = pair_in_error(h).await;
    refused(h, task, Demand::ResumeTask, TaskState::Error, TaskEvent::Resume).await;
    let active = h.create(pair()).await;
    refused(
        h,
        active,
        Demand::ResumeTask,
        TaskState::Pending,
        TaskEvent::Resume,
    )
    .await;
}

pub(super) async fn a_step_cancelled_in_a_task_in_error_leaves_it_there(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![succeed(&claim)], 9).await.claims;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 0)
        .await;
    assert_eq!(
        h.demand(task, Demand::CancelStep(B)).await.task_state,
        TaskState::Error
    );
    assert_eq!(h.look(task).await, "error: complete cancelled complete pending");
    assert_eq!(
        h.demand(task, Demand::ResolveStep(B, None)).await.task_state,
        TaskState::InProgress
    );
    assert_eq!(
        h.results(task)
            .await
            .iter()
            .map(|(step, _)| *step)
            .collect::<Vec<_>>(),
        [A, C]
    );
}
