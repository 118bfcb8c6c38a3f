//! Failures, retries, and tasks that can no longer progress.

use std::time::Duration;

use tasker_engine::{Change, Claim, Clock, Demand, Failure, FailureReason, Outcome, StepEvent};
use tasker_types::{RunNo, StepState, TaskId, TaskState};

use super::{A, B, C, fork, limited, once, pair};
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

const AT_ONCE: Duration = Duration::ZERO;

/// Asserts that a task is in error, since now and for its steps.
async fn failed(h: &Harness, task: TaskId) {
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.state, TaskState::Error);
    assert_eq!(snapshot.task.failure, Some(FailureReason::StepsInErrorState));
    assert_eq!(snapshot.task.finished_at, Some(h.clock.now()));
    assert_eq!(snapshot.task.next_check_at, None);
    assert_eq!(snapshot.task.live_steps, 0);
    assert!(snapshot.steps.iter().all(|step| !step.queued));
}

/// Returns the claims of `b` and `c` of a fork whose `a` is done.
async fn branches(h: &Harness) -> (TaskId, Vec<Claim>) {
    let task = h.create(fork()).await;
    let claim = h.claim_one().await;
    (task, h.turn(vec![succeed(&claim)], 9).await.claims)
}

pub(super) async fn a_retry_waits_for_its_time(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let wait = Duration::from_secs(5);
    let reply = h.turn(vec![fail(&claim, wait)], 9).await;
    assert!(reply.claims.is_empty());
    assert_eq!(reply.next_due_in, Some(wait));
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(step.state, StepState::Error);
    assert_eq!(step.next_retry_at, Some(h.clock.now().plus(wait)));
    assert!(step.queued);
    h.clock.advance(wait - Duration::from_micros(1));
    assert!(h.claim(9).await.is_empty());
    h.clock.advance(Duration::from_micros(1));
    assert_eq!(h.claim_one().await.attempt, 2);
}

pub(super) async fn a_retry_without_a_wait_is_ready_at_once(h: &Harness) {
    h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let claims = h.turn(vec![fail(&claim, AT_ONCE)], 9).await.claims;
    assert_eq!((claims[0].attempt, claims[0].lease.run), (2, RunNo(2)));
}

pub(super) async fn attempts_and_runs_count_up(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let mut claim = h.claim_one().await;
    for attempt in 1..3 {
        assert_eq!((claim.attempt, claim.lease.run), (attempt, RunNo(attempt)));
        assert!(!claim.is_last_attempt());
        claim = h.turn(vec![fail(&claim, AT_ONCE)], 9).await.claims.remove(0);
    }
    assert!(claim.is_last_attempt());
    h.end(succeed(&claim)).await;
    let life = [
        (StepEvent::Start, StepState::InProgress, 1, 1),
        (StepEvent::Fail, StepState::Error, 1, 1),
        (StepEvent::Start, StepState::InProgress, 2, 2),
        (StepEvent::Fail, StepState::Error, 2, 2),
        (StepEvent::Start, StepState::InProgress, 3, 3),
        (StepEvent::Succeed, StepState::Complete, 3, 3),
    ];
    assert_eq!(h.life(task, A).await, life);
}

pub(super) async fn a_failure_is_kept_with_the_step_and_in_the_history(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, AT_ONCE)).await;
    let step = h.snapshot(task).await.steps.remove(0);
    let failure = step.failure.unwrap();
    assert_eq!(failure.code, "flaky");
    assert_eq!(step.finished_at, Some(h.clock.now()));
    let entry = h.history(task).await.pop().unwrap();
    assert!(matches!(
        entry.change,
        Change::Step {
            event: StepEvent::Fail,
            ..
        }
    ));
    assert_eq!(entry.metadata.unwrap().to::<Failure>().unwrap(), failure);
}

pub(super) async fn a_permanent_failure_is_not_tried_again(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    let reply = h.turn(vec![fail_permanently(&claim)], 9).await;
    assert!(reply.claims.is_empty());
    assert_eq!(reply.next_due_in, None);
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    failed(h, task).await;
    let step = h.snapshot(task).await.steps.remove(0);
    assert!(step.permanent);
    assert_eq!(step.next_retry_at, None);
}

pub(super) async fn an_exhausted_step_is_not_tried_again(h: &Harness) {
    let task = h.create(limited(2)).await;
    let claim = h.claim_one().await;
    let second = h.turn(vec![fail(&claim, AT_ONCE)], 9).await.claims.remove(0);
    let reply = h.turn(vec![fail(&second, AT_ONCE)], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    failed(h, task).await;
    let step = h.snapshot(task).await.steps.remove(0);
    assert_eq!(
        (step.attempts, step.permanent, step.next_retry_at),
        (2, false, None)
    );
}

pub(super) async fn a_step_that_may_not_retry_runs_once(h: &Harness) {
    let task = h.create(once()).await;
    let claim = h.claim_one().await;
    assert!(claim.is_last_attempt());
    let reply = h.turn(vec![fail(&claim, AT_ONCE)], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    failed(h, task).await;
}

pub(super) async fn a_step_that_fails_and_then_succeeds_completes_its_task(h: &Harness) {
    let task = h.create(shapes::linear(3)).await;
    let claim = h.claim_one().await;
    let again = h.turn(vec![fail(&claim, AT_ONCE)], 9).await.claims.remove(0);
    let next = h.turn(vec![succeed(&again)], 9).await.claims;
    h.turn(next.iter().map(succeed).collect(), 0).await;
    h.run_ready().await;
    assert_eq!(h.look(task).await, "complete: complete complete complete");
}

pub(super) async fn an_exhausted_step_takes_no_retries_from_its_siblings(h: &Harness) {
    let task = h.create(pair()).await;
    let claims = h.claim(9).await;
    let waiting = fail(&claims[1], Duration::from_secs(9));
    let reply = h.turn(vec![fail_permanently(&claims[0]), waiting], 9).await;
    assert!(reply.finished.is_empty());
    assert_eq!(h.look(task).await, "in_progress: error error");
    h.pass(9);
    let again = h.claim_one().await;
    assert_eq!(again.lease.step, B);
    assert_eq!(
        h.turn(vec![succeed(&again)], 9).await.finished,
        [(task, TaskState::Error)]
    );
}

pub(super) async fn a_task_fails_when_its_last_running_step_succeeds(h: &Harness) {
    let (task, claims) = branches(h).await;
    assert!(
        h.turn(vec![fail_permanently(&claims[0])], 9)
            .await
            .finished
            .is_empty()
    );
    assert_eq!(h.state(task).await, TaskState::InProgress);
    let reply = h.turn(vec![succeed(&claims[1])], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    failed(h, task).await;
    assert_eq!(h.look(task).await, "error: complete error complete pending");
}

pub(super) async fn a_task_fails_when_its_last_running_step_fails(h: &Harness) {
    let (task, claims) = branches(h).await;
    assert!(h.turn(vec![succeed(&claims[1])], 9).await.finished.is_empty());
    let reply = h.turn(vec![fail_permanently(&claims[0])], 9).await;
    assert_eq!(reply.finished, [(task, TaskState::Error)]);
    failed(h, task).await;
}

pub(super) async fn a_task_fails_in_the_turn_that_brings_both_ends(h: &Harness) {
    for swapped in [[0, 1], [1, 0]] {
        let (task, claims) = branches(h).await;
        let end = |index: usize| -> Outcome {
            if index == 0 {
                fail_permanently(&claims[0])
            } else {
                succeed(&claims[1])
            }
        };
        let reply = h.turn(swapped.map(end).to_vec(), 9).await;
        assert_eq!(reply.finished, [(task, TaskState::Error)]);
        failed(h, task).await;
    }
}

pub(super) async fn children_of_a_failed_step_stay_pending(h: &Harness) {
    let (task, claims) = branches(h).await;
    h.turn(vec![fail_permanently(&claims[0]), succeed(&claims[1])], 9)
        .await;
    let last = h.snapshot(task).await.steps.pop().unwrap();
    assert_eq!(
        (last.state, last.unmet_parents, last.run),
        (StepState::Pending, 1, RunNo(0))
    );
    assert_eq!(
        h.results(task)
            .await
            .iter()
            .map(|(step, _)| *step)
            .collect::<Vec<_>>(),
        [A, C]
    );
}

pub(super) async fn a_task_in_error_hands_nothing_out(h: &Harness) {
    let template = shapes::graph("two", &[("a", ""), ("b", "a")]);
    let task = h.create(template).await;
    let claim = h.claim_one().await;
    h.end(fail_permanently(&claim)).await;
    h.pass(1_000);
    let reply = h.turn(Vec::new(), 9).await;
    assert!(reply.claims.is_empty());
    assert_eq!(reply.next_due_in, None);
    h.demand(task, Demand::ResolveStep(A, None)).await;
    assert_eq!(h.claim_one().await.lease.step, B);
}
