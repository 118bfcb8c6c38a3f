//! Snapshots and histories as the analysis of graphs takes them.
//!
//! What is analysed is a snapshot, and what it says is true of the moment at which that was taken. The ids of the
//! steps are their numbers.

use std::time::Duration;

use tasker_graph::{
    Analysis, AnalysisError, Explainer, Explanation, Step, StepDetails, StepTimes, TaskExplanation,
    TaskFacts, analyze,
};
use tasker_types::{GraphWeights, StepNo, StepState};

use crate::record::{Change, Snapshot, StepRecord, Transition};
use crate::store::Accepts;
use crate::transition::StepEvent;

/// What is known of those who could run steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Surroundings<'a> {
    /// Which handlers they have, if that is known.
    pub accepts: Option<&'a dyn Accepts>,
    /// How many steps each of them runs at once, if all are busy.
    pub slots_in_use: Option<u32>,
}

impl Snapshot {
    /// Returns the facts of the task and its steps.
    pub fn task_facts(&self) -> TaskFacts {
        let step = |record: &StepRecord| {
            let name = self.task.template.step(record.step).name().as_str();
            Step::new(u64::from(record.step.0), name, record.facts(self.taken_at))
        };
        TaskFacts {
            state: self.task.state,
            taken_at: Some(self.taken_at),
            steps: self.steps.iter().map(step).collect(),
        }
    }

    /// Analyses the task.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::Weights`] if such weights do not fit so many steps; a task's graph is in order.
    pub fn analyze(&self, weights: &GraphWeights) -> Result<Analysis, AnalysisError> {
        let edges = self.task.template.dag().edges();
        let edges: Vec<(u64, u64)> = edges.map(|(from, to)| (from as u64, to as u64)).collect();
        analyze(&self.task_facts(), &edges, weights)
    }

    /// Explains why a step is not running, given the analysis of this snapshot.
    pub fn explain_step(&self, analysis: &Analysis, step: StepNo, around: Surroundings<'_>) -> Explanation {
        let details = |step| self.details(step, around);
        Explainer::new(analysis, &details).step(step.0 as usize)
    }

    /// Explains why the task is not done, given the analysis of this snapshot.
    pub fn explain(&self, analysis: &Analysis, around: Surroundings<'_>) -> TaskExplanation {
        let details = |step| self.details(step, around);
        Explainer::new(analysis, &details).task()
    }

    fn details(&self, step: usize, around: Surroundings<'_>) -> StepDetails {
        let Some(record) = self.steps.get(step) else {
            return StepDetails::default();
        };
        let template = &self.task.template;
        let handler = template.step(record.step).handler();
        let is_missing = |accepts: &dyn Accepts| accepts.version_for(template.namespace(), handler).is_none();
        StepDetails {
            last_error: record.failure.as_ref().map(|failure| failure.in_one_line()),
            lease: record.lease.map(|lease| (lease.worker.to_string(), lease.until)),
            missing_handler: around
                .accepts
                .filter(|accepts| is_missing(*accepts))
                .map(|_| handler.to_string()),
            slots_in_use: around.slots_in_use,
        }
    }

    /// Returns what is known of the times of each step, in step order: how long it has been running, and how long
    /// attempts lasted, as [`durations`] has it from the histories of tasks of the same template.
    pub fn step_times(&self, durations: impl IntoIterator<Item = (StepNo, Duration)>) -> Vec<StepTimes> {
        let mut lasted: Vec<Vec<Duration>> = vec![Vec::new(); self.steps.len()];
        for (step, duration) in durations {
            if let Some(durations) = lasted.get_mut(step.0 as usize) {
                durations.push(duration);
            }
        }
        let times = self
            .steps
            .iter()
            .zip(lasted)
            .map(|(record, durations)| StepTimes {
                spread: tasker_graph::Spread::of(durations),
                running_for: record
                    .started_at
                    .filter(|_| record.state == StepState::InProgress)
                    .map(|started| self.taken_at.since(started)),
            });
        times.collect()
    }
}

/// Returns how long the attempts of a history lasted that succeeded, in order.
pub fn durations<'a>(
    history: impl IntoIterator<Item = &'a Transition>,
) -> impl Iterator<Item = (StepNo, Duration)> {
    history.into_iter().filter_map(succeeded)
}

/// Returns how long an attempt lasted that succeeded.
fn succeeded(transition: &Transition) -> Option<(StepNo, Duration)> {
    match &transition.change {
        Change::Step {
            step,
            event: StepEvent::Succeed,
            ran_us: Some(ran),
            ..
        } => Some((*step, Duration::from_micros(*ran))),
        _ => None,
    }
}
