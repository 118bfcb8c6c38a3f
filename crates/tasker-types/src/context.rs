//! What a task amounts to: counts over its steps, and what should happen next.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{BlockingReason, StepFacts, StepState, TaskState};

macro_rules! named {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        #[serde(rename_all = "snake_case")]
        pub enum $name {
            $($(#[$variant_doc])* $variant,)+
        }

        impl $name {
            /// Returns the name that API and command line use.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
}

named! {
    /// What a task is doing: the first that applies.
    ExecutionStatus {
        /// A step can be claimed now.
        HasReadySteps = "has_ready_steps",
        /// A step is in progress.
        Processing = "processing",
        /// Every step is complete or resolved manually.
        AllComplete = "all_complete",
        /// A step waits only for its time.
        WaitingForDependencies = "waiting_for_dependencies",
        /// Nothing will happen without a person.
        BlockedByFailures = "blocked_by_failures",
    }
}

named! {
    /// What to do about a task.
    RecommendedAction {
        /// Let workers claim what is ready.
        ExecuteReadySteps = "execute_ready_steps",
        /// Let the running steps end.
        WaitForCompletion = "wait_for_completion",
        /// Complete the task.
        FinalizeTask = "finalize_task",
        /// Let the waiting steps become due.
        WaitForDependencies = "wait_for_dependencies",
        /// Look at what failed.
        HandleFailures = "handle_failures",
    }
}

named! {
    /// How a task fares: the first that applies.
    HealthStatus {
        /// It is blocked by failures.
        Blocked = "blocked",
        /// A step is stuck.
        Degraded = "degraded",
        /// A step is in error and will be tried again.
        Recovering = "recovering",
        /// None of these.
        Healthy = "healthy",
    }
}

/// The counts over a task's steps and what follows from them.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TaskContext {
    /// All steps.
    pub total_steps: u64,
    /// Steps that are pending.
    pub pending_steps: u64,
    /// Steps that a worker holds.
    pub in_progress_steps: u64,
    /// Steps that are complete or resolved manually.
    pub completed_steps: u64,
    /// Steps in error.
    pub failed_steps: u64,
    /// Steps that were cancelled.
    pub cancelled_steps: u64,
    /// Steps that can be claimed now.
    pub ready_steps: u64,
    /// Steps that wait only for their time.
    pub waiting_for_retry_steps: u64,
    /// Steps that move no more without a person.
    pub stuck_steps: u64,
    /// What the task is doing.
    pub execution_status: ExecutionStatus,
    /// What to do about it.
    pub recommended_action: RecommendedAction,
    /// Completed steps in percent of all, two decimals, half away from zero; 0 without steps.
    pub completion_percentage: f64,
    /// How the task fares.
    pub health_status: HealthStatus,
    /// How long until the first of the waiting steps is due.
    #[serde(skip)]
    pub earliest_due_in: Option<Duration>,
}

impl TaskContext {
    /// Counts the steps of a task and says what follows.
    ///
    /// # Complexity
    ///
    /// Linear in the steps.
    pub fn of<'a>(task: TaskState, steps: impl IntoIterator<Item = &'a StepFacts>) -> Self {
        let mut context = Self {
            total_steps: 0,
            pending_steps: 0,
            in_progress_steps: 0,
            completed_steps: 0,
            failed_steps: 0,
            cancelled_steps: 0,
            ready_steps: 0,
            waiting_for_retry_steps: 0,
            stuck_steps: 0,
            execution_status: ExecutionStatus::BlockedByFailures,
            recommended_action: RecommendedAction::HandleFailures,
            completion_percentage: 0.0,
            health_status: HealthStatus::Healthy,
            earliest_due_in: None,
        };
        for step in steps {
            context.add(task, step);
        }
        context.conclude();
        context
    }

    fn add(&mut self, task: TaskState, step: &StepFacts) {
        self.total_steps += 1;
        *match step.state {
            StepState::Pending => &mut self.pending_steps,
            StepState::InProgress => &mut self.in_progress_steps,
            StepState::Complete | StepState::ResolvedManually => &mut self.completed_steps,
            StepState::Error => &mut self.failed_steps,
            StepState::Cancelled => &mut self.cancelled_steps,
        } += 1;
        self.stuck_steps += u64::from(step.stuck());
        match step.blocking_reason(task.is_active()) {
            None => self.ready_steps += 1,
            Some(BlockingReason::WaitingForBackoff) => {
                self.waiting_for_retry_steps += 1;
                self.earliest_due_in = match (self.earliest_due_in, step.due_in) {
                    (Some(first), Some(wait)) => Some(first.min(wait)),
                    (first, wait) => first.or(wait),
                };
            }
            Some(_) => {}
        }
    }

    fn conclude(&mut self) {
        (self.execution_status, self.recommended_action) = if self.ready_steps > 0 {
            (
                ExecutionStatus::HasReadySteps,
                RecommendedAction::ExecuteReadySteps,
            )
        } else if self.in_progress_steps > 0 {
            (ExecutionStatus::Processing, RecommendedAction::WaitForCompletion)
        } else if self.completed_steps == self.total_steps {
            (ExecutionStatus::AllComplete, RecommendedAction::FinalizeTask)
        } else if self.waiting_for_retry_steps > 0 {
            (
                ExecutionStatus::WaitingForDependencies,
                RecommendedAction::WaitForDependencies,
            )
        } else {
            (
                ExecutionStatus::BlockedByFailures,
                RecommendedAction::HandleFailures,
            )
        };
        self.health_status = if self.execution_status == ExecutionStatus::BlockedByFailures {
            HealthStatus::Blocked
        } else if self.stuck_steps > 0 {
            HealthStatus::Degraded
        } else if self.failed_steps > 0 {
            HealthStatus::Recovering
        } else {
            HealthStatus::Healthy
        };
        self.completion_percentage = percentage(self.completed_steps, self.total_steps);
    }
}

/// Returns `part` of `whole` in percent with two decimals, half away from zero; 0 of nothing.
///
/// The rounding is done on integers, so that a half is a half.
fn percentage(part: u64, whole: u64) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let hundredths = (u128::from(part) * 10_000 * 2 + u128::from(whole)) / (u128::from(whole) * 2);
    hundredths as f64 / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentages_round_half_away_from_zero() {
        assert_eq!(percentage(1, 3), 33.33);
        assert_eq!(percentage(2, 3), 66.67);
        assert_eq!(percentage(1, 800), 0.13);
        assert_eq!(percentage(0, 0), 0.0);
        assert_eq!(percentage(7, 7), 100.0);
    }

    #[test]
    fn a_task_without_steps_is_complete() {
        let context = TaskContext::of(TaskState::Pending, []);
        assert_eq!(context.execution_status, ExecutionStatus::AllComplete);
        assert_eq!(context.completion_percentage, 0.0);
    }

    #[test]
    fn the_earliest_retry_counts() {
        let waits = [9, 4, 7].map(|seconds| StepFacts {
            state: StepState::Error,
            attempts: 1,
            due_in: Some(Duration::from_secs(seconds)),
            ..StepFacts::default()
        });
        let context = TaskContext::of(TaskState::InProgress, &waits);
        assert_eq!(context.execution_status, ExecutionStatus::WaitingForDependencies);
        assert_eq!(context.earliest_due_in, Some(Duration::from_secs(4)));
        assert_eq!(context.health_status, HealthStatus::Recovering);
    }
}
