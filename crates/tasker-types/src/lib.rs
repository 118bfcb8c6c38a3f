#![doc = include_str!("../README.md")]

mod bug;
mod context;
mod events;
mod facts;
mod ids;
mod names;
mod nearest;
mod secret;
mod settings;
mod state;
mod time;

#[doc(hidden)]
pub use bug::{bug, choose_bug};
pub use context::{ExecutionStatus, HealthStatus, RecommendedAction, TaskContext};
pub use events::{
    CustomEvent, EventDefinition, EventName, HANDLER_EVENTS, InvalidEventName, SYSTEM_EVENT_NAMESPACES,
};
pub use facts::{BlockingReason, StepFacts};
pub use ids::{LeaseToken, Position, RunNo, StepNo, TaskId, WorkerId};
pub use names::{
    HandlerName, HandlerRef, HandlerRefError, InvalidName, NAME_PATTERN, Namespace, ParameterName, StepName,
    TemplateName,
};
pub use nearest::nearest;
pub use semver::{Version, VersionReq};
pub use settings::{
    Auth, AuthValues, Backoff, BackoffValues, Batching, Bounds, Cache, CacheValues,
    ConnectionPressureFactors, Database, DatabaseValues, DependencyGraphValues, DurationEstimates, Engine,
    EngineValues, EnqueuingStrategy, Execution, ExecutionValues, GraphWeights, Health, HealthValues,
    IdentityStrategy, ImpactScoring, JwtKeyValues, JwtValues, Key, Limits, LimitsValues, LogFormat, LogLevel,
    PenaltyCalculation, ReenqueueDelays, RequestRate, RoleValues, Section, Server, ServerValues,
    SettingFault, SettingFaults, SeverityThresholds, StateSeverity, Synchronous, Telemetry, TelemetryValues,
};
pub use state::{StepState, TaskState, UnknownState};
pub use time::{InvalidTimestamp, Timestamp};
