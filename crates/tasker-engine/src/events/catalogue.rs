//! The catalogue of the system's own events.

use std::fmt;

use super::payload::{
    BatchPayload, ChangePayload, HandlerPayload, HandlingPayload, LookPayload, PayloadType, StepPayload,
    TaskPayload,
};

/// Whether an event can be lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Durability {
    /// It follows from the history: it is told once, after the commit, in the order of positions.
    Durable,
    /// It is told in the process where it happens, as far as that lives and its listeners keep up.
    Local,
}

impl fmt::Display for Durability {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Durable => "durable",
            Self::Local => "local",
        })
    }
}

macro_rules! catalogue {
    ($( $event:ident = $name:literal, $durability:ident, $payload:ident, $doc:literal; )+) => {
        /// An event of the system.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum SystemEvent {
            $(#[doc = $doc] $event,)+
        }

        impl SystemEvent {
            /// Every event, in the order of the reference page.
            pub const ALL: &[Self] = &[$(Self::$event,)+];

            /// Returns the name under which it is published.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$event => $name,)+ }
            }

            /// Tells whether it can be lost.
            pub const fn durability(self) -> Durability {
                match self { $(Self::$event => Durability::$durability,)+ }
            }

            /// Returns the type of what it carries.
            pub const fn payload(self) -> PayloadType {
                match self { $(Self::$event => $payload::DESCRIPTION,)+ }
            }

            /// Says what happened.
            pub const fn doc(self) -> &'static str {
                match self { $(Self::$event => $doc,)+ }
            }
        }
    };
}

catalogue! {
    TaskInitializeRequested = "task.initialize_requested", Durable, TaskPayload, "A task was created.";
    TaskStartRequested = "task.start_requested", Durable, TaskPayload, "A worker was handed the first step of a task.";
    TaskCompleted = "task.completed", Durable, TaskPayload, "All steps of a task are done.";
    TaskFailed = "task.failed", Durable, TaskPayload, "A task can no longer progress, or its deadline has passed.";
    TaskRetryRequested = "task.retry_requested", Durable, TaskPayload, "A task in error goes on.";
    TaskCancelled = "task.cancelled", Durable, TaskPayload, "An operator stopped a task.";
    TaskResolvedManually = "task.resolved_manually", Durable, TaskPayload, "An operator declared a task done.";
    StepExecutionRequested = "step.execution_requested", Durable, StepPayload, "A worker was handed a step.";
    StepBeforeHandle = "step.before_handle", Local, HandlingPayload, "A handler is about to run.";
    StepHandle = "step.handle", Local, HandlingPayload, "A handler has ended; its end is not recorded yet.";
    StepCompleted = "step.completed", Durable, StepPayload, "A step has a result.";
    StepFailed = "step.failed", Durable, StepPayload, "An attempt failed, its lease ended, or it was interrupted for good.";
    StepRetryRequested = "step.retry_requested", Durable, StepPayload, "An operator gave a step its attempts back.";
    StepCancelled = "step.cancelled", Durable, StepPayload, "A step was stopped, by an operator or with its task.";
    StepResolvedManually = "step.resolved_manually", Durable, StepPayload, "A step was declared done, or was bypassed.";
    WorkflowTaskStarted = "workflow.task_started", Durable, TaskPayload, "A task is in progress.";
    WorkflowViableStepsDiscovered = "workflow.viable_steps_discovered", Local, BatchPayload, "A worker was handed steps.";
    WorkflowNoViableSteps = "workflow.no_viable_steps", Local, BatchPayload, "A worker that had steps finds no more.";
    WorkflowTaskFinalizationStarted = "workflow.task_finalization_started", Local, LookPayload,
        "A worker looks at a task whose check is due.";
    WorkflowTaskFinalizationCompleted = "workflow.task_finalization_completed", Local, LookPayload,
        "A worker has looked at a task whose check was due.";
    WorkflowTaskReenqueueRequested = "workflow.task_reenqueue_requested", Local, LookPayload,
        "A task is to be looked at again.";
    WorkflowTaskReenqueueDelayed = "workflow.task_reenqueue_delayed", Local, LookPayload,
        "A task will be looked at again, after a wait.";
    WorkflowTaskReenqueueFailed = "workflow.task_reenqueue_failed", Local, LookPayload,
        "It could not be noted that a task is to be looked at again.";
    ObservabilityTaskEnqueue = "observability.task.enqueue", Local, LookPayload, "A worker handed a new task to the store.";
    ObservabilityTaskChanged = "observability.task.changed", Durable, ChangePayload,
        "An operator changed a task's priority, its tags or its annotations.";
    ObservabilityStepBackoff = "observability.step.backoff", Local, HandlingPayload,
        "An attempt failed; another follows after a wait.";
    ObservabilityStepMaxRetriesReached = "observability.step.max_retries_reached", Local, HandlingPayload,
        "The last attempt failed.";
    ObservabilityStepReleased = "observability.step.released", Durable, StepPayload,
        "A worker that stops handed a step back before its handler began.";
    ObservabilityStepInterrupted = "observability.step.interrupted", Durable, StepPayload,
        "A worker that stops interrupted a handler; the step is due at once.";
    ObservabilityStepSuspended = "observability.step.suspended", Durable, StepPayload,
        "A handler waits in the store.";
    ObservabilityStepLateOutcome = "observability.step.late_outcome", Durable, ChangePayload,
        "A worker reported the end of a step that was cancelled meanwhile.";
    ObservabilityStepChanged = "observability.step.changed", Durable, ChangePayload,
        "An operator changed the attempts, the time limit or the configuration of a step.";
    HandlerRegistered = "handler.registered", Local, HandlerPayload, "A handler was registered.";
    HandlerReplaced = "handler.replaced", Local, HandlerPayload, "A handler took the place of another.";
    HandlerRemoved = "handler.removed", Local, HandlerPayload, "A handler was removed.";
    HandlerRefused = "handler.refused", Local, HandlerPayload, "A handler was not registered.";
}

impl SystemEvent {
    /// Returns the event of a name.
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event| event.name() == name)
    }
}
