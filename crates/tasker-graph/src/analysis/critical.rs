//! The five most critical paths, described.

use tasker_types::{BlockingReason, GraphWeights, StepFacts, StepState, TaskContext};

use super::number::tenths;
use super::words::PathReason;

/// The most critical paths from a root to a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalPaths {
    /// How many paths there are, or `u64::MAX` of more.
    pub total_paths: u64,
    /// Whether there are more than `total_paths`.
    pub total_paths_is_lower_bound: bool,
    /// How many steps the longest path has.
    pub longest_path_length: usize,
    /// The five with the highest scores, the highest first; among equals the one whose steps come first.
    pub paths: Vec<CriticalPath>,
}

/// A path from a root to a leaf.
#[derive(Clone, Debug, PartialEq)]
pub struct CriticalPath {
    /// The places of its steps in step order, from the root.
    pub steps: Vec<usize>,
    /// Its steps that are complete or resolved.
    pub completed_steps: usize,
    /// Its steps that wait for a parent.
    pub blocked_steps: usize,
    /// Its steps in error.
    pub error_steps: usize,
    /// Its steps in error that have been tried.
    pub retry_steps: usize,
    /// Its steps that can start.
    pub ready_steps: usize,
    /// What it is estimated to last by the weights, which know no measured times, in seconds.
    pub estimated_duration_seconds: f64,
    /// How critical it is; 0 if its completed steps outweigh everything else.
    pub criticality_score: f64,
    /// Its completed steps in percent, one decimal.
    pub completion_percentage: f64,
    /// Its steps that hold it up, the most severe first.
    pub bottlenecks: Vec<PathBottleneck>,
}

/// A step that holds a path up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PathBottleneck {
    /// The place of the step in step order.
    pub step: usize,
    /// Why.
    pub reason: PathReason,
    /// How much it counts.
    pub severity: u64,
    /// How many steps come after it on the path.
    pub downstream_steps: usize,
}

/// What all paths of a task have in common.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Task<'a> {
    pub(crate) facts: &'a [StepFacts],
    pub(crate) is_active: bool,
    pub(crate) context: &'a TaskContext,
    pub(crate) weights: &'a GraphWeights,
    pub(crate) unhealthy_factor: f64,
}

impl CriticalPath {
    pub(crate) fn new(steps: Vec<usize>, task: Task<'_>) -> Self {
        let mut path = Self {
            completed_steps: 0,
            blocked_steps: 0,
            error_steps: 0,
            retry_steps: 0,
            ready_steps: 0,
            estimated_duration_seconds: 0.0,
            criticality_score: 0.0,
            completion_percentage: 0.0,
            bottlenecks: Vec::new(),
            steps,
        };
        let mut attempts = 0_u64;
        for (index, step) in path.steps.iter().copied().enumerate() {
            let facts = &task.facts[step];
            let reason = facts.blocking_reason(task.is_active);
            let is_error = facts.state == StepState::Error;
            path.completed_steps += usize::from(facts.state.is_done());
            path.blocked_steps += usize::from(facts.blocked());
            path.error_steps += usize::from(is_error);
            path.retry_steps += usize::from(is_error && facts.attempts > 0);
            path.ready_steps += usize::from(reason.is_none());
            attempts += u64::from(facts.attempts);
            if facts.blocked() || is_error || facts.state == StepState::Cancelled {
                path.bottlenecks.push(PathBottleneck {
                    step,
                    reason: path_reason(facts, reason),
                    severity: severity(facts),
                    downstream_steps: path.steps.len() - index - 1,
                });
            }
        }
        // The sort is stable: equals stay in the order of the path.
        path.bottlenecks
            .sort_by_key(|bottleneck| std::cmp::Reverse(bottleneck.severity));
        path.score(attempts, task);
        path
    }

    fn score(&mut self, attempts: u64, task: Task<'_>) {
        let impact = &task.weights.impact_scoring;
        let duration = &task.weights.duration_estimates;
        let length = self.steps.len() as f64;
        let errors = self.error_steps as f64;
        self.estimated_duration_seconds = length * duration.base_step_seconds
            + errors * duration.error_penalty_seconds
            + attempts as f64 * duration.retry_penalty_seconds;
        let raw = length * impact.path_length_weight - self.completed_steps as f64 * impact.completed_penalty
            + self.blocked_steps as f64 * impact.blocked_penalty * task.unhealthy_factor
            + errors * impact.error_penalty * task.unhealthy_factor
            + self.retry_steps as f64 * impact.retry_penalty
            + self.estimated_duration_seconds / 60.0 * 2.0;
        let left = 1.0 - 0.3 * task.context.completion_percentage / 100.0;
        self.criticality_score = (raw * left).max(0.0);
        self.completion_percentage = tenths(self.completed_steps, self.steps.len());
    }
}

fn severity(facts: &StepFacts) -> u64 {
    10 * u64::from(facts.state == StepState::Error)
        + 5 * u64::from(facts.attempts)
        + 20 * u64::from(facts.exhausted())
        + 5 * u64::from(facts.blocked())
}

fn path_reason(facts: &StepFacts, reason: Option<BlockingReason>) -> PathReason {
    match reason {
        None => PathReason::NotBlocked,
        Some(BlockingReason::Finished) => PathReason::Cancelled,
        Some(BlockingReason::Running) => PathReason::Running,
        Some(BlockingReason::DependenciesNotSatisfied) => PathReason::DependenciesNotSatisfied,
        Some(BlockingReason::RetryNotEligible) if facts.exhausted() => PathReason::ExhaustedRetries,
        Some(BlockingReason::RetryNotEligible) => PathReason::NotRetryable,
        Some(BlockingReason::WaitingForBackoff) => PathReason::InBackoff,
        // The last that is left; a reason that is added must find its words here.
        Some(_) => PathReason::TaskNotActive,
    }
}
