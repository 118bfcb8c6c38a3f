//! Handing over what a finished step makes ready.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::{Claim, Demand, Json, Receipt, Scope, StepBuilder, Template, Turn, Want};
use tasker_types::{StepNo, TaskState, Version};

use super::{A, B, C, D, fork, pair};
use crate::accepts::Only;
use crate::harness::Harness;
use crate::outcome::{fail, succeed, succeed_with};
use crate::shapes;

fn steps(claims: &[Claim]) -> Vec<StepNo> {
    claims.iter().map(|claim| claim.lease.step).collect()
}

pub(super) async fn a_ready_child_is_handed_over_in_the_same_turn(h: &Harness) {
    let task = h.create(shapes::linear(3)).await;
    let claim = h.claim_one().await;
    let reply = h.turn(vec![succeed(&claim)], 1).await;
    assert_eq!(reply.receipts, [Receipt::Recorded]);
    assert_eq!(steps(&reply.claims), [B]);
    assert_eq!(h.look(task).await, "in_progress: complete in_progress pending");
}

pub(super) async fn a_child_waits_for_all_its_parents(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    let both = h.turn(vec![succeed(&claim)], 9).await.claims;
    assert_eq!(steps(&both), [B, C]);
    assert!(h.turn(vec![succeed(&both[1])], 9).await.claims.is_empty());
    assert_eq!(
        h.look(task).await,
        "in_progress: complete in_progress complete pending"
    );
    assert_eq!(h.snapshot(task).await.steps[3].unmet_parents, 1);
    assert_eq!(steps(&h.turn(vec![succeed(&both[0])], 9).await.claims), [D]);
}

pub(super) async fn both_parents_in_one_turn_start_the_child_once(h: &Harness) {
    h.create(fork()).await;
    let claim = h.claim_one().await;
    let both = h.turn(vec![succeed(&claim)], 9).await.claims;
    let reply = h.turn(both.iter().map(succeed).collect(), 9).await;
    assert_eq!(reply.receipts, [Receipt::Recorded, Receipt::Recorded]);
    assert_eq!(steps(&reply.claims), [D]);
}

pub(super) async fn children_over_the_limit_are_left_for_others(h: &Harness) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    assert_eq!(steps(&h.turn(vec![succeed(&claim)], 1).await.claims), [B]);
    assert_eq!(h.queued(task).await, [C]);
    let other = Turn::new(h.another_worker(), Vec::new(), h.want(9));
    assert_eq!(steps(&h.store.turn(other).await.unwrap().claims), [C]);
}

fn without_top_up(h: &Harness, limit: u32) -> Want {
    Want {
        top_up: false,
        ..h.want(limit)
    }
}

pub(super) async fn a_ready_child_is_handed_over_where_the_queue_is_left_alone(h: &Harness) {
    let task = h.create(shapes::linear(3)).await;
    let claim = h.claim_one().await;
    let turn = Turn::new(h.worker(), vec![succeed(&claim)], without_top_up(h, 9));
    let reply = h.store.turn(turn).await.unwrap();
    assert_eq!(steps(&reply.claims), [B]);
    let wait = std::time::Duration::from_secs(4);
    let failed = vec![fail(&reply.claims[0], wait)];
    let turn = Turn::new(h.worker(), failed, without_top_up(h, 9));
    assert_eq!(h.store.turn(turn).await.unwrap().next_due_in, Some(wait));
    assert_eq!(h.look(task).await, "in_progress: complete error pending");
}

pub(super) async fn a_child_that_fills_the_hand_does_not_come_before_what_is_more_urgent(h: &Harness) {
    h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    let urgent = h.create(shapes::single()).await;
    h.demand(urgent, Demand::SetPriority(1)).await;
    let turn = Turn::new(h.worker(), vec![succeed(&claim)], without_top_up(h, 1));
    let claims = h.store.turn(turn).await.unwrap().claims;
    assert_eq!(claims[0].lease.task, urgent);
}

pub(super) async fn a_child_without_a_handler_here_is_left_for_others(h: &Harness) {
    let template = Template::builder("two")
        .step(StepBuilder::new("a", "left"))
        .step(StepBuilder::new("b", "right").depends_on(["a"]))
        .build()
        .unwrap();
    let task = h.create(template).await;
    let claim = h.claim_one().await;
    let left = Arc::new(Only::these(["left"], Version::new(1, 0, 0)));
    let turn = Turn::new(
        h.worker(),
        vec![succeed(&claim)],
        Want {
            accepts: left,
            ..h.want(9)
        },
    );
    assert!(h.store.turn(turn).await.unwrap().claims.is_empty());
    assert_eq!(h.queued(task).await, [B]);
    assert_eq!(h.claim_one().await.lease.step, B);
}

pub(super) async fn a_child_out_of_scope_is_left_for_others(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    let other = h.create(shapes::linear(2)).await;
    let want = Want {
        scope: Scope::Task(other),
        ..h.want(9)
    };
    let reply = h
        .store
        .turn(Turn::new(h.worker(), vec![succeed(&claim)], want))
        .await
        .unwrap();
    assert_eq!(
        reply
            .claims
            .iter()
            .map(|claim| claim.lease.task)
            .collect::<Vec<_>>(),
        [other]
    );
    assert_eq!(h.queued(task).await, [B]);
}

pub(super) async fn children_see_the_results_of_their_parents_in_step_order(h: &Harness) {
    let template = shapes::graph("gather", &[("a", ""), ("b", ""), ("c", ""), ("d", "c a b")]);
    let task = h.create(template).await;
    h.demand(task, Demand::ResolveStep(B, None)).await;
    let claims = h.claim(9).await;
    let outcomes = vec![
        succeed_with(&claims[1], &json!([2.5, "x"])),
        succeed_with(&claims[0], &json!(null)),
    ];
    let last = h.turn(outcomes, 9).await.claims.remove(0);
    let seen = [
        (A, Some(Json::null())),
        (B, None),
        (C, Some(Json::from(&json!([2.5, "x"])))),
    ];
    assert_eq!(last.parents, seen);
    h.end(succeed_with(&last, &json!({ "all": true }))).await;
    assert_eq!(
        h.results(task).await,
        [
            (A, json!(null)),
            (C, json!([2.5, "x"])),
            (D, json!({ "all": true }))
        ]
    );
}

pub(super) async fn the_last_step_completes_the_task(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    h.pass(2);
    assert!(h.turn(vec![succeed(&claims[0])], 9).await.finished.is_empty());
    h.pass(2);
    let reply = h.turn(vec![succeed(&claims[1])], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Complete)]);
    let snapshot = h.snapshot(task).await;
    assert_eq!(h.look(task).await, "complete: complete complete");
    assert_eq!(snapshot.task.live_steps, 0);
    assert_eq!(snapshot.task.finished_at, Some(snapshot.taken_at));
    assert_eq!(snapshot.task.next_check_at, None);
    assert_eq!(snapshot.steps[1].finished_at, Some(snapshot.taken_at));
}

pub(super) async fn fifty_children_are_handed_over_in_one_turn(h: &Harness) {
    let task = h.create(shapes::wide(50)).await;
    let claim = h.claim_one().await;
    let sides = h.turn(vec![succeed(&claim)], 100).await.claims;
    assert_eq!(steps(&sides), (1..=50).map(StepNo).collect::<Vec<_>>());
    let last = h.turn(sides.iter().map(succeed).collect(), 100).await.claims;
    assert_eq!(last[0].parents.len(), 50);
    assert_eq!(
        h.turn(vec![succeed(&last[0])], 100).await.finished,
        [(task, TaskState::Complete)]
    );
}

pub(super) async fn one_turn_ends_several_tasks(h: &Harness) {
    let mut tasks = Vec::new();
    for _ in 0..3 {
        tasks.push((h.create(shapes::single()).await, TaskState::Complete));
    }
    let claims = h.claim(9).await;
    let mut finished = h.turn(claims.iter().map(succeed).collect(), 9).await.finished;
    finished.sort_unstable();
    tasks.sort_unstable();
    assert_eq!(finished, tasks);
}
