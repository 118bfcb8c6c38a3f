//! Traces, as a collector gets them from one process and from several.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::{KeyValue, any_value};
use opentelemetry_proto::tonic::trace::v1::{Span, status::StatusCode};
use prost::Message as _;
use serde_json::{Value, json};

use crate::logs::Working;
use crate::program::Place;
use crate::serve::Service;

/// The span that a request is part of.
const REQUEST: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const ORDER: &str = r#"
name: order
steps:
  - { name: pay, handler: command, config: { program: sh, args: ["-c", "echo \"\\\"$TRACEPARENT\\\"\""] } }
  - { name: ship, handler: command, config: { program: grep, args: ["-q", '"attempt":2'] }, depends_on: [pay] }
"#;

/// Takes spans, as a collector does.
struct Collector {
    url: String,
    requests: Arc<Mutex<Vec<ExportTraceServiceRequest>>>,
}

impl Collector {
    fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/v1/traces", listener.local_addr().unwrap());
        let requests = Arc::<Mutex<Vec<_>>>::default();
        let taken = Arc::clone(&requests);
        // It ends with the test.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let taken = Arc::clone(&taken);
                thread::spawn(move || take(&stream, &taken));
            }
        });
        Self { url, requests }
    }

    /// Returns the option that has spans sent here.
    fn option(&self) -> String {
        format!("telemetry.otlp_endpoint={}", self.url)
    }

    /// Returns how many spans came together each time.
    fn sizes(&self) -> Vec<usize> {
        let count = |request: &ExportTraceServiceRequest| spans(request).count();
        self.requests.lock().unwrap().iter().map(count).collect()
    }

    /// Returns the spans by name and, after the first attempt, its number, each with the name of the service that sent it.
    fn spans(&self) -> BTreeMap<String, (String, Span)> {
        let requests = self.requests.lock().unwrap();
        let all = requests.iter().flat_map(|request| {
            let resource = request.resource_spans[0].resource.as_ref().unwrap();
            let service = text(&resource.attributes, "service.name").unwrap();
            spans(request).map(move |span| {
                let name = match text(&span.attributes, "tasker.attempt") {
                    Some(attempt) if attempt != "1" => format!("{} {attempt}", span.name),
                    _ => span.name.clone(),
                };
                (name, (service.clone(), span.clone()))
            })
        });
        let all: Vec<_> = all.collect();
        let (count, spans) = (all.len(), BTreeMap::from_iter(all));
        assert_eq!(spans.len(), count, "no span comes twice");
        spans
    }
}

fn spans(request: &ExportTraceServiceRequest) -> impl Iterator<Item = &Span> {
    let scopes = request.resource_spans.iter().flat_map(|of| &of.scope_spans);
    scopes.flat_map(|scope| &scope.spans)
}

/// Takes the requests of a connection.
fn take(stream: &TcpStream, taken: &Mutex<Vec<ExportTraceServiceRequest>>) {
    let mut reader = BufReader::new(stream);
    loop {
        let (mut line, mut length) = (String::new(), 0);
        while reader.read_line(&mut line).unwrap_or(0) > 2 {
            let (name, value) = line.split_once(": ").unwrap_or_default();
            if name.eq_ignore_ascii_case("content-length") {
                length = value.trim().parse().unwrap();
            }
            line.clear();
        }
        if line.is_empty() {
            return;
        }
        let mut body = vec![0; length];
        reader.read_exact(&mut body).unwrap();
        taken
            .lock()
            .unwrap()
            .push(ExportTraceServiceRequest::decode(&*body).unwrap());
        let answer = "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n";
        if (&mut &*stream).write_all(answer.as_bytes()).is_err() {
            return;
        }
    }
}

fn text(attributes: &[KeyValue], key: &str) -> Option<String> {
    let found = attributes.iter().find(|attribute| attribute.key == key)?;
    match found.value.as_ref()?.value.as_ref()? {
        any_value::Value::StringValue(text) => Some(text.clone()),
        any_value::Value::IntValue(number) => Some(number.to_string()),
        _ => None,
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn a_trace_goes_from_the_request_through_the_database_to_every_attempt() {
    let (place, collector) = (Place::new(), Collector::start());
    std::fs::create_dir(place.path("templates")).unwrap();
    place.write("templates/order.yaml", ORDER);
    place.write("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    let endpoint = collector.option();
    let at_once = "backoff.default_backoff_seconds=[0]";
    let options = |service| ["--set", service, "--set", &*endpoint, "--set", at_once].map(str::to_owned);
    let (of_api, of_worker) = (
        options("telemetry.service_name=shop"),
        options("telemetry.service_name=worker"),
    );
    let of_api: Vec<_> = of_api.iter().map(String::as_str).collect();
    let of_worker: Vec<_> = of_worker.iter().map(String::as_str).collect();
    let service = Service::start(&place, &[&["--api-only"], &*of_api].concat());
    let worker = Working(
        place
            .tasker(&[&["worker"], &*of_worker].concat())
            .spawn()
            .unwrap(),
    );
    let order = json!({ "name": "order", "context": {} });
    let headers = [("traceparent", REQUEST), ("X-Correlation-ID", "c-7")];
    let (status, answer) = service.ask_with("POST", "/tasker/tasks", &headers, Some(&order));
    assert_eq!(status, 201, "{answer}");
    let task = answer["task"]["task_id"].as_str().unwrap();
    // The stream ends with the task.
    service.ask("GET", &format!("/tasker/tasks/{task}/events"), None);
    let pay = format!("/tasker/tasks/{task}/workflow_steps/pay");
    let (_, told) = service.ask("GET", &pay, None);
    worker.logged();
    service.stop();
    let spans = collector.spans();
    let names: Vec<_> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["order", "pay", "ship", "ship 2"]);
    let of_task = &spans["order"].1;
    assert_eq!(hex(&of_task.parent_span_id), "b7ad6b7169203331");
    for (name, (service, span)) in &spans {
        assert_eq!(hex(&span.trace_id), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!(service, "worker");
        assert_eq!(text(&span.attributes, "tasker.task_id").unwrap(), task);
        assert_eq!(text(&span.attributes, "tasker.correlation_id").unwrap(), "c-7");
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano);
        if name != "order" {
            assert_eq!(span.parent_span_id, of_task.span_id);
            assert!(of_task.start_time_unix_nano <= span.start_time_unix_nano);
        }
    }
    // The program was told the span of its attempt.
    let told = told["workflow_step"]["result"].as_str().unwrap();
    let pay = &spans["pay"].1;
    assert_eq!(
        told,
        format!("00-{}-{}-01", hex(&pay.trace_id), hex(&pay.span_id))
    );
    let code = |name: &str| spans[name].1.status.as_ref().unwrap().code();
    assert_eq!(
        ["order", "pay", "ship", "ship 2"].map(code),
        [StatusCode::Ok, StatusCode::Ok, StatusCode::Error, StatusCode::Ok]
    );
    assert_ne!(spans["ship"].1.span_id, spans["ship 2"].1.span_id);
    let ship = &spans["ship"].1.attributes;
    assert_eq!(text(ship, "error.type").unwrap(), "exit_1");
    assert_eq!(text(ship, "tasker.attempt").unwrap(), "1");
    assert_eq!(text(ship, "tasker.end").unwrap(), "fail");
}

/// Runs a task of three steps with these settings, and returns what a collector got.
fn collected(settings: &[&str]) -> Collector {
    let (place, collector) = (Place::new(), Collector::start());
    let steps = "name: three\nsteps:\n  - { name: a, handler: sleep, config: { seconds: 0 } }\n  \
                 - { name: b, handler: sleep, config: { seconds: 0 }, depends_on: [a] }\n  \
                 - { name: c, handler: command, config: { program: \"true\" }, depends_on: [b] }\n";
    place.write("three.yaml", steps);
    let endpoint = collector.option();
    let mut options = vec!["run", "three.yaml", "--set", &endpoint];
    for setting in settings {
        options.extend(["--set", setting]);
    }
    let said: Value = place.run(&options).well();
    assert_eq!(said["state"], "complete", "{said}");
    collector
}

#[test]
fn spans_come_one_by_one_or_together() {
    let alone = collected(&[]);
    assert!(alone.spans().contains_key("three"));
    assert!(alone.sizes().iter().all(|size| *size == 1), "{:?}", alone.sizes());
    // All of them wait for the end of the program.
    let together = collected(&[
        "telemetry.batching.enabled=true",
        "telemetry.batching.flush_interval_seconds=3600",
    ]);
    assert_eq!(together.spans().len(), alone.spans().len());
    assert_eq!(together.sizes(), [alone.spans().len()]);
    let pairs = collected(&[
        "telemetry.batching.enabled=true",
        "telemetry.batching.flush_interval_seconds=3600",
        "telemetry.batching.buffer_size=2",
    ]);
    assert_eq!(pairs.sizes().first(), Some(&2));
    assert!(pairs.sizes().iter().all(|size| *size <= 2));
}

#[test]
fn what_is_not_sampled_or_is_filtered_is_not_sent() {
    assert!(collected(&["telemetry.event_sampling_rate=0"]).spans().is_empty());
    assert!(collected(&["telemetry.enabled=false"]).spans().is_empty());
    let tasks = collected(&["telemetry.filtered_events=[\"step.*\"]"]).spans();
    assert_eq!(Vec::from_iter(tasks.keys()), ["three"]);
    let steps = collected(&["telemetry.filtered_events=[\"task.completed\"]"]).spans();
    assert!(!steps.contains_key("three") && steps.contains_key("c"));
}

#[test]
fn a_collector_that_is_not_there_does_not_hold_up_the_work() {
    let place = Place::new();
    place.write(
        "one.yaml",
        "name: one\nsteps: [{ name: a, handler: sleep, config: { seconds: 0 } }]\n",
    );
    let nobody = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let endpoint = format!("telemetry.otlp_endpoint=http://{nobody}/v1/traces");
    let warnings = "telemetry.log_level=warn";
    let ended = place.run(&["run", "one.yaml", "--set", &endpoint, "--set", warnings]);
    assert!(
        ended
            .complained
            .contains("the collector of traces does not take spans"),
        "{}",
        ended.complained
    );
    assert_eq!(ended.well()["state"], "complete");
}

#[test]
fn an_event_that_there_is_not_cannot_be_filtered() {
    let place = Place::new();
    place.write(
        "one.yaml",
        "name: one\nsteps: [{ name: a, handler: sleep, config: { seconds: 0 } }]\n",
    );
    let ended = place.run(&[
        "run",
        "one.yaml",
        "--set",
        "telemetry.filtered_events=[\"task.complete\"]",
    ]);
    assert_eq!(ended.code, Some(2), "{}", ended.said);
    let said = ended.said.to_string();
    assert!(said.contains("did you mean `task.completed`?"), "{said}");
}
