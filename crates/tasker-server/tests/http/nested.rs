//! The service within someone's own application, under their path and behind their layers.

use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderValue, Method, StatusCode};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get as on_get;
use serde_json::json;
use tasker_server::axum;

use crate::kit::{Stream, get, send_with, service};

const JOB: &str = "{ name: job, steps: [{ name: only, handler: sleep, config: { seconds: 0 } }] }";

/// Lets those in who know the word, and marks what was answered.
async fn own_guard(request: Request, next: Next) -> Response {
    if request
        .headers()
        .get("x-word")
        .is_none_or(|word| word != "please")
    {
        return StatusCode::FORBIDDEN.into_response();
    }
    let mut response = next.run(request).await;
    response
        .headers_mut()
        .insert("x-own", HeaderValue::from_static("1"));
    response
}

fn own_application() -> Router {
    let tasks = service(&[JOB]).layer(middleware::from_fn(own_guard));
    Router::new()
        .route("/", on_get(async || "our own page"))
        .nest("/ours/workflows", tasks)
        .fallback(async || (StatusCode::NOT_FOUND, "our own nothing"))
}

#[tokio::test]
async fn a_nested_service_keeps_to_its_place_and_passes_the_layers_of_its_host() {
    let application = own_application();
    assert_eq!(get(&application, "/").await.text, "our own page");
    assert_eq!(get(&application, "/tasker/tasks").await.text, "our own nothing");
    let tasks = "/ours/workflows/tasker/tasks";
    assert_eq!(get(&application, tasks).await.status, StatusCode::FORBIDDEN);

    let word = [("x-word", "please"), ("content-type", "application/json")];
    let body = json!({ "name": "job", "context": {} });
    let created = send_with(&application, Method::POST, tasks, &word, Some(body)).await;
    assert_eq!(created.status, StatusCode::CREATED, "{created:?}");
    assert_eq!(created.headers["x-own"], "1");
    let id = created.body["task"]["task_id"].as_str().unwrap();
    let location = created.headers["location"].to_str().unwrap();
    assert_eq!(location, format!("{tasks}/{id}"));
    let found = send_with(&application, Method::GET, location, &word, None).await;
    assert_eq!(found.is_ok()["task"]["task_id"], id);

    let mut stream = Stream::open(&application, &format!("{location}/events"), &word)
        .await
        .unwrap();
    let first = stream.next().await.unwrap();
    assert!(first.event.is_some() || first.comment.is_some(), "{first:?}");
    let live = send_with(
        &application,
        Method::GET,
        "/ours/workflows/health/live",
        &word,
        None,
    );
    assert_eq!(live.await.is_ok()["status"], "alive");
}

#[tokio::test]
async fn what_is_not_there_is_told_by_the_path_that_was_asked_for() {
    let application = own_application();
    let word = [("x-word", "please")];
    for (method, path, code, said) in [
        (
            Method::GET,
            "/ours/workflows/tasker/nothing",
            (404, "route_not_found"),
            "there is nothing at `/ours/workflows/tasker/nothing`",
        ),
        (
            Method::PUT,
            "/ours/workflows/tasker/tasks",
            (405, "method_not_allowed"),
            "`/ours/workflows/tasker/tasks` cannot be asked with PUT",
        ),
    ] {
        let answer = send_with(&application, method, path, &word, None).await;
        assert_eq!(answer.is_problem(code.0, code.1), said);
    }
}
