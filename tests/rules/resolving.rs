//! Resolving and bypassing steps: what a person did counts as done, in whatever order it is done.

use tasker_engine::{Demand, Json, StepBuilder, Template};
use tasker_testkit::{fail_permanently, shapes, succeed};

use super::racing::{Act, Scene, advance, begin, check, claim, harness, step};

#[test]
fn the_last_step_resolved_before_its_parent_ends() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            let left = Act::Demand(Demand::ResolveStep(step(1), None));
            Scene {
                task,
                left,
                right: Act::Turn(vec![succeed(&claims[0])]),
            }
        },
        "done | claims [] | complete: complete resolved_manually",
        "event `resolve` is illegal in state `in_progress` | claims [validate_input] | in_progress: complete in_progress",
    );
}

#[test]
fn the_last_step_resolved_while_its_parent_ends_and_nobody_claims() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            let left = Act::Demand(Demand::ResolveStep(step(1), None));
            Scene {
                task,
                left,
                right: Act::Report(vec![succeed(&claims[0])]),
            }
        },
        "done | Recorded | complete: complete resolved_manually",
        "done | Recorded | complete: complete resolved_manually",
    );
}

#[test]
fn a_ready_step_is_claimed_or_resolved() {
    check(
        async |harness| {
            let task = harness.create(shapes::linear(2)).await;
            let left = Act::Demand(Demand::ResolveStep(step(0), None));
            Scene {
                task,
                left,
                right: Act::Turn(Vec::new()),
            }
        },
        "done | claims [validate_input] | in_progress: resolved_manually in_progress",
        "event `resolve` is illegal in state `in_progress` | claims [initialize_data] | in_progress: in_progress pending",
    );
}

#[test]
fn a_step_is_resolved_once() {
    check(
        async |harness| {
            let task = harness.create(shapes::linear(2)).await;
            let by = |text: &str| {
                let result = Json::from(&serde_json::json!(text));
                Act::Demand(Demand::ResolveStep(step(0), Some(result)))
            };
            Scene {
                task,
                left: by("left"),
                right: by("right"),
            }
        },
        "done | event `resolve` is illegal in state `resolved_manually` | pending: resolved_manually pending",
        "event `resolve` is illegal in state `resolved_manually` | done | pending: resolved_manually pending",
    );
}

#[test]
fn an_error_is_reset_or_resolved() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            let left = Act::Demand(Demand::ResetStep(step(0)));
            Scene {
                task,
                left,
                right: Act::Demand(Demand::ResolveStep(step(0), None)),
            }
        },
        // A step that was reset is pending, and may be resolved too.
        "done | done | complete: resolved_manually",
        "event `reset` is illegal in state `resolved_manually` | done | complete: resolved_manually",
    );
}

#[test]
fn an_error_is_reset_once() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::single()).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            let reset = || Act::Demand(Demand::ResetStep(step(0)));
            Scene {
                task,
                left: reset(),
                right: reset(),
            }
        },
        "done | event `reset` is illegal in state `pending` | in_progress: pending",
        "event `reset` is illegal in state `pending` | done | in_progress: pending",
    );
}

#[test]
fn a_task_in_error_is_retried_or_resolved() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::linear(2)).await;
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            Scene {
                task,
                left: Act::Demand(Demand::RetryTask),
                right: Act::Demand(Demand::ResolveTask),
            }
        },
        "done | event `resolve` is illegal in state `in_progress` | in_progress: pending pending",
        "event `resume` is illegal in state `resolved_manually` | done | resolved_manually: cancelled cancelled",
    );
}

#[test]
fn two_errors_resolved_at_once_complete_the_task() {
    check(
        async |harness| {
            let (task, claims) = begin(harness, shapes::graph("two", &[("a", ""), ("b", "")])).await;
            advance(harness, task, claims.iter().map(fail_permanently).collect()).await;
            let resolve = |number| Act::Demand(Demand::ResolveStep(step(number), None));
            Scene {
                task,
                left: resolve(0),
                right: resolve(1),
            }
        },
        "done | done | complete: resolved_manually resolved_manually",
        "done | done | complete: resolved_manually resolved_manually",
    );
}

#[test]
fn two_parents_resolved_at_once_free_their_child_once() {
    check(
        async |harness| {
            let template = shapes::graph("join", &[("a", ""), ("b", ""), ("c", "a b")]);
            let (task, claims) = begin(harness, template).await;
            advance(harness, task, claims.iter().map(fail_permanently).collect()).await;
            let resolve = |number| Act::Demand(Demand::ResolveStep(step(number), None));
            Scene {
                task,
                left: resolve(0),
                right: resolve(1),
            }
        },
        "done | done | in_progress: resolved_manually resolved_manually pending",
        "done | done | in_progress: resolved_manually resolved_manually pending",
    );
}

#[test]
fn a_bypassed_step_and_a_resolved_one_leave_the_rest_to_complete() {
    check(
        async |harness| {
            let template = Template::builder("bypassed")
                .step(StepBuilder::new("a", "any").skippable())
                .step(StepBuilder::new("b", "any").depends_on(["a"]))
                .step(StepBuilder::new("c", "any").depends_on(["a"]))
                .build()
                .unwrap();
            let mut new = harness.new_task(template);
            new.bypass = vec![step(0)];
            let task = new.id;
            harness.create_all(vec![new]).await;
            let claims = claim(harness, task).await;
            assert_eq!(claims.len(), 2);
            advance(harness, task, vec![fail_permanently(&claims[0])]).await;
            let left = Act::Demand(Demand::ResolveStep(step(1), None));
            Scene {
                task,
                left,
                right: Act::Report(vec![succeed(&claims[1])]),
            }
        },
        "done | Recorded | complete: resolved_manually resolved_manually complete",
        "done | Recorded | complete: resolved_manually resolved_manually complete",
    );
}

#[tokio::test]
async fn steps_resolved_from_the_last_to_the_first_complete_the_task_with_the_first() {
    for kind in tests::StoreKind::ALL {
        let harness = harness(*kind);
        let task = harness.create(shapes::diamond()).await;
        for number in (1..7).rev() {
            harness
                .demand(task, Demand::ResolveStep(step(number), None))
                .await;
            assert_eq!(
                harness.state(task).await.as_str(),
                "pending",
                "step {number} on {kind}"
            );
        }
        harness.run_ready().await;
        assert_eq!(harness.state(task).await.as_str(), "complete", "on {kind}");
        harness.verify().await;
    }
}

#[tokio::test]
async fn steps_resolved_in_every_order_complete_the_task_with_the_last() {
    let orders = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
    for kind in tests::StoreKind::ALL {
        let harness = harness(*kind);
        for order in orders {
            let task = harness.create(shapes::linear(3)).await;
            for number in order {
                assert_eq!(harness.state(task).await.as_str(), "pending");
                harness
                    .demand(task, Demand::ResolveStep(step(number), None))
                    .await;
            }
            assert_eq!(
                harness.state(task).await.as_str(),
                "complete",
                "{order:?} on {kind}"
            );
        }
        harness.verify().await;
    }
}
