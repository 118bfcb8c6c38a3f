//! Who may ask what: every route times every role, and what an identity is worth.

use std::ffi::OsString;
use std::fmt::Write as _;
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde_json::{Value, json};
use tasker_server::tasker::config::{Environment, Loader};
use tasker_server::tasker::{Clock, SystemClock, Tasker};
use tasker_server::{App, Auth, Permission, axum, routes};

use crate::kit::{Answer, Stream, Told, app, ask, send_with};

const SECRET: &str = "only for tests, and long enough for it";
const FILE: &str = r#"
[auth]
authentication_enabled = true
authenticator = "jwt"
authorization_enabled = true
coordinator = "rbac"

[auth.jwt]
keys = [{ algorithm = "HS256", env = "KEY" }]

[auth.roles]
admin = { permissions = ["*"] }
viewer = { permissions = ["tasker.task:index", "tasker.task:show", "tasker.workflow_step:index", "tasker.workflow_step:show", "tasker.handler:*"] }
operator = { permissions = ["tasker.task:*", "tasker.workflow_step:*"] }
payer = { permissions = ["*"], namespaces = ["payments"] }
starter = { permissions = ["tasker.task:*", "tasker.handler:index"], own_tasks = true }
monitor = { permissions = ["tasker.health_status:index", "tasker.metrics:index", "tasker.analytics:index"] }
nothing = {}
"#;
const ROLES: [&str; 8] = [
    "admin",
    "viewer",
    "operator",
    "payer",
    "starter",
    "monitor",
    "nothing",
    "unheard_of",
];
const TEMPLATES: [&str; 2] = [
    "{ namespace: payments, name: refund, steps: [{ name: a, handler: sleep, config: { seconds: 0 } }] }",
    "{ namespace: logistics, name: parcel, steps: [{ name: a, handler: sleep, config: { seconds: 0 } }] }",
];

fn guarded() -> Router {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("tasker.toml");
    std::fs::write(&file, FILE).unwrap();
    let config = Loader::new().file(file).load().unwrap();
    let variables = [(OsString::from("KEY"), OsString::from(SECRET))];
    let environment: Environment = variables.into_iter().collect();
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let guard = Auth::builder()
        .build(config.auth(), &environment, &clock)
        .unwrap();
    let tasker = Tasker::builder().memory().build().unwrap();
    let templates = app(&tasker, &TEMPLATES).templates().clone();
    tasker_server::router(App::builder(tasker).templates(templates).guard(guard).build())
}

fn token(name: &str, roles: &[&str], secret: &str) -> String {
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    // The year 2100.
    let claims = json!({ "sub": name, "roles": roles, "exp": 4_102_444_800_u64 });
    let message = format!("{}.{}", encoded(json!({ "alg": "HS256" })), encoded(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    let tag = hmac::sign(&key, message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(tag))
}

async fn as_one(router: &Router, method: &Method, path: &str, token: Option<&str>) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    if let Some(token) = token {
        request = request.header(header::AUTHORIZATION, format!("Bearer {token}"));
    }
    ask(router, request.body(Body::empty()).unwrap()).await
}

async fn get_as(router: &Router, path: &str, roles: &[&str]) -> Answer {
    as_one(router, &Method::GET, path, Some(&token("ann", roles, SECRET))).await
}

/// A route that is added adds a line for each role, which a person looks at.
#[tokio::test]
async fn every_route_lets_in_the_roles_of_the_table() {
    let service = guarded();
    let forged = token("ann", &["admin"], "another secret, which nobody has told");
    let task = created_as(&service, ("bob", "admin"), "payments").await;
    let mut table = String::new();
    for route in routes("/tasker") {
        let path = route
            .path
            .replace("{namespace}", "payments")
            .replace("{name}", "refund")
            .replace("{task_id}", &task)
            .replace(['{', '}'], "");
        let _ = write!(table, "{} {}:", route.method, route.path);
        let mut callers = vec![("nobody", None), ("a forger", Some(forged.clone()))];
        callers.extend(ROLES.map(|role| (role, Some(token("ann", &[role], SECRET)))));
        for (caller, token) in callers {
            let answer = as_one(&service, &route.method, &path, token.as_deref()).await;
            let admitted = match answer.status.as_u16() {
                401 => "401",
                403 => "403",
                _ => "in",
            };
            let _ = write!(table, " {caller} {admitted},");
        }
        table.pop();
        table.push('\n');
    }
    insta::assert_snapshot!("routes_and_roles", table);
}

#[tokio::test]
async fn who_does_not_say_who_they_are_is_asked() {
    let service = guarded();
    let answer = as_one(&service, &Method::GET, "/tasker/handlers", None).await;
    assert_eq!(
        answer.is_problem(401, "unauthenticated"),
        "the request has no credentials; send `Authorization: Bearer TOKEN`"
    );
    assert_eq!(
        answer.headers[header::WWW_AUTHENTICATE],
        r#"Bearer realm="tasker""#
    );
    for bad in [
        "x",
        "a.b.c",
        &token("ann", &["admin"], "another secret, which nobody has told"),
    ] {
        let answer = as_one(&service, &Method::GET, "/tasker/handlers", Some(bad)).await;
        answer.refuses_credentials();
    }
    let good = token("ann", &["admin"], SECRET);
    for form in [
        format!("Basic {good}"),
        good.clone(),
        "Bearer ".to_owned(),
        String::new(),
    ] {
        let request = Request::builder()
            .uri("/tasker/handlers")
            .header(header::AUTHORIZATION, form);
        let answer = ask(&service, request.body(Body::empty()).unwrap()).await;
        answer.is_problem(401, "unauthenticated");
    }
    let request = Request::builder()
        .uri("/tasker/handlers")
        .header(header::AUTHORIZATION, format!("Bearer {good}"))
        .header(header::AUTHORIZATION, "Bearer x");
    let answer = ask(&service, request.body(Body::empty()).unwrap()).await;
    answer.is_problem(401, "unauthenticated");
}

#[tokio::test]
async fn who_may_not_is_told_which_permission_is_missing() {
    let service = guarded();
    let answer = get_as(&service, "/tasker/handlers", &["monitor"]).await;
    assert_eq!(
        answer.is_problem(403, "denied"),
        "`ann` has no permission `tasker.handler:index` here"
    );
    assert_eq!(answer.body["permission"], Permission::HandlerIndex.as_str());
}

#[tokio::test]
async fn a_list_has_the_namespaces_that_the_caller_may_see() {
    let service = guarded();
    let answer = get_as(&service, "/tasker/handlers", &["payer"]).await;
    assert_eq!(answer.is_ok()["total_count"], 1);
    assert_eq!(answer.is_ok()["namespaces"][0]["name"], "payments");
    assert_eq!(
        get_as(&service, "/tasker/handlers", &["viewer"]).await.is_ok()["total_count"],
        2
    );
    get_as(&service, "/tasker/handlers/payments", &["payer"])
        .await
        .is_ok();
    for path in ["/tasker/handlers/logistics", "/tasker/handlers/logistics/parcel"] {
        let answer = get_as(&service, path, &["payer"]).await;
        answer.is_problem(403, "denied");
    }
    // Whether a namespace exists is not told to those who may not see it.
    let answer = get_as(&service, "/tasker/handlers/nowhere", &["payer"]).await;
    answer.is_problem(403, "denied");
}

async fn send_as(
    router: &Router,
    (name, role): (&str, &str),
    method: Method,
    path: &str,
    body: Option<Value>,
) -> Answer {
    let credentials = format!("Bearer {}", token(name, &[role], SECRET));
    let headers = [
        ("Authorization", credentials.as_str()),
        ("Content-Type", "application/json"),
    ];
    send_with(router, method, path, &headers, body).await
}

/// Creates a task in a namespace and returns its id.
async fn created_as(router: &Router, who: (&str, &str), namespace: &str) -> String {
    let name = if namespace == "payments" {
        "refund"
    } else {
        "parcel"
    };
    let body = json!({ "namespace": namespace, "name": name, "context": {} });
    let answer = send_as(router, who, Method::POST, "/tasker/tasks", Some(body)).await;
    assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
    answer.body["task"]["task_id"].as_str().unwrap().to_owned()
}

/// Returns the tasks that a caller sees.
async fn seen_by(router: &Router, who: (&str, &str)) -> Vec<String> {
    let answer = send_as(router, who, Method::GET, "/tasker/tasks", None).await;
    let tasks = answer.is_ok()["tasks"].as_array().unwrap().iter();
    let mut ids: Vec<_> = tasks
        .map(|task| task["task_id"].as_str().unwrap().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test]
async fn tasks_are_those_of_the_namespaces_and_the_owner() {
    let service = guarded();
    let refund = created_as(&service, ("bob", "admin"), "payments").await;
    let parcel = created_as(&service, ("bob", "admin"), "logistics").await;
    let own = created_as(&service, ("ann", "starter"), "logistics").await;
    let mut all = vec![refund.clone(), parcel.clone(), own.clone()];
    all.sort();
    assert_eq!(seen_by(&service, ("cid", "viewer")).await, all);
    assert_eq!(
        seen_by(&service, ("cid", "payer")).await,
        std::slice::from_ref(&refund)
    );
    assert_eq!(
        seen_by(&service, ("ann", "starter")).await,
        std::slice::from_ref(&own)
    );
    assert_eq!(seen_by(&service, ("cid", "starter")).await, Vec::<String>::new());
    for (who, mine, other) in [
        (("cid", "payer"), &refund, &parcel),
        (("ann", "starter"), &own, &refund),
    ] {
        let path = |id: &str| format!("/tasker/tasks/{id}");
        send_as(&service, who, Method::GET, &path(mine), None)
            .await
            .is_ok();
        for (method, path) in [
            (Method::GET, path(other)),
            (Method::GET, format!("{}/transitions", path(other))),
            (Method::GET, format!("{}/explain", path(other))),
            (Method::GET, format!("{}/record", path(other))),
            (Method::DELETE, path(other)),
            (Method::POST, format!("{}/cancel", path(other))),
        ] {
            let answer = send_as(&service, who, method, &path, None).await;
            answer.is_problem(403, "denied");
        }
    }
    // Nobody gives away what is theirs to do by naming another.
    let body = json!({ "namespace": "payments", "name": "refund", "context": {}, "initiator": "bob" });
    let answer = send_as(
        &service,
        ("ann", "starter"),
        Method::POST,
        "/tasker/tasks",
        Some(body),
    )
    .await;
    answer.is_problem(403, "denied");
    let body = json!({ "namespace": "logistics", "name": "parcel", "context": {} });
    let answer = send_as(
        &service,
        ("cid", "payer"),
        Method::POST,
        "/tasker/tasks",
        Some(body),
    )
    .await;
    answer.is_problem(403, "denied");
}

/// Returns of which tasks a caller is told everything that has happened.
async fn followed_by(router: &Router, who: (&str, &str), count: usize) -> Vec<String> {
    let credentials = format!("Bearer {}", token(who.0, &[who.1], SECRET));
    let path = "/tasker/events?after=0&pattern=task.initialize_requested&pattern=task.cancelled";
    let stream = Stream::open(router, path, &[("Authorization", &credentials)]).await;
    let told = stream.unwrap().events(count).await;
    let task = |told: &Told| told.data["payload"]["task_id"].as_str().unwrap().to_owned();
    told.iter().map(task).collect()
}

#[tokio::test]
async fn events_are_those_of_the_tasks_that_the_caller_may_see() {
    let service = guarded();
    let refund = created_as(&service, ("bob", "admin"), "payments").await;
    let parcel = created_as(&service, ("bob", "admin"), "logistics").await;
    let own = created_as(&service, ("ann", "starter"), "logistics").await;
    let others = created_as(&service, ("bob", "admin"), "logistics").await;
    for task in [&refund, &own] {
        let cancel = format!("/tasker/tasks/{task}/cancel");
        let answer = send_as(&service, ("bob", "admin"), Method::POST, &cancel, None).await;
        answer.is_ok();
    }
    // What comes last shows that nothing stood between.
    assert_eq!(
        followed_by(&service, ("cid", "payer"), 2).await,
        [refund.clone(), refund.clone()]
    );
    assert_eq!(
        followed_by(&service, ("ann", "starter"), 2).await,
        [own.clone(), own.clone()]
    );
    assert_eq!(
        followed_by(&service, ("cid", "viewer"), 6).await,
        [refund.clone(), parcel.clone(), own.clone(), others, refund, own]
    );
    let events = format!("/tasker/tasks/{parcel}/events");
    for who in [("cid", "payer"), ("ann", "starter")] {
        let answer = send_as(&service, who, Method::GET, &events, None).await;
        answer.is_problem(403, "denied");
    }
    let path = "/tasker/events?namespace=logistics";
    let answer = send_as(&service, ("cid", "payer"), Method::GET, path, None).await;
    answer.is_problem(403, "denied");
}

#[tokio::test]
async fn the_history_knows_the_caller() {
    let service = guarded();
    let id = created_as(&service, ("bob", "admin"), "payments").await;
    let cancel = format!("/tasker/tasks/{id}/cancel");
    send_as(&service, ("ann", "payer"), Method::POST, &cancel, None)
        .await
        .is_ok();
    let path = format!("/tasker/tasks/{id}/transitions");
    let history = send_as(&service, ("cid", "viewer"), Method::GET, &path, None).await;
    let entries = history.is_ok()["transitions"].as_array().unwrap();
    assert_eq!(entries[0]["actor"], "user:bob");
    assert_eq!(entries.last().unwrap()["actor"], "user:ann");
    let task = send_as(
        &service,
        ("cid", "viewer"),
        Method::GET,
        &format!("/tasker/tasks/{id}"),
        None,
    )
    .await;
    assert_eq!(task.is_ok()["task"]["initiator"], "bob");
}

/// What an earlier request proved counts for nothing, in whatever order and however many run at once.
#[tokio::test]
async fn an_identity_ends_with_its_request() {
    let service = guarded();
    let admin = token("ann", &["admin"], SECRET);
    let nothing = token("bob", &["nothing"], SECRET);
    let mut asked = tokio::task::JoinSet::new();
    for round in 0..60 {
        let (service, token, expected) = match round % 3 {
            0 => (service.clone(), Some(admin.clone()), 200),
            1 => (service.clone(), None, 401),
            _ => (service.clone(), Some(nothing.clone()), 403),
        };
        asked.spawn(async move {
            let answer = as_one(&service, &Method::GET, "/tasker/handlers", token.as_deref()).await;
            (answer.status.as_u16(), expected)
        });
    }
    for (status, expected) in asked.join_all().await {
        assert_eq!(status, expected);
    }
}

/// A door is that of the route that was matched: no spelling of a path goes around it.
#[tokio::test]
async fn a_path_that_looks_public_is_not() {
    let service = guarded();
    for path in [
        "/tasker/handlers/",
        "/tasker/handlers/health",
        "/tasker/handlers/payments/live",
        "/tasker/handlers/..%2F..%2Fhealth%2Flive",
        "/tasker/handlers?x=/health/live",
        "//tasker/handlers",
        "/health/live/../../tasker/handlers",
    ] {
        let answer = as_one(&service, &Method::GET, path, None).await;
        assert!(matches!(answer.status.as_u16(), 401 | 404), "{path}: {answer:?}");
    }
    let answer = as_one(&service, &Method::GET, "/health/live", None).await;
    assert_eq!(answer.is_ok()["status"], "alive");
    // HEAD is answered by the routes of GET.
    let answer = as_one(&service, &Method::HEAD, "/tasker/handlers", None).await;
    assert_eq!(answer.status.as_u16(), 401);
}
