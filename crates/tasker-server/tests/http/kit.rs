//! A service without a socket, and what it answers.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Child, ChildStdin, Stdio};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, Method, Request, StatusCode, header};
use http_body_util::BodyExt;
use serde_json::Value;
use tasker_server::tasker::Tasker;
use tasker_server::{App, Templates, axum};
use tasker_testkit::Cluster;
use tower::ServiceExt;

/// What was answered.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
    /// The body as it came.
    pub(crate) text: String,
}

/// A service over a store in memory, with these templates in YAML.
pub(crate) fn service(templates: &[&str]) -> Router {
    let tasker = Tasker::builder().memory().build().unwrap();
    tasker_server::router(app(&tasker, templates))
}

pub(crate) fn app(tasker: &Tasker, texts: &[&str]) -> App {
    let directory = tempfile::tempdir().unwrap();
    for (number, text) in texts.iter().enumerate() {
        std::fs::write(directory.path().join(format!("{number}.yaml")), text).unwrap();
    }
    let unknown = tasker_server::tasker::UnknownHandlers::Warn;
    let (templates, faults) = Templates::load(tasker, directory.path(), unknown).unwrap();
    assert!(faults.is_empty(), "{faults:?}");
    App::builder(tasker.clone()).templates(templates).build()
}

pub(crate) async fn ask(router: &Router, request: Request<Body>) -> Answer {
    let response = router.clone().oneshot(request).await.unwrap();
    let (head, body) = response.into_parts();
    // A stream of events may have no end.
    let is_stream = head
        .headers
        .get(header::CONTENT_TYPE)
        .is_some_and(|kind| kind == "text/event-stream");
    let bytes = if is_stream {
        Bytes::new()
    } else {
        body.collect().await.unwrap().to_bytes()
    };
    Answer {
        status: head.status,
        headers: head.headers,
        body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
        text: String::from_utf8_lossy(&bytes).into_owned(),
    }
}

pub(crate) async fn get(router: &Router, path: &str) -> Answer {
    let request = Request::builder().uri(path).body(Body::empty()).unwrap();
    ask(router, request).await
}

pub(crate) async fn with_method(router: &Router, method: Method, path: &str) -> Answer {
    let request = Request::builder().method(method).uri(path).body(Body::empty());
    ask(router, request.unwrap()).await
}

/// Sends JSON.
pub(crate) async fn send(router: &Router, method: Method, path: &str, body: Option<Value>) -> Answer {
    send_with(
        router,
        method,
        path,
        &[("content-type", "application/json")],
        body,
    )
    .await
}

/// Sends JSON with these headers.
pub(crate) async fn send_with(
    router: &Router,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
    body: Option<Value>,
) -> Answer {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let body = body.map_or_else(Body::empty, |body| Body::from(body.to_string()));
    ask(router, request.body(body).unwrap()).await
}

impl Answer {
    /// Checks that it is a problem of this status and code, and returns what it says.
    #[track_caller]
    pub(crate) fn is_problem(&self, status: u16, code: &str) -> &str {
        assert_eq!(self.status.as_u16(), status, "{self:?}");
        assert_eq!(self.headers[header::CONTENT_TYPE], "application/problem+json");
        assert_eq!(self.body["code"], code);
        assert_eq!(self.body["status"], status);
        assert_eq!(self.body["type"], format!("urn:tasker:problem:{code}"));
        self.body["detail"].as_str().unwrap()
    }

    /// Checks that it is a success, and returns its body.
    #[track_caller]
    pub(crate) fn is_ok(&self) -> &Value {
        assert_eq!(self.status, StatusCode::OK, "{self:?}");
        &self.body
    }

    /// Checks that credentials were given that are not valid.
    #[track_caller]
    pub(crate) fn refuses_credentials(&self) {
        assert_eq!(
            self.is_problem(401, "unauthenticated"),
            "the credentials of the request are not valid"
        );
        assert_eq!(
            self.headers[header::WWW_AUTHENTICATE],
            r#"Bearer realm="tasker", error="invalid_token""#
        );
    }
}

/// Another session of a database that holds the lock of a table.
#[derive(Debug)]
pub(crate) struct Locked {
    session: Child,
    input: ChildStdin,
}

impl Locked {
    /// Locks a table.
    pub(crate) fn table(cluster: &Cluster, table: &str) -> Self {
        let mut session = cluster
            .psql()
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut input = session.stdin.take().unwrap();
        writeln!(input, "BEGIN; LOCK TABLE {table}; SELECT 'locked';").unwrap();
        let mut line = String::new();
        BufReader::new(session.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        assert_eq!(line, "locked\n");
        Self { session, input }
    }

    /// Ends the session, and with it the lock.
    pub(crate) fn release(mut self) {
        drop(self.input);
        self.session.wait().unwrap();
    }
}

/// A stream of server-sent events, as a client reads it.
#[derive(Debug)]
pub(crate) struct Stream {
    body: Body,
    text: String,
}

/// What stands between two empty lines of a stream.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Told {
    pub(crate) id: Option<String>,
    pub(crate) event: Option<String>,
    pub(crate) data: Value,
    pub(crate) comment: Option<String>,
}

impl Stream {
    /// Begins a stream, or returns why there is none.
    pub(crate) async fn open(router: &Router, path: &str, headers: &[(&str, &str)]) -> Result<Self, Answer> {
        let mut request = Request::builder().uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Body::empty()).unwrap();
        let response = router.clone().oneshot(request).await.unwrap();
        let (head, body) = response.into_parts();
        if head.status == StatusCode::OK {
            assert_eq!(head.headers[header::CONTENT_TYPE], "text/event-stream");
            assert_eq!(head.headers[header::CACHE_CONTROL], "no-store");
            return Ok(Self {
                body,
                text: String::new(),
            });
        }
        let bytes = body.collect().await.unwrap().to_bytes();
        Err(Answer {
            status: head.status,
            headers: head.headers,
            body: serde_json::from_slice(&bytes).unwrap_or(Value::Null),
            text: String::from_utf8_lossy(&bytes).into_owned(),
        })
    }

    /// Returns what is told next; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Told> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let told = Told::read(block);
                self.text = rest.to_owned();
                return Some(told);
            }
            let frame = self.body.frame().await?.unwrap();
            let data = frame.into_data().unwrap();
            self.text.push_str(std::str::from_utf8(&data).unwrap());
        }
    }

    /// Returns so many events; those that are none are passed over.
    pub(crate) async fn events(&mut self, count: usize) -> Vec<Told> {
        let mut events = Vec::new();
        while events.len() < count {
            let told = self.next().await.unwrap();
            if told.event.is_some() {
                events.push(told);
            }
        }
        events
    }

    /// Returns all events up to the end.
    pub(crate) async fn rest(mut self) -> Vec<Told> {
        let mut events = Vec::new();
        while let Some(told) = self.next().await {
            if told.event.is_some() {
                events.push(told);
            }
        }
        events
    }
}

impl Told {
    fn read(block: &str) -> Self {
        let mut told = Self::default();
        for line in block.lines() {
            let (field, value) = line.split_once(':').unwrap();
            let value = value.trim_start().to_owned();
            match field {
                "id" => told.id = Some(value),
                "event" => told.event = Some(value),
                "data" => told.data = serde_json::from_str(&value).unwrap(),
                "" => told.comment = Some(value),
                other => panic!("a field `{other}`"),
            }
        }
        told
    }

    /// Returns the name, and the step if it is one's.
    pub(crate) fn said(&self) -> String {
        let name = self.event.as_deref().unwrap_or_default();
        match self.data["payload"]["step"].as_str() {
            Some(step) => format!("{name} {step}"),
            None => name.to_owned(),
        }
    }
}
