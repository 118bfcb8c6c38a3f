//! `tasker migrate`, `tasker verify`, and databases that cannot be used.

use crate::place::{GREETING, Place};

#[test]
fn migrations_are_told_applied_and_taken_back() {
    let place = Place::new();
    let status = || place.run("migrate status --json").exits(0).json();
    assert_eq!(status()["migrations"][0]["applied"], false);
    place.run("migrate up --dry-run").exits(0).says("would apply ");
    assert_eq!(status()["migrations"][0]["applied"], false);
    place.run("migrate up").exits(0).says("applied ");
    assert_eq!(status()["migrations"][0]["applied"], true);
    place.run("migrate up").exits(0).says("nothing to do");
    place.run("migrate status").exits(0).says("applied");
    place
        .run("migrate down --dry-run")
        .exits(0)
        .says("would take back ");
    place.run("migrate down --steps 99").exits(0).says("took back ");
    assert_eq!(status()["migrations"][0]["applied"], false);
}

#[test]
fn a_sound_database_verifies() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let ran = place.run("verify").exits(0);
    assert_eq!(
        ran.stdout.lines().last(),
        Some("1 tasks, 7 transitions, 0 violations")
    );
    let id = place.newest_task();
    place
        .run(&format!("verify {id}"))
        .exits(0)
        .says("1 tasks, 7 transitions, 0 violations");
    let report = place.run("verify --json").exits(0).json();
    assert_eq!(report["violations"], serde_json::json!([]));
}

#[test]
fn a_file_that_is_no_database_is_refused() {
    let place = Place::with(
        "data/tasker.db",
        &"not a database, but long enough for one ".repeat(100),
    );
    for command in ["task list", "verify", "resume", "migrate status"] {
        let ran = place.run(&format!("{command} --json"));
        assert_eq!(ran.code, Some(3), "{command}: {ran:?}");
        let (_, message) = ran.error();
        assert!(message.contains("tasker.db"), "{command}: {message}");
    }
}

#[test]
fn a_data_directory_that_is_a_file_is_refused() {
    let place = Place::with("data", "a file");
    let ran = place.run("task list").exits(3);
    ran.complains("error: ").complains("data");
}
