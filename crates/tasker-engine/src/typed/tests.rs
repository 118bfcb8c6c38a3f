//! Functions as handlers, without a worker.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::{Value, json};
use tasker_types::{LeaseToken, Limits, RunNo, StepNo, TaskId, Timestamp, Version};

use super::*;
use crate::attempt::{Attempt, Requests, Said};
use crate::claim::{Claim, ClaimedTask, Lease};
use crate::handler::{Handlers, Resolved, Unresolved};
use crate::request::UniqueIdentity;
use crate::template::{LoadOptions, StepBuilder, Template, UnknownHandlers};
use crate::trace::TraceContext;

#[derive(Deserialize)]
struct Order {
    amount: u64,
}

#[derive(Deserialize)]
struct Rates {
    fetch_rate: f64,
    discount: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    round: bool,
}

#[derive(Serialize)]
struct Priced {
    total: f64,
    key: String,
}

async fn price(
    Context(order): Context<Order>,
    Parents(rates): Parents<Rates>,
    ctx: StepContext,
    Config(settings): Config<Settings>,
) -> Result<Priced, StepError> {
    let total = order.amount as f64 * rates.fetch_rate - rates.discount.unwrap_or_default();
    Ok(Priced {
        total: if settings.round { total.round() } else { total },
        key: ctx.idempotency_key(),
    })
}

const TEMPLATE: &str = "name: x\nsteps:\n  - { name: fetch_rate, handler: free }\n  - name: price\n    handler: price\n    \
                        config: { round: true }\n    depends_on: [fetch_rate]\n";

/// Returns what the step `price` is given.
fn step(context: &Value, rate: Option<Value>) -> StepContext {
    let template = Template::parse(TEMPLATE, &LoadOptions::new(&Limits::default()))
        .unwrap()
        .template;
    let claim = Claim {
        lease: Lease {
            task: TaskId::new(Timestamp::from_micros(0), 7),
            task_key: 1,
            step: StepNo(1),
            run: RunNo(1),
            token: LeaseToken(1),
        },
        task: Arc::new(ClaimedTask {
            template,
            context: Json::from(context),
            correlation_id: None,
            trace_context: None,
        }),
        attempt: 1,
        retry_limit: 3,
        parents: vec![(StepNo(0), rate.map(|rate| Json::from(&rate)))],
        checkpoint: None,
        timeout: None,
        config: None,
        handler_version: Version::new(1, 0, 0),
        claimed_at: Timestamp::from_micros(0),
    };
    let requests = Requests {
        limits: Arc::default(),
        identity: Arc::new(UniqueIdentity),
    };
    let trace = TraceContext::of_task(claim.lease.task, None, true);
    let attempt = Attempt::new(claim, trace, Vec::new(), Arc::new(requests), Said::default());
    StepContext::new(Arc::new(attempt))
}

async fn run(handler: Arc<dyn StepHandler>, ctx: StepContext) -> Result<Value, String> {
    match handler.run(ctx).await {
        Ok(Done::Result(result)) => Ok(result.to_value()),
        Ok(other) => Err(format!("{other:?}")),
        Err(error) => Err(format!("{error} (retryable: {})", error.is_retryable())),
    }
}

#[tokio::test]
async fn a_function_takes_what_it_names_in_any_order() {
    let ctx = step(&json!({"amount": 3}), Some(json!(1.5)));
    let key = ctx.idempotency_key();
    assert_eq!(
        run(handler(price), ctx).await,
        Ok(json!({"total": 5.0, "key": key}))
    );
}

#[tokio::test]
async fn a_function_may_take_nothing() {
    let ctx = step(&json!({}), None);
    assert_eq!(run(handler(async || Ok(())), ctx).await, Ok(Value::Null));
}

#[tokio::test]
async fn input_that_does_not_fit_is_permanent() {
    let order = step(&json!({"amount": "much"}), Some(json!(1.5)));
    assert_eq!(
        run(handler(price), order).await.unwrap_err(),
        "input_rejected: the task's context does not fit the handler of step `price`: invalid type: string \"much\", expected u64 at line 1 column 16 (retryable: false)"
    );
    let unresolved = step(&json!({"amount": 3}), None);
    assert_eq!(
        run(handler(price), unresolved).await.unwrap_err(),
        "input_rejected: the results of the parents do not fit the handler of step `price`: invalid type: null, \
         expected f64 at line 1 column 18 (retryable: false)"
    );
}

#[tokio::test]
async fn parents_may_be_a_map() {
    let sum = handler(
        |Parents(all): Parents<BTreeMap<String, Option<f64>>>| async move {
            Ok(all.values().flatten().sum::<f64>())
        },
    );
    assert_eq!(run(sum, step(&json!({}), Some(json!(1.5)))).await, Ok(json!(1.5)));
}

#[tokio::test]
async fn a_result_that_is_no_json_is_permanent() {
    let wrong = handler(async || Ok(BTreeMap::from([([1, 2], "a list is no key")])));
    assert_eq!(
        run(wrong, step(&json!({}), None)).await.unwrap_err(),
        "result_rejected: the result cannot be written as JSON: key must be a string (retryable: false)"
    );
}

#[tokio::test]
async fn any_error_becomes_a_retryable_one_with_its_sources() {
    #[derive(Debug, thiserror::Error)]
    #[error("the order is not readable")]
    struct Unreadable(#[source] std::num::ParseIntError);
    let fails = handler(async || {
        let number: u32 = "x".parse().map_err(Unreadable)?;
        Ok(number)
    });
    assert_eq!(
        run(fails, step(&json!({}), None)).await.unwrap_err(),
        "error: the order is not readable: invalid digit found in string (retryable: true)"
    );
}

#[tokio::test]
async fn a_blocking_function_is_a_handler() {
    let blocks = blocking(|ctx: StepContext| Ok(ctx.attempt()));
    assert_eq!(run(blocks, step(&json!({}), None)).await, Ok(json!(1)));
}

#[track_caller]
fn load(text: &str) -> Result<(), String> {
    let handlers = Handlers::new(|_: &_, reference: &tasker_types::HandlerRef| {
        let handler = match reference.name.as_str() {
            "price" => handler(price),
            "free" => handler(async |_: Parents<BTreeMap<String, Value>>| Ok(())),
            other => {
                return Err(Unresolved {
                    message: format!("there is no handler `{other}`"),
                });
            }
        };
        Ok(Resolved {
            handler,
            version: Version::new(1, 0, 0),
        })
    });
    let limits = Limits::default();
    let unknown_handlers = UnknownHandlers::Refuse;
    let options = LoadOptions {
        handlers: Some(&handlers),
        unknown_handlers,
        ..LoadOptions::new(&limits)
    };
    Template::parse(text, &options)
        .map(|_| ())
        .map_err(|faults| faults.to_string())
}

#[test]
fn a_template_that_fits_its_handlers_loads() {
    assert_eq!(load(TEMPLATE), Ok(()));
}

#[test]
fn a_parent_that_is_not_declared_is_refused_at_load() {
    assert_eq!(
        load(&TEMPLATE.replace("    depends_on: [fetch_rate]\n", "")).unwrap_err(),
        "line 5: the handler `price` of step `price` takes the result of `fetch_rate`; add it to `depends_on`"
    );
}

#[test]
fn a_configuration_that_does_not_fit_is_refused_beside() {
    assert_eq!(
        load(
            &TEMPLATE
                .replace("round: true", "rounds: true")
                .replace("[fetch_rate]", "[]")
        )
        .unwrap_err(),
        "line 5: the handler `price` of step `price` takes the result of `fetch_rate`; add it to `depends_on`\n\
         line 6: `config` of step `price`: unknown field `rounds`, expected `round`"
    );
}

#[test]
fn code_is_checked_as_files_are() {
    let alone = Template::builder("x")
        .step(StepBuilder::new("price", "price"))
        .build()
        .unwrap();
    let handlers = Handlers::new(|_: &_, _: &_| {
        Ok(Resolved {
            handler: handler(price),
            version: Version::new(1, 0, 0),
        })
    });
    let problems = alone.check_handlers(&handlers);
    assert!(
        matches!(&problems[..], [(StepNo(0), crate::HandlerProblem::Parents { missing, config })]
        if missing == &["fetch_rate"] && config.len() == 1)
    );
}
