//! What is to go wrong, step by step and attempt by attempt, whatever the handlers would do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::Value;
use tasker_engine::{
    CheckedStep, CustomEvent, Done, EventDefinition, Handlers, Json, Resolve, Resolved, StepContext,
    StepError, StepHandler, StopPolicy, Unresolved,
};
use tasker_types::{HandlerRef, Namespace, Version};

/// The code with which a planned failure fails.
const PLANNED: &str = "planned";

/// What happens in an attempt instead of its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mishap {
    /// It fails, and may be tried again.
    Fail,
    /// It fails, and asks to be tried again after a time.
    RetryAfter(Duration),
    /// It fails for good.
    FailPermanently,
    /// It panics.
    Panic,
    /// It never ends; the step's time limit has to stop it.
    Hang,
}

/// What is to happen in the attempts of steps, by the names of the steps.
///
/// An attempt is counted from the last reset. One that the plan does not mention runs the step's handler.
///
/// ```
/// use std::time::Duration;
/// use tasker_testkit::{Mishap, Plan};
///
/// let plan = Plan::new()
///     .takes("charge", Duration::from_secs(1))
///     .fails("charge", 2)
///     .then("charge", Mishap::Hang)
///     .returns("ship", serde_json::json!({ "parcel": 7 }));
/// ```
#[derive(Clone, Debug, Default)]
#[must_use = "a plan does nothing until handlers follow it"]
pub struct Plan {
    steps: BTreeMap<String, Course>,
}

/// What happens to one step.
#[derive(Clone, Debug, Default)]
struct Course {
    takes: Duration,
    mishaps: Vec<Mishap>,
    result: Option<Json>,
}

impl Plan {
    /// Returns a plan in which nothing goes wrong.
    pub fn new() -> Self {
        Self::default()
    }

    /// Has every attempt of a step take so long before anything else happens in it.
    pub fn takes(mut self, step: impl Into<String>, time: Duration) -> Self {
        self.course(step).takes = time;
        self
    }

    /// Has the next attempts of a step fail.
    pub fn fails(self, step: impl Into<String>, times: u32) -> Self {
        self.repeat(step, Mishap::Fail, times)
    }

    /// Has the next attempts of a step run into its time limit.
    pub fn times_out(self, step: impl Into<String>, times: u32) -> Self {
        self.repeat(step, Mishap::Hang, times)
    }

    /// Adds what happens in the next attempt of a step.
    pub fn then(self, step: impl Into<String>, mishap: Mishap) -> Self {
        self.repeat(step, mishap, 1)
    }

    /// Has a step return this instead of running its handler, which then need not exist.
    pub fn returns(mut self, step: impl Into<String>, result: impl Into<Value>) -> Self {
        self.course(step).result = Some(Json::from(&result.into()));
        self
    }

    /// Returns handlers that follow the plan, and are these where it says nothing.
    ///
    /// A step whose handler is missing fails for good, with the code `handler_missing`, unless the plan says what it
    /// returns.
    pub fn applied_to(self, handlers: Handlers) -> Handlers {
        let plan = Arc::new(self);
        Handlers::new(Planned { plan, handlers })
    }

    fn repeat(mut self, step: impl Into<String>, mishap: Mishap, times: u32) -> Self {
        let course = self.course(step);
        course.mishaps.extend((0..times).map(|_| mishap.clone()));
        self
    }

    fn course(&mut self, step: impl Into<String>) -> &mut Course {
        self.steps.entry(step.into()).or_default()
    }
}

/// Handlers that follow a plan.
struct Planned {
    plan: Arc<Plan>,
    handlers: Handlers,
}

/// One handler that follows a plan; without the handler itself, why it is missing.
struct Follower {
    plan: Arc<Plan>,
    handler: Result<Arc<dyn StepHandler>, Unresolved>,
}

impl Resolve for Planned {
    fn resolve(&self, namespace: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved> {
        let (version, handler) = match self.handlers.resolve(namespace, handler) {
            Ok(Resolved { handler, version }) => (version, Ok(handler)),
            Err(unresolved) => (Version::new(0, 0, 0), Err(unresolved)),
        };
        let plan = Arc::clone(&self.plan);
        Ok(Resolved {
            handler: Arc::new(Follower { plan, handler }),
            version,
        })
    }

    fn check_event(&self, template: &str, event: &CustomEvent) -> Result<(), String> {
        tasker_engine::CheckHandler::check_event(&self.handlers, template, event)
    }
}

#[async_trait]
impl StepHandler for Follower {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let step = ctx.step_name().as_str();
        if let Some(course) = self.plan.steps.get(step) {
            if !course.takes.is_zero() {
                tokio::time::sleep(course.takes).await;
            }
            let attempt = ctx.attempt();
            match course.mishaps.get(attempt.saturating_sub(1) as usize) {
                None => {}
                Some(Mishap::Hang) => return std::future::pending().await,
                Some(Mishap::Panic) => panic!("attempt {attempt} is to panic"),
                Some(Mishap::FailPermanently) => {
                    return Err(StepError::permanent(
                        PLANNED,
                        format!("attempt {attempt} is to fail for good"),
                    ));
                }
                Some(mishap @ (Mishap::Fail | Mishap::RetryAfter(_))) => {
                    let error =
                        StepError::retryable(format!("attempt {attempt} is to fail")).with_code(PLANNED);
                    return Err(match mishap {
                        Mishap::RetryAfter(wait) => error.retry_after(*wait),
                        _ => error,
                    });
                }
            }
            if let Some(result) = &course.result {
                return Ok(Done::Result(result.clone()));
            }
        }
        match &self.handler {
            Ok(handler) => handler.run(ctx).await,
            Err(unresolved) => Err(StepError::permanent(
                "handler_missing",
                format!("{unresolved}; register it, or plan what the step returns"),
            )),
        }
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        self.handler
            .as_ref()
            .map_or(Ok(()), |handler| handler.check_step(step))
    }

    fn required_parents(&self) -> Vec<&'static str> {
        self.handler
            .as_ref()
            .map_or_else(|_| Vec::new(), |handler| handler.required_parents())
    }

    fn events(&self) -> Vec<EventDefinition> {
        self.handler
            .as_ref()
            .map_or_else(|_| Vec::new(), |handler| handler.events())
    }

    fn stop_policy(&self) -> StopPolicy {
        self.handler
            .as_ref()
            .map_or(StopPolicy::Drop, |handler| handler.stop_policy())
    }
}
