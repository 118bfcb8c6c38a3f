//! Workflows whose steps are declared with the results that they read.

use serde::Deserialize;
use serde_json::json;
use tasker::{
    Config, Context, Flow, StepBuilder, StepContext, StepError, TaskRequest, TaskState, Tasker, Template,
};

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

/// Returns a workflow whose first step can be bypassed, and whose second reads the first one's result.
fn bypassable<T>() -> Flow
where
    T: serde::Serialize + serde::de::DeserializeOwned + Send + 'static,
{
    let mut flow = Flow::new(Template::builder("report"));
    let price = flow.step(
        StepBuilder::new("price", "price").skippable(),
        (),
        async |()| -> Answer<T> { Err(StepError::permanent("unused", "it is bypassed")) },
    );
    flow.step("total", &price, async |price: T| Answer::Ok(price));
    flow
}

#[tokio::test]
async fn a_parent_resolved_without_a_result_fails_a_step_that_needs_it() {
    let flow = bypassable::<u64>();
    let request = TaskRequest::new(flow.template().unwrap()).bypass(["price"]);
    let report = tasker(&flow).run(request).await.unwrap();
    assert_eq!(report.state, TaskState::Error);
    let step = &report.steps[1];
    assert_eq!(step.attempts, 1);
    assert_eq!(
        step.error.as_ref().unwrap().message,
        "step `total` cannot do without the result of `price`, which was resolved without one; resolve `price` with a \
         result, or read it as an `Option`"
    );
}

#[tokio::test]
async fn a_parent_resolved_without_a_result_is_an_empty_option() {
    let flow = bypassable::<Option<u64>>();
    let request = TaskRequest::new(flow.template().unwrap()).bypass(["price"]);
    let report = tasker(&flow).run(request).await.unwrap();
    assert_eq!(report.result, Some(json!({ "total": null })));
}

#[tokio::test]
async fn a_result_that_an_operator_gave_must_fit_too() {
    use tasker::{Demand, Json};
    let mut flow = Flow::new(Template::builder("report"));
    let price = flow.step("price", (), async |()| -> Answer<u64> {
        Err(StepError::permanent("no_price", "there is none"))
    });
    flow.step("total", &price, async |price: u64| Answer::Ok(price));
    let tasker = tasker(&flow);
    let report = tasker
        .run(TaskRequest::new(flow.template().unwrap()))
        .await
        .unwrap();
    let demand = Demand::ResolveStep(tasker::StepNo(0), Some(Json::from(&json!("thirty"))));
    tasker.intervene(report.task_id, demand).await.unwrap();
    let report = tasker.resume(report.task_id).await.unwrap();
    assert_eq!(
        report.steps[1].error.as_ref().unwrap().message,
        "the result of `price` does not fit the handler of step `total`: invalid type: string \"thirty\", expected u64 \
         at line 1 column 8"
    );
}

#[derive(Deserialize)]
struct Order {
    amount: f64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    decimals: i32,
}

/// Returns a workflow whose last step takes all that a function can: the step, the context, the configuration, and the
/// results of six steps.
fn six(config: &serde_json::Value) -> Flow {
    let mut flow = Flow::new(Template::builder("report"));
    let a = flow.step("a", (), async |()| Answer::Ok(1_u8));
    let b = flow.step("b", &a, async |a: u8| Answer::Ok(f64::from(a) + 0.5));
    let c = flow.step("c", (&a, &b), async |(a, b): (u8, f64)| {
        Answer::Ok(format!("{a} {b}"))
    });
    let d = flow.step("d", (), async |Context(order): Context<Order>, ()| {
        Answer::Ok(order.amount)
    });
    let e = flow.step("e", (), async |ctx: StepContext, ()| {
        Answer::Ok(ctx.step_name().to_string())
    });
    let f = flow.step("f", (&a, &d, &e), async |(a, d, e): (u8, f64, String)| {
        Answer::Ok((a, d, e))
    });
    flow.step(
        StepBuilder::new("all", "all").config(config.clone()),
        (&a, &b, &c, &d, &e, &f),
        async |ctx: StepContext,
               Context(order): Context<Order>,
               Config(settings): Config<Settings>,
               (a, b, c, d, e, f): (u8, f64, String, f64, String, (u8, f64, String))| {
            let scale = 10_f64.powi(settings.decimals);
            let amount = (order.amount * scale).round() / scale;
            Answer::Ok(json!([ctx.attempt(), amount, a, b, c, d, e, f]))
        },
    );
    flow
}

#[tokio::test]
async fn a_function_takes_what_any_handler_takes_and_the_results_of_six_steps() {
    let flow = six(&json!({ "decimals": 1 }));
    let request = TaskRequest::new(flow.template().unwrap()).context(json!({ "amount": 7.26 }));
    let report = tasker(&flow).run(request).await.unwrap();
    assert_eq!(
        report.result,
        Some(json!({ "all": [1, 7.3, 1, 1.5, "1 1.5", 7.26, "e", [1, 7.26, "e"]] }))
    );
}

#[tokio::test]
async fn a_configuration_that_does_not_fit_a_function_is_refused() {
    let flow = six(&json!({ "decimal": 1 }));
    let request = TaskRequest::new(flow.template().unwrap()).context(json!({ "amount": 7.26 }));
    let refused = tasker(&flow).run(request).await.unwrap_err();
    assert_eq!(
        refused.to_string(),
        "step `all` of `default_system.report@0.1.0` cannot run here: its `config`: unknown field `decimal`, expected \
         `decimals`"
    );
}

#[test]
fn a_step_of_another_workflow_is_no_parent() {
    let mut other = Flow::new(Template::builder("other"));
    let foreign = other.step("price", (), async |()| Answer::Ok(30_u64));
    let mut flow = Flow::new(Template::builder("report"));
    // A step of the same name does not make the other one belong here.
    flow.step("price", (), async |()| Answer::Ok("thirty"));
    flow.step("total", &foreign, async |price: u64| Answer::Ok(price));
    let faults = flow.template().unwrap_err();
    assert_eq!(faults.as_slice()[0].code, "invalid_flow");
    assert_eq!(
        faults.to_string(),
        "step `total` reads the result of `price`, which is a step of another workflow; pass a step that this `Flow` \
         returned"
    );
}

#[test]
fn each_step_has_a_handler_of_its_own() {
    let mut flow = Flow::new(Template::builder("report"));
    flow.step(StepBuilder::new("a", "work"), (), async |()| Answer::Ok(1));
    flow.step(StepBuilder::new("b", "work"), (), async |()| Answer::Ok(2));
    assert_eq!(
        flow.template().unwrap_err().to_string(),
        "steps `a` and `b` both name the handler `work`, but each step of a workflow has a function of its own; give \
         `b` another name for its handler"
    );
}

#[test]
fn faults_of_the_workflow_come_before_those_of_its_template() {
    let mut flow = Flow::new(Template::builder("report"));
    flow.step(StepBuilder::new("a", "a").depends_on(["z"]), (), async |()| {
        Answer::Ok(1)
    });
    flow.step("a", (), async |()| Answer::Ok(2));
    let faults = flow.template().unwrap_err();
    let codes: Vec<_> = faults.as_slice().iter().map(|fault| fault.code).collect();
    assert_eq!(codes, ["invalid_flow", "duplicate_step", "unknown_step"]);
}
