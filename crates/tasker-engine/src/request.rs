//! A request for a task: what a caller says, checked against the template and made into a task to create.

#[cfg(test)]
mod tests;

use std::fmt;
use std::sync::Arc;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tasker_types::{Limits, StepName, StepNo, TaskId, Timestamp};
use thiserror::Error;

use crate::claim::Claim;
use crate::json::Json;
use crate::origin::{Origin, OriginFault};
use crate::store::{Idempotency, NewTask};
use crate::template::{ContextFaults, Template, canonical_json, check_form};
use crate::trace::TraceContext;

/// Why a task was asked for when the request does not say.
const DEFAULT_REASON: &str = "unknown";
/// The longest idempotency key, in characters.
const LONGEST_KEY: usize = 255;

/// A request for one run of a template.
#[derive(Clone, Debug)]
#[must_use = "a request does nothing until it is handed to a worker or a store"]
pub struct TaskRequest {
    template: Arc<Template>,
    context: Value,
    origin: Origin,
    bypass: Vec<String>,
    priority: i16,
    idempotency_key: Option<String>,
    start_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    parent: Option<(TaskId, StepNo)>,
}

/// Why a request was refused.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The context is no object, too large, or does not fit the template's schema.
    #[error(transparent)]
    Context(#[from] ContextFaults),
    /// A step to bypass does not exist.
    #[error("`{step}` cannot be bypassed: `{template}` has no such step")]
    UnknownStep {
        /// The name that was given.
        step: String,
        /// The template's full name.
        template: String,
    },
    /// A step to bypass must not be.
    #[error("`{step}` cannot be bypassed: the template does not say `skippable: true` of it")]
    NotSkippable {
        /// The step.
        step: StepName,
    },
    /// A tag or an annotation cannot be kept.
    #[error(transparent)]
    Origin(#[from] OriginFault),
    /// The idempotency key is empty or too long.
    #[error("the idempotency key has {length} characters, but it must have 1 to 255")]
    Key {
        /// The characters that it has.
        length: usize,
    },
    /// The task would fail before its first step may start.
    #[error("the deadline {deadline} is not after the start {start}")]
    DeadlineBeforeStart {
        /// When the first step may start.
        start: Timestamp,
        /// When the task fails.
        deadline: Timestamp,
    },
    /// The task has more steps than the limit.
    #[error(
        "`{template}` has {steps} steps, but the limit is {limit}; split it, or raise `limits.steps_per_task`"
    )]
    TooManySteps {
        /// The template's full name.
        template: String,
        /// Its steps.
        steps: usize,
        /// The limit.
        limit: u32,
    },
}

/// Gives a task its identity. No two tasks of a store have the same.
pub trait Identity: Send + Sync + fmt::Debug {
    /// Returns the identity of a request whose task will have this id.
    fn of(&self, request: &TaskRequest, id: TaskId) -> String;
}

/// Every task is its own: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct UniqueIdentity;

impl Identity for UniqueIdentity {
    fn of(&self, _: &TaskRequest, id: TaskId) -> String {
        id.to_string()
    }
}

/// Requests that say the same have the same identity.
///
/// It is the SHA-256 of the canonical JSON of namespace, name, version, initiator, source system, context, reason,
/// steps to bypass, and the time of the request to the minute if it was sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct HashIdentity;

impl Identity for HashIdentity {
    fn of(&self, request: &TaskRequest, _: TaskId) -> String {
        sha256(&request.said())
    }
}

impl From<Arc<Template>> for TaskRequest {
    /// Returns a request with an empty context.
    fn from(template: Arc<Template>) -> Self {
        Self::new(template)
    }
}

impl TaskRequest {
    /// Returns a request with an empty context.
    pub fn new(template: Arc<Template>) -> Self {
        Self {
            template,
            context: json!({}),
            origin: Origin::default(),
            bypass: Vec::new(),
            priority: 0,
            idempotency_key: None,
            start_at: None,
            deadline_at: None,
            parent: None,
        }
    }

    /// Gives the task its context, a JSON object.
    pub fn context(mut self, context: Value) -> Self {
        self.context = context;
        self
    }

    /// Says who asks, from where, why and when.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.origin = origin;
        self
    }

    /// Says why; `unknown` without.
    pub fn reason(mut self, reason: impl Into<String>) -> Self {
        self.origin.reason = Some(reason.into());
        self
    }

    /// Adds labels.
    pub fn tags(mut self, tags: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.origin.tags.extend(tags.into_iter().map(Into::into));
        self
    }

    /// Adds a note.
    pub fn annotate(mut self, name: impl Into<String>, value: Value) -> Self {
        self.origin.annotations.insert(name.into(), value);
        self
    }

    /// Names steps that are to be resolved from the start.
    pub fn bypass(mut self, steps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.bypass.extend(steps.into_iter().map(Into::into));
        self
    }

    /// Sets the priority: higher first, 0 by default.
    pub fn priority(mut self, priority: i16) -> Self {
        self.priority = priority;
        self
    }

    /// Sets the key under which the request may be repeated without creating a second task.
    pub fn idempotency_key(mut self, key: impl Into<String>) -> Self {
        self.idempotency_key = Some(key.into());
        self
    }

    /// Has no step start before this time.
    pub fn start_at(mut self, time: Timestamp) -> Self {
        self.start_at = Some(time);
        self
    }

    /// Has the task fail at this time.
    pub fn deadline_at(mut self, time: Timestamp) -> Self {
        self.deadline_at = Some(time);
        self
    }

    /// Names the task and step that ask.
    pub fn parent(mut self, task: TaskId, step: StepNo) -> Self {
        self.parent = Some((task, step));
        self
    }

    /// Names the step that asks, whose correlation id and span the task takes over unless it has its own.
    pub(crate) fn created_by(mut self, claim: &Claim, span: TraceContext) -> Self {
        self.origin.trace_context.get_or_insert(span);
        if self.origin.correlation_id.is_none() {
            self.origin.correlation_id.clone_from(&claim.task.correlation_id);
        }
        self.parent(claim.lease.task, claim.lease.step)
    }

    /// Returns the template.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Returns the context; what an [`Identity`] is asked about has the defaults of the template's schema, too.
    pub fn context_value(&self) -> &Value {
        &self.context
    }

    /// Returns who asks, from where, why and when.
    pub fn origin_value(&self) -> &Origin {
        &self.origin
    }

    /// Checks the request and returns the task to create.
    ///
    /// # Errors
    ///
    /// What is wrong with the context, the steps to bypass, or the size of the template.
    pub fn prepare(
        mut self,
        id: TaskId,
        limits: &Limits,
        identity: &dyn Identity,
    ) -> Result<NewTask, RequestError> {
        let steps = self.template.steps().len();
        if steps > limits.steps_per_task as usize {
            return Err(RequestError::TooManySteps {
                template: self.template.full_name(),
                steps,
                limit: limits.steps_per_task,
            });
        }
        self.origin.check()?;
        self.check_names_and_times()?;
        // Before anything walks through the context: it may be too deep for that.
        check_form(&self.context, limits)?;
        let bypass = self.bypassed_steps()?;
        self.bypass.sort_unstable();
        self.bypass.dedup();
        self.origin
            .reason
            .get_or_insert_with(|| DEFAULT_REASON.to_owned());
        // What the caller said, without defaults, which a later version of the template may change.
        let idempotency = self.idempotency_key.take().map(|key| Idempotency {
            key,
            digest: sha256(&self.said_in_full()),
        });
        self.context = self.template.prepare_context(self.context, limits)?;
        let identity = identity.of(&self, id);
        let context = Json::from(&self.context);
        let mut task = NewTask::new(id, self.template, context);
        task.origin = self.origin;
        task.bypass = bypass;
        task.priority = self.priority;
        task.identity = identity;
        task.idempotency = idempotency;
        task.start_at = self.start_at;
        task.deadline_at = self.deadline_at;
        task.parent = self.parent;
        Ok(task)
    }

    fn check_names_and_times(&self) -> Result<(), RequestError> {
        if let Some(key) = &self.idempotency_key {
            let length = key.chars().count();
            if !(1..=LONGEST_KEY).contains(&length) {
                return Err(RequestError::Key { length });
            }
        }
        match (self.start_at, self.deadline_at) {
            (Some(start), Some(deadline)) if deadline <= start => {
                Err(RequestError::DeadlineBeforeStart { start, deadline })
            }
            _ => Ok(()),
        }
    }

    fn bypassed_steps(&self) -> Result<Vec<StepNo>, RequestError> {
        let mut steps = Vec::new();
        for name in &self.bypass {
            let (number, step) = self
                .template
                .step_named(name)
                .ok_or_else(|| RequestError::UnknownStep {
                    step: name.clone(),
                    template: self.template.full_name(),
                })?;
            if !step.skippable() {
                return Err(RequestError::NotSkippable {
                    step: step.name().clone(),
                });
            }
            steps.push(number);
        }
        steps.sort_unstable();
        steps.dedup();
        Ok(steps)
    }

    /// What makes two requests the same.
    fn said(&self) -> Value {
        let minute = self
            .origin
            .requested_at
            .map(|time| time.as_micros().div_euclid(60_000_000));
        json!({
            "namespace": self.template.namespace(),
            "name": self.template.name(),
            "version": self.template.version(),
            "initiator": self.origin.initiator,
            "source_system": self.origin.source_system,
            "context": self.context,
            "reason": self.origin.reason,
            "bypass_steps": self.bypass,
            "requested_at": minute,
        })
    }

    /// Everything that a request says.
    fn said_in_full(&self) -> Value {
        json!([
            self.said(),
            self.origin.tags,
            self.origin.annotations,
            self.priority,
            self.start_at,
            self.deadline_at
        ])
    }
}

fn sha256(value: &Value) -> String {
    use std::fmt::Write;
    Sha256::digest(canonical_json(value))
        .iter()
        .fold(String::with_capacity(64), |mut hex, byte| {
            // Writing to a string cannot fail.
            let _ = write!(hex, "{byte:02x}");
            hex
        })
}
