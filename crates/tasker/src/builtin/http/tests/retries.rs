//! Waits that a server asks for, and requests that get no answer.

use super::*;
use crate::config::Loader;

/// Returns a Tasker whose clocks stand still and whose waits have no jitter.
fn standing() -> Tasker {
    let config = Loader::new().set("backoff.jitter_enabled", false).load().unwrap();
    builder()
        .config(config)
        .clock(Arc::new(Standing))
        .build()
        .unwrap()
}

/// Returns how long a step waits after its first attempt was answered so.
async fn wait_after(status: &str, headers: &[(&str, &str)]) -> Duration {
    let server = Server::start([answer(status, headers, "")]).await;
    let step = StepBuilder::new("only", "http").config(json!({ "url": server.url("/x") }));
    let template = TaskTemplate::builder("one").step(step).build().unwrap();
    let tasker = standing();
    let new = tasker.prepare(TaskRequest::new(template)).unwrap();
    let id = new.id;
    let worker = tasker.worker(crate::Scope::All);
    let handle = worker.handle();
    let stop = tokio_util::sync::CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone(), stop.clone()));
    handle.create(crate::Actor::System, vec![new]).await.unwrap();
    let failed = async {
        loop {
            let snapshot = tasker.store().snapshot(id).await.unwrap().unwrap();
            if snapshot.steps[0].state == StepState::Error {
                return snapshot.steps[0].next_retry_at.unwrap();
            }
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    };
    let due = tokio::time::timeout(Duration::from_secs(20), failed)
        .await
        .unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    due.since(NOW)
}

#[tokio::test]
async fn the_server_says_how_long_to_wait() {
    let seconds = Duration::from_secs;
    let unavailable = "503 Service Unavailable";
    let two_minutes = [
        "120",
        "Sun, 06 Nov 1994 08:51:37 GMT",
        "Sunday, 06-Nov-94 08:51:37 GMT",
        "Sun Nov  6 08:51:37 1994",
    ];
    for header in two_minutes {
        assert_eq!(
            wait_after(unavailable, &[("Retry-After", header)]).await,
            seconds(120),
            "{header}"
        );
    }
    // A date counts from the server's own date.
    let headers = [
        ("Retry-After", "Sun, 06 Nov 1994 10:00:07 GMT"),
        ("Date", "Sun, 06 Nov 1994 10:00:00 GMT"),
    ];
    assert_eq!(wait_after(unavailable, &headers).await, seconds(7));
    assert_eq!(
        wait_after(unavailable, &[("Retry-After", "999999")]).await,
        seconds(300)
    );
    for junk in ["soon", "-1", "1.5", "Mon, 06 Nov 1994 08:51:37 GMT"] {
        assert_eq!(
            wait_after(unavailable, &[("Retry-After", junk)]).await,
            seconds(1),
            "{junk}"
        );
    }
}

#[tokio::test]
async fn every_answer_that_is_tried_again_may_say_when() {
    for status in [
        "302 Found",
        "408 Request Timeout",
        "409 Conflict",
        "425 Too Early",
        "429 Too Many Requests",
        "500 Internal Server Error",
    ] {
        assert_eq!(
            wait_after(status, &[("Retry-After", "77")]).await,
            Duration::from_secs(77),
            "{status}"
        );
    }
}

#[tokio::test]
async fn the_next_attempt_has_the_same_key() {
    let at_once = [("Retry-After", "Sun, 06 Nov 1994 08:00:00 GMT")];
    let server = Server::start([
        answer("429 Too Many Requests", &at_once, ""),
        answer("503 Service Unavailable", &[("Retry-After", "0")], ""),
        answer("200 OK", &[], "done"),
    ])
    .await;
    let step = StepBuilder::new("only", "http").config(json!({ "url": server.url("/x"), "method": "POST" }));
    let template = TaskTemplate::builder("one").step(step).build().unwrap();
    let tasker = standing();
    let run = tasker.run(template);
    let report = tokio::time::timeout(Duration::from_secs(20), run)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(
        (report.steps[0].state, report.steps[0].attempts),
        (StepState::Complete, 3)
    );
    let keys: Vec<_> = server
        .seen()
        .iter()
        .map(|seen| seen.headers["idempotency-key"].clone())
        .collect();
    let key = format!("{}/only", report.task_id);
    assert_eq!(keys, [key.clone(), key.clone(), key]);
}

#[tokio::test]
async fn a_request_that_takes_too_long_is_given_up_and_its_connection_closed() {
    let beginnings = ["", "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nsome of it"];
    for beginning in beginnings {
        let server = Server::start([Act::Hang(beginning.to_owned())]).await;
        let url = server.url("/x");
        let step = run(json!({ "url": url, "timeout_seconds": 0.2 })).await;
        let message =
            format!("`GET {url}` did not end within 0.2 seconds (`timeout_seconds` of its `config`)");
        failed(&step, Severity::Retryable, "timeout", &message);
        server.client_is_gone().await;
    }
}

#[tokio::test]
async fn the_time_limit_of_the_step_closes_the_connection() {
    let server = Server::start([Act::Hang(String::new())]).await;
    let step = once(json!({ "url": server.url("/x") })).timeout(Duration::from_millis(200));
    let step = run_with(step, json!({})).await;
    let message = "the step did not end within its 0.2 seconds (`timeout_seconds`)";
    failed(&step, Severity::Retryable, "timeout", message);
    server.client_is_gone().await;
}

#[tokio::test]
async fn a_status_counts_though_its_body_does_not_come() {
    let hang = Act::Hang("HTTP/1.1 404 Not Found\r\ncontent-length: 100\r\n\r\nno such o".to_owned());
    let server = Server::start([hang]).await;
    let url = server.url("/x");
    let step = run(json!({ "url": url, "timeout_seconds": 0.3 })).await;
    failed(
        &step,
        Severity::Permanent,
        "HTTP_404",
        &format!("`GET {url}` answered 404 Not Found"),
    );
    assert_eq!(
        step.error.unwrap().context.unwrap().to_value()["body"],
        "no such o"
    );
    server.client_is_gone().await;
}

#[track_caller]
fn broken(step: &StepReport, code: &str, beginning: &str) {
    let failure = step.error.as_ref().unwrap();
    assert_eq!(
        (failure.severity, failure.code.as_str()),
        (Severity::Retryable, code),
        "{failure:?}"
    );
    assert!(failure.message.starts_with(beginning), "{}", failure.message);
    assert!(!failure.message.contains("secret"), "{}", failure.message);
}

#[tokio::test]
async fn a_connection_that_breaks_is_tried_again() {
    let half = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nhalf".to_owned();
    for act in [
        Act::Close,
        Act::Send(half),
        Act::Send("SSH-2.0-x\r\n\r\n".to_owned()),
    ] {
        let server = Server::start([act]).await;
        let step = run(json!({ "url": server.url("/x?key=secret") })).await;
        let beginning = format!("`GET {}` got no whole answer: ", server.url("/x"));
        broken(&step, "http_connection_broken", &beginning);
    }
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_again() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let step = run(json!({ "url": format!("http://{address}/x?key=secret") })).await;
    broken(
        &step,
        "http_connect_failed",
        &format!("`GET http://{address}/x` could not connect: "),
    );
}

#[tokio::test]
async fn a_server_without_tls_is_not_talked_to_in_the_clear() {
    let server = Server::start([answer("200 OK", &[], "")]).await;
    let step = run(json!({ "url": format!("https://{}/x", server.address), "timeout_seconds": 1 })).await;
    assert_eq!(step.state, StepState::Error);
    assert_eq!(step.error.unwrap().severity, Severity::Retryable);
    assert!(server.seen().is_empty());
}
