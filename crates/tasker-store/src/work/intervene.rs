//! What operators demand, carried out on rows in memory.

use serde_json::json;
use tasker_engine::{Demand, IllegalTaskTransition, Intervention, Json, StepEvent, StoreError, TaskEvent};
use tasker_types::{StepNo, StepState, TaskState};

use super::{CHECK_AGAIN, Entry, Kind, Lease, Note, StepKey, Work};

impl<L: Lease> Work<L> {
    /// Carries out demands on a task of which all steps are loaded; when one is refused, everything is to be undone.
    pub(crate) fn carry_out(
        &mut self,
        key: i64,
        intervention: &Intervention,
        actor: i64,
    ) -> Result<(), StoreError> {
        intervention
            .demands
            .iter()
            .try_for_each(|demand| self.demanded(key, demand, intervention, actor))
    }

    fn demanded(
        &mut self,
        key: i64,
        demand: &Demand,
        intervention: &Intervention,
        actor: i64,
    ) -> Result<(), StoreError> {
        let reason = intervention
            .reason
            .as_ref()
            .map(|reason| Json::from(&json!({ "reason": reason })));
        match demand {
            Demand::CancelTask => self.end_task(key, TaskEvent::Cancel, actor, reason),
            Demand::ResolveTask => self.end_task(key, TaskEvent::Resolve, actor, reason),
            Demand::RetryTask => self.retry_task(key, actor, reason),
            Demand::ResumeTask => self.resume(key, actor, reason),
            Demand::CancelStep(step) => self.step_event((key, step.0), StepEvent::Cancel, actor, reason),
            Demand::ResetStep(step) => {
                self.step_event((key, step.0), StepEvent::Reset, actor, reason)?;
                self.resume_if_possible(key, actor)
            }
            Demand::ResolveStep(step, result) => {
                self.step_event((key, step.0), StepEvent::Resolve, actor, reason)?;
                self.put((key, step.0), Kind::Result, result.clone());
                let children = self.children(&[(key, step.0)]);
                self.tell(&children);
                self.resume_if_possible(key, actor)
            }
            Demand::SetRetryLimit(step, limit) => {
                if *limit == 0 {
                    let value = limit.to_string();
                    let refused = StoreError::Rejected {
                        what: "the retry limit",
                        value,
                        must: "at least 1",
                    };
                    return Err(refused);
                }
                self.setting(
                    (key, step.0),
                    actor,
                    intervention.metadata(json!({ "retry_limit": limit })),
                )?;
                self.step_mut((key, step.0)).retry_limit = *limit;
                self.resume_if_possible(key, actor)
            }
            Demand::SetTimeout(step, timeout) => {
                let seconds = timeout.map(|timeout| timeout.as_secs_f64());
                self.setting(
                    (key, step.0),
                    actor,
                    intervention.metadata(json!({ "timeout_seconds": seconds })),
                )?;
                let micros = timeout.map(|timeout| i64::try_from(timeout.as_micros()).unwrap_or(i64::MAX));
                self.step_mut((key, step.0)).timeout_us = micros;
                Ok(())
            }
            Demand::SetConfig(step, config) => {
                self.setting(
                    (key, step.0),
                    actor,
                    intervention.metadata(json!({ "config": config })),
                )?;
                self.put((key, step.0), Kind::Config, Some(config.clone()));
                Ok(())
            }
            Demand::SetPriority(priority) => {
                self.task_mut(key).priority = *priority;
                self.note_setting(
                    key,
                    None,
                    actor,
                    intervention.metadata(json!({ "priority": priority })),
                );
                Ok(())
            }
            // What is said about a task is no part of its row here: the store changes it.
            Demand::Describe(description) => {
                self.note_setting(key, None, actor, intervention.metadata(description.metadata()));
                Ok(())
            }
            other => Err(StoreError::Rejected {
                what: "the demand",
                value: format!("{other:?}"),
                must: "one that this store knows",
            }),
        }
    }

    fn known(&self, key: StepKey) -> Result<(), StoreError> {
        if self.steps.contains_key(&key) {
            return Ok(());
        }
        Err(StoreError::UnknownStep {
            task: self.task(key.0).id,
            step: StepNo(key.1),
        })
    }

    fn step_event(
        &mut self,
        key: StepKey,
        event: StepEvent,
        actor: i64,
        metadata: Option<Json>,
    ) -> Result<(), StoreError> {
        self.known(key)?;
        let running = self.step(key).state == StepState::InProgress;
        let (task, step) = (self.task(key.0).id, StepNo(key.1));
        self.apply(
            key,
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
    fn setting(&mut self, key: StepKey, actor: i64, what: Json) -> Result<(), StoreError> {
        self.known(key)?;
        if self.step(key).state == StepState::InProgress {
            let task = self.task(key.0).id;
            return Err(StoreError::StepInProgress {
                task,
                step: StepNo(key.1),
            });
        }
        self.note_setting(key.0, Some(key.1), actor, what);
        Ok(())
    }

    fn note_setting(&mut self, task: i64, step: Option<u32>, actor: i64, what: Json) {
        if step.is_none() {
            self.task_mut(task).updated_at = self.now;
        }
        self.entries.push(Entry {
            metadata: Some(what),
            ..Entry::new(task, step, "setting", actor)
        });
    }

    /// Cancels or resolves a task, and cancels its unfinished steps.
    fn end_task(
        &mut self,
        key: i64,
        event: TaskEvent,
        actor: i64,
        reason: Option<Json>,
    ) -> Result<(), StoreError> {
        self.apply_to_task(key, event, actor, None, reason.clone())?;
        let unfinished: Vec<u32> = self
            .steps_of(key)
            .filter(|(_, row)| !row.state.is_finished() && !tasker_types::bug(74))
            .map(|(step, _)| step)
            .collect();
        for step in unfinished {
            self.step_event((key, step), StepEvent::Cancel, actor, reason.clone())?;
        }
        Ok(())
    }

    fn retry_task(&mut self, key: i64, actor: i64, reason: Option<Json>) -> Result<(), StoreError> {
        let state = self.task(key).state;
        if state != TaskState::Error {
            return Err(self.illegal_resume(key, state));
        }
        let now = self.now;
        let stuck: Vec<u32> = self
            .steps_of(key)
            .filter(|(_, row)| row.state == StepState::Error && row.facts(now).stuck())
            .map(|(step, _)| step)
            .collect();
        for step in stuck {
            self.step_event((key, step), StepEvent::Reset, actor, reason.clone())?;
        }
        self.resume(key, actor, reason)
    }

    /// Resumes a task in error; refused when nothing could happen.
    fn resume(&mut self, key: i64, actor: i64, metadata: Option<Json>) -> Result<(), StoreError> {
        let state = self.task(key).state;
        if state != TaskState::Error || !self.could_progress(key) {
            return Err(self.illegal_resume(key, state));
        }
        let now = self.now;
        let row = self.task_mut(key);
        row.deadline_at.take_if(|deadline| *deadline <= now);
        row.next_check_at = Some(now.plus(CHECK_AGAIN));
        self.apply_to_task(key, TaskEvent::Resume, actor, None, metadata)?;
        Ok(())
    }

    /// Resumes a task in error if work became possible or nothing is left to do.
    fn resume_if_possible(&mut self, key: i64, actor: i64) -> Result<(), StoreError> {
        if self.task(key).state == TaskState::Error && self.could_progress(key) && !tasker_types::bug(75) {
            self.resume(key, actor, None)?;
        }
        Ok(())
    }

    fn could_progress(&self, key: i64) -> bool {
        let possible = self.steps_of(key).any(|(_, row)| {
            let facts = row.facts(self.now);
            facts.state == StepState::InProgress
                || (!facts.finished() && facts.dependencies_satisfied() && facts.retry_eligible())
        });
        possible || self.steps_of(key).all(|(_, row)| row.state.is_done())
    }

    fn illegal_resume(&self, key: i64, state: TaskState) -> StoreError {
        let source = IllegalTaskTransition {
            state,
            event: TaskEvent::Resume,
        };
        StoreError::IllegalTask {
            task: self.task(key).id,
            source,
        }
    }
}
