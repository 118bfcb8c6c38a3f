//! Which steps a worker is handed, and in which order.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{Change, Clock, Demand, Scope, StepBuilder, StepEvent, TaskEvent, Template, Turn, Want};
use tasker_types::{RunNo, StepNo, StepState, TaskId, TaskState, Version};

use super::{A, B, fork, pair};
use crate::accepts::Only;
use crate::harness::Harness;
use crate::outcome::{fail, succeed};
use crate::shapes;

/// Returns `a` for handler `left` and `b` for handler `right`.
fn two_handlers() -> Arc<Template> {
    Template::builder("handlers")
        .step(StepBuilder::new("a", "left"))
        .step(StepBuilder::new("b", "right"))
        .build()
        .unwrap()
}

async fn claim_as(h: &Harness, want: Want) -> Vec<(TaskId, StepNo)> {
    let reply = h
        .store
        .turn(Turn::new(h.worker(), Vec::new(), want))
        .await
        .unwrap();
    reply
        .claims
        .iter()
        .map(|claim| (claim.lease.task, claim.lease.step))
        .collect()
}

async fn claimed(h: &Harness, limit: u32) -> Vec<(TaskId, StepNo)> {
    claim_as(h, h.want(limit)).await
}

async fn create_with_priority(h: &Harness, priority: i16) -> TaskId {
    let mut task = h.new_task(shapes::single());
    task.priority = priority;
    let id = task.id;
    h.create_all(vec![task]).await;
    id
}

pub(super) async fn a_claim_says_all_that_a_handler_needs(h: &Harness) {
    let mut task = h.new_task(shapes::linear(2));
    task.origin.correlation_id = Some("c-1".to_owned());
    let id = task.id;
    h.create_all(vec![task.clone()]).await;
    h.pass(5);
    let claim = h.claim_one().await;
    assert_eq!(
        (claim.lease.task, claim.lease.step, claim.lease.run),
        (id, A, RunNo(1))
    );
    assert_eq!((claim.attempt, claim.retry_limit), (1, 3));
    assert_eq!(claim.task.template, task.template);
    assert_eq!(claim.task.context.to_value(), json!({ "order": 7 }));
    assert_eq!(claim.task.correlation_id.as_deref(), Some("c-1"));
    assert_eq!(claim.parents, []);
    assert_eq!(
        (claim.checkpoint, claim.timeout, claim.config),
        (None, None, None)
    );
    assert_eq!(claim.handler_version, Version::new(1, 0, 0));
    assert_eq!(claim.claimed_at, h.clock.now());
}

pub(super) async fn a_claimed_step_is_in_progress_under_its_lease(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(step.state, StepState::InProgress);
    assert_eq!((step.attempts, step.run), (1, RunNo(1)));
    assert_eq!(step.started_at, Some(h.clock.now()));
    assert!(!step.queued);
    let lease = step.lease.unwrap();
    assert_eq!((lease.worker, lease.token), (h.worker(), claim.lease.token));
    assert_eq!(lease.until, h.clock.now().plus(Harness::LEASE));
    let start = h.history(task).await.pop().unwrap();
    let Change::Step {
        event: StepEvent::Start,
        handler_version,
        ..
    } = start.change
    else {
        panic!("{start:?}")
    };
    assert_eq!(handler_version, Some(Version::new(1, 0, 0)));
    assert_eq!(start.metadata, None);
}

pub(super) async fn a_second_claim_is_empty(h: &Harness) {
    h.create(pair()).await;
    assert_eq!(h.claim(9).await.len(), 2);
    let other = Turn::new(h.another_worker(), Vec::new(), h.want(9));
    assert!(h.store.turn(other).await.unwrap().claims.is_empty());
}

pub(super) async fn claims_stop_at_the_limit(h: &Harness) {
    let task = h.create(pair()).await;
    assert_eq!(claimed(h, 1).await, [(task, A)]);
    assert_eq!(claimed(h, 9).await, [(task, B)]);
}

pub(super) async fn a_limit_of_zero_claims_nothing(h: &Harness) {
    let task = h.create(pair()).await;
    assert!(claimed(h, 0).await.is_empty());
    assert_eq!(h.look(task).await, "pending: pending pending");
}

pub(super) async fn higher_priority_is_claimed_first(h: &Harness) {
    let low = create_with_priority(h, -1).await;
    let high = create_with_priority(h, 5).await;
    let middle = create_with_priority(h, 0).await;
    for task in [high, middle, low] {
        assert_eq!(claimed(h, 1).await, [(task, A)]);
    }
}

pub(super) async fn the_older_task_is_claimed_first(h: &Harness) {
    // Their ids begin with the same millisecond and go on at random, so their order is not that of creation.
    let mut tasks = Vec::new();
    for _ in 0..6 {
        tasks.push(h.create(shapes::single()).await);
    }
    for task in tasks {
        assert_eq!(claimed(h, 1).await, [(task, A)]);
    }
}

pub(super) async fn the_lower_step_number_is_claimed_first(h: &Harness) {
    let task = h.create(shapes::parallel_merge()).await;
    for step in 0..4 {
        assert_eq!(claimed(h, 1).await, [(task, StepNo(step))]);
    }
}

pub(super) async fn claims_are_told_in_the_order_of_tasks_and_steps(h: &Harness) {
    let first = h.create(pair()).await;
    let second = create_with_priority(h, 9).await;
    assert_eq!(claimed(h, 9).await, [(first, A), (first, B), (second, A)]);
}

pub(super) async fn a_new_priority_moves_queued_steps(h: &Harness) {
    let first = h.create(shapes::single()).await;
    let second = h.create(shapes::single()).await;
    h.demand(second, Demand::SetPriority(1)).await;
    assert_eq!(h.snapshot(second).await.task.priority, 1);
    assert_eq!(claimed(h, 1).await, [(second, A)]);
    assert_eq!(claimed(h, 1).await, [(first, A)]);
}

pub(super) async fn a_step_is_left_for_a_worker_that_has_its_handler(h: &Harness) {
    let task = h.create(two_handlers()).await;
    let right = Arc::new(Only::these(["right"], Version::new(2, 1, 0)));
    assert_eq!(
        claim_as(
            h,
            Want {
                accepts: right,
                ..h.want(9)
            }
        )
        .await,
        [(task, B)]
    );
    let start = h.history(task).await.pop().unwrap();
    let Change::Step { handler_version, .. } = start.change else {
        panic!("{start:?}")
    };
    assert_eq!(handler_version, Some(Version::new(2, 1, 0)));
    let neither = Arc::new(Only::these(["neither"], Version::new(1, 0, 0)));
    assert!(
        claim_as(
            h,
            Want {
                accepts: neither,
                ..h.want(9)
            }
        )
        .await
        .is_empty()
    );
    assert_eq!(claimed(h, 9).await, [(task, A)]);
}

pub(super) async fn a_worker_is_handed_only_tasks_in_its_scope(h: &Harness) {
    let first = h.create(pair()).await;
    let second = h.create(pair()).await;
    let scope = Scope::Task(second);
    assert_eq!(
        claim_as(h, Want { scope, ..h.want(9) }).await,
        [(second, A), (second, B)]
    );
    assert_eq!(h.look(first).await, "pending: pending pending");
}

pub(super) async fn the_first_claim_starts_the_task(h: &Harness) {
    let task = h.create(fork()).await;
    h.pass(3);
    let claim = h.claim_one().await;
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.state, TaskState::InProgress);
    assert_eq!(snapshot.task.started_at, Some(h.clock.now()));
    h.pass(3);
    h.turn(vec![succeed(&claim)], 9).await;
    assert_eq!(h.snapshot(task).await.task.started_at, snapshot.task.started_at);
    let starts = h.history(task).await;
    let starts = starts.iter().filter(|entry| {
        matches!(
            entry.change,
            Change::Task {
                event: TaskEvent::Start,
                ..
            }
        )
    });
    assert_eq!(starts.count(), 1);
}

pub(super) async fn the_next_due_time_is_that_of_the_earliest_step_in_scope(h: &Harness) {
    let first = h.create(shapes::single()).await;
    let second = h.create(shapes::single()).await;
    let claims = h.claim(9).await;
    let outcomes = claims
        .iter()
        .zip([7, 4])
        .map(|(claim, wait)| fail(claim, Duration::from_secs(wait)));
    let reply = h.turn(outcomes.collect(), 9).await;
    assert_eq!(reply.next_due_in, Some(Duration::from_secs(4)));
    h.pass(1);
    let within_first = Want {
        scope: Scope::Task(first),
        ..h.want(9)
    };
    let reply = h
        .store
        .turn(Turn::new(h.worker(), Vec::new(), within_first))
        .await
        .unwrap();
    assert_eq!(reply.next_due_in, Some(Duration::from_secs(6)));
    h.demand(second, Demand::CancelTask).await;
    assert_eq!(
        h.turn(Vec::new(), 9).await.next_due_in,
        Some(Duration::from_secs(6))
    );
    h.demand(first, Demand::CancelTask).await;
    assert_eq!(h.turn(Vec::new(), 9).await.next_due_in, None);
}

pub(super) async fn the_next_due_time_leaves_out_what_the_worker_cannot_run(h: &Harness) {
    h.create(two_handlers()).await;
    let claims = h.claim(9).await;
    let outcomes = claims
        .iter()
        .zip([7, 4])
        .map(|(claim, wait)| fail(claim, Duration::from_secs(wait)));
    h.turn(outcomes.collect(), 0).await;
    let left = Arc::new(Only::these(["left"], Version::new(1, 0, 0)));
    let turn = Turn::new(
        h.worker(),
        Vec::new(),
        Want {
            accepts: left,
            ..h.want(9)
        },
    );
    assert_eq!(
        h.store.turn(turn).await.unwrap().next_due_in,
        Some(Duration::from_secs(7))
    );
}
