//! What decides whether a step may run.
//!
//! Everything here is a function of a few facts about one step. The stores answer the same questions with
//! counters; these functions say what the counters must amount to.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::StepState;

/// The facts about a step from which its readiness follows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StepFacts {
    /// The state of the step.
    pub state: StepState,
    /// Attempts since the last reset; an attempt counts from its claim.
    pub attempts: u32,
    /// How many attempts the step may have in all.
    pub retry_limit: u32,
    /// Whether a failed attempt may be followed by another.
    pub retryable: bool,
    /// Whether the last failure was permanent.
    pub permanent: bool,
    /// How many parents are neither complete nor resolved manually.
    pub unmet_parents: u32,
    /// How long until the step is due; `None` when nothing makes it wait.
    pub due_in: Option<Duration>,
}

impl Default for StepFacts {
    /// Returns a root step that has not run: pending, retryable, three attempts, due.
    fn default() -> Self {
        Self {
            state: StepState::Pending,
            attempts: 0,
            retry_limit: 3,
            retryable: true,
            permanent: false,
            unmet_parents: 0,
            due_in: None,
        }
    }
}

/// Why a step is not running: the first reason that applies.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum BlockingReason {
    /// It is complete, resolved manually or cancelled.
    Finished,
    /// A worker holds its lease.
    Running,
    /// A parent is not done.
    DependenciesNotSatisfied,
    /// It may not be tried again.
    RetryNotEligible,
    /// Its task is neither pending nor in progress.
    TaskNotActive,
    /// It waits for its time: a retry, or a first start in the future.
    WaitingForBackoff,
}

impl BlockingReason {
    /// Returns the name that API and command line use.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Finished => "finished",
            Self::Running => "running",
            Self::DependenciesNotSatisfied => "dependencies_not_satisfied",
            Self::RetryNotEligible => "retry_not_eligible",
            Self::TaskNotActive => "task_not_active",
            Self::WaitingForBackoff => "waiting_for_backoff",
        }
    }
}

impl fmt::Display for BlockingReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl StepFacts {
    /// Tells whether the step is waiting for a start: pending, or in error.
    const fn is_idle(&self) -> bool {
        matches!(self.state, StepState::Pending | StepState::Error)
    }

    /// Tells whether every parent is complete or resolved manually.
    pub const fn dependencies_satisfied(&self) -> bool {
        self.unmet_parents == 0
    }

    /// Tells whether the step has used up its attempts without an end.
    pub const fn exhausted(&self) -> bool {
        self.is_idle() && self.attempts >= self.retry_limit
    }

    /// Tells whether the step may be started (again), all else permitting.
    pub const fn retry_eligible(&self) -> bool {
        !self.is_idle() || (!self.exhausted() && !self.permanent && (self.retryable || self.attempts == 0))
    }

    /// Tells whether the step is complete, resolved manually or cancelled.
    pub const fn finished(&self) -> bool {
        self.state.is_finished()
    }

    /// Tells whether a parent that is not done keeps the step from ending.
    pub const fn blocked(&self) -> bool {
        !self.finished() && !self.dependencies_satisfied()
    }

    /// Tells whether the step moves no more without a person: cancelled, or waiting and not eligible.
    pub const fn stuck(&self) -> bool {
        matches!(self.state, StepState::Cancelled) || (self.is_idle() && !self.retry_eligible())
    }

    /// Tells whether the step is pending or in error and its time has not come, whatever else holds.
    pub fn in_backoff(&self) -> bool {
        self.is_idle() && self.due_in.is_some_and(|wait| !wait.is_zero())
    }

    /// Returns the first reason why the step is not running, or `None` if it is ready.
    pub fn blocking_reason(&self, task_is_active: bool) -> Option<BlockingReason> {
        if self.finished() {
            Some(BlockingReason::Finished)
        } else if self.state == StepState::InProgress {
            Some(BlockingReason::Running)
        } else if !self.dependencies_satisfied() {
            Some(BlockingReason::DependenciesNotSatisfied)
        } else if !self.retry_eligible() {
            Some(BlockingReason::RetryNotEligible)
        } else if !task_is_active {
            Some(BlockingReason::TaskNotActive)
        } else if self.in_backoff() {
            Some(BlockingReason::WaitingForBackoff)
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn facts() -> impl Strategy<Value = StepFacts> {
        (
            proptest::sample::select(StepState::ALL.to_vec()),
            (0u32..5, 1u32..5),
            any::<bool>(),
            any::<bool>(),
            0u32..3,
            proptest::option::of((0u64..3).prop_map(Duration::from_secs)),
        )
            .prop_map(
                |(state, (attempts, retry_limit), retryable, permanent, unmet_parents, due_in)| StepFacts {
                    state,
                    attempts,
                    retry_limit,
                    retryable,
                    permanent,
                    unmet_parents,
                    due_in,
                },
            )
    }

    proptest! {
        #[test]
        fn a_step_without_reason_is_ready_by_every_rule(facts in facts(), active: bool) {
            let ready = facts.is_idle()
                && facts.dependencies_satisfied()
                && facts.retry_eligible()
                && active
                && facts.due_in.is_none_or(|wait| wait.is_zero());
            prop_assert_eq!(facts.blocking_reason(active).is_none(), ready);
        }

        #[test]
        fn a_step_in_backoff_is_never_stuck_for_it(facts in facts()) {
            let due = StepFacts { due_in: None, ..facts.clone() };
            prop_assert_eq!(facts.stuck(), due.stuck());
        }
    }

    #[test]
    fn a_step_that_may_not_retry_runs_once() {
        let fresh = StepFacts {
            retryable: false,
            ..StepFacts::default()
        };
        assert!(fresh.retry_eligible());
        let failed = StepFacts {
            attempts: 1,
            state: StepState::Error,
            ..fresh
        };
        assert!(failed.stuck());
    }

    #[test]
    fn a_parent_keeps_back_what_is_not_finished() {
        for state in StepState::ALL {
            for unmet_parents in [0, 2] {
                let facts = StepFacts {
                    state: *state,
                    unmet_parents,
                    ..StepFacts::default()
                };
                let unfinished = matches!(
                    state,
                    StepState::Pending | StepState::InProgress | StepState::Error
                );
                assert_eq!(facts.blocked(), unfinished && unmet_parents > 0, "{facts:?}");
            }
        }
    }

    #[test]
    fn reasons_have_the_names_of_the_api() {
        let reasons = [
            (BlockingReason::Finished, "finished"),
            (BlockingReason::Running, "running"),
            (
                BlockingReason::DependenciesNotSatisfied,
                "dependencies_not_satisfied",
            ),
            (BlockingReason::RetryNotEligible, "retry_not_eligible"),
            (BlockingReason::TaskNotActive, "task_not_active"),
            (BlockingReason::WaitingForBackoff, "waiting_for_backoff"),
        ];
        for (reason, name) in reasons {
            assert_eq!(
                (reason.as_str(), format!("{reason:>30}")),
                (name, format!("{name:>30}"))
            );
        }
    }
}
