#![doc = include_str!("../README.md")]

mod builder;
mod builtin;
mod cache;
mod compose;
mod error;
mod events;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod flight;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod health;
mod insight;
mod location;
mod mask;
mod metrics;
mod observe;
mod report;
mod resolve;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod retention;
mod secrets;
mod system;
mod tasker;
mod templates;

/// The configuration: its layers, its values and where they come from.
pub use tasker_config as config;

pub use crate::builder::{TaskerBuilder, handler_registry};
#[cfg(feature = "http")]
pub use crate::builtin::http_client;
pub use crate::builtin::template_schema;
pub use crate::cache::CacheStats;
pub use crate::error::{BuildError, InsightError, RunError};
pub use crate::events::files::EventFileFaults;
pub use crate::events::{
    Delivered, EventPlace, EventReader, EventSubscription, InvalidEventPlace, SubscribeError,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use crate::health::{NotReady, Ready, Status};
pub use crate::insight::Insight;
pub use crate::location::{Location, UnknownDatabase, without_secrets};
pub use crate::mask::{masked, masked_field};
pub use crate::metrics::Measurements;
pub use crate::report::{StepReport, TaskReport};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use crate::retention::Pruned;
pub use crate::secrets::SecretNames;
pub use crate::system::{SystemClock, SystemEntropy};
pub use crate::tasker::Tasker;
pub use crate::templates::{TemplateFiles, is_template_file};

// What a program that defines templates, handles steps and looks at tasks needs of the crates below.
pub use tasker_engine::{
    Actor, ApiToken, BatchPayload, BoxError, Change, ChangePayload, CheckHandler, CheckIn, CheckedStep,
    Claim, Clock, Config, Context, ContextFaults, ContextMatch, Create, CreateReply, Created, CustomPayload,
    Demand, Description, Done, Durability, Emit, Emitter, Enqueuing, Entropy, ErrorPayload, Event, Failure,
    FailureReason, Fault, Feed, Flow, FlowFn, FlowParents, FlowStep, Forward, FromStep, HandlerPayload,
    HandlerProblem, Handlers, HandlingPayload, HashIdentity, HeldLease, Identity, IllegalStepTransition,
    IllegalTaskTransition, Immediate, Intervened, Intervention, InvalidContextMatch, InvalidPattern,
    InvalidToken, InvalidTraceContext, Json, LeaseStatus, LoadOptions, Loaded, LookPayload, MemoryStore,
    Mend, NewTask, NewToken, Origin, OriginFault, Parents, Pattern, PayloadType, Period, Progress, Proposal,
    QueueCounts, Refusal, Renewal, Report, RequestError, Resolved, RetryCounts, Scope, SeededEntropy,
    Severity, Snapshot, SortOrder, StateCounts, StepBuilder, StepContext, StepError, StepEvent, StepHandler,
    StepPayload, StepRecord, StepTemplate, StopPolicy, Store, StoreError, Subject, Sweep, Swept, SystemEvent,
    TaskEvent, TaskFilter, TaskMark, TaskPage, TaskPayload, TaskQuery, TaskRecord, TaskRequest, TaskScope,
    TaskSort, TaskSummary, Template, TemplateBuilder, TemplateFault, TemplateFaults, TokenDigest, TokenId,
    TokenRecord, TokenStanding, TokenStore, TokioClock, Totals, TraceContext, Transition, Turn, TurnReply,
    UniqueIdentity, UnknownHandlers, Unresolved, Violation, Worker, WorkerHandle, WorkerSetup, blocking,
    handler, look_at, parse_retry_after, verify_all, verify_store,
};
pub use tasker_registry::{
    Activity, Batch, BatchError, CustomEvent, EventConflict, EventDefinition, EventEntry, EventError,
    EventName, EventSource, FullName, HandlerChange, InvalidEventName, LookupError, NamespaceStats, Notice,
    RegisterError, Registry, Subscription, UnknownEvent, Watch,
};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use tasker_store::{
    Checkup, Connections, Finding, FindingSeverity, PruneMode, Schema, ServerConnections,
};
#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub use tasker_store::{Endpoint, Transferred, transfer};
#[cfg(feature = "postgres")]
pub use tasker_store::{PostgresOptions, PostgresStore, postgres};
#[cfg(feature = "sqlite")]
pub use tasker_store::{SqliteFile, SqliteOptions, SqliteStore, doctor, migrate};
pub use tasker_types::{
    BlockingReason, ExecutionStatus, HandlerName, HandlerRef, HealthStatus, Namespace, Position, RunNo,
    StepName, StepNo, StepState, TaskContext, TaskId, TaskState, TemplateName, Timestamp, Version,
    VersionReq, WorkerId,
};
