//! `tasker resume`.

use crate::place::{FAILING, GREETING, Place, states};

#[test]
fn with_nothing_to_do_it_says_so() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("resume").exits(0).says("nothing is unfinished");
    assert_eq!(
        place.run("resume --json").exits(0).json()["tasks"],
        serde_json::json!([])
    );
    assert_eq!(place.run("resume --quiet").exits(0).stdout, "");
}

#[test]
fn a_task_in_error_is_retried() {
    let place = Place::with("failing.yaml", FAILING);
    place.run("run failing.yaml").exits(1);
    let id = place.newest_task();
    let report = place.run(&format!("resume {id} --json")).exits(1).json();
    assert_eq!(states(&report)[1], ("bad", "error", 1));
    let shown = place.run(&format!("task show {id} --history --json")).json();
    let resets = shown["history"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|entry| entry["event"] == "reset")
        .count();
    assert_eq!(resets, 1);
    assert_eq!(
        place.run("resume --json").exits(0).json()["tasks"],
        serde_json::json!([])
    );
}

#[test]
fn a_task_that_has_ended_is_reported() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let id = place.newest_task();
    place.run(&format!("resume {id}")).exits(0).says("is complete");
}

#[test]
fn an_unknown_task_is_refused() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let (code, message) = place.run("resume ffff --json").exits(2).error();
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("task_not_found", "there is no task whose id begins with `ffff`")
    );
    let (code, _) = place.run("resume not-an-id --json").exits(2).error();
    assert_eq!(code, "task_not_found");
}
