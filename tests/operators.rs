//! What operators do to tasks that a worker is running, and when it shows.
//!
//! Every attempt takes a second. A step's name says how it goes: `fails…` fails for good, `flaky…` fails until an
//! operator changes its configuration, `hangs…` never ends by itself; the others succeed with their parents' results.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Change, Demand, Intervention, Json, NewTask, StepBuilder, StepContext, StepError, StepHandler,
    Template, handler,
};
use tasker_types::{Position, StepNo, TaskId, TaskState};
use tests::{StoreKind, Workshop};

fn by_name() -> Arc<dyn StepHandler> {
    handler(async |ctx: StepContext| {
        tokio::time::sleep(Duration::from_secs(1)).await;
        let name = ctx.step_name().as_str();
        if name.starts_with("fails") {
            return Err(StepError::permanent("broken", "it never works"));
        }
        if name.starts_with("flaky") && ctx.config()["mended"] != true {
            return Err(StepError::retryable("not yet"));
        }
        if name.starts_with("hangs") {
            return std::future::pending().await;
        }
        Ok(ctx.parents_object())
    })
}

fn template(steps: &[(&str, &[&str])]) -> Arc<Template> {
    let steps = steps.iter().map(|(name, parents)| {
        StepBuilder::new(*name, "any")
            .depends_on(parents.iter().copied())
            .skippable()
    });
    steps
        .fold(Template::builder("watched"), |builder, step| builder.step(step))
        .build()
        .unwrap()
}

/// Plays a scene on every store, each on a runtime of its own in virtual time.
fn play(scene: impl AsyncFn(&Workshop)) {
    for kind in StoreKind::ALL {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        runtime.block_on(async {
            let workshop = Workshop::open(*kind, by_name());
            scene(&workshop).await;
            workshop.close().await.unwrap();
        });
    }
}

async fn demand(workshop: &Workshop, task: TaskId, demand: Demand) {
    let intervention = Intervention::new(task, demand, Actor::User("ann".to_owned()));
    workshop.store.intervene(intervention).await.unwrap();
}

async fn after(seconds: f64) {
    tokio::time::sleep(Duration::from_secs_f64(seconds)).await;
}

#[track_caller]
fn same(timeline: &str, expected: &str) {
    let expected: String = expected
        .lines()
        .map(|line| format!("{}\n", line.trim()))
        .collect();
    assert_eq!(timeline, expected);
}

#[test]
fn a_branch_that_failed_for_good_lets_the_other_end_first() {
    play(async |workshop| {
        let steps = template(&[
            ("fails", &[]),
            ("a", &[]),
            ("b", &["a"]),
            ("end", &["fails", "b"]),
        ]);
        let task = workshop.create(steps).await.unwrap();
        let end = workshop.end(task).await.unwrap();
        assert_eq!(end.task.state, TaskState::Error);
        assert_eq!(
            end.task.finished_at.unwrap().since(end.task.created_at).as_secs(),
            2
        );
        same(
            &workshop.timeline(task).await.unwrap(),
            "fails: 0 start, 1 fail
             a: 0 start, 1 succeed
             b: 1 start, 2 succeed",
        );
    });
}

#[test]
fn a_step_resolved_while_others_run_lets_its_child_start_at_once() {
    play(async |workshop| {
        let steps = template(&[
            ("fails", &[]),
            ("a", &[]),
            ("b", &["a"]),
            ("end", &["fails", "b"]),
        ]);
        let task = workshop.create(steps).await.unwrap();
        after(1.5).await;
        let result = Some(Json::from(&json!("by hand")));
        demand(workshop, task, Demand::ResolveStep(StepNo(0), result)).await;
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Complete);
        same(
            &workshop.timeline(task).await.unwrap(),
            "fails: 0 start, 1 fail, 2 resolve
             a: 0 start, 1 succeed
             b: 1 start, 2 succeed
             end: 2 start, 3 succeed",
        );
        let results = workshop.store.results(task).await.unwrap();
        assert_eq!(
            results[3].1.to_value(),
            json!({ "fails": "by hand", "b": { "a": {} } })
        );
    });
}

#[test]
fn a_resolved_step_wakes_a_task_in_error() {
    play(async |workshop| {
        let task = workshop
            .create(template(&[("fails", &[]), ("end", &["fails"])]))
            .await
            .unwrap();
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Error);
        after(60.0).await;
        demand(workshop, task, Demand::ResolveStep(StepNo(0), None)).await;
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Complete);
        same(
            &workshop.timeline(task).await.unwrap(),
            "fails: 0 start, 1 fail, 61 resolve
             end: 61 start, 62 succeed",
        );
        assert_eq!(
            workshop.store.results(task).await.unwrap()[0].1.to_value(),
            json!({ "fails": null })
        );
    });
}

#[test]
fn a_mended_step_has_its_attempts_again_after_a_retry() {
    play(async |workshop| {
        let task = workshop
            .create(template(&[("flaky", &[]), ("end", &["flaky"])]))
            .await
            .unwrap();
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Error);
        after(10.0).await;
        demand(
            workshop,
            task,
            Demand::SetConfig(StepNo(0), Json::from(&json!({ "mended": true }))),
        )
        .await;
        demand(workshop, task, Demand::RetryTask).await;
        let end = workshop.end(task).await.unwrap();
        assert_eq!((end.task.state, end.steps[0].attempts), (TaskState::Complete, 1));
        same(
            &workshop.timeline(task).await.unwrap(),
            "flaky: 0 start, 1 fail, 2 start, 3 fail, 5 start, 6 fail, 16 reset, 16 start, 17 succeed
             end: 17 start, 18 succeed",
        );
    });
}

#[test]
fn a_higher_limit_gives_an_exhausted_step_another_attempt() {
    play(async |workshop| {
        let task = workshop.create(template(&[("flaky", &[])])).await.unwrap();
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Error);
        demand(workshop, task, Demand::SetRetryLimit(StepNo(0), 4)).await;
        let end = workshop.end(task).await.unwrap();
        assert_eq!((end.task.state, end.steps[0].attempts), (TaskState::Error, 4));
        let timeline = workshop.timeline(task).await.unwrap();
        assert!(
            timeline.starts_with("flaky: 0 start, 1 fail, 2 start, 3 fail, 5 start, 6 fail, "),
            "{timeline}"
        );
        assert_eq!(timeline.matches("start").count(), 4, "{timeline}");
    });
}

#[test]
fn a_cancelled_step_is_stopped_at_once_and_blocks_the_task_when_the_rest_is_done() {
    play(async |workshop| {
        let task = workshop
            .create(template(&[("hangs", &[]), ("a", &[]), ("b", &["a"])]))
            .await
            .unwrap();
        after(0.5).await;
        demand(workshop, task, Demand::CancelStep(StepNo(0))).await;
        let end = workshop.end(task).await.unwrap();
        assert_eq!(end.task.state, TaskState::Error);
        assert_eq!(
            end.task.failure,
            Some(tasker_engine::FailureReason::StepsCancelled)
        );
        assert_eq!(
            end.task.finished_at.unwrap().since(end.task.created_at).as_secs(),
            2
        );
        let history = workshop.store.history(task, Position(0), 100).await.unwrap();
        let late = history
            .iter()
            .find(|entry| matches!(entry.change, Change::LateOutcome { .. }))
            .unwrap();
        assert!(
            late.at.since(end.task.created_at) < Duration::from_secs(1),
            "it was stopped late: {late:?}"
        );
    });
}

#[test]
fn a_cancelled_task_starts_nothing_more() {
    play(async |workshop| {
        let task = workshop
            .create(template(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]))
            .await
            .unwrap();
        after(1.5).await;
        demand(workshop, task, Demand::CancelTask).await;
        after(60.0).await;
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Cancelled);
        same(
            &workshop.timeline(task).await.unwrap(),
            "a: 0 start, 1 succeed
             b: 1 start, 2 cancel
             c: 2 cancel",
        );
    });
}

#[test]
fn a_bypassed_step_never_runs_and_its_child_starts_first() {
    play(async |workshop| {
        let steps = template(&[("fails", &[]), ("end", &["fails"])]);
        let id = workshop.new_id();
        let mut new = NewTask::new(id, steps, Json::from(&json!({})));
        new.bypass = vec![StepNo(0)];
        let task = workshop.create_task(new).await.unwrap();
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Complete);
        same(
            &workshop.timeline(task).await.unwrap(),
            "fails: 0 resolve
             end: 0 start, 1 succeed",
        );
        assert_eq!(
            workshop.store.results(task).await.unwrap()[0].1.to_value(),
            json!({ "fails": null })
        );
    });
}

#[test]
fn a_changed_time_limit_holds_from_the_next_attempt_on() {
    play(async |workshop| {
        let task = workshop
            .create(template(&[("a", &[]), ("hangs", &["a"])]))
            .await
            .unwrap();
        after(0.5).await;
        demand(
            workshop,
            task,
            Demand::SetTimeout(StepNo(1), Some(Duration::from_secs(2))),
        )
        .await;
        demand(workshop, task, Demand::SetRetryLimit(StepNo(1), 2)).await;
        assert_eq!(workshop.end(task).await.unwrap().task.state, TaskState::Error);
        same(
            &workshop.timeline(task).await.unwrap(),
            "a: 0 start, 1 succeed
             hangs: 1 start, 3 fail, 4 start, 6 fail",
        );
    });
}

#[test]
fn a_deadline_ends_a_task_whose_step_hangs() {
    play(async |workshop| {
        let steps = template(&[("hangs", &[])]);
        let id = workshop.new_id();
        let mut new = NewTask::new(id, steps, Json::from(&json!({})));
        new.deadline_at = Some(workshop.now().plus(Duration::from_secs(20)));
        let task = workshop.create_task(new).await.unwrap();
        let end = workshop.end(task).await.unwrap();
        assert_eq!(
            end.task.failure,
            Some(tasker_engine::FailureReason::DeadlineExceeded)
        );
        let took = end.task.finished_at.unwrap().since(end.task.created_at);
        // Sweeps come every five seconds.
        assert!((20..=26).contains(&took.as_secs()), "it took {took:?}");
    });
}
