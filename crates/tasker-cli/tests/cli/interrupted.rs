//! What survives Ctrl-C, SIGTERM and kill -9.

use rustix::process::Signal;

use crate::place::{Place, Ran, states};

/// One quick step, and one whose first attempt takes for ever.
const SLOW: &str = r#"
name: slow
steps:
  - name: quick
    handler: command
    config: { program: sh, args: ["-c", "echo x >> quick.txt"] }
  - name: slow
    handler: command
    depends_on: [quick]
    config: { program: sh, args: ["-c", "if grep -q '\"attempt\":1,'; then exec sleep 600; fi"] }
"#;

fn resume(place: &Place) -> Ran {
    let ran = place.run("resume --json").exits(0);
    let report = ran.json()["tasks"][0].clone();
    assert_eq!(report["state"], "complete");
    assert_eq!(
        states(&report),
        [("quick", "complete", 1), ("slow", "complete", 2)]
    );
    assert_eq!(
        std::fs::read_to_string(place.path("quick.txt")).unwrap(),
        "x\n",
        "a completed step ran again"
    );
    place.run("verify").exits(0);
    ran
}

#[test]
fn the_first_signal_hands_leases_back_and_says_how_to_go_on() {
    for signal in [Signal::INT, Signal::TERM] {
        let place = Place::with("slow.yaml", SLOW);
        let started = place.start_until(
            "run slow.yaml --set execution.shutdown_grace_seconds=0.2",
            "slow                      started",
        );
        started.signal(signal);
        let ran = started
            .end()
            .exits(130)
            .complains("stopping: what runs may end within 0.2 seconds");
        let id = place.newest_task();
        ran.says("is unfinished: 1 of 2 steps done")
            .says(&format!("  tasker resume {id}    goes on with it\n"));
        let shown = place.run(&format!("task show {id} --json")).exits(0).json();
        assert_eq!(states(&shown), [("quick", "complete", 1), ("slow", "pending", 1)]);
        resume(&place);
    }
}

#[test]
fn the_second_signal_does_not_wait_for_the_grace() {
    let place = Place::with("slow.yaml", SLOW);
    let mut started = place.start_until("run slow.yaml --json", "slow                      started");
    started.signal(Signal::INT);
    started.until("press Ctrl-C again");
    started.signal(Signal::INT);
    let report = started.end().exits(130).json();
    assert_eq!(report["state"], "in_progress");
    resume(&place);
}

#[test]
fn after_kill_9_it_goes_on_at_once() {
    let place = Place::with("slow.yaml", SLOW);
    let started = place.start_until("run slow.yaml", "slow                      started");
    started.signal(Signal::KILL);
    assert_eq!(started.end().code, None);
    let ran = resume(&place);
    ran.complains("lost its worker (attempt 1 of 3)");
}

#[test]
fn a_key_goes_on_with_what_was_killed() {
    let place = Place::with("slow.yaml", SLOW);
    let started = place.start_until("run slow.yaml --key nightly", "slow                      started");
    started.signal(Signal::KILL);
    started.end();
    let report = place.run("run slow.yaml --key nightly --json").exits(0).json();
    assert_eq!(
        states(&report),
        [("quick", "complete", 1), ("slow", "complete", 2)]
    );
}
