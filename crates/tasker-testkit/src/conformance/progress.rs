//! What running handlers say of themselves.

use std::time::Duration;

use tasker_engine::{Claim, LeaseStatus, Outcome, Progress, Renewal};
use tasker_types::TaskId;

use super::{A, B, limited, pair};
use crate::harness::Harness;
use crate::outcome::{fail, succeed};
use crate::shapes;

fn said(done: u64, note: &str) -> Progress {
    Progress {
        done,
        total: 10,
        note: Some(note.to_owned()),
    }
}

async fn renew(h: &Harness, claims: &[Claim], progress: &[(usize, Progress)]) -> Vec<LeaseStatus> {
    let leases = claims.iter().map(|claim| claim.lease).collect();
    let mut renewal = Renewal::new(h.worker(), leases, Harness::LEASE);
    let progress = progress.iter();
    renewal.progress = progress
        .map(|(claim, said)| (claims[*claim].lease, said.clone()))
        .collect();
    h.store.renew(renewal).await.unwrap()
}

async fn kept(h: &Harness, task: TaskId) -> Vec<Option<Progress>> {
    let steps = h.snapshot(task).await.steps.into_iter();
    steps.map(|step| step.progress).collect()
}

pub(super) async fn a_renewal_keeps_what_handlers_say(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    let before = h.history(task).await.len();
    let statuses = renew(h, &claims, &[(1, said(4, "half of b"))]).await;
    assert_eq!(statuses, [LeaseStatus::Held, LeaseStatus::Held]);
    assert_eq!(kept(h, task).await, [None, Some(said(4, "half of b"))]);
    renew(h, &claims, &[(0, said(1, "a")), (1, said(9, "most of b"))]).await;
    assert_eq!(
        kept(h, task).await,
        [Some(said(1, "a")), Some(said(9, "most of b"))]
    );
    renew(h, &claims, &[]).await;
    assert_eq!(kept(h, task).await[B.0 as usize], Some(said(9, "most of b")));
    assert_eq!(h.history(task).await.len(), before);
}

pub(super) async fn an_outcome_keeps_what_its_handler_said_last(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    let outcome = Outcome {
        progress: Some(said(10, "done")),
        ..succeed(&claims[0])
    };
    h.turn(vec![outcome], 0).await;
    renew(h, &claims, &[(1, said(3, "b"))]).await;
    h.end(succeed(&claims[1])).await;
    assert_eq!(kept(h, task).await, [Some(said(10, "done")), Some(said(3, "b"))]);
}

pub(super) async fn what_a_stale_lease_says_is_not_kept(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.pass(31);
    assert_eq!(
        renew(h, std::slice::from_ref(&claim), &[(0, said(4, "too late"))]).await,
        [LeaseStatus::Lost]
    );
    let outcome = Outcome {
        progress: Some(said(5, "too late")),
        ..succeed(&claim)
    };
    h.turn(vec![outcome], 0).await;
    assert_eq!(kept(h, task).await, [None]);
}

pub(super) async fn the_next_attempt_has_said_nothing_yet(h: &Harness) {
    let task = h.create(limited(2)).await;
    let claim = h.claim_one().await;
    renew(h, std::slice::from_ref(&claim), &[(0, said(4, "first"))]).await;
    h.end(fail(&claim, Duration::ZERO)).await;
    assert_eq!(kept(h, task).await[A.0 as usize], Some(said(4, "first")));
    let claim = h.claim_one().await;
    assert_eq!(kept(h, task).await, [None]);
    renew(h, std::slice::from_ref(&claim), &[(0, said(1, "second"))]).await;
    assert_eq!(kept(h, task).await, [Some(said(1, "second"))]);
    h.end(succeed(&claim)).await;
}

pub(super) async fn what_handlers_say_wakes_listeners(h: &Harness) {
    h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let mut wake = h.store.wake();
    wake.mark_unchanged();
    renew(h, std::slice::from_ref(&claim), &[(0, said(4, "a"))]).await;
    assert!(wake.has_changed().unwrap());
    h.end(succeed(&claim)).await;
}
