//! Cancelling: what was cancelled stays so, and what ended before it stays ended.

use tasker_engine::Demand;
use tasker_testkit::{fail_permanently, interrupt, release, shapes, succeed};

use super::racing::{Act, Scene, advance, begin, check, step};

#[test]
fn a_running_step_ends_or_is_cancelled() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            let left = Act::Report(vec![succeed(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::CancelStep(step(0))),
            }
        },
        "Recorded | event `cancel` is illegal in state `complete` | in_progress: complete pending",
        "Late | done | error: cancelled pending",
    );
}

#[test]
fn a_task_completes_or_is_cancelled() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            let left = Act::Report(vec![succeed(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "Recorded | event `cancel` is illegal in state `complete` | complete: complete",
        "Late | done | cancelled: cancelled",
    );
}

#[test]
fn a_task_fails_before_it_is_cancelled_or_does_not() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            let left = Act::Report(vec![fail_permanently(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "Recorded | done | cancelled: cancelled cancelled",
        "Late | done | cancelled: cancelled cancelled",
    );
}

#[test]
fn a_claim_is_cancelled_or_never_made() {
    check(
        async |harness| {
            let task = harness.create(shapes::linear(2)).await;
            Scene {
                task,
                left: Act::Turn(Vec::new()),
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "claims [initialize_data] | done | cancelled: cancelled cancelled",
        "claims [] | done | cancelled: cancelled cancelled",
    );
}

#[test]
fn a_step_given_back_is_cancelled_all_the_same() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            let left = Act::Report(vec![release(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "Recorded | done | cancelled: cancelled",
        "Late | done | cancelled: cancelled",
    );
}

#[test]
fn an_interrupted_step_is_cancelled_all_the_same() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            let left = Act::Report(vec![interrupt(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "Recorded | done | cancelled: cancelled",
        "Late | done | cancelled: cancelled",
    );
}

#[test]
fn a_task_is_cancelled_once() {
    check(
        async |harness| {
            let (task, _) = begin(harness, shapes::diamond()).await;
            Scene {
                task,
                left: Act::Demand(Demand::CancelTask),
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "done | event `cancel` is illegal in state `cancelled` | \
         cancelled: cancelled cancelled cancelled cancelled cancelled cancelled cancelled",
        "event `cancel` is illegal in state `cancelled` | done | \
         cancelled: cancelled cancelled cancelled cancelled cancelled cancelled cancelled",
    );
}

#[test]
fn a_step_of_a_cancelled_task_is_not_reset() {
    check(
        async |harness| {
            let task = harness.create(shapes::linear(2)).await;
            harness.demand(task, Demand::CancelStep(step(1))).await;
            Scene {
                task,
                left: Act::Demand(Demand::ResetStep(step(1))),
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "done | done | cancelled: cancelled cancelled",
        "event `reset` is illegal in state `cancelled` | done | cancelled: cancelled cancelled",
    );
}

#[test]
fn a_cancelled_step_is_reset_or_resolved() {
    check(
        async |harness| {
            let task = harness.create(shapes::linear(2)).await;
            harness.demand(task, Demand::CancelStep(step(1))).await;
            let left = Act::Demand(Demand::ResetStep(step(1)));
            Scene {
                task,
                left,
                right: Act::Demand(Demand::ResolveStep(step(1), None)),
            }
        },
        "done | done | pending: pending resolved_manually",
        "event `reset` is illegal in state `resolved_manually` | done | pending: pending resolved_manually",
    );
}

#[test]
fn a_cancelled_last_step_blocks_the_task_when_the_one_before_it_ends() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            let left = Act::Demand(Demand::CancelStep(step(1)));
            Scene {
                task,
                left,
                right: Act::Report(vec![succeed(&claims[0])]),
            }
        },
        "done | Recorded | error: complete cancelled",
        "done | Recorded | error: complete cancelled",
    );
}

#[test]
fn a_reset_brings_a_task_back_that_a_cancelled_step_blocked() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            harness.demand(task, Demand::CancelStep(step(1))).await;
            let left = Act::Demand(Demand::ResetStep(step(1)));
            Scene {
                task,
                left,
                right: Act::Report(vec![succeed(&claims[0])]),
            }
        },
        "done | Recorded | in_progress: complete pending",
        "done | Recorded | in_progress: complete pending",
    );
}

#[test]
fn a_task_in_error_is_retried_or_cancelled() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            Scene {
                task,
                left: Act::Demand(Demand::RetryTask),
                right: Act::Demand(Demand::CancelTask),
            }
        },
        "done | done | cancelled: cancelled",
        "event `resume` is illegal in state `cancelled` | done | cancelled: cancelled",
    );
}
