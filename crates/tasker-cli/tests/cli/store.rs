//! `tasker migrate`, `tasker verify`, and databases that cannot be used.

use crate::place::{FAILING, GREETING, Place};

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
        Some("1 histories, 7 transitions, 0 violations")
    );
    let id = place.newest_task();
    place
        .run(&format!("verify {id}"))
        .exits(0)
        .says("1 histories, 7 transitions, 0 violations");
    let report = place.run("verify --json").exits(0).json();
    assert_eq!(report["violations"], serde_json::json!([]));
    assert!(report.get("proposals").is_none());
    let proposed = place.run("verify --repair --dry-run --json").exits(0).json();
    assert_eq!(proposed["proposals"], serde_json::json!([]));
}

#[test]
fn a_repair_is_only_proposed() {
    let place = Place::new();
    place.run("verify --repair").exits(2).complains("--dry-run");
    place.run("verify --dry-run").exits(2).complains("--repair");
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

#[test]
fn what_ended_long_ago_is_removed() {
    let place = Place::with("greeting.yaml", GREETING);
    place.write("failing.yaml", FAILING);
    place.run("run greeting.yaml --key monday").exits(0);
    let failed = place.run("run failing.yaml --json").exits(1).json();
    place.run("run greeting.yaml").exits(0);
    place
        .run("prune --older-than 30d")
        .exits(0)
        .says("removed 0 tasks");
    place
        .run("prune --older-than 0s --dry-run")
        .exits(0)
        .says("would remove 1 task");
    let pruned = place.run("prune --older-than 0s --json").exits(0).json();
    assert_eq!(pruned["pruned"], 1);
    assert_eq!((&pruned["kept"], &pruned["dry_run"]), (&0.into(), &false.into()));
    let left = place.run("task list --json").exits(0).json();
    let left = left["tasks"].as_array().unwrap();
    assert_eq!(left.len(), 2, "the newest and the failed one stay: {left:?}");
    assert!(left.iter().any(|task| task["task_id"] == failed["task_id"]));
    place.run("verify").exits(0);
    // The key is free again.
    let again = place.run("run greeting.yaml --key monday --json").exits(0).json();
    assert!(left.iter().all(|task| task["task_id"] != again["task_id"]));
    place.run("verify").exits(0);
}

#[test]
fn an_age_that_is_none_is_refused() {
    let ran = Place::new().run("prune --older-than soon").exits(2);
    ran.complains("write days or weeks such as 30d or 2w");
}

#[test]
fn tasks_are_moved_to_another_file() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let id = place.newest_task();
    let moved = place.run("move --from sqlite:data/tasker.db --to sqlite:other/tasker.db --json");
    let moved = moved.exits(0).json();
    assert_eq!(
        (&moved["tasks"], &moved["steps"], &moved["transitions"]),
        (&1.into(), &2.into(), &7.into())
    );
    let show = |directory: &str| {
        let ran = place.run(&format!("task show {id} --history --json --data-dir {directory}"));
        ran.exits(0).json()
    };
    assert_eq!(show("data")["history"], show("other")["history"]);
    place
        .run("verify --data-dir other")
        .exits(0)
        .says("1 histories, 7 transitions, 0 violations");
    let again = place
        .run("move --from sqlite:data/tasker.db --to sqlite:other/tasker.db")
        .exits(3);
    again.complains("can only be moved into an empty database");
    place
        .run("move --from mysql://db --to sqlite:other/tasker.db")
        .exits(2);
}
