//! Putting a Tasker together.

use std::sync::Arc;

use tasker::{BuildError, Tasker, handler};

fn message(error: BuildError) -> String {
    error.to_string()
}

#[test]
fn a_store_must_be_named() {
    let error = Tasker::builder().build().unwrap_err();
    assert_eq!(
        message(error),
        "nothing says where tasks are kept; call `data_directory`, `sqlite`, `postgres`, `memory` or `store` on the \
         builder, or set `database.url`"
    );
}

#[test]
fn a_postgres_database_needs_a_connection() {
    let error = Tasker::builder()
        .postgres("postgres://ann:secret@db/tasks")
        .build()
        .unwrap_err();
    assert_eq!(
        message(error),
        "a PostgreSQL database is reached over a connection: call `connect` on the builder instead of `build`"
    );
}

#[test]
fn all_handlers_that_are_refused_are_named() {
    let run = || handler(async || Ok::<_, tasker::StepError>(1));
    let built = Tasker::builder()
        .memory()
        .handler("charge", run())
        .handler("charge", run())
        .handler("1st", run())
        .handler_in("payments", "refund", "two", run())
        .build();
    let Err(BuildError::Handlers(error)) = built else {
        panic!("{built:?}")
    };
    assert_eq!(error.changes, 4);
    assert_eq!(error.faults.len(), 3, "{error}");
}

#[test]
fn a_registry_may_be_shared() {
    let registry = Arc::new(tasker::Registry::new());
    let tasker = Tasker::builder()
        .memory()
        .registry(Arc::clone(&registry))
        .build()
        .unwrap();
    let reference = "late".parse().unwrap();
    assert!(
        tasker
            .handlers()
            .resolve(&tasker::Namespace::default(), &reference)
            .is_err()
    );
    registry
        .register("late", handler(async || Ok::<_, tasker::StepError>(1)))
        .unwrap();
    assert!(
        tasker
            .handlers()
            .resolve(&tasker::Namespace::default(), &reference)
            .is_ok()
    );
}

#[test]
fn built_in_handlers_are_listed() {
    let tasker = Tasker::builder().memory().build().unwrap();
    let names: Vec<_> = tasker
        .built_in_handlers()
        .map(|(name, version)| format!("{name}@{version}"))
        .collect();
    let expected: &[&str] = if cfg!(feature = "http") {
        &["command@0.1.0", "http@0.1.0", "sleep@0.1.0"]
    } else {
        &["command@0.1.0", "sleep@0.1.0"]
    };
    assert_eq!(names, expected);
}
