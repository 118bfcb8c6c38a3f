//! What a worker tells while it works, for whoever listens.

use std::time::Duration;

use tasker_types::{TaskId, WorkerId};
use tracing::Span;

use crate::claim::{Claim, End};
use crate::events::{BatchPayload, Emitter, HandlingPayload, LookPayload, SystemEvent};
use crate::failure::Severity;

impl Emitter {
    /// A handler is about to run.
    pub(super) fn before_handle(&self, claim: &Claim) {
        self.emit(SystemEvent::StepBeforeHandle, || handling(claim));
    }

    /// A handler has ended; `None` when nobody wants to know how.
    pub(super) fn handled(&self, claim: &Claim, end: Option<&End>, ran_for: Duration) {
        let told = || HandlingPayload {
            ran_seconds: Some(ran_for.as_secs_f64()),
            end: Some(end.map_or("lost", word).to_owned()),
            wait_seconds: wait(claim, end).map(|wait| wait.as_secs_f64()),
            ..handling(claim)
        };
        self.emit(SystemEvent::StepHandle, told);
        if let Some(End::Fail { failure, .. }) = end
            && failure.severity == Severity::Retryable
        {
            let event = if claim.is_last_attempt() {
                SystemEvent::ObservabilityStepMaxRetriesReached
            } else {
                SystemEvent::ObservabilityStepBackoff
            };
            self.emit(event, told);
        }
    }

    /// A worker was handed steps, or found none.
    pub(super) fn batch(&self, worker: WorkerId, steps: u32) {
        let event = if steps > 0 {
            SystemEvent::WorkflowViableStepsDiscovered
        } else {
            SystemEvent::WorkflowNoViableSteps
        };
        self.emit(event, || BatchPayload { worker, steps });
    }

    /// Something about the looks at a task.
    pub(super) fn look(&self, event: SystemEvent, task: TaskId, more: impl FnOnce(&mut LookPayload)) {
        self.emit(event, || {
            let mut payload = LookPayload {
                task_id: task,
                decision: None,
                reason: None,
                after_seconds: None,
                error: None,
            };
            more(&mut payload);
            payload
        });
    }
}

/// Returns what ties the lines of an attempt together: whatever is logged at all has these fields.
pub(super) fn span(claim: &Claim) -> Span {
    let template = &claim.task.template;
    tracing::error_span!(
        "attempt",
        task = %claim.lease.task,
        namespace = %template.namespace(),
        task_name = %template.name(),
        step = %claim.template().name(),
        attempt = claim.attempt,
        run = %claim.lease.run,
        correlation_id = claim.task.correlation_id.as_deref(),
    )
}

/// Tells how an attempt ended.
pub(super) fn ended(claim: &Claim, end: Option<&End>, ran_for: Duration) {
    let code = match end {
        Some(End::Fail { failure, .. }) => Some(failure.code.as_str()),
        _ => None,
    };
    tracing::info!(
        end = end.map_or("lost", word),
        seconds = ran_for.as_secs_f64(),
        code,
        wait_seconds = wait(claim, end).map(|wait| wait.as_secs_f64()),
        "the handler of a step has ended"
    );
}

fn handling(claim: &Claim) -> HandlingPayload {
    let template = &claim.task.template;
    HandlingPayload {
        task_id: claim.lease.task,
        namespace: template.namespace().clone(),
        name: template.name().clone(),
        version: template.version().clone(),
        correlation_id: claim.task.correlation_id.clone(),
        step: claim.template().name().clone(),
        handler_version: claim.handler_version.clone(),
        attempt: claim.attempt,
        retry_limit: claim.retry_limit,
        ran_seconds: None,
        end: None,
        wait_seconds: None,
    }
}

fn word(end: &End) -> &'static str {
    match end {
        End::Succeed { .. } => "succeed",
        End::Fail { .. } => "fail",
        End::Suspend { .. } => "suspend",
        End::Interrupt => "interrupt",
        End::Release => "release",
    }
}

/// Returns how long the step waits for its next attempt, if there is one.
fn wait(claim: &Claim, end: Option<&End>) -> Option<Duration> {
    match end {
        Some(End::Fail { failure, retry_in }) => {
            let again = failure.severity == Severity::Retryable && !claim.is_last_attempt();
            again.then_some(*retry_in)
        }
        Some(End::Suspend { wake_in, .. }) => Some(*wake_in),
        _ => None,
    }
}
