use std::sync::Barrier;
use std::sync::mpsc::channel;
use std::time::Duration;

use crate::HandlerChange;

use super::*;

/// How long a test waits for what must come; it comes at once.
const SOON: Duration = Duration::from_secs(20);

/// Returns what has been told so far: number, event, and what it is about.
fn told(subscription: &Subscription) -> Vec<String> {
    std::iter::from_fn(|| subscription.try_recv()).map(show).collect()
}

fn show(Notice { number, change }: Notice) -> String {
    let about = match &change {
        HandlerChange::Registered { handler, .. }
        | HandlerChange::Replaced { handler, .. }
        | HandlerChange::Removed { handler } => handler.to_string(),
        HandlerChange::Refused { handler, reason } => format!("{handler:?} {reason}"),
    };
    format!("{number} {} {about}", change.event_name())
}

#[test]
fn every_change_is_told_in_its_order() {
    let registry = sample();
    let subscription = registry.subscribe();
    let (default, more) = (Namespace::default(), handler("more"));
    registry.register("more", "1".into()).unwrap();
    registry
        .replace("default_system", "more", "0.1.0", "2".into())
        .unwrap();
    registry.register("more", "3".into()).unwrap_err();
    registry.register("no name", "4".into()).unwrap_err();
    registry.remove(&default, &more, &version("0.1.0")).unwrap();
    registry.remove(&default, &more, &version("0.1.0")).unwrap_err();
    registry.declare("the test", ["order.sent"]).unwrap();
    // Five notices came before the subscription.
    assert_eq!(
        told(&subscription),
        [
            "6 handler.registered default_system.more@0.1.0",
            "7 handler.replaced default_system.more@0.1.0",
            "8 handler.refused Some(FullName(default_system.more@0.1.0)) \
             the handler `default_system.more@0.1.0` is registered already; use `replace` to put another in its place",
            "9 handler.refused None a handler of the namespace `default_system` has no valid name: \
             `no name` has the character ` `; a name has letters, digits, `_` and `-` only",
            "10 handler.removed default_system.more@0.1.0",
            "11 handler.refused Some(FullName(default_system.more@0.1.0)) nothing to remove: \
             there is no handler `more` in the namespace `default_system`",
        ]
    );
}

#[test]
fn a_batch_is_told_as_a_whole_or_by_its_faults() {
    let registry = Registry::<str>::builder()
        .events(|text: &str| vec![tasker_types::EventDefinition::new(format!("{text}.done"))])
        .build();
    let subscription = registry.subscribe();
    registry
        .batch(|batch| {
            batch.register("a", "order".into());
            batch.register("b", "refund".into());
        })
        .unwrap();
    let events: Vec<_> = std::iter::from_fn(|| subscription.try_recv())
        .map(|notice| match notice.change {
            HandlerChange::Registered { handler, events } => format!("{handler} {}", events[0].name),
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(
        events,
        [
            "default_system.a@0.1.0 order.done",
            "default_system.b@0.1.0 refund.done"
        ]
    );
    registry
        .batch(|batch| {
            batch.register("fine", "fine".into());
            batch.register("a", "order".into());
            batch.register("task", "task".into());
        })
        .unwrap_err();
    assert_eq!(
        told(&subscription),
        [
            "3 handler.refused Some(FullName(default_system.a@0.1.0)) \
             the handler `default_system.a@0.1.0` is registered already; use `replace` to put another in its place",
            "4 handler.refused Some(FullName(default_system.task@0.1.0)) \
             the handler `default_system.task@0.1.0` declares a custom event that cannot be: `task.done` is in the \
             namespace `task`, which has the system's own events; choose another",
        ]
    );
}

#[test]
fn notices_of_many_writers_have_no_gaps() {
    let registry = Registry::<()>::new();
    let subscription = registry.subscribe();
    std::thread::scope(|scope| {
        for writer in 0..4 {
            let registry = &registry;
            scope.spawn(move || {
                for number in 0..100 {
                    registry
                        .register(format!("h{writer}_{number}"), Arc::new(()))
                        .unwrap();
                }
            });
        }
    });
    let numbers: Vec<u64> = std::iter::from_fn(|| subscription.try_recv())
        .map(|notice| notice.number)
        .collect();
    assert_eq!(numbers, (1..=400).collect::<Vec<_>>());
}

#[test]
fn a_slow_subscriber_misses_what_does_not_fit_and_holds_up_nobody() {
    let registry = Registry::<()>::new();
    let (slow, quick) = (registry.subscribe(), registry.subscribe());
    for number in 1..=1_030 {
        registry.register(format!("h{number}"), Arc::new(())).unwrap();
        assert_eq!(quick.try_recv().unwrap().number, number);
    }
    assert_eq!((slow.missed(), quick.missed()), (6, 0));
    // The gap shows where it is: the oldest waited, the newest did not fit.
    let last = std::iter::from_fn(|| slow.try_recv()).last().unwrap();
    assert_eq!(last.number, 1_024);
    registry.register("after", Arc::new(())).unwrap();
    assert_eq!(slow.recv().unwrap().number, 1_031);
    let activity = registry.activity();
    assert_eq!((activity.missed, activity.subscribers), (6, 2));
}

#[test]
fn a_function_that_waits_holds_up_no_change() {
    let registry = Registry::<()>::new();
    let (go, wait) = channel::<()>();
    let (seen, numbers) = channel();
    let watch = registry
        .watch(move |notice| {
            // It waits until the test has made all its changes.
            let _ = wait.recv();
            let _ = seen.send(notice.number);
        })
        .unwrap();
    for number in 1..=1_100 {
        registry.register(format!("h{number}"), Arc::new(())).unwrap();
    }
    drop(go);
    let first: Vec<u64> = (0..1_024).map(|_| numbers.recv_timeout(SOON).unwrap()).collect();
    assert_eq!(first, (1..=1_024).collect::<Vec<_>>());
    // Whether the first was taken out in time for one more is up to the scheduler.
    assert!((75..=76).contains(&watch.missed()), "{}", watch.missed());
    assert_eq!(registry.activity().missed, watch.missed());
}

#[test]
fn a_function_that_panics_is_counted_and_called_again() {
    let registry = Registry::<()>::new();
    let (seen, numbers) = channel();
    let watch = registry
        .watch(move |notice| {
            let _ = seen.send(notice.number);
            assert!(
                notice.number % 2 == 0,
                "odd numbers are too much for this function"
            );
        })
        .unwrap();
    for number in 1..=4 {
        registry.register(format!("h{number}"), Arc::new(())).unwrap();
        assert_eq!(numbers.recv_timeout(SOON).unwrap(), number);
    }
    registry.register("last", Arc::new(())).unwrap();
    assert_eq!(numbers.recv_timeout(SOON).unwrap(), 5);
    // The fifth notice came after the third had panicked.
    assert!((2..=3).contains(&watch.panicked()), "{}", watch.panicked());
    assert!(registry.activity().panicked >= 2);
    assert_eq!(registry.stats().versions, 5);
}

#[test]
fn a_watching_function_may_use_the_registry() {
    let registry = Arc::new(Registry::<str>::new());
    let (seen, names) = channel();
    let inner = Arc::downgrade(&registry);
    let _watch = registry
        .watch(move |notice| {
            if let (HandlerChange::Registered { handler, .. }, Some(registry)) =
                (&notice.change, inner.upgrade())
            {
                let found = registry.get(&handler.namespace, &handler.name).unwrap().1;
                if &*found == "first" {
                    registry.register("second", "second".into()).unwrap();
                }
                let _ = seen.send(found);
            }
        })
        .unwrap();
    registry.register("first", "first".into()).unwrap();
    assert_eq!(&*names.recv_timeout(SOON).unwrap(), "first");
    assert_eq!(&*names.recv_timeout(SOON).unwrap(), "second");
}

#[test]
fn who_is_dropped_is_told_nothing_more() {
    let registry = Registry::<()>::new();
    let subscription = registry.subscribe();
    let (entered, left) = (Arc::new(Barrier::new(2)), Arc::new(Barrier::new(2)));
    let (seen, numbers) = channel();
    let watch = {
        let (entered, left) = (Arc::clone(&entered), Arc::clone(&left));
        registry
            .watch(move |notice| {
                entered.wait();
                left.wait();
                let _ = seen.send(notice.number);
            })
            .unwrap()
    };
    registry.register("a", Arc::new(())).unwrap();
    registry.register("b", Arc::new(())).unwrap();
    entered.wait();
    assert_eq!(registry.activity().subscribers, 2);
    drop((watch, subscription));
    assert_eq!(registry.activity().subscribers, 0);
    left.wait();
    // The call that was under way came to its end, the next did not come, and the function is gone.
    assert_eq!(numbers.recv_timeout(SOON), Ok(1));
    assert!(numbers.recv_timeout(SOON).is_err());
    registry.register("c", Arc::new(())).unwrap();
}

#[test]
fn a_subscription_ends_with_its_registry() {
    let registry = Registry::<()>::new();
    let subscription = registry.subscribe();
    registry.register("a", Arc::new(())).unwrap();
    assert_eq!(subscription.recv_timeout(Duration::ZERO).unwrap().number, 1);
    assert_eq!(subscription.recv_timeout(Duration::ZERO), None);
    registry.register("b", Arc::new(())).unwrap();
    drop(registry);
    assert_eq!(subscription.recv().unwrap().number, 2);
    assert_eq!(subscription.recv(), None);
}

#[test]
fn activity_counts_what_happened() {
    let registry = sample();
    registry
        .replace("payments", "refund", "1.9.0", "newer".into())
        .unwrap();
    registry.register("validate", "again".into()).unwrap_err();
    registry
        .remove(&Namespace::default(), &handler("validate"), &version("0.1.0"))
        .unwrap();
    let activity = registry.activity();
    let counts = [
        activity.registered,
        activity.replaced,
        activity.removed,
        activity.refused,
    ];
    assert_eq!(counts, [5, 1, 1, 1]);
    // A scope counts for itself.
    assert_eq!(registry.scope().activity(), Activity::default());
}

#[test]
fn what_happens_in_a_scope_is_told_there_alone() {
    let registry = sample();
    let (outside, scope) = (registry.subscribe(), registry.scope());
    let inside = scope.subscribe();
    scope.register("local", "local".into()).unwrap();
    assert_eq!(told(&inside), ["1 handler.registered default_system.local@0.1.0"]);
    assert_eq!(told(&outside), [""; 0]);
}
