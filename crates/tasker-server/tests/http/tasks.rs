//! Tasks and steps: created, looked at, changed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::http::{Method, StatusCode, header};
use serde_json::{Value, json};
use tasker_server::axum;
use tasker_server::tasker::{Scope, StepError, Tasker, Timestamp, TokioClock, handler};
use tokio_util::sync::CancellationToken;

use crate::kit::{Answer, app, get, send, send_with, service};

const ORDER: &str = "
name: order
version: 1.2.0
context_schema:
  type: object
  required: [amount]
  properties: { amount: { type: integer }, currency: { type: string, default: EUR } }
steps:
  - { name: price, handler: sleep, config: { seconds: 3600 } }
  - { name: gift, handler: sleep, config: { seconds: 1 }, skippable: true }
  - { name: pay, handler: command, config: { program: echo, env: { API_KEY: abc } }, depends_on: [price, gift], retry_limit: 2 }
";

async fn create(service: &Router, more: Value) -> Answer {
    let mut body = json!({ "name": "order", "context": { "amount": 7 } });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    send(service, Method::POST, "/tasker/tasks", Some(body)).await
}

async fn created(service: &Router, more: Value) -> String {
    let answer = create(service, more).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.body["task"]["task_id"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn a_task_is_created_and_shown() {
    let service = service(&[ORDER]);
    let request = json!({
        "context": { "amount": 7, "card_token": "4111" }, "initiator": "ann", "source_system": "shop", "reason": "bought",
        "tags": ["vip"], "annotations": { "ticket": 4711 }, "priority": 3, "bypass_steps": ["gift"],
        "deadline_at": "2100-01-01T00:00:00Z",
    });
    let answer = create(&service, request).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    let task = &answer.body["task"];
    let id = task["task_id"].as_str().unwrap();
    assert_eq!(answer.headers[header::LOCATION], format!("/tasker/tasks/{id}"));
    assert_eq!(task["full_name"], "default_system.order@1.2.0");
    assert_eq!(task["state"], "pending");
    assert_eq!(
        task["context"],
        json!({ "amount": 7, "card_token": "[FILTERED]", "currency": "EUR" })
    );
    assert_eq!(
        (&task["initiator"], &task["reason"]),
        (&json!("ann"), &json!("bought"))
    );
    assert_eq!((&task["tags"], &task["priority"]), (&json!(["vip"]), &json!(3)));
    assert_eq!(task["annotations"], json!({ "ticket": 4711 }));
    assert_eq!(task["deadline_at"], "2100-01-01T00:00:00.000000Z");
    assert_eq!(task["workflow_steps"][1]["state"], "resolved_manually");
    assert_eq!(task["workflow_steps"][2]["depends_on"], json!(["price", "gift"]));
    let shown = get(&service, &format!("/tasker/tasks/{id}")).await;
    assert_eq!(shown.is_ok()["task"], *task);
    assert_eq!(shown.headers[header::ETAG], answer.headers[header::ETAG]);
    let analysed = get(&service, &format!("/tasker/tasks/{id}?include_dependencies=true")).await;
    let analysis = &analysed.is_ok()["task"]["dependency_analysis"];
    assert_eq!(analysis["critical_paths"]["total_paths"], 2);
    // It is worked out once, also for lists.
    let listed = get(&service, "/tasker/tasks?include_dependencies=true").await;
    assert_eq!(listed.is_ok()["tasks"][0]["dependency_analysis"], *analysis);
    let told = get(&service, "/metrics").await.text;
    for line in [
        "hits_total{cache=\"analyses\"} 1",
        "misses_total{cache=\"analyses\"} 1",
    ] {
        assert!(told.contains(&format!("\ntasker_cache_{line}\n")), "{told}");
    }
}

#[tokio::test]
async fn a_request_that_cannot_be_is_refused() {
    let service = service(&[ORDER]);
    let refused = async |more: Value, status: u16, code: &str| {
        let answer = create(&service, more).await;
        answer.is_problem(status, code).to_owned()
    };
    let detail = refused(json!({ "name": "ordre" }), 404, "unknown_handler").await;
    assert!(detail.contains("did you mean `order`?"), "{detail}");
    refused(json!({ "namespace": "other" }), 404, "unknown_namespace").await;
    refused(json!({ "version": "9.0.0" }), 404, "unknown_version").await;
    refused(json!({ "context": {} }), 400, "invalid_context").await;
    refused(json!({ "context": 7 }), 400, "invalid_body").await;
    refused(json!({ "nmae": 7 }), 400, "invalid_body").await;
    let detail = refused(json!({ "bypass_steps": ["pay"] }), 400, "invalid_request").await;
    assert_eq!(
        detail,
        "`pay` cannot be bypassed: the template does not say `skippable: true` of it"
    );
    refused(json!({ "tags": [""] }), 400, "invalid_request").await;
    let listed = get(&service, "/tasker/tasks").await;
    assert_eq!(listed.is_ok()["tasks"], json!([]));
}

#[tokio::test]
async fn a_body_must_be_json_that_is_not_too_large() {
    let service = service(&[ORDER]);
    let large = "x".repeat(3 << 20);
    let answer = create(&service, json!({ "context": { "amount": 7, "text": large } })).await;
    answer.is_problem(413, "body_too_large");
    let headers = [("content-type", "text/plain")];
    let answer = send_with(&service, Method::POST, "/tasker/tasks", &headers, Some(json!({}))).await;
    assert_eq!(
        answer.is_problem(415, "unsupported_media_type"),
        "the body must be JSON, and its `Content-Type` must say `application/json`"
    );
    // A deep context is refused before anything walks through it.
    let deep: Value = (0..100).fold(json!(1), |value, _| json!([value]));
    create(&service, json!({ "context": { "amount": 7, "deep": deep } }))
        .await
        .is_problem(400, "invalid_body");
}

#[tokio::test]
async fn an_idempotency_key_makes_one_task() {
    let service = service(&[ORDER]);
    let keyed = async |body: Value| {
        let headers = [
            ("content-type", "application/json"),
            ("idempotency-key", "order-7"),
        ];
        send_with(&service, Method::POST, "/tasker/tasks", &headers, Some(body)).await
    };
    let body = json!({ "name": "order", "context": { "amount": 7 } });
    let first = keyed(body.clone()).await;
    assert_eq!(first.status, StatusCode::CREATED);
    let again = keyed(body).await;
    assert_eq!(again.is_ok()["task"]["task_id"], first.body["task"]["task_id"]);
    let other = keyed(json!({ "name": "order", "context": { "amount": 8 } })).await;
    other.is_problem(422, "idempotency_key_reused");
    assert_eq!(other.body["task_id"], first.body["task"]["task_id"]);
    let both =
        keyed(json!({ "name": "order", "context": { "amount": 7 }, "idempotency_key": "order-8" })).await;
    assert_eq!(
        both.is_problem(400, "invalid_request"),
        "the header `Idempotency-Key` and the field `idempotency_key` say different things"
    );
}

#[tokio::test(start_paused = true)]
async fn tasks_are_listed_in_pages_that_neither_skip_nor_repeat() {
    let clock = TokioClock::starting_at(Timestamp::from_micros(1_767_225_600_000_000));
    let tasker = Tasker::builder().memory().clock(Arc::new(clock)).build().unwrap();
    let service = tasker_server::router(app(&tasker, &[ORDER]));
    // Ids of the same millisecond are in no order.
    let created = async |more: Value| {
        tokio::time::advance(Duration::from_millis(1)).await;
        created(&service, more).await
    };
    let mut ids = Vec::new();
    for number in 0..5 {
        let tag = if number % 2 == 0 { "even" } else { "odd" };
        ids.push(created(json!({ "tags": [tag, "all"] })).await);
    }
    ids.reverse();
    let mut seen = Vec::new();
    let mut path = "/tasker/tasks?limit=2".to_owned();
    loop {
        let answer = get(&service, &path).await;
        let page = answer.is_ok();
        seen.extend(
            page["tasks"]
                .as_array()
                .unwrap()
                .iter()
                .map(|task| task["task_id"].as_str().unwrap().to_owned()),
        );
        // What comes meanwhile is before the first page.
        created(json!({})).await;
        match page["next_cursor"].as_str() {
            Some(cursor) => path = format!("/tasker/tasks?limit=2&cursor={cursor}"),
            None => break,
        }
    }
    assert_eq!(seen, ids);
    let count = async |query: &str| {
        let answer = get(&service, &format!("/tasker/tasks?{query}")).await;
        answer.is_ok()["tasks"].as_array().unwrap().len()
    };
    assert_eq!(count("tag=even&tag=all").await, 3);
    assert_eq!(count("tag=even&tag=odd").await, 0);
    assert_eq!(count("state=error&state=cancelled").await, 0);
    assert_eq!(
        count("state=pending&name=order&namespace=default_system&tag=odd").await,
        2
    );
    let full = get(&service, "/tasker/tasks?limit=1&include_dependencies=true").await;
    assert!(full.is_ok()["tasks"][0]["dependency_analysis"].is_object());
    let problem = |query: &str| format!("/tasker/tasks?{query}");
    assert_eq!(
        get(&service, &problem("limit=101"))
            .await
            .is_problem(400, "invalid_query"),
        "`limit` is 101, but it must be between 1 and 100"
    );
    get(&service, &problem("limit=0"))
        .await
        .is_problem(400, "invalid_query");
    get(&service, &problem("cursor=x"))
        .await
        .is_problem(400, "invalid_cursor");
    get(&service, &problem("state=lost"))
        .await
        .is_problem(400, "invalid_query");
}

#[tokio::test]
async fn a_part_of_a_history_has_its_bounds() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({})).await;
    let part = |query: &str| format!("/tasker/tasks/{id}/transitions?{query}");
    let last = get(&service, &part("after=9223372036854775807&limit=1000")).await;
    assert_eq!(last.is_ok()["transitions"], json!([]));
    let first = get(&service, &part("after=0&limit=1")).await;
    assert_eq!(first.is_ok()["transitions"].as_array().unwrap().len(), 1);
    for (query, says) in [
        (
            "after=9223372036854775808",
            "`after` is 9223372036854775808, but a position is at most 9223372036854775807",
        ),
        ("limit=0", "`limit` is 0, but it must be between 1 and 1000"),
        ("limit=1001", "`limit` is 1001, but it must be between 1 and 1000"),
    ] {
        let refused = get(&service, &part(query)).await;
        assert_eq!(refused.is_problem(400, "invalid_query"), says);
    }
}

#[tokio::test]
async fn what_is_said_of_a_task_changes_if_it_is_still_the_same() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({ "tags": ["a"], "annotations": { "old": 1 } })).await;
    let path = format!("/tasker/tasks/{id}");
    let tag = get(&service, &path).await.headers[header::ETAG]
        .to_str()
        .unwrap()
        .to_owned();
    let change =
        json!({ "tags": ["b"], "reason": "second", "priority": 9, "annotations": { "old": null, "new": 2 } });
    let headers = [("content-type", "application/json"), ("if-match", &*tag)];
    let changed = send_with(&service, Method::PATCH, &path, &headers, Some(change.clone())).await;
    let task = &changed.is_ok()["task"];
    assert_eq!(
        (&task["tags"], &task["reason"], &task["priority"]),
        (&json!(["b"]), &json!("second"), &json!(9))
    );
    assert_eq!(task["annotations"], json!({ "new": 2 }));
    let stale = send_with(&service, Method::PATCH, &path, &headers, Some(change)).await;
    let now = changed.headers[header::ETAG].to_str().unwrap();
    assert_eq!(
        stale.is_problem(412, "precondition_failed"),
        format!("it is not what `If-Match` names; its tag is {now}")
    );
    // A change of nothing changes nothing.
    let empty = send(&service, Method::PATCH, &path, Some(json!({}))).await;
    empty.is_ok();
    assert_eq!(empty.headers[header::ETAG], *now);
    let list = send(&service, Method::PATCH, &path, Some(json!([null, ["c"]]))).await;
    assert_eq!(
        list.is_problem(400, "invalid_body"),
        "the body is an array, but it must be an object"
    );
    let history = get(&service, &format!("{path}/transitions")).await;
    let subjects: Vec<_> = history.is_ok()["transitions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| &entry["subject"])
        .collect();
    assert_eq!(subjects, ["created", "setting", "setting"]);
}

/// What is compared and what is changed is one: the database answers others between the two.
#[tokio::test]
async fn of_those_who_saw_the_same_one_changes_it() {
    let directory = tempfile::tempdir().unwrap();
    let tasker = Tasker::builder()
        .data_directory(directory.path())
        .build()
        .unwrap();
    let service = tasker_server::router(app(&tasker, &[ORDER]));
    let id = created(&service, json!({})).await;
    let task = format!("/tasker/tasks/{id}");
    let step = format!("{task}/workflow_steps/price");
    for (path, change) in [
        (&task, json!({ "tags": ["a"], "priority": 5 })),
        (&step, json!({ "retry_limit": 9, "timeout_seconds": 60 })),
    ] {
        let tag = get(&service, path).await.headers[header::ETAG].clone();
        let before = get(&service, &format!("{task}/transitions")).await;
        let mut asked = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (service, path, tag, change) = (service.clone(), path.clone(), tag.clone(), change.clone());
            asked.spawn(async move {
                let headers = [
                    ("content-type", "application/json"),
                    ("if-match", tag.to_str().unwrap()),
                ];
                send_with(&service, Method::PATCH, &path, &headers, Some(change)).await
            });
        }
        let answers = asked.join_all().await;
        let (done, refused): (Vec<_>, Vec<_>) =
            answers.iter().partition(|answer| answer.status == StatusCode::OK);
        assert_eq!(done.len(), 1, "{answers:?}");
        for answer in refused {
            answer.is_problem(412, "precondition_failed");
        }
        let after = get(&service, &format!("{task}/transitions")).await;
        let count = |answer: &Answer| answer.is_ok()["transitions"].as_array().unwrap().len();
        assert_eq!(count(&after), count(&before) + 2, "each of the two settings once");
    }
    // Something else than what is named may change meanwhile: then it is looked at again.
    let tag = get(&service, &step).await.headers[header::ETAG].clone();
    let mut asked = tokio::task::JoinSet::new();
    for priority in 0..8 {
        let (service, task) = (service.clone(), task.clone());
        let body = json!({ "priority": priority });
        asked.spawn(async move { send(&service, Method::PATCH, &task, Some(body)).await });
    }
    let headers = [
        ("content-type", "application/json"),
        ("if-match", tag.to_str().unwrap()),
    ];
    let body = json!({ "retry_limit": 4 });
    let changed = send_with(&service, Method::PATCH, &step, &headers, Some(body)).await;
    assert_eq!(changed.is_ok()["workflow_step"]["retry_limit"], 4);
    for answer in asked.join_all().await {
        answer.is_ok();
    }
    drop(service);
    tasker.close().await.unwrap();
}

#[tokio::test]
async fn deleting_cancels_once() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({})).await;
    let path = format!("/tasker/tasks/{id}");
    let gone = send(&service, Method::DELETE, &path, None).await;
    assert_eq!(gone.is_ok()["task"]["state"], "cancelled");
    let again = send(&service, Method::DELETE, &path, None).await;
    again.is_problem(409, "illegal_transition");
    assert_eq!(
        (&again.body["state"], &again.body["event"]),
        (&json!("cancelled"), &json!("cancel"))
    );
    let unknown = "/tasker/tasks/01890000-0000-7000-8000-000000000000";
    assert_eq!(
        send(&service, Method::DELETE, unknown, None)
            .await
            .is_problem(404, "unknown_task"),
        "there is no task `01890000-0000-7000-8000-000000000000`"
    );
    get(&service, "/tasker/tasks/7")
        .await
        .is_problem(400, "invalid_path");
}

#[tokio::test]
async fn the_settings_of_a_step_change_for_one_task() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({})).await;
    let path = format!("/tasker/tasks/{id}/workflow_steps/pay");
    let change =
        json!({ "retry_limit": 5, "timeout_seconds": 2.5, "config": { "args": ["9"] }, "reason": "slow" });
    let changed = send(&service, Method::PATCH, &path, Some(change)).await;
    let step = &changed.is_ok()["workflow_step"];
    assert_eq!(
        (&step["retry_limit"], &step["timeout_seconds"]),
        (&json!(5), &json!(2.5))
    );
    assert_eq!(
        step["config"],
        json!({ "program": "echo", "env": { "API_KEY": "[FILTERED]" }, "args": ["9"] })
    );
    let shown = get(&service, &path).await;
    assert_eq!(shown.is_ok()["workflow_step"], *step);
    let refused = async |change: Value, code: &str| {
        send(&service, Method::PATCH, &path, Some(change))
            .await
            .is_problem(400, code)
            .to_owned()
    };
    let limit = refused(json!({ "retry_limit": 0 }), "invalid_request").await;
    assert_eq!(limit, "`retry_limit` is 0, but it must be at least 1");
    let timeout = refused(json!({ "timeout_seconds": -1 }), "invalid_request").await;
    assert_eq!(
        timeout,
        "`timeout_seconds` is -1, but it must be more than 0 and at most 3155760000"
    );
    // What is wrong with one setting leaves all of them as they were.
    refused(
        json!({ "config": { "program": 7 }, "retry_limit": 7 }),
        "invalid_request",
    )
    .await;
    send(&service, Method::PATCH, &path, Some(json!({})))
        .await
        .is_ok();
    assert_eq!(
        get(&service, &path).await.is_ok()["workflow_step"]["retry_limit"],
        5
    );
    let nobody = get(&service, &format!("/tasker/tasks/{id}/workflow_steps/pya")).await;
    nobody.is_problem(404, "unknown_step");
    assert_eq!(nobody.body["nearest"], "pay");
}

#[tokio::test]
async fn steps_are_resolved_cancelled_and_retried() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({})).await;
    let step = |name: &str, action: &str| format!("/tasker/tasks/{id}/workflow_steps/{name}/{action}");
    let resolution = json!({ "result": { "total": 7 }, "reason": "by hand" });
    let resolved = send(
        &service,
        Method::POST,
        &step("price", "resolve"),
        Some(resolution),
    )
    .await;
    let told = &resolved.is_ok()["workflow_step"];
    assert_eq!(
        (&told["state"], &told["result"]),
        (&json!("resolved_manually"), &json!({ "total": 7 }))
    );
    let cancelled = send(&service, Method::POST, &step("gift", "cancel"), None).await;
    assert_eq!(cancelled.is_ok()["workflow_step"]["state"], "cancelled");
    let retried = send(&service, Method::POST, &step("gift", "retry"), None).await;
    assert_eq!(retried.is_ok()["workflow_step"]["state"], "pending");
    let again = send(&service, Method::POST, &step("price", "retry"), None).await;
    again.is_problem(409, "illegal_transition");
    assert_eq!(again.body["step"], "price");
    let destroyed = send(
        &service,
        Method::DELETE,
        &format!("/tasker/tasks/{id}/workflow_steps/pay"),
        None,
    )
    .await;
    assert_eq!(destroyed.is_ok()["workflow_step"]["state"], "cancelled");
    let history = get(&service, &step("price", "transitions")).await;
    let entry = &history.is_ok()["transitions"][0];
    assert_eq!(
        (&entry["event"], &entry["actor"]),
        (&json!("resolve"), &json!("user:anonymous"))
    );
    assert_eq!(entry["metadata"], json!({ "reason": "by hand" }));
    let steps = get(&service, &format!("/tasker/tasks/{id}/workflow_steps")).await;
    assert_eq!(steps.is_ok()["workflow_steps"].as_array().unwrap().len(), 3);
}

#[tokio::test]
async fn a_task_is_drawn_and_explained() {
    let service = service(&[ORDER]);
    let id = created(&service, json!({})).await;
    let graph = get(&service, &format!("/tasker/tasks/{id}/graph")).await;
    assert_eq!(
        graph.is_ok()["nodes"][2],
        json!({ "name": "pay", "state": "pending", "level": 1 })
    );
    assert_eq!(graph.body["edges"].as_array().unwrap().len(), 2);
    let mermaid = get(&service, &format!("/tasker/tasks/{id}/diagram")).await;
    assert!(
        mermaid.text.starts_with("flowchart") || mermaid.text.starts_with("graph"),
        "{}",
        mermaid.text
    );
    let dot = get(&service, &format!("/tasker/tasks/{id}/diagram?format=dot")).await;
    assert!(dot.text.starts_with("digraph"), "{}", dot.text);
    get(&service, &format!("/tasker/tasks/{id}/diagram?format=png"))
        .await
        .is_problem(400, "invalid_query");
    let explained = get(&service, &format!("/tasker/tasks/{id}/explain")).await;
    assert_eq!(explained.is_ok()["state"], "pending");
    let text = explained.body["text"].as_str().unwrap();
    assert!(
        text.starts_with("price: nothing blocks it (1 step waits for it)\n"),
        "{text}"
    );
}

#[tokio::test]
async fn many_tasks_are_created_and_cancelled_in_one_request() {
    let service = service(&[ORDER]);
    let bulk = async |body: Value| send(&service, Method::POST, "/tasker/tasks/bulk", Some(body)).await;
    let tasks = json!([
        { "name": "order", "context": { "amount": 1 }, "tags": ["x"] },
        { "name": "order", "context": {} },
        { "name": "order", "context": { "amount": 3 } },
    ]);
    let dry = bulk(json!({ "action": "create", "tasks": tasks, "dry_run": true })).await;
    assert_eq!(
        (&dry.is_ok()["done_count"], &dry.body["refused_count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(get(&service, "/tasker/tasks").await.is_ok()["tasks"], json!([]));
    let done = bulk(json!({ "action": "create", "tasks": tasks })).await;
    assert_eq!(
        (&done.is_ok()["done_count"], &done.body["refused_count"]),
        (&json!(2), &json!(1))
    );
    assert_eq!(done.body["results"][1]["problem"]["code"], "invalid_context");
    let first = done.body["results"][0]["task_id"].clone();
    let dry = bulk(json!({ "action": "cancel", "filter": { "tags": ["x"] }, "dry_run": true })).await;
    assert_eq!(
        dry.is_ok()["results"],
        json!([{ "task_id": first, "state": "cancelled", "problem": null }])
    );
    assert_eq!(
        get(&service, "/tasker/tasks?state=cancelled").await.is_ok()["tasks"],
        json!([])
    );
    let done = bulk(json!({ "action": "cancel", "filter": {}, "reason": "stock-taking" })).await;
    assert_eq!(done.is_ok()["done_count"], 2);
    let again = bulk(json!({ "action": "cancel", "ids": [first] })).await;
    assert_eq!(
        again.is_ok()["results"][0]["problem"]["code"],
        "illegal_transition"
    );
    let mixed = bulk(json!({ "action": "cancel", "tasks": [] })).await;
    assert_eq!(
        mixed.is_problem(400, "invalid_body"),
        "`cancel` and `retry` take either `ids` or `filter`, and no `tasks`"
    );
    let ids: Vec<_> = (0..1001).map(|_| first.clone()).collect();
    assert_eq!(
        bulk(json!({ "action": "retry", "ids": ids }))
            .await
            .is_problem(400, "invalid_request"),
        "the request is about 1001 tasks, but it may be about 1000"
    );
}

/// What people write comes back as what it is, wherever they write it.
#[tokio::test]
async fn hostile_texts_are_data() {
    let service = service(&[ORDER]);
    for text in [
        "'; DROP TABLE tasks; --",
        "<script>alert(1)</script>",
        "{{ env.HOME }}",
        "\u{202e}%00\"\\",
    ] {
        let more = json!({
            "context": { "amount": 7, "note": text }, "initiator": text, "source_system": text, "reason": text,
            "tags": [text], "annotations": { text: text },
        });
        let id = created(&service, more).await;
        let shown = get(&service, &format!("/tasker/tasks/{id}")).await;
        let task = &shown.is_ok()["task"];
        assert_eq!(shown.headers[header::CONTENT_TYPE], "application/json");
        for field in ["initiator", "source_system", "reason"] {
            assert_eq!(task[field], text);
        }
        assert_eq!(
            (&task["tags"], &task["context"]["note"]),
            (&json!([text]), &json!(text))
        );
        assert_eq!(task["annotations"], json!({ text: text }));
    }
    assert_eq!(
        get(&service, "/tasker/tasks").await.is_ok()["tasks"]
            .as_array()
            .unwrap()
            .len(),
        4
    );
}

const SHOP: &str = "
name: shop
steps:
  - { name: reserve, handler: reserve, retry_limit: 1 }
  - { name: ship, handler: ship, depends_on: [reserve] }
";

/// Created, watched, broken, explained and mended over HTTP, with a worker beside.
#[tokio::test(start_paused = true)]
async fn a_task_that_breaks_is_mended() {
    let is_mended = Arc::new(AtomicBool::new(false));
    let asked = Arc::clone(&is_mended);
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(
        1_767_225_600_000_000,
    )));
    let tasker = Tasker::builder()
        .memory()
        .clock(clock)
        .handler(
            "reserve",
            handler(move || {
                let is_open = asked.load(Ordering::SeqCst);
                async move {
                    match is_open {
                        true => Ok("reserved"),
                        false => Err(StepError::retryable("the warehouse is closed")),
                    }
                }
            }),
        )
        .handler("ship", handler(async || Ok::<_, StepError>("shipped")))
        .build()
        .unwrap();
    let service = tasker_server::router(app(&tasker, &[SHOP]));
    let stop = CancellationToken::new();
    let worker = tokio::spawn(
        tasker
            .worker(Scope::All)
            .run(stop.clone(), CancellationToken::new()),
    );
    let answer = send(
        &service,
        Method::POST,
        "/tasker/tasks",
        Some(json!({ "name": "shop" })),
    )
    .await;
    let id = answer.body["task"]["task_id"].as_str().unwrap().to_owned();
    let broken = ended(&service, &id).await;
    assert_eq!(
        (&broken["state"], &broken["failure"]),
        (&json!("error"), &json!("steps_in_error_state"))
    );
    assert_eq!(
        broken["workflow_steps"][0]["error"]["message"],
        "the warehouse is closed"
    );
    assert_eq!(
        broken["workflow_steps"][1]["blocking_reason"],
        "dependencies_not_satisfied"
    );
    let explained = get(&service, &format!("/tasker/tasks/{id}/explain")).await;
    assert!(
        explained.is_ok()["text"]
            .as_str()
            .unwrap()
            .contains("the warehouse is closed"),
        "{explained:?}"
    );
    is_mended.store(true, Ordering::SeqCst);
    let retried = send(&service, Method::POST, &format!("/tasker/tasks/{id}/retry"), None).await;
    assert_eq!(retried.is_ok()["task"]["task_id"], id);
    let mended = ended(&service, &id).await;
    assert_eq!(
        (&mended["state"], &mended["result"]),
        (&json!("complete"), &json!({ "ship": "shipped" }))
    );
    stop.cancel();
    worker.await.unwrap().unwrap();
}

/// Waits until a task is no longer active.
async fn ended(service: &Router, id: &str) -> Value {
    for _ in 0..1_000 {
        let answer = get(service, &format!("/tasker/tasks/{id}")).await;
        let task = answer.is_ok()["task"].clone();
        if task["state"] != "pending" && task["state"] != "in_progress" {
            return task;
        }
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    panic!("the task `{id}` does not end");
}
