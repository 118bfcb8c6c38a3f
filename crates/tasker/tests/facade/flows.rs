//! Workflows whose steps are declared with the results that they read.

use std::sync::Arc;

use tasker::{Flow, StepBuilder, StepContext, StepError, TaskRequest, TaskState, Tasker, Template};

type Answer<T> = Result<T, StepError>;

fn tasker(flow: &Flow) -> Tasker {
    Tasker::builder().memory().flow(flow).build().unwrap()
}

#[tokio::test]
async fn a_step_gets_the_results_of_the_steps_it_was_declared_with() {
    let mut flow = Flow::new(Template::builder("report").namespace("shop"));
    let price = flow.step("price", (), async |_: StepContext, ()| Answer::Ok(30_u64));
    let rate = flow.step(
        StepBuilder::new("rate", "rate_of_today").retry_limit(1),
        (),
        async |_: StepContext, ()| Answer::Ok("0.2".to_owned()),
    );
    let tax = flow.step(
        "tax",
        (&price, &rate),
        async |_: StepContext, (price, rate): (u64, String)| {
            let rate: f64 = rate
                .parse()
                .map_err(|_| StepError::permanent("bad_rate", "no number"))?;
            Ok(price as f64 * rate)
        },
    );
    flow.step(
        "total",
        (&price, &tax),
        async |_: StepContext, (price, tax): (u64, f64)| Answer::Ok(price as f64 + tax),
    );
    let template = flow.template().unwrap();
    let parents: Vec<_> = template
        .steps()
        .iter()
        .map(|step| step.depends_on().len())
        .collect();
    assert_eq!(parents, [0, 0, 2, 2]);
    let report = tasker(&flow).run(TaskRequest::new(template)).await.unwrap();
    assert_eq!(report.result, Some(serde_json::json!({ "total": 36.0 })));
}

#[tokio::test]
async fn a_result_that_an_operator_gave_must_fit_too() {
    let mut flow = Flow::new(Template::builder("report"));
    let price = flow.step(
        StepBuilder::new("price", "price").skippable(),
        (),
        async |_: StepContext, ()| Answer::Ok(30_u64),
    );
    flow.step("total", &price, async |_: StepContext, price: u64| {
        Answer::Ok(price)
    });
    let tasker = tasker(&flow);
    let template = flow.template().unwrap();
    let request = TaskRequest::new(Arc::clone(&template)).bypass(["price"]);
    let report = tasker.run(request).await.unwrap();
    assert_eq!(report.state, TaskState::Error);
    let error = report.steps[1].error.as_ref().unwrap();
    assert_eq!(
        error.message,
        "the result of `price` does not fit the handler of step `total`: invalid type: null, expected u64 at line 1 \
         column 4"
    );
}

#[test]
fn a_step_of_another_workflow_is_no_parent() {
    let mut other = Flow::new(Template::builder("other"));
    let price = other.step("price", (), async |_: StepContext, ()| Answer::Ok(30_u64));
    let mut flow = Flow::new(Template::builder("report"));
    flow.step("total", &price, async |_: StepContext, price: u64| {
        Answer::Ok(price)
    });
    let faults = flow.template().unwrap_err().to_string();
    assert!(faults.contains("`price`"), "{faults}");
}
