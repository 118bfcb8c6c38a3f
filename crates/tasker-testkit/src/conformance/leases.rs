//! Leases: held, extended, lost, expired.

use std::time::Duration;

use tasker_engine::{
    Actor, Claim, Clock, Demand, Failure, LeaseStatus, Receipt, Renewal, Scope, StepEvent, Sweep, Swept, Turn,
};
use tasker_types::{LeaseToken, RunNo, StepState, TaskState};

use super::{A, limited, once, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, succeed};
use crate::shapes;

async fn swept(h: &Harness, limit: u32, scope: Scope) -> Swept {
    h.store
        .sweep(Sweep::new(limit, Harness::backoff(), 1).within(scope))
        .await
        .unwrap()
}

/// Lets a lease end and expire, and returns the next claim of the step.
async fn expire_and_claim(h: &Harness) -> Claim {
    h.pass(31);
    h.sweep().await;
    h.pass(10);
    h.claim_one().await
}

pub(super) async fn a_renewal_extends_a_lease(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.pass(20);
    let lease = Duration::from_secs(60);
    let renewal = Renewal::new(h.worker(), vec![claim.lease], lease);
    assert_eq!(h.store.renew(renewal).await.unwrap(), [LeaseStatus::Held]);
    assert_eq!(
        h.snapshot(task).await.steps[0].lease.unwrap().until,
        h.clock.now().plus(lease)
    );
    h.pass(59);
    assert!(h.sweep().await.expired.is_empty());
    assert_eq!(h.end(succeed(&claim)).await, Receipt::Recorded);
}

pub(super) async fn a_renewal_answers_in_order(h: &Harness) {
    let first = h.create(pair()).await;
    let mut claims = h.claim(9).await;
    let unknown = h.new_task(pair()).id;
    let mut stranger = claims[0].clone();
    stranger.lease.task = unknown;
    let mut stale = claims[1].clone();
    stale.lease.token = LeaseToken(claims[1].lease.token.0 ^ 1);
    claims.extend([stranger, stale]);
    h.demand(first, Demand::CancelStep(A)).await;
    let statuses = [
        LeaseStatus::Cancelled,
        LeaseStatus::Held,
        LeaseStatus::Lost,
        LeaseStatus::Lost,
    ];
    assert_eq!(h.renew(&claims).await, statuses);
    claims.reverse();
    assert_eq!(
        h.renew(&claims).await,
        [statuses[3], statuses[2], statuses[1], statuses[0]]
    );
}

pub(super) async fn an_outcome_under_a_stale_token_changes_nothing(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let mut claim = h.claim_one().await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    claim.lease.token = LeaseToken(claim.lease.token.0 ^ 1);
    let turn = Turn::new(h.another_worker(), vec![succeed(&claim)], h.want(9));
    let reply = h.store.turn(turn).await.unwrap();
    assert_eq!(reply.receipts, [Receipt::LeaseLost]);
    assert!(reply.claims.is_empty());
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn an_outcome_of_an_earlier_run_changes_nothing(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let lost = h.claim_one().await;
    let claim = expire_and_claim(h).await;
    assert_eq!(claim.lease.run, RunNo(2));
    let before = canonical_task(&*h.store, task).await.unwrap();
    assert_eq!(h.end(succeed(&lost)).await, Receipt::LeaseLost);
    assert_eq!(h.end(fail(&lost, Duration::ZERO)).await, Receipt::LeaseLost);
    assert_eq!(h.renew(&[lost]).await, [LeaseStatus::Lost]);
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    assert_eq!(h.end(succeed(&claim)).await, Receipt::Recorded);
}

pub(super) async fn a_lease_holds_up_to_its_last_moment(h: &Harness) {
    h.create(pair()).await;
    let claims = h.claim(9).await;
    h.clock.advance(Harness::LEASE);
    assert!(h.sweep().await.expired.is_empty());
    assert_eq!(h.renew(&claims[..1]).await, [LeaseStatus::Held]);
    assert_eq!(h.end(succeed(&claims[1])).await, Receipt::Recorded);
}

pub(super) async fn a_lease_past_its_time_is_lost_before_any_sweep(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.clock.advance(Harness::LEASE + Duration::from_micros(1));
    assert_eq!(h.renew(std::slice::from_ref(&claim)).await, [LeaseStatus::Lost]);
    assert_eq!(h.end(succeed(&claim)).await, Receipt::LeaseLost);
    assert_eq!(h.look(task).await, "in_progress: in_progress");
    assert_eq!(h.results(task).await, []);
    assert_eq!(h.sweep().await.expired, [(task, A)]);
}

pub(super) async fn a_sweep_ends_a_lease_that_is_over(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let _ = h.claim_one().await;
    h.pass(31);
    let swept = h.sweep().await;
    assert_eq!(swept.expired, [(task, A)]);
    assert!(swept.finished.is_empty());
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(step.state, StepState::Error);
    assert_eq!(step.lease, None);
    assert_eq!(step.failure.unwrap().code, Failure::LEASE_EXPIRED);
    assert_eq!(
        step.next_retry_at,
        Some(h.clock.now().plus(Duration::from_secs(1)))
    );
    assert!(step.queued);
    let entry = h.history(task).await.pop().unwrap();
    assert_eq!(entry.actor, Actor::System);
    assert!(h.sweep().await.expired.is_empty());
}

pub(super) async fn a_sweep_leaves_a_lease_that_holds(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.pass(29);
    assert!(h.sweep().await.expired.is_empty());
    assert_eq!(h.look(task).await, "in_progress: in_progress");
    assert_eq!(h.end(succeed(&claim)).await, Receipt::Recorded);
}

pub(super) async fn a_lost_attempt_counts(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let _ = h.claim_one().await;
    let claim = expire_and_claim(h).await;
    assert_eq!((claim.attempt, claim.lease.run), (2, RunNo(2)));
    h.end(succeed(&claim)).await;
    let life = [
        (StepEvent::Start, StepState::InProgress, 1, 1),
        (StepEvent::Expire, StepState::Error, 1, 1),
        (StepEvent::Start, StepState::InProgress, 2, 2),
        (StepEvent::Succeed, StepState::Complete, 2, 2),
    ];
    assert_eq!(h.life(task, A).await, life);
}

pub(super) async fn a_crash_leaves_no_attempt_to_a_step_that_may_not_retry(h: &Harness) {
    let task = h.create(once()).await;
    let _ = h.claim_one().await;
    h.pass(31);
    let swept = h.sweep().await;
    assert_eq!(swept.expired, [(task, A)]);
    assert_eq!(swept.finished, [(task, TaskState::Error)]);
    assert_eq!(h.snapshot(task).await.steps[0].next_retry_at, None);
    h.pass(1_000);
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_crash_at_the_last_attempt_fails_the_task(h: &Harness) {
    let task = h.create(limited(2)).await;
    let _ = h.claim_one().await;
    let _ = expire_and_claim(h).await;
    h.pass(31);
    assert_eq!(h.sweep().await.finished, [(task, TaskState::Error)]);
    assert_eq!(h.look(task).await, "error: error");
}

pub(super) async fn a_sweep_stops_at_its_limit_and_the_next_goes_on(h: &Harness) {
    h.create(shapes::parallel_merge()).await;
    assert_eq!(h.claim(9).await.len(), 4);
    h.pass(31);
    let mut expired = Vec::new();
    for count in [3, 1, 0] {
        let swept = swept(h, 3, Scope::All).await;
        assert_eq!(swept.expired.len(), count);
        expired.extend(swept.expired);
    }
    expired.sort_unstable();
    expired.dedup();
    assert_eq!(expired.len(), 4);
}

pub(super) async fn a_sweep_keeps_to_its_scope(h: &Harness) {
    let first = h.create(shapes::single()).await;
    let second = h.create(shapes::single()).await;
    h.claim(9).await;
    h.pass(31);
    let swept = swept(h, 9, Scope::Task(second)).await;
    assert_eq!(swept.expired, [(second, A)]);
    assert_eq!(swept.due, [second]);
    assert_eq!(h.look(first).await, "in_progress: in_progress");
}

pub(super) async fn a_clock_that_jumps_back_loses_nothing(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    h.clock.turn_back(Duration::from_secs(3_600));
    assert!(h.sweep().await.expired.is_empty());
    assert_eq!(h.renew(std::slice::from_ref(&claim)).await, [LeaseStatus::Held]);
    let next = h.turn(vec![succeed(&claim)], 9).await.claims.remove(0);
    h.clock.turn_back(Duration::from_secs(3_600));
    h.end(succeed(&next)).await;
    assert_eq!(h.look(task).await, "complete: complete complete");
}

pub(super) async fn a_lease_renewed_after_the_clock_went_back_ends_by_that_clock(h: &Harness) {
    let task = h.create(pair()).await;
    let claim = h.claim(1).await.remove(0);
    let begun = h.clock.now();
    let at = |seconds| h.clock.set(begun.plus(Duration::from_secs(seconds)));
    let lease = Harness::LEASE.as_secs();
    at(lease - 1);
    h.renew(std::slice::from_ref(&claim)).await;
    // It is not over, and looked at again when it would be.
    at(lease + 1);
    assert_eq!(h.sweep().await.expired, []);
    at(0);
    h.renew(std::slice::from_ref(&claim)).await;
    at(lease + 1);
    assert_eq!(h.sweep().await.expired, [(task, claim.lease.step)]);
}
