//! The steps in error, and what each of them holds up.

use std::fmt;

use tasker_types::{GraphWeights, HealthStatus, StepFacts, StepState, TaskContext, TaskState, Timestamp};

use super::bottlenecks::severity;
use super::closure::Descendants;
use super::number::tenths;
use super::words::{Degree, Severity, Strategy};

/// How many errors are named to be looked at first.
const PRIORITIES: usize = 3;

/// The steps in error.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorChains {
    /// How many steps are in error.
    pub total_error_steps: usize,
    /// They in percent of all steps, one decimal.
    pub error_percentage: f64,
    /// How many steps wait that come after any of them, each counted once.
    pub total_blocked_by_errors: usize,
    /// All of them, the one with the highest impact first.
    pub chains: Vec<ErrorChain>,
    /// Which to look at first, at most three; none when the task is final.
    pub recovery_priority: Vec<RecoveryPriority>,
    /// How the task fares.
    pub task_health: HealthStatus,
}

/// A step in error with what comes after it.
#[derive(Clone, Debug, PartialEq)]
pub struct ErrorChain {
    /// The place of the step in step order.
    pub step: usize,
    /// How many steps come after it; [`Analysis::descendants`](super::Analysis::descendants) lists them.
    pub total_downstream_steps: usize,
    /// How many of these wait for a parent.
    pub blocked_downstream_steps: usize,
    /// What all this weighs.
    pub total_impact: f64,
    /// Whether and when it is tried again.
    pub retry: RetryAnalysis,
    /// What can be done, the first choice first.
    pub strategies: Vec<Recovery>,
}

/// Whether and when a step is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryAnalysis {
    /// Its attempts are used up.
    pub exhausted: bool,
    /// How many attempts it has left; 0 if it may not be tried again.
    pub remaining_attempts: u32,
    /// It waits for its time.
    pub in_backoff: bool,
    /// It may be tried again.
    pub retryable: bool,
    /// When it is due, if it waits and the facts say when they were taken.
    pub next_retry_at: Option<Timestamp>,
}

/// A way out of an error, and how urgent it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Recovery {
    /// What to do.
    pub strategy: Strategy,
    /// High for what needs a person, Medium for what should be watched, Low for waiting.
    pub priority: Degree,
    /// What is said about it.
    why: Why,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    UsedUp(u32),
    MoreMayHelp(u32),
    NotRetryable,
    Resolve,
    At(Option<Timestamp>),
    Remaining(u32),
}

impl Recovery {
    /// Returns what is said about it, in a sentence.
    pub fn description(&self) -> impl fmt::Display + use<> {
        self.why
    }
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UsedUp(attempts) => {
                write!(
                    f,
                    "All {attempts} attempts are used up: resolve the step or reset it"
                )
            }
            Self::MoreMayHelp(limit) => write!(
                f,
                "If the error passes by itself, allow more than {limit} attempts"
            ),
            Self::NotRetryable => {
                f.write_str("The step is not tried again by itself: find out what is wrong")
            }
            Self::Resolve => f.write_str("Then reset the step, or resolve it with a result"),
            Self::At(Some(time)) => write!(f, "The step is tried again at {time}"),
            Self::At(None) => f.write_str("The step is tried again when its time has come"),
            Self::Remaining(1) => f.write_str("The step is due and has 1 attempt left"),
            Self::Remaining(left) => write!(f, "The step is due and has {left} attempts left"),
        }
    }
}

/// An error to look at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecoveryPriority {
    /// The place of the step in step order.
    pub step: usize,
    /// How severe it is.
    pub level: Severity,
    /// How many steps wait for it.
    pub blocked_downstream_steps: usize,
    /// What to do.
    pub action: Strategy,
}

/// What all errors of a task have in common.
#[derive(Clone, Copy)]
pub(crate) struct Task<'a> {
    pub(crate) state: TaskState,
    pub(crate) taken_at: Option<Timestamp>,
    pub(crate) facts: &'a [StepFacts],
    pub(crate) counts: &'a Descendants,
    pub(crate) context: &'a TaskContext,
    pub(crate) weights: &'a GraphWeights,
}

impl ErrorChains {
    /// Lists the errors; `blocked` is how many steps wait for any of them.
    pub(crate) fn new(task: Task<'_>, blocked: usize) -> Self {
        let is_error = |step: &usize| task.facts[*step].state == StepState::Error;
        let mut chains: Vec<ErrorChain> = (0..task.facts.len())
            .filter(is_error)
            .map(|step| chain(step, task))
            .collect();
        // The sort is stable: equals stay in step order.
        chains.sort_by(|left, right| right.total_impact.total_cmp(&left.total_impact));
        let first = if task.state.is_final() { 0 } else { PRIORITIES };
        let recovery_priority = chains
            .iter()
            .take(first)
            .map(|chain| RecoveryPriority {
                step: chain.step,
                level: severity(task.weights, chain.total_impact),
                blocked_downstream_steps: chain.blocked_downstream_steps,
                action: chain.strategies[0].strategy,
            })
            .collect();
        Self {
            total_error_steps: chains.len(),
            error_percentage: tenths(chains.len(), task.facts.len()),
            total_blocked_by_errors: blocked,
            recovery_priority,
            chains,
            task_health: task.context.health_status,
        }
    }
}

fn chain(step: usize, task: Task<'_>) -> ErrorChain {
    let facts = &task.facts[step];
    let impact = &task.weights.impact_scoring;
    let penalty = &task.weights.penalty_calculation;
    let (all, blocked) = (task.counts.all[step], task.counts.blocked[step]);
    let exhausted = if facts.exhausted() {
        penalty.exhausted_retry
    } else {
        0.0
    };
    let in_backoff = facts.in_backoff();
    let next_retry_at = task
        .taken_at
        .zip(facts.due_in.filter(|_| in_backoff))
        .map(|(now, wait)| now.plus(wait));
    let retry = RetryAnalysis {
        exhausted: facts.exhausted(),
        remaining_attempts: match facts.retry_eligible() {
            true => facts.retry_limit.saturating_sub(facts.attempts),
            false => 0,
        },
        in_backoff,
        retryable: facts.retry_eligible(),
        next_retry_at,
    };
    ErrorChain {
        step,
        total_downstream_steps: all as usize,
        blocked_downstream_steps: blocked as usize,
        total_impact: f64::from(blocked) * impact.blocked_weight
            + f64::from(all) * impact.downstream_weight
            + exhausted
            + f64::from(facts.attempts) * penalty.retry_instability,
        strategies: strategies(facts, &retry),
        retry,
    }
}

fn strategies(facts: &StepFacts, retry: &RetryAnalysis) -> Vec<Recovery> {
    let recovery = |strategy, priority, why| Recovery {
        strategy,
        priority,
        why,
    };
    if retry.exhausted && facts.retryable && !facts.permanent {
        vec![
            recovery(
                Strategy::ManualResolution,
                Degree::High,
                Why::UsedUp(facts.attempts),
            ),
            recovery(
                Strategy::IncreaseRetryLimit,
                Degree::Medium,
                Why::MoreMayHelp(facts.retry_limit),
            ),
        ]
    } else if !retry.retryable {
        vec![
            recovery(Strategy::InvestigateRootCause, Degree::High, Why::NotRetryable),
            recovery(Strategy::ManualResolution, Degree::High, Why::Resolve),
        ]
    } else if retry.in_backoff {
        vec![recovery(
            Strategy::WaitForBackoff,
            Degree::Low,
            Why::At(retry.next_retry_at),
        )]
    } else {
        vec![recovery(
            Strategy::MonitorRetries,
            Degree::Medium,
            Why::Remaining(retry.remaining_attempts),
        )]
    }
}
