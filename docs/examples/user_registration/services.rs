//! The services behind the registration, on one port of this machine.
//!
//! Each answers badly once to each key that it is asked with, in a way of its own: it is busy, it is down, it decides
//! about the same address at this moment, it hangs, it breaks the connection. The next time it does what it is asked.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;

/// The longest request.
const LONGEST: usize = 64 << 10;
/// How long a connection may take in all.
const PATIENCE: Duration = Duration::from_secs(20);

/// Returns the directory of this example.
pub(crate) fn directory() -> PathBuf {
    PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../docs/examples/user_registration"
    ))
}

/// Reads the users who register.
pub(crate) fn users() -> Result<Vec<Value>, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string(directory().join("data/users.json"))?;
    Ok(serde_json::from_str(&text)?)
}

/// What the services were asked and how they answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Exchange {
    pub(crate) request: String,
    pub(crate) key: String,
    pub(crate) answer: &'static str,
}

#[derive(Debug, Default)]
struct State {
    log: Vec<Exchange>,
    /// Addresses and states of accounts, by their ids.
    accounts: BTreeMap<String, (String, String)>,
}

/// The running services. Dropping them ends them.
#[derive(Debug)]
pub(crate) struct Services {
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    running: JoinHandle<()>,
}

impl Drop for Services {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Services {
    /// Starts the services on a free port of the loopback interface.
    pub(crate) async fn start() -> std::io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let state = Arc::<Mutex<State>>::default();
        let kept = Arc::clone(&state);
        let running = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = Arc::clone(&kept);
                tokio::spawn(async move {
                    // A client that goes away in the middle is none of the service's business.
                    let _ = tokio::time::timeout(PATIENCE, serve(stream, &state)).await;
                });
            }
        });
        Ok(Self {
            address,
            state,
            running,
        })
    }

    /// Returns where the services are.
    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns what they were asked, in order.
    pub(crate) fn log(&self) -> Vec<Exchange> {
        lock(&self.state).log.clone()
    }

    /// Returns the addresses of the accounts that are active.
    pub(crate) fn active(&self) -> Vec<String> {
        let state = lock(&self.state);
        let active = state.accounts.values().filter(|(_, state)| state == "active");
        active.map(|(email, _)| email.clone()).collect()
    }
}

fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How a service answers.
enum Answer {
    /// With a status, more headers, and a body.
    Http(&'static str, &'static str, Value),
    /// Not at all.
    Hang,
    /// By breaking the connection.
    Reset,
}

async fn serve(mut stream: TcpStream, state: &Mutex<State>) -> std::io::Result<()> {
    let Some(request) = read(&mut stream).await? else {
        return Ok(());
    };
    let answer = {
        let mut state = lock(state);
        let answer = answer(&mut state, &request);
        let told = match &answer {
            Answer::Http(status, ..) => status,
            Answer::Hang => "nothing",
            Answer::Reset => "a reset",
        };
        state.log.push(Exchange {
            request: format!("{} {}", request.method, request.path),
            key: request.key,
            answer: told,
        });
        answer
    };
    match answer {
        Answer::Http(status, headers, body) => {
            let body = body.to_string();
            let text = format!(
                "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n{headers}Connection: close\r\n\r\n{body}",
                body.len()
            );
            stream.write_all(text.as_bytes()).await
        }
        Answer::Hang => {
            tokio::time::sleep(PATIENCE).await;
            Ok(())
        }
        // Without time to linger, closing is a reset.
        Answer::Reset => stream.set_zero_linger(),
    }
}

/// A request, as far as the services look at it.
struct Request {
    method: String,
    path: String,
    key: String,
    body: Value,
}

/// Reads one request; `None` when the client said nothing that makes sense.
async fn read(stream: &mut TcpStream) -> std::io::Result<Option<Request>> {
    let mut bytes = Vec::new();
    let head_end = loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end + 4;
        }
        if bytes.len() > LONGEST || stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    };
    let head = String::from_utf8_lossy(&bytes[..head_end]).into_owned();
    let header = |wanted: &str| {
        let mut lines = head.lines().skip(1).filter_map(|line| line.split_once(':'));
        lines
            .find(|(name, _)| name.eq_ignore_ascii_case(wanted))
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let length: usize = header("Content-Length").parse().unwrap_or(0);
    while bytes.len() < head_end + length.min(LONGEST) {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(None);
        }
    }
    let mut words = head.split_whitespace();
    let (Some(method), Some(path)) = (words.next(), words.next()) else {
        return Ok(None);
    };
    Ok(Some(Request {
        method: method.to_owned(),
        path: path.to_owned(),
        key: header("Idempotency-Key"),
        body: serde_json::from_slice(&bytes[head_end..]).unwrap_or_default(),
    }))
}

/// Decides about a request. A key that was not seen before meets the service's bad moment.
fn answer(state: &mut State, request: &Request) -> Answer {
    let first = !state.log.iter().any(|exchange| exchange.key == request.key);
    let account = request.path.rsplit('/').next().unwrap_or_default().to_owned();
    match (request.method.as_str(), request.path.as_str()) {
        ("POST", "/accounts") if first => Answer::Http(
            "409 Conflict",
            "",
            json!({ "error": "a registration of this address is being decided" }),
        ),
        ("POST", "/accounts") => {
            let id = format!("u{}", state.accounts.len() + 1);
            let email = request.body["email"].as_str().unwrap_or_default().to_owned();
            state.accounts.insert(id.clone(), (email, "new".to_owned()));
            Answer::Http("201 Created", "", json!({ "id": id }))
        }
        ("POST", "/billing/profiles") if first => Answer::Http(
            "429 Too Many Requests",
            "Retry-After: 2\r\n",
            json!({ "error": "slow down" }),
        ),
        ("POST", "/billing/profiles") => {
            Answer::Http("201 Created", "", json!({ "plan": request.body["plan"] }))
        }
        ("PUT", path) if path.starts_with("/preferences/") && first => Answer::Http(
            "503 Service Unavailable",
            "",
            json!({ "error": "a new version is being rolled out" }),
        ),
        ("PUT", path) if path.starts_with("/preferences/") => {
            Answer::Http("200 OK", "", request.body.clone())
        }
        ("POST", "/mails") if first => Answer::Hang,
        ("POST", "/mails") => Answer::Http("202 Accepted", "", json!({ "queued": true })),
        ("PATCH", _) if first => Answer::Reset,
        ("PATCH", path) if path.starts_with("/accounts/") => match state.accounts.get_mut(&account) {
            Some((email, of)) => {
                *of = "active".to_owned();
                Answer::Http(
                    "200 OK",
                    "",
                    json!({ "id": account, "email": email, "state": of }),
                )
            }
            None => Answer::Http(
                "404 Not Found",
                "",
                json!({ "error": "there is no such account" }),
            ),
        },
        _ => Answer::Http("404 Not Found", "", json!({ "error": "there is nothing here" })),
    }
}
