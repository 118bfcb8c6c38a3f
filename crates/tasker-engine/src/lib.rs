#![doc = include_str!("../README.md")]

mod analysis;
mod attempt;
mod backoff;
mod claim;
mod clock;
mod enqueuing;
mod events;
mod failure;
mod finalizer;
mod flow;
mod handler;
mod json;
mod list;
mod memory;
mod origin;
mod record;
mod request;
mod retry_after;
mod store;
mod template;
mod token;
mod totals;
mod trace;
mod transition;
mod typed;
mod verify;
mod worker;

pub use analysis::{Surroundings, durations};
pub use backoff::{delay, delay_seconds, retry_delay};
pub use claim::{Claim, ClaimedTask, End, Lease, Outcome, Progress, Receipt};
pub use clock::{Clock, Entropy, SeededEntropy, TokioClock};
pub use enqueuing::{CheckIn, Enqueuing, Forward, Immediate};
pub use events::{
    BatchPayload, ChangePayload, CustomPayload, Durability, Emit, Emitter, ErrorPayload, Event, Feed,
    HandlerPayload, HandlingPayload, InvalidPattern, LookPayload, Pattern, PayloadType, Published,
    StepPayload, Subject, SystemEvent, TaskPayload, Telling, derive,
};
pub use failure::{Failure, Severity};
pub use finalizer::{Decision, FailureReason, LookAgainReason, UnknownReason, decide};
pub use flow::{Flow, FlowFn, FlowParents, FlowStep};
pub use handler::{
    Done, Handlers, Resolve, Resolved, StepContext, StepError, StepHandler, StopPolicy, Unresolved,
};
pub use json::Json;
pub use list::{
    ContextMatch, InvalidContextMatch, Listed, Period, SortOrder, TaskFilter, TaskMark, TaskPage, TaskQuery,
    TaskScope, TaskSort, TaskSummary,
};
pub use memory::MemoryStore;
pub use origin::{Description, Origin, OriginFault};
pub use record::{
    Actor, Change, HeldLease, Reading, Snapshot, StepRecord, TaskRecord, Transition, UnknownActor,
};
pub use request::{HashIdentity, Identity, RequestError, TaskRequest, UniqueIdentity};
pub use retry_after::{InvalidRetryAfter, parse_retry_after};
pub use store::{
    Accepts, BoxError, Create, CreateReply, Created, Demand, Idempotency, Intervened, Intervention,
    LeaseStatus, NewTask, Refusal, Renewal, Scope, Store, StoreError, Sweep, Swept, Turn, TurnReply, Want,
};
pub use template::{
    CheckHandler, CheckedStep, ContextFaults, HandlerProblem, LoadOptions, Loaded, StepBuilder, StepTemplate,
    Template, TemplateBuilder, TemplateFault, TemplateFaults, UnknownHandlers, canonical_json,
    template_schema,
};
pub use token::{
    ApiToken, InvalidToken, NewToken, TokenDigest, TokenId, TokenRecord, TokenStanding, TokenStore,
};
pub use totals::{QueueCounts, RetryCounts, StateCounts, Totals};
pub use trace::{InvalidTraceContext, TraceContext};
pub use transition::{
    AttemptsLeft, IllegalStepTransition, IllegalTaskTransition, Situation, StepEvent, TaskEvent,
    UnknownEvent, step_diagram, step_table, step_transition, task_diagram, task_table, task_transition,
};
pub use typed::{Config, Context, FromStep, HandlerFn, Parents, blocking, handler};
pub use verify::{Fault, Mend, Proposal, Report, Violation, verify_all, verify_store, verify_task};
pub use worker::{Worker, WorkerHandle, WorkerSetup, look_at};

// What the signatures above are made of, so that this crate can be used alone.
pub use tasker_types::{
    Backoff, BackoffValues, CustomEvent, EventDefinition, EventName, Execution, ExecutionValues, HandlerRef,
    LeaseToken, Limits, LimitsValues, Namespace, Position, RunNo, StepFacts, StepName, StepNo, StepState,
    TaskContext, TaskId, TaskState, TemplateName, Timestamp, Version, WorkerId,
};
pub use tokio_util::sync::CancellationToken;
