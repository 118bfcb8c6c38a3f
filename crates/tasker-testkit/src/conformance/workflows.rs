//! Whole workflows.

use std::sync::Arc;
use std::time::Duration;

use tasker_engine::{Entropy, SeededEntropy, Template, Turn};
use tasker_types::{RunNo, TaskState};

use crate::harness::Harness;
use crate::outcome::{fail, interrupt, release, succeed};
use crate::shapes;

/// Runs a workflow without failures: every step once.
async fn runs(h: &Harness, template: Arc<Template>) {
    let task = h.create(template).await;
    h.run_ready().await;
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.state, TaskState::Complete);
    assert!(snapshot.steps.iter().all(|step| step.run == RunNo(1)));
    assert_eq!(h.results(task).await.len(), snapshot.steps.len());
}

pub(super) async fn linear_runs_to_its_end(h: &Harness) {
    runs(h, shapes::linear(6)).await;
}

pub(super) async fn diamond_runs_to_its_end(h: &Harness) {
    runs(h, shapes::diamond()).await;
}

pub(super) async fn tree_runs_to_its_end(h: &Harness) {
    runs(h, shapes::tree()).await;
}

pub(super) async fn parallel_merge_runs_to_its_end(h: &Harness) {
    runs(h, shapes::parallel_merge()).await;
}

pub(super) async fn mixed_runs_to_its_end(h: &Harness) {
    runs(h, shapes::mixed()).await;
}

pub(super) async fn a_wide_workflow_runs_to_its_end(h: &Harness) {
    runs(h, shapes::wide(200)).await;
}

pub(super) async fn a_chain_runs_to_its_end(h: &Harness) {
    runs(h, shapes::chain(100)).await;
}

pub(super) async fn random_workflows_run_to_their_end(h: &Harness) {
    for seed in 0..10 {
        runs(h, shapes::random(seed, 25)).await;
    }
}

pub(super) async fn two_workers_share_a_workflow(h: &Harness) {
    let entropy = SeededEntropy::new(3);
    let task = h.create(shapes::wide(30)).await;
    let workers = [h.worker(), h.another_worker()];
    let mut held = [Vec::new(), Vec::new()];
    for _ in 0..500 {
        let index = (entropy.next_u64() % 2) as usize;
        let outcomes = std::mem::take(&mut held[index]);
        let turn = Turn::new(workers[index], outcomes, h.want(3));
        let claims = h.store.turn(turn).await.unwrap().claims;
        held[index] = claims
            .iter()
            .map(|claim| match entropy.next_u64() % 8 {
                0 if !claim.is_last_attempt() => fail(claim, Duration::ZERO),
                1 if !claim.is_last_attempt() => interrupt(claim),
                2 => release(claim),
                _ => succeed(claim),
            })
            .collect();
    }
    assert_eq!(h.state(task).await, TaskState::Complete);
}
