use tasker_types::{CustomEvent, EventDefinition};

use super::*;

/// A handler that only has events, each a name and a description; none if that is empty.
type Handler = [(&'static str, &'static str)];

fn registry() -> Registry<Handler> {
    Registry::builder()
        .events(|handler: &Handler| handler.iter().map(|event| definition(*event)).collect())
        .build()
}

fn definition((name, description): (&str, &str)) -> EventDefinition {
    let event = EventDefinition::new(name);
    if description.is_empty() {
        event
    } else {
        event.described(description)
    }
}

const REFUND: (&str, &str) = ("refund.checked", "it is in order");
const OTHER: (&str, &str) = ("refund.checked", "it is not");

/// Returns every event with its description and who declared it.
fn known<H: ?Sized>(registry: &Registry<H>) -> Vec<String> {
    let show = |entry: &EventEntry| {
        let CustomEvent { name, description } = &entry.event;
        let sources: Vec<_> = entry.declared_by.iter().map(ToString::to_string).collect();
        format!("{name} {description:?}: {}", sources.join(", "))
    };
    registry.events().iter().map(show).collect()
}

#[test]
fn a_handler_brings_its_events_and_takes_them_with_it() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    assert_eq!(
        known(&registry),
        ["refund.checked Some(\"it is in order\"): the handler `default_system.refund@0.1.0`"]
    );
    assert_eq!(registry.stats().events, 1);
    registry
        .remove(&Namespace::default(), &handler("refund"), &version("0.1.0"))
        .unwrap();
    assert_eq!(known(&registry), [""; 0]);
}

#[test]
fn an_event_may_be_declared_alike_by_many() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    registry
        .register_in("payments", "check", "1.2.0", Arc::new([REFUND]))
        .unwrap();
    registry
        .declare("the template `refunds`", [definition(REFUND)])
        .unwrap();
    // Who gives no description leaves it to the others.
    registry
        .register_in("payments", "silent", "1.0.0", Arc::new([("refund.checked", "")]))
        .unwrap();
    assert_eq!(
        known(&registry),
        [
            "refund.checked Some(\"it is in order\"): the handler `default_system.refund@0.1.0`, \
          the handler `payments.check@1.2.0`, the handler `payments.silent@1.0.0`, the template `refunds`"
        ]
    );
    registry
        .remove(&Namespace::default(), &handler("refund"), &version("0.1.0"))
        .unwrap();
    registry.withdraw("the template `refunds`");
    assert_eq!(
        known(&registry),
        [
            "refund.checked Some(\"it is in order\"): the handler `payments.check@1.2.0`, \
             the handler `payments.silent@1.0.0`"
        ]
    );
}

#[test]
fn an_event_with_another_definition_is_refused() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    refused(
        registry.register_in(
            "payments",
            "check",
            "1.2.0",
            Arc::new([("order.sent", ""), OTHER]),
        ),
        "the handler `payments.check@1.2.0` describes the custom event `refund.checked` as \"it is not\", but \
         the handler `default_system.refund@0.1.0` as \"it is in order\"; give both the same description, or one of them \
         another name",
    );
    refused(
        registry.declare("the template `refunds`", [definition(OTHER)]),
        "the template `refunds` describes the custom event `refund.checked` as \"it is not\", but \
         the handler `default_system.refund@0.1.0` as \"it is in order\"; give both the same description, or one of them \
         another name",
    );
    refused(
        registry.register("twice", Arc::new([("a.b", "one"), ("a.b", "two")])),
        "the handler `default_system.twice@0.1.0` describes the custom event `a.b` as \"two\", but \
         the handler `default_system.twice@0.1.0` as \"one\"; give both the same description, or one of them another name",
    );
    assert_eq!((known(&registry).len(), registry.stats().versions), (1, 1));
}

#[test]
fn an_event_whose_name_is_none_is_refused_with_its_handler() {
    let registry = registry();
    refused(
        registry.register("refund", Arc::new([REFUND, ("checked", "")])),
        "the handler `default_system.refund@0.1.0` declares a custom event that cannot be: `checked` has no dot; \
         a custom event is named `namespace.event`, for instance `orders.checked`",
    );
    refused(
        registry.declare("the template `refunds`", ["step.checked"]),
        "the template `refunds` declares a custom event that cannot be: `step.checked` is in the namespace `step`, \
         which has the system's own events; choose another",
    );
    refused(
        registry.declare("the template `refunds`", ["handler.removed"]),
        "the template `refunds` declares a custom event that cannot be: `handler.removed` is an event of the system; \
         choose another name",
    );
    assert_eq!(registry.stats(), Stats::default());
}

#[test]
fn who_is_replaced_does_not_hold_on_to_a_definition() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    registry
        .replace("default_system", "refund", "0.1.0", Arc::new([OTHER]))
        .unwrap();
    registry
        .declare("the template `refunds`", ["refund.asked"])
        .unwrap();
    registry
        .declare("the template `refunds`", ["refund.paid"])
        .unwrap();
    assert_eq!(
        known(&registry),
        [
            "refund.checked Some(\"it is not\"): the handler `default_system.refund@0.1.0`",
            "refund.paid None: the template `refunds`",
        ]
    );
}

#[test]
fn a_batch_may_change_a_definition_everywhere_at_once() {
    let registry = registry();
    let fill = |event: (&'static str, &'static str)| {
        move |batch: &mut Batch<Handler>| {
            batch.replace("payments", "a", "1.0.0", Arc::new([event]));
            batch.replace("payments", "b", "1.0.0", Arc::new([event]));
            batch.declare("the template `refunds`", [definition(event)]);
        }
    };
    registry.batch(fill(REFUND)).unwrap();
    registry.batch(fill(OTHER)).unwrap();
    assert_eq!(
        known(&registry),
        [
            "refund.checked Some(\"it is not\"): the handler `payments.a@1.0.0`, the handler `payments.b@1.0.0`, \
          the template `refunds`"
        ]
    );
}

#[test]
fn a_batch_with_a_wrong_event_changes_nothing_and_names_every_fault() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    let result = registry.batch(|batch| {
        batch.register("fine", Arc::new([("order.sent", "")]));
        batch.register("conflict", Arc::new([OTHER]));
        batch.declare("the template `refunds`", ["a"]);
        batch.register("refund", Arc::new([]));
        batch.withdraw("the template `nothing`");
    });
    refused(
        result,
        "3 of 5 changes refused, so none was made: \
         the handler `default_system.conflict@0.1.0` describes the custom event `refund.checked` as \"it is not\", but \
         the handler `default_system.refund@0.1.0` as \"it is in order\"; give both the same description, or one of them \
         another name; \
         the template `refunds` declares a custom event that cannot be: `a` has no dot; \
         a custom event is named `namespace.event`, for instance `orders.a`; \
         the handler `default_system.refund@0.1.0` is registered already; use `replace` to put another in its place",
    );
    assert_eq!((known(&registry).len(), registry.stats().versions), (1, 1));
}

#[test]
fn what_a_batch_removes_again_declares_nothing() {
    let registry = registry();
    registry
        .batch(|batch| {
            batch.register("refund", Arc::new([REFUND]));
            batch.remove(&Namespace::default(), &handler("refund"), &version("0.1.0"));
            batch.declare("the template `refunds`", [definition(OTHER)]);
        })
        .unwrap();
    assert_eq!(
        known(&registry),
        ["refund.checked Some(\"it is not\"): the template `refunds`"]
    );
}

#[test]
fn an_unknown_event_comes_with_the_nearest() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    let entry = registry.event("refund.checked").unwrap();
    assert_eq!(entry.event.description.as_deref(), Some("it is in order"));
    refused(
        registry.event("refund.cheked"),
        "there is no custom event `refund.cheked`; did you mean `refund.checked`?",
    );
    refused(
        registry.event("order.sent"),
        "there is no custom event `order.sent`",
    );
}

#[test]
fn events_of_a_scope_stay_there() {
    let registry = registry();
    registry.register("refund", Arc::new([REFUND])).unwrap();
    let scope = registry.scope();
    scope
        .replace("default_system", "refund", "0.1.0", Arc::new([OTHER]))
        .unwrap();
    scope.declare("the test", ["order.sent"]).unwrap();
    assert_eq!((known(&scope).len(), known(&registry).len()), (2, 1));
    assert_eq!(
        registry
            .event("refund.checked")
            .unwrap()
            .event
            .description
            .as_deref(),
        Some("it is in order")
    );
}
