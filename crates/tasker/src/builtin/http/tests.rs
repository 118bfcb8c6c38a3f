//! Requests to a server of the test's own, and configurations that are refused.

mod answers;
mod refusals;
mod requests;
mod retries;
mod server;

use serde_json::{Value, json};
use tasker_engine::{Severity, StepBuilder, TaskRequest, Template as TaskTemplate};
use tasker_types::{LimitsValues, StepState, TelemetryValues, Timestamp};

use super::*;
use crate::{StepReport, Tasker, TaskerBuilder};
use server::{Act, Seen, Server, answer, json as json_answer};

/// Sun, 06 Nov 1994 08:49:37 GMT.
const NOW: Timestamp = Timestamp::from_micros(784_111_777_000_000);

/// A clock that stands still, so that due times are exact.
#[derive(Debug)]
struct Standing;

impl Clock for Standing {
    fn now(&self) -> Timestamp {
        NOW
    }
}

fn http() -> Http {
    let values = LimitsValues {
        result: 1_000,
        stderr_tail: 20,
        ..LimitsValues::default()
    };
    let environment = [("REGION", "eu west"), ("KEY", "s3cret"), ("BREAK", "a\nb")];
    let environment = environment.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let telemetry = TelemetryValues {
        filter_parameters: vec!["trace_id".to_owned()],
        ..TelemetryValues::default()
    };
    Http::new(
        Arc::new(values.try_into().unwrap()),
        BTreeMap::from(environment),
        Arc::new(Standing),
        SecretNames::of(&telemetry),
    )
}

fn builder() -> TaskerBuilder {
    Tasker::builder().memory().handler("http", Arc::new(http()))
}

/// A step that makes one request, once.
fn once(config: Value) -> StepBuilder {
    StepBuilder::new("only", "http").config(config).retry_limit(1)
}

/// Runs a step with this context.
async fn run_with(step: StepBuilder, context: Value) -> StepReport {
    let template = TaskTemplate::builder("one").step(step).build().unwrap();
    let request = TaskRequest::new(template).context(context);
    let run = async { builder().build().unwrap().run(request).await.unwrap() };
    let report = tokio::time::timeout(Duration::from_secs(20), run).await.unwrap();
    report.steps.into_iter().next().unwrap()
}

/// Runs one attempt of a step with this configuration.
async fn run(config: Value) -> StepReport {
    run_with(once(config), json!({})).await
}

/// Runs one request to a server that does this.
async fn exchange(act: Act) -> StepReport {
    let server = Server::start([act]).await;
    run(json!({ "url": server.url("/x"), "timeout_seconds": 10 })).await
}

/// Runs one request to a server that answers 200, and returns what it saw.
async fn sent(mut config: Value, context: Value) -> Seen {
    let server = Server::start([answer("200 OK", &[], "")]).await;
    let url = config["url"].as_str().unwrap_or("/").to_owned();
    config["url"] = server.url(&url).into();
    let step = run_with(once(config), context).await;
    assert_eq!(step.state, StepState::Complete, "{step:?}");
    server.seen().remove(0)
}

#[track_caller]
fn result(step: &StepReport) -> Value {
    assert_eq!(step.state, StepState::Complete, "{step:?}");
    step.result.as_ref().unwrap().to_value()
}

#[track_caller]
fn failed(step: &StepReport, severity: Severity, code: &str, message: &str) {
    let failure = step.error.as_ref().unwrap();
    assert_eq!(
        (failure.severity, failure.code.as_str(), failure.message.as_str()),
        (severity, code, message)
    );
}
