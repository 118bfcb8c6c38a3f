//! Results that create tasks.

use std::time::Duration;

use serde_json::{Value, json};
use tasker_engine::{
    Change, Claim, Clock, Created, Demand, Idempotency, Json, NewTask, Outcome, Receipt, StepEvent, Turn,
};
use tasker_types::{StepNo, TaskId, TaskState};

use super::{A, B, pair};
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, interrupt, release, succeed, succeed_creating, suspend};
use crate::shapes;

/// Returns a task that a claimed step asks for, not yet created.
fn asked_by(h: &Harness, claim: &Claim) -> NewTask {
    let mut task = h.new_task(pair());
    task.parent = Some((claim.lease.task, claim.lease.step));
    task
}

/// Creates a task of one step and claims it.
async fn claimed(h: &Harness) -> Claim {
    h.create(shapes::single()).await;
    h.claim_one().await
}

/// Returns what the entry of a step's success says.
async fn said(h: &Harness, task: TaskId, step: StepNo) -> Option<Value> {
    let succeeded = |change: &Change| matches!(change, Change::Step { step: own, event: StepEvent::Succeed, .. } if *own == step);
    let history = h.history(task).await;
    let entry = history.iter().find(|entry| succeeded(&entry.change)).unwrap();
    entry.metadata.as_ref().map(Json::to_value)
}

async fn is_unknown(h: &Harness, task: TaskId) -> bool {
    h.store.snapshot(task).await.unwrap().is_none()
}

pub(super) async fn a_result_creates_tasks_in_its_commit(h: &Harness) {
    let parent = h.create(pair()).await;
    let claims = h.claim(9).await;
    let (first, second) = (asked_by(h, &claims[1]), asked_by(h, &claims[1]));
    let (one, two) = (first.id, second.id);
    let lease = claims[1].lease;
    let outcome = succeed_creating(&claims[1], vec![first, second]);
    let mut turn = Turn::new(h.worker(), vec![succeed(&claims[0]), outcome], h.want(0));
    turn.check_in = Duration::from_secs(77);
    let reply = h.store.turn(turn).await.unwrap();
    assert_eq!(reply.receipts, [Receipt::Recorded, Receipt::Recorded]);
    assert_eq!(
        reply.created,
        [(lease, Created::New(one)), (lease, Created::New(two))]
    );
    assert_eq!(reply.finished, [(parent, TaskState::Complete)]);
    for task in [one, two] {
        assert_eq!(h.look(task).await, "pending: pending pending");
        assert_eq!(h.queued(task).await, [A, B]);
        let record = h.snapshot(task).await.task;
        assert_eq!(record.parent, Some((parent, B)));
        assert_eq!(
            record.next_check_at,
            Some(h.clock.now().plus(Duration::from_secs(77)))
        );
        let history = h.history(task).await;
        assert_eq!(history.len(), 1);
        assert_eq!(history[0].change, Change::Created);
        assert_eq!(history[0].actor.to_string(), format!("worker:{}", h.worker()));
    }
    assert_eq!(said(h, parent, A).await, None);
    assert_eq!(
        said(h, parent, B).await,
        Some(json!({ "tasks": [{ "new": one }, { "new": two }] }))
    );
}

pub(super) async fn the_root_is_the_first_task_of_the_line(h: &Harness) {
    let first = claimed(h).await;
    let root = first.lease.task;
    let mut line = Vec::new();
    let mut claim = first;
    for _ in 0..3 {
        let mut task = asked_by(h, &claim);
        task.template = shapes::single();
        line.push(task.id);
        claim = h
            .turn(vec![succeed_creating(&claim, vec![task])], 1)
            .await
            .claims
            .remove(0);
    }
    assert_eq!(h.snapshot(root).await.task.root, None);
    for task in line {
        assert_eq!(h.snapshot(task).await.task.root, Some(root));
    }
}

pub(super) async fn first_steps_of_created_tasks_are_handed_over_in_the_same_turn(h: &Harness) {
    let claim = claimed(h).await;
    let mut task = asked_by(h, &claim);
    task.context = Json::from(&json!({ "for": "child" }));
    let id = task.id;
    let claims = h.turn(vec![succeed_creating(&claim, vec![task])], 9).await.claims;
    let steps: Vec<_> = claims
        .iter()
        .map(|claim| (claim.lease.task, claim.lease.step))
        .collect();
    assert_eq!(steps, [(id, A), (id, B)]);
    assert_eq!(claims[0].task.context.to_value(), json!({ "for": "child" }));
    assert_eq!(h.look(id).await, "in_progress: in_progress in_progress");
    let both = claims.iter().map(succeed).collect();
    assert_eq!(h.turn(both, 0).await.finished, [(id, TaskState::Complete)]);
}

pub(super) async fn created_tasks_wake_listeners(h: &Harness) {
    let claim = claimed(h).await;
    let task = asked_by(h, &claim);
    let wake = h.store.wake();
    h.turn(vec![succeed_creating(&claim, vec![task])], 0).await;
    assert!(wake.has_changed().unwrap());
}

pub(super) async fn a_created_task_may_be_over_at_once(h: &Harness) {
    let claim = claimed(h).await;
    let mut task = asked_by(h, &claim);
    task.bypass = vec![A, B];
    let id = task.id;
    let mut finished = h
        .turn(vec![succeed_creating(&claim, vec![task])], 9)
        .await
        .finished;
    finished.sort_unstable();
    let mut expected = [(claim.lease.task, TaskState::Complete), (id, TaskState::Complete)];
    expected.sort_unstable();
    assert_eq!(finished, expected);
    assert_eq!(h.look(id).await, "complete: resolved_manually resolved_manually");
}

pub(super) async fn what_is_no_result_creates_nothing(h: &Harness) {
    let second = Duration::from_secs(1);
    let ends: [fn(&Claim, Duration) -> Outcome; 5] = [
        fail,
        |claim, _| fail_permanently(claim),
        |claim, _| release(claim),
        |claim, _| interrupt(claim),
        |claim, wait| suspend(claim, wait, &json!(1)),
    ];
    for end in ends {
        let parent = h.create(shapes::single()).await;
        let claims = h.claim(9).await;
        let claim = claims.iter().find(|claim| claim.lease.task == parent).unwrap();
        let task = asked_by(h, claim);
        let id = task.id;
        let outcome = Outcome {
            tasks: vec![task],
            ..end(claim, second)
        };
        let reply = h.turn(vec![outcome], 0).await;
        assert_eq!(reply.receipts, [Receipt::Recorded]);
        assert_eq!(reply.created, []);
        assert!(is_unknown(h, id).await);
        h.demand(parent, Demand::CancelTask).await;
    }
}

pub(super) async fn a_late_result_creates_nothing(h: &Harness) {
    let claim = claimed(h).await;
    let task = asked_by(h, &claim);
    let id = task.id;
    h.demand(claim.lease.task, Demand::CancelTask).await;
    let reply = h.turn(vec![succeed_creating(&claim, vec![task])], 0).await;
    assert_eq!(reply.receipts, [Receipt::Late]);
    assert_eq!(reply.created, []);
    assert!(is_unknown(h, id).await);
}

pub(super) async fn a_result_under_a_stale_token_creates_nothing(h: &Harness) {
    let claim = claimed(h).await;
    let task = asked_by(h, &claim);
    let id = task.id;
    h.pass(31);
    let reply = h.turn(vec![succeed_creating(&claim, vec![task])], 0).await;
    assert_eq!(reply.receipts, [Receipt::LeaseLost]);
    assert_eq!(reply.created, []);
    assert!(is_unknown(h, id).await);
}

pub(super) async fn a_result_in_a_repeated_turn_creates_once(h: &Harness) {
    let claim = claimed(h).await;
    let task = asked_by(h, &claim);
    let id = task.id;
    let mut turn = Turn::new(h.worker(), vec![succeed_creating(&claim, vec![task])], h.want(9));
    let first = h.store.turn(turn.clone()).await.unwrap();
    turn.again = true;
    let second = h.store.turn(turn).await.unwrap();
    assert_eq!(second.receipts, [Receipt::Recorded]);
    assert_eq!(second.created, []);
    let leases = |claims: &[Claim]| claims.iter().map(|claim| claim.lease).collect::<Vec<_>>();
    assert_eq!(leases(&second.claims), leases(&first.claims));
    let created = h
        .history(id)
        .await
        .into_iter()
        .filter(|entry| entry.change == Change::Created);
    assert_eq!(created.count(), 1);
}

pub(super) async fn a_result_twice_in_a_turn_creates_once(h: &Harness) {
    let claim = claimed(h).await;
    let task = asked_by(h, &claim);
    let id = task.id;
    let outcome = succeed_creating(&claim, vec![task]);
    let reply = h.turn(vec![outcome.clone(), outcome], 0).await;
    assert_eq!(reply.receipts, [Receipt::Recorded, Receipt::Recorded]);
    assert_eq!(reply.created, [(claim.lease, Created::New(id))]);
    assert_eq!(h.history(id).await.len(), 1);
}

pub(super) async fn a_taken_identity_leaves_the_result_recorded(h: &Harness) {
    let mut known = h.new_task(pair());
    known.identity = "order 7".to_owned();
    let taken = known.id;
    let claim = claimed(h).await;
    h.create_all(vec![known]).await;
    let (mut refused, other) = (asked_by(h, &claim), asked_by(h, &claim));
    refused.identity = "order 7".to_owned();
    let (no, yes) = (refused.id, other.id);
    let reply = h
        .turn(vec![succeed_creating(&claim, vec![refused, other])], 0)
        .await;
    assert_eq!(reply.receipts, [Receipt::Recorded]);
    let created = reply.created.iter().map(|(_, created)| *created);
    assert_eq!(
        created.collect::<Vec<_>>(),
        [Created::Duplicate(taken), Created::New(yes)]
    );
    assert!(is_unknown(h, no).await);
    assert_eq!(
        said(h, claim.lease.task, A).await,
        Some(json!({ "tasks": [{ "duplicate": taken }, { "new": yes }] }))
    );
}

pub(super) async fn two_results_of_a_turn_ask_for_the_same_identity(h: &Harness) {
    h.create(pair()).await;
    let claims = h.claim(9).await;
    let outcomes: Vec<_> = claims
        .iter()
        .map(|claim| {
            let mut task = asked_by(h, claim);
            task.identity = "order 7".to_owned();
            succeed_creating(claim, vec![task])
        })
        .collect();
    let first = outcomes[0].tasks[0].id;
    let reply = h.turn(outcomes, 0).await;
    assert_eq!(
        reply.created,
        [
            (claims[0].lease, Created::New(first)),
            (claims[1].lease, Created::Duplicate(first))
        ]
    );
}

pub(super) async fn a_key_of_a_result_may_be_repeated_or_reused(h: &Harness) {
    let keyed = |mut task: NewTask, digest: &str| {
        task.idempotency = Some(Idempotency {
            key: "key".to_owned(),
            digest: digest.to_owned(),
        });
        task
    };
    let claim = claimed(h).await;
    let known = keyed(h.new_task(pair()), "same");
    let first = known.id;
    h.create_all(vec![known]).await;
    let tasks = vec![
        keyed(asked_by(h, &claim), "same"),
        keyed(asked_by(h, &claim), "other"),
    ];
    let reply = h.turn(vec![succeed_creating(&claim, tasks)], 0).await;
    assert_eq!(reply.receipts, [Receipt::Recorded]);
    assert_eq!(
        reply.created,
        [
            (claim.lease, Created::Repeated(first)),
            (claim.lease, Created::KeyReused(first))
        ]
    );
    assert_eq!(
        said(h, claim.lease.task, A).await,
        Some(json!({ "tasks": [{ "repeated": first }, { "key_reused": first }] }))
    );
}
