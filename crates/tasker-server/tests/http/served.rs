//! The service on a socket: what clients that are slow, silent, wrong or in the way cannot do.
//!
//! Time is paused where something waits: it jumps to the next moment at which something happens.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use axum::Router;
use axum::body::Bytes;
use axum::http::request::Parts;
use serde_json::Value;
use tasker_server::tasker::Tasker;
use tasker_server::{App, Caller, Guard, Permission, Problem, Reach, axum};
use tasker_types::{RequestRate, Server, ServerValues};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

const LIVE: &str = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n";
/// The longest that anything may take before a test gives up; where time is paused that is at once.
const PATIENCE: Duration = Duration::from_secs(120);
const PREFACE: &str = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// Waits or panics while it finds out who asks, if the request says so.
#[derive(Debug, Default)]
struct Strange {
    entered: Notify,
    released: Notify,
}

#[async_trait]
impl Guard for Strange {
    async fn identify(&self, head: &Parts) -> Result<Caller, Problem> {
        match head.uri.query() {
            Some("panic") => panic!("a secret"),
            Some("wait") => {
                self.entered.notify_one();
                self.released.notified().await;
            }
            _ => {}
        }
        let name = head
            .headers
            .get("x-name")
            .map_or("ann", |name| name.to_str().unwrap());
        Ok(Caller::new(name))
    }

    fn reach(&self, _: &Caller, _: Permission) -> Reach {
        Reach::Everything
    }

    fn asks_who(&self) -> bool {
        true
    }
}

struct Served {
    address: SocketAddr,
    guard: Arc<Strange>,
    stop: CancellationToken,
    ended: JoinHandle<()>,
}

impl Served {
    async fn with(values: ServerValues, grace: Duration) -> Self {
        let guard = Arc::new(Strange::default());
        let settings = Server::try_from(values).unwrap();
        let tasker = Tasker::builder().memory().build().unwrap();
        let app = App::builder(tasker)
            .settings(settings.clone())
            .guard(Arc::<Strange>::clone(&guard))
            .build();
        let (address, stop, ended) = served(tasker_server::router(app), settings, grace).await;
        Self {
            address,
            guard,
            stop,
            ended,
        }
    }

    async fn connect(&self) -> Client {
        Client(TcpStream::connect(self.address).await.unwrap())
    }
}

async fn served(
    router: Router,
    settings: Server,
    grace: Duration,
) -> (SocketAddr, CancellationToken, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let stopped = stop.clone();
    let ended =
        tokio::spawn(async move { tasker_server::serve(listener, router, &settings, stopped, grace).await });
    (address, stop, ended)
}

struct Client(TcpStream);

/// Status, headers and body.
type Said = (u16, String, Value);

impl Client {
    async fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).await.unwrap();
    }

    /// Reads one answer, whose length is told.
    async fn answer(&mut self) -> Said {
        let read = timeout(PATIENCE, self.read_answer()).await;
        read.expect("an answer should be there by then")
    }

    async fn read_answer(&mut self) -> Said {
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(self.0.read_u8().await.unwrap());
        }
        let head = String::from_utf8(head).unwrap().to_lowercase();
        let status = head.split(' ').nth(1).unwrap().parse().unwrap();
        let length = head
            .split("content-length: ")
            .nth(1)
            .map_or("0", |rest| rest.lines().next().unwrap());
        let mut body = vec![0; length.parse().unwrap()];
        self.0.read_exact(&mut body).await.unwrap();
        (status, head, serde_json::from_slice(&body).unwrap_or(Value::Null))
    }

    async fn asks(&mut self, path: &str, headers: &str) -> Said {
        let request = format!("GET {path} HTTP/1.1\r\nHost: x\r\n{headers}\r\n");
        self.send(request.as_bytes()).await;
        self.answer().await
    }

    /// Reads up to the end, which a reset is too.
    async fn rest(&mut self) -> Vec<u8> {
        let mut rest = Vec::new();
        let read = timeout(PATIENCE, self.0.read_to_end(&mut rest)).await;
        let _ = read.expect("the connection should be closed by then");
        rest
    }
}

#[track_caller]
fn is_problem((status, head, body): &Said, expected: u16, code: &str) {
    assert_eq!(
        (*status, body["code"].as_str()),
        (expected, Some(code)),
        "{head}{body}"
    );
}

fn one_place() -> ServerValues {
    ServerValues {
        connections: 1,
        ..ServerValues::default()
    }
}

/// Has a client send this and then nothing, and another ask meanwhile, for whom there is no place.
async fn loses_its_place(sent: &[u8]) {
    let served = Served::with(one_place(), Duration::ZERO).await;
    let mut silent = served.connect().await;
    silent.send(sent).await;
    let begun = tokio::time::Instant::now();
    let mut other = served.connect().await;
    other.send(LIVE.as_bytes()).await;
    assert_eq!(other.answer().await.0, 200, "{}", sent.escape_ascii());
    let waited = begun.elapsed();
    let patience = Duration::from_secs(10);
    assert!(
        waited >= patience && waited <= patience * 3,
        "{}: {waited:?}",
        sent.escape_ascii()
    );
    silent.rest().await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_says_nothing_loses_its_place() {
    loses_its_place(b"").await;
}

/// As long as it may be HTTP/2 it is neither.
#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_say_which_version_it_speaks_loses_its_place() {
    loses_its_place(b"P").await;
    loses_its_place(&PREFACE.as_bytes()[..23]).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_end_its_headers_loses_its_place() {
    loses_its_place(b"GET /health/live HTTP/1.1\r\nHost: x\r\nX-Slow").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_asks_no_more_loses_its_place() {
    loses_its_place(LIVE.as_bytes()).await;
    let settings = [PREFACE.as_bytes(), &[0, 0, 0, 4, 0, 0, 0, 0, 0]].concat();
    loses_its_place(&settings).await;
    loses_its_place(PREFACE.as_bytes()).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_does_not_read_loses_its_place() {
    let large = || async { vec![b'x'; 64 << 20] };
    let router = Router::new()
        .route("/large", axum::routing::get(large))
        .route("/", axum::routing::get(|| async { "there" }));
    let (address, ..) = served(router, Server::try_from(one_place()).unwrap(), Duration::ZERO).await;
    let mut silent = Client(TcpStream::connect(address).await.unwrap());
    silent.send(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n").await;
    let mut other = Client(TcpStream::connect(address).await.unwrap());
    assert_eq!(other.asks("/", "").await.0, 200);
    assert!(silent.rest().await.len() < 64 << 20);
}

/// An answer that goes on is not cut off for the time in which nothing is said.
#[tokio::test(start_paused = true)]
async fn a_stream_in_which_little_happens_goes_on() {
    let values = ServerValues {
        event_heartbeat_seconds: 60.0,
        ..ServerValues::default()
    };
    let served = Served::with(values, Duration::ZERO).await;
    let mut client = served.connect().await;
    client
        .send(b"GET /tasker/events?after=0 HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    let mut text = String::new();
    while text.matches("\n\n").count() < 3 {
        let mut part = [0; 4096];
        let length = client.0.read(&mut part).await.unwrap();
        assert!(length > 0, "it ended after {text}");
        text += std::str::from_utf8(&part[..length]).unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_body_is_not_waited_for() {
    let served = Served::with(ServerValues::default(), Duration::ZERO).await;
    let mut client = served.connect().await;
    let head = "POST /tasker/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{";
    client.send(head.as_bytes()).await;
    is_problem(&client.answer().await, 504, "timed_out");
    assert_eq!(
        client.rest().await,
        b"",
        "what of the body comes late is no request"
    );
}

#[tokio::test]
async fn headers_have_a_limit() {
    let values = ServerValues {
        header_bytes: 8192,
        ..ServerValues::default()
    };
    let served = Served::with(values, Duration::ZERO).await;
    let mut client = served.connect().await;
    let fits = format!("X-Large: {}\r\n", "x".repeat(7_000));
    assert_eq!(client.asks("/health/live", &fits).await.0, 200);
    let large = format!("X-Large: {}\r\n", "x".repeat(9_000));
    assert_eq!(client.asks("/health/live", &large).await.0, 431);
}

#[tokio::test]
async fn bodies_have_a_limit() {
    let values = ServerValues {
        body_bytes: 1024,
        ..ServerValues::default()
    };
    let served = Served::with(values, Duration::ZERO).await;
    let body = format!("{{ \"name\": \"{}\" }}", "x".repeat(1_024));
    let head = "POST /tasker/tasks HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n";
    for sent in [
        format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()),
        format!(
            "{head}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{body}\r\n0\r\n\r\n",
            body.len()
        ),
    ] {
        let mut client = served.connect().await;
        client.send(sent.as_bytes()).await;
        is_problem(&client.answer().await, 413, "body_too_large");
    }
}

#[tokio::test]
async fn a_panic_is_a_problem_and_its_connection_lives() {
    let served = Served::with(ServerValues::default(), Duration::ZERO).await;
    let mut client = served.connect().await;
    for _ in 0..2 {
        let said = client.asks("/tasker/handlers?panic", "").await;
        is_problem(&said, 500, "internal");
        assert!(!said.2.to_string().contains("a secret"), "{}", said.2);
        assert_eq!(client.asks("/tasker/handlers", "").await.0, 200);
    }
}

#[tokio::test]
async fn a_request_under_way_is_answered_before_the_service_ends() {
    let served = Served::with(ServerValues::default(), Duration::from_secs(60)).await;
    let (mut idle, mut busy) = (served.connect().await, served.connect().await);
    assert_eq!(idle.asks("/health/live", "").await.0, 200);
    busy.send(b"GET /tasker/handlers?wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    served.guard.entered.notified().await;
    served.stop.cancel();
    assert_eq!(idle.rest().await, b"", "whoever asks nothing is let go at once");
    assert!(
        TcpStream::connect(served.address).await.is_err(),
        "nobody else comes in"
    );
    assert!(!served.ended.is_finished());
    served.guard.released.notify_one();
    let (status, head, _) = busy.answer().await;
    assert_eq!(status, 200, "{head}");
    assert!(head.contains("connection: close"), "{head}");
    served.ended.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_end_is_ended_when_the_time_is_over() {
    let served = Served::with(ServerValues::default(), Duration::from_secs(5)).await;
    let mut client = served.connect().await;
    client
        .send(b"GET /tasker/handlers?wait HTTP/1.1\r\nHost: x\r\n\r\n")
        .await;
    served.guard.entered.notified().await;
    served.stop.cancel();
    let begun = tokio::time::Instant::now();
    served.ended.await.unwrap();
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(client.rest().await, b"");
}

/// A client of HTTP/2 that may ask several things at once.
async fn second_version(served: &Served) -> h2::client::SendRequest<Bytes> {
    let stream = TcpStream::connect(served.address).await.unwrap();
    let (client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    client.ready().await.unwrap()
}

/// Asks, and returns the status when it is there.
fn asked(
    client: &mut h2::client::SendRequest<Bytes>,
    path: &str,
    more: &str,
) -> impl Future<Output = Result<u16, h2::Error>> + use<> {
    let request = axum::http::Request::builder()
        .uri(format!("http://x{path}"))
        .header("x-more", more)
        .body(())
        .unwrap();
    let (response, _) = client.send_request(request, true).unwrap();
    async move { Ok(response.await?.status().as_u16()) }
}

#[tokio::test]
async fn many_requests_of_a_connection_are_answered_before_the_service_ends() {
    let served = Served::with(ServerValues::default(), Duration::from_secs(60)).await;
    let mut client = second_version(&served).await;
    let slow = asked(&mut client, "/tasker/handlers?wait", "");
    let panics = asked(&mut client, "/tasker/handlers?panic", "");
    let quick = asked(&mut client, "/tasker/handlers", "");
    assert_eq!(timeout(PATIENCE, quick).await.unwrap().unwrap(), 200);
    assert_eq!(timeout(PATIENCE, panics).await.unwrap().unwrap(), 500);
    timeout(PATIENCE, served.guard.entered.notified()).await.unwrap();
    served.stop.cancel();
    served.guard.released.notify_one();
    assert_eq!(timeout(PATIENCE, slow).await.unwrap().unwrap(), 200);
    timeout(PATIENCE, served.ended).await.unwrap().unwrap();
}

#[tokio::test]
async fn headers_have_a_limit_in_the_second_version_too() {
    let values = ServerValues {
        header_bytes: 8192,
        ..ServerValues::default()
    };
    let served = Served::with(values, Duration::ZERO).await;
    let mut client = second_version(&served).await;
    let fits = asked(&mut client, "/health/live", &"x".repeat(7_000));
    assert_eq!(timeout(PATIENCE, fits).await.unwrap().unwrap(), 200);
    let large = asked(&mut client, "/health/live", &"x".repeat(9_000));
    assert_eq!(timeout(PATIENCE, large).await.unwrap().unwrap(), 431);
}

/// Allowances that fill up so slowly that the time which jumps where something is waited for does not matter.
fn rates(address: u32, caller: u32) -> ServerValues {
    let rate = |burst| RequestRate {
        requests_per_second: 0.001,
        burst,
    };
    ServerValues {
        address_rate: rate(address),
        caller_rate: rate(caller),
        ..ServerValues::default()
    }
}

#[tokio::test(start_paused = true)]
async fn an_address_has_an_allowance_whoever_asks() {
    let served = Served::with(rates(3, 100), Duration::ZERO).await;
    let ask = async |path: &str, headers: &str| served.connect().await.asks(path, headers).await;
    for name in ["ann", "bob"] {
        let said = ask("/tasker/handlers", &format!("X-Name: {name}\r\n")).await;
        assert_eq!(said.0, 200, "{}", said.1);
    }
    // A path that does not exist counts too, and it is not looked at what a client says of where it is.
    is_problem(
        &ask("/nothing", "X-Forwarded-For: 192.0.2.1\r\n").await,
        404,
        "route_not_found",
    );
    for path in ["/tasker/handlers", "/nothing", "/health/ready", "/metrics"] {
        let said = ask(path, "X-Forwarded-For: 192.0.2.2\r\n").await;
        is_problem(&said, 429, "too_many_requests");
        let (_, wait) = said.1.split_once("retry-after: ").unwrap();
        let seconds: u32 = wait.lines().next().unwrap().parse().unwrap();
        assert!((1..=1_000).contains(&seconds), "{seconds}");
    }
    assert_eq!(ask("/health/live", "").await.0, 200);
    tokio::time::advance(Duration::from_secs(1_000)).await;
    assert_eq!(ask("/tasker/handlers", "").await.0, 200);
}

#[tokio::test(start_paused = true)]
async fn a_caller_has_an_allowance() {
    let served = Served::with(rates(100, 2), Duration::ZERO).await;
    let mut client = served.connect().await;
    let mut ask = async |name: &str| {
        client
            .asks("/tasker/handlers", &format!("X-Name: {name}\r\n"))
            .await
    };
    assert_eq!(ask("ann").await.0, 200);
    assert_eq!(ask("ann").await.0, 200);
    let said = ask("ann").await;
    is_problem(&said, 429, "too_many_requests");
    let detail = said.2["detail"].as_str().unwrap();
    let expected = "there were more requests than `server.caller_rate` permits; come again in ";
    assert!(detail.starts_with(expected), "{detail}");
    assert_eq!(ask("bob").await.0, 200, "another has their own");
}
