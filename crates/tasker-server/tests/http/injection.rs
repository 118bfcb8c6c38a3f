//! What clients write is data: statements and scripts come back as they were sent, or are refused, and do nothing.
//!
//! The fields are those of the OpenAPI description, so that none that is added can be left out: the schema of each says
//! whether a text is permitted, and what is permitted has to come back.

use std::collections::BTreeSet;

use axum::Router;
use axum::body::Body;
use axum::http::{Method, Request, header};
use jsonschema::Validator;
use serde_json::{Map, Value, json};
use tasker_server::tasker::Tasker;
use tasker_server::{App, axum};
use tasker_types::{RequestRate, Server, ServerValues, TaskId};

use crate::health::cluster;
use crate::kit::{Answer, app, ask, get, send};

const HOSTILE: [&str; 7] = [
    "'; DROP TABLE tasks; --",
    "' OR '1'='1",
    "\") UNION SELECT name, 1, 2 FROM sqlite_master --",
    "1); DELETE FROM transitions; SELECT pg_sleep(60",
    r"\'; COPY tasks TO PROGRAM 'sh' $1 ?1 $$ %s _%",
    "<script>alert('x')</script>",
    "\"><img src=x onerror=alert(1)>`${7*7}`",
];

const TEMPLATES: [&str; 2] = [
    "{ name: probe, steps: [{ name: a, handler: command, config: { program: echo } }] }",
    "{ name: broken, steps: [{ name: a, handler: command, config: { program: ./does-not-exist }, retry_limit: 1 }] }",
];

/// Where a text can be said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Place {
    Path(String),
    Query(String),
    Header(String),
    /// The way to a value in the body: names of members, `[]` for an item, `{}` for a name and `{value}` for the value of
    /// a member that may have any name.
    Body(Vec<String>),
}

/// A text of an operation.
struct Field {
    method: Method,
    path: String,
    place: Place,
    /// What the schemas permit there; one of them has to.
    permits: Vec<Validator>,
}

impl Field {
    fn is_permitted(&self, text: &str) -> bool {
        self.permits.iter().any(|schema| schema.is_valid(&json!(text)))
    }
}

/// The description of the service.
struct Description(Value);

impl Description {
    fn followed<'a>(&'a self, schema: &'a Value) -> &'a Value {
        match schema["$ref"].as_str() {
            Some(to) => self.followed(self.0.pointer(to.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    fn validator(&self, schema: &Value) -> Validator {
        let whole = json!({ "components": self.0["components"], "allOf": [schema] });
        jsonschema::draft202012::options()
            .should_validate_formats(true)
            .build(&whole)
            .unwrap()
    }

    /// Finds the texts below a schema.
    fn texts(&self, schema: &Value, way: &[String], found: &mut dyn FnMut(&[String], Validator)) {
        let schema = self.followed(schema);
        let below = |step: &str| [way, &[step.to_owned()]].concat();
        let of_kind = |kind: &str| match &schema["type"] {
            Value::Array(kinds) => kinds.iter().any(|one| one == kind),
            one => one == kind,
        };
        let mut is_plain = true;
        for choice in ["oneOf", "anyOf", "allOf"] {
            for schema in schema[choice].as_array().into_iter().flatten() {
                is_plain = false;
                self.texts(schema, way, found);
            }
        }
        // What has no type may be anything.
        if of_kind("string") || (is_plain && schema["type"].is_null()) {
            found(way, self.validator(schema));
        }
        if of_kind("array") {
            self.texts(&schema["items"], &below("[]"), found);
        }
        for (name, schema) in schema["properties"].as_object().into_iter().flatten() {
            self.texts(schema, &below(name), found);
        }
        if of_kind("object") && schema["properties"].is_null() {
            let names = match &schema["propertyNames"] {
                Value::Null => json!({ "type": "string" }),
                names => names.clone(),
            };
            found(&below("{}"), self.validator(&names));
            let values = match &schema["additionalProperties"] {
                Value::Object(values) => Value::Object(values.clone()),
                _ => json!({}),
            };
            self.texts(&values, &below("{value}"), found);
        }
    }

    fn fields(&self) -> Vec<Field> {
        let mut fields: Vec<Field> = Vec::new();
        let paths = self.0["paths"].as_object().unwrap();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object().unwrap() {
                let method: Method = method.to_uppercase().parse().unwrap();
                let mut add = |place: Place, permits: Validator| {
                    let same = |field: &&mut Field| {
                        (&field.method, &field.path, &field.place) == (&method, path, &place)
                    };
                    match fields.iter_mut().find(same) {
                        Some(known) => known.permits.push(permits),
                        None => fields.push(Field {
                            method: method.clone(),
                            path: path.clone(),
                            place,
                            permits: vec![permits],
                        }),
                    }
                };
                for parameter in operation["parameters"].as_array().into_iter().flatten() {
                    let name = parameter["name"].as_str().unwrap().to_owned();
                    let place = match parameter["in"].as_str().unwrap() {
                        "path" => Place::Path(name),
                        "query" => Place::Query(name),
                        _ => Place::Header(name),
                    };
                    self.texts(&parameter["schema"], &[], &mut |_, permits| {
                        add(place.clone(), permits);
                    });
                }
                let body = &operation["requestBody"]["content"]["application/json"]["schema"];
                if !body.is_null() {
                    self.texts(body, &[], &mut |way, permits| {
                        add(Place::Body(way.to_vec()), permits);
                    });
                }
            }
        }
        fields
    }
}

/// Returns a value with a text at a place in it.
fn holding(way: &[String], text: &str) -> Value {
    let Some((step, rest)) = way.split_first() else {
        return json!(text);
    };
    let mut members = Map::new();
    match step.as_str() {
        "[]" => return json!([holding(rest, text)]),
        "{}" => members.insert(text.to_owned(), json!(1)),
        "{value}" => members.insert("note".to_owned(), holding(rest, text)),
        name => members.insert(name.to_owned(), holding(rest, text)),
    };
    Value::Object(members)
}

/// Adds the members of another object, also to those of lists.
fn merged(into: &mut Value, from: Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (name, value) in from {
                match into.get_mut(&name) {
                    Some(known) => merged(known, value),
                    None => {
                        into.insert(name, value);
                    }
                }
            }
        }
        (Value::Array(into), Value::Array(from)) if into.len() == 1 && from.len() == 1 => {
            merged(&mut into[0], from.into_iter().next().unwrap());
        }
        (into, from) => *into = from,
    }
}

/// Tells whether a text is anywhere in a value, as a whole.
fn has(value: &Value, text: &str) -> bool {
    match value {
        Value::String(own) => own == text,
        Value::Array(items) => items.iter().any(|item| has(item, text)),
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == text || has(value, text)),
        _ => false,
    }
}

fn escaped(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}

struct Probe {
    tasker: Tasker,
    service: Router,
    bystander: String,
}

impl Probe {
    async fn on(tasker: Tasker) -> Self {
        let templates = app(&tasker, &TEMPLATES).templates().clone();
        // So many are asked as fast as possible.
        let values = ServerValues {
            address_rate: RequestRate {
                requests_per_second: 0.0,
                ..RequestRate::default()
            },
            ..ServerValues::default()
        };
        let app = App::builder(tasker.clone())
            .templates(templates)
            .settings(Server::try_from(values).unwrap());
        let mut probe = Self {
            tasker,
            service: tasker_server::router(app.build()),
            bystander: String::new(),
        };
        probe.bystander = probe.task("probe").await;
        probe
    }

    async fn task(&self, name: &str) -> String {
        let body = json!({ "name": name, "initiator": "bob", "tags": ["own"], "context": { "order": 7 } });
        let answer = send(&self.service, Method::POST, "/tasker/tasks", Some(body)).await;
        assert_eq!(answer.status.as_u16(), 201, "{answer:?}");
        answer.body["task"]["task_id"].as_str().unwrap().to_owned()
    }

    /// Returns a task of which the operation can be demanded.
    async fn ready_for(&self, field: &Field) -> String {
        let task = match field.path.as_str() {
            "/tasker/tasks/{task_id}/retry" => self.task("broken").await,
            _ => self.task("probe").await,
        };
        match field.path.as_str() {
            "/tasker/tasks/{task_id}/retry" => {
                let id: TaskId = task.parse().unwrap();
                self.tasker.resume(id).await.unwrap();
            }
            "/tasker/tasks/{task_id}/resolve" | "/tasker/tasks/{task_id}/workflow_steps/{name}/retry" => {
                let cancel = format!("/tasker/tasks/{task}/workflow_steps/a/cancel");
                send(&self.service, Method::POST, &cancel, None).await.is_ok();
            }
            _ => {}
        }
        task
    }

    /// Asks with a text in a field, and returns the task that it was about.
    async fn asked(&self, field: &Field, text: &str) -> (Answer, Option<String>) {
        let mut task = None;
        let mut path = field.path.clone();
        if let Place::Path(name) = &field.place {
            path = path.replace(&format!("{{{name}}}"), &escaped(text));
        }
        if path.contains("{task_id}") {
            let id = self.ready_for(field).await;
            path = path.replace("{task_id}", &id);
            task = Some(id);
        }
        path = path.replace("{namespace}", "default_system");
        let name = if path.contains("/workflow_steps/") {
            "a"
        } else {
            "probe"
        };
        path = path.replace("{name}", name);
        if let Place::Query(name) = &field.place {
            path = format!("{path}?{name}={}", escaped(text));
        }
        let mut request = Request::builder().method(field.method.clone()).uri(path);
        if let Place::Header(name) = &field.place {
            request = request.header(name, text);
        }
        let mut body = match (field.path.as_str(), field.method.as_str()) {
            ("/tasker/tasks", "POST") => json!({ "name": "probe" }),
            ("/tasker/tasks/bulk", _) => self.bulk(field).await,
            // A reason is kept with what was done for it.
            ("/tasker/tasks/{task_id}/workflow_steps/{name}", "PATCH") => json!({ "retry_limit": 5 }),
            ("/tasker/tasks/{task_id}", "PATCH") => json!({ "priority": 5 }),
            (_, "PATCH" | "POST") => json!({}),
            _ => Value::Null,
        };
        if let Place::Body(way) = &field.place {
            let mut said = holding(way, text);
            // What a step is configured with its handler checks.
            if let Some(config) = said.get_mut("config") {
                *config = json!({ "args": [text] });
            }
            merged(&mut body, said);
        }
        let body = match body {
            Value::Null => Body::empty(),
            body => {
                request = request.header(header::CONTENT_TYPE, "application/json");
                Body::from(body.to_string())
            }
        };
        let answer = ask(&self.service, request.body(body).unwrap()).await;
        for way in ["/task/task_id", "/results/0/task_id"] {
            if let Some(id) = answer.body.pointer(way).and_then(Value::as_str) {
                task = Some(id.to_owned());
            }
        }
        (answer, task)
    }

    /// Returns a request about many tasks, of the kind that has the field.
    async fn bulk(&self, field: &Field) -> Value {
        let Place::Body(way) = &field.place else {
            return json!({});
        };
        match way.first().map(String::as_str) {
            Some("tasks") => json!({ "action": "create", "tasks": [{ "name": "probe" }] }),
            Some("filter") => json!({ "action": "cancel", "filter": {}, "dry_run": true }),
            Some("ids") => json!({ "action": "cancel" }),
            _ => json!({ "action": "cancel", "ids": [self.task("probe").await] }),
        }
    }

    /// Returns whether a text is in an answer, or in what is told of the task.
    async fn comes_back(&self, answer: &Answer, task: Option<&str>, text: &str) -> bool {
        let mut told = has(&answer.body, text);
        if let Some(task) = task {
            for more in [
                "",
                "/transitions",
                "/workflow_steps/a",
                "/workflow_steps/a/transitions",
            ] {
                let answer = get(&self.service, &format!("/tasker/tasks/{task}{more}")).await;
                told |= has(answer.is_ok(), text);
            }
        }
        told
    }

    async fn try_out(&self, field: &Field, hostile: &str, number: usize) {
        // A key is used once.
        let text = match &field.place {
            Place::Header(name) if name == "Idempotency-Key" => format!("{hostile} {number}"),
            Place::Body(way) if way.last().is_some_and(|name| name == "idempotency_key") => {
                format!("{hostile} {number}")
            }
            _ => hostile.to_owned(),
        };
        let what = format!("{} {} {:?}: {text}", field.method, field.path, field.place);
        let (answer, task) = self.asked(field, &text).await;
        let status = answer.status.as_u16();
        let kind = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(
            matches!(kind, "application/json" | "application/problem+json"),
            "{what}: {kind}"
        );
        assert_eq!(
            answer.headers[header::X_CONTENT_TYPE_OPTIONS],
            "nosniff",
            "{what}"
        );
        assert!(!has(&answer.body, &self.bystander), "{what}: {answer:?}");
        match &field.place {
            Place::Header(name) if name == "If-Match" => {
                assert_eq!(status, 412, "{what}: {answer:?}");
            }
            _ if !field.is_permitted(&text) => {
                let one_of_many = answer.body["results"][0]["problem"]["status"].as_u64();
                let status = one_of_many.unwrap_or(status.into());
                assert!(
                    (400..500).contains(&status) && status != 429,
                    "{what}: {answer:?}"
                );
            }
            Place::Path(_) => assert_eq!(status, 404, "{what}: {answer:?}"),
            Place::Query(name) => {
                let tasks = answer.is_ok()["tasks"].as_array().unwrap();
                // Members were called so; what stands after `=` is the value that they have, which is another.
                let said = match name.as_str() {
                    "initiator" | "source_system" | "tag" => true,
                    "annotation" => !text.contains('='),
                    "context" => !text.contains(['=', '.']),
                    _ => false,
                };
                assert_eq!(
                    !tasks.is_empty(),
                    said,
                    "{what}: those that say it, and no others"
                );
            }
            Place::Body(way) if way[0] == "filter" => {
                answer.is_ok();
            }
            _ => {
                assert!(answer.status.is_success(), "{what}: {answer:?}");
                assert_eq!(
                    answer.body["refused_count"].as_u64().unwrap_or(0),
                    0,
                    "{what}: {answer:?}"
                );
                assert!(
                    self.comes_back(&answer, task.as_deref(), &text).await,
                    "{what}: {answer:?}"
                );
            }
        }
    }
}

/// Says every text in every field.
async fn everything_is_data(tasker: Tasker) {
    let probe = Probe::on(tasker).await;
    let kept = format!("/tasker/tasks/{}", probe.bystander);
    let before = get(&probe.service, &kept).await;
    let description = Description(serde_json::to_value(tasker_server::openapi("/tasker")).unwrap());
    let mut fields = description.fields();
    // What is sought was said before.
    fields.sort_by_key(|field| matches!(field.place, Place::Query(_)));
    for (number, field) in fields.iter().enumerate() {
        for hostile in HOSTILE {
            probe.try_out(field, hostile, number).await;
        }
    }
    let after = get(&probe.service, &kept).await;
    assert_eq!(after.is_ok(), before.is_ok());
    assert_eq!(after.headers[header::ETAG], before.headers[header::ETAG]);
    let own = get(&probe.service, "/tasker/tasks?tag=own&limit=1&total=true").await;
    assert!(own.is_ok()["total"].as_u64().unwrap() > 100, "{own:?}");
}

#[tokio::test]
async fn statements_and_scripts_are_data_in_sqlite() {
    let directory = tempfile::tempdir().unwrap();
    let tasker = Tasker::builder()
        .data_directory(directory.path())
        .build()
        .unwrap();
    everything_is_data(tasker).await;
}

#[tokio::test]
async fn statements_and_scripts_are_data_in_postgresql() {
    let cluster = cluster();
    let tasker = Tasker::builder().postgres(cluster.url()).connect().await.unwrap();
    everything_is_data(tasker).await;
}

/// So that the walk is known to find them: a kind of each is named.
#[test]
fn the_fields_are_found() {
    let description = Description(serde_json::to_value(tasker_server::openapi("/tasker")).unwrap());
    let found: BTreeSet<_> = description
        .fields()
        .into_iter()
        .map(|field| (field.method.to_string(), field.path, field.place))
        .collect();
    let way = |names: &[&str]| Place::Body(names.iter().map(ToString::to_string).collect());
    for (method, path, place) in [
        ("POST", "/tasker/tasks", way(&["reason"])),
        ("POST", "/tasker/tasks", way(&["context", "{value}"])),
        ("POST", "/tasker/tasks", way(&["annotations", "{}"])),
        ("POST", "/tasker/tasks", way(&["tags", "[]"])),
        (
            "POST",
            "/tasker/tasks",
            Place::Header("Idempotency-Key".to_owned()),
        ),
        ("POST", "/tasker/tasks/bulk", way(&["tasks", "[]", "initiator"])),
        ("GET", "/tasker/tasks", Place::Query("context".to_owned())),
        (
            "GET",
            "/tasker/handlers/{namespace}",
            Place::Path("namespace".to_owned()),
        ),
        (
            "POST",
            "/tasker/tasks/{task_id}/workflow_steps/{name}/resolve",
            way(&["result"]),
        ),
    ] {
        let field = (method.to_owned(), path.to_owned(), place);
        assert!(found.contains(&field), "{field:?} is none of {found:#?}");
    }
}
