//! Health, with real databases that are stopped, slow, or lack their migrations.

use std::ffi::OsString;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::{Method, header};
use serde_json::{Value, json};
use tasker_server::tasker::config::{Config, Loader};
use tasker_server::tasker::{Tasker, TaskerBuilder};
use tasker_server::{App, Auth, axum};
use tasker_testkit::{Cluster, Durability, ManualClock};

use crate::kit::{Locked, app, get, send, with_method};

const TEMPLATE: &str = "{ name: job, steps: [{ name: first, handler: sleep, config: { seconds: 0 } }, { name: second, handler: sleep, \
     config: { seconds: 0 }, depends_on: [first] }] }";

fn configured(text: &str) -> Config {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tasker.toml");
    std::fs::write(&file, text).unwrap();
    Loader::new().file(file).load().unwrap()
}

pub(crate) async fn on(cluster: &Cluster) -> (Tasker, Router) {
    let tasker = Tasker::builder().postgres(cluster.url()).connect().await.unwrap();
    let router = tasker_server::router(App::builder(tasker.clone()).build());
    (tasker, router)
}

pub(crate) fn cluster() -> Cluster {
    Cluster::start(Durability::None).unwrap_or_else(|problem| panic!("{problem}"))
}

fn sql(cluster: &Cluster, text: &str) {
    let told = cluster.psql().args(["-c", text]).output().unwrap();
    assert!(told.status.success(), "{}", String::from_utf8_lossy(&told.stderr));
}

#[track_caller]
fn checks(database: &str, migrations: &str) -> Value {
    json!([
        { "name": "database", "status": database },
        { "name": "migrations", "status": migrations },
    ])
}

#[tokio::test]
async fn a_service_with_its_database_is_ready() {
    let directory = tempfile::tempdir().unwrap();
    let tasker = Tasker::builder()
        .data_directory(directory.path())
        .build()
        .unwrap();
    let router = tasker_server::router(App::builder(tasker).build());
    let answer = get(&router, "/health/ready").await;
    assert_eq!(answer.is_ok()["status"], "ready");
    assert_eq!(answer.body["checks"], checks("passed", "passed"));
    assert!(answer.body["schema_version"].as_u64().unwrap() > 0);
    assert!(answer.body["answered_in_seconds"].as_f64().unwrap() >= 0.0);
    assert_eq!(answer.headers[header::CACHE_CONTROL], "no-store");
}

#[tokio::test]
async fn a_database_that_is_stopped_is_told_and_missed_until_it_is_back() {
    let cluster = cluster();
    let (_tasker, router) = on(&cluster).await;
    get(&router, "/health/ready").await.is_ok();
    cluster.stop().unwrap();
    let answer = get(&router, "/health/ready").await;
    assert_eq!(answer.is_problem(503, "not_ready"), "the database cannot be read");
    assert_eq!(answer.body["checks"], checks("failed", "unknown"));
    assert_eq!(answer.headers[header::RETRY_AFTER], "1");
    // Where the database is is nobody's business.
    let place = cluster.directory().unwrap().display().to_string();
    assert!(!answer.text.contains(&place), "{}", answer.text);
    get(&router, "/health/status")
        .await
        .is_problem(503, "store_unavailable");
    assert_eq!(get(&router, "/health/live").await.is_ok()["status"], "alive");
    cluster.start_again().unwrap();
    get(&router, "/health/ready").await.is_ok();
    get(&router, "/health/status").await.is_ok();
}

#[tokio::test]
async fn a_database_without_its_migrations_is_told() {
    let cluster = cluster();
    let (_tasker, router) = on(&cluster).await;
    sql(&cluster, "UPDATE tasker_schema SET version = 0");
    let answer = get(&router, "/health/ready").await;
    let said = answer.is_problem(503, "not_ready");
    assert!(
        said.starts_with("the schema of the database has version 0 and this program needs version ")
            && said.ends_with("; run `tasker migrate up`"),
        "{said}"
    );
    assert_eq!(answer.body["checks"], checks("passed", "failed"));
    sql(&cluster, "DROP TABLE tasker_schema");
    let answer = get(&router, "/health/ready").await;
    answer.is_problem(503, "not_ready");
    assert_eq!(answer.body["checks"], checks("passed", "failed"));
    assert_eq!(get(&router, "/health/live").await.is_ok()["status"], "alive");
}

#[tokio::test]
async fn a_database_that_is_slow_is_given_its_time_and_no_more() {
    let cluster = cluster();
    let (_tasker, router) = on(&cluster).await;
    get(&router, "/health/ready").await.is_ok();
    let locked = Locked::table(&cluster, "tasker_schema");
    // Nothing else happens meanwhile, so that the five seconds pass at once.
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    let answer = get(&router, "/health/ready").await;
    let waited = begun.elapsed();
    tokio::time::resume();
    assert_eq!(
        answer.is_problem(503, "not_ready"),
        "the database did not answer within 5 seconds"
    );
    assert_eq!(answer.body["checks"], checks("failed", "unknown"));
    assert!((5.0..6.0).contains(&waited.as_secs_f64()), "{waited:?}");
    locked.release();
    get(&router, "/health/ready").await.is_ok();
}

fn at(clock: &ManualClock, builder: TaskerBuilder) -> TaskerBuilder {
    builder.clock(Arc::new(clock.clone()))
}

#[tokio::test]
async fn the_status_counts_and_is_counted_anew_when_its_time_is_over() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let tasker = at(&clock, Tasker::builder().data_directory(directory.path()))
        .build()
        .unwrap();
    let router = tasker_server::router(app(&tasker, &[TEMPLATE]));
    let status = async || get(&router, "/health/status").await.is_ok().clone();
    let before = status().await;
    assert_eq!(before["tasks"]["total"], 0);
    assert_eq!(before["cached"], false);
    assert_eq!(before["counted_at"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(
        before["connections"],
        json!({ "readers": 2, "reading": 0, "writers": 1, "server": null })
    );
    let body = json!({ "name": "job", "context": {} });
    let created = send(&router, Method::POST, "/tasker/tasks", Some(body)).await;
    let cancel = format!(
        "/tasker/tasks/{}/cancel",
        created.body["task"]["task_id"].as_str().unwrap()
    );
    send(&router, Method::POST, &cancel, None).await.is_ok();
    let body = json!({ "name": "job", "context": {} });
    send(&router, Method::POST, "/tasker/tasks", Some(body)).await;
    clock.advance(Duration::from_micros(14_999_999));
    let kept = status().await;
    assert_eq!(
        (&kept["tasks"]["total"], &kept["cached"]),
        (&json!(0), &json!(true))
    );
    assert_eq!(kept["counted_at"], "2026-01-01T00:00:00.000000Z");
    assert_eq!(
        kept["caches"]["status"],
        json!({ "hits": 1, "misses": 1, "entries": 1 })
    );
    clock.advance(Duration::from_micros(1));
    let after = status().await;
    assert_eq!(after["cached"], false);
    assert_eq!(after["counted_at"], "2026-01-01T00:00:15.000000Z");
    let states = |total, pending, cancelled| {
        json!({
            "total": total, "pending": pending, "in_progress": 0, "complete": 0, "error": 0, "cancelled": cancelled,
            "resolved_manually": 0,
        })
    };
    assert_eq!(after["tasks"], states(2, 1, 1));
    assert_eq!(after["steps"], states(4, 2, 2));
    let none = json!({ "retryable": 0, "in_backoff": 0, "exhausted": 0, "permanent": 0 });
    assert_eq!(after["retries"], none);
}

#[tokio::test]
async fn the_status_of_a_server_has_its_connections() {
    let cluster = cluster();
    let (_tasker, router) = on(&cluster).await;
    let answer = get(&router, "/health/status").await;
    let connections = &answer.is_ok()["connections"];
    assert_eq!(
        (&connections["readers"], &connections["writers"]),
        (&json!(2), &json!(2))
    );
    let server = &connections["server"];
    assert!(server["open"].as_u64().unwrap() >= 1, "{server}");
    assert_eq!(server["max"], 400);
}

/// Returns a service where callers have to say who they are, with these lines of the section `health`.
pub(crate) fn guarded(health: &str) -> Router {
    let config = configured(&format!(
        "[auth]\nauthentication_enabled = true\nauthenticator = \"jwt\"\njwt.keys = [{{ algorithm = \"HS256\", env = \
         \"KEY\" }}]\n[health]\n{health}"
    ));
    let variables = [(
        OsString::from("KEY"),
        OsString::from("only for tests, and long enough for it"),
    )];
    let tasker = Tasker::builder().config(config.clone()).memory().build().unwrap();
    let guard = Auth::builder()
        .build(config.auth(), &variables.into_iter().collect(), tasker.clock())
        .unwrap();
    let names = ["health", "live", "ready", "status", "metrics"];
    let steps = names
        .map(|name| format!("{{ name: {name}, handler: sleep, config: {{ seconds: 0 }} }}"))
        .join(", ");
    let templates = names.map(|name| format!("{{ namespace: health, name: {name}, steps: [{steps}] }}"));
    let templates = app(&tasker, &templates.each_ref().map(String::as_str))
        .templates()
        .clone();
    tasker_server::router(App::builder(tasker).templates(templates).guard(guard).build())
}

async fn statuses(router: &Router) -> [u16; 3] {
    let mut statuses = [0; 3];
    for (place, path) in ["/health/live", "/health/ready", "/health/status"]
        .iter()
        .enumerate()
    {
        statuses[place] = get(router, path).await.status.as_u16();
    }
    statuses
}

#[tokio::test]
async fn the_configuration_says_who_is_asked() {
    assert_eq!(statuses(&guarded("")).await, [200, 200, 401]);
    assert_eq!(
        statuses(&guarded("ready_requires_authentication = true")).await,
        [200, 401, 401]
    );
    assert_eq!(
        statuses(&guarded("status_requires_authentication = false")).await,
        [200, 200, 200]
    );
}

/// What is open is open by its route: no name and no spelling makes another route so.
#[tokio::test]
async fn things_that_are_called_like_health_are_not_open() {
    let router = guarded("");
    for path in [
        "/tasker/handlers/health",
        "/tasker/handlers/health/health",
        "/tasker/handlers/health/live",
        "/tasker/handlers/health/ready",
        "/tasker/handlers/health/ready?x=/health/ready",
        "/tasker/handlers/health%2Fready",
        "/tasker/tasks/health",
        "/tasker/tasks/health/workflow_steps/ready",
    ] {
        let answer = get(&router, path).await;
        answer.is_problem(401, "unauthenticated");
        let answer = with_method(&router, Method::HEAD, path).await;
        assert_eq!(answer.status.as_u16(), 401, "{path}");
    }
    for path in [
        "/health/ready/",
        "/health//ready",
        "//health/ready",
        "/health/Ready",
        "/health/ready%2F..%2Fstatus",
        "/health/ready/../status",
        "/health/./status",
        "/tasker/health/ready",
        "/health",
    ] {
        let answer = get(&router, path).await;
        answer.is_problem(404, "route_not_found");
    }
    // A query decides nothing, and neither does a header that names another path.
    get(&router, "/health/status?/health/ready")
        .await
        .is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn a_base_path_called_health_hides_nothing() {
    let config = configured("[server]\nbase_path = \"/health\"");
    let tasker = Tasker::builder().config(config).memory().build().unwrap();
    let router = tasker_server::router(app(&tasker, &[TEMPLATE]));
    assert_eq!(statuses(&router).await, [200, 200, 200]);
    assert_eq!(get(&router, "/health/handlers").await.is_ok()["total_count"], 1);
}
