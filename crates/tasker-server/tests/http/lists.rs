//! Lists of tasks, and requests about many: filters, order, totals, cursors, and what their schemas say.

use axum::Router;
use axum::http::{Method, StatusCode};
use serde_json::{Value, json};
use tasker_server::axum;

use crate::kit::{get, send, service};

const ORDER: &str = "
name: order
version: 1.2.0
namespace: shop
steps: [{ name: price, handler: sleep, config: { seconds: 3600 } }]
";

async fn create(service: &Router, more: Value) -> String {
    let mut body = json!({ "name": "order", "namespace": "shop", "context": {} });
    for (key, value) in more.as_object().unwrap() {
        body[key] = value.clone();
    }
    let answer = send(service, Method::POST, "/tasker/tasks", Some(body)).await;
    assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    answer.body["task"]["task_id"].as_str().unwrap().to_owned()
}

/// Returns the ids of a list.
async fn ids(service: &Router, query: &str) -> Vec<String> {
    let answer = get(service, &format!("/tasker/tasks?{query}")).await;
    let tasks = answer.is_ok()["tasks"].as_array().unwrap().iter();
    tasks
        .map(|task| task["task_id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn tasks_are_found_by_all_that_is_said_of_them() {
    let service = service(&[ORDER]);
    let one = create(
        &service,
        json!({
            "context": { "customer": { "id": 42, "name": "Ann Lee" } }, "initiator": "ann", "source_system": "till",
            "tags": ["vip", "eu"], "annotations": { "ticket": 7, "=": 1 }, "priority": 2,
        }),
    )
    .await;
    let two = create(
        &service,
        json!({ "tags": ["eu"], "annotations": { "ticket": "7" }, "priority": 5 }),
    )
    .await;
    let list = async |query: &str| ids(&service, query).await;
    for query in [
        "initiator=ann",
        "source_system=till",
        "tag=vip",
        "tag=eu&tag=vip",
        "annotation=ticket=7",
        "context=customer.id=42",
        "context=customer&context=customer.name=Ann%20Lee",
        "state=pending&namespace=shop&name=order&version=1.2.0&tag=vip",
    ] {
        assert_eq!(list(query).await, [one.as_str()], "{query}");
    }
    assert_eq!(list("annotation=ticket=%227%22").await, [two.as_str()]);
    assert_eq!(list("annotation=ticket").await.len(), 2);
    assert_eq!(list("sort=priority").await, [two.as_str(), &one]);
    assert_eq!(list("sort=priority&order=ascending").await, [one.as_str(), &two]);
    assert_eq!(list("created_after=2100-01-01T00:00:00Z").await.len(), 0);
    assert_eq!(list("created_before=2100-01-01T00:00:00Z").await.len(), 2);
    assert_eq!(
        list("updated_after=2000-01-01T00:00:00Z&updated_before=2000-01-02T00:00:00Z")
            .await
            .len(),
        0
    );
    for query in [
        "initiator=an",
        "namespace=till",
        "version=1.2.1",
        "tag=us",
        "context=customer.id=4",
        "state=error",
    ] {
        assert_eq!(list(query).await.len(), 0, "{query}");
    }
    let changed = format!("/tasker/tasks/{one}");
    let answer = send(&service, Method::PATCH, &changed, Some(json!({ "priority": 9 }))).await;
    assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
    assert_eq!(list("sort=updated&limit=1").await, [one.as_str()]);
    assert_eq!(list("sort=priority&limit=1").await, [one.as_str()]);
}

#[tokio::test]
async fn a_total_is_told_to_who_asks() {
    let service = service(&[ORDER]);
    for number in 0..5 {
        create(
            &service,
            json!({ "tags": [if number < 2 { "few" } else { "many" }] }),
        )
        .await;
    }
    let total =
        async |query: &str| get(&service, &format!("/tasker/tasks?{query}")).await.is_ok()["total"].clone();
    assert_eq!(total("limit=2").await, Value::Null);
    assert_eq!(total("limit=2&total=false").await, Value::Null);
    assert_eq!(total("limit=2&total=true").await, 5);
    assert_eq!(total("limit=1&total=true&tag=many").await, 3);
    assert_eq!(total("total=true&tag=none").await, 0);
}

#[tokio::test]
async fn a_cursor_goes_on_with_its_own_list_alone() {
    let service = service(&[ORDER]);
    for _ in 0..3 {
        create(&service, json!({ "tags": ["eu"] })).await;
    }
    let first = get(&service, "/tasker/tasks?tag=eu&limit=2").await;
    let cursor = first.is_ok()["next_cursor"].as_str().unwrap().to_owned();
    let last = get(
        &service,
        &format!("/tasker/tasks?tag=eu&limit=100&cursor={cursor}"),
    )
    .await;
    assert_eq!(last.is_ok()["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(last.body["next_cursor"], Value::Null);
    let refused = "the cursor was made for another list or changed: give the `next_cursor` of a page together with the same \
                   filters, `sort` and `order`, or leave it out to begin anew";
    let other = cursor.replace(&cursor[20..21], if &cursor[20..21] == "A" { "B" } else { "A" });
    for query in [
        format!("tag=us&cursor={cursor}"),
        format!("cursor={cursor}"),
        format!("tag=eu&sort=priority&cursor={cursor}"),
        format!("tag=eu&order=ascending&cursor={cursor}"),
        format!("tag=eu&cursor={other}"),
        "tag=eu&cursor=x".to_owned(),
        "tag=eu&cursor=".to_owned(),
    ] {
        let answer = get(&service, &format!("/tasker/tasks?{query}")).await;
        assert_eq!(answer.is_problem(400, "invalid_cursor"), refused, "{query}");
    }
}

/// Follows references within the document.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(place) => resolved(document, document.pointer(&place[1..]).unwrap()),
        None => schema,
    }
}

fn has(document: &Value, schema: &Value, value: &Value) -> bool {
    let mut root = schema.clone();
    root["components"] = document["components"].clone();
    jsonschema::draft202012::options()
        .should_validate_formats(true)
        .build(&root)
        .unwrap()
        .is_valid(value)
}

/// What the schema of a parameter refuses, the service refuses, and nothing else.
#[tokio::test]
async fn parameters_are_refused_as_their_schemas_say() {
    let service = service(&[ORDER]);
    let document: Value = serde_json::to_value(tasker_server::openapi("/tasker")).unwrap();
    let parameters = document["paths"]["/tasker/tasks"]["get"]["parameters"]
        .as_array()
        .unwrap();
    let long = |length: usize| "x".repeat(length);
    let texts = [
        "",
        "a",
        "ann",
        "Ann Lee",
        "payments",
        "1x",
        "-",
        "a.b",
        "a=b",
        "=",
        "a..b",
        "äöü",
        "a\nb",
        "a\u{7f}",
        "1.2.0",
        "1.2",
        "01.2.3",
        "1.2.3-rc.1+5",
        "1.2.3-",
        "pending",
        "lost",
        "created",
        "newest",
        "ascending",
        "2026-01-31T12:00:00Z",
        "2026-13-31T12:00:00Z",
        "yesterday",
        "0",
        "1",
        "100",
        "101",
        "-1",
        "1.5",
        "true",
        "false",
        "yes",
    ];
    let mut texts: Vec<String> = texts.iter().map(ToString::to_string).collect();
    texts.extend([
        long(128),
        long(129),
        long(255),
        long(256),
        long(1_024),
        long(1_025),
    ]);
    let mut tried = 0;
    for parameter in parameters {
        let name = parameter["name"].as_str().unwrap();
        // What a cursor must be, only who signed it can tell.
        if name == "cursor" {
            continue;
        }
        let schema = resolved(&document, &parameter["schema"]);
        let is_list = schema["type"] == "array";
        for text in &texts {
            let value = match (is_list, schema["type"].clone()) {
                (true, _) => json!([text]),
                (false, kind)
                    if kind.to_string().contains("integer") || kind.to_string().contains("boolean") =>
                {
                    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
                }
                _ => json!(text),
            };
            let encoded: String = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let answer = get(&service, &format!("/tasker/tasks?{name}={encoded}")).await;
            let expected = has(&document, &parameter["schema"], &value);
            assert_eq!(
                answer.status == StatusCode::OK,
                expected,
                "{name}={text:?}: {answer:?}"
            );
            if !expected {
                answer.is_problem(400, "invalid_query");
            }
            tried += 1;
        }
    }
    assert!(tried > 500, "{tried}");
}

#[tokio::test]
async fn many_tasks_are_changed_by_the_filters_of_lists() {
    let service = service(&[ORDER]);
    let one = create(
        &service,
        json!({ "context": { "customer": { "id": 1 } }, "annotations": { "ticket": 7 } }),
    )
    .await;
    let two = create(
        &service,
        json!({ "context": { "customer": { "id": 2 } }, "tags": ["eu"] }),
    )
    .await;
    let bulk = async |body: Value| send(&service, Method::POST, "/tasker/tasks/bulk", Some(body)).await;
    for filter in [
        json!({ "context": ["customer.id=1"] }),
        json!({ "annotations": ["ticket=7"], "namespace": "shop" }),
    ] {
        let dry = bulk(json!({ "action": "cancel", "filter": filter, "dry_run": true })).await;
        assert_eq!(
            dry.is_ok()["results"],
            json!([{ "task_id": one, "state": "cancelled", "problem": null }])
        );
    }
    for filter in [
        json!({ "created_before": "2000-01-01T00:00:00Z" }),
        json!({ "version": "9.9.9" }),
        json!({ "state": ["complete"] }),
    ] {
        let dry = bulk(json!({ "action": "cancel", "filter": filter })).await;
        assert_eq!(dry.is_ok()["results"], json!([]));
    }
    let done = bulk(json!({ "action": "cancel", "filter": { "tags": ["eu"] } })).await;
    assert_eq!(
        done.is_ok()["results"],
        json!([{ "task_id": two, "state": "cancelled", "problem": null }])
    );
}

/// What the schema of the body refuses, the service refuses, and nothing else.
#[tokio::test]
async fn requests_about_many_tasks_are_refused_as_their_schema_says() {
    let service = service(&[ORDER]);
    let document: Value = serde_json::to_value(tasker_server::openapi("/tasker")).unwrap();
    let body = &document["paths"]["/tasker/tasks/bulk"]["post"]["requestBody"]["content"]["application/json"]
        ["schema"];
    let id = "01940000-0000-7000-8000-000000000000";
    for request in [
        json!({ "action": "cancel", "ids": [] }),
        json!({ "action": "retry", "ids": [id], "dry_run": true }),
        json!({ "action": "retry", "filter": {}, "reason": "because" }),
        json!({ "action": "cancel", "filter": { "tags": ["a"], "annotations": ["a=1"], "context": ["a.b=1"], "state": ["error"] } }),
        json!({ "action": "create", "tasks": [] }),
        json!({ "action": "create" }),
        json!({ "action": "create", "ids": [id] }),
        json!({ "action": "cancel", "tasks": [] }),
        json!({ "action": "cancel" }),
        json!({ "action": "cancel", "ids": [id], "filter": {} }),
        json!({ "action": "resolve", "ids": [id] }),
        json!({ "action": "cancel", "ids": ["x"] }),
        json!({ "action": "cancel", "ids": [id], "more": 1 }),
        json!({ "action": "cancel", "filter": { "tags": [""] } }),
        json!({ "action": "cancel", "filter": { "tag": ["a"] } }),
        json!({ "action": "cancel", "filter": { "name": "" } }),
        json!({ "action": "cancel", "filter": { "initiator": "" } }),
        json!({ "action": "cancel", "filter": { "context": ["a..b"] } }),
        json!({ "action": "cancel", "filter": { "annotations": ["=1"] } }),
        json!({ "action": "cancel", "filter": { "version": "1" } }),
        json!({ "action": "cancel", "ids": vec![id; 1_001] }),
    ] {
        let answer = send(
            &service,
            Method::POST,
            "/tasker/tasks/bulk",
            Some(request.clone()),
        )
        .await;
        let expected = has(&document, body, &request);
        let text: String = request.to_string().chars().take(200).collect();
        assert_eq!(answer.status == StatusCode::OK, expected, "{text}: {answer:?}");
    }
}
