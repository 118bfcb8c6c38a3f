//! What the service counts, for those who watch it.

use axum::extract::{Extension, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use tasker::Measurements;

use crate::app::App;
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// Returns what is counted, in the text format of Prometheus
///
/// Counters and durations are of this process, and of the time since it was started. How much there is to do is read from
/// the database, and kept as `/health/status` keeps it. At most 200 tasks and 500 steps are told apart by their names; what
/// others do is counted under `(other)`. Whoever has the permission in some namespaces only, or for tasks of their own, is
/// denied.
#[utoipa::path(
    get,
    path = "/metrics",
    tag = "health",
    responses((status = 200, body = String, content_type = "text/plain; version=0.0.4; charset=utf-8"))
)]
pub(crate) async fn metrics(
    State(app): State<App>,
    granted: Option<Extension<Granted>>,
) -> Result<Response, Problem> {
    if let Some(Extension(granted)) = granted {
        granted.require_everything()?;
    }
    let mut read = app.tasker().metrics().await.ok_or_else(|| {
        let detail = "nothing is counted here: `telemetry.metrics_enabled` is off";
        Problem::new(Code::RouteNotFound, detail)
    })?;
    let limit = u64::from(app.settings().event_streams);
    let free = app.streams().available_permits() as u64;
    read.gauge(
        "tasker_event_streams",
        "Streams of events that clients may follow: those in use, and those that are free.",
        "state",
        [("in_use", limit.saturating_sub(free)), ("free", free)],
    );
    let head = [(header::CONTENT_TYPE, Measurements::CONTENT_TYPE)];
    Ok((head, read.to_string()).into_response())
}
