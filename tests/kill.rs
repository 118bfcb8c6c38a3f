//! Killing `tasker` at any moment loses nothing, and runs nothing again that was done.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tasker_engine::{Entropy, SeededEntropy};

use crate::program::{Ended, Place, step};

/// How often a run is killed from its first moment on.
const ROUNDS: u64 = 20;

/// How many chains of four steps there are, between a first and a last step.
const CHAINS: u32 = 3;

/// Makes a template of quick commands that write down that they ran.
fn template(place: &Place) {
    let mut yaml = "name: killed\nsteps:\n".to_owned();
    let mut add = |name: &str, parents: &str| {
        yaml.push_str(&format!(
            "  - name: {name}\n    handler: command\n    retry_limit: 100\n    depends_on: [{parents}]\n    \
             config: {{ program: sh, args: [step.sh, {name}] }}\n"
        ));
    };
    add("first", "");
    for chain in 0..CHAINS {
        add(&format!("c{chain}_0"), "first");
        for link in 1..4 {
            add(&format!("c{chain}_{link}"), &format!("c{chain}_{}", link - 1));
        }
    }
    let ends: Vec<String> = (0..CHAINS).map(|chain| format!("c{chain}_3")).collect();
    add("last", &ends.join(", "));
    place.write("killed.yaml", &yaml);
    place.write(
        "step.sh",
        "echo \"$1\" >> ran.log\nsleep 0.02\necho \"\\\"$1\\\"\"\n",
    );
}

/// A lost attempt is tried again at once, so that a round does not wait.
const AT_ONCE: [&str; 2] = ["--set", "backoff.default_backoff_seconds=[0]"];

/// Returns how often each step began.
fn ran(place: &Place) -> BTreeMap<String, u64> {
    let log = fs::read_to_string(place.path("ran.log")).unwrap_or_default();
    let mut counts = BTreeMap::new();
    for line in log.lines() {
        *counts.entry(line.to_owned()).or_default() += 1;
    }
    counts
}

/// Returns the only task, if it was created, with its history.
fn only_task(place: &Place) -> Option<Value> {
    let tasks = place.run(&["task", "list"]).well();
    let tasks = tasks["tasks"].as_array().unwrap();
    assert!(tasks.len() <= 1, "{tasks:?}");
    let id = tasks.first()?["task_id"].as_str().unwrap();
    Some(place.run(&["task", "show", id, "--history"]).well())
}

/// What was true when a run was killed.
struct Killed {
    /// How often the steps had begun that are recorded as complete.
    complete: BTreeMap<String, u64>,
    /// The attempts of the steps that were in progress.
    lost: BTreeMap<String, u64>,
}

impl Killed {
    fn look(place: &Place, task: &Value) -> Self {
        let ran = ran(place);
        let mut killed = Self {
            complete: BTreeMap::new(),
            lost: BTreeMap::new(),
        };
        for step in task["steps"].as_array().unwrap() {
            let name = step["name"].as_str().unwrap().to_owned();
            match step["state"].as_str().unwrap() {
                "complete" => {
                    let times = ran[&name];
                    killed.complete.insert(name, times);
                }
                "in_progress" => {
                    killed.lost.insert(name, step["attempts"].as_u64().unwrap());
                }
                _ => {}
            }
        }
        killed
    }

    /// Checks that nothing ran again that was complete, and that what was lost was counted.
    fn check(&self, place: &Place, end: &Value, round: u64) {
        let ran = ran(place);
        for (name, times) in &self.complete {
            assert_eq!(
                ran[name], *times,
                "round {round}: `{name}` was complete and ran again"
            );
        }
        for (name, attempts) in &self.lost {
            let now = step(end, name)["attempts"].as_u64().unwrap();
            assert!(
                now > *attempts,
                "round {round}: the attempt of `{name}` that was lost was not counted"
            );
        }
    }
}

fn kill_after(command: &mut Command, delay: Duration) {
    let mut child = command.spawn().unwrap();
    thread::sleep(delay);
    child.kill().unwrap();
    child.wait().unwrap();
}

fn round(round: u64) -> (usize, usize) {
    let dice = SeededEntropy::new(round);
    let delay = |most: u64| Duration::from_millis(dice.next_u64() % most);
    let place = Place::new();
    template(&place);
    let run = ["run", "killed.yaml", "--key", "once", AT_ONCE[0], AT_ONCE[1]];
    let resume = ["resume", AT_ONCE[0], AT_ONCE[1]];
    kill_after(&mut place.tasker(&run), delay(350));
    let mut kills = Vec::new();
    for _ in 0..dice.next_u64() % 3 {
        let Some(task) = only_task(&place) else { break };
        kills.push(Killed::look(&place, &task));
        kill_after(&mut place.tasker(&resume), delay(250));
    }
    if let Some(task) = only_task(&place) {
        kills.push(Killed::look(&place, &task));
        place.run(&resume).well();
    }
    // The same command finds the same task, whether it was killed before the task was there or is complete now.
    let end = place.run(&run).well();
    assert_eq!(end["state"], "complete", "round {round}");
    for killed in &kills {
        killed.check(&place, &end, round);
    }
    let task = only_task(&place).unwrap();
    let history = task["history"].as_array().unwrap();
    let starts = history
        .iter()
        .filter(|entry| entry["event"] == "start" && entry["step"].is_string())
        .count();
    let attempts: u64 = end["steps"]
        .as_array()
        .unwrap()
        .iter()
        .map(|step| step["attempts"].as_u64().unwrap())
        .sum();
    assert_eq!(starts as u64, attempts, "round {round}: every claim is charged");
    for (name, times) in ran(&place) {
        assert!(
            step(&end, &name)["attempts"].as_u64().unwrap() >= times,
            "round {round}: `{name}`"
        );
    }
    place.run(&["verify"]).well();
    let lost = kills.iter().map(|killed| killed.lost.len()).sum();
    (kills.len(), lost)
}

#[test]
fn a_run_killed_at_any_moment_goes_on_where_it_was() {
    let next = AtomicU64::new(0);
    let play = || {
        let mut sum = (0, 0);
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= ROUNDS {
                return sum;
            }
            let (kills, lost) = round(number);
            sum = (sum.0 + kills, sum.1 + lost);
        }
    };
    let (kills, lost) = thread::scope(|scope| {
        let other = scope.spawn(play);
        let (one, other) = (play(), other.join().unwrap());
        (one.0 + other.0, one.1 + other.1)
    });
    assert!(
        kills > 0 && lost > 0,
        "{kills} kills hit {lost} steps: none was hit while it ran"
    );
}

/// A run whose step tells when it has begun.
struct Running {
    place: Place,
    child: Child,
}

impl Running {
    /// Runs a script as step `slow`, followed by a step `after`, and waits until the script writes to its pipe.
    fn start(script: &str, grace_seconds: &str) -> Self {
        let place = Place::new();
        place.write(
            "slow.yaml",
            "name: slow\nsteps:\n  \
               - { name: slow, handler: command, config: { program: sh, args: [slow.sh] } }\n  \
               - { name: after, handler: command, depends_on: [slow], config: { program: sh, args: [after.sh] } }\n",
        );
        place.write("slow.sh", script);
        place.write("after.sh", "echo 2\n");
        let pipe = place.path("begun");
        assert!(Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let grace = format!("execution.shutdown_grace_seconds={grace_seconds}");
        let mut child = place
            .tasker(&["run", "slow.yaml", "--set", &grace])
            .spawn()
            .unwrap();
        if !is_written_to(&pipe) {
            child.kill().unwrap();
            let output = child.wait_with_output().unwrap();
            panic!(
                "the step did not begin: {}",
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Self { place, child }
    }

    /// Interrupts the run and waits for its end.
    fn interrupt(self, signal: Signal) -> (Place, Ended, Duration) {
        let began = Instant::now();
        let pid = Pid::from_raw(i32::try_from(self.child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        let output = self.child.wait_with_output().unwrap();
        (self.place, Ended::of(&["run"], &output), began.elapsed())
    }
}

/// Waits until somebody writes to a pipe, for a while.
fn is_written_to(pipe: &Path) -> bool {
    let (sender, begun) = mpsc::channel();
    let pipe = pipe.to_owned();
    thread::spawn(move || sender.send(fs::read(pipe)));
    begun
        .recv_timeout(Duration::from_secs(30))
        .is_ok_and(|read| read.is_ok())
}

/// Returns what happened to a step, event by event.
fn events(task: &Value, step: &str) -> Vec<String> {
    let history = task["history"].as_array().unwrap();
    let of_step = history.iter().filter(|entry| entry["step"] == step);
    of_step
        .map(|entry| entry["event"].as_str().unwrap().to_owned())
        .collect()
}

/// Shorter than a lease, which nobody should have to wait for.
const SOON: Duration = Duration::from_secs(15);

#[test]
fn an_interrupted_run_hands_its_leases_back() {
    let script =
        "if [ -e begun.once ]; then echo 1; exit; fi\n: > begun.once\necho > begun\nexec sleep 120\n";
    for signal in [Signal::INT, Signal::TERM] {
        let (place, interrupted, took) = Running::start(script, "0.2").interrupt(signal);
        assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
        assert!(took < SOON, "it took {took:?}");
        assert_eq!(step(&interrupted.said, "slow")["state"], "pending");

        let began = Instant::now();
        let resumed = place.run(&["resume"]).well();
        assert!(began.elapsed() < SOON, "resuming took {:?}", began.elapsed());
        assert_eq!(resumed["tasks"][0]["state"], "complete");
        assert_eq!(step(&resumed["tasks"][0], "slow")["attempts"], 2);
        let task = only_task(&place).unwrap();
        assert_eq!(events(&task, "slow"), ["start", "interrupt", "start", "succeed"]);
        place.run(&["verify"]).well();
    }
}

#[test]
fn what_ends_within_the_grace_is_recorded_and_nothing_new_begins() {
    let script = "echo > begun\nsleep 0.5\necho 1\n";
    let (place, interrupted, took) = Running::start(script, "20").interrupt(Signal::INT);
    assert_eq!(interrupted.code, Some(130), "{interrupted:?}");
    assert!(took < SOON, "it took {took:?}");
    assert_eq!(step(&interrupted.said, "slow")["state"], "complete");
    assert_eq!(step(&interrupted.said, "after")["attempts"], 0);

    let resumed = place.run(&["resume"]).well();
    assert_eq!(resumed["tasks"][0]["state"], "complete");
    assert_eq!(step(&resumed["tasks"][0], "slow")["attempts"], 1);
    place.run(&["verify"]).well();
}
