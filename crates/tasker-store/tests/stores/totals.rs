//! What a store counts, beside what its tasks say.

use std::time::Duration;

use tasker_engine::{Demand, Totals};
use tasker_testkit::{Harness, fail, fail_permanently, shapes, succeed};
use tasker_types::StepNo;

/// Has tasks and steps in every state, and steps in error of every kind, and returns how many there are.
pub(crate) async fn scene(h: &Harness) -> Totals {
    let mut tasks = Vec::new();
    for _ in 0..9 {
        tasks.push(h.create(shapes::diamond()).await);
    }
    let claims = h.claim(8).await;
    assert_eq!(claims.len(), 8);
    let wait = Duration::from_secs(60);
    let outcomes = vec![
        succeed(&claims[0]),
        fail_permanently(&claims[1]),
        fail(&claims[2], wait),
        fail(&claims[3], Duration::ZERO),
        fail_permanently(&claims[4]),
        fail_permanently(&claims[5]),
        succeed(&claims[6]),
    ];
    h.turn(outcomes, 0).await;
    let limit = Demand::SetRetryLimit(StepNo(0), 1);
    h.demand(tasks[1], limit).await;
    h.demand(tasks[4], Demand::ResolveTask).await;
    h.demand(tasks[6], Demand::CancelTask).await;
    h.pass(1);
    let mut totals = Totals::default();
    for task in tasks {
        totals.count(&h.snapshot(task).await);
    }
    let (tasks, steps, retries, queue) = (totals.tasks, totals.steps, totals.retries, totals.queue);
    assert_eq!((tasks.total(), steps.total()), (9, 63));
    assert!(
        tasks.pending > 0 && tasks.in_progress > 0 && tasks.error > 0,
        "{totals:?}"
    );
    assert!(tasks.cancelled > 0 && tasks.resolved_manually > 0, "{totals:?}");
    assert!(
        steps.complete > 0 && steps.cancelled > 0 && steps.in_progress > 0,
        "{totals:?}"
    );
    assert!(
        retries.exhausted > 0 && retries.permanent > 0 && retries.in_backoff > 0,
        "{totals:?}"
    );
    assert!(retries.retryable > retries.in_backoff, "{totals:?}");
    assert!(queue.due > 0 && queue.waiting > 0, "{totals:?}");
    assert_eq!(
        retries.retryable + retries.exhausted + retries.permanent,
        steps.error
    );
    totals
}
