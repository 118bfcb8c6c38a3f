use proptest::prelude::*;

use super::*;

#[test]
fn a_plain_registration_is_version_0_1_0_of_the_default_namespace() {
    let registry = sample();
    let (found, text) = registry.get(&Namespace::default(), &handler("validate")).unwrap();
    assert_eq!((found, &*text), (version("0.1.0"), "validate"));
}

#[test]
fn the_latest_version_is_the_greatest_as_semantic_versions_go() {
    let registry = sample();
    let (payments, refund) = (namespace("payments"), handler("refund"));
    assert_eq!(registry.get(&payments, &refund).unwrap().0, version("2.0.0-rc.1"));
    registry
        .remove(&payments, &refund, &version("2.0.0-rc.1"))
        .unwrap();
    assert_eq!(registry.get(&payments, &refund).unwrap().0, version("1.10.0"));
    registry
        .register_in("payments", "refund", "1.10.0-rc.9", "early".into())
        .unwrap();
    assert_eq!(registry.get(&payments, &refund).unwrap().0, version("1.10.0"));
}

#[test]
fn a_requirement_finds_the_greatest_version_that_fits() {
    let registry = sample();
    #[track_caller]
    fn check(registry: &Registry<str>, requirement: &str, expected: &str) {
        let (payments, refund) = (namespace("payments"), handler("refund"));
        let requirement = requirement.parse().unwrap();
        let (found, _) = registry.get_matching(&payments, &refund, &requirement).unwrap();
        assert_eq!(found, version(expected));
        assert_eq!(
            registry.find(&payments, &refund, Some(&requirement)).unwrap().0,
            found
        );
    }
    check(&registry, "^1", "1.10.0");
    check(&registry, "~1.9", "1.9.0");
    check(&registry, "*", "1.10.0");
    check(&registry, ">=2.0.0-rc", "2.0.0-rc.1");
}

#[test]
fn a_version_is_found_exactly() {
    let registry = sample();
    let found = registry
        .get_version(&namespace("payments"), &handler("refund"), &version("1.9.0"))
        .unwrap();
    assert_eq!(&*found, "old");
}

#[test]
fn an_unknown_namespace_comes_with_the_nearest() {
    let registry = sample();
    let refund = handler("refund");
    refused(
        registry.get(&namespace("payment"), &refund),
        "there is no namespace `payment`; did you mean `payments`?",
    );
    refused(
        registry.get(&namespace("shipping"), &refund),
        "there is no namespace `shipping`",
    );
    refused(
        registry.list(&namespace("shipping")),
        "there is no namespace `shipping`",
    );
    registry
        .register_in("payment", "refund", "1.0.0", "other".into())
        .unwrap();
    refused(
        registry.get(&namespace("paymnt"), &refund),
        "there is no namespace `paymnt`; did you mean `payment` or `payments`?",
    );
}

#[test]
fn an_unknown_handler_comes_with_the_nearest_of_its_namespace() {
    let registry = sample();
    refused(
        registry.get(&namespace("payments"), &handler("refnd")),
        "there is no handler `refnd` in the namespace `payments`; did you mean `refund`?",
    );
    refused(
        registry.get_version(&namespace("payments"), &handler("validate"), &version("0.1.0")),
        "there is no handler `validate` in the namespace `payments`",
    );
}

#[test]
fn an_unknown_version_comes_with_those_that_exist() {
    let registry = sample();
    let (payments, refund) = (namespace("payments"), handler("refund"));
    refused(
        registry.get_version(&payments, &refund, &version("3.0.0")),
        "the handler `payments.refund` has no version `3.0.0`; it has `1.9.0`, `1.10.0` and `2.0.0-rc.1`",
    );
    refused(
        registry.get_matching(&payments, &handler("charge"), &"^1".parse().unwrap()),
        "the handler `payments.charge` has no version that fits `^1`; it has `0.1.0`",
    );
}

#[test]
fn find_finds_nothing_without_a_word() {
    let registry = sample();
    let requirement = "^7".parse().unwrap();
    assert!(
        registry
            .find(&namespace("shipping"), &handler("refund"), None)
            .is_none()
    );
    assert!(
        registry
            .find(&namespace("payments"), &handler("ship"), None)
            .is_none()
    );
    assert!(
        registry
            .find(&namespace("payments"), &handler("refund"), Some(&requirement))
            .is_none()
    );
}

#[test]
fn lists_are_by_name_and_version() {
    let entries = sample().list(&namespace("payments")).unwrap();
    let shown: Vec<_> = entries
        .iter()
        .map(|e| format!("{}@{} {}", e.name, e.version, e.handler))
        .collect();
    assert_eq!(
        shown,
        [
            "charge@0.1.0 charge",
            "refund@1.9.0 old",
            "refund@1.10.0 new",
            "refund@2.0.0-rc.1 next"
        ]
    );
    assert_eq!(format!("{:?}", entries[0]), "Entry(payments.charge@0.1.0)");
}

#[test]
fn stats_count_each_level() {
    let Stats {
        namespaces,
        handlers,
        versions,
        events,
    } = sample().stats();
    assert_eq!((handlers, versions, events), (3, 5, 0));
    let counts: Vec<_> = namespaces
        .iter()
        .map(|(namespace, counts)| (namespace.as_str(), counts.handlers, counts.versions))
        .collect();
    assert_eq!(counts, [("default_system", 1, 1), ("payments", 2, 4)]);
}

fn versions() -> impl Strategy<Value = std::collections::BTreeSet<Version>> {
    let parts = (0u64..12, 0u64..12, 0u64..12, proptest::option::of(0u64..12));
    let version = parts.prop_map(|(major, minor, patch, pre)| {
        let pre = pre.map_or_else(String::new, |number| format!("-rc.{number}"));
        version(&format!("{major}.{minor}.{patch}{pre}"))
    });
    proptest::collection::btree_set(version, 1..12)
}

proptest! {
    #[test]
    fn the_greatest_is_found_whatever_the_order_of_registration(
        (expected, shuffled) in versions().prop_flat_map(|versions| {
            let list: Vec<Version> = versions.iter().cloned().collect();
            (Just(versions), Just(list).prop_shuffle())
        }),
        major in 0u64..12,
    ) {
        let registry = Registry::<()>::new();
        for version in &shuffled {
            registry.register_in("n", "h", version, Arc::new(())).unwrap();
        }
        let (space, name) = (namespace("n"), handler("h"));
        let (latest, _) = registry.get(&space, &name).unwrap();
        prop_assert!(expected.iter().all(|other| other.cmp_precedence(&latest).is_le()));
        let requirement: VersionReq = format!("^{major}").parse().unwrap();
        let fits = |v: &&Version| v.pre.is_empty() && v.major == major;
        let found = registry.find(&space, &name, Some(&requirement)).map(|(version, _)| version);
        prop_assert_eq!(found, expected.iter().filter(fits).max().cloned());
    }
}
