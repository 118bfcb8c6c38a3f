//! Whether the service lives, whether it can work, and how much there is to do.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Extension, State};
use axum::http::{HeaderValue, header};
use serde::Serialize;
use serde_json::json;
use tasker::{CacheStats, NotReady, Ready, StateCounts, Status};
use tasker_types::Timestamp;
use utoipa::ToSchema;

use crate::app::App;
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// That the process answers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Live {
    /// Always `alive`: a process that is not does not answer.
    #[schema(examples("alive"))]
    status: &'static str,
}

/// That the service can work.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReadyBody {
    /// Always `ready`: a service that is not answers with a problem.
    #[schema(examples("ready"))]
    status: &'static str,
    /// What was looked at.
    checks: Vec<Check>,
    /// Seconds that the database took to answer.
    answered_in_seconds: f64,
    /// The version of the database's schema; null for a store without one.
    schema_version: Option<u32>,
}

/// Something without which the service cannot work.
#[derive(Debug, Serialize, ToSchema)]
struct Check {
    /// What it is: `database` or `migrations`.
    #[schema(examples("database"))]
    name: &'static str,
    /// How it stands: `passed`, `failed`, or `unknown` where it could not be looked at.
    #[schema(examples("passed"))]
    status: &'static str,
}

/// How much there is, and how the service is doing.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct StatusBody {
    /// The tasks by state.
    tasks: Counts,
    /// Their steps by state.
    steps: Counts,
    /// The steps in error: each is retryable, exhausted or permanent.
    retries: Retries,
    /// The connections to the database; null for a store without any.
    connections: Option<ConnectionsBody>,
    /// When this was counted.
    #[schema(value_type = String, format = DateTime)]
    counted_at: Timestamp,
    /// Seconds that it took.
    counted_in_seconds: f64,
    /// Whether it had been counted before; it is kept for `health.cache_duration_seconds`.
    cached: bool,
    /// How often questions found their answer where it was kept.
    caches: Caches,
}

/// How many there are in each state.
#[derive(Debug, Serialize, ToSchema)]
struct Counts {
    /// In all.
    total: u64,
    pending: u64,
    in_progress: u64,
    complete: u64,
    error: u64,
    cancelled: u64,
    resolved_manually: u64,
}

/// What becomes of the steps in error.
#[derive(Debug, Serialize, ToSchema)]
struct Retries {
    /// May be tried again.
    retryable: u64,
    /// Of these, those whose time has not come.
    in_backoff: u64,
    /// Have used up their attempts.
    exhausted: u64,
    /// Have attempts left and may not be tried again.
    permanent: u64,
}

/// How the service is connected to its database.
#[derive(Debug, Serialize, ToSchema)]
struct ConnectionsBody {
    /// How many connections of this process may read at a time.
    readers: u32,
    /// How many of these are reading now.
    reading: u32,
    /// How many connections of this process write.
    writers: u32,
    /// What the server of the database has, whoever opened it; null for SQLite, which has no server.
    server: Option<ServerBody>,
}

/// The connections of a database's server.
#[derive(Debug, Serialize, ToSchema)]
struct ServerBody {
    /// How many the database has.
    open: u32,
    /// How many the server permits in all.
    max: u32,
}

/// What is kept, and found again.
#[derive(Debug, Serialize, ToSchema)]
struct Caches {
    /// These counts.
    status: CacheBody,
    /// What holds tasks up.
    analyses: CacheBody,
    /// How long the steps of tasks lasted that have ended.
    durations: CacheBody,
}

/// How often questions found an answer.
#[derive(Debug, Serialize, ToSchema)]
struct CacheBody {
    /// Questions that found one.
    hits: u64,
    /// Questions for which one was worked out.
    misses: u64,
    /// How many answers are kept.
    entries: u64,
}

/// Where [`live`] is.
pub(crate) const LIVE: &str = "/health/live";

/// Tells that the process answers
///
/// Nothing else is looked at: a process that lives and cannot reach its database need not be started anew.
#[utoipa::path(get, path = "/health/live", tag = "health", responses((status = 200, body = Live)))]
pub(crate) async fn live() -> Json<Live> {
    Json(Live { status: "alive" })
}

/// Tells whether the service can work
///
/// The database must answer within `health.readiness_timeout_seconds`, and its schema must be the one that this program
/// needs. Each question is a look at the database.
#[utoipa::path(get, path = "/health/ready", tag = "health", responses((status = 200, body = ReadyBody)))]
pub(crate) async fn ready(State(app): State<App>) -> Result<Json<ReadyBody>, Problem> {
    let Ready { schema, took } = app.tasker().ready().await.map_err(not_ready)?;
    let passed = |name| Check {
        name,
        status: "passed",
    };
    Ok(Json(ReadyBody {
        status: "ready",
        checks: vec![passed("database"), passed("migrations")],
        answered_in_seconds: took.as_secs_f64(),
        schema_version: schema.map(|schema| schema.version),
    }))
}

/// Returns how much there is to do
///
/// Counting reads all tasks and steps, so it is done at most once in `health.cache_duration_seconds`, by one for all who
/// ask. Whoever has the permission in some namespaces only, or for tasks of their own, is denied.
#[utoipa::path(get, path = "/health/status", tag = "health", responses((status = 200, body = StatusBody)))]
pub(crate) async fn status(
    State(app): State<App>,
    granted: Option<Extension<Granted>>,
) -> Result<Json<StatusBody>, Problem> {
    if let Some(Extension(granted)) = granted {
        granted.require_everything()?;
    }
    let tasker = app.tasker();
    let (status, cached) = tasker.status().await.map_err(|error| Problem::of_store(&error))?;
    let caches = Caches {
        status: cache(tasker.status_stats()),
        analyses: cache(tasker.analysis_stats().await),
        durations: cache(tasker.cache_stats().await),
    };
    Ok(Json(body(&status, cached, caches)))
}

/// What exactly is wrong may say where the database is, so it is logged, and not told to whoever asks.
fn not_ready(error: NotReady) -> Problem {
    let (database, migrations) = match &error {
        NotReady::Schema { .. } => ("passed", "failed"),
        _ => ("failed", "unknown"),
    };
    let detail = error.to_string();
    tracing::warn!(error = %crate::problem::Chain(&error), "the service is not ready");
    let checks = json!([
        { "name": "database", "status": database },
        { "name": "migrations", "status": migrations },
    ]);
    Problem::new(Code::NotReady, detail)
        .with("checks", checks)
        .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
}

fn body(status: &Arc<Status>, cached: bool, caches: Caches) -> StatusBody {
    let totals = &status.totals;
    StatusBody {
        tasks: counts(totals.tasks),
        steps: counts(totals.steps),
        retries: Retries {
            retryable: totals.retries.retryable,
            in_backoff: totals.retries.in_backoff,
            exhausted: totals.retries.exhausted,
            permanent: totals.retries.permanent,
        },
        connections: status.connections.map(|connections| ConnectionsBody {
            readers: connections.readers,
            reading: connections.reading,
            writers: connections.writers,
            server: connections.server.map(|server| ServerBody {
                open: server.open,
                max: server.max,
            }),
        }),
        counted_at: status.counted_at,
        counted_in_seconds: status.took.as_secs_f64(),
        cached,
        caches,
    }
}

fn counts(counts: StateCounts) -> Counts {
    Counts {
        total: counts.total(),
        pending: counts.pending,
        in_progress: counts.in_progress,
        complete: counts.complete,
        error: counts.error,
        cancelled: counts.cancelled,
        resolved_manually: counts.resolved_manually,
    }
}

fn cache(stats: CacheStats) -> CacheBody {
    CacheBody {
        hits: stats.hits,
        misses: stats.misses,
        entries: stats.entries,
    }
}
