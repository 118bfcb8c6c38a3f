//! A task that can no longer progress is noticed by whatever makes it so.

use tasker_engine::{Demand, StepBuilder, Template};
use tasker_testkit::{fail, fail_permanently, shapes, succeed};
use tasker_types::TaskState;

use super::racing::{Act, Scene, advance, begin, check, step};

fn two() -> std::sync::Arc<Template> {
    shapes::graph("two", &[("a", ""), ("b", "")])
}

#[test]
fn the_last_success_beside_a_final_failure_fails_the_task() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, two()).await;
            let left = Act::Report(vec![fail_permanently(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Report(vec![succeed(&claims[1])]),
            }
        },
        "Recorded | Recorded | error: error complete",
        "Recorded | Recorded | error: error complete",
    );
}

#[test]
fn two_last_failures_fail_the_task_once() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, two()).await;
            let left = Act::Report(vec![fail_permanently(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Report(vec![fail_permanently(&claims[1])]),
            }
        },
        "Recorded | Recorded | error: error error",
        "Recorded | Recorded | error: error error",
    );
}

#[test]
fn a_step_in_backoff_keeps_the_task_going_beside_a_final_failure() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, two()).await;
            let left = Act::Report(vec![fail_permanently(&claims[0])]);
            let right = Act::Report(vec![fail(&claims[1], std::time::Duration::from_secs(60))]);
            Scene { task, left, right }
        },
        "Recorded | Recorded | in_progress: error error",
        "Recorded | Recorded | in_progress: error error",
    );
}

#[test]
fn a_cancelled_parent_blocks_the_task_when_its_sibling_ends() {
    check(
        async |harness| {
            let template = shapes::graph("join", &[("a", ""), ("b", ""), ("c", "a b")]);
            let (task, claims) = begin(harness, template).await;
            let left = Act::Demand(Demand::CancelStep(step(0)));
            Scene {
                task,
                left,
                right: Act::Turn(vec![succeed(&claims[1])]),
            }
        },
        "done | claims [] | error: cancelled complete pending",
        "done | claims [] | error: cancelled complete pending",
    );
}

#[test]
fn the_last_failure_and_the_resolution_of_another_error_end_alike() {
    // The failure of `b` ends the task in error; resolving `a` alone does not make it go on.
    check(
        async |harness| {
            let (task, claims) = begin(harness, two()).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            let left = Act::Report(vec![fail_permanently(&claims[1])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::ResolveStep(step(0), None)),
            }
        },
        "Recorded | done | error: resolved_manually error",
        "Recorded | done | error: resolved_manually error",
    );
}

#[test]
fn the_last_success_and_the_resolution_of_an_error_complete_the_task() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, two()).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            let left = Act::Report(vec![succeed(&claims[1])]);
            Scene {
                task,
                left,
                right: Act::Demand(Demand::ResolveStep(step(0), None)),
            }
        },
        "Recorded | done | complete: resolved_manually complete",
        "Recorded | done | complete: resolved_manually complete",
    );
}

#[test]
fn both_parents_at_once_start_their_child_once() {
    for template in [
        shapes::graph("join", &[("a", ""), ("b", ""), ("c", "a b")]),
        Template::builder("join")
            .step(StepBuilder::new("a", "any"))
            .step(StepBuilder::new("b", "any"))
            .step(
                StepBuilder::new("c", "any")
                    .depends_on(["a", "b"])
                    .not_retryable(),
            )
            .build()
            .unwrap(),
    ] {
        check(
            async |harness| {
                let (task, claims) = begin(harness, std::sync::Arc::clone(&template)).await;
                let left = Act::Turn(vec![succeed(&claims[0])]);
                Scene {
                    task,
                    left,
                    right: Act::Turn(vec![succeed(&claims[1])]),
                }
            },
            "claims [] | claims [c] | in_progress: complete complete in_progress",
            "claims [c] | claims [] | in_progress: complete complete in_progress",
        );
    }
}

#[test]
fn a_deadline_and_the_last_success_do_not_both_end_the_task() {
    check(
        async |harness| {
            let mut new = harness.new_task(shapes::single());
            new.deadline_at = Some(tasker_engine::Clock::now(&harness.clock));
            let task = new.id;
            harness.create_all(vec![new]).await;
            let claims = super::racing::claim(harness, task).await;
            let left = Act::Report(vec![succeed(&claims[0])]);
            Scene {
                task,
                left,
                right: Act::Sweep,
            }
        },
        "Recorded | swept | complete: complete",
        // The result of the step is kept, but the task was over.
        "Recorded | swept | error: complete",
    );
}

#[test]
fn a_higher_limit_and_the_deadline_of_a_lease_end_alike() {
    // The step is in progress until the sweep ends its lease, and then may be tried again or not.
    check(
        async |harness| {
            let template = Template::builder("once")
                .step(StepBuilder::new("only", "any").retry_limit(1))
                .build()
                .unwrap();
            let (task, claims) = begin(harness, template).await;
            assert_eq!(claims.len(), 1);
            harness.pass(31);
            let left = Act::Sweep;
            Scene {
                task,
                left,
                right: Act::Demand(Demand::SetRetryLimit(step(0), 2)),
            }
        },
        "swept | done | in_progress: error",
        "swept | the step is in progress | error: error",
    );
}

#[test]
fn an_outcome_after_the_lease_is_lost_whoever_notices_first() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            harness.pass(31);
            Scene {
                task,
                left: Act::Sweep,
                right: Act::Report(vec![succeed(&claims[0])]),
            }
        },
        "swept | LeaseLost | in_progress: error",
        "swept | LeaseLost | in_progress: error",
    );
}

#[tokio::test]
async fn the_reason_says_what_blocks_the_task() {
    for kind in tests::StoreKind::ALL {
        let harness = super::racing::harness(*kind);
        let (task, claims) = begin(&harness, two()).await;
        advance(
            &harness,
            task,
            vec![fail_permanently(&claims[0]), succeed(&claims[1])],
        )
        .await;
        let snapshot = harness.snapshot(task).await;
        assert_eq!(snapshot.task.state, TaskState::Error);
        assert_eq!(
            snapshot.task.failure,
            Some(tasker_engine::FailureReason::StepsInErrorState)
        );

        let (task, claims) = begin(&harness, two()).await;
        harness.demand(task, Demand::CancelStep(step(0))).await;
        advance(&harness, task, vec![succeed(&claims[1])]).await;
        let snapshot = harness.snapshot(task).await;
        assert_eq!(
            snapshot.task.failure,
            Some(tasker_engine::FailureReason::StepsCancelled)
        );
    }
}
