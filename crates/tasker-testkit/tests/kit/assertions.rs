//! What a failed assertion says, word for word.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_testkit::engine::{Demand, StepBuilder, StepError, Template, handler};
use tasker_testkit::types::{StepState, TaskState};
use tasker_testkit::{Mishap, Plan, TaskView, Workshop, virtual_time};

/// `fetch`, then `check` and `price`, then `send`.
fn template() -> Arc<Template> {
    Template::builder("shop")
        .step(StepBuilder::new("fetch", "any"))
        .step(StepBuilder::new("check", "any").depends_on(["fetch"]))
        .step(StepBuilder::new("price", "any").depends_on(["fetch"]))
        .step(StepBuilder::new("send", "any").depends_on(["check", "price"]))
        .build()
        .unwrap()
}

/// A task of which one step has failed and waits, one has failed for good, and one waits for both.
async fn view(workshop: &Workshop) -> TaskView {
    let task = workshop.create(template()).await;
    workshop.pass(Duration::from_millis(2_500)).await;
    workshop.look(task).await
}

fn workshop() -> Workshop {
    let plan = Plan::new()
        .takes("fetch", Duration::from_secs(1))
        .then("check", Mishap::FailPermanently)
        .then("price", Mishap::RetryAfter(Duration::from_secs(60)));
    Workshop::builder()
        .handler("any", handler(async || Ok::<_, StepError>(7)))
        .plan(plan)
        .open()
}

const PICTURE: &str = "\
default_system.shop@0.1.0 is `in_progress`, 3 s after its creation
  fetch  complete           1 of 3
         0 start, 1 succeed
  check  error              1 of 3   failed for good; planned: attempt 1 is to fail for good
         1 start, 1 fail
  price  error              1 of 3   is due in 59 s; planned: attempt 1 is to fail
         1 start, 1 fail
  send   pending            0 of 3   waits for `check`, `price`
";

#[track_caller]
fn refused(assert: fn(&TaskView) -> &TaskView, view: &TaskView, message: &str) {
    let panic = catch_unwind(AssertUnwindSafe(|| assert(view).id())).unwrap_err();
    let said = panic.downcast::<String>().unwrap();
    assert_eq!(*said, format!("{message}\n\n{PICTURE}"));
}

#[test]
fn a_failed_assertion_shows_the_task() {
    virtual_time(async {
        let workshop = workshop();
        let view = view(&workshop).await;
        assert_eq!(view.to_string(), PICTURE);
        let refused = |assert: fn(&TaskView) -> &TaskView, message: &str| refused(assert, &view, message);
        refused(
            |view| view.assert_state(TaskState::Complete),
            "the task is `in_progress`, not `complete`",
        );
        refused(
            |view| view.assert_step("send", StepState::Complete),
            "the step `send` is `pending`, not `complete`",
        );
        refused(
            |view| view.assert_step("sent", StepState::Complete),
            "there is no step `sent`",
        );
        refused(
            |view| view.assert_attempts("price", 2),
            "the step `price` has used 1 of its attempts, not 2",
        );
        refused(
            |view| view.assert_result("fetch", json!({ "a": 1 })),
            "the step `fetch` returned 7, not {\"a\":1}",
        );
        refused(
            |view| view.assert_result("send", 7),
            "the step `send` has no result; it should be 7",
        );
        refused(
            |view| view.assert_waits_for("send", ["price"]),
            "the step `send` waits for `check`, `price`, not for `price`",
        );
        refused(
            |view| view.assert_waits_for("price", ["fetch"]),
            "the step `price` waits for nothing, not for `fetch`",
        );
        refused(
            |view| view.assert_due_in("price", Duration::from_secs(1)),
            "the step `price` is due in 59 s, not in 1 s",
        );
        refused(
            |view| view.assert_due_in("send", Duration::from_secs(1)),
            "the step `send` does not wait for its time",
        );
        refused(
            |view| view.assert_timeline("fetch: 0 start, 1 succeed"),
            "something else happened; it should have been\n  fetch: 0 start, 1 succeed\nbut was\n  \
             fetch: 0 start, 1 succeed\n  check: 1 start, 1 fail\n  price: 1 start, 1 fail\n",
        );
    });
}

#[test]
fn what_holds_is_asserted_in_one_breath() {
    virtual_time(async {
        let workshop = workshop();
        let view = view(&workshop).await;
        view.assert_state(TaskState::InProgress)
            .assert_step("check", StepState::Error)
            .assert_attempts("fetch", 1)
            .assert_result("fetch", 7)
            .assert_waits_for("send", ["check", "price"])
            .assert_waits_for("fetch", [])
            .assert_due_in("price", Duration::from_secs(59))
            .assert_timeline(
                "fetch: 0 start, 1 succeed
                 check: 1 start, 1 fail
                 price: 1 start, 1 fail",
            );
        assert_eq!(view.waits_for("send"), ["check", "price"]);
        assert_eq!(view.result("price"), None);
        // The other branch goes on; then nothing can happen any more, until a person decides.
        let view = workshop.end(view.id()).await;
        view.assert_state(TaskState::Error).assert_attempts("price", 2);
        workshop.intervene(view.id(), Demand::CancelTask).await.unwrap();
        workshop
            .look(view.id())
            .await
            .assert_step("send", StepState::Cancelled);
        workshop.close().await.unwrap();
    });
}

#[test]
fn a_task_that_does_not_end_is_shown() {
    let panic = catch_unwind(|| {
        virtual_time(async {
            let workshop = Workshop::builder()
                .handler("any", handler(async || Ok::<_, StepError>(7)))
                .plan(Plan::new().times_out("fetch", 1))
                .patience(Duration::from_secs(90))
                .open();
            workshop.create(template()).await;
            workshop.drain().await;
        });
    });
    assert_eq!(
        *panic.unwrap_err().downcast::<String>().unwrap(),
        "the task did not end within 90 s\n\n\
         default_system.shop@0.1.0 is `in_progress`, 90 s after its creation\n  \
         fetch  in_progress        1 of 3\n         0 start\n  \
         check  pending            0 of 3   waits for `fetch`\n  \
         price  pending            0 of 3   waits for `fetch`\n  \
         send   pending            0 of 3   waits for `check`, `price`\n"
    );
}

#[test]
fn a_missing_handler_is_named() {
    virtual_time(async {
        let workshop = Workshop::builder()
            .plan(Plan::new().returns("fetch", 1).then("check", Mishap::Panic))
            .open();
        let view = workshop.run(template()).await;
        let failure = |step: &str| {
            let failure = view.step(step).failure.clone().unwrap();
            format!("{}: {}", failure.code, failure.message)
        };
        assert_eq!(view.result("fetch"), Some(&json!(1)));
        assert_eq!(
            failure("price"),
            "handler_missing: the workshop has no handler `any`; register it, or plan what the step returns"
        );
        view.assert_timeline(
            "fetch: 0 start, 0 succeed
             check: 0 start, 0 fail, 1 start, 1 fail
             price: 0 start, 0 fail",
        );
        workshop.close().await.unwrap();
    });
}
