//! `tasker task watch`.

use rustix::process::Signal;
use serde_json::Value;

use crate::place::{FAILING, Place, states};

/// A step that waits until someone writes to `gate`, which the step before it makes.
const GATED: &str = r#"
name: gated
steps:
  - name: make
    handler: command
    config: { program: mkfifo, args: [gate] }
  - name: pass
    handler: command
    depends_on: [make]
    config: { program: sh, args: ["-c", "cat gate"] }
"#;

/// The event of each transition, with its step.
fn events(stdout: &str) -> (Vec<String>, Value) {
    let mut lines: Vec<Value> = stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let task = lines.pop().unwrap()["task"].clone();
    let event = |line: &Value| {
        let transition = &line["transition"];
        let word = |key: &str| transition[key].as_str().map(str::to_owned);
        let subject = word("step").or_else(|| word("subject")).unwrap();
        format!("{subject} {}", word("event").unwrap_or_default())
            .trim_end()
            .to_owned()
    };
    (lines.iter().map(event).collect(), task)
}

const WHOLE: [&str; 7] = [
    "created",
    "task start",
    "make start",
    "make succeed",
    "pass start",
    "pass succeed",
    "task complete",
];

#[test]
fn a_task_that_another_process_runs_is_followed_to_its_end() {
    let place = Place::with("gated.yaml", GATED);
    let running = place.start_until("run gated.yaml", "pass                      started");
    let id = place.newest_task();
    let mut text = place.start_until(&format!("task watch {id}"), "pass                      started");
    let json = place.start(&format!("task watch {id} --json"));
    std::fs::write(place.path("gate"), "7\n").unwrap();
    text.until("task                      complete");
    text.end().exits(0).says("default_system.gated@0.1.0 is complete");
    let (told, task) = events(&json.end().exits(0).stdout);
    assert_eq!(told, WHOLE);
    assert_eq!(states(&task), [("make", "complete", 1), ("pass", "complete", 1)]);
    running.end().exits(0);
}

#[test]
fn interrupting_leaves_the_task_alone() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::with("gated.yaml", GATED);
        let running = place.start_until("run gated.yaml", "pass                      started");
        let id = place.newest_task();
        let watching = place.start_until(&format!("task watch {id}"), "pass                      started");
        watching.signal(signal);
        watching
            .end()
            .exits(130)
            .says("default_system.gated@0.1.0 is unfinished: 1 of 2 steps done\n")
            .says(&format!(
                "  tasker task watch {id}    watches it again; it was left alone\n"
            ));
        std::fs::write(place.path("gate"), "").unwrap();
        running.end().exits(0);
        let shown = place.run(&format!("task show {id} --json")).exits(0).json();
        assert_eq!(states(&shown), [("make", "complete", 1), ("pass", "complete", 1)]);
    }
}

#[test]
fn a_task_that_has_ended_is_told_and_ends_the_command_with_its_code() {
    let place = Place::with("failing.yaml", FAILING);
    place.run("run failing.yaml").exits(1);
    let id = place.newest_task();
    let ran = place.run(&format!("task watch {id}")).exits(1);
    ran.complains("bad                       failed")
        .says("is in error");
    let ran = place.run(&format!("task watch {id} --json")).exits(1);
    let (told, task) = events(&ran.stdout);
    assert_eq!(told.last().map(String::as_str), Some("task fail"));
    assert_eq!(task["failure"], "steps_in_error_state");
    assert_eq!(place.run(&format!("task watch {id} --quiet")).exits(1).stdout, "");
    let ran = place
        .run("task watch 00000000-0000-7000-8000-000000000000 --json")
        .exits(2);
    assert_eq!(ran.error().0, "task_not_found");
}

#[test]
fn it_ends_when_nobody_reads_any_more() {
    let place = Place::with("gated.yaml", GATED);
    let running = place.start_until("run gated.yaml", "pass                      started");
    let mut watching = place.start(&format!("task watch {} --json", place.newest_task()));
    watching.close_stdout();
    // What happens next cannot be told to anybody.
    std::fs::write(place.path("gate"), "").unwrap();
    assert!(matches!(watching.end_unread(), Some(0 | 130)));
    running.end().exits(0);
}
