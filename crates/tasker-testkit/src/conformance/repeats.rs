//! Requests that are sent again because their answer was lost.

use std::time::Duration;

use tasker_engine::{Actor, Create, Created, Receipt, Turn};
use tasker_types::{Position, TaskState};

use super::{B, pair};
use crate::canonical::{canonical_claim, canonical_task};
use crate::harness::Harness;
use crate::outcome::{fail, succeed};
use crate::shapes;

pub(super) async fn a_repeated_creation_creates_nothing(h: &Harness) {
    let task = h.new_task(pair());
    let id = task.id;
    h.create_all(vec![task.clone()]).await;
    let before = canonical_task(&*h.store, id).await.unwrap();
    let other = h.new_task(pair());
    let reply = h.create_all(vec![task, other.clone()]).await;
    assert_eq!(reply.tasks, [Created::New(id), Created::New(other.id)]);
    assert_eq!(canonical_task(&*h.store, id).await.unwrap(), before);
    assert_eq!(h.store.events(Position(0), 9).await.unwrap().len(), 2);
}

pub(super) async fn a_repeated_creation_hands_out_the_same_claims(h: &Harness) {
    let task = h.new_task(pair());
    let id = task.id;
    let request = Create::new(h.worker(), Actor::System, vec![task]).wanting(h.want(9));
    let first = h.store.create(request.clone()).await.unwrap();
    let before = canonical_task(&*h.store, id).await.unwrap();
    h.pass(1);
    let second = h.store.create(request).await.unwrap();
    assert_eq!(second.tasks, [Created::New(id)]);
    let claims = |claims: &[tasker_engine::Claim]| claims.iter().map(canonical_claim).collect::<Vec<_>>();
    assert_eq!(claims(&second.claims), claims(&first.claims));
    assert_eq!(canonical_task(&*h.store, id).await.unwrap(), before);
}

pub(super) async fn a_repeated_outcome_is_recorded_once(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    h.end(succeed(&claim)).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    h.pass(40);
    assert_eq!(h.end(succeed(&claim)).await, Receipt::Recorded);
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn an_outcome_twice_in_a_turn_is_recorded_once(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    let outcome = succeed(&claim);
    let reply = h.turn(vec![outcome.clone(), outcome], 9).await;
    assert_eq!(reply.receipts, [Receipt::Recorded, Receipt::Recorded]);
    assert_eq!(
        reply
            .claims
            .iter()
            .map(|claim| claim.lease.step)
            .collect::<Vec<_>>(),
        [B]
    );
    assert_eq!(h.life(task, super::A).await.len(), 2);
}

pub(super) async fn an_outcome_repeated_after_the_next_claim_is_recorded_once(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let first = h.claim_one().await;
    let second = h
        .turn(vec![fail(&first, Duration::ZERO)], 9)
        .await
        .claims
        .remove(0);
    let before = canonical_task(&*h.store, task).await.unwrap();
    assert_eq!(h.end(fail(&first, Duration::ZERO)).await, Receipt::Recorded);
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    assert_eq!(h.end(succeed(&second)).await, Receipt::Recorded);
    assert_eq!(h.state(task).await, TaskState::Complete);
}

pub(super) async fn a_repeated_turn_hands_out_the_same_claims(h: &Harness) {
    let task = h.create(shapes::parallel_merge()).await;
    let claim = h.claim(1).await.remove(0);
    let mut turn = Turn::new(h.worker(), vec![succeed(&claim)], h.want(2));
    let first = h.store.turn(turn.clone()).await.unwrap();
    let before = canonical_task(&*h.store, task).await.unwrap();
    turn.again = true;
    h.pass(2);
    let second = h.store.turn(turn).await.unwrap();
    assert_eq!(second.receipts, [Receipt::Recorded]);
    let claims = |claims: &[tasker_engine::Claim]| claims.iter().map(canonical_claim).collect::<Vec<_>>();
    assert_eq!(first.claims.len(), 2);
    assert_eq!(claims(&second.claims), claims(&first.claims));
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn a_repeated_turn_does_not_hand_out_what_has_ended(h: &Harness) {
    h.create(pair()).await;
    let mut turn = Turn::new(h.worker(), Vec::new(), h.want(9));
    let claims = h.store.turn(turn.clone()).await.unwrap().claims;
    h.end(succeed(&claims[0])).await;
    turn.again = true;
    let again = h.store.turn(turn).await.unwrap().claims;
    assert_eq!(
        again.iter().map(|claim| claim.lease).collect::<Vec<_>>(),
        [claims[1].lease]
    );
}

pub(super) async fn another_worker_is_not_handed_the_same_claims(h: &Harness) {
    h.create(pair()).await;
    let want = h.want(9);
    h.store
        .turn(Turn::new(h.worker(), Vec::new(), want.clone()))
        .await
        .unwrap();
    let mut turn = Turn::new(h.another_worker(), Vec::new(), want);
    turn.again = true;
    assert!(h.store.turn(turn).await.unwrap().claims.is_empty());
}
