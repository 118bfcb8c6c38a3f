//! Weights as whole numbers, so that equal scores are equal.
//!
//! A weight is what it is written as: `0.1` is a tenth, not the binary number next to it. All weights of a score are
//! counted in one unit, the smallest decimal place that any of them has, so that sums of them are exact.

use tasker_types::{GraphWeights, StepFacts};

use super::error::AnalysisError;

/// What a step adds to the raw score of a path, in sixtieths of the unit.
///
/// The score has a thirtieth (two points a minute) and a half (the factor of a task that is not healthy).
#[derive(Clone, Copy, Debug)]
pub(crate) struct PathWeights {
    step: i128,
    completed: i128,
    blocked: i128,
    error: i128,
    retry: i128,
    attempt: i128,
    error_seconds: i128,
}

impl PathWeights {
    /// Converts the weights for tasks of so many steps; `is_healthy` decides on the factor of what blocks.
    pub(crate) fn new(weights: &GraphWeights, steps: usize, is_healthy: bool) -> Result<Self, AnalysisError> {
        let error = AnalysisError::Weights { steps };
        let impact = &weights.impact_scoring;
        let duration = &weights.duration_estimates;
        let units = in_one_unit(&[
            impact.path_length_weight,
            impact.completed_penalty,
            impact.blocked_penalty,
            impact.error_penalty,
            impact.retry_penalty,
            duration.base_step_seconds,
            duration.error_penalty_seconds,
            duration.retry_penalty_seconds,
        ])
        .ok_or_else(|| error.clone())?;
        let [
            length,
            completed,
            blocked,
            failed,
            retry,
            base,
            error_seconds,
            attempt,
        ] = units[..]
        else {
            return Err(error);
        };
        // Not the sum of any path comes near the bound when not even all steps at their worst do.
        let once = [length, completed, blocked, failed, retry, base, error_seconds];
        let worst = attempt.checked_mul(i128::from(u32::MAX)).and_then(|attempts| {
            let sum = once
                .iter()
                .try_fold(attempts, |sum, unit| sum.checked_add(*unit))?;
            sum.checked_mul(90)?
                .checked_mul(i128::try_from(steps).ok()?.max(1))
        });
        if worst.is_none() || !scores_fit(weights, steps) {
            return Err(error);
        }
        let factor = if is_healthy { 60 } else { 90 };
        Ok(Self {
            step: length * 60 + base * 2,
            completed: completed * 60,
            blocked: blocked * factor,
            error: failed * factor,
            retry: retry * 60,
            attempt: attempt * 2,
            error_seconds: error_seconds * 2,
        })
    }

    /// Returns what a step adds to every path that leads through it.
    pub(crate) fn of(&self, facts: &StepFacts) -> i128 {
        let mut sum = self.step + self.attempt * i128::from(facts.attempts);
        if facts.state.is_done() {
            sum -= self.completed;
        }
        if facts.blocked() {
            sum += self.blocked;
        }
        if facts.state == tasker_types::StepState::Error {
            sum += self.error + self.error_seconds;
            if facts.attempts > 0 {
                sum += self.retry;
            }
        }
        sum
    }
}

/// Tells whether scores stay within what a floating-point number and a signed integer of 64 bits hold.
fn scores_fit(weights: &GraphWeights, steps: usize) -> bool {
    let steps = steps as f64;
    let attempts = f64::from(u32::MAX);
    let impact = &weights.impact_scoring;
    let penalty = &weights.penalty_calculation;
    let state = &weights.state_severity;
    let duration = &weights.duration_estimates;
    let base = steps * (impact.downstream_weight + impact.blocked_weight);
    let factor = (state.error_state + state.exhausted_retry_bonus)
        .max(state.dependency_issue)
        .max(1.0);
    let penalties = attempts * penalty.retry_instability + penalty.non_retryable + penalty.exhausted_retry;
    let path = impact.path_length_weight
        + impact.completed_penalty
        + (impact.blocked_penalty + impact.error_penalty) * 1.5
        + impact.retry_penalty
        + duration.base_step_seconds
        + duration.error_penalty_seconds
        + duration.retry_penalty_seconds * attempts;
    base * factor + penalties < i64::MAX as f64 && (path * steps).is_finite()
}

/// Returns numbers as multiples of the largest power of ten that divides all of them, if they fit.
fn in_one_unit(numbers: &[f64]) -> Option<Vec<i128>> {
    let decimals: Vec<(i128, i32)> = numbers
        .iter()
        .map(|number| decimal(*number))
        .collect::<Option<_>>()?;
    let unit = decimals
        .iter()
        .filter(|(digits, _)| *digits != 0)
        .map(|(_, exponent)| *exponent)
        .min();
    let unit = unit.unwrap_or(0);
    decimals
        .into_iter()
        .map(|(digits, exponent)| match digits {
            0 => Some(0),
            _ => digits.checked_mul(10_i128.checked_pow(u32::try_from(exponent - unit).ok()?)?),
        })
        .collect()
}

/// Takes a number apart into the digits of its shortest notation and a power of ten.
fn decimal(number: f64) -> Option<(i128, i32)> {
    let text = format!("{number:e}");
    let (digits, exponent) = text.split_once('e')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let digits: i128 = format!("{whole}{fraction}").parse().ok()?;
    Some((digits, exponent - i32::try_from(fraction.len()).ok()?))
}

#[cfg(test)]
mod tests {
    use tasker_types::{DependencyGraphValues, Section};

    use super::*;

    #[test]
    fn a_decimal_is_what_is_written() {
        assert_eq!(decimal(0.1), Some((1, -1)));
        assert_eq!(decimal(25.0), Some((25, 0)));
        assert_eq!(decimal(1500.0), Some((15, 2)));
        assert_eq!(decimal(0.0), Some((0, 0)));
        assert_eq!(decimal(f64::INFINITY), None);
        assert_eq!(in_one_unit(&[0.1, 0.0, 25.0, 1.35]), Some(vec![10, 0, 2500, 135]));
        assert_eq!(in_one_unit(&[1500.0, 0.0]), Some(vec![15, 0]));
    }

    #[test]
    fn three_tenths_are_three_times_a_tenth() {
        let units = in_one_unit(&[0.1, 0.3]).unwrap();
        assert_eq!(units[0] * 3, units[1]);
    }

    #[test]
    fn weights_that_no_exact_sum_holds_are_refused() {
        let with = |length: f64, retry: f64| {
            let mut values = DependencyGraphValues::default();
            values.impact_scoring.path_length_weight = length;
            values.impact_scoring.retry_penalty = retry;
            PathWeights::new(&GraphWeights::check(values).unwrap(), 1_000_000, false)
        };
        assert!(with(1.0 / 3.0, 10.0).is_ok());
        assert_eq!(
            with(1e300, 1e-300).unwrap_err(),
            AnalysisError::Weights { steps: 1_000_000 }
        );
        assert_eq!(
            with(1e31, 0.0).unwrap_err().to_string(),
            "the weights are too large, or too far apart, for exact scores of 1000000 steps; lower them or give them \
             fewer digits"
        );
    }

    /// A weight, and how often it counts at most for each step of a path, or for a bottleneck of a thousand steps.
    type Part = (fn(&mut DependencyGraphValues) -> &mut f64, f64);

    const STEPS: usize = 1_000;
    const ATTEMPTS: f64 = u32::MAX as f64;

    const OF_BOTTLENECKS: [Part; 5] = [
        (|values| &mut values.impact_scoring.downstream_weight, 1_000.0),
        (|values| &mut values.impact_scoring.blocked_weight, 1_000.0),
        (
            |values| &mut values.penalty_calculation.retry_instability,
            ATTEMPTS,
        ),
        (|values| &mut values.penalty_calculation.non_retryable, 1.0),
        (|values| &mut values.penalty_calculation.exhausted_retry, 1.0),
    ];

    const OF_PATHS: [Part; 8] = [
        (|values| &mut values.impact_scoring.path_length_weight, 1_000.0),
        (|values| &mut values.impact_scoring.completed_penalty, 1_000.0),
        (|values| &mut values.impact_scoring.blocked_penalty, 1_500.0),
        (|values| &mut values.impact_scoring.error_penalty, 1_500.0),
        (|values| &mut values.impact_scoring.retry_penalty, 1_000.0),
        (|values| &mut values.duration_estimates.base_step_seconds, 1_000.0),
        (
            |values| &mut values.duration_estimates.error_penalty_seconds,
            1_000.0,
        ),
        (
            |values| &mut values.duration_estimates.retry_penalty_seconds,
            1_000.0 * ATTEMPTS,
        ),
    ];

    const OF_STATES: [Part; 3] = [
        (|values| &mut values.state_severity.error_state, 1.0),
        (|values| &mut values.state_severity.exhausted_retry_bonus, 1.0),
        (|values| &mut values.state_severity.dependency_issue, 1.0),
    ];

    /// Tells whether scores fit whose weights are so large, and 0 besides.
    fn fit(weights: &[(Part, f64)]) -> bool {
        let mut values = DependencyGraphValues::default();
        for (weight, _) in OF_BOTTLENECKS.iter().chain(&OF_PATHS).chain(&OF_STATES) {
            *weight(&mut values) = 0.0;
        }
        for ((weight, count), sum) in weights {
            *weight(&mut values) = sum / count;
        }
        scores_fit(&GraphWeights::check(values).unwrap(), STEPS)
    }

    #[test]
    fn scores_fit_up_to_the_largest_number() {
        for (parts, most) in [(&OF_BOTTLENECKS[..], i64::MAX as f64), (&OF_PATHS, f64::MAX)] {
            for (place, part) in parts.iter().enumerate() {
                assert!(fit(&[(*part, most * 0.99)]), "weight {place}");
                if most < f64::MAX {
                    assert!(!fit(&[(*part, most * 1.01)]), "weight {place}");
                }
                for other in &parts[..place] {
                    assert!(
                        fit(&[(*part, most * 0.4), (*other, most * 0.4)]),
                        "weight {place}"
                    );
                    assert!(
                        !fit(&[(*part, most * 0.6), (*other, most * 0.6)]),
                        "weight {place}"
                    );
                }
            }
        }
    }

    #[test]
    fn the_first_number_that_no_integer_holds_does_not_fit() {
        let single = OF_BOTTLENECKS[3];
        assert!(!fit(&[(single, i64::MAX as f64)]));
        assert!(fit(&[(single, (i64::MAX as f64).next_down())]));
    }

    #[test]
    fn factors_of_states_count() {
        let [error, bonus, waiting] = OF_STATES;
        let half = (OF_BOTTLENECKS[0], i64::MAX as f64 / 2.0);
        assert!(fit(&[half, (error, 1.0), (bonus, 0.9)]));
        assert!(!fit(&[half, (error, 1.2), (bonus, 1.0)]));
        assert!(fit(&[half, (waiting, 1.9)]));
        assert!(!fit(&[half, (waiting, 2.1)]));
    }

    #[test]
    fn a_retry_counts_from_the_first_attempt_on() {
        let weights = PathWeights::new(&GraphWeights::default(), 1, true).unwrap();
        let failed = |attempts| {
            weights.of(&StepFacts {
                state: tasker_types::StepState::Error,
                attempts,
                ..StepFacts::default()
            })
        };
        assert_eq!(failed(1) - failed(0), weights.retry + weights.attempt);
        assert_eq!(failed(2) - failed(1), weights.attempt);
    }
}
