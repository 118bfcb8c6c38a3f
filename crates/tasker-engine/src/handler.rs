//! What runs a step, and what it is given.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::de::DeserializeOwned;
use serde::{Serialize, Serializer};
use tasker_types::{CustomEvent, EventDefinition, HandlerRef, Namespace, StepName, TaskId, Version};
use thiserror::Error;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, note};
use crate::claim::Claim;
use crate::failure::{Failure, Severity};
use crate::json::Json;
use crate::request::TaskRequest;
use crate::store::Accepts;
use crate::template::{CheckHandler, CheckedStep, HandlerProblem};
use crate::trace::TraceContext;

/// The code that runs a step.
///
/// Most handlers are functions: see [`handler`](crate::handler). Implement the trait for one that checks its
/// configuration in its own way, waits in the store, or must be stopped gently.
///
/// A step is executed at least once and recorded exactly once: a worker that dies after the work and before the
/// record has done it without a trace. [`StepContext::idempotency_key`] is the same in every attempt.
#[async_trait]
pub trait StepHandler: Send + Sync {
    /// Runs the step.
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError>;

    /// Checks a step, its configuration above all, when its template is loaded.
    ///
    /// # Errors
    ///
    /// All faults, each a sentence without a full stop.
    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        let _ = step;
        Ok(())
    }

    /// Returns the parents whose results the handler cannot do without. A template whose step does not wait for them is
    /// refused.
    fn required_parents(&self) -> Vec<&'static str> {
        Vec::new()
    }

    /// Returns the custom events that the handler publishes. They are registered with it, or it is refused.
    fn events(&self) -> Vec<EventDefinition> {
        Vec::new()
    }

    /// Says how the handler is stopped before its end.
    fn stop_policy(&self) -> StopPolicy {
        StopPolicy::Drop
    }
}

/// How a handler is stopped: at its time limit, when its step is cancelled, or when the worker's grace ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopPolicy {
    /// Its future is dropped.
    Drop,
    /// Its token is cancelled, and its future is dropped if it has not ended after this time.
    Cooperate(Duration),
    /// Its token is cancelled, and it keeps its slot until it returns, as blocking code must.
    UntilReturn,
}

/// How a handler ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Done {
    /// With a result.
    Result(Json),
    /// Not yet: it waits in the store, takes no slot and no attempt meanwhile, and is called again.
    Suspend {
        /// How long.
        wake_in: Duration,
        /// What it will find in [`StepContext::checkpoint`] when it is called again.
        checkpoint: Json,
    },
}

/// How a handler failed.
///
/// Any error converts into a retryable one with `?`; the message then names its sources too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepError {
    failure: Failure,
    retry_after: Option<Duration>,
}

impl StepError {
    /// Returns an error that may be tried again.
    pub fn retryable(message: impl Into<String>) -> Self {
        Self {
            failure: Failure::retryable(Failure::ERROR, message),
            retry_after: None,
        }
    }

    /// Returns an error that trying again cannot mend.
    pub fn permanent(code: impl Into<String>, message: impl Into<String>) -> Self {
        Self {
            failure: Failure::permanent(code, message),
            retry_after: None,
        }
    }

    /// Gives the error a code.
    #[must_use]
    pub fn with_code(mut self, code: impl Into<String>) -> Self {
        self.failure.code = code.into();
        self
    }

    /// Adds what a program may read. A value that cannot be written as JSON is left out.
    #[must_use]
    pub fn with_context(mut self, context: &impl Serialize) -> Self {
        self.failure.context = Json::of(context).ok();
        self
    }

    /// Says how long to wait at least, which wins over the configured backoff.
    #[must_use]
    pub fn retry_after(mut self, wait: Duration) -> Self {
        self.retry_after = Some(wait);
        self
    }

    /// Returns the failure to record.
    pub fn failure(&self) -> &Failure {
        &self.failure
    }

    /// Returns how long to wait at least.
    pub fn requested_wait(&self) -> Option<Duration> {
        self.retry_after
    }

    /// Tells whether trying again may help.
    pub fn is_retryable(&self) -> bool {
        self.failure.severity == Severity::Retryable
    }

    pub(crate) fn into_parts(self) -> (Failure, Option<Duration>) {
        (self.failure, self.retry_after)
    }
}

impl fmt::Display for StepError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.failure.code, self.failure.message)
    }
}

impl<E: std::error::Error> From<E> for StepError {
    fn from(error: E) -> Self {
        let mut message = error.to_string();
        let mut source = error.source();
        while let Some(cause) = source {
            message.push_str(": ");
            message.push_str(&cause.to_string());
            source = cause.source();
        }
        Self::retryable(message)
    }
}

/// What a handler is given: the step, the task's context, the results of its parents, and a way to learn that it
/// should stop. Copying it copies a pointer.
#[derive(Clone, Debug)]
pub struct StepContext(Arc<Attempt>);

impl StepContext {
    pub(crate) fn new(attempt: Arc<Attempt>) -> Self {
        Self(attempt)
    }

    fn claim(&self) -> &Claim {
        &self.0.claim
    }

    /// Returns the task's id.
    pub fn task_id(&self) -> TaskId {
        self.claim().lease.task
    }

    /// Returns the step's name.
    pub fn step_name(&self) -> &StepName {
        self.claim().template().name()
    }

    /// Returns which attempt this is since the last reset, from 1.
    pub fn attempt(&self) -> u32 {
        self.claim().attempt
    }

    /// Returns a key that is the same in all attempts of this step and different for every other step.
    pub fn idempotency_key(&self) -> String {
        self.claim().idempotency_key()
    }

    /// Returns the correlation id that the request for the task brought along.
    pub fn correlation_id(&self) -> Option<&str> {
        self.claim().task.correlation_id.as_deref()
    }

    /// Returns the span of this attempt, for what it asks of other services: its text is the value of a header `traceparent`.
    pub fn trace_context(&self) -> TraceContext {
        self.0.trace
    }

    /// Returns the directory of the template's file, if it was loaded from one.
    pub fn template_directory(&self) -> Option<&str> {
        self.claim().task.template.directory()
    }

    /// Returns the task's context.
    pub fn context(&self) -> &Json {
        &self.claim().task.context
    }

    /// Returns the parents' names and results in step order; `null` for one that was resolved without a result.
    pub fn parents(&self) -> impl Iterator<Item = (&StepName, Json)> {
        let template = &self.claim().task.template;
        self.claim().parents.iter().map(|(step, result)| {
            (
                template.step(*step).name(),
                result.clone().unwrap_or_else(Json::null),
            )
        })
    }

    /// Returns the result of one parent; `None` when the step does not depend on it.
    pub fn parent(&self, name: &str) -> Option<Json> {
        self.parents()
            .find(|(parent, _)| parent.as_str() == name)
            .map(|(_, result)| result)
    }

    /// Returns the result of one parent; `None` when it has none.
    pub(crate) fn parent_result(&self, name: &str) -> Option<Json> {
        let claim = self.claim();
        let named = |step| claim.task.template.step(step).name().as_str() == name;
        let parent = claim.parents.iter().find(|(step, _)| named(*step))?;
        parent.1.clone()
    }

    /// Returns the parents' results as one JSON object by name.
    pub fn parents_object(&self) -> Json {
        struct Object<'a>(&'a StepContext);
        impl Serialize for Object<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_map(self.0.parents())
            }
        }
        Json::of(&Object(self)).unwrap_or_else(|_| Json::null())
    }

    /// Returns the step's configuration.
    pub fn config(&self) -> serde_json::Value {
        match &self.claim().config {
            Some(config) => config.to_value(),
            None => self.claim().template().config().clone(),
        }
    }

    /// Returns what this handler left when it suspended itself.
    pub fn checkpoint(&self) -> Option<&Json> {
        self.claim().checkpoint.as_ref()
    }

    /// Returns the token that is cancelled when the handler should stop.
    pub fn stop(&self) -> &CancellationToken {
        &self.0.stop
    }

    /// Has a task created in the commit that records this step's result, and returns the id that it will have.
    ///
    /// The id is the same in every attempt that asks for its tasks in the same order. Nothing is created by an attempt
    /// that fails, suspends itself or is stopped, nor by one whose end comes too late to be the result; so a step never
    /// creates its tasks twice. The new task has this step as its parent, takes over its correlation id and its span unless
    /// the request has them, and waits for any worker that works on it.
    ///
    /// That its identity or idempotency key is taken is only known when the result is recorded. The result stays
    /// recorded, nothing is created for that request, and the step's entry in the history names the task that has the
    /// name.
    ///
    /// # Errors
    ///
    /// A permanent error with the code `request_rejected` that says what is wrong with the request.
    pub fn create_task(&self, request: impl Into<TaskRequest>) -> Result<TaskId, StepError> {
        self.0.create_task(request.into())
    }

    /// Says how far the handler is: `done` of `total`, or of nobody knows how much if that is 0.
    ///
    /// It costs a lock and no commit: the next renewal of the worker's leases takes along what was said last, which
    /// is at most a second later. People see it with the running step, and it stays with the attempt after its end.
    pub fn progress(&self, done: u64, total: u64) {
        self.0
            .said
            .change(|progress| (progress.done, progress.total) = (done, total));
    }

    /// Says in a few words what the handler is doing, at most 200 characters. It is kept as
    /// [`progress`](Self::progress) is.
    pub fn note(&self, text: impl AsRef<str>) {
        let note = note(text.as_ref());
        self.0.said.change(|progress| progress.note = Some(note));
    }

    /// Publishes a custom event that the step or its handler declares (`events`).
    ///
    /// It is recorded in the commit that records the end of this attempt, be that a result or a failure, and told to
    /// subscribers after that. An attempt whose end nobody records, because its worker died or its end came too late,
    /// has published nothing.
    ///
    /// # Errors
    ///
    /// A permanent error with the code `event_rejected`: the event is not declared, cannot be written as JSON, or is
    /// too much.
    pub fn publish(&self, name: &str, data: &(impl Serialize + ?Sized)) -> Result<(), StepError> {
        let data = Json::of(data).map_err(|error| {
            let message = format!("the event `{name}` cannot be written as JSON: {error}");
            StepError::permanent(Failure::EVENT_REJECTED, message)
        })?;
        self.0.publish(name, data)
    }

    pub(crate) fn read<T: DeserializeOwned>(&self, what: &str, json: &Json) -> Result<T, StepError> {
        json.to().map_err(|error| {
            StepError::permanent(
                Failure::INPUT_REJECTED,
                format!(
                    "the {what} not fit the handler of step `{}`: {error}",
                    self.step_name()
                ),
            )
        })
    }
}

/// A handler that was found, and its version.
#[derive(Clone)]
pub struct Resolved {
    /// The handler.
    pub handler: Arc<dyn StepHandler>,
    /// Its version.
    pub version: Version,
}

impl fmt::Debug for Resolved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Resolved")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

/// No handler was found; the message says what there is instead.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("{message}")]
pub struct Unresolved {
    /// What is missing, and what there is instead.
    pub message: String,
}

/// Finds the handler of a step. Implemented for functions, so that any registry fits.
pub trait Resolve: Send + Sync {
    /// Returns the handler that a template of this namespace means.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] when there is none.
    fn resolve(&self, namespace: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved>;

    /// Checks that nobody else describes a custom event in another way than this template; see
    /// [`CheckHandler::check_event`].
    ///
    /// # Errors
    ///
    /// Who does.
    fn check_event(&self, template: &str, event: &CustomEvent) -> Result<(), String> {
        let _ = (template, event);
        Ok(())
    }
}

impl<F> Resolve for F
where
    F: Fn(&Namespace, &HandlerRef) -> Result<Resolved, Unresolved> + Send + Sync,
{
    fn resolve(&self, namespace: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved> {
        self(namespace, handler)
    }
}

/// The handlers of a worker, as store and templates ask for them.
#[derive(Clone)]
pub struct Handlers(Arc<dyn Resolve>);

impl Handlers {
    /// Returns the handlers that a resolver finds.
    pub fn new(resolve: impl Resolve + 'static) -> Self {
        Self(Arc::new(resolve))
    }

    /// Returns the handler that a template of this namespace means.
    ///
    /// # Errors
    ///
    /// [`Unresolved`] when there is none.
    pub fn resolve(&self, namespace: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved> {
        self.0.resolve(namespace, handler)
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Handlers")
    }
}

impl Accepts for Handlers {
    fn version_for(&self, namespace: &Namespace, handler: &HandlerRef) -> Option<Version> {
        self.resolve(namespace, handler)
            .ok()
            .map(|resolved| resolved.version)
    }
}

impl CheckHandler for Handlers {
    fn check(&self, step: &CheckedStep<'_>) -> Result<(), HandlerProblem> {
        let resolved =
            self.resolve(step.namespace, step.handler)
                .map_err(|unresolved| HandlerProblem::Unknown {
                    message: unresolved.message,
                })?;
        let config = resolved.handler.check_step(step).err().unwrap_or_default();
        let mut missing = resolved.handler.required_parents();
        missing.retain(|parent| !step.parents.contains(parent));
        match (config.is_empty(), missing.is_empty()) {
            (true, true) => Ok(()),
            (false, true) => Err(HandlerProblem::Config { faults: config }),
            (_, false) => {
                let missing = missing.into_iter().map(ToOwned::to_owned).collect();
                Err(HandlerProblem::Parents { missing, config })
            }
        }
    }

    fn check_event(&self, template: &str, event: &CustomEvent) -> Result<(), String> {
        self.0.check_event(template, event)
    }
}
