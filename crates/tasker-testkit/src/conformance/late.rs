//! What a worker reports of a step that was cancelled meanwhile.

use std::time::Duration;

use tasker_engine::{Actor, Change, Demand, End, LeaseStatus, Receipt};
use tasker_types::{RunNo, StepState, TaskState};

use super::{A, B, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, succeed};
use crate::shapes;

pub(super) async fn a_late_outcome_is_kept_and_is_no_result(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    h.demand(task, Demand::CancelStep(A)).await;
    let outcome = succeed(&claim);
    let reply = h.turn(vec![outcome.clone()], 9).await;
    assert_eq!(reply.receipts, [Receipt::Late]);
    assert!(reply.claims.is_empty());
    assert_eq!(h.results(task).await, []);
    assert_eq!(h.snapshot(task).await.steps[0].state, StepState::Cancelled);
    let entry = h.history(task).await.pop().unwrap();
    assert_eq!(
        entry.change,
        Change::LateOutcome {
            step: A,
            run: RunNo(1)
        }
    );
    assert_eq!(entry.actor, Actor::Worker(h.worker()));
    assert_eq!(entry.metadata.unwrap().to::<End>().unwrap(), outcome.end);
}

pub(super) async fn a_late_outcome_is_kept_once(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.demand(task, Demand::CancelStep(A)).await;
    h.end(succeed(&claim)).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    assert_eq!(
        h.turn(vec![succeed(&claim), succeed(&claim)], 0).await.receipts,
        [Receipt::Late, Receipt::Late]
    );
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn a_late_outcome_of_a_cancelled_task_is_kept(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.demand(task, Demand::CancelTask).await;
    let reply = h.turn(claims.iter().map(succeed).collect(), 9).await;
    assert_eq!(reply.receipts, [Receipt::Late, Receipt::Late]);
    assert!(reply.finished.is_empty());
    assert_eq!(h.look(task).await, "cancelled: cancelled cancelled");
}

pub(super) async fn an_outcome_after_a_reset_is_lost(h: &Harness) {
    let task = h.create(pair()).await;
    let claim = h.claim(1).await.remove(0);
    h.demand(task, Demand::CancelStep(A)).await;
    h.demand(task, Demand::ResetStep(A)).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    assert_eq!(h.end(succeed(&claim)).await, Receipt::LeaseLost);
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    h.run_ready().await;
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn an_outcome_recorded_before_the_cancellation_stays_recorded(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.end(fail(&claims[1], Duration::from_secs(5))).await;
    h.demand(task, Demand::CancelStep(B)).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    assert_eq!(
        h.end(fail(&claims[1], Duration::from_secs(5))).await,
        Receipt::Recorded
    );
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn a_renewal_tells_of_the_cancellation(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.demand(task, Demand::CancelTask).await;
    assert_eq!(
        h.renew(&claims).await,
        [LeaseStatus::Cancelled, LeaseStatus::Cancelled]
    );
}
