//! First starts in the future, deadlines, and looking at a task again.

use std::time::Duration;

use tasker_engine::{Clock, Demand, FailureReason, LeaseStatus, Receipt, Scope, Sweep};
use tasker_types::{ExecutionStatus, StepState, TaskId, TaskState};

use super::{A, B, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

async fn create_with_deadline(h: &Harness, template: std::sync::Arc<tasker_engine::Template>) -> TaskId {
    let mut task = h.new_task(template);
    task.deadline_at = Some(h.clock.now().plus(seconds(10)));
    let id = task.id;
    h.create_all(vec![task]).await;
    id
}

pub(super) async fn no_step_starts_before_the_time_of_its_task(h: &Harness) {
    let mut task = h.new_task(shapes::linear(2));
    let start = h.clock.now().plus(seconds(60));
    task.start_at = Some(start);
    let id = task.id;
    h.create_all(vec![task]).await;
    let snapshot = h.snapshot(id).await;
    assert_eq!(snapshot.steps[0].next_retry_at, Some(start));
    assert!(snapshot.steps[0].queued);
    let reply = h.turn(Vec::new(), 9).await;
    assert!(reply.claims.is_empty());
    assert_eq!(reply.next_due_in, Some(seconds(60)));
    assert_eq!(h.state(id).await, TaskState::Pending);
    h.pass(60);
    h.run_ready().await;
    assert_eq!(h.state(id).await, TaskState::Complete);
}

pub(super) async fn a_start_in_the_past_is_no_wait(h: &Harness) {
    let mut task = h.new_task(shapes::single());
    task.start_at = Some(h.clock.now());
    h.pass(1);
    h.create_all(vec![task]).await;
    let _ = h.claim_one().await;
}

pub(super) async fn a_deadline_fails_the_task(h: &Harness) {
    let task = create_with_deadline(h, pair()).await;
    let claim = h.claim(1).await.remove(0);
    h.end(succeed(&claim)).await;
    h.pass(9);
    assert!(h.sweep().await.finished.is_empty());
    h.pass(1);
    assert_eq!(h.sweep().await.finished, [(task, TaskState::Error)]);
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.failure, Some(FailureReason::DeadlineExceeded));
    assert_eq!(h.look(task).await, "error: complete pending");
    assert_eq!(h.queued(task).await, []);
    assert!(h.claim(9).await.is_empty());
    assert!(h.sweep().await.finished.is_empty());
}

pub(super) async fn a_step_that_runs_past_the_deadline_is_still_recorded(h: &Harness) {
    let task = create_with_deadline(h, shapes::linear(2)).await;
    let claim = h.claim_one().await;
    h.pass(11);
    h.sweep().await;
    assert_eq!(h.look(task).await, "error: in_progress pending");
    assert_eq!(h.renew(std::slice::from_ref(&claim)).await, [LeaseStatus::Held]);
    let reply = h.turn(vec![succeed(&claim)], 9).await;
    assert_eq!(reply.receipts, [Receipt::Recorded]);
    assert!(reply.claims.is_empty());
    assert_eq!(h.look(task).await, "error: complete pending");
    assert_eq!(h.snapshot(task).await.steps[1].unmet_parents, 0);
    assert_eq!(h.queued(task).await, []);
}

pub(super) async fn a_task_resumed_after_its_deadline_has_none(h: &Harness) {
    let task = create_with_deadline(h, pair()).await;
    let claim = h.claim(1).await.remove(0);
    h.end(fail(&claim, seconds(1))).await;
    h.pass(10);
    h.sweep().await;
    assert_eq!(
        h.demand(task, Demand::ResumeTask).await.task_state,
        TaskState::InProgress
    );
    let snapshot = h.snapshot(task).await;
    assert_eq!((snapshot.task.deadline_at, snapshot.task.failure), (None, None));
    assert_eq!(h.queued(task).await, [A, B]);
    h.run_ready().await;
    assert_eq!(h.look(task).await, "complete: complete complete");
    assert!(h.sweep().await.finished.is_empty());
}

pub(super) async fn a_task_that_ended_in_time_has_met_its_deadline(h: &Harness) {
    let complete = create_with_deadline(h, shapes::single()).await;
    h.run_ready().await;
    let failed = create_with_deadline(h, shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(fail_permanently(&claim)).await;
    h.pass(100);
    assert!(h.sweep().await.finished.is_empty());
    assert_eq!(h.state(complete).await, TaskState::Complete);
    assert_eq!(
        h.snapshot(failed).await.task.failure,
        Some(FailureReason::StepsInErrorState)
    );
}

pub(super) async fn a_sweep_tells_of_the_next_deadline(h: &Harness) {
    assert_eq!(h.sweep().await.next_deadline_in, None);
    let first = create_with_deadline(h, shapes::single()).await;
    h.pass(4);
    let second = create_with_deadline(h, shapes::single()).await;
    assert_eq!(h.sweep().await.next_deadline_in, Some(seconds(6)));
    let sweep = Sweep::new(9, Harness::backoff(), 1).within(Scope::Task(second));
    assert_eq!(
        h.store.sweep(sweep).await.unwrap().next_deadline_in,
        Some(seconds(10))
    );
    h.pass(6);
    let swept = h.sweep().await;
    assert_eq!(swept.finished, [(first, TaskState::Error)]);
    assert_eq!(swept.next_deadline_in, Some(seconds(4)));
    h.run_ready().await;
    assert_eq!(h.state(second).await, TaskState::Complete);
    assert_eq!(h.sweep().await.next_deadline_in, None);
}

pub(super) async fn a_sweep_names_a_task_whose_check_is_due_once(h: &Harness) {
    let task = h.create(pair()).await;
    h.pass(29);
    assert!(h.sweep().await.due.is_empty());
    h.pass(1);
    assert_eq!(h.sweep().await.due, [task]);
    h.pass(9);
    assert!(h.sweep().await.due.is_empty());
    h.pass(1);
    assert_eq!(h.sweep().await.due, [task]);
}

pub(super) async fn a_check_is_put_off(h: &Harness) {
    let task = h.create(pair()).await;
    h.store.check_in(task, seconds(100)).await.unwrap();
    assert_eq!(
        h.snapshot(task).await.task.next_check_at,
        Some(h.clock.now().plus(seconds(100)))
    );
    h.pass(99);
    assert!(h.sweep().await.due.is_empty());
    h.pass(1);
    assert_eq!(h.sweep().await.due, [task]);
}

pub(super) async fn a_task_that_is_over_is_not_looked_at(h: &Harness) {
    let complete = h.create(shapes::single()).await;
    h.run_ready().await;
    let failed = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(fail_permanently(&claim)).await;
    for task in [complete, failed] {
        h.store.check_in(task, seconds(1)).await.unwrap();
        assert_eq!(h.snapshot(task).await.task.next_check_at, None);
    }
    h.pass(1_000);
    assert!(h.sweep().await.due.is_empty());
}

pub(super) async fn an_examination_tells_the_context(h: &Harness) {
    let task = h.create(pair()).await;
    let claim = h.claim(1).await.remove(0);
    h.end(fail(&claim, seconds(8))).await;
    h.pass(3);
    let context = h.store.examine(task).await.unwrap().unwrap();
    assert_eq!(context.execution_status, ExecutionStatus::HasReadySteps);
    assert_eq!((context.failed_steps, context.pending_steps), (1, 1));
    assert_eq!(context.earliest_due_in, Some(seconds(5)));
    assert_eq!(context, h.snapshot(task).await.context());
}

pub(super) async fn an_examination_changes_nothing(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.end(succeed(&claims[0])).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    h.store.examine(task).await.unwrap();
    h.store.examine(task).await.unwrap();
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    h.end(succeed(&claims[1])).await;
    assert_eq!(h.store.examine(task).await.unwrap(), None);
    assert_eq!(h.snapshot(task).await.steps[1].state, StepState::Complete);
}
