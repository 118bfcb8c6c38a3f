//! The table of routes against the router that is made of it, and against a page that a person reviews.

use axum::http::StatusCode;
use tasker_server::{Access, axum};

use crate::kit::{service, with_method};

/// A route that is added is added here, with what it asks of its callers.
const ROUTES: &[(&str, &str, &str)] = &[
    ("GET", "/health/live", "public"),
    (
        "GET",
        "/health/ready",
        "tasker.health_status:index if health.ready_requires_authentication",
    ),
    (
        "GET",
        "/health/status",
        "tasker.health_status:index if health.status_requires_authentication",
    ),
    (
        "GET",
        "/metrics",
        "tasker.metrics:index if telemetry.metrics_auth_required",
    ),
    ("GET", "/tasker/api-docs", "public"),
    ("GET", "/tasker/api-docs/openapi.json", "public"),
    ("GET", "/tasker/api-docs/start.js", "public"),
    ("GET", "/tasker/api-docs/swagger-ui-bundle.js", "public"),
    ("GET", "/tasker/api-docs/swagger-ui.css", "public"),
    ("GET", "/tasker/api-docs/favicon.png", "public"),
    ("GET", "/tasker/handlers", "tasker.handler:index"),
    ("GET", "/tasker/handlers/{namespace}", "tasker.handler:index"),
    (
        "GET",
        "/tasker/handlers/{namespace}/{name}",
        "tasker.handler:show",
    ),
    ("POST", "/tasker/tasks", "tasker.task:create"),
    ("GET", "/tasker/tasks", "tasker.task:index"),
    ("POST", "/tasker/tasks/bulk", "tasker.task:index"),
    ("GET", "/tasker/tasks/{task_id}", "tasker.task:show"),
    ("PATCH", "/tasker/tasks/{task_id}", "tasker.task:update"),
    ("DELETE", "/tasker/tasks/{task_id}", "tasker.task:destroy"),
    ("POST", "/tasker/tasks/{task_id}/retry", "tasker.task:retry"),
    ("POST", "/tasker/tasks/{task_id}/resolve", "tasker.task:update"),
    ("POST", "/tasker/tasks/{task_id}/cancel", "tasker.task:cancel"),
    ("GET", "/tasker/tasks/{task_id}/graph", "tasker.task:show"),
    ("GET", "/tasker/tasks/{task_id}/diagram", "tasker.task:show"),
    ("GET", "/tasker/tasks/{task_id}/explain", "tasker.task:show"),
    ("GET", "/tasker/tasks/{task_id}/record", "tasker.task:show"),
    ("GET", "/tasker/tasks/{task_id}/transitions", "tasker.task:show"),
    ("GET", "/tasker/tasks/{task_id}/events", "tasker.task:show"),
    (
        "GET",
        "/tasker/tasks/{task_id}/workflow_steps",
        "tasker.workflow_step:index",
    ),
    (
        "GET",
        "/tasker/tasks/{task_id}/workflow_steps/{name}",
        "tasker.workflow_step:show",
    ),
    (
        "PATCH",
        "/tasker/tasks/{task_id}/workflow_steps/{name}",
        "tasker.workflow_step:update",
    ),
    (
        "DELETE",
        "/tasker/tasks/{task_id}/workflow_steps/{name}",
        "tasker.workflow_step:destroy",
    ),
    (
        "POST",
        "/tasker/tasks/{task_id}/workflow_steps/{name}/retry",
        "tasker.workflow_step:retry",
    ),
    (
        "POST",
        "/tasker/tasks/{task_id}/workflow_steps/{name}/resolve",
        "tasker.workflow_step:update",
    ),
    (
        "POST",
        "/tasker/tasks/{task_id}/workflow_steps/{name}/cancel",
        "tasker.workflow_step:cancel",
    ),
    (
        "GET",
        "/tasker/tasks/{task_id}/workflow_steps/{name}/transitions",
        "tasker.workflow_step:show",
    ),
    ("GET", "/tasker/events", "tasker.task:show"),
];

#[test]
fn every_route_asks_what_the_page_says() {
    let told: Vec<_> = tasker_server::routes("/tasker")
        .into_iter()
        .map(|route| {
            let access = match route.access {
                Access::Public => "public".to_owned(),
                Access::Needs(permission) => permission.to_string(),
                Access::NeedsIf(switch, permission) => format!("{permission} if {}", switch.key()),
            };
            (route.method.to_string(), route.path, access)
        })
        .collect();
    let page: Vec<_> = ROUTES
        .iter()
        .map(|(method, path, access)| (method.to_string(), path.to_string(), access.to_string()))
        .collect();
    assert_eq!(told, page);
}

#[tokio::test]
async fn every_route_is_there() {
    let service = service(&[]);
    for route in tasker_server::routes("/tasker") {
        let path = route.path.replace(['{', '}'], "");
        let answer = with_method(&service, route.method.clone(), &path).await;
        let code = answer.body["code"].as_str().unwrap_or_default();
        assert!(
            code != "route_not_found" && code != "method_not_allowed",
            "{route:?}"
        );
        assert_ne!(answer.status, StatusCode::INTERNAL_SERVER_ERROR, "{route:?}");
    }
}

#[test]
fn every_route_is_described() {
    let document = serde_json::to_value(tasker_server::openapi("/tasker")).unwrap();
    assert_eq!(document["openapi"], "3.1.0");
    for route in tasker_server::routes("/tasker") {
        let operation = &document["paths"][&route.path][route.method.as_str().to_lowercase()];
        assert!(operation["summary"].is_string(), "{route:?}");
        assert!(operation["responses"].as_object().unwrap().len() > 1, "{route:?}");
        match route.access {
            Access::Public => assert_eq!(operation["security"], serde_json::json!([]), "{route:?}"),
            Access::NeedsIf(..) => {
                let either = serde_json::json!([{}, { "bearer": [] }]);
                assert_eq!(operation["security"], either, "{route:?}");
            }
            Access::Needs(permission) => {
                assert_eq!(
                    operation["security"],
                    serde_json::json!([{ "bearer": [] }]),
                    "{route:?}"
                );
                let said = operation["description"].as_str().unwrap();
                assert!(
                    said.ends_with(&format!("Needs the permission `{permission}`.")),
                    "{said}"
                );
            }
        }
    }
}
