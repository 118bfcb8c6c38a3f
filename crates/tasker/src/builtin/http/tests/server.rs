//! A server on the loopback device that answers as a test says.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

/// What the server does with a request.
#[derive(Clone, Debug)]
pub(super) enum Act {
    /// Sends this and closes the connection.
    Send(String),
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends this and then nothing, until the client goes away.
    Hang(String),
    /// Closes the connection without an answer.
    Close,
    /// Sends a text over and over, until the client goes away.
    Flood(String),
}

/// A request as it came.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) line: String,
    /// By names in lower case.
    pub(super) headers: BTreeMap<String, String>,
    pub(super) body: String,
}

/// A server that does one act after the other, the last one for ever.
#[derive(Debug)]
pub(super) struct Server {
    pub(super) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    gone: Arc<Notify>,
}

/// An answer with a status line, headers and a body.
pub(super) fn answer(status: &str, headers: &[(&str, &str)], body: &str) -> Act {
    let headers: String = headers
        .iter()
        .map(|(name, value)| format!("{name}: {value}\r\n"))
        .collect();
    Act::Send(format!(
        "HTTP/1.1 {status}\r\n{headers}content-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    ))
}

/// An answer with JSON.
pub(super) fn json(status: &str, body: &str) -> Act {
    answer(status, &[("content-type", "application/json")], body)
}

impl Server {
    pub(super) async fn start(acts: impl IntoIterator<Item = Act>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let gone = Arc::new(Notify::new());
        let acts: Vec<Act> = acts.into_iter().collect();
        let (requests, left) = (Arc::clone(&seen), Arc::clone(&gone));
        tokio::spawn(async move {
            for turn in 0.. {
                let Ok((stream, _)) = listener.accept().await else {
                    return;
                };
                let act = acts[turn.min(acts.len() - 1)].clone();
                tokio::spawn(serve(stream, act, Arc::clone(&requests), Arc::clone(&left)));
            }
        });
        Self { address, seen, gone }
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    /// Waits until a client has gone away that was left without an end.
    pub(super) async fn client_is_gone(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.gone.notified())
            .await
            .unwrap();
    }
}

async fn serve(mut stream: TcpStream, act: Act, seen: Arc<Mutex<Vec<Seen>>>, gone: Arc<Notify>) {
    let Some(request) = read(&mut stream).await else {
        return;
    };
    seen.lock().unwrap().push(request);
    // A client that has gone away is what some tests are about.
    match act {
        Act::Send(text) => drop(stream.write_all(text.as_bytes()).await),
        Act::Bytes(bytes) => drop(stream.write_all(&bytes).await),
        Act::Close => {}
        Act::Hang(text) => {
            drop(stream.write_all(text.as_bytes()).await);
            while let Ok(1..) = stream.read(&mut [0; 64]).await {}
            gone.notify_one();
        }
        Act::Flood(text) => {
            while stream.write_all(text.as_bytes()).await.is_ok() {}
            gone.notify_one();
        }
    }
    let _ = stream.shutdown().await;
}

async fn read(stream: &mut TcpStream) -> Option<Seen> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            let head = String::from_utf8(bytes[..end].to_vec()).unwrap();
            let mut lines = head.split("\r\n").map(ToOwned::to_owned);
            let line = lines.next()?;
            let headers: BTreeMap<_, _> = lines
                .filter_map(|line| {
                    let (name, value) = line.split_once(':')?;
                    Some((name.to_ascii_lowercase(), value.trim().to_owned()))
                })
                .collect();
            let length = headers
                .get("content-length")
                .and_then(|length| length.parse().ok());
            let length: usize = length.unwrap_or(0);
            if bytes.len() >= end + 4 + length {
                let body = String::from_utf8(bytes[end + 4..].to_vec()).unwrap();
                return Some(Seen { line, headers, body });
            }
        }
        match stream.read(&mut chunk).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&chunk[..count]),
            _ => return None,
        }
    }
}
