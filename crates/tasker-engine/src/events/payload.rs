//! What events carry.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_types::{
    Namespace, RunNo, StepName, StepState, TaskId, TaskState, TemplateName, Version, WorkerId,
};

use crate::finalizer::FailureReason;
use crate::record::Actor;

/// The type of a payload, for the reference page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PayloadType {
    /// Its name in Rust.
    pub name: &'static str,
    /// What it tells.
    pub doc: &'static str,
    /// Its fields: name, type in Rust, meaning.
    pub fields: &'static [(&'static str, &'static str, &'static str)],
}

/// Defines payloads together with their description.
macro_rules! payloads {
    ($(
        #[doc = $doc:literal]
        $name:ident { $( #[doc = $field_doc:literal] $field:ident: $type:ty, )+ }
    )+) => {
        $(
            #[doc = $doc]
            #[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
            pub struct $name {
                $(
                    #[doc = $field_doc]
                    pub $field: $type,
                )+
            }

            impl $name {
                pub(super) const DESCRIPTION: PayloadType = PayloadType {
                    name: stringify!($name),
                    doc: $doc,
                    fields: &[$((stringify!($field), stringify!($type), $field_doc),)+],
                };
            }
        )+

        impl PayloadType {
            /// Every type of payload.
            pub const ALL: &[Self] = &[$($name::DESCRIPTION,)+];
        }
    };
}

payloads! {
    /// A task changed its state, or was created.
    TaskPayload {
        /// The task.
        task_id: TaskId,
        /// The namespace of its template.
        namespace: Namespace,
        /// The name of its template.
        name: TemplateName,
        /// The version of its template.
        version: Version,
        /// The correlation id that its request brought along.
        correlation_id: Option<String>,
        /// The state after.
        state: TaskState,
        /// Who did it.
        actor: Actor,
        /// Why the task is in error.
        failure: Option<FailureReason>,
        /// Why an operator did it.
        reason: Option<String>,
    }

    /// A step changed its state.
    StepPayload {
        /// The task.
        task_id: TaskId,
        /// The namespace of its template.
        namespace: Namespace,
        /// The name of its template.
        name: TemplateName,
        /// The version of its template.
        version: Version,
        /// The correlation id that its request brought along.
        correlation_id: Option<String>,
        /// The step.
        step: StepName,
        /// The handler that the template names.
        handler: String,
        /// The outside system that the step touches.
        dependent_system: Option<String>,
        /// The state after.
        state: StepState,
        /// Attempts since the last reset.
        attempt: u32,
        /// Which claim of the step it is.
        run: RunNo,
        /// The version of the handler, at a start.
        handler_version: Option<Version>,
        /// How many seconds the handler ran, at an end.
        ran_seconds: Option<f64>,
        /// How it failed.
        error: Option<ErrorPayload>,
        /// Who did it.
        actor: Actor,
        /// Why an operator did it.
        reason: Option<String>,
    }

    /// How an attempt failed.
    ErrorPayload {
        /// A short, stable name.
        code: String,
        /// What went wrong.
        message: String,
        /// Whether trying again cannot help.
        permanent: bool,
        /// What a program may read.
        context: Option<Value>,
    }

    /// A setting of a task or of one of its steps was changed.
    ChangePayload {
        /// The task.
        task_id: TaskId,
        /// The namespace of its template.
        namespace: Namespace,
        /// The name of its template.
        name: TemplateName,
        /// The version of its template.
        version: Version,
        /// The correlation id that its request brought along.
        correlation_id: Option<String>,
        /// The step, if it is one's setting.
        step: Option<StepName>,
        /// What was set, and why.
        changed: Value,
        /// Who did it.
        actor: Actor,
    }

    /// A step published an event of its own. It is told when the end of its attempt is recorded.
    CustomPayload {
        /// The task.
        task_id: TaskId,
        /// The namespace of its template.
        namespace: Namespace,
        /// The name of its template.
        name: TemplateName,
        /// The version of its template.
        version: Version,
        /// The correlation id that its request brought along.
        correlation_id: Option<String>,
        /// The step.
        step: StepName,
        /// Attempts since the last reset.
        attempt: u32,
        /// Which claim of the step it is.
        run: RunNo,
        /// What the handler gave.
        data: Value,
    }

    /// A worker runs a handler.
    HandlingPayload {
        /// The task.
        task_id: TaskId,
        /// The namespace of its template.
        namespace: Namespace,
        /// The name of its template.
        name: TemplateName,
        /// The version of its template.
        version: Version,
        /// The correlation id that its request brought along.
        correlation_id: Option<String>,
        /// The step.
        step: StepName,
        /// The version of the handler.
        handler_version: Version,
        /// Attempts since the last reset.
        attempt: u32,
        /// How many attempts there may be.
        retry_limit: u32,
        /// How many seconds the handler ran, when it has ended.
        ran_seconds: Option<f64>,
        /// How it ended: `succeed`, `fail`, `suspend`, `interrupt`, or `lost` when nobody wants to know.
        end: Option<String>,
        /// How many seconds the step waits for its next attempt, when there is one.
        wait_seconds: Option<f64>,
    }

    /// A worker was handed steps, or none.
    BatchPayload {
        /// The worker.
        worker: WorkerId,
        /// How many steps.
        steps: u32,
    }

    /// A worker looked at a task, as the safety net does, or handed it to the store.
    LookPayload {
        /// The task.
        task_id: TaskId,
        /// What was decided: `complete`, `fail` or `look_again`.
        decision: Option<String>,
        /// Why it is looked at again.
        reason: Option<String>,
        /// In how many seconds.
        after_seconds: Option<f64>,
        /// What went wrong.
        error: Option<String>,
    }

    /// A handler of the registry changed.
    HandlerPayload {
        /// Its full name, if the change names one.
        handler: Option<String>,
        /// Why it was refused.
        reason: Option<String>,
    }
}
