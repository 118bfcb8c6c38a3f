//! The counts over a task's steps.

use tasker_graph::{Analysis, StepState, TaskContext};
use tasker_types::{BlockingReason, ExecutionStatus, HealthStatus, RecommendedAction};

use super::{Brute, Known, percent, same};

/// Counts.
pub(super) fn of(steps: &[Known]) -> TaskContext {
    let count = |holds: &dyn Fn(&Known) -> bool| steps.iter().filter(|step| holds(step)).count() as u64;
    let in_state = |state| count(&|step| step.state == state);
    let waits = |step: &Known| step.reason == Some(BlockingReason::WaitingForBackoff);
    let total = steps.len() as u64;
    let completed = in_state(StepState::Complete) + in_state(StepState::ResolvedManually);
    let (ready, running) = (
        count(&|step| step.reason.is_none()),
        in_state(StepState::InProgress),
    );
    let (stuck, failed) = (count(&|step| step.stuck), in_state(StepState::Error));
    let (execution_status, recommended_action) = match (ready, running) {
        (1.., _) => (
            ExecutionStatus::HasReadySteps,
            RecommendedAction::ExecuteReadySteps,
        ),
        (0, 1..) => (ExecutionStatus::Processing, RecommendedAction::WaitForCompletion),
        _ if completed == total => (ExecutionStatus::AllComplete, RecommendedAction::FinalizeTask),
        _ if steps.iter().any(waits) => (
            ExecutionStatus::WaitingForDependencies,
            RecommendedAction::WaitForDependencies,
        ),
        _ => (
            ExecutionStatus::BlockedByFailures,
            RecommendedAction::HandleFailures,
        ),
    };
    TaskContext {
        total_steps: total,
        pending_steps: in_state(StepState::Pending),
        in_progress_steps: running,
        completed_steps: completed,
        failed_steps: failed,
        cancelled_steps: in_state(StepState::Cancelled),
        ready_steps: ready,
        waiting_for_retry_steps: count(&waits),
        stuck_steps: stuck,
        execution_status,
        recommended_action,
        completion_percentage: percent(completed as usize, steps.len(), 100),
        health_status: match execution_status {
            ExecutionStatus::BlockedByFailures => HealthStatus::Blocked,
            _ if stuck > 0 => HealthStatus::Degraded,
            _ if failed > 0 => HealthStatus::Recovering,
            _ => HealthStatus::Healthy,
        },
        earliest_due_in: steps
            .iter()
            .filter(|step| waits(step))
            .filter_map(|step| step.due_in)
            .min(),
    }
}

impl Brute<'_> {
    pub(super) fn compare_context(&self, analysis: &Analysis) -> Result<(), String> {
        same("context", analysis.context(), &self.context)
    }
}
