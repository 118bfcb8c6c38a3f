//! What makes two requests the same, and which are refused.

use tasker_types::LimitsValues;

use super::*;
use crate::template::StepBuilder;

fn template() -> Arc<Template> {
    let schema = json!({"properties": {"currency": {"default": "EUR"}}});
    let builder = Template::builder("refund")
        .namespace("payments")
        .version("2.1.0")
        .context_schema(schema);
    builder
        .step(StepBuilder::new("check", "h").skippable())
        .step(StepBuilder::new("pay", "h").depends_on(["check"]))
        .step(StepBuilder::new("mail", "h").skippable())
        .build()
        .unwrap()
}

fn request() -> TaskRequest {
    TaskRequest::new(template()).context(json!({"b": 1, "a": [2]}))
}

fn id(number: u128) -> TaskId {
    TaskId::new(Timestamp::from_micros(5), number)
}

fn prepared(request: TaskRequest) -> NewTask {
    request.prepare(id(1), &Limits::default(), &HashIdentity).unwrap()
}

#[track_caller]
fn refused(request: TaskRequest, limits: &Limits, message: &str) {
    assert_eq!(
        request
            .prepare(id(1), limits, &UniqueIdentity)
            .unwrap_err()
            .to_string(),
        message
    );
}

fn origin(change: impl FnOnce(&mut Origin)) -> Origin {
    let mut origin = Origin::default();
    change(&mut origin);
    origin
}

#[test]
fn the_hash_is_of_the_canonical_json_of_what_was_said() {
    let time = Timestamp::from_micros(90_000_000);
    let said = origin(|origin| {
        origin.initiator = Some("ann".to_owned());
        origin.requested_at = Some(time);
    });
    let text = "{\"bypass_steps\":[\"check\",\"mail\"],\"context\":{\"a\":[2],\"b\":1,\"currency\":\"EUR\"},\
                \"initiator\":\"ann\",\"name\":\"refund\",\"namespace\":\"payments\",\"reason\":\"unknown\",\
                \"requested_at\":1,\"source_system\":null,\"version\":\"2.1.0\"}";
    let expected: String = Sha256::digest(text)
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect();
    let task = prepared(request().origin(said).bypass(["mail", "check", "mail"]));
    assert_eq!(task.identity, expected);
}

#[test]
fn requests_that_say_the_same_have_the_same_hash() {
    let same = |other: TaskRequest| assert_eq!(prepared(other).identity, prepared(request()).identity);
    same(request().context(json!({"a": [2], "b": 1})));
    same(request().context(json!({"a": [2], "b": 1, "currency": "EUR"})));
    same(request().origin(origin(|origin| origin.reason = Some("unknown".to_owned()))));
    same(request().origin(origin(|origin| origin.tags = vec!["a".to_owned()])));
    same(request().tags(["a"]));
    same(request().annotate("ticket", json!(7)));
    same(request().priority(3));
    same(request().start_at(Timestamp::from_micros(1)));
    same(request().deadline_at(Timestamp::from_micros(1)));
    same(request().idempotency_key("k"));
}

#[test]
fn requests_that_say_something_else_have_another_hash() {
    let differs = |other: TaskRequest| assert_ne!(prepared(other).identity, prepared(request()).identity);
    differs(request().context(json!({"a": [2], "b": 2})));
    differs(request().bypass(["mail"]));
    differs(request().origin(origin(|origin| origin.reason = Some("because".to_owned()))));
    differs(request().origin(origin(|origin| origin.source_system = Some("shop".to_owned()))));
    differs(request().origin(origin(|origin| origin.initiator = Some("ann".to_owned()))));
    differs(request().origin(origin(|origin| {
        origin.requested_at = Some(Timestamp::from_micros(0))
    })));
}

#[test]
fn the_time_of_a_request_counts_to_the_minute() {
    let at = |micros| {
        prepared(request().origin(origin(|o| o.requested_at = Some(Timestamp::from_micros(micros))))).identity
    };
    assert_eq!(at(60_000_000), at(119_999_999));
    assert_ne!(at(119_999_999), at(120_000_000));
    assert_ne!(at(-1), at(0));
}

#[test]
fn a_unique_identity_is_the_tasks_id() {
    let task = request()
        .prepare(id(9), &Limits::default(), &UniqueIdentity)
        .unwrap();
    assert_eq!(task.identity, id(9).to_string());
}

#[test]
fn an_identity_may_be_ones_own() {
    #[derive(Debug)]
    struct ByAmount;
    impl Identity for ByAmount {
        fn of(&self, request: &TaskRequest, _: TaskId) -> String {
            request.template().full_name()
        }
    }
    let task = request().prepare(id(9), &Limits::default(), &ByAmount).unwrap();
    assert_eq!(task.identity, "payments.refund@2.1.0");
}

#[test]
fn the_digest_of_a_key_is_of_everything_that_the_caller_said() {
    let digest = |request: TaskRequest| prepared(request.idempotency_key("k")).idempotency.unwrap();
    let first = digest(request());
    assert_eq!(first.key, "k");
    assert_eq!(digest(request()), first);
    assert_eq!(digest(request().context(json!({"a": [2], "b": 1}))), first);
    for other in [
        request().priority(1),
        request().start_at(Timestamp::from_micros(1)),
        request().deadline_at(Timestamp::from_micros(1)),
        request().bypass(["mail"]),
        request().context(json!({"a": [2], "b": 1, "currency": "EUR"})),
        request().tags(["a"]),
        request().annotate("ticket", json!(7)),
        request().reason("because"),
    ] {
        assert_ne!(digest(other), first);
    }
}

#[test]
fn a_request_without_a_reason_has_an_unknown_one() {
    assert_eq!(prepared(request()).origin.reason.as_deref(), Some("unknown"));
}

#[test]
fn everything_that_was_asked_for_is_in_the_task() {
    let (start, end) = (Timestamp::from_micros(7), Timestamp::from_micros(8));
    let asked = request()
        .priority(-2)
        .start_at(start)
        .deadline_at(end)
        .parent(id(3), StepNo(1))
        .reason("a claim")
        .tags(["vip", "vip"])
        .annotate("ticket", json!({ "id": 7 }))
        .bypass(["mail"]);
    let task = prepared(asked);
    assert_eq!(
        (task.priority, task.start_at, task.deadline_at),
        (-2, Some(start), Some(end))
    );
    assert_eq!(
        (task.parent, task.bypass),
        (Some((id(3), StepNo(1))), vec![StepNo(2)])
    );
    assert_eq!(task.context.as_str(), r#"{"b":1,"a":[2],"currency":"EUR"}"#);
    assert_eq!(
        (task.origin.reason.as_deref(), task.origin.tags),
        (Some("a claim"), vec!["vip".to_owned()])
    );
    assert_eq!(json!(task.origin.annotations), json!({ "ticket": { "id": 7 } }));
}

#[test]
fn only_skippable_steps_are_bypassed() {
    let limits = Limits::default();
    refused(
        request().bypass(["pay"]),
        &limits,
        "`pay` cannot be bypassed: the template does not say `skippable: true` of it",
    );
    refused(
        request().bypass(["pai"]),
        &limits,
        "`pai` cannot be bypassed: `payments.refund@2.1.0` has no such step",
    );
}

#[test]
fn a_task_has_no_more_steps_than_the_limit() {
    let limits = Limits::try_from(LimitsValues {
        steps_per_task: 2,
        ..LimitsValues::default()
    })
    .unwrap();
    refused(
        request(),
        &limits,
        "`payments.refund@2.1.0` has 3 steps, but the limit is 2; split it, or raise `limits.steps_per_task`",
    );
}

#[test]
fn labels_keys_and_times_are_checked() {
    let limits = Limits::default();
    refused(
        request().tags([""]),
        &limits,
        "a tag is \"\", but it must be 1 to 128 characters, none of them a control character",
    );
    refused(
        request().idempotency_key(""),
        &limits,
        "the idempotency key has 0 characters, but it must have 1 to 255",
    );
    refused(
        request().idempotency_key("k".repeat(256)),
        &limits,
        "the idempotency key has 256 characters, but it must have 1 to 255",
    );
    let noon = Timestamp::from_micros(1_767_268_800_000_000);
    refused(
        request().start_at(noon).deadline_at(noon),
        &limits,
        "the deadline 2026-01-01T12:00:00.000000Z is not after the start 2026-01-01T12:00:00.000000Z",
    );
}

#[test]
fn the_context_is_checked() {
    refused(
        request().context(json!("x")),
        &Limits::default(),
        "the context must be a JSON object, but it is a text",
    );
}
