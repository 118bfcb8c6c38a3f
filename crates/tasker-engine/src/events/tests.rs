//! What the catalogue has, what follows from the history, and what patterns match.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::{Value, json};
use tasker_types::{
    Position, RunNo, SYSTEM_EVENT_NAMESPACES, StepNo, StepState, TaskId, TaskState, Timestamp,
};

use super::*;
use crate::failure::Failure;
use crate::json::Json;
use crate::record::{Actor, Change, Transition};
use crate::template::{StepBuilder, Template};
use crate::transition::{StepEvent, TaskEvent, step_table, task_table};

fn subject() -> Subject {
    let template = Template::builder("refund")
        .namespace("payments")
        .version("2.1.0")
        .step(StepBuilder::new("check", "validate"))
        .step(StepBuilder::new("pay", "bank.pay@^1").depends_on(["check"]))
        .build()
        .unwrap();
    Subject::new(template, Some("c-7".to_owned()))
}

fn told(change: Change, metadata: Option<Value>) -> Vec<Event> {
    let entry = Transition {
        position: Position(9),
        task: TaskId::new(Timestamp::from_micros(5), 1),
        change,
        at: Timestamp::from_micros(77),
        actor: Actor::User("ann".to_owned()),
        metadata: metadata.as_ref().map(Json::from),
    };
    derive(&entry, &subject())
}

fn step(from: StepState, event: StepEvent, to: StepState) -> Change {
    Change::Step {
        step: StepNo(1),
        from,
        event,
        to,
        run: RunNo(4),
        attempt: 2,
        handler_version: None,
        ran_us: Some(1_500_000),
    }
}

fn names(events: &[Event]) -> Vec<&str> {
    events.iter().map(|event| event.name.as_str()).collect()
}

#[test]
fn every_transition_is_told() {
    let mut lines = vec![format!(
        "created: {}",
        names(&told(Change::Created, None)).join(", ")
    )];
    for (from, event, to) in task_table() {
        let events = told(Change::Task { from, event, to }, None);
        lines.push(format!("task {from} {event}: {}", names(&events).join(", ")));
    }
    for (from, event, to, _) in step_table() {
        let events = told(step(from, event, to), None);
        lines.push(format!("step {from} {event} {to}: {}", names(&events).join(", ")));
    }
    let late = Change::LateOutcome {
        step: StepNo(0),
        run: RunNo(1),
    };
    for (name, change) in [
        ("late outcome", late),
        (
            "setting of a step",
            Change::Setting {
                step: Some(StepNo(0)),
            },
        ),
        ("setting", Change::Setting { step: None }),
    ] {
        lines.push(format!("{name}: {}", names(&told(change, None)).join(", ")));
    }
    insta::assert_snapshot!(lines.join("\n"), @r"
    created: task.initialize_requested
    task pending start: task.start_requested, workflow.task_started
    task pending cancel: task.cancelled
    task pending fail: task.failed
    task in_progress complete: task.completed
    task in_progress fail: task.failed
    task in_progress cancel: task.cancelled
    task error resume: task.retry_requested
    task error resolve: task.resolved_manually
    task error cancel: task.cancelled
    step pending start in_progress: step.execution_requested
    step pending cancel cancelled: step.cancelled
    step pending resolve resolved_manually: step.resolved_manually
    step in_progress succeed complete: step.completed
    step in_progress fail error: step.failed
    step in_progress expire error: step.failed
    step in_progress release pending: observability.step.released
    step in_progress interrupt pending: observability.step.interrupted
    step in_progress interrupt error: step.failed
    step in_progress suspend pending: observability.step.suspended
    step in_progress cancel cancelled: step.cancelled
    step error start in_progress: step.execution_requested
    step error reset pending: step.retry_requested
    step error cancel cancelled: step.cancelled
    step error resolve resolved_manually: step.resolved_manually
    step cancelled reset pending: step.retry_requested
    step cancelled resolve resolved_manually: step.resolved_manually
    late outcome: observability.step.late_outcome
    setting of a step: observability.step.changed
    setting: observability.task.changed
    ");
}

#[test]
fn what_is_derived_is_durable_and_all_that_is_durable_is_derived() {
    let mut derived = BTreeSet::new();
    let mut take = |events: Vec<Event>| derived.extend(events.into_iter().map(|event| event.name));
    take(told(Change::Created, None));
    for (from, event, to) in task_table() {
        take(told(Change::Task { from, event, to }, None));
    }
    for (from, event, to, _) in step_table() {
        take(told(step(from, event, to), None));
    }
    take(told(Change::Setting { step: None }, None));
    take(told(
        Change::Setting {
            step: Some(StepNo(0)),
        },
        None,
    ));
    take(told(
        Change::LateOutcome {
            step: StepNo(0),
            run: RunNo(1),
        },
        None,
    ));
    let durable: BTreeSet<String> = SystemEvent::ALL
        .iter()
        .filter(|event| event.durability() == Durability::Durable)
        .map(|event| event.name().to_owned())
        .collect();
    assert_eq!(derived, durable);
}

#[test]
fn the_catalogue_has_each_name_once_and_no_custom_event_can_have_it() {
    let names: BTreeSet<_> = SystemEvent::ALL.iter().map(|event| event.name()).collect();
    assert_eq!(names.len(), SystemEvent::ALL.len());
    for event in SystemEvent::ALL {
        assert_eq!(SystemEvent::named(event.name()), Some(*event));
        assert!(tasker_types::EventName::new(event.name()).is_err(), "{event:?}");
        assert!(PayloadType::ALL.contains(&event.payload()), "{event:?}");
        let namespace = event.name().split('.').next().unwrap();
        assert!(
            SYSTEM_EVENT_NAMESPACES.contains(&namespace)
                || tasker_types::HANDLER_EVENTS.contains(&event.name()),
            "{event:?}"
        );
    }
    assert_eq!(SystemEvent::named("task.compleated"), None);
}

#[test]
fn a_failed_attempt_says_how_it_failed() {
    let failure = Failure::permanent("HTTP_404", "no such account");
    let events = told(
        step(StepState::InProgress, StepEvent::Fail, StepState::Error),
        Some(json!(failure)),
    );
    assert_eq!(names(&events), ["step.failed"]);
    assert_eq!((events[0].position, events[0].ordinal), (Some(Position(9)), 0));
    assert_eq!(events[0].at, Timestamp::from_micros(77));
    let payload: StepPayload = events[0].read().unwrap();
    assert_eq!(
        (payload.step.as_str(), payload.attempt, payload.run),
        ("pay", 2, RunNo(4))
    );
    assert_eq!(payload.handler, "bank.pay@^1");
    assert_eq!(payload.correlation_id.as_deref(), Some("c-7"));
    assert_eq!(payload.ran_seconds, Some(1.5));
    let error = payload.error.unwrap();
    assert_eq!((error.code.as_str(), error.permanent), ("HTTP_404", true));
    assert_eq!(json!(payload.version), "2.1.0");
}

#[test]
fn what_a_step_published_comes_before_its_end() {
    let failure = Failure::retryable("ERROR", "declined");
    let mut metadata = json!(failure);
    metadata["events"] = json!([
        { "name": "payment.tried", "data": { "amount": 7 } },
        { "name": "payment.declined", "data": null },
    ]);
    let events = told(
        step(StepState::InProgress, StepEvent::Fail, StepState::Error),
        Some(metadata),
    );
    assert_eq!(
        names(&events),
        ["payment.tried", "payment.declined", "step.failed"]
    );
    assert_eq!(
        events.iter().map(|event| event.ordinal).collect::<Vec<_>>(),
        [0, 1, 2]
    );
    let custom: CustomPayload = events[0].read().unwrap();
    assert_eq!((custom.data, custom.attempt), (json!({ "amount": 7 }), 2));
    let payload: StepPayload = events[2].read().unwrap();
    assert_eq!(payload.error.unwrap().message, "declined");
}

#[test]
fn reasons_are_told() {
    let failed = Change::Task {
        from: TaskState::InProgress,
        event: TaskEvent::Fail,
        to: TaskState::Error,
    };
    let events = told(failed, Some(json!({ "reason": "deadline_exceeded" })));
    let payload: TaskPayload = events[0].read().unwrap();
    assert_eq!(
        payload.failure.map(|failure| failure.to_string()).as_deref(),
        Some("deadline_exceeded")
    );
    assert_eq!((payload.reason, payload.state), (None, TaskState::Error));
    let cancelled = Change::Task {
        from: TaskState::InProgress,
        event: TaskEvent::Cancel,
        to: TaskState::Cancelled,
    };
    let events = told(cancelled, Some(json!({ "reason": "wrong order" })));
    let payload: TaskPayload = events[0].read().unwrap();
    assert_eq!(
        (payload.failure, payload.reason.as_deref()),
        (None, Some("wrong order"))
    );
    assert_eq!(payload.actor, Actor::User("ann".to_owned()));
}

#[test]
fn a_change_of_settings_is_told() {
    let events = told(
        Change::Setting {
            step: Some(StepNo(1)),
        },
        Some(json!({ "retry_limit": 5, "reason": "patience" })),
    );
    let payload: ChangePayload = events[0].read().unwrap();
    assert_eq!(payload.step.unwrap().as_str(), "pay");
    assert_eq!(payload.changed, json!({ "retry_limit": 5, "reason": "patience" }));
}

#[test]
fn patterns_match_names() {
    #[track_caller]
    fn check(pattern: &str, name: &str, expected: bool) {
        let pattern: Pattern = pattern.parse().unwrap();
        assert_eq!(pattern.matches(name), expected, "{pattern} {name}");
    }
    check("task.completed", "task.completed", true);
    check("task.completed", "task.completed.late", false);
    check("task.*", "task.completed", true);
    check("task.*", "task", false);
    check("task.*", "subtask.completed", false);
    check("*", "task.completed", true);
    check("*.failed", "task.failed", true);
    check("*.failed", "step.failed", true);
    check("*.failed", "step.failed_twice", false);
    check("observability.*", "observability.step.backoff", true);
    check("observability.*.backoff", "observability.step.backoff", true);
    check("order.*", "order.placed", true);
    check("*a*b*", "xxaxxbxx", true);
    check("*ab", "aab", true);
    check("a*a", "a", false);
}

#[test]
fn what_is_no_pattern_is_refused() {
    #[track_caller]
    fn check(pattern: &str, message: &str) {
        assert_eq!(pattern.parse::<Pattern>().unwrap_err().to_string(), message);
    }
    check(
        "",
        "`` is no pattern of events: 1 to 128 letters, digits, `.`, `_`, `-` and `*`",
    );
    check(
        "task completed",
        "`task completed` is no pattern of events: 1 to 128 letters, digits, `.`, `_`, `-` and `*`",
    );
    check(
        "task.complete",
        "there is no event `task.complete`; did you mean `task.completed`?",
    );
    check(
        "checkout",
        "there is no event `checkout`; the system's are in `task`, `step`, `workflow`, `observability`, `registry`",
    );
}

#[test]
fn local_events_are_made_only_if_someone_listens() {
    #[derive(Debug)]
    struct Deaf;
    impl Emit for Deaf {
        fn is_heard(&self) -> bool {
            false
        }
        fn emit(&self, event: SystemEvent, _: Value) {
            panic!("{event:?} was emitted");
        }
    }
    let deaf = Emitter::new(Arc::new(Deaf));
    for emitter in [deaf, Emitter::default()] {
        emitter.emit(SystemEvent::StepHandle, || -> u32 { panic!("it was made") });
    }
}
