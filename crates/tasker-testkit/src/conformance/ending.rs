//! Claims that end in neither success nor failure.

use std::time::Duration;

use serde_json::json;
use tasker_engine::{Change, Clock, Demand, Failure, Receipt, StepEvent};
use tasker_types::{RunNo, StepState, TaskState};

use super::{A, limited, once};
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, interrupt, release, succeed, suspend};
use crate::shapes;

pub(super) async fn a_release_gives_the_attempt_back(h: &Harness) {
    let task = h.create(limited(1)).await;
    let claim = h.claim_one().await;
    assert_eq!(h.end(release(&claim)).await, Receipt::Recorded);
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(
        (step.state, step.attempts, step.run),
        (StepState::Pending, 0, RunNo(1))
    );
    assert_eq!((step.lease, step.next_retry_at, step.queued), (None, None, true));
    let again = h.claim_one().await;
    assert_eq!((again.attempt, again.lease.run), (1, RunNo(2)));
    h.end(succeed(&again)).await;
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn a_release_lets_a_step_that_may_not_retry_run(h: &Harness) {
    let task = h.create(once()).await;
    let claim = h.claim_one().await;
    h.end(release(&claim)).await;
    let again = h.claim_one().await;
    h.end(succeed(&again)).await;
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn an_interrupt_charges_the_attempt_and_is_due_at_once(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    assert_eq!(h.end(interrupt(&claim)).await, Receipt::Recorded);
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!((step.state, step.attempts), (StepState::Pending, 1));
    assert_eq!((step.next_retry_at, step.queued), (None, true));
    assert_eq!(step.failure.unwrap().code, Failure::INTERRUPTED);
    let again = h.claim_one().await;
    assert_eq!((again.attempt, again.lease.run), (2, RunNo(2)));
}

pub(super) async fn an_interrupt_at_the_last_attempt_waits_for_a_person(h: &Harness) {
    let task = h.create(limited(2)).await;
    let claim = h.claim_one().await;
    let last = h
        .turn(vec![fail(&claim, Duration::ZERO)], 9)
        .await
        .claims
        .remove(0);
    let reply = h.turn(vec![interrupt(&last)], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(step.state, StepState::Error);
    assert_eq!(step.failure.unwrap().code, Failure::INTERRUPTED);
    assert_eq!(step.next_retry_at, None);
}

pub(super) async fn an_interrupted_step_that_may_not_retry_waits_for_a_person(h: &Harness) {
    let task = h.create(once()).await;
    let claim = h.claim_one().await;
    assert_eq!(
        h.turn(vec![interrupt(&claim)], 9).await.finished,
        [(task, TaskState::Error)]
    );
    assert_eq!(h.look(task).await, "error: error");
}

pub(super) async fn a_suspended_step_waits_and_finds_its_checkpoint(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let wait = Duration::from_secs(60);
    let reply = h
        .turn(vec![suspend(&claim, wait, &json!({ "page": 3 }))], 9)
        .await;
    assert!(reply.claims.is_empty());
    assert_eq!(reply.next_due_in, Some(wait));
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(
        (step.state, step.attempts, step.queued),
        (StepState::Pending, 0, true)
    );
    assert_eq!(step.next_retry_at, Some(h.clock.now().plus(wait)));
    assert_eq!(step.failure, None);
    h.pass(60);
    let again = h.claim_one().await;
    assert_eq!((again.attempt, again.lease.run), (1, RunNo(2)));
    assert_eq!(again.checkpoint.unwrap().to_value(), json!({ "page": 3 }));
}

pub(super) async fn a_suspended_step_never_runs_out_of_attempts(h: &Harness) {
    let task = h.create(once()).await;
    let mut claim = h.claim_one().await;
    for page in 0..10 {
        let outcome = suspend(&claim, Duration::ZERO, &json!(page));
        claim = h.turn(vec![outcome], 9).await.claims.remove(0);
        assert_eq!(claim.checkpoint.as_ref().unwrap().to_value(), json!(page));
    }
    assert_eq!((claim.attempt, claim.lease.run), (1, RunNo(11)));
    h.end(succeed(&claim)).await;
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn a_reset_step_finds_no_checkpoint(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let again = h
        .turn(vec![suspend(&claim, Duration::ZERO, &json!(1))], 9)
        .await
        .claims
        .remove(0);
    h.end(fail_permanently(&again)).await;
    h.demand(task, Demand::ResetStep(A)).await;
    assert_eq!(h.claim_one().await.checkpoint, None);
}

pub(super) async fn every_end_says_how_long_the_handler_ran(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(release(&claim)).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, Duration::ZERO)).await;
    let claim = h.claim_one().await;
    h.end(succeed(&claim)).await;
    let ends: Vec<_> = h
        .history(task)
        .await
        .into_iter()
        .filter_map(|entry| match entry.change {
            Change::Step { event, ran_us, .. } if event != StepEvent::Start => Some((event, ran_us)),
            _ => None,
        })
        .collect();
    let expected = [
        (StepEvent::Release, None),
        (StepEvent::Fail, Some(5_000)),
        (StepEvent::Succeed, Some(5_000)),
    ];
    assert_eq!(ends, expected);
}
