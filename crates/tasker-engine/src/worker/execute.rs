//! Runs one claim to its outcome: the handler, its time limit, the ways to stop it, and its panics.

use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt;
use tasker_types::{Backoff, Limits};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::attempt::{Attempt, Requests, Said};
use crate::backoff::retry_delay;
use crate::claim::{Claim, End, Lease, Outcome};
use crate::clock::Entropy;
use crate::events::{Emitter, SystemEvent, Telling};
use crate::failure::{Failure, Severity};
use crate::handler::{Done, Handlers, StepContext, StepError, StepHandler, StopPolicy};
use crate::json::{DEEPEST, Json};
use crate::worker::telling;

/// Why a handler is stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StopReason {
    /// Its step was cancelled.
    Cancelled,
    /// Its lease is over.
    LeaseLost,
    /// The worker's grace ended.
    Interrupted,
}

/// Stops one running handler.
#[derive(Clone, Debug, Default)]
pub(super) struct Stop {
    reason: Arc<OnceLock<StopReason>>,
    token: CancellationToken,
}

impl Stop {
    /// Stops the handler; only the first reason counts.
    pub(super) fn stop(&self, reason: StopReason) {
        // A second reason changes nothing: the handler is being stopped.
        if self.reason.set(reason).is_ok() {
            self.token.cancel();
        }
    }

    async fn stopped(&self) -> StopReason {
        self.token.cancelled().await;
        self.reason.get().copied().unwrap_or(StopReason::Interrupted)
    }
}

/// What running claims needs and what does not change from claim to claim.
#[derive(Debug)]
pub(super) struct Environment {
    pub(super) handlers: Handlers,
    pub(super) backoff: Arc<Backoff>,
    pub(super) limits: Arc<Limits>,
    pub(super) requests: Arc<Requests>,
    pub(super) entropy: Arc<dyn Entropy>,
    pub(super) events: Emitter,
    pub(super) telling: Arc<Telling>,
}

/// What a claim came to: an outcome to record, or nothing because the lease is over.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) lease: Lease,
    pub(super) outcome: Option<Outcome>,
}

type Handling<'a> = Pin<Box<dyn Future<Output = Result<Done, StepError>> + Send + 'a>>;

impl Environment {
    /// Runs the handler of a claim until it ends or is stopped.
    pub(super) async fn execute(&self, claim: Claim, stop: Stop, said: Said) -> Ended {
        let lease = claim.lease;
        let template = claim.template();
        let namespace = claim.task.template.namespace();
        let resolved = self.handlers.resolve(namespace, template.handler());
        let declared = resolved
            .as_ref()
            .map(|resolved| resolved.handler.events())
            .unwrap_or_default();
        let trace = self.telling.task(lease.task, claim.task.trace_context);
        let trace = trace.of_run(lease.step, lease.run);
        let requests = Arc::clone(&self.requests);
        let attempt = Arc::new(Attempt::new(claim, trace, declared, requests, said));
        let claim = &attempt.claim;
        let handler = match resolved {
            Ok(resolved) => resolved.handler,
            Err(unresolved) => {
                let failure = Failure::retryable(Failure::HANDLER_MISSING, unresolved.message);
                return self.ended(&attempt, self.failed(claim, failure, None), None);
            }
        };
        self.events.before_handle(claim);
        let started = Instant::now();
        let end = self.handle(&attempt, &*handler, stop).await;
        let ran_for = started.elapsed();
        if self.telling.tells(SystemEvent::StepHandle, &attempt.trace) {
            telling::ended(claim, end.as_ref(), ran_for);
        }
        self.events.handled(claim, end.as_ref(), ran_for);
        match end {
            Some(end) => self.ended(&attempt, end, Some(ran_for)),
            None => Ended { lease, outcome: None },
        }
    }

    fn ended(&self, attempt: &Attempt, end: End, ran_for: Option<Duration>) -> Ended {
        let lease = attempt.claim.lease;
        let (mut tasks, events) = attempt.end();
        if !matches!(end, End::Succeed { .. }) {
            tasks.clear();
        }
        let outcome = Outcome {
            lease,
            end,
            ran_for,
            progress: attempt.said.take(),
            tasks,
            events,
        };
        Ended {
            lease,
            outcome: Some(outcome),
        }
    }

    /// Polls the handler; `None` when nobody wants to know its end.
    async fn handle(&self, attempt: &Arc<Attempt>, handler: &dyn StepHandler, stop: Stop) -> Option<End> {
        let claim = &attempt.claim;
        let context = StepContext::new(Arc::clone(attempt));
        let timeout = claim
            .timeout
            .or(claim.template().timeout())
            .filter(|_| !tasker_types::bug(56));
        let mut handling: Handling<'_> = Box::pin(async {
            match AssertUnwindSafe(handler.run(context)).catch_unwind().await {
                Ok(result) => result,
                Err(panic) => Err(panicked(&*panic)),
            }
        });
        let time_limit = async {
            match timeout {
                Some(timeout) => tokio::time::sleep(timeout).await,
                None => std::future::pending().await,
            }
        };
        let reason = tokio::select! {
            biased;
            result = &mut handling => return Some(self.end(claim, result)),
            reason = stop.stopped() => Some(reason),
            () = time_limit => None,
        };
        attempt.stop.cancel();
        let last_word = stop_gently(handler.stop_policy(), handling).await;
        match (reason, last_word) {
            (None, _) => {
                let limit = timeout.unwrap_or_default().as_secs_f64();
                let message = format!("the step did not end within its {limit} seconds (`timeout_seconds`)");
                Some(self.failed(claim, Failure::retryable(Failure::TIMEOUT, message), None))
            }
            (Some(StopReason::LeaseLost), _) => None,
            (Some(_), Some(Ok(done))) => Some(self.end(claim, Ok(done))),
            (Some(_), _) => Some(End::Interrupt),
        }
    }

    fn end(&self, claim: &Claim, result: Result<Done, StepError>) -> End {
        match result {
            Ok(Done::Result(result)) => match self.rejects("result", &result) {
                None => End::Succeed { result },
                Some(failure) => self.failed(claim, failure, None),
            },
            Ok(Done::Suspend { wake_in, checkpoint }) => match self.rejects("checkpoint", &checkpoint) {
                None => End::Suspend { wake_in, checkpoint },
                Some(failure) => self.failed(claim, failure, None),
            },
            Err(error) => {
                let (failure, retry_after) = error.into_parts();
                self.failed(claim, failure, retry_after)
            }
        }
    }

    /// Returns why something that a handler returned cannot be kept, if it cannot.
    fn rejects(&self, what: &str, json: &Json) -> Option<Failure> {
        let (size, limit) = (json.as_str().len() as u64, self.limits.result);
        let message = if size > limit {
            format!(
                "the {what} has {size} bytes, but the limit is {limit}; return less, or raise `limits.result`"
            )
        } else if json.is_deeper(DEEPEST) {
            format!(
                "the {what} is nested more than {DEEPEST} levels deep; make it flatter, or return it as a text"
            )
        } else {
            return None;
        };
        Some(Failure::permanent(Failure::RESULT_REJECTED, message))
    }

    fn failed(&self, claim: &Claim, failure: Failure, retry_after: Option<Duration>) -> End {
        let retry_in = match failure.severity {
            Severity::Permanent => Duration::ZERO,
            Severity::Retryable => retry_delay(&self.backoff, claim.attempt, retry_after, &mut || {
                self.entropy.next_u64()
            }),
        };
        End::Fail { failure, retry_in }
    }
}

/// Lets a handler that was told to stop come to its end, as its policy permits.
async fn stop_gently(policy: StopPolicy, mut handling: Handling<'_>) -> Option<Result<Done, StepError>> {
    match policy {
        StopPolicy::Drop => None,
        StopPolicy::Cooperate(grace) => tokio::time::timeout(grace, &mut handling).await.ok(),
        StopPolicy::UntilReturn => Some(handling.await),
    }
}

fn panicked(panic: &(dyn std::any::Any + Send)) -> StepError {
    let message = panic
        .downcast_ref::<&str>()
        .map(ToString::to_string)
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "a value that is no text".to_owned());
    StepError::retryable(format!("the handler panicked: {message}")).with_code(Failure::PANIC)
}
