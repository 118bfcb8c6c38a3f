//! The events that follow from an entry of the history.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_types::{StepNo, StepState, TaskState};

use super::catalogue::SystemEvent as E;
use super::event::{Event, Published, Subject};
use super::payload::{ChangePayload, CustomPayload, ErrorPayload, StepPayload, TaskPayload};
use crate::failure::{Failure, Severity};
use crate::record::{Change, Transition};
use crate::transition::{StepEvent, TaskEvent};

/// What the metadata of an entry may say.
#[derive(Default, Deserialize)]
struct Said {
    reason: Option<String>,
    #[serde(default)]
    events: Vec<Published>,
}

/// Returns the events that an entry of the history means, in the order in which they are told. There is at least one.
///
/// The events that a step published come before the end of its attempt.
pub fn derive(entry: &Transition, subject: &Subject) -> Vec<Event> {
    let said: Said = read(entry).unwrap_or_default();
    let mut told = Told {
        entry,
        events: Vec::new(),
    };
    match &entry.change {
        Change::Created => told.task(
            subject,
            E::TaskInitializeRequested,
            TaskState::Pending,
            said.reason,
        ),
        Change::Task { event, to, .. } => {
            let name = match event {
                TaskEvent::Start => E::TaskStartRequested,
                TaskEvent::Complete => E::TaskCompleted,
                TaskEvent::Fail => E::TaskFailed,
                TaskEvent::Resume => E::TaskRetryRequested,
                TaskEvent::Cancel => E::TaskCancelled,
                TaskEvent::Resolve => E::TaskResolvedManually,
            };
            told.task(subject, name, *to, said.reason.clone());
            if *event == TaskEvent::Start {
                told.task(subject, E::WorkflowTaskStarted, *to, said.reason);
            }
        }
        Change::Step { event, to, .. } => {
            for published in said.events {
                told.published(subject, published);
            }
            told.step(subject, step_event(*event, *to), said.reason);
        }
        Change::LateOutcome { step, .. } => {
            told.change(subject, E::ObservabilityStepLateOutcome, Some(*step))
        }
        Change::Setting { step: Some(step) } => {
            told.change(subject, E::ObservabilityStepChanged, Some(*step))
        }
        Change::Setting { step: None } => told.change(subject, E::ObservabilityTaskChanged, None),
    }
    told.events
}

fn step_event(event: StepEvent, to: StepState) -> E {
    match event {
        StepEvent::Start => E::StepExecutionRequested,
        StepEvent::Succeed => E::StepCompleted,
        StepEvent::Fail | StepEvent::Expire => E::StepFailed,
        StepEvent::Release => E::ObservabilityStepReleased,
        StepEvent::Interrupt if to == StepState::Error => E::StepFailed,
        StepEvent::Interrupt => E::ObservabilityStepInterrupted,
        StepEvent::Suspend => E::ObservabilityStepSuspended,
        StepEvent::Cancel => E::StepCancelled,
        StepEvent::Reset => E::StepRetryRequested,
        StepEvent::Resolve => E::StepResolvedManually,
    }
}

fn read<T: serde::de::DeserializeOwned>(entry: &Transition) -> Option<T> {
    entry.metadata.as_ref()?.to().ok()
}

struct Told<'a> {
    entry: &'a Transition,
    events: Vec<Event>,
}

impl Told<'_> {
    fn tell(&mut self, name: impl Into<String>, payload: &impl Serialize) {
        self.events.push(Event {
            name: name.into(),
            position: Some(self.entry.position),
            ordinal: u32::try_from(self.events.len()).unwrap_or(u32::MAX),
            at: self.entry.at,
            payload: serde_json::to_value(payload).unwrap_or_default(),
        });
    }

    fn task(&mut self, subject: &Subject, event: E, state: TaskState, reason: Option<String>) {
        let template = &subject.template;
        let failure = match event {
            E::TaskFailed => reason.as_deref().and_then(|reason| reason.parse().ok()),
            _ => None,
        };
        let payload = TaskPayload {
            task_id: self.entry.task,
            namespace: template.namespace().clone(),
            name: template.name().clone(),
            version: template.version().clone(),
            correlation_id: subject.correlation_id.clone(),
            state,
            actor: self.entry.actor.clone(),
            reason: reason.filter(|_| failure.is_none()),
            failure,
        };
        self.tell(event.name(), &payload);
    }

    fn step(&mut self, subject: &Subject, event: E, reason: Option<String>) {
        let Change::Step {
            step,
            to,
            run,
            attempt,
            handler_version,
            ran_us,
            ..
        } = &self.entry.change
        else {
            return;
        };
        let template = &subject.template;
        let error = read::<Failure>(self.entry).map(|failure| ErrorPayload {
            code: failure.code,
            message: failure.message,
            permanent: failure.severity == Severity::Permanent,
            context: failure.context.map(|context| context.to_value()),
        });
        let payload = StepPayload {
            task_id: self.entry.task,
            namespace: template.namespace().clone(),
            name: template.name().clone(),
            version: template.version().clone(),
            correlation_id: subject.correlation_id.clone(),
            step: template.step(*step).name().clone(),
            handler: template.step(*step).handler().to_string(),
            dependent_system: template.step(*step).dependent_system().map(ToString::to_string),
            state: *to,
            attempt: *attempt,
            run: *run,
            handler_version: handler_version.clone(),
            ran_seconds: ran_us.map(|us| std::time::Duration::from_micros(us).as_secs_f64()),
            error,
            actor: self.entry.actor.clone(),
            reason,
        };
        self.tell(event.name(), &payload);
    }

    fn change(&mut self, subject: &Subject, event: E, step: Option<StepNo>) {
        let template = &subject.template;
        let payload = ChangePayload {
            task_id: self.entry.task,
            namespace: template.namespace().clone(),
            name: template.name().clone(),
            version: template.version().clone(),
            correlation_id: subject.correlation_id.clone(),
            step: step.map(|step| template.step(step).name().clone()),
            changed: read(self.entry).unwrap_or(Value::Null),
            actor: self.entry.actor.clone(),
        };
        self.tell(event.name(), &payload);
    }

    fn published(&mut self, subject: &Subject, published: Published) {
        let Change::Step {
            step, run, attempt, ..
        } = &self.entry.change
        else {
            return;
        };
        let template = &subject.template;
        let payload = CustomPayload {
            task_id: self.entry.task,
            namespace: template.namespace().clone(),
            name: template.name().clone(),
            version: template.version().clone(),
            correlation_id: subject.correlation_id.clone(),
            step: template.step(*step).name().clone(),
            attempt: *attempt,
            run: *run,
            data: published.data.to_value(),
        };
        self.tell(published.name, &payload);
    }
}
