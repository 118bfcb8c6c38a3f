//! Serving on a socket: connections with limits, and an end that finishes what has begun.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, HttpBody};
use axum::extract::{ConnectInfo, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::Response;
use futures_util::future::BoxFuture;
use http_body::{Frame, SizeHint};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tasker_types::Server;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tower::{Service, ServiceExt};

use crate::app::App;

/// How long to wait after a connection could not be accepted, such as for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(50);

/// Why the service does not listen.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// Others could reach it, and nobody would be asked who they are.
    #[error(
        "`{address}` can be reached by other machines, and callers need not say who they are; configure `auth`, bind to \
         127.0.0.1, or say `--insecure`"
    )]
    Exposed {
        /// The address.
        address: SocketAddr,
    },
    /// The address cannot be listened on.
    #[error("`{address}` cannot be listened on: {source}")]
    Bind {
        /// The address.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
}

/// Listens on the configured address.
///
/// # Errors
///
/// [`ServeError::Exposed`] for an address that other machines reach while nobody asks callers who they are, unless that
/// is `insecure`ly permitted; [`ServeError::Bind`] if the system refuses it.
pub async fn bind(app: &App, insecure: Insecure) -> Result<TcpListener, ServeError> {
    let address = app.settings().bind;
    let is_exposed = !address.ip().is_loopback() && !app.guard().asks_who();
    if is_exposed && insecure == Insecure::Refused {
        return Err(ServeError::Exposed { address });
    }
    TcpListener::bind(address)
        .await
        .map_err(|source| ServeError::Bind { address, source })
}

/// Whether everyone who reaches the service may do everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Insecure {
    /// Only from this machine.
    #[default]
    Refused,
    /// From wherever the address is reached.
    Permitted,
}

/// Tells answers that would go on for ever when to end. Where nobody says so they end with their connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stopping(pub(crate) CancellationToken);

impl<S: Send + Sync> FromRequestParts<S> for Stopping {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        Ok(parts.extensions.get().cloned().unwrap_or_default())
    }
}

/// Serves until told to stop; then no more connections are accepted, and requests under way have `grace` to end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: &Server,
    stop: CancellationToken,
    grace: Duration,
) {
    let permits = Arc::new(Semaphore::new(settings.connections as usize));
    let builder = protocols(settings);
    let patience = Duration::from_secs_f64(settings.header_timeout_seconds);
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            Some(_) = connections.join_next() => continue,
            accepted = accept(&listener, &permits) => accepted,
        };
        let Some((stream, peer, permit)) = accepted else {
            continue;
        };
        let connection = Connection {
            router: router.clone(),
            peer,
            stop: stop.clone(),
            patience,
        };
        let ended = connection.serve(stream, builder.clone());
        connections.spawn(async move {
            ended.await;
            drop(permit);
        });
    }
    drop(listener);
    let ended = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(grace, ended).await.is_err() {
        tracing::warn!("requests were still under way when the time to stop was over");
    }
}

/// A connection that is served.
#[derive(Debug)]
struct Connection {
    router: Router,
    peer: SocketAddr,
    stop: CancellationToken,
    /// How long it may be the client's turn to do something.
    patience: Duration,
}

impl Connection {
    /// Serves until the client ends it, asks nothing for too long, or the service stops.
    async fn serve(self, stream: TcpStream, builder: Builder<TokioExecutor>) {
        let Self {
            router,
            peer,
            stop,
            patience,
        } = self;
        let (ours, mut turns) = watch::channel(0_usize);
        let stopping = Stopping(stop.clone());
        let service = router.map_request(move |request: Request<_>| {
            let mut request = request.map(Body::new);
            request.extensions_mut().insert(ConnectInfo(peer));
            request.extensions_mut().insert(stopping.clone());
            request
        });
        let service = Turns { service, ours };
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service));
        let mut connection = pin!(connection);
        let mut is_ending = false;
        loop {
            tokio::select! {
                ended = connection.as_mut() => {
                    if let Err(error) = ended {
                        tracing::debug!(%error, %peer, "a connection ended early");
                    }
                    return;
                }
                () = stop.cancelled(), if !is_ending => {}
                () = idle(&mut turns, patience) => {
                    // What a client was told of the end it need not have read.
                    if is_ending {
                        tracing::debug!(%peer, "a connection was silent for too long");
                        return;
                    }
                }
            }
            is_ending = true;
            connection.as_mut().graceful_shutdown();
        }
    }
}

/// Waits until it was the client's turn for this long.
async fn idle(ours: &mut watch::Receiver<usize>, patience: Duration) {
    loop {
        // The sender lives as long as the connection.
        let _ = ours.wait_for(|count| *count == 0).await;
        if tokio::time::timeout(patience, ours.changed()).await.is_err() {
            return;
        }
    }
}

/// Tells of a connection for how many of its requests it is the service's turn to do something.
#[derive(Clone, Debug)]
struct Turns<S> {
    service: S,
    ours: watch::Sender<usize>,
}

impl<R, S> Service<R> for Turns<S>
where
    S: Service<R, Response = Response>,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = S::Error;
    type Future = BoxFuture<'static, Result<Response, S::Error>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        self.service.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> Self::Future {
        let mut turn = Turn {
            ours: self.ours.clone(),
            is_ours: false,
        };
        turn.ours();
        let answered = self.service.call(request);
        Box::pin(async move {
            let response = answered.await?;
            Ok(response.map(|body| Body::new(InTurn { body, turn })))
        })
    }
}

/// Whose turn it is for a request.
#[derive(Debug)]
struct Turn {
    ours: watch::Sender<usize>,
    is_ours: bool,
}

impl Turn {
    fn ours(&mut self) {
        if !std::mem::replace(&mut self.is_ours, true) {
            self.ours.send_modify(|count| *count += 1);
        }
    }

    fn theirs(&mut self) {
        if std::mem::replace(&mut self.is_ours, false) {
            self.ours.send_modify(|count| *count -= 1);
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        self.theirs();
    }
}

/// The body of an answer. From when a part of it is there until the next is wanted it is the client's turn to read.
#[derive(Debug)]
struct InTurn {
    body: Body,
    turn: Turn,
}

impl HttpBody for InTurn {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        self.turn.ours();
        let polled = Pin::new(&mut self.body).poll_frame(cx);
        if polled.is_ready() {
            self.turn.theirs();
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Returns the next connection, and the right to have it open.
async fn accept(
    listener: &TcpListener,
    permits: &Arc<Semaphore>,
) -> Option<(TcpStream, SocketAddr, OwnedSemaphorePermit)> {
    let permit = Arc::clone(permits).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, peer)) => {
            // An answer is written at once, not when more of it is there.
            if let Err(error) = stream.set_nodelay(true) {
                tracing::debug!(%error, "a connection keeps its delay");
            }
            Some((stream, peer, permit))
        }
        Err(error) => {
            tracing::warn!(%error, "a connection cannot be accepted");
            tokio::time::sleep(PAUSE).await;
            None
        }
    }
}

fn protocols(settings: &Server) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs_f64(settings.header_timeout_seconds))
        .max_buf_size(settings.header_bytes as usize);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_header_list_size(settings.header_bytes);
    builder
}
