//! Tells of what was recorded: in the log, and in traces.

use std::sync::Arc;

use tasker_engine::{Clock, SystemEvent, Telling};
use tasker_types::{StepNo, TaskId, TaskState};

#[cfg(feature = "otlp")]
use super::Kind;
use super::known::{Held, Known};
#[cfg(feature = "otlp")]
use super::spans::{Attempt, Spans};
use super::{Ended, created_at};

/// Tells of what was recorded, as far as the settings want it told.
#[derive(Debug)]
pub(crate) struct Narrator {
    pub(crate) telling: Arc<Telling>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) known: Arc<Known>,
    /// Where traces go; nowhere, unless that is configured.
    #[cfg(feature = "otlp")]
    pub(crate) spans: Option<Spans>,
}

impl Narrator {
    /// The work of a task has come to its end.
    pub(super) fn finished(&self, task: TaskId, state: TaskState) {
        let event = match state {
            TaskState::Complete => SystemEvent::TaskCompleted,
            TaskState::Cancelled => SystemEvent::TaskCancelled,
            TaskState::ResolvedManually => SystemEvent::TaskResolvedManually,
            TaskState::Error | TaskState::Pending | TaskState::InProgress => SystemEvent::TaskFailed,
        };
        let known = self.known.task(task);
        let brought = known.as_ref().and_then(|known| known.trace_context);
        let span = self.telling.task(task, brought);
        let now = self.clock.now();
        if self.telling.tells(event, &span) {
            tracing::info!(
                %task,
                namespace = known.as_ref().map(|known| known.template.namespace().as_str()),
                task_name = known.as_ref().map(|known| known.template.name().as_str()),
                %state,
                seconds = now.since(created_at(task)).as_secs_f64(),
                correlation_id = known.as_ref().and_then(|known| known.correlation_id.as_deref()),
                "the work of a task has ended"
            );
        }
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.spans {
            spans.finished(task, state, event, now);
        }
    }

    /// How an attempt ended is recorded.
    pub(super) fn ended(&self, ended: &Ended, held: Held) {
        tracing::debug!(
            task = %ended.lease.task,
            step = %ended.lease.step,
            run = %ended.lease.run,
            attempt = held.attempt,
            end = ended.kind.as_str(),
            code = ended.code,
            ended_at = %ended.at,
            "the end of an attempt is recorded"
        );
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.spans
            && let Some(ran_for) = ended.ran_for
        {
            let event = match ended.kind {
                Kind::Succeeded => SystemEvent::StepCompleted,
                Kind::Failed => SystemEvent::StepFailed,
                Kind::Interrupted if held.is_last => SystemEvent::StepFailed,
                Kind::Interrupted | Kind::GivenBack => SystemEvent::StepHandle,
            };
            spans.ended(Attempt {
                task: ended.lease.task,
                step: ended.lease.step,
                run: ended.lease.run,
                number: held.attempt,
                event,
                problem: match ended.kind {
                    Kind::Failed => Some(ended.code.clone().unwrap_or_default()),
                    Kind::Interrupted if held.is_last => Some("interrupted".to_owned()),
                    Kind::Succeeded | Kind::Interrupted | Kind::GivenBack => None,
                },
                end: ended.kind.as_str(),
                ended_at: ended.at,
                ran_for,
            });
        }
    }

    /// Sends the spans that wait.
    #[cfg_attr(
        not(feature = "otlp"),
        expect(clippy::unused_async, reason = "there are no spans")
    )]
    pub(crate) async fn flush(&self) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.spans {
            spans.flush().await;
        }
    }

    /// The lease of an attempt has expired.
    pub(super) fn expired(&self, task: TaskId, step: StepNo) {
        #[cfg(feature = "otlp")]
        if let Some(spans) = &self.spans {
            spans.lost(task, step, self.clock.now());
        }
        #[cfg(not(feature = "otlp"))]
        let _ = (task, step);
    }
}
