//! What holds for every answer.

use axum::http::{Method, header};
use serde_json::{Value, json};
use tasker_server::tasker::Tasker;
use tasker_server::{App, axum};
use tasker_types::{RequestRate, Server, ServerValues};

use crate::kit::{get, send, service, with_method};

#[tokio::test]
async fn the_process_says_that_it_lives() {
    let answer = get(&service(&[]), "/health/live").await;
    assert_eq!(answer.is_ok()["status"], "alive");
}

#[tokio::test]
async fn what_is_not_there_is_a_problem_too() {
    let service = service(&[]);
    let answer = get(&service, "/tasker/nothing").await;
    assert_eq!(
        answer.is_problem(404, "route_not_found"),
        "there is nothing at `/tasker/nothing`"
    );
    let answer = with_method(&service, Method::PUT, "/tasker/handlers").await;
    assert_eq!(
        answer.is_problem(405, "method_not_allowed"),
        "`/tasker/handlers` cannot be asked with PUT"
    );
    assert_eq!(answer.headers[header::ALLOW], "GET,HEAD");
}

#[tokio::test]
async fn browsers_are_told_to_do_nothing_with_an_answer() {
    let service = service(&[]);
    for path in ["/health/live", "/tasker/nothing", "/tasker/handlers"] {
        let answer = get(&service, path).await;
        let said = |name: header::HeaderName| answer.headers[name].to_str().unwrap().to_owned();
        assert_eq!(said(header::CACHE_CONTROL), "no-store");
        assert_eq!(
            said(header::CONTENT_SECURITY_POLICY),
            "default-src 'none'; frame-ancestors 'none'"
        );
        assert_eq!(said(header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(said(header::X_FRAME_OPTIONS), "DENY");
        assert_eq!(said(header::REFERRER_POLICY), "no-referrer");
        assert!(!answer.headers.contains_key(header::ACCESS_CONTROL_ALLOW_ORIGIN));
    }
}

/// Whoever forgets to tell where requests come from limits more than they wanted, not less.
#[tokio::test(start_paused = true)]
async fn requests_from_nowhere_have_one_allowance_together() {
    let values = ServerValues {
        address_rate: RequestRate {
            requests_per_second: 1.0,
            burst: 2,
        },
        ..ServerValues::default()
    };
    let settings = Server::try_from(values).unwrap();
    let tasker = Tasker::builder().memory().build().unwrap();
    let own = tasker_server::router(App::builder(tasker).settings(settings).build());
    let nested = axum::Router::new().nest("/workflows", own);
    for _ in 0..2 {
        get(&nested, "/workflows/tasker/handlers").await.is_ok();
    }
    let refused = get(&nested, "/workflows/tasker/handlers").await;
    refused.is_problem(429, "too_many_requests");
    assert_eq!(refused.headers[header::RETRY_AFTER], "1");
    assert_eq!(refused.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
    get(&nested, "/workflows/health/live").await.is_ok();
}

/// Returns lists within one another, so many.
fn nested(levels: usize) -> Value {
    (0..levels).fold(json!("x"), |inner, _| json!([inner]))
}

#[tokio::test]
async fn a_body_has_so_many_levels() {
    let service = service(&["{ name: deep, steps: [{ name: a, handler: sleep, config: { seconds: 0 } }] }"]);
    let created = async |levels| {
        let body = json!({ "name": "deep", "context": { "deep": nested(levels), "texts": "[[[{{{\"[" } });
        send(&service, Method::POST, "/tasker/tasks", Some(body)).await
    };
    // The body and the context are two.
    let fits = created(62).await;
    assert_eq!(fits.status.as_u16(), 201, "{fits:?}");
    assert_eq!(fits.body["task"]["context"]["deep"], nested(62));
    for levels in [63, 1_000] {
        let detail = created(levels).await;
        assert_eq!(
            detail.is_problem(400, "invalid_body"),
            "the body has more than 64 levels of lists and objects within one another, which is `server.body_depth`"
        );
    }
}
