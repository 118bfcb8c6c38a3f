use super::*;

#[test]
fn a_version_is_registered_once() {
    refused(
        sample().register_in("payments", "refund", "1.9.0", "again".into()),
        "the handler `payments.refund@1.9.0` is registered already; use `replace` to put another in its place",
    );
}

#[test]
fn replace_returns_what_it_replaced() {
    let registry = sample();
    let former = registry
        .replace("payments", "refund", "1.9.0", "newer".into())
        .unwrap();
    assert_eq!(former.as_deref(), Some("old"));
    let former = registry
        .replace("payments", "refund", "1.9.1", "newest".into())
        .unwrap();
    assert_eq!(former, None);
    assert_eq!(registry.stats().versions, 6);
}

#[test]
fn names_and_versions_are_checked() {
    let registry = Registry::<str>::new();
    refused(
        registry.register_in("pay.ments", "refund", "1.0.0", "".into()),
        "the namespace of the handler `refund` is not a name: `pay.ments` has the character `.`; \
         a name has letters, digits, `_` and `-` only",
    );
    refused(
        registry.register("", "".into()),
        "a handler of the namespace `default_system` has no valid name: a name must not be empty",
    );
    refused(
        registry.register_in("payments", "refund", "1.0", "".into()),
        "the handler `payments.refund` has the version `1.0`, which is no semantic version such as `1.2.0`: \
         unexpected end of input while parsing minor version number",
    );
    assert_eq!(registry.stats(), Stats::default());
}

#[test]
fn a_handler_may_be_refused_by_its_own_check() {
    let is_empty = |text: &str| {
        if text.is_empty() {
            Err("it is empty")
        } else {
            Ok(())
        }
    };
    let registry = Registry::<str>::builder().check(is_empty).build();
    registry.register("good", "text".into()).unwrap();
    let message = "the handler `default_system.bad@0.1.0` is not valid: it is empty";
    refused(registry.register("bad", "".into()), message);
    refused(
        registry.replace("default_system", "bad", "0.1.0", "".into()),
        message,
    );
    refused(registry.scope().register("bad", "".into()), message);
    assert_eq!(registry.stats().versions, 1);
}

#[test]
fn a_check_may_use_the_registry() {
    let registry: Arc<std::sync::OnceLock<Registry<str>>> = Arc::default();
    let inner = Arc::clone(&registry);
    let checked = registry.get_or_init(|| {
        let check = move |text: &str| match (text, inner.get()) {
            ("outer", Some(registry)) => registry.register("inner", "inner".into()),
            _ => Ok(()),
        };
        Registry::builder().check(check).build()
    });
    checked.register("outer", "outer".into()).unwrap();
    assert_eq!(checked.stats().handlers, 2);
}

#[test]
fn a_batch_with_faults_changes_nothing_and_names_them_all() {
    let registry = sample();
    let before = format!("{registry:?}");
    let result = registry.batch(|batch| {
        batch.register("fine", "".into());
        batch.register("not fine", "".into());
        batch.register_in("payments", "refund", "1.9.0", "".into());
        batch.replace("payments", "refund", "1.10.0", "".into());
        batch.register("fine", "".into());
        batch.remove(&namespace("payments"), &handler("ship"), &version("1.0.0"));
    });
    refused(
        result,
        "4 of 6 changes refused, so none was made: \
         a handler of the namespace `default_system` has no valid name: `not fine` has the character ` `; \
         a name has letters, digits, `_` and `-` only; \
         the handler `payments.refund@1.9.0` is registered already; use `replace` to put another in its place; \
         the handler `default_system.fine@0.1.0` is in the batch twice; \
         nothing to remove: there is no handler `ship` in the namespace `payments`",
    );
    assert_eq!(format!("{registry:?}"), before);
    assert_eq!(
        &*registry
            .get_version(&namespace("payments"), &handler("refund"), &version("1.10.0"))
            .unwrap(),
        "new"
    );
}

#[test]
fn a_batch_makes_its_changes_in_order() {
    let registry = sample();
    let (default, validate) = (Namespace::default(), handler("validate"));
    registry
        .batch(|batch| {
            batch.remove(&default, &validate, &version("0.1.0"));
            batch.register("validate", "again".into());
        })
        .unwrap();
    assert_eq!(&*registry.get(&default, &validate).unwrap().1, "again");
}

#[test]
fn the_last_version_takes_its_names_with_it() {
    let registry = sample();
    let (default, validate) = (Namespace::default(), handler("validate"));
    assert_eq!(
        &*registry.remove(&default, &validate, &version("0.1.0")).unwrap(),
        "validate"
    );
    assert_eq!(registry.namespaces(), [namespace("payments")]);
    refused(
        registry.remove(&default, &validate, &version("0.1.0")),
        "there is no namespace `default_system`",
    );
}

#[test]
fn a_snapshot_does_not_change() {
    let registry = sample();
    let snapshot = registry.snapshot();
    registry
        .replace("payments", "refund", "1.9.0", "newer".into())
        .unwrap();
    registry.register("more", "more".into()).unwrap();
    let found = snapshot
        .get_version(&namespace("payments"), &handler("refund"), &version("1.9.0"))
        .unwrap();
    assert_eq!((&*found, snapshot.stats().versions), ("old", 5));
}

#[test]
fn what_happens_in_a_scope_stays_there() {
    let registry = sample();
    let scope = registry.scope();
    scope.register("local", "local".into()).unwrap();
    scope
        .remove(&Namespace::default(), &handler("validate"), &version("0.1.0"))
        .unwrap();
    registry.register("global", "global".into()).unwrap();
    let names = |registry: &Registry<str>| {
        let entries = registry.list(&Namespace::default()).unwrap();
        entries
            .iter()
            .map(|entry| entry.name.to_string())
            .collect::<Vec<_>>()
    };
    assert_eq!(names(&scope), ["local"]);
    assert_eq!(names(&registry), ["global", "validate"]);
}

#[test]
fn a_dropped_scope_leaves_nothing() {
    let (registry, handler) = (sample(), Arc::<str>::from("local"));
    let scope = registry.scope();
    scope.register("local", Arc::clone(&handler)).unwrap();
    let snapshot = scope.snapshot();
    drop(scope);
    assert_eq!(Arc::strong_count(&handler), 2);
    drop(snapshot);
    assert_eq!(Arc::strong_count(&handler), 1);
    assert_eq!(registry.snapshot().stats(), sample().stats());
}

#[test]
fn functions_and_trait_objects_can_be_registered() {
    let functions: Registry<fn(i64) -> i64> = Registry::new();
    functions.register("negate", Arc::new(|n| -n)).unwrap();
    let objects: Registry<dyn Display + Send + Sync> = Registry::new();
    objects.register("number", Arc::new(7)).unwrap();
    objects.register("text", Arc::new("seven")).unwrap();
    assert_eq!(
        functions
            .get(&Namespace::default(), &handler("negate"))
            .unwrap()
            .1(2),
        -2
    );
    assert_eq!(
        objects
            .get(&Namespace::default(), &handler("text"))
            .unwrap()
            .1
            .to_string(),
        "seven"
    );
}
