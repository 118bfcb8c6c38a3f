//! What to do about a task, as a pure function of its context.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tasker_types::{Backoff, ExecutionStatus, TaskContext};
use thiserror::Error;

/// What to do about a task that is pending or in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Complete it.
    Complete,
    /// Fail it.
    Fail {
        /// Why.
        reason: FailureReason,
    },
    /// Look at it again.
    LookAgain {
        /// When.
        after: Duration,
        /// Why.
        reason: LookAgainReason,
    },
}

/// Why a task is in error.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FailureReason {
    /// A step is in error and will not be tried again by itself.
    StepsInErrorState,
    /// A step was cancelled that others wait for.
    StepsCancelled,
    /// A step may not be started.
    StepsNotEligible,
    /// The task was not done by its deadline.
    DeadlineExceeded,
}

/// Why a task is looked at again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LookAgainReason {
    /// A step can be claimed.
    ReadyStepsAvailable,
    /// A step waits for its time.
    AwaitingDependencies,
    /// A step is in progress.
    StepsInProgress,
    /// Nothing is known about the task.
    ContextUnavailable,
}

/// A text that names no reason.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("`{text}` is no reason for a failed task")]
pub struct UnknownReason {
    text: String,
}

impl FailureReason {
    /// Every reason.
    pub const ALL: &[Self] = &[
        Self::StepsInErrorState,
        Self::StepsCancelled,
        Self::StepsNotEligible,
        Self::DeadlineExceeded,
    ];

    /// Returns the name that database and API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::StepsInErrorState => "steps_in_error_state",
            Self::StepsCancelled => "steps_cancelled",
            Self::StepsNotEligible => "steps_not_eligible",
            Self::DeadlineExceeded => "deadline_exceeded",
        }
    }
}

impl LookAgainReason {
    /// Returns the name that logs and API use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadyStepsAvailable => "ready_steps_available",
            Self::AwaitingDependencies => "awaiting_dependencies",
            Self::StepsInProgress => "steps_in_progress",
            Self::ContextUnavailable => "context_unavailable",
        }
    }
}

impl fmt::Display for FailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Display for LookAgainReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for FailureReason {
    type Err = UnknownReason;

    fn from_str(text: &str) -> Result<Self, UnknownReason> {
        let found = Self::ALL.iter().copied().find(|reason| reason.as_str() == text);
        found.ok_or_else(|| UnknownReason {
            text: text.to_owned(),
        })
    }
}

/// Decides what to do about a task that is pending or in progress; `None` when its context is not to be had.
pub fn decide(context: Option<&TaskContext>, backoff: &Backoff) -> Decision {
    let Some(context) = context else {
        let after = Duration::from_secs(backoff.default_reenqueue_delay);
        return Decision::LookAgain {
            after,
            reason: LookAgainReason::ContextUnavailable,
        };
    };
    let delays = &backoff.reenqueue_delays;
    let (seconds, reason) = match context.execution_status {
        ExecutionStatus::AllComplete => return Decision::Complete,
        ExecutionStatus::BlockedByFailures => {
            return Decision::Fail {
                reason: blocked_by(context),
            };
        }
        ExecutionStatus::HasReadySteps => (delays.has_ready_steps, LookAgainReason::ReadyStepsAvailable),
        ExecutionStatus::Processing => (delays.processing, LookAgainReason::StepsInProgress),
        ExecutionStatus::WaitingForDependencies => {
            let reason = LookAgainReason::AwaitingDependencies;
            if let Some(earliest) = context.earliest_due_in {
                let after = earliest
                    .saturating_add(Duration::from_secs(backoff.buffer_seconds))
                    .min(Duration::from_secs(backoff.max_backoff_seconds));
                return Decision::LookAgain { after, reason };
            }
            (delays.waiting_for_dependencies, reason)
        }
    };
    Decision::LookAgain {
        after: Duration::from_secs(seconds),
        reason,
    }
}

/// Says what blocks a task that is blocked by failures.
fn blocked_by(context: &TaskContext) -> FailureReason {
    if context.failed_steps > 0 {
        FailureReason::StepsInErrorState
    } else if context.cancelled_steps > 0 {
        FailureReason::StepsCancelled
    } else {
        FailureReason::StepsNotEligible
    }
}

#[cfg(test)]
mod tests {
    use tasker_types::{StepFacts, StepState, TaskState};

    use super::*;

    #[track_caller]
    fn check(steps: &[StepFacts], expected: Decision) {
        let context = TaskContext::of(TaskState::InProgress, steps);
        assert_eq!(decide(Some(&context), &Backoff::default()), expected);
    }

    fn step(state: StepState, attempts: u32) -> StepFacts {
        StepFacts {
            state,
            attempts,
            ..StepFacts::default()
        }
    }

    fn again(seconds: u64, reason: LookAgainReason) -> Decision {
        Decision::LookAgain {
            after: Duration::from_secs(seconds),
            reason,
        }
    }

    #[test]
    fn every_row_of_the_table() {
        let due_in = |seconds| Some(Duration::from_secs(seconds));
        check(
            &[step(StepState::Complete, 1), step(StepState::ResolvedManually, 0)],
            Decision::Complete,
        );
        check(
            &[step(StepState::Error, 3)],
            Decision::Fail {
                reason: FailureReason::StepsInErrorState,
            },
        );
        check(
            &[
                step(StepState::Cancelled, 0),
                StepFacts {
                    unmet_parents: 1,
                    ..StepFacts::default()
                },
            ],
            Decision::Fail {
                reason: FailureReason::StepsCancelled,
            },
        );
        check(
            &[step(StepState::Pending, 3)],
            Decision::Fail {
                reason: FailureReason::StepsNotEligible,
            },
        );
        check(
            &[step(StepState::Pending, 0)],
            again(0, LookAgainReason::ReadyStepsAvailable),
        );
        check(
            &[step(StepState::InProgress, 1)],
            again(10, LookAgainReason::StepsInProgress),
        );
        let waits = |seconds| StepFacts {
            due_in: due_in(seconds),
            ..step(StepState::Error, 1)
        };
        check(
            &[waits(60), waits(7)],
            again(12, LookAgainReason::AwaitingDependencies),
        );
        check(&[waits(299)], again(300, LookAgainReason::AwaitingDependencies));
        assert_eq!(
            decide(None, &Backoff::default()),
            again(30, LookAgainReason::ContextUnavailable)
        );
    }

    #[test]
    fn a_wait_of_unknown_length_has_a_delay_of_its_own() {
        let mut context = TaskContext::of(
            TaskState::InProgress,
            &[StepFacts {
                due_in: Some(Duration::from_secs(1)),
                ..StepFacts::default()
            }],
        );
        context.earliest_due_in = None;
        let decision = decide(Some(&context), &Backoff::default());
        assert_eq!(decision, again(45, LookAgainReason::AwaitingDependencies));
    }

    #[test]
    fn an_exhausted_step_does_not_take_a_siblings_retry_away() {
        let waiting = StepFacts {
            due_in: Some(Duration::from_secs(3)),
            ..step(StepState::Error, 1)
        };
        check(
            &[step(StepState::Error, 3), waiting],
            again(8, LookAgainReason::AwaitingDependencies),
        );
    }

    #[test]
    fn reasons_to_look_again_have_the_names_of_the_api() {
        let reasons = [
            (LookAgainReason::ReadyStepsAvailable, "ready_steps_available"),
            (LookAgainReason::AwaitingDependencies, "awaiting_dependencies"),
            (LookAgainReason::StepsInProgress, "steps_in_progress"),
            (LookAgainReason::ContextUnavailable, "context_unavailable"),
        ];
        for (reason, name) in reasons {
            assert_eq!(
                (reason.as_str(), format!("{reason:>24}")),
                (name, format!("{name:>24}"))
            );
        }
    }
}
