//! Whatever is written, there is a configuration or a report.

use proptest::prelude::*;
use tasker_config::Loader;

use crate::place::{Place, environment};

const PIECES: &[&str] = &[
    "[execution]\n",
    "[profiles.a.execution]\n",
    "[[backoff]]\n",
    "profiles = 1\n",
    "url = 'x'\n",
    "lease_seconds = 3\n",
    "heartbeat_seconds = 1e-3\n",
    "claim_batch",
    "reenqueue_delays",
    "99999999999999999999999",
    "1979-05-27",
    "nan",
    "-inf",
    "-1",
    "'''",
    "[",
    "]",
    "{",
    "}",
    "=",
    ".",
    ",",
    "\"",
    "\\",
    "\n",
    "\0",
    " ",
    "ü",
];

fn text() -> impl Strategy<Value = String> {
    proptest::collection::vec(proptest::sample::select(PIECES), 0..12).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn every_file_is_read_or_reported(text in text()) {
        let place = Place::with(&text);
        if let Err(faults) = place.loader().load() {
            prop_assert!(!faults.as_slice().is_empty());
            prop_assert!(faults.as_slice().iter().all(|fault| fault.file().is_some() && fault.line().is_some()));
        }
    }

    #[test]
    fn every_text_is_read_or_reported(key in text(), value in text()) {
        let loader = Loader::new().argument(&key, &value).argument("backoff.reenqueue_delays", &value);
        if let Err(faults) = loader.load() {
            prop_assert!(!faults.as_slice().is_empty());
        }
    }
}

#[test]
fn what_is_deeply_nested_is_a_fault() {
    let deep = "[".repeat(100_000);
    let faults = Loader::new()
        .argument("execution.claim_batch", &deep)
        .load()
        .unwrap_err();
    assert_eq!(faults.as_slice().len(), 1);
    let place = Place::with(format!("execution.claim_batch = {deep}"));
    assert!(place.loader().load().is_err());
    let faults = Loader::new()
        .argument("execution.x".repeat(50_000), "1")
        .load()
        .unwrap_err();
    assert_eq!(faults.as_slice().len(), 1);
    let name = format!("TASKER_EXECUTION{}", "__A".repeat(50_000));
    let faults = Loader::new()
        .environment(&environment([(&name, "1")]))
        .load()
        .unwrap_err();
    assert_eq!(faults.as_slice().len(), 1);
}
