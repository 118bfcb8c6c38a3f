//! What the README promises of the service, and events across a restart of it.

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use crate::program::Place;
use crate::serve::Service;

/// The longest that anything may take before a test gives up.
const PATIENCE: Duration = Duration::from_secs(60);

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// Returns the lines with curl that the README has, in order.
fn curl_lines() -> Vec<String> {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let serve = "    cargo run --release -p tasker-cli -- serve\n";
    let (_, lines) = readme
        .split_once(serve)
        .expect("the README says how the service is started");
    lines
        .lines()
        .filter_map(|line| line.strip_prefix("    "))
        .filter(|line| line.contains("curl "))
        .map(str::to_owned)
        .collect()
}

/// Runs lines in one shell, and returns what each of them wrote, and at last the id of the task.
fn run(place: &Place, lines: &[String]) -> Vec<String> {
    let mut script = String::new();
    for (number, line) in lines.iter().enumerate() {
        script += &format!("{{ {line}\n}} > said.{number}\n");
    }
    script += &format!("wait\nprintf %s \"$task\" > said.{}\n", lines.len());
    // A stream that does not end must not keep the test.
    let output = Command::new("timeout")
        .args([&PATIENCE.as_secs().to_string(), "sh", "-c", &script])
        .current_dir(place.path(""))
        .output()
        .expect("`timeout` and `sh` should be there");
    let complained = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success() && complained.is_empty(),
        "install curl, if it is missing: {}\n{complained}",
        output.status
    );
    (0..=lines.len())
        .map(|number| fs::read_to_string(place.path(&format!("said.{number}"))).unwrap())
        .collect()
}

#[test]
fn the_lines_of_the_readme_create_watch_break_explain_and_mend_a_task() {
    // What a fresh clone has where the service is started.
    let place = Place::new();
    fs::create_dir_all(place.path("docs/examples/parcel")).unwrap();
    for file in ["tasker.toml", "docs/examples/parcel/parcel.yaml"] {
        fs::copy(root().join(file), place.path(file)).unwrap();
    }
    let lines = curl_lines();
    assert_eq!(lines.len(), 5, "{lines:#?}");
    let service = Service::start(&place, &[]);
    let here: Vec<_> = lines
        .iter()
        .map(|line| {
            assert!(line.contains("http://127.0.0.1:8080/tasker/"), "{line}");
            line.replace("127.0.0.1:8080", &service.address)
        })
        .collect();
    let said = run(&place, &here);
    let [created, watched, broken, explained, mended, task] = said.as_slice() else {
        panic!("{said:#?}");
    };
    assert_eq!(created, "");
    let state = |answer: &str| {
        let answer: Value = serde_json::from_str(answer).unwrap();
        answer["workflow_step"]["state"].as_str().unwrap().to_owned()
    };
    assert_eq!(state(broken), "cancelled");
    let explained: Value = serde_json::from_str(explained).unwrap();
    let text = explained["text"].as_str().unwrap();
    assert!(
        text.contains("carrier: was cancelled") && text.contains("1 step waits for it"),
        "{text}"
    );
    assert_eq!(state(mended), "resolved_manually");
    let events: Vec<_> = watched
        .lines()
        .filter_map(|line| line.strip_prefix("event: "))
        .collect();
    assert_eq!(events.first(), Some(&"task.initialize_requested"));
    let place_of = |wanted: &str| events.iter().position(|event| *event == wanted);
    let (broke, mended) = (place_of("step.cancelled"), place_of("step.resolved_manually"));
    assert!(broke.is_some() && broke < mended, "{events:#?}");
    assert_eq!(events.last(), Some(&"task.completed"));
    let (status, shown) = service.ask("GET", &format!("/tasker/tasks/{task}"), None);
    assert_eq!((status, &shown["task"]["state"]), (200, &json!("complete")));
    assert_eq!(
        shown["task"]["result"],
        json!({ "deliver": "1200 grams, by bicycle" })
    );
    assert_eq!(service.stop(), Some(0));
}

/// A stream of events over a connection of its own.
struct Stream(BufReader<TcpStream>);

/// An event's `id`, name and `data`.
type Told = (String, String, Value);

impl Stream {
    fn open(service: &Service, path: &str, last: Option<&str>) -> Self {
        let mut stream = TcpStream::connect(&service.address).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        let resume = last.map_or(String::new(), |id| format!("Last-Event-ID: {id}\r\n"));
        // Of HTTP/1.0, so that the body comes as it is.
        let request = format!("GET {path} HTTP/1.0\r\nHost: {}\r\n{resume}\r\n", service.address);
        stream.write_all(request.as_bytes()).unwrap();
        let mut lines = BufReader::new(stream);
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        assert!(line.contains(" 200 "), "{line}");
        while line.trim_end() != "" {
            line.clear();
            lines.read_line(&mut line).unwrap();
        }
        Self(lines)
    }

    /// Returns the next event; `None` at the end.
    fn next(&mut self) -> Option<Told> {
        let (mut id, mut name, mut data) = (String::new(), String::new(), Value::Null);
        loop {
            let mut line = String::new();
            if self.0.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end().split_once(": ") {
                Some(("id", text)) => text.clone_into(&mut id),
                Some(("event", text)) => text.clone_into(&mut name),
                Some(("data", text)) => data = serde_json::from_str(text).unwrap(),
                Some(_) => {}
                None if name.is_empty() => {}
                None => return Some((id, name, data)),
            }
        }
    }

    fn until(&mut self, wanted: &str) -> Vec<Told> {
        let mut told = Vec::new();
        loop {
            let event = self.next().unwrap();
            let found = event.1 == wanted;
            told.push(event);
            if found {
                return told;
            }
        }
    }

    fn rest(mut self) -> Vec<Told> {
        let mut told = Vec::new();
        while let Some(event) = self.next() {
            told.push(event);
        }
        told
    }
}

#[test]
fn a_stream_misses_nothing_while_the_service_is_down() {
    let place = Place::new();
    fs::create_dir(place.path("templates")).unwrap();
    place.write("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    place.write(
        "templates/letter.yaml",
        "name: letter\nsteps:\n  - { name: wait, handler: sleep, config: { seconds: 86400 } }\n  \
         - { name: send, handler: sleep, config: { seconds: 0 }, depends_on: [wait] }\n",
    );
    let service = Service::start(&place, &[]);
    let body = json!({ "name": "letter" });
    let (_, created) = service.ask("POST", "/tasker/tasks", Some(&body));
    let task = created["task"]["task_id"].as_str().unwrap().to_owned();
    let path = format!("/tasker/tasks/{task}/events");
    let mut of_task = Stream::open(&service, &path, None);
    let mut seen = of_task.until("observability.step.suspended");
    let mut of_all = Stream::open(&service, "/tasker/events?after=0", None);
    let seen_of_all = of_all.until("observability.step.suspended");
    assert_eq!(seen_of_all, seen);
    // Whoever follows does not keep the service from ending.
    assert_eq!(service.stop(), Some(0));
    let mut late = String::new();
    of_task.0.read_to_string(&mut late).unwrap();
    assert_eq!(late, "");
    place.run(&["task", "cancel", &task]);
    let service = Service::start(&place, &[]);
    let last = seen.last().unwrap().0.clone();
    let rest = Stream::open(&service, &path, Some(&last)).rest();
    let names: Vec<_> = rest.iter().map(|(_, name, _)| name.as_str()).collect();
    assert_eq!(names, ["task.cancelled", "step.cancelled", "step.cancelled"]);
    let mut of_all = Stream::open(&service, "/tasker/events", Some(&last));
    for told in &rest {
        assert_eq!(of_all.next().as_ref(), Some(told));
    }
    seen.extend(rest);
    assert_eq!(Stream::open(&service, &path, None).rest(), seen);
    assert_eq!(service.stop(), Some(0));
}

#[test]
fn a_service_that_ends_hands_back_what_it_runs() {
    let place = Place::new();
    fs::create_dir(place.path("templates")).unwrap();
    place.write(
        "tasker.toml",
        "[engine]\ntask_config_directory = \"templates\"\n[execution]\nshutdown_grace_seconds = 0.05\n",
    );
    place.write(
        "templates/long.yaml",
        "name: long\nsteps: [{ name: wait, handler: command, config: { program: sleep, args: [\"86400\"] } }]\n",
    );
    let service = Service::start(&place, &[]);
    let (_, created) = service.ask("POST", "/tasker/tasks", Some(&json!({ "name": "long" })));
    let task = created["task"]["task_id"].as_str().unwrap().to_owned();
    let mut events = Stream::open(&service, &format!("/tasker/tasks/{task}/events"), None);
    events.until("step.execution_requested");
    assert_eq!(service.stop(), Some(0));
    let service = Service::start(&place, &["--api-only"]);
    let (_, step) = service.ask("GET", &format!("/tasker/tasks/{task}/workflow_steps/wait"), None);
    assert_eq!(step["workflow_step"]["state"], "pending");
    let path = format!("/tasker/tasks/{task}/workflow_steps/wait/transitions");
    let (_, history) = service.ask("GET", &path, None);
    let history = history["transitions"].as_array().unwrap();
    let last = history.last().unwrap();
    // It was not found to be over: it was given back.
    assert!(
        last["event"] == "interrupt" || last["event"] == "release",
        "{history:#?}"
    );
    assert_eq!(service.stop(), Some(0));
}
