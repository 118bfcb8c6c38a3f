//! A client that keeps its connection, and times its requests.

use std::time::{Duration, Instant};

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::{Method, Request, StatusCode, header};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;

/// The longest that an answer may take before a bench gives up.
const PATIENCE: Duration = Duration::from_secs(60);

/// One connection to a service.
pub(crate) struct Client {
    sender: SendRequest<Full<Bytes>>,
    address: String,
}

impl Client {
    /// Connects to `host:port`.
    pub(crate) async fn connect(address: &str) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await?;
        // What ends the connection is told to the request that it ends.
        tokio::spawn(connection);
        Ok(Self {
            sender,
            address: address.to_owned(),
        })
    }

    /// Asks for what there is at a path, and returns it with how long it took.
    pub(crate) async fn get(&mut self, path: &str) -> anyhow::Result<(Bytes, Duration)> {
        self.send(Method::GET, path, Bytes::new(), StatusCode::OK).await
    }

    /// Asks for what there is at a path, and reads it.
    pub(crate) async fn read(&mut self, path: &str) -> anyhow::Result<Value> {
        Ok(serde_json::from_slice(&self.get(path).await?.0)?)
    }

    /// Creates something, and returns the answer with how long it took.
    pub(crate) async fn post(&mut self, path: &str, body: Bytes) -> anyhow::Result<(Bytes, Duration)> {
        self.send(Method::POST, path, body, StatusCode::CREATED).await
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
        wanted: StatusCode,
    ) -> anyhow::Result<(Bytes, Duration)> {
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, &self.address)
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))?;
        let start = Instant::now();
        let answered = async {
            self.sender.ready().await?;
            let answer = self.sender.send_request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, answer.into_body().collect().await?.to_bytes()))
        };
        let (status, body) = tokio::time::timeout(PATIENCE, answered)
            .await
            .with_context(|| format!("`{path}` was not answered for a minute"))??;
        let time = start.elapsed();
        anyhow::ensure!(
            status == wanted,
            "`{path}` was answered with {status}: {}",
            String::from_utf8_lossy(&body)
        );
        Ok((body, time))
    }
}
