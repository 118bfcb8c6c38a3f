//! What is fuzzed: functions of bytes that panic when something is wrong.
//!
//! The fuzzer calls them with whatever it thinks of, and the tests of the workspace, of which this file is a module too,
//! with every file of the corpora.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::str::FromStr;

use tasker_config::Loader;
use tasker_engine::{
    Actor, ContextMatch, LoadOptions, Pattern, TaskFilter, TaskMark, TaskQuery, Template, parse_retry_after,
};
use tasker_graph::{
    Dag, GraphWeights, LiveAnalysis, Step, StepFacts, TaskFacts, TemplateAnalysis, TemplateStep, analyze,
};
use tasker_server::axum::Router;
use tasker_server::axum::body::{Body, to_bytes};
use tasker_server::axum::http::{Request, Uri};
use tasker_server::tasker::Tasker;
use tasker_server::{App, Cursors};
use tasker_types::{
    EventName, HandlerName, HandlerRef, Limits, Namespace, StepName, StepState, TaskId, TaskState,
    TemplateName, Timestamp, Version, VersionReq,
};
use tokio::runtime::Runtime;
use tower::ServiceExt as _;

/// A function that is fuzzed.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of the directory of its corpus.
    pub name: &'static str,
    /// The function.
    pub run: fn(&[u8]),
}

/// Every function that is fuzzed.
pub const ALL: [Target; 8] = [
    Target {
        name: "templates",
        run: templates,
    },
    Target {
        name: "configuration",
        run: configuration,
    },
    Target {
        name: "cursors",
        run: cursors,
    },
    Target {
        name: "filters",
        run: filters,
    },
    Target {
        name: "retry_after",
        run: retry_after,
    },
    Target {
        name: "http_dates",
        run: http_dates,
    },
    Target {
        name: "versions",
        run: versions,
    },
    Target {
        name: "graphs",
        run: graphs,
    },
];

/// A template that is read is the same when it is written and read again; one that is refused has a fault with a message.
pub fn templates(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let limits = Limits::default();
    match Template::parse(text, &LoadOptions::new(&limits)) {
        Ok(loaded) => {
            let written = serde_json::to_string(&*loaded.template).expect("a template can be written");
            let read: Template = serde_json::from_str(&written).expect("what was written can be read");
            assert_eq!(*loaded.template, read, "{written}");
        }
        Err(faults) => {
            assert!(!faults.as_slice().is_empty());
            assert!(!faults.to_string().is_empty());
        }
    }
}

/// A configuration that is read has a value for every key, also with what is said beside the file; one that is refused has a
/// fault that names the file or the key.
pub fn configuration(data: &[u8]) {
    // The last line is a key and a value of the command line.
    let Ok(text) = str::from_utf8(data) else { return };
    let (file, last) = text
        .trim_end_matches('\n')
        .rsplit_once('\n')
        .unwrap_or((text, ""));
    thread_local! {
        static DIRECTORY: tempfile::TempDir = tempfile::tempdir().expect("a directory can be made");
    }
    DIRECTORY.with(|directory| {
        let path = directory.path().join("tasker.toml");
        std::fs::write(&path, file).expect("the file can be written");
        let mut loader = Loader::new().file(&path).profile("production");
        if let Some((key, value)) = last.strip_prefix("--set ").and_then(|said| said.split_once('=')) {
            loader = loader.argument(key, value);
        }
        match loader.load() {
            Ok(config) => assert!(!config.entries().is_empty()),
            Err(faults) => {
                assert!(!faults.as_slice().is_empty());
                assert!(faults.as_slice().iter().all(|fault| !fault.message().is_empty()));
            }
        }
    });
}

struct Service {
    runtime: Runtime,
    tasker: Tasker,
    router: Router,
}

impl Service {
    fn new() -> Self {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a runtime can be made");
        let _entered = runtime.enter();
        // Whoever asks so often would soon be told to wait.
        let config = Loader::new()
            .argument("server.address_rate.requests_per_second", "0")
            .load()
            .expect("rates may be unlimited");
        let tasker = Tasker::builder()
            .config(config)
            .memory()
            .build()
            .expect("a store in memory can be made");
        let router = tasker_server::router(App::builder(tasker.clone()).build());
        drop(_entered);
        Self {
            runtime,
            tasker,
            router,
        }
    }

    fn with<T>(work: impl FnOnce(&Self) -> T) -> T {
        thread_local! {
            static SERVICE: OnceCell<Service> = const { OnceCell::new() };
        }
        SERVICE.with(|service| work(service.get_or_init(Service::new)))
    }
}

/// A cursor is read as the place that it was written for, and every other text is refused.
///
/// The first bytes are the place, the next two say which byte of the cursor becomes which, and the rest is a text of its own.
pub fn cursors(data: &[u8]) {
    let Some((value, rest)) = data.split_first_chunk() else {
        return;
    };
    let Some((place, rest)) = rest.split_first_chunk() else {
        return;
    };
    let mark = TaskMark {
        value: i64::from_be_bytes(*value),
        place: i64::from_be_bytes(*place),
    };
    Service::with(|Service { runtime, tasker, .. }| {
        runtime.block_on(async {
            let cursors = Cursors::new(Some("a secret that nobody knows"));
            let query = TaskQuery::new(TaskFilter::default(), 20);
            let cursor = cursors
                .write(tasker, &query, mark)
                .await
                .expect("a cursor can be written");
            let read = cursors
                .read(tasker, &query, &cursor)
                .await
                .expect("a cursor can be read");
            assert_eq!((read.value, read.place), (mark.value, mark.place));
            let Some(([index, byte], rest)) = rest.split_first_chunk::<2>() else {
                return;
            };
            let mut changed = cursor.clone().into_bytes();
            let index = usize::from(*index) % changed.len();
            changed[index] = *byte;
            for text in [&changed[..], rest] {
                let Ok(text) = str::from_utf8(text) else { continue };
                let is_same = text == cursor;
                assert_eq!(
                    cursors.read(tasker, &query, text).await.is_ok(),
                    is_same,
                    "{text}"
                );
            }
        });
    });
}

/// A list is answered or refused with a problem, whatever its query is; what can be matched can be written and read again.
pub fn filters(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    same_again::<ContextMatch>(text);
    let Ok(uri) = Uri::from_str(&format!("/tasker/tasks?{text}")) else {
        return;
    };
    Service::with(|Service { runtime, router, .. }| {
        runtime.block_on(async {
            let request = Request::builder()
                .uri(uri)
                .body(Body::empty())
                .expect("a request can be made");
            let answer = router
                .clone()
                .oneshot(request)
                .await
                .expect("a router always answers");
            let status = answer.status();
            let body = to_bytes(answer.into_body(), usize::MAX)
                .await
                .expect("an answer has an end");
            let body: serde_json::Value = serde_json::from_slice(&body).expect("an answer is JSON");
            if status.is_success() {
                assert!(body["tasks"].is_array(), "{body}");
            } else {
                assert!(status.is_client_error() && status != 429, "{status}: {body}");
                assert!(body["code"].is_string() && body["detail"].is_string(), "{body}");
            }
        });
    });
}

/// A wait is the number of seconds that was said, or the time between two dates; a refusal is no longer than its text may be.
pub fn retry_after(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (header, date) = match text.split_once('\n') {
        Some((header, date)) => (header, Some(date)),
        None => (text, None),
    };
    let now = Timestamp::from_micros(1_700_000_000_000_000);
    match parse_retry_after(header, date, now) {
        Ok(wait) => {
            let digits = header.trim_matches([' ', '\t']);
            if let Ok(seconds) = digits.parse::<u64>()
                && !digits.starts_with('+')
            {
                assert_eq!(wait.as_secs(), seconds);
            }
            // A date that is not one counts as none.
            let without = parse_retry_after(header, None, now);
            assert!(without.is_ok(), "{header:?} depends on {date:?}");
        }
        Err(refusal) => assert!(refusal.text.chars().count() <= 64),
    }
}

/// A date of HTTP is the moment that another reader takes it for, in whichever form it is written.
pub fn http_dates(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    if text
        .trim_matches([' ', '\t'])
        .bytes()
        .all(|byte| byte.is_ascii_digit())
    {
        return;
    }
    // Long before every date, so that each is a wait.
    let past = jiff::civil::date(0, 1, 1)
        .to_zoned(jiff::tz::TimeZone::UTC)
        .expect("a date");
    let now = Timestamp::from_micros(past.timestamp().as_microsecond());
    let Ok(wait) = parse_retry_after(text, None, now) else {
        return;
    };
    let moment = jiff::Timestamp::from_microsecond(now.plus(wait).as_micros()).expect("a moment");
    let written = moment.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string();
    assert_eq!(
        parse_retry_after(&written, None, now),
        Ok(wait),
        "{text} is {written}"
    );
    if let Ok(other) = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text) {
        let is_leap = text.contains(":60 ");
        assert!(is_leap || other == moment, "{text} is {other}, not {moment}");
    }
}

/// What is read is the same when it is written and read again.
fn same_again<T: FromStr + fmt::Display + PartialEq + fmt::Debug>(text: &str)
where
    T::Err: fmt::Display,
{
    match text.parse::<T>() {
        Ok(value) => {
            let written = value.to_string();
            let read = written.parse::<T>().ok();
            assert_eq!(read.as_ref(), Some(&value), "{text:?} is written as {written:?}");
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// Versions, requirements and names are the same when they are written and read again, and every version can be compared with
/// every requirement.
pub fn versions(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let (first, second) = text.split_once('\n').unwrap_or((text, text));
    same_again::<Version>(first);
    same_again::<VersionReq>(second);
    same_again::<HandlerRef>(first);
    same_again::<Namespace>(first);
    same_again::<TemplateName>(first);
    same_again::<StepName>(first);
    same_again::<HandlerName>(first);
    same_again::<EventName>(first);
    same_again::<Pattern>(second);
    same_again::<TaskId>(first);
    same_again::<Timestamp>(first);
    same_again::<Actor>(first);
    if let (Ok(version), Ok(requirement)) = (first.parse::<Version>(), second.parse::<VersionReq>()) {
        let exact = VersionReq::from_str(&format!("={version}")).expect("a version can be required");
        assert!(exact.matches(&version) || !version.build.is_empty());
        let _ = requirement.matches(&version);
    }
}

/// How many steps a graph has that is looked at: what follows is quadratic.
const STEPS: usize = 64;

/// An order has every step after those that it depends on, what is counted is what can be reached, and an analysis that is
/// kept up to date is the same as a new one.
///
/// Each line is a step: its name, and those that it depends on, between spaces; its length decides about the step's state.
pub fn graphs(data: &[u8]) {
    let Ok(text) = str::from_utf8(data) else { return };
    let lines: Vec<&str> = text.lines().take(STEPS).collect();
    let written = lines.iter().map(|line| {
        let mut words = line.split(' ');
        TemplateStep::new(words.next().unwrap_or_default(), words)
    });
    let found = TemplateAnalysis::new(written, 8);
    let places: BTreeMap<&str, usize> = found
        .topological_order
        .iter()
        .enumerate()
        .map(|(place, name)| (name.as_str(), place))
        .collect();
    if found.cycles.is_empty() {
        let names: BTreeSet<&str> = found.nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(places.len(), names.len());
        for (from, to) in &found.edges {
            assert!(
                places[from.as_str()] < places[to.as_str()],
                "{from} comes after {to}"
            );
        }
    } else {
        assert!(places.is_empty());
        return;
    }
    let names: Vec<&str> = found.levels.iter().map(|(name, _)| name.as_str()).collect();
    let number = |name: &str| {
        names
            .iter()
            .position(|known| *known == name)
            .expect("an edge has two steps")
    };
    let edges: Vec<(usize, usize)> = found
        .edges
        .iter()
        .map(|(from, to)| (number(from), number(to)))
        .collect();
    let dag = Dag::build(&names, edges.iter().copied()).expect("what has no cycle is a graph");
    for (from, to) in &edges {
        assert!(dag.levels()[*from] < dag.levels()[*to]);
    }
    states(&lines, &names, &edges);
}

/// Analyses a graph with states that follow from its lines, and changes each step once.
fn states(lines: &[&str], names: &[&str], edges: &[(usize, usize)]) {
    let facts_of = |number: usize| {
        let states = StepState::ALL;
        StepFacts {
            state: states[number % states.len()],
            attempts: (number / 7 % 4) as u32,
            permanent: number.is_multiple_of(11),
            ..StepFacts::default()
        }
    };
    let step = |number: usize| {
        Step::new(
            number as u64,
            names[number],
            facts_of(lines[number % lines.len()].len()),
        )
    };
    let mut facts = TaskFacts {
        state: TaskState::InProgress,
        taken_at: None,
        steps: (0..names.len()).map(step).collect(),
    };
    let edges: Vec<(u64, u64)> = edges
        .iter()
        .map(|(from, to)| (*from as u64, *to as u64))
        .collect();
    let weights = GraphWeights::default();
    // Names and edges are sound, so nothing is wrong but the weights, which are not.
    let mut live = LiveAnalysis::new(&facts, &edges, &weights).expect("a graph can be analysed");
    for (number, name) in names.iter().enumerate().take(8) {
        let reached = live.analysis().descendants(number);
        assert_eq!(reached.len(), live.analysis().descendant_count(number));
        let changed = facts_of(number * 3 + 1);
        facts.steps[number].facts = changed.clone();
        live.update(number as u64, changed, None)
            .expect("a step can change");
        let anew = analyze(&facts, &edges, &weights).expect("a graph can be analysed");
        assert_eq!(*live.analysis(), anew, "a change of `{name}`");
    }
}
