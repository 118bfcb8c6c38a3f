//! Whether the service lives.

use axum::Json;
use serde::Serialize;
use utoipa::ToSchema;

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `alive`: a process that is not does not answer.
    #[schema(examples("alive"))]
    status: &'static str,
}

/// Tells that the process answers
///
/// Nothing else is looked at: a process that lives and cannot reach its database need not be started anew.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "alive" })
}
