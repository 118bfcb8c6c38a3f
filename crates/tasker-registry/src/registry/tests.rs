//! One registry in one thread: what is found, what is changed, and what is said when it is not.

mod changes;
mod events;
mod lookups;
mod notices;

use super::*;

fn namespace(text: &str) -> Namespace {
    Namespace::new(text).unwrap()
}

fn handler(text: &str) -> HandlerName {
    HandlerName::new(text).unwrap()
}

fn version(text: &str) -> Version {
    text.parse().unwrap()
}

/// Two namespaces, one handler with three versions.
fn sample() -> Registry<str> {
    let registry = Registry::new();
    registry
        .batch(|batch| {
            batch.register_in("payments", "refund", "1.9.0", "old".into());
            batch.register_in("payments", "refund", "1.10.0", "new".into());
            batch.register_in("payments", "refund", "2.0.0-rc.1", "next".into());
            batch.register_in("payments", "charge", "0.1.0", "charge".into());
            batch.register("validate", "validate".into());
        })
        .unwrap();
    registry
}

#[track_caller]
fn refused(result: Result<impl Sized, impl Error>, message: &str) {
    let Err(error) = result else {
        panic!("accepted; expected: {message}")
    };
    assert_eq!(error.to_string(), message);
}
