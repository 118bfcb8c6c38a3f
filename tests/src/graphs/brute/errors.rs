//! The steps in error.

use std::cmp::Reverse;

use tasker_graph::{
    Analysis, Degree, ErrorChain, ErrorChains, Recovery, RecoveryPriority, RetryAnalysis, Strategy,
};

use super::{Brute, near, of, percent, same, size, tenths};

/// How many errors are named to be looked at first.
const FIRST: usize = 3;

/// A way out of an error, how urgent it is, and what is said about it.
type Way = (Strategy, Degree, String);

impl Brute<'_> {
    /// Returns what a step in error weighs, in tenths.
    fn total_impact(&self, step: usize) -> i64 {
        let impact = &self.weights.impact_scoring;
        let penalty = &self.weights.penalty_calculation;
        let below = self.shape.below[step];
        let known = &self.steps[step];
        let exhausted = if known.exhausted {
            tenths(penalty.exhausted_retry)
        } else {
            0
        };
        size(below & self.blocked) as i64 * tenths(impact.blocked_weight)
            + size(below) as i64 * tenths(impact.downstream_weight)
            + exhausted
            + i64::from(known.attempts) * tenths(penalty.retry_instability)
    }

    pub(super) fn compare_errors(&self, analysis: &Analysis) -> Result<(), String> {
        let ErrorChains {
            total_error_steps,
            error_percentage,
            total_blocked_by_errors,
            chains,
            recovery_priority,
            task_health,
        } = analysis.error_chains();
        let errors = size(self.error);
        same("total_error_steps", *total_error_steps, errors)?;
        let share = percent(errors, self.steps.len(), 10);
        same("error_percentage", *error_percentage, share)?;
        let below = of(self.error).fold(0, |set, step| set | self.shape.below[step]);
        let waiting = size(below & self.blocked);
        same("total_blocked_by_errors", *total_blocked_by_errors, waiting)?;
        same("task_health", *task_health, self.context.health_status)?;
        let mut ranked: Vec<usize> = of(self.error).collect();
        ranked.sort_by_key(|step| Reverse(self.total_impact(*step)));
        same("error chains", chains.len(), errors)?;
        for (chain, step) in chains.iter().zip(&ranked) {
            self.compare_chain(chain, *step)?;
        }
        if self.is_final() {
            ranked.clear();
        }
        ranked.truncate(FIRST);
        let priority = |step: usize| RecoveryPriority {
            step,
            level: self.severity(self.total_impact(step) * 10),
            blocked_downstream_steps: size(self.shape.below[step] & self.blocked),
            action: self.ways(step)[0].0,
        };
        let expected: Vec<RecoveryPriority> = ranked.into_iter().map(priority).collect();
        same("recovery_priority", recovery_priority, &expected)
    }

    fn compare_chain(&self, chain: &ErrorChain, expected: usize) -> Result<(), String> {
        let ErrorChain {
            step,
            total_downstream_steps,
            blocked_downstream_steps,
            total_impact,
            retry,
            strategies,
        } = chain;
        same("error chain", *step, expected)?;
        let below = self.shape.below[expected];
        same("total_downstream_steps", *total_downstream_steps, size(below))?;
        let waiting = size(below & self.blocked);
        same("blocked_downstream_steps", *blocked_downstream_steps, waiting)?;
        let impact = self.total_impact(expected) as f64 / 10.0;
        near("total_impact", *total_impact, impact)?;
        same("retry", *retry, self.retry(expected))?;
        let way = |found: &Recovery| (found.strategy, found.priority, found.description().to_string());
        let found: Vec<Way> = strategies.iter().map(way).collect();
        same("strategies", found, self.ways(expected))
    }

    fn retry(&self, step: usize) -> RetryAnalysis {
        let known = &self.steps[step];
        let at = |wait| self.task.taken_at.map(|now| now.plus(wait));
        RetryAnalysis {
            exhausted: known.exhausted,
            remaining_attempts: if known.eligible {
                known.retry_limit - known.attempts
            } else {
                0
            },
            in_backoff: known.in_backoff,
            retryable: known.eligible,
            next_retry_at: if known.in_backoff {
                known.due_in.and_then(at)
            } else {
                None
            },
        }
    }

    fn ways(&self, step: usize) -> Vec<Way> {
        let known = &self.steps[step];
        let retry = self.retry(step);
        let way = |strategy, priority, text: String| (strategy, priority, text);
        if known.exhausted && known.may_retry {
            let used_up = format!(
                "All {} attempts are used up: resolve the step or reset it",
                known.attempts
            );
            let more = format!(
                "If the error passes by itself, allow more than {} attempts",
                known.retry_limit
            );
            vec![
                way(Strategy::ManualResolution, Degree::High, used_up),
                way(Strategy::IncreaseRetryLimit, Degree::Medium, more),
            ]
        } else if !known.eligible {
            let investigate = "The step is not tried again by itself: find out what is wrong".to_owned();
            let resolve = "Then reset the step, or resolve it with a result".to_owned();
            vec![
                way(Strategy::InvestigateRootCause, Degree::High, investigate),
                way(Strategy::ManualResolution, Degree::High, resolve),
            ]
        } else if known.in_backoff {
            let text = match retry.next_retry_at {
                Some(time) => format!("The step is tried again at {time}"),
                None => "The step is tried again when its time has come".to_owned(),
            };
            vec![way(Strategy::WaitForBackoff, Degree::Low, text)]
        } else {
            let text = match retry.remaining_attempts {
                1 => "The step is due and has 1 attempt left".to_owned(),
                left => format!("The step is due and has {left} attempts left"),
            };
            vec![way(Strategy::MonitorRetries, Degree::Medium, text)]
        }
    }
}
