//! Lines of logs, of a service and a worker on one database.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use crate::program::Place;
use crate::serve::Service;

const LINES: [&str; 4] = [
    "--set",
    "telemetry.log_level=info",
    "--set",
    "telemetry.log_format=json",
];
const ORDER: &str = "
name: order
steps:
  - { name: pay, handler: command, config: { program: \"true\" } }
  - { name: ship, handler: command, config: { program: \"true\" }, depends_on: [pay] }
";

/// A worker that is ended with its test.
pub(crate) struct Working(pub(crate) Child);

impl Working {
    /// Stops it, and returns what it logged.
    pub(crate) fn logged(mut self) -> String {
        kill_process(Pid::from_child(&self.0), Signal::TERM).unwrap();
        let mut text = String::new();
        self.0.stderr.take().unwrap().read_to_string(&mut text).unwrap();
        self.0.wait().unwrap();
        text
    }
}

impl Drop for Working {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn lines(text: &str) -> Vec<Value> {
    let read = |line: &str| serde_json::from_str(line).unwrap_or_else(|_| panic!("no JSON: {line}"));
    // What is said to a person stands between them.
    text.lines()
        .filter(|line| line.starts_with('{'))
        .map(read)
        .collect()
}

/// Returns a field of a line or of one of the spans around it.
fn field<'l>(line: &'l Value, name: &str) -> Option<&'l Value> {
    let spans = line["spans"].as_array().into_iter().flatten();
    spans.rev().chain([line]).find_map(|place| place.get(name))
}

#[test]
fn the_lines_of_a_task_have_the_correlation_id_of_its_request_wherever_they_are_written() {
    let place = Place::new();
    std::fs::create_dir(place.path("templates")).unwrap();
    place.write("templates/order.yaml", ORDER);
    place.write("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    let service = Service::start(&place, &[&["--api-only"], &LINES[..]].concat());
    let worker = Working(place.tasker(&[&["worker"], &LINES[..]].concat()).spawn().unwrap());
    let order = json!({ "name": "order", "context": {} });
    let mut tasks = Vec::new();
    for id in ["first-1", "second-2"] {
        let headers = [("X-Correlation-ID", id)];
        let (status, answer) = service.ask_with("POST", "/tasker/tasks", &headers, Some(&order));
        assert_eq!(status, 201, "{answer}");
        tasks.push((id, answer["task"]["task_id"].as_str().unwrap().to_owned()));
    }
    for (id, task) in &tasks {
        // The stream ends with the task.
        service.ask("GET", &format!("/tasker/tasks/{task}/events"), None);
        let path = format!("/tasker/tasks/{task}?api_key=hunter2");
        service.ask_with("GET", &path, &[("X-Request-ID", id)], None);
    }
    let worked = worker.logged();
    let served = service.logged();
    assert!(!served.contains("hunter2"), "{served}");
    for (id, task) in &tasks {
        let of_task: Vec<_> = lines(&worked)
            .into_iter()
            .filter(|line| field(line, "task").is_some_and(|named| named == task))
            .collect();
        let steps: BTreeSet<_> = of_task
            .iter()
            .filter_map(|line| Some(field(line, "step")?.as_str()?.to_owned()))
            .collect();
        assert_eq!(steps, BTreeSet::from(["pay".to_owned(), "ship".to_owned()]));
        for line in &of_task {
            assert_eq!(field(line, "correlation_id"), Some(&Value::from(*id)), "{line}");
        }
        let asked: Vec<_> = lines(&served)
            .into_iter()
            .filter(|line| field(line, "correlation_id") == Some(&Value::from(*id)))
            .collect();
        let methods: BTreeSet<_> = asked
            .iter()
            .filter_map(|line| field(line, "method")?.as_str())
            .collect();
        assert_eq!(methods, BTreeSet::from(["GET", "POST"]));
        for line in &asked {
            assert!(
                line["message"] == "answered a request" && line["status"].is_u64(),
                "{line}"
            );
            if field(line, "method") == Some(&Value::from("GET")) {
                assert_eq!(field(line, "query").unwrap(), "api_key=[FILTERED]");
            }
        }
    }
}
