//! The test kit on a whole Tasker and a template in a file.

use std::path::Path;
use std::time::Duration;

use serde_json::json;
use tasker::{Tasker, UnknownHandlers};
use tasker_engine::TaskRequest;
use tasker_testkit::{Mishap, Plan, Workshop, virtual_time};
use tasker_types::{StepState, TaskState};

#[test]
fn an_example_is_tested_without_its_programs() {
    virtual_time(async {
        let tasker = Tasker::builder().memory().build().unwrap();
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/examples/customer_analytics/pipeline.yaml");
        let template = tasker.load(file, UnknownHandlers::Refuse).unwrap().template;
        // No program runs: each step returns what the plan says, and one needs minutes until its service is back.
        let mut plan = Plan::new()
            .then("extract_orders", Mishap::RetryAfter(Duration::from_secs(180)))
            .fails("extract_orders", 1);
        for step in template.steps() {
            plan = plan.returns(step.name().as_str(), json!({ "step": step.name() }));
        }
        let workshop = Workshop::builder()
            .handlers(tasker.handlers().clone())
            .plan(plan)
            .open();
        let task = workshop.create(TaskRequest::new(template)).await;
        workshop.pass(Duration::from_secs(60)).await;
        workshop
            .look(task)
            .await
            .assert_step("extract_customers", StepState::Complete)
            .assert_due_in("extract_orders", Duration::from_secs(120));
        workshop
            .end(task)
            .await
            .assert_state(TaskState::Complete)
            .assert_attempts("extract_orders", 3);
        assert!(workshop.elapsed() >= Duration::from_secs(182));
        workshop.close().await.unwrap();
    });
}
