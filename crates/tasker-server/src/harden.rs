//! What holds for every answer: headers that browsers are told, a time limit, and that a panic is no silence.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use tasker_types::Server;
use tower_http::catch_panic::CatchPanicLayer;

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::trace::{Lines, logged};

/// What browsers are told about every answer that does not say otherwise: nothing in it is to be run, framed, guessed or
/// kept.
const HEADERS: [(HeaderName, &str); 5] = [
    (header::CACHE_CONTROL, "no-store"),
    (
        header::CONTENT_SECURITY_POLICY,
        "default-src 'none'; frame-ancestors 'none'",
    ),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
];

/// Returns the routes with what holds for all of them.
pub(crate) fn layered(router: Router<App>, settings: &Arc<Server>, lines: Lines) -> Router<App> {
    let limit = Duration::from_secs_f64(settings.request_timeout_seconds);
    router
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(limit, in_time))
        .layer(middleware::from_fn_with_state(lines, logged))
        .layer(middleware::map_response(with_headers))
}

async fn with_headers(mut response: Response) -> Response {
    for (name, value) in HEADERS {
        response
            .headers_mut()
            .entry(name)
            .or_insert(HeaderValue::from_static(value));
    }
    response
}

async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    match tokio::time::timeout(limit, next.run(request)).await {
        Ok(response) => response,
        Err(_) => {
            let detail = format!("the answer was not there after {} seconds", limit.as_secs_f64());
            Problem::new(Code::TimedOut, detail).into_response()
        }
    }
}

/// The panic's own message may say what nobody may see; the panic hook has written it.
fn panicked(_: Box<dyn Any + Send>) -> Response {
    tracing::error!("a handler of a request panicked");
    Problem::new(Code::Internal, "the server failed; its log says how").into_response()
}
