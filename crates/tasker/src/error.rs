//! What keeps a Tasker from being put together, and a task from being run.

use tasker_engine::{InvalidPattern, Refusal, RequestError, StoreError};
use tasker_graph::AnalysisError;
use tasker_registry::{BatchError, EventError};
use tasker_types::StepName;
use thiserror::Error;

use crate::events::files::EventFileFaults;
use crate::location::UnknownDatabase;

/// Why a Tasker could not be put together.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum BuildError {
    /// Nothing says where tasks are kept.
    #[error(
        "nothing says where tasks are kept; call `data_directory`, `sqlite`, `postgres`, `memory` or `store` on the builder, or set \
         `database.url`"
    )]
    NoStore,
    /// The URL of the database is of a kind that this build does not know.
    #[error(transparent)]
    UnknownDatabase(#[from] UnknownDatabase),
    /// The configuration names a PostgreSQL database, and a connection needs time.
    #[error(
        "a PostgreSQL database is reached over a connection: call `connect` on the builder instead of `build`"
    )]
    NeedsConnection,
    /// The store cannot be opened.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Files of custom events cannot be read.
    #[error(transparent)]
    EventFiles(#[from] EventFileFaults),
    /// `telemetry.filtered_events` has what is no pattern of events.
    #[error("`telemetry.filtered_events` cannot be used: {0}")]
    FilteredEvents(#[source] InvalidPattern),
    /// Traces cannot be sent to `telemetry.otlp_endpoint`.
    #[error("traces cannot be sent (`telemetry.otlp_endpoint`): {0}")]
    Traces(String),
    /// Handlers cannot be registered.
    #[error(transparent)]
    Handlers(#[from] BatchError),
}

/// Why a task was not run to its end.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RunError {
    /// The request does not fit the template.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// A step cannot run in this program.
    #[error("step `{step}` of `{template}` cannot run here: {problem}")]
    Handler {
        /// The template's full name.
        template: String,
        /// The step.
        step: StepName,
        /// What is wrong with its handler or its configuration.
        problem: String,
    },
    /// A custom event of the template is described otherwise by someone else.
    #[error(transparent)]
    Event(#[from] EventError),
    /// The request was made before, or its idempotency key was.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why nothing can be said about what holds a task up.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum InsightError {
    /// The weights of the configuration do not fit the task.
    #[error(transparent)]
    Analysis(#[from] AnalysisError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
