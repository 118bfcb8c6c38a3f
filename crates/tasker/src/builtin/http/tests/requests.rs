//! What is sent.

use super::*;

#[tokio::test]
async fn a_request_is_made_of_its_configuration() {
    let config = json!({
        "method": "PUT",
        "url": "/orders/{{ context.id }}?a=1",
        "headers": { "X-Region": "r {{ env.REGION }}", "X-Count": 7, "Accept": "text/plain" },
        "params": { "q": "{{ context.search }}", "list": [1, "{{ context.flag }}"], "none": null, "flag": true },
        "body": { "id": "{{ context.id }}", "text": "no. {{ context.id }}", "lines": ["{{ context.lines }}"], "n": 1.5 },
    });
    let context = json!({ "id": 7, "search": "a b&c=ü", "flag": false, "lines": [{ "sku": "x" }] });
    let seen = sent(config, context).await;
    assert_eq!(
        seen.line,
        "PUT /orders/7?a=1&q=a+b%26c%3D%C3%BC&list=1&list=false&flag=true HTTP/1.1"
    );
    assert_eq!(seen.headers["x-region"], "r eu west");
    assert_eq!(seen.headers["x-count"], "7");
    assert_eq!(seen.headers["accept"], "text/plain");
    assert_eq!(seen.headers["content-type"], "application/json");
    assert_eq!(
        seen.headers["user-agent"],
        concat!("tasker/", env!("CARGO_PKG_VERSION"))
    );
    assert_eq!(
        seen.body,
        r#"{"id":7,"text":"no. 7","lines":[[{"sku":"x"}]],"n":1.5}"#
    );
}

#[tokio::test]
async fn a_request_is_a_get_without_a_body_when_nothing_is_said() {
    let seen = sent(json!({ "url": "/" }), json!({})).await;
    assert_eq!(seen.line, "GET / HTTP/1.1");
    assert_eq!((seen.body.as_str(), seen.headers.get("content-type")), ("", None));
}

#[tokio::test]
async fn a_body_that_is_a_text_is_sent_as_it_is() {
    let seen = sent(
        json!({ "url": "/", "method": "POST", "body": "a={{ context.a }}" }),
        json!({ "a": 1 }),
    )
    .await;
    assert_eq!(seen.body, "a=1");
    assert_eq!(seen.headers["content-type"], "text/plain; charset=utf-8");
    let headers = json!({ "content-type": "application/x-www-form-urlencoded" });
    let config = json!({ "url": "/", "method": "POST", "body": "a=1", "headers": headers });
    let seen = sent(config, json!({})).await;
    assert_eq!(seen.headers["content-type"], "application/x-www-form-urlencoded");
    // A text that is one expression has its value's type.
    let seen = sent(
        json!({ "url": "/", "method": "POST", "body": "{{ context.all }}" }),
        json!({ "all": [1] }),
    )
    .await;
    assert_eq!(
        (seen.body.as_str(), seen.headers["content-type"].as_str()),
        ("[1]", "application/json")
    );
}

#[tokio::test]
async fn the_idempotency_key_is_sent_unless_there_is_another() {
    let seen = sent(json!({ "url": "/" }), json!({})).await;
    assert!(seen.headers["idempotency-key"].ends_with("/only"), "{seen:?}");
    let config = json!({ "url": "/", "headers": { "idempotency-key": "order {{ context.id }}" } });
    assert_eq!(
        sent(config, json!({ "id": 7 })).await.headers["idempotency-key"],
        "order 7"
    );
}

#[tokio::test]
async fn the_result_of_a_parent_is_filled_in() {
    let server = Server::start([json_answer("200 OK", r#"{"id": 9, "tags": ["a", "b"]}"#)]).await;
    let first = StepBuilder::new("first", "http").config(json!({ "url": server.url("/first") }));
    let second = StepBuilder::new("second", "http")
        .depends_on(["first"])
        .config(json!({
            "url": server.url("/of/{{ steps.first.result.body.id }}/{{ steps.first.result.body.tags.1 }}"),
            "method": "POST",
            "body": "{{ steps.first.result.body }}",
        }));
    let template = TaskTemplate::builder("two")
        .step(first)
        .step(second)
        .build()
        .unwrap();
    let report = builder().build().unwrap().run(template).await.unwrap();
    assert_eq!(report.steps[1].state, StepState::Complete, "{report:?}");
    let seen = server.seen().remove(1);
    assert_eq!(seen.line, "POST /of/9/b HTTP/1.1");
    assert_eq!(seen.body, r#"{"id":9,"tags":["a","b"]}"#);
}

#[tokio::test]
async fn what_is_filled_in_never_makes_another_request_of_it() {
    let server = Server::start([answer("200 OK", &[], "")]).await;
    let context = json!({ "line": "a\r\nX-Admin: 1", "path": "..", "url": "file:///etc/passwd" });
    let cases = [
        (
            json!({ "url": server.url("/"), "headers": { "X-Name": "{{ context.line }}" } }),
            "the header `x-name` has a line break or another control character",
        ),
        (
            json!({ "url": server.url("/"), "headers": { "X-Name": "b {{ env.BREAK }}" } }),
            "the header `x-name` has a line break or another control character",
        ),
        (
            json!({ "url": server.url("/users/{{ context.path }}/admin") }),
            "what `url` came to has the path segment `..`",
        ),
        (
            json!({ "url": "{{ context.url }}" }),
            "what `url` came to begins with `file:`, but it must be `http:` or `https:`",
        ),
    ];
    for (config, message) in cases {
        let step = run_with(once(config), context.clone()).await;
        failed(&step, Severity::Permanent, "http_request_refused", message);
    }
    assert!(server.seen().is_empty());
}

#[tokio::test]
async fn a_value_that_is_missing_fails_for_good() {
    let places = [
        json!({ "url": "http://127.0.0.1:1/{{ context.none }}" }),
        json!({ "url": "http://127.0.0.1:1/", "headers": { "X": "a {{ context.none }}" } }),
        json!({ "url": "http://127.0.0.1:1/", "params": { "x": "{{ context.none }}" } }),
        json!({ "url": "http://127.0.0.1:1/", "body": [{ "x": "{{ context.none }}" }] }),
    ];
    for config in places {
        let step = run(config).await;
        failed(
            &step,
            Severity::Permanent,
            "template_value_missing",
            "`context.none` has no value",
        );
    }
}

#[tokio::test]
async fn secrets_are_in_no_message() {
    let server = Server::start([answer("404 Not Found", &[], "")]).await;
    let url = format!(
        "http://ann:pw@{}/hooks/{{{{ env.KEY }}}}?k={{{{ env.KEY }}}}",
        server.address
    );
    let step = run(json!({ "url": url, "headers": { "Authorization": "Bearer {{ env.KEY }}" } })).await;
    let message = format!(
        "`GET http://{}/hooks/[FILTERED]` answered 404 Not Found",
        server.address
    );
    failed(&step, Severity::Permanent, "HTTP_404", &message);
    let seen = server.seen().remove(0);
    assert_eq!(seen.line, "GET /hooks/s3cret?k=s3cret HTTP/1.1");
    assert_eq!(seen.headers["authorization"], "Bearer s3cret");
    assert!(!format!("{step:?}").contains("s3cret"));
}
