//! What operators demand of steps.

use serde_json::json;
use tasker_engine::{
    Actor, Change, Claim, Demand, FailureReason, Intervened, Intervention, Json, LeaseStatus, StepEvent,
    StoreError,
};
use tasker_types::{RunNo, StepNo, StepState, TaskId, TaskState};

use super::{A, B, C, D, fork, limited, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

/// Returns a fork in error, because `b` failed for good, and whose `c` is done.
async fn fork_in_error(h: &Harness) -> TaskId {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![succeed(&claim)], 9).await.claims;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 0)
        .await;
    assert_eq!(h.look(task).await, "error: complete error complete pending");
    task
}

pub(super) async fn a_cancelled_step_is_not_claimed(h: &Harness) {
    let task = h.create(pair()).await;
    h.demand(task, Demand::CancelStep(A)).await;
    assert_eq!(h.look(task).await, "pending: cancelled pending");
    assert_eq!(h.queued(task).await, [B]);
    assert_eq!(h.claim_one().await.lease.step, B);
}

pub(super) async fn a_cancelled_running_step_gives_up_its_lease(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.demand(task, Demand::CancelStep(A)).await;
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!((step.state, step.lease), (StepState::Cancelled, None));
    assert_eq!(
        h.renew(&claims).await,
        [LeaseStatus::Cancelled, LeaseStatus::Held]
    );
    h.pass(1_000);
    assert_eq!(h.sweep().await.expired, [(task, B)]);
}

pub(super) async fn a_cancelled_parent_fails_the_task(h: &Harness) {
    let task = h.create(shapes::linear(3)).await;
    let claim = h.claim_one().await;
    h.demand(task, Demand::CancelStep(B)).await;
    let reply = h.turn(vec![succeed(&claim)], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    assert_eq!(h.look(task).await, "error: complete cancelled pending");
    assert_eq!(
        h.snapshot(task).await.task.failure,
        Some(FailureReason::StepsCancelled)
    );
}

pub(super) async fn a_cancelled_step_that_is_reset_resumes_its_task(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    assert_eq!(
        h.demand(task, Demand::CancelStep(A)).await.task_state,
        TaskState::Error
    );
    let done = h.demand(task, Demand::ResetStep(A)).await;
    assert_eq!(done.task_state, TaskState::InProgress);
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.failure, None);
    assert!(snapshot.task.next_check_at.is_some());
    h.run_ready().await;
    assert_eq!(h.look(task).await, "complete: complete complete");
}

pub(super) async fn a_reset_gives_the_attempts_back(h: &Harness) {
    let task = h.create(limited(2)).await;
    let claim = h.claim_one().await;
    let again = h
        .turn(vec![fail(&claim, std::time::Duration::ZERO)], 9)
        .await
        .claims
        .remove(0);
    h.end(fail_permanently(&again)).await;
    h.demand(task, Demand::ResetStep(A)).await;
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(
        (step.state, step.attempts, step.run),
        (StepState::Pending, 0, RunNo(2))
    );
    assert_eq!(
        (step.permanent, step.next_retry_at, step.failure),
        (false, None, None)
    );
    let claim = h.claim_one().await;
    assert_eq!((claim.attempt, claim.lease.run), (1, RunNo(3)));
}

pub(super) async fn a_resolved_step_resumes_its_task_and_gives_its_result(h: &Harness) {
    let task = fork_in_error(h).await;
    let result = json!({ "by": "hand" });
    let done = h
        .demand(task, Demand::ResolveStep(B, Some(Json::from(&result))))
        .await;
    assert_eq!(done.task_state, TaskState::InProgress);
    let claim = h.claim_one().await;
    assert_eq!(claim.parents[0], (B, Some(Json::from(&result))));
    assert!(h.results(task).await.contains(&(B, result)));
    assert_eq!(
        h.turn(vec![succeed(&claim)], 9).await.finished,
        [(task, TaskState::Complete)]
    );
}

pub(super) async fn a_step_resolved_without_a_result_gives_none(h: &Harness) {
    let task = fork_in_error(h).await;
    h.demand(task, Demand::ResolveStep(B, None)).await;
    assert_eq!(h.claim_one().await.parents[0], (B, None));
}

pub(super) async fn the_last_step_resolved_first_does_not_hang_the_task(h: &Harness) {
    let task = h.create(fork()).await;
    h.demand(task, Demand::ResolveStep(D, None)).await;
    assert_eq!(
        h.look(task).await,
        "pending: pending pending pending resolved_manually"
    );
    h.run_ready().await;
    assert_eq!(
        h.look(task).await,
        "complete: complete complete complete resolved_manually"
    );
}

pub(super) async fn a_parent_resolved_before_it_runs_lets_its_child_start(h: &Harness) {
    let task = h.create(shapes::linear(3)).await;
    h.demand(task, Demand::ResolveStep(A, None)).await;
    h.demand(task, Demand::ResolveStep(C, None)).await;
    assert_eq!(h.queued(task).await, [B]);
    let claim = h.claim_one().await;
    assert_eq!(
        h.turn(vec![succeed(&claim)], 9).await.finished,
        [(task, TaskState::Complete)]
    );
}

pub(super) async fn resolving_the_last_step_that_is_left_completes_the_task(h: &Harness) {
    let task = h.create(pair()).await;
    let claim = h.claim(1).await.remove(0);
    h.end(succeed(&claim)).await;
    assert_eq!(
        h.demand(task, Demand::ResolveStep(B, None)).await.task_state,
        TaskState::Complete
    );
    let untouched = h.create(shapes::single()).await;
    assert_eq!(
        h.demand(untouched, Demand::ResolveStep(A, None)).await.task_state,
        TaskState::Complete
    );
}

pub(super) async fn resolving_the_failed_branch_lets_the_task_complete(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 0)
        .await;
    assert_eq!(h.state(task).await, TaskState::Error);
    let done = h.demand(task, Demand::ResolveStep(A, None)).await;
    assert_eq!(done.task_state, TaskState::Complete);
    assert_eq!(h.snapshot(task).await.task.failure, None);
}

pub(super) async fn a_step_resolved_while_another_runs_waits_for_it(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![succeed(&claim)], 1).await.claims;
    h.demand(task, Demand::ResolveStep(C, None)).await;
    h.demand(task, Demand::ResolveStep(D, None)).await;
    assert_eq!(h.state(task).await, TaskState::InProgress);
    assert_eq!(
        h.turn(vec![succeed(&claims[0])], 9).await.finished,
        [(task, TaskState::Complete)]
    );
}

/// Asserts that a demand is refused for a step's state, and changes nothing.
async fn refused(h: &Harness, task: TaskId, demand: Demand, state: StepState, event: StepEvent) {
    let before = canonical_task(&*h.store, task).await.unwrap();
    match h.intervene(task, demand).await {
        Err(StoreError::IllegalStep {
            task: named, source, ..
        }) => {
            assert_eq!((named, source.state, source.event), (task, state, event));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn illegal_demands_name_state_and_event_and_change_nothing(h: &Harness) {
    let template = shapes::graph("four", &[("a", ""), ("b", ""), ("c", "a"), ("d", "c")]);
    let task = h.create(template).await;
    let claims = h.claim(9).await;
    h.end(succeed(&claims[0])).await;
    assert_eq!(
        h.look(task).await,
        "in_progress: complete in_progress pending pending"
    );
    refused(
        h,
        task,
        Demand::CancelStep(A),
        StepState::Complete,
        StepEvent::Cancel,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResetStep(A),
        StepState::Complete,
        StepEvent::Reset,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResolveStep(A, None),
        StepState::Complete,
        StepEvent::Resolve,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResetStep(B),
        StepState::InProgress,
        StepEvent::Reset,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResolveStep(B, None),
        StepState::InProgress,
        StepEvent::Resolve,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResetStep(C),
        StepState::Pending,
        StepEvent::Reset,
    )
    .await;
    h.demand(task, Demand::CancelStep(D)).await;
    refused(
        h,
        task,
        Demand::CancelStep(D),
        StepState::Cancelled,
        StepEvent::Cancel,
    )
    .await;
    h.demand(task, Demand::ResolveStep(D, None)).await;
    for (demand, event) in [
        (Demand::CancelStep(D), StepEvent::Cancel),
        (Demand::ResetStep(D), StepEvent::Reset),
    ] {
        refused(h, task, demand, StepState::ResolvedManually, event).await;
    }
    h.end(succeed(&claims[1])).await;
    h.run_ready().await;
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn a_cancelled_step_of_a_task_that_is_over_stays_cancelled(h: &Harness) {
    let task = h.create(pair()).await;
    h.demand(task, Demand::CancelTask).await;
    refused(
        h,
        task,
        Demand::ResetStep(A),
        StepState::Cancelled,
        StepEvent::Reset,
    )
    .await;
    refused(
        h,
        task,
        Demand::ResolveStep(A, None),
        StepState::Cancelled,
        StepEvent::Resolve,
    )
    .await;
}

pub(super) async fn unknown_tasks_and_steps_are_named(h: &Harness) {
    let task = h.create(pair()).await;
    let unknown = h.new_task(pair()).id;
    for demand in [Demand::CancelTask, Demand::ResetStep(A), Demand::SetPriority(1)] {
        let error = h.intervene(unknown, demand).await.unwrap_err();
        assert!(
            matches!(error, StoreError::UnknownTask { task } if task == unknown),
            "{error:?}"
        );
    }
    let beyond = StepNo(2);
    for demand in [
        Demand::CancelStep(beyond),
        Demand::SetRetryLimit(beyond, 4),
        Demand::SetTimeout(beyond, None),
    ] {
        let error = h.intervene(task, demand).await.unwrap_err();
        assert!(
            matches!(error, StoreError::UnknownStep { task: named, step } if (named, step) == (task, beyond)),
            "{error:?}"
        );
    }
    assert_eq!(h.history(task).await.len(), 1);
}

pub(super) async fn an_intervention_tells_which_steps_it_changed(h: &Harness) {
    let task = h.create(fork()).await;
    let claim: Claim = h.claim_one().await;
    h.turn(vec![succeed(&claim)], 1).await;
    let done = h.demand(task, Demand::CancelTask).await;
    let steps = [B, C, D].map(|step| (step, StepState::Cancelled)).to_vec();
    let expected = Intervened::new(TaskState::InProgress, TaskState::Cancelled, steps);
    assert!(expected.ended);
    assert_eq!(done, expected);
}

pub(super) async fn a_reason_is_kept_with_its_actor(h: &Harness) {
    let task = h.create(pair()).await;
    let actor = Actor::User("ann".to_owned());
    let intervention = Intervention::new(task, Demand::CancelStep(A), actor.clone());
    h.store
        .intervene(intervention.because(Some("not needed".to_owned())))
        .await
        .unwrap();
    let entry = h.history(task).await.pop().unwrap();
    assert!(matches!(
        entry.change,
        Change::Step {
            step: A,
            event: StepEvent::Cancel,
            ..
        }
    ));
    assert_eq!(entry.actor, actor);
    assert_eq!(entry.metadata.unwrap().to_value()["reason"], json!("not needed"));
}
