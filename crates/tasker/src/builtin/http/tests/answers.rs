//! What becomes of answers.

use super::*;

const PERMANENT: Severity = Severity::Permanent;
const RETRYABLE: Severity = Severity::Retryable;

#[tokio::test]
async fn a_success_keeps_status_headers_and_body() {
    let headers = [
        ("Content-Type", "application/problem+json; charset=utf-8"),
        ("X-Page", "1"),
        ("X-Page", "2"),
        ("Set-Cookie", "session=abc"),
        ("X-Auth-Token", "abc"),
    ];
    let step = exchange(answer(
        "201 Created",
        &headers,
        " {\"id\": 7, \"big\": 12345678901234567890123, \"a\": 1.10} ",
    ))
    .await;
    let text = step.result.as_ref().unwrap().as_str();
    assert!(
        text.ends_with(r#""body":{"id": 7, "big": 12345678901234567890123, "a": 1.10}}"#),
        "{text}"
    );
    let kept = result(&step);
    assert_eq!(kept["status"], 201);
    assert_eq!(
        kept["headers"],
        json!({
            "content-type": "application/problem+json; charset=utf-8",
            "x-page": ["1", "2"],
            "content-length": "54",
            "connection": "close",
        })
    );
}

#[tokio::test]
async fn an_answer_without_a_body_has_none() {
    let none = Act::Send("HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned());
    let kept = result(&exchange(none).await);
    assert_eq!(
        kept,
        json!({ "status": 204, "headers": { "connection": "close" }, "body": null })
    );
    let empty = answer("200 OK", &[("content-type", "application/json")], "");
    assert_eq!(result(&exchange(empty).await)["body"], Value::Null);
}

#[tokio::test]
async fn what_is_no_json_is_text() {
    let kept = result(
        &exchange(answer(
            "200 OK",
            &[("content-type", "text/plain")],
            "{\"ü\": 1}\n",
        ))
        .await,
    );
    assert_eq!(kept["body"], "{\"ü\": 1}\n");
    let kept = result(&exchange(answer("200 OK", &[], "7")).await);
    assert_eq!(kept["body"], "7");
}

#[tokio::test]
async fn every_status_is_a_result_or_a_failure_of_its_kind() {
    for status in ["200 OK", "201 Created", "202 Accepted", "299 Fine"] {
        let number: u16 = status[..3].parse().unwrap();
        assert_eq!(result(&exchange(answer(status, &[], "")).await)["status"], number);
    }
    let failures = [
        ("301 Moved Permanently", RETRYABLE),
        ("302 Found", RETRYABLE),
        ("307 Temporary Redirect", RETRYABLE),
        ("400 Bad Request", PERMANENT),
        ("401 Unauthorized", PERMANENT),
        ("404 Not Found", PERMANENT),
        ("408 Request Timeout", RETRYABLE),
        ("409 Conflict", RETRYABLE),
        ("410 Gone", PERMANENT),
        ("422 Unprocessable Entity", PERMANENT),
        ("423 Locked", RETRYABLE),
        ("425 Too Early", RETRYABLE),
        ("429 Too Many Requests", RETRYABLE),
        ("500 Internal Server Error", RETRYABLE),
        ("501 Not Implemented", PERMANENT),
        ("503 Service Unavailable", RETRYABLE),
    ];
    for (status, severity) in failures {
        let server = Server::start([answer(status, &[("location", "/elsewhere")], "")]).await;
        let url = server.url("/x");
        let step = run(json!({ "url": url })).await;
        failed(
            &step,
            severity,
            &format!("HTTP_{}", &status[..3]),
            &format!("`GET {url}` answered {status}"),
        );
        // No redirect is followed.
        assert_eq!(server.seen().len(), 1);
    }
}

#[tokio::test]
async fn the_configuration_says_what_a_status_means() {
    let server = Server::start([
        json_answer("404 Not Found", "{}"),
        answer("418 I'm a teapot", &[], ""),
        answer("200 OK", &[], ""),
    ])
    .await;
    let config = json!({
        "url": server.url("/x"), "success": [404], "retryable": ["4xx"], "permanent": ["2xx"],
    });
    assert_eq!(result(&run(config.clone()).await)["status"], 404);
    assert_eq!(run(config.clone()).await.error.unwrap().severity, RETRYABLE);
    let refused = run(config).await.error.unwrap();
    assert_eq!((refused.severity, refused.code.as_str()), (PERMANENT, "HTTP_200"));
}

#[tokio::test]
async fn a_failure_tells_what_the_server_said() {
    let headers = [
        ("content-type", "application/json"),
        ("set-cookie", "a=b"),
        ("X-Trace-Id", "7"),
    ];
    let step = exchange(answer(
        "422 Unprocessable Entity",
        &headers,
        "{\"field\": \"amount\"}",
    ))
    .await;
    let context = step.error.unwrap().context.unwrap().to_value();
    assert_eq!(context["status"], 422);
    assert_eq!(context["body"], json!({ "field": "amount" }));
    assert_eq!(context["headers"]["content-type"], "application/json");
    assert_eq!(context["headers"].get("set-cookie"), None);
    assert_eq!(
        context["headers"].get("x-trace-id"),
        None,
        "the configuration names it"
    );
}

#[tokio::test]
async fn a_failure_keeps_the_beginning_of_a_long_body() {
    for kind in ["text/html", "application/json"] {
        let step = exchange(answer(
            "500 Internal Server Error",
            &[("content-type", kind)],
            &"0123456789".repeat(9),
        ))
        .await;
        let context = step.error.unwrap().context.unwrap().to_value();
        assert_eq!(context["body"], "01234567890123456789");
    }
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let server = Server::start([
        answer("200 OK", &[], &"x".repeat(1_001)),
        answer("200 OK", &[], &"x".repeat(900)),
    ])
    .await;
    let url = server.url("/x");
    let step = run(json!({ "url": url })).await;
    let message = format!(
        "the body of the answer to `GET {url}` has more than 1000 bytes; ask for less, or raise `limits.result`"
    );
    failed(&step, PERMANENT, "result_rejected", &message);
    assert_eq!(result(&run(json!({ "url": url })).await)["body"], "x".repeat(900));
}

#[tokio::test]
async fn a_body_without_an_end_is_not_read_to_its_end() {
    let server = Server::start([Act::Flood("HTTP/1.1 200 OK\r\n\r\nabc".to_owned())]).await;
    let step = run(json!({ "url": server.url("/x") })).await;
    assert_eq!(step.error.unwrap().code, "result_rejected");
    server.client_is_gone().await;
}

#[tokio::test]
async fn a_body_that_is_not_what_it_says_is_refused() {
    let server = Server::start([
        json_answer("200 OK", "{\"id\": "),
        Act::Bytes(b"HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nab\xff".to_vec()),
    ])
    .await;
    let url = server.url("/x");
    let step = run(json!({ "url": url })).await;
    let message = format!(
        "the body of the answer to `GET {url}` is no JSON, though its `Content-Type` says so: EOF while parsing a value \
         at line 1 column 6"
    );
    failed(&step, PERMANENT, "result_rejected", &message);
    let step = run(json!({ "url": url })).await;
    let message =
        format!("the body of the answer to `GET {url}` is not UTF-8 at byte 2; only text can be kept");
    failed(&step, PERMANENT, "result_rejected", &message);
}
