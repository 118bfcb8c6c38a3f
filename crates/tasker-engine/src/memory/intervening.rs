//! What operators demand.

use serde_json::json;
use tasker_types::{StepNo, StepState, TaskState};

use super::state::{Note, State};
use super::{Actor, Change, Intervened, Intervention, Json, StoreError};
use crate::store::Demand;
use crate::transition::{IllegalTaskTransition, StepEvent, TaskEvent};

impl State {
    /// Carries out a demand; when it is refused, nothing has changed.
    pub(super) fn intervene(&mut self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let task = intervention.task;
        let key = self.key_of(task).ok_or(StoreError::UnknownTask { task })?;
        let known = |expected| {
            let last = self.task(key).entries.last();
            last.is_none_or(|entry| self.history[*entry].position <= expected)
        };
        if !intervention.expected.is_none_or(known) {
            return Err(StoreError::Changed { task });
        }
        let before = self.task(key).clone();
        let entries = self.history.len();
        let done = intervention
            .demands
            .iter()
            .try_for_each(|demand| self.carry_out(key, demand, &intervention));
        if let Err(refused) = done {
            self.restore(key, before, entries);
            return Err(refused);
        }
        self.touch(key);
        self.finalize_touched();
        let changed = before
            .steps
            .iter()
            .zip(&self.task(key).steps)
            .filter_map(|(before, after)| {
                (before.record.state != after.record.state).then_some((after.record.step, after.record.state))
            });
        Ok(Intervened::new(
            before.record.state,
            self.task(key).record.state,
            changed.collect(),
        ))
    }

    fn carry_out(
        &mut self,
        key: i64,
        demand: &Demand,
        intervention: &Intervention,
    ) -> Result<(), StoreError> {
        let actor = &intervention.actor;
        let reason = intervention
            .reason
            .as_ref()
            .map(|reason| Json::from(&json!({ "reason": reason })));
        match demand {
            Demand::CancelTask => self.end_task(key, TaskEvent::Cancel, actor, reason),
            Demand::ResolveTask => self.end_task(key, TaskEvent::Resolve, actor, reason),
            Demand::RetryTask => self.retry_task(key, actor, reason),
            Demand::ResumeTask => self.resume(key, actor, reason),
            Demand::CancelStep(step) => self.step_event(key, *step, StepEvent::Cancel, actor, reason),
            Demand::ResetStep(step) => {
                self.step_event(key, *step, StepEvent::Reset, actor, reason)?;
                self.resume_if_possible(key, actor)
            }
            Demand::ResolveStep(step, result) => {
                self.step_event(key, *step, StepEvent::Resolve, actor, reason)?;
                self.step_mut(key, *step).result.clone_from(result);
                self.resume_if_possible(key, actor)
            }
            Demand::SetRetryLimit(step, limit) => {
                if *limit == 0 {
                    let value = limit.to_string();
                    return Err(StoreError::Rejected {
                        what: "the retry limit",
                        value,
                        must: "at least 1",
                    });
                }
                self.setting(
                    key,
                    *step,
                    actor,
                    intervention.metadata(json!({ "retry_limit": limit })),
                )?;
                if !tasker_types::bug(48) {
                    self.step_mut(key, *step).record.retry_limit = *limit;
                }
                self.sync(key, *step);
                self.resume_if_possible(key, actor)
            }
            Demand::SetTimeout(step, timeout) => {
                let seconds = timeout.map(|timeout| timeout.as_secs_f64());
                self.setting(
                    key,
                    *step,
                    actor,
                    intervention.metadata(json!({ "timeout_seconds": seconds })),
                )?;
                self.step_mut(key, *step).timeout = *timeout;
                Ok(())
            }
            Demand::SetConfig(step, config) => {
                self.setting(
                    key,
                    *step,
                    actor,
                    intervention.metadata(json!({ "config": config })),
                )?;
                self.step_mut(key, *step).config = Some(config.clone());
                Ok(())
            }
            Demand::SetPriority(priority) => {
                self.task_mut(key).record.priority = *priority;
                self.sync_all(key);
                let metadata = intervention.metadata(json!({ "priority": priority }));
                self.log(key, Change::Setting { step: None }, actor, Some(metadata));
                Ok(())
            }
            Demand::Describe(description) => {
                let record = &mut self.task_mut(key).record;
                record.origin = description.applied_to(&record.origin)?;
                let metadata = intervention.metadata(description.metadata());
                self.log(key, Change::Setting { step: None }, actor, Some(metadata));
                Ok(())
            }
        }
    }

    fn step_event(
        &mut self,
        key: i64,
        step: StepNo,
        event: StepEvent,
        actor: &Actor,
        metadata: Option<Json>,
    ) -> Result<(), StoreError> {
        let task = self.task(key).record.id;
        self.find(task, step)?;
        let running = self.step(key, step).record.state == StepState::InProgress;
        self.apply(
            key,
            step,
            event,
            actor,
            Note {
                metadata,
                ..Note::default()
            },
        )
        .map_err(|source| StoreError::IllegalStep { task, step, source })?;
        self.woken |= running;
        Ok(())
    }

    /// Notes a change of a setting in the history, unless the step is in progress.
    fn setting(&mut self, key: i64, step: StepNo, actor: &Actor, what: Json) -> Result<(), StoreError> {
        let task = self.task(key).record.id;
        self.find(task, step)?;
        if self.step(key, step).record.state == StepState::InProgress {
            return Err(StoreError::StepInProgress { task, step });
        }
        self.log(key, Change::Setting { step: Some(step) }, actor, Some(what));
        Ok(())
    }

    /// Cancels or resolves a task, and cancels its unfinished steps.
    fn end_task(
        &mut self,
        key: i64,
        event: TaskEvent,
        actor: &Actor,
        reason: Option<Json>,
    ) -> Result<(), StoreError> {
        self.apply_to_task(key, event, actor, None, reason.clone())?;
        let unfinished: Vec<StepNo> = self
            .task(key)
            .steps
            .iter()
            .filter(|row| !row.record.state.is_finished() && !tasker_types::bug(46))
            .map(|row| row.record.step)
            .collect();
        for step in unfinished {
            self.step_event(key, step, StepEvent::Cancel, actor, reason.clone())?;
        }
        Ok(())
    }

    fn retry_task(&mut self, key: i64, actor: &Actor, reason: Option<Json>) -> Result<(), StoreError> {
        let state = self.task(key).record.state;
        if state != TaskState::Error {
            return Err(self.illegal_resume(key, state));
        }
        let stuck: Vec<StepNo> = self
            .task(key)
            .steps
            .iter()
            .filter(|row| row.record.state == StepState::Error && row.record.facts(self.now).stuck())
            .map(|row| row.record.step)
            .collect();
        for step in stuck {
            self.step_event(key, step, StepEvent::Reset, actor, reason.clone())?;
        }
        self.resume(key, actor, reason)
    }

    /// Resumes a task in error; refused when nothing could happen.
    fn resume(&mut self, key: i64, actor: &Actor, metadata: Option<Json>) -> Result<(), StoreError> {
        let state = self.task(key).record.state;
        if state != TaskState::Error || !self.could_progress(key) {
            return Err(self.illegal_resume(key, state));
        }
        let now = self.now;
        self.task_mut(key)
            .record
            .deadline_at
            .take_if(|deadline| *deadline <= now);
        let check = self.now.plus(super::CHECK_AGAIN);
        self.task_mut(key).record.next_check_at = Some(check);
        self.apply_to_task(key, TaskEvent::Resume, actor, None, metadata)
            .map(|_| ())
    }

    /// Resumes a task in error if work became possible or nothing is left to do.
    fn resume_if_possible(&mut self, key: i64, actor: &Actor) -> Result<(), StoreError> {
        if self.task(key).record.state == TaskState::Error
            && self.could_progress(key)
            && !tasker_types::bug(47)
        {
            self.resume(key, actor, None)?;
        }
        Ok(())
    }

    fn could_progress(&self, key: i64) -> bool {
        let facts = self.facts(key);
        let possible = facts.iter().any(|step| {
            step.state == StepState::InProgress
                || (!step.finished() && step.dependencies_satisfied() && step.retry_eligible())
        });
        possible || facts.iter().all(|step| step.state.is_done())
    }

    fn illegal_resume(&self, key: i64, state: TaskState) -> StoreError {
        let source = IllegalTaskTransition {
            state,
            event: TaskEvent::Resume,
        };
        StoreError::IllegalTask {
            task: self.task(key).record.id,
            source,
        }
    }
}
