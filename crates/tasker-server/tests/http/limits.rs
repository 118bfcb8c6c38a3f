//! What holds for every answer.

use axum::http::{Method, header};
use tasker_server::axum;

use crate::kit::{get, service, with_method};

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
