//! What `tasker run` may say of a task, how `task list` finds it again, and `task change`.

use serde_json::json;

use crate::place::{GREETING, Place};

fn greeted() -> Place {
    Place::with("greeting.yaml", GREETING)
}

#[track_caller]
fn refused(place: &Place, line: &str, code: &str, message: &str) {
    let ran = place.run(&format!("{line} --json")).exits(2);
    assert_eq!(ran.error(), (code.to_owned(), message.to_owned()));
}

#[test]
fn labels_and_notes_are_kept_and_found() {
    let place = greeted();
    place
        .run_with([
            "run",
            "greeting.yaml",
            "--tag",
            "nightly",
            "--tag",
            "eu",
            "--annotation",
            "ticket=4711",
            "--annotation",
            "note=call back",
            "--reason",
            "a test",
        ])
        .exits(0);
    let id = place.newest_task();
    place.run("run greeting.yaml --tag eu").exits(0);
    let shown = place.run(&format!("task show {id} --json")).exits(0).json();
    assert_eq!(shown["origin"]["tags"], json!(["nightly", "eu"]));
    assert_eq!(
        shown["origin"]["annotations"],
        json!({ "note": "call back", "ticket": 4711 })
    );
    assert_eq!(shown["origin"]["reason"], "a test");
    place.run(&format!("task show {id}")).exits(0).says(
        "reason     a test\ntags       nightly, eu\nannotation note=\"call back\"\nannotation ticket=4711\n",
    );
    let found = |filter: &str| place.run(&format!("task list -q {filter}")).exits(0).stdout;
    let line = format!("{id}\n");
    assert_eq!(found("--tag eu").lines().count(), 2);
    assert_eq!(found("--tag eu --tag nightly"), line);
    assert_eq!(found("--annotation ticket"), line);
    assert_eq!(found("--annotation ticket=4711"), line);
    assert_eq!(found("--annotation ticket=4712"), "");
    assert_eq!(found("--source-system cli --version 0.1.0").lines().count(), 2);
    assert_eq!(found("--source-system shop"), "");
    assert_eq!(found("--initiator nobody-like-this"), "");
    assert_eq!(found("--version 0.2.0"), "");
    place
        .run("task list --tag weekly")
        .exits(0)
        .says("no tasks like that");
    let listed = place.run("task list --tag nightly --json").json();
    assert_eq!(listed["tasks"][0]["tags"], json!(["nightly", "eu"]));
    refused(
        &place,
        "run greeting.yaml --tag=",
        "request",
        "a tag is \"\", but it must be 1 to 128 characters, none of them a control character",
    );
}

#[test]
fn a_task_is_changed() {
    let place = greeted();
    place.run("run greeting.yaml --tag a --annotation x=1").exits(0);
    let id = place.newest_task();
    let changed = place
        .run_with([
            "task",
            "change",
            &id,
            "--priority",
            "-4",
            "--tag",
            "b",
            "--annotation",
            "y=[2]",
            "--without",
            "x",
            "--task-reason",
            "asked by phone",
            "--reason",
            "a mistake",
        ])
        .exits(0);
    assert_eq!(
        changed.stdout,
        format!(
            "task {id} has priority -4\n  reason      asked by phone\n  tags        b\n  annotation  y=[2]\n"
        )
    );
    let shown = place
        .run(&format!("task show {id} --history --json"))
        .exits(0)
        .json();
    assert_eq!(
        (&shown["priority"], &shown["origin"]["tags"]),
        (&json!(-4), &json!(["b"]))
    );
    let history = shown["history"].as_array().unwrap();
    let settings: Vec<_> = history
        .iter()
        .filter(|entry| entry["subject"] == "setting")
        .map(|entry| entry["metadata"].clone())
        .collect();
    assert_eq!(
        settings,
        [
            json!({ "description": { "reason": "asked by phone", "tags": ["b"], "annotations": { "x": null, "y": [2] } },
                    "reason": "a mistake" }),
            json!({ "priority": -4, "reason": "a mistake" }),
        ]
    );
    let changed = place
        .run(&format!("task change {id} --no-tags --json"))
        .exits(0)
        .json();
    assert_eq!(changed["origin"]["tags"], json!([]));
    assert_eq!(place.run(&format!("task change {id}")).exits(2).stdout, "");
    refused(
        &place,
        &format!("task change {id} --tag="),
        "rejected",
        "a tag is \"\", but it must be 1 to 128 characters, none of them a control character",
    );
    place.run("verify").exits(0);
}

#[test]
fn a_task_starts_at_its_time_and_fails_at_its_deadline() {
    let place = greeted();
    let report = place
        .run("run greeting.yaml --start-at 1s --json")
        .exits(0)
        .json();
    assert!(
        report["started_at"].as_str() > report["created_at"].as_str(),
        "{report}"
    );
    let shown = place
        .run(&format!("task show {} --json", place.newest_task()))
        .json();
    assert!(
        shown["started_at"].as_str() >= shown["start_at"].as_str(),
        "{shown}"
    );
    let report = place
        .run(
            "run greeting.yaml --start-at 2099-01-01T00:00:00Z --deadline 2099-01-02T00:00:00Z --json --help",
        )
        .stdout;
    assert!(report.contains("--start-at"), "{report}");
    let failed = place
        .run("run greeting.yaml --deadline 2020-01-01T00:00:00Z --json")
        .code;
    assert!(
        matches!(failed, Some(0 | 1)),
        "a task may end before anyone looks"
    );
    refused(
        &place,
        "run greeting.yaml --start-at 2099-01-02T00:00:00Z --deadline 2099-01-01T00:00:00Z",
        "request",
        "the deadline 2099-01-01T00:00:00.000000Z is not after the start 2099-01-02T00:00:00.000000Z",
    );
    let waits = "
name: waits
steps:
  - { name: rest, handler: sleep, config: { seconds: 3600 } }
";
    place.write("waits.yaml", waits);
    let report = place
        .run("run waits.yaml --deadline 300ms --json")
        .exits(1)
        .json();
    assert_eq!(report["failure"], "deadline_exceeded");
    let ran = place.run("run waits.yaml --deadline tomorrow").exits(2);
    ran.complains("write a time such as 2026-01-31T12:00:00Z, or a wait such as 90s, 15m or 2h30m");
}

#[test]
fn a_key_needs_times_that_stay() {
    let place = greeted();
    refused(
        &place,
        "run greeting.yaml --key k --start-at 1s",
        "wait_with_key",
        "with `--key` the repeated command must say the same, but a wait from now never does",
    );
    let line = "run greeting.yaml --key k --start-at 2020-01-01T00:00:00Z --tag a --json";
    let first = place.run(line).exits(0).json();
    assert_eq!(place.run(line).exits(0).json(), first);
    let task = first["task_id"].as_str().unwrap();
    refused(
        &place,
        "run greeting.yaml --key k --start-at 2020-01-01T00:00:00Z --tag b",
        "idempotency_key_reused",
        &format!("the idempotency key was used for another request, whose task is `{task}`"),
    );
}

#[test]
fn the_same_request_is_refused_where_identity_says_so() {
    let place = greeted();
    let line = "run greeting.yaml --set engine.identity_strategy=hash";
    place.run(line).exits(0);
    let task = place.newest_task();
    refused(
        &place,
        line,
        "duplicate_task",
        &format!("the same was asked for before; its task is `{task}`"),
    );
    place.run(&format!("{line} --reason again")).exits(0);
}

#[test]
fn a_version_is_chosen() {
    let place = Place::new();
    for version in ["1.2.0", "1.10.0", "2.0.0"] {
        let text = GREETING.replace(
            "name: greeting\n",
            &format!("name: greeting\nversion: {version}\n"),
        );
        place.write(&format!("templates/{version}.yaml"), text);
    }
    let set = "--set engine.task_config_directory=templates --json";
    let ran = |version: &str| {
        let report = place
            .run(&format!("run greeting {version} {set}"))
            .exits(0)
            .json();
        report["name"].as_str().unwrap().to_owned()
    };
    assert_eq!(ran(""), "default_system.greeting@2.0.0");
    assert_eq!(ran("--version ^1"), "default_system.greeting@1.10.0");
    assert_eq!(ran("--version 1.2.0"), "default_system.greeting@1.2.0");
    let file = place.run("run templates/2.0.0.yaml --version ^2 --json").exits(0);
    assert_eq!(file.json()["name"], "default_system.greeting@2.0.0");
    refused(
        &place,
        "run templates/2.0.0.yaml --version ^1",
        "template_not_found",
        "`default_system.greeting@2.0.0` is not the version `^1`",
    );
    refused(
        &place,
        "run templates/2.0.0.yaml --version two",
        "bad_version",
        "`two` is no version and no requirement of one",
    );
    refused(
        &place,
        "run greeting@1.2.0 --version 1.2.0 --set engine.task_config_directory=templates",
        "version_given_twice",
        "`greeting@1.2.0` names a version, and so does `--version`",
    );
    let ran = place.run(&format!("run greeting --version ^3 {set}")).exits(2);
    assert_eq!(ran.error().0, "template_not_found");
}
