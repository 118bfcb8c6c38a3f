//! What is counted, read as strictly as the text format of Prometheus is written.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, header};
use serde_json::json;
use tasker_server::tasker::config::Loader;
use tasker_server::tasker::{StepContext, StepError, Tasker, TaskerBuilder, Timestamp, TokioClock, handler};
use tasker_server::{App, axum};

use crate::health::{cluster, guarded, on};
use crate::kit::{Answer, Locked, Stream, app, get, send};

const ORDER: &str = "
name: order
steps:
  - { name: pay, handler: pay }
  - { name: ship, handler: ship, depends_on: [pay] }
";
const PARCEL: &str = "
namespace: logistics
name: parcel
steps: [{ name: weigh, handler: break }]
";

/// One metric: its type, and the value of each series by the name of the sample and its labels.
#[derive(Debug, Default)]
struct Family {
    kind: String,
    samples: BTreeMap<(String, BTreeMap<String, String>), f64>,
}

#[derive(Debug)]
struct Read(BTreeMap<String, Family>);

impl Read {
    /// Reads a page in which each metric is explained, of a type, together and without repetitions.
    #[track_caller]
    fn strictly(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut families: BTreeMap<String, Family> = BTreeMap::new();
        let mut helped = BTreeSet::new();
        let mut current: Option<String> = None;
        for line in text.lines() {
            if let Some(rest) = line.strip_prefix("# HELP ") {
                let (name, help) = rest.split_once(' ').unwrap();
                assert!(help.ends_with('.'), "{line}");
                assert!(helped.insert(name.to_owned()), "`{name}` is explained twice");
                current = None;
            } else if let Some(rest) = line.strip_prefix("# TYPE ") {
                let (name, kind) = rest.split_once(' ').unwrap();
                assert!(
                    ["counter", "gauge", "histogram"].contains(&kind),
                    "`{name}` is a {kind}"
                );
                assert_eq!(kind == "counter", name.ends_with("_total"), "{line}");
                assert!(helped.contains(name), "`{name}` is not explained before its type");
                let family = Family {
                    kind: kind.to_owned(),
                    ..Family::default()
                };
                assert!(families.insert(name.to_owned(), family).is_none(), "{line}");
                current = Some(name.to_owned());
            } else {
                let name = current.clone().expect("a sample stands under its type");
                let (sample, labels, value) = sample(line);
                let family = families.get_mut(&name).unwrap();
                let allowed: &[&str] = match family.kind.as_str() {
                    "histogram" => &["_bucket", "_sum", "_count"],
                    _ => &[""],
                };
                let end = sample.strip_prefix(&name).unwrap_or("no part of it");
                assert!(allowed.contains(&end), "`{sample}` stands under `{name}`");
                assert!(family.kind == "gauge" || value >= 0.0, "{line}");
                let known = family.samples.insert((sample, labels), value);
                assert_eq!(known, None, "a series is there twice: {line}");
            }
        }
        assert_eq!(
            helped,
            families.keys().cloned().collect(),
            "each has an explanation and a type"
        );
        for (name, family) in &families {
            assert!(name.starts_with("tasker_"), "{name}");
            assert!(!family.samples.is_empty(), "`{name}` has no series");
            if family.kind == "histogram" {
                family.is_a_histogram(name);
            }
        }
        Self(families)
    }

    /// Returns the value of a series; `None` if it is not there.
    fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let family = self.0.get(name).or_else(|| {
            let (name, _) = name.rsplit_once('_')?;
            self.0.get(name)
        })?;
        let labels = labels
            .iter()
            .map(|(name, value)| (String::from(*name), String::from(*value)));
        family.samples.get(&(name.to_owned(), labels.collect())).copied()
    }

    #[track_caller]
    fn has(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        assert_eq!(self.find(name, labels), Some(value), "{name} {labels:?}");
    }
}

impl Family {
    #[track_caller]
    fn is_a_histogram(&self, name: &str) {
        let mut buckets: BTreeMap<BTreeMap<String, String>, Vec<(f64, f64)>> = BTreeMap::new();
        for ((sample, labels), value) in &self.samples {
            if sample.ends_with("_bucket") {
                let mut labels = labels.clone();
                let bound = labels.remove("le").unwrap();
                let bound = if bound == "+Inf" {
                    f64::INFINITY
                } else {
                    bound.parse().unwrap()
                };
                buckets.entry(labels).or_default().push((bound, *value));
            }
        }
        assert_eq!(
            self.samples.len(),
            buckets.values().map(|each| each.len() + 2).sum::<usize>()
        );
        for (labels, mut buckets) in buckets {
            buckets.sort_by(|a, b| a.0.total_cmp(&b.0));
            assert!(buckets.windows(2).all(|pair| pair[0].0 < pair[1].0), "{name}");
            assert!(
                buckets.windows(2).all(|pair| pair[0].1 <= pair[1].1),
                "{name} {labels:?}: {buckets:?}"
            );
            let last = buckets.last().unwrap();
            assert_eq!(last.0, f64::INFINITY, "{name} {labels:?}");
            let count = self.samples[&(format!("{name}_count"), labels.clone())];
            assert_eq!(last.1, count, "{name} {labels:?}");
            assert!(
                self.samples.contains_key(&(format!("{name}_sum"), labels)),
                "{name}"
            );
        }
    }
}

/// Reads `name{label="value",…} 1.5`.
#[track_caller]
fn sample(line: &str) -> (String, BTreeMap<String, String>, f64) {
    let is_name = |text: &str| {
        text.starts_with(|first: char| first.is_ascii_lowercase())
            && text
                .chars()
                .all(|each| each.is_ascii_lowercase() || each.is_ascii_digit() || each == '_')
    };
    let (head, value) = line.rsplit_once(' ').unwrap();
    let value: f64 = value.parse().unwrap();
    let mut labels = BTreeMap::new();
    let (name, mut rest) = head
        .split_once('{')
        .map_or((head, ""), |(name, rest)| (name, rest.strip_suffix('}').unwrap()));
    assert!(is_name(name), "{line}");
    while !rest.is_empty() {
        let (label, quoted) = rest.split_once("=\"").unwrap();
        assert!(is_name(label), "{line}");
        let mut text = String::new();
        let mut characters = quoted.char_indices();
        let end = loop {
            match characters.next().unwrap() {
                (end, '"') => break end,
                (_, '\\') => match characters.next().unwrap().1 {
                    'n' => text.push('\n'),
                    other @ ('"' | '\\') => text.push(other),
                    other => panic!("\\{other} means nothing: {line}"),
                },
                (_, other) => text.push(other),
            }
        };
        assert!(labels.insert(label.to_owned(), text).is_none(), "{line}");
        rest = &quoted[end + 1..];
        if !rest.is_empty() {
            rest = rest.strip_prefix(',').unwrap();
        }
    }
    (name.to_owned(), labels, value)
}

async fn read(router: &Router) -> Read {
    let answer: Answer = get(router, "/metrics").await;
    answer.is_ok();
    assert_eq!(
        answer.headers[header::CONTENT_TYPE],
        "text/plain; version=0.0.4; charset=utf-8"
    );
    let read = Read::strictly(&answer.text);
    let page = include_str!("../../../../docs/observability.md");
    for name in read.0.keys() {
        assert!(
            page.contains(&format!("`{name}`")),
            "the page does not explain `{name}`"
        );
    }
    read
}

/// A payment fails the first time and asks for seven seconds, shipping takes three; a parcel fails for good.
fn with_handlers(builder: TaskerBuilder) -> Tasker {
    let begin = Timestamp::from_micros(1_767_225_600_000_000);
    let pay = handler(async |ctx: StepContext| match ctx.attempt() {
        1 => Err(StepError::retryable("the bank is closed").retry_after(Duration::from_secs(7))),
        _ => Ok(json!("paid")),
    });
    let ship = handler(async |_: StepContext| {
        tokio::time::sleep(Duration::from_secs(3)).await;
        Ok::<_, StepError>(json!("shipped"))
    });
    let breaks = handler(async |_: StepContext| {
        Err::<serde_json::Value, _>(StepError::permanent("broken", "it is broken"))
    });
    builder
        .clock(Arc::new(TokioClock::starting_at(begin)))
        .handler("pay", pay)
        .handler("ship", ship)
        .handler_in("logistics", "break", "0.1.0", breaks)
        .build()
        .unwrap()
}

async fn create(router: &Router, namespace: &str, name: &str) -> String {
    let body = json!({ "namespace": namespace, "name": name, "context": {} });
    let answer = send(router, Method::POST, "/tasker/tasks", Some(body)).await;
    answer.body["task"]["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test(start_paused = true)]
async fn the_numbers_are_those_of_what_was_done() {
    let tasker = with_handlers(Tasker::builder().memory());
    let router = tasker_server::router(app(&tasker, &[ORDER, PARCEL]));
    let before = read(&router).await;
    assert!(!before.0.contains_key("tasker_tasks_created_total"), "{before:?}");
    before.has("tasker_queue_depth", &[("when", "due")], 0.0);
    for _ in 0..2 {
        let order = create(&router, "default_system", "order").await;
        tasker.resume(order.parse().unwrap()).await.unwrap();
    }
    let parcel = create(&router, "logistics", "parcel").await;
    tasker.resume(parcel.parse().unwrap()).await.unwrap();
    let cancelled = create(&router, "logistics", "parcel").await;
    let cancel = format!("/tasker/tasks/{cancelled}/cancel");
    send(&router, Method::POST, &cancel, None).await.is_ok();
    create(&router, "logistics", "parcel").await;
    // What was counted of the store is old by then.
    tokio::time::advance(Duration::from_secs(15)).await;

    let after = read(&router).await;
    let order = [("namespace", "default_system"), ("task", "order")];
    let parcel = [("namespace", "logistics"), ("task", "parcel")];
    after.has("tasker_tasks_created_total", &order, 2.0);
    after.has("tasker_tasks_created_total", &parcel, 3.0);
    let with = |labels: &[(&'static str, &'static str)], more: &[(&'static str, &'static str)]| {
        [labels, more].concat()
    };
    let of = |state| [("state", state)];
    after.has("tasker_tasks_finished_total", &with(&order, &of("complete")), 2.0);
    after.has("tasker_tasks_finished_total", &with(&parcel, &of("error")), 1.0);
    after.has(
        "tasker_tasks_finished_total",
        &with(&parcel, &of("cancelled")),
        1.0,
    );
    let lasted = with(&order, &of("complete"));
    after.has("tasker_task_duration_seconds_count", &lasted, 2.0);
    let seconds = after.find("tasker_task_duration_seconds_sum", &lasted).unwrap();
    // Jitter adds up to a tenth to the seven seconds of each retry.
    assert!((20.0..21.5).contains(&seconds), "{seconds}");
    let quick = with(&lasted, &[("le", "5")]);
    after.has("tasker_task_duration_seconds_bucket", &quick, 0.0);
    let slow = with(&lasted, &[("le", "30")]);
    after.has("tasker_task_duration_seconds_bucket", &slow, 2.0);

    let pay = with(&order, &[("step", "pay")]);
    for (state, count) in [("in_progress", 4.0), ("error", 2.0), ("complete", 2.0)] {
        after.has("tasker_step_transitions_total", &with(&pay, &of(state)), count);
    }
    let ship = with(&order, &[("step", "ship")]);
    for state in ["in_progress", "complete"] {
        after.has("tasker_step_transitions_total", &with(&ship, &of(state)), 2.0);
    }
    after.has("tasker_step_retries_total", &pay, 2.0);
    assert_eq!(after.find("tasker_step_retries_total", &ship), None);
    let ran = with(&ship, &of("complete"));
    after.has("tasker_step_duration_seconds_count", &ran, 2.0);
    let seconds = after.find("tasker_step_duration_seconds_sum", &ran).unwrap();
    assert!((6.0..6.1).contains(&seconds), "{seconds}");
    let weigh = with(&parcel, &[("step", "weigh")]);
    after.has(
        "tasker_step_duration_seconds_count",
        &with(&weigh, &of("error")),
        1.0,
    );

    let turns = after.find("tasker_claim_duration_seconds_count", &[("request", "turn")]);
    assert!(turns.unwrap() >= 7.0, "{turns:?}");
    let created = [("request", "create")];
    after.has("tasker_store_request_duration_seconds_count", &created, 5.0);

    for (state, count) in [
        ("complete", 2.0),
        ("error", 1.0),
        ("cancelled", 1.0),
        ("pending", 1.0),
    ] {
        after.has("tasker_tasks", &of(state), count);
    }
    after.has("tasker_steps", &of("complete"), 4.0);
    after.has("tasker_steps_failed", &[("fate", "permanent")], 1.0);
    after.has("tasker_queue_depth", &[("when", "due")], 1.0);
    after.has("tasker_queue_depth", &[("when", "waiting")], 0.0);
    after.has("tasker_cache_misses_total", &[("cache", "status")], 2.0);
    after.has("tasker_cache_hits_total", &[("cache", "status")], 0.0);
    let again = read(&router).await;
    again.has("tasker_cache_hits_total", &[("cache", "status")], 1.0);
    after.has("tasker_event_streams", &of("in_use"), 0.0);
    let _stream = Stream::open(&router, "/tasker/events", &[]).await.unwrap();
    read(&router)
        .await
        .has("tasker_event_streams", &of("in_use"), 1.0);
}

#[tokio::test]
async fn a_file_has_its_connections() {
    let directory = tempfile::tempdir().unwrap();
    let tasker = with_handlers(Tasker::builder().data_directory(directory.path()));
    let router = tasker_server::router(app(&tasker, &[ORDER]));
    create(&router, "default_system", "order").await;
    let read = read(&router).await;
    for (pool, count) in [("readers", 2.0), ("writers", 1.0)] {
        let of = |state| [("pool", pool), ("state", state)];
        read.has("tasker_connections_max", &[("pool", pool)], count);
        read.has("tasker_connections_waiting", &[("pool", pool)], 0.0);
        read.has("tasker_connections", &of("in_use"), 0.0);
        read.has("tasker_connections", &of("idle"), count);
    }
    read.has("tasker_store_up", &[], 1.0);
    read.has("tasker_tasks", &[("state", "pending")], 1.0);
    read.has("tasker_slow_statements_total", &[], 0.0);
}

#[tokio::test]
async fn statements_that_take_long_are_counted() {
    let directory = tempfile::tempdir().unwrap();
    // Less than a statement can take.
    let config = Loader::new()
        .set("telemetry.slow_query_threshold_seconds", 1e-9)
        .load()
        .unwrap();
    let tasker = with_handlers(Tasker::builder().config(config).data_directory(directory.path()));
    let router = tasker_server::router(app(&tasker, &[ORDER]));
    create(&router, "default_system", "order").await;
    let slow = read(&router)
        .await
        .find("tasker_slow_statements_total", &[])
        .unwrap();
    assert!(slow > 10.0, "{slow}");
}

#[tokio::test]
async fn who_waits_for_a_connection_is_counted() {
    let cluster = cluster();
    let (tasker, router) = on(&cluster).await;
    let before = read(&router).await;
    before.has("tasker_connections_max", &[("pool", "readers")], 2.0);
    before.has("tasker_server_connections", &[("count", "max")], 400.0);
    let locked = Locked::table(&cluster, "tasks");
    let asked: Vec<_> = (0..5)
        .map(|_| {
            let router = router.clone();
            tokio::spawn(async move { get(&router, "/tasker/tasks").await.is_ok().clone() })
        })
        .collect();
    let waiting = [("pool", "readers")];
    let busy = loop {
        let read = read(&router).await;
        if read.find("tasker_connections_waiting", &waiting) == Some(3.0) {
            break read;
        }
        tokio::task::yield_now().await;
    };
    busy.has(
        "tasker_connections",
        &[("pool", "readers"), ("state", "in_use")],
        2.0,
    );
    locked.release();
    for asked in asked {
        asked.await.unwrap();
    }
    let after = read(&router).await;
    after.has("tasker_connections_waiting", &waiting, 0.0);
    let of = |state| [("pool", "readers"), ("state", state)];
    after.has("tasker_connections", &of("in_use"), 0.0);
    after.has("tasker_connections", &of("idle"), 2.0);
    drop(tasker);
}

#[tokio::test]
async fn a_database_that_is_gone_takes_only_its_own_numbers_away() {
    let cluster = cluster();
    let (_tasker, router) = on(&cluster).await;
    cluster.stop().unwrap();
    let read = read(&router).await;
    read.has("tasker_store_up", &[], 0.0);
    assert!(!read.0.contains_key("tasker_tasks"), "{read:?}");
    read.has("tasker_connections_max", &[("pool", "writers")], 2.0);
}

#[tokio::test]
async fn the_configuration_says_whether_there_are_metrics_and_who_is_asked() {
    get(&guarded(""), "/metrics").await.is_ok();
    get(&guarded("[telemetry]\nmetrics_auth_required = true"), "/metrics")
        .await
        .is_problem(401, "unauthenticated");
    let config = Loader::new()
        .set("telemetry.metrics_enabled", false)
        .load()
        .unwrap();
    let tasker = Tasker::builder().config(config).memory().build().unwrap();
    let router = tasker_server::router(App::builder(tasker).build());
    assert_eq!(
        get(&router, "/metrics").await.is_problem(404, "route_not_found"),
        "nothing is counted here: `telemetry.metrics_enabled` is off"
    );
}
