//! The vocabulary that every Tasker crate shares: ids, names, versions, states, the facts that decide
//! whether a step may run, and the validated settings.
//!
//! This crate is pure. It reads no clock, no environment and no file, and knows no other Tasker crate.
//!
//! ```
//! use tasker_types::{StepFacts, StepState, TaskContext, TaskState};
//!
//! let fetched = StepFacts { state: StepState::Complete, attempts: 1, ..StepFacts::default() };
//! let parsed = StepFacts { unmet_parents: 0, ..StepFacts::default() };
//! let context = TaskContext::of(TaskState::InProgress, [&fetched, &parsed]);
//! assert_eq!(context.ready_steps, 1);
//! assert_eq!(context.completion_percentage, 50.0);
//! ```

mod context;
mod facts;
mod ids;
mod names;
mod nearest;
mod settings;
mod state;
mod time;

pub use context::{ExecutionStatus, HealthStatus, RecommendedAction, TaskContext};
pub use facts::{BlockingReason, StepFacts};
pub use ids::{LeaseToken, Position, RunNo, StepNo, TaskId, WorkerId};
pub use names::{
    HandlerName, HandlerRef, HandlerRefError, InvalidName, Namespace, ParameterName, StepName, TemplateName,
};
pub use nearest::nearest;
pub use semver::{Version, VersionReq};
pub use settings::{
    Backoff, BackoffValues, Database, DatabaseValues, DependencyGraphValues, DurationEstimates, Engine,
    EngineValues, Execution, ExecutionValues, GraphWeights, ImpactScoring, Key, Limits, LimitsValues, LogFormat,
    LogLevel, PenaltyCalculation, ReenqueueDelays, Section, SettingFault, SettingFaults, SeverityThresholds,
    StateSeverity, Synchronous, Telemetry, TelemetryValues,
};
pub use state::{StepState, TaskState, UnknownState};
pub use time::{InvalidTimestamp, Timestamp};
