//! Namespaces, handlers, versions.

use serde_json::json;

use crate::kit::{get, service};

const REFUND: &str = "
namespace: payments
name: refund
version: 2.10.0
description: Pays back.
context_schema: { type: object }
result: pay
steps:
  - name: check
    handler: http
    config: { url: 'https://bank.example/check', headers: { Authorization: 'Bearer x' }, params: { api_key: abc } }
    dependent_system: bank
    timeout_seconds: 2.5
  - { name: log, handler: sleep, config: { seconds: 1 }, skippable: true, retryable: false }
  - name: pay
    handler: sleep
    config: { seconds: 1 }
    depends_on: [check, log]
    retry_limit: 5
    events: [{ name: refund.paid }]
";
const OLDER: &str = "
namespace: payments
name: refund
version: 2.9.0
steps: [{ name: pay, handler: sleep, config: { seconds: 1 } }]
";
const OTHER: &str = "
name: health
steps: [{ name: wait, handler: sleep, config: { seconds: 1 } }]
";

#[tokio::test]
async fn namespaces_have_counts() {
    let service = service(&[REFUND, OLDER, OTHER]);
    let answer = get(&service, "/tasker/handlers").await;
    assert_eq!(
        answer.is_ok(),
        &json!({
            "namespaces": [
                { "name": "default_system", "handler_count": 1, "version_count": 1 },
                { "name": "payments", "handler_count": 1, "version_count": 2 },
            ],
            "total_count": 2,
        })
    );
}

#[tokio::test]
async fn versions_are_ordered_as_versions() {
    let service = service(&[REFUND, OLDER, OTHER]);
    let answer = get(&service, "/tasker/handlers/payments").await;
    assert_eq!(
        answer.is_ok(),
        &json!({
            "namespace": "payments",
            "handlers": [{
                "name": "refund",
                "versions": ["2.9.0", "2.10.0"],
                "latest": "2.10.0",
                "description": "Pays back.",
                "step_count": 3,
            }],
            "total_count": 1,
        })
    );
}

#[tokio::test]
async fn a_handler_is_shown_in_full_without_its_secrets() {
    let service = service(&[REFUND, OLDER, OTHER]);
    let answer = get(&service, "/tasker/handlers/payments/refund").await;
    let handler = &answer.is_ok()["handler"];
    assert_eq!(handler["full_name"], "payments.refund@2.10.0");
    assert_eq!(handler["versions"], json!(["2.9.0", "2.10.0"]));
    assert_eq!(handler["context_schema"], json!({ "type": "object" }));
    assert_eq!(handler["result"], "pay");
    assert_eq!(
        handler["steps"][0],
        json!({
            "name": "check",
            "description": null,
            "handler": "http",
            "config": {
                "url": "https://bank.example/check",
                "headers": { "Authorization": "[FILTERED]" },
                "params": { "api_key": "[FILTERED]" },
            },
            "depends_on": [],
            "dependent_system": "bank",
            "retryable": true,
            "retry_limit": 3,
            "timeout_seconds": 2.5,
            "skippable": false,
            "events": [],
        })
    );
    assert_eq!(handler["steps"][2]["depends_on"], json!(["check", "log"]));
    assert_eq!(handler["steps"][2]["events"], json!(["refund.paid"]));
    assert_eq!(
        handler["dependency_graph"],
        json!({
            "nodes": ["check", "log", "pay"],
            "edges": [{ "from": "check", "to": "pay" }, { "from": "log", "to": "pay" }],
            "topological_order": ["check", "log", "pay"],
            "levels": [["check", "log"], ["pay"]],
            "roots": ["check", "log"],
            "leaves": ["pay"],
        })
    );
}

#[tokio::test]
async fn a_version_or_a_requirement_can_be_asked_for() {
    let service = service(&[REFUND, OLDER]);
    for (asked, version) in [("2.9.0", "2.9.0"), ("%5E2", "2.10.0"), ("%3C2.10", "2.9.0")] {
        let answer = get(
            &service,
            &format!("/tasker/handlers/payments/refund?version={asked}"),
        )
        .await;
        assert_eq!(answer.is_ok()["handler"]["version"], version, "{asked}");
    }
    let answer = get(&service, "/tasker/handlers/payments/refund?version=latest").await;
    assert_eq!(
        answer.is_problem(400, "invalid_query"),
        "`latest` is no version such as `2.1.0` and no requirement such as `^2`"
    );
}

#[tokio::test]
async fn what_is_unknown_is_told_apart() {
    let service = service(&[REFUND, OTHER]);
    let answer = get(&service, "/tasker/handlers/payment").await;
    assert_eq!(
        answer.is_problem(404, "unknown_namespace"),
        "there is no namespace `payment`; did you mean `payments`?"
    );
    assert_eq!(answer.body["nearest"], json!(["payments"]));
    let answer = get(&service, "/tasker/handlers/payments/refunds").await;
    assert_eq!(
        answer.is_problem(404, "unknown_handler"),
        "there is no handler `refunds` in the namespace `payments`; did you mean `refund`?"
    );
    let answer = get(&service, "/tasker/handlers/payments/refund?version=3.0.0").await;
    assert_eq!(
        answer.is_problem(404, "unknown_version"),
        "the handler `payments.refund` has no version that fits `=3.0.0`; it has `2.10.0`"
    );
    let answer = get(&service, "/tasker/handlers/a.b/c").await;
    assert!(answer.is_problem(400, "invalid_path").contains("letters, digits"));
    let answer = get(&service, "/tasker/handlers/payments/refund?versoin=1").await;
    assert!(answer.is_problem(400, "invalid_query").contains("versoin"));
}

/// A name that is a path of the service elsewhere is only a name here.
#[tokio::test]
async fn a_handler_may_be_called_health() {
    let service = service(&[OTHER]);
    let answer = get(&service, "/tasker/handlers/default_system/health").await;
    assert_eq!(answer.is_ok()["handler"]["name"], "health");
    get(&service, "/tasker/health/live")
        .await
        .is_problem(404, "route_not_found");
}
