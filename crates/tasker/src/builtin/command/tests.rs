use std::path::Path;

use serde_json::Value;
use tasker_engine::{Severity, StepBuilder, TaskRequest, Template, UnknownHandlers};
use tasker_types::{LimitsValues, StepState, TaskState};

use crate::{StepReport, TaskReport, Tasker};

use super::*;

fn limits() -> Arc<Limits> {
    let values = LimitsValues {
        result: 1_000,
        stderr_tail: 12,
        ..LimitsValues::default()
    };
    Arc::new(Limits::try_from(values).unwrap())
}

fn tasker() -> Tasker {
    let environment = BTreeMap::from([("REGION".to_owned(), "eu".to_owned())]);
    let command = Command {
        term_grace: Duration::from_millis(20),
        ..Command::new(limits(), environment)
    };
    Tasker::builder()
        .memory()
        .handler("command", Arc::new(command))
        .build()
        .unwrap()
}

/// Runs one attempt of a step with this configuration.
async fn run(config: Value) -> StepReport {
    let step = StepBuilder::new("only", "command").config(config).retry_limit(1);
    let template = Template::builder("one").step(step).build().unwrap();
    tasker().run(template).await.unwrap().steps.remove(0)
}

async fn sh(script: &str) -> StepReport {
    run(json!({ "program": "sh", "args": ["-c", script] })).await
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

#[tokio::test]
async fn the_output_is_the_result() {
    assert_eq!(
        result(&sh(r#"echo ' {"a": [1, 2.50]} '"#).await),
        json!({ "a": [1, 2.5] })
    );
    assert_eq!(result(&sh("true").await), Value::Null);
}

#[tokio::test]
async fn the_input_is_one_document() {
    let first = StepBuilder::new("first", "command").config(json!({ "program": "echo", "args": ["7"] }));
    let second = StepBuilder::new("second", "command")
        .config(json!({ "program": "cat" }))
        .depends_on(["first"]);
    let template = Template::builder("two").step(first).step(second).build().unwrap();
    let request = TaskRequest::new(template).context(json!({ "day": "monday" }));
    let report = tasker().run(request).await.unwrap();
    let id = report.task_id.to_string();
    let expected = json!({
        "task": id,
        "step": "second",
        "context": { "day": "monday" },
        "parents": { "first": 7 },
        "attempt": 1,
        "idempotency_key": format!("{id}/second"),
    });
    assert_eq!(result(&report.steps[1]), expected);
}

#[tokio::test]
async fn a_program_need_not_read_its_input() {
    let step = StepBuilder::new("only", "command").config(json!({ "program": "true" }));
    let template = Template::builder("one").step(step).build().unwrap();
    let request = TaskRequest::new(template).context(json!({ "much": "x".repeat(500_000) }));
    assert_eq!(tasker().run(request).await.unwrap().state, TaskState::Complete);
}

#[tokio::test]
async fn exit_codes_say_whether_to_try_again() {
    use Severity::{Permanent, Retryable};
    failed(&sh("exit 1").await, Retryable, "exit_1", "`sh` ended with code 1");
    failed(
        &sh("exit 75").await,
        Retryable,
        "exit_75",
        "`sh` ended with code 75",
    );
    failed(
        &sh("exit 65").await,
        Permanent,
        "exit_65",
        "`sh` ended with code 65",
    );
    failed(
        &sh("exit 78").await,
        Permanent,
        "exit_78",
        "`sh` ended with code 78",
    );
    failed(
        &sh("kill -9 $$").await,
        Retryable,
        "signal_9",
        "`sh` was ended by signal 9",
    );
}

#[tokio::test]
async fn the_end_of_standard_error_is_kept() {
    let step = sh("echo 'begin'; echo '0123456789' >&2; echo 'no account' >&2; exit 65").await;
    failed(
        &step,
        Severity::Permanent,
        "exit_65",
        "no account (`sh` ended with code 65)",
    );
    let context = step.error.unwrap().context.unwrap().to_value();
    assert_eq!(
        context,
        json!({ "exit_code": 65, "signal": null, "stderr": "\nno account\n" })
    );
}

#[tokio::test]
async fn a_result_that_is_no_json_is_rejected() {
    let step = sh("echo done").await;
    let message = step.error.as_ref().unwrap().message.clone();
    assert!(
        message.starts_with("the program's standard output is no JSON: "),
        "{message}"
    );
    failed(&step, Severity::Permanent, "result_rejected", &message);
    failed(
        &sh(r#"printf '"ab\377"'"#).await,
        Severity::Permanent,
        "result_rejected",
        "the program's standard output is not UTF-8 at byte 3; write one JSON value and nothing else",
    );
}

#[tokio::test]
async fn a_result_over_the_limit_is_rejected() {
    failed(
        &sh("printf '\"%01000d\"' 0").await,
        Severity::Permanent,
        "result_rejected",
        "the program wrote more than 1000 bytes to its standard output; write less, or raise `limits.result`",
    );
    assert_eq!(
        result(&sh("printf '\"%0998d\"' 0").await).as_str().map(str::len),
        Some(998)
    );
}

#[tokio::test]
async fn arguments_are_filled_in() {
    let first = StepBuilder::new("first", "command").config(json!({ "program": "echo", "args": ["[7, 8]"] }));
    let arguments = [
        "{{ context.day }}-{{steps.first.result.1}}",
        "{{ steps.first.result }}",
        "{{ env.REGION }}",
    ];
    let config = json!({ "program": "sh", "args": ["-c", "printf '[\"%s\", %s, \"%s\"]' \"$@\"", "sh",
        arguments[0], arguments[1], arguments[2]] });
    let second = StepBuilder::new("second", "command")
        .config(config)
        .depends_on(["first"]);
    let template = Template::builder("two").step(first).step(second).build().unwrap();
    let request = TaskRequest::new(template).context(json!({ "day": "monday" }));
    let report = tasker().run(request).await.unwrap();
    assert_eq!(result(&report.steps[1]), json!(["monday-8", [7, 8], "eu"]));
}

#[tokio::test]
async fn a_missing_value_is_permanent() {
    failed(
        &run(json!({ "program": "echo", "args": ["{{ context.day.hour }}"] })).await,
        Severity::Permanent,
        "template_value_missing",
        "`context.day.hour` has no value",
    );
}

#[tokio::test]
async fn a_program_that_is_not_there_is_permanent() {
    failed(
        &run(json!({ "program": "no-such-program" })).await,
        Severity::Permanent,
        "program_not_started",
        "the program `no-such-program` cannot be started: No such file or directory (os error 2)",
    );
    failed(
        &run(json!({ "program": "true", "cwd": "/no/such/directory" })).await,
        Severity::Permanent,
        "program_not_started",
        "the working directory `/no/such/directory` is not there",
    );
}

async fn run_file(directory: &Path, text: &str) -> TaskReport {
    std::fs::write(directory.join("t.yaml"), text).unwrap();
    let tasker = tasker();
    let loaded = tasker
        .load(directory.join("t.yaml"), UnknownHandlers::Refuse)
        .unwrap();
    tasker.run(loaded.template).await.unwrap()
}

#[tokio::test]
async fn program_and_directory_lie_beside_the_template() {
    let place = tempfile::tempdir().unwrap();
    std::fs::create_dir(place.path().join("sub")).unwrap();
    let script = "#!/bin/sh\necho \"\\\"$(pwd -P) $WHO\\\"\"\n";
    std::fs::write(place.path().join("where.sh"), script).unwrap();
    std::fs::set_permissions(
        place.path().join("where.sh"),
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let text = "
name: t
steps:
  - { name: a, handler: command, config: { program: ./where.sh, env: { WHO: me } } }
  - { name: b, handler: command, config: { program: where.sh, cwd: sub, env: { WHO: you } } }
";
    let report = run_file(place.path(), text).await;
    let root = place.path().canonicalize().unwrap();
    assert_eq!(result(&report.steps[0]), format!("{} me", root.display()));
    assert_eq!(result(&report.steps[1]), format!("{}/sub you", root.display()));
}

#[track_caller]
fn refused(config: &Value, fault: &str) {
    let tasker = tasker();
    let options = tasker.load_options(UnknownHandlers::Refuse);
    let step = StepBuilder::new("only", "command").config(config.clone());
    let faults = Template::builder("one")
        .step(step)
        .build_with(&options)
        .unwrap_err();
    assert_eq!(faults.to_string(), format!("`config` of step `only`: {fault}"));
}

#[test]
fn a_configuration_is_checked_when_the_template_is_loaded() {
    refused(
        &json!({ "program": "sh", "argv": [] }),
        "unknown field `argv`, expected one of `program`, `args`, `env`, `cwd`",
    );
    refused(&json!({ "args": [] }), "missing field `program`");
    refused(
        &json!({ "program": "" }),
        "`program` is empty; name a program or a script beside the template",
    );
    refused(
        &json!({ "program": "echo", "args": ["{{ steps.first.result }}"] }),
        "`steps.first.result` reads the result of `first`, but the step does not depend on it; add it to `depends_on`",
    );
    refused(
        &json!({ "program": "echo", "args": ["{{ env.HOME }}"] }),
        "`env.HOME` reads a variable that is not allowed; add `HOME` to `engine.template_environment`",
    );
}

/// Runs a script that says by a file `ready` that it is about to wait, and cancels its task then. Returns the id of
/// the process that the script left in the file.
async fn cancelled_when_ready(script: &str) -> (StepState, Pid) {
    let place = tempfile::tempdir().unwrap();
    let tasker = tasker();
    let config = json!({ "program": "sh", "args": ["-c", script], "cwd": place.path() });
    let step = StepBuilder::new("only", "command").config(config);
    let template = Template::builder("one").step(step).build().unwrap();
    let running = tokio::spawn({
        let tasker = tasker.clone();
        async move { tasker.run(template).await.unwrap() }
    });
    let pid = loop {
        let text = std::fs::read_to_string(place.path().join("ready")).unwrap_or_default();
        if let Some(pid) = text.strip_suffix('\n').and_then(|text| text.parse().ok()) {
            break pid;
        }
        tokio::task::yield_now().await;
    };
    let tasks = tasker
        .list(crate::TaskQuery::new(crate::TaskFilter::default(), 100))
        .await
        .unwrap()
        .tasks;
    tasker.cancel(tasks[0].task_id).await.unwrap();
    let report = running.await.unwrap();
    (report.steps[0].state, Pid::from_raw(pid).unwrap())
}

/// Waits until a process is gone, or is only a name that its parent has not asked for.
async fn gone(pid: Pid) {
    let alive = || {
        let status =
            std::fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
        status
            .rsplit_once(") ")
            .is_some_and(|(_, rest)| !rest.starts_with('Z'))
    };
    while alive() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn stopping_stops_what_the_program_started() {
    let script = "sleep 600 & echo $! > ready.tmp; mv ready.tmp ready; wait";
    let (state, child) = cancelled_when_ready(script).await;
    assert_eq!(state, StepState::Cancelled);
    gone(child).await;
}

#[tokio::test]
async fn a_program_that_does_not_listen_is_killed() {
    let script = "trap '' TERM; (trap '' TERM; while :; do sleep 600; done) & \
                  echo $! > ready.tmp; mv ready.tmp ready; wait";
    let (state, child) = cancelled_when_ready(script).await;
    assert_eq!(state, StepState::Cancelled);
    gone(child).await;
}

#[tokio::test]
async fn a_time_limit_stops_the_program() {
    let config = json!({ "program": "sh", "args": ["-c", "exec sleep 600"] });
    let step = StepBuilder::new("only", "command")
        .config(config)
        .retry_limit(1)
        .timeout(Duration::from_millis(20));
    let template = Template::builder("one").step(step).build().unwrap();
    let step = tasker().run(template).await.unwrap().steps.remove(0);
    failed(
        &step,
        Severity::Retryable,
        "timeout",
        "the step did not end within its 0.02 seconds (`timeout_seconds`)",
    );
}

#[tokio::test]
async fn an_interrupted_run_leaves_no_program_behind() {
    let place = tempfile::tempdir().unwrap();
    let script = "sleep 600 & echo $! > ready.tmp; mv ready.tmp ready; wait";
    let config = json!({ "program": "sh", "args": ["-c", script], "cwd": place.path() });
    let step = StepBuilder::new("only", "command").config(config);
    let template = Template::builder("one").step(step).build().unwrap();
    let tasker = tasker();
    let ready = place.path().join("ready");
    tokio::select! {
        report = tasker.run(template) => panic!("{report:?}"),
        () = async { while !ready.exists() { tokio::task::yield_now().await } } => {}
    }
    let pid = std::fs::read_to_string(ready).unwrap().trim().parse().unwrap();
    gone(Pid::from_raw(pid).unwrap()).await;
}

#[tokio::test]
async fn a_program_says_how_far_it_is_on_standard_error() {
    let script =
        "echo '::progress 3/10 loading' >&2; echo '::note almost' >&2; echo '::progress soon' >&2; exit 1";
    let step = sh(script).await;
    let progress = step.progress.clone().unwrap();
    assert_eq!(
        (progress.done, progress.total, progress.note.as_deref()),
        (3, 10, Some("almost"))
    );
    // What is no progress is a message, and what is one is none.
    let context = step.error.as_ref().unwrap().context.as_ref().unwrap().to_value();
    assert_eq!(context["stderr"], "ogress soon\n");
    for (said, done, total) in [("40%", 40, 100), ("7", 7, 0), ("1/2", 1, 2)] {
        let step = sh(&format!("echo '::progress {said}' >&2")).await;
        let progress = step.progress.unwrap();
        assert_eq!(
            (progress.done, progress.total, progress.note),
            (done, total, None)
        );
    }
}
