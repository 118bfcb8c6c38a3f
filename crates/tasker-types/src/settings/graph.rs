//! What weighs how much when a task is analysed.

use super::{Bounds, Check, section, table};

/// Weights, factors and times.
const WEIGHT: Bounds = Bounds::at_least(0.0);

/// Thresholds.
const SCORE: Bounds = Bounds::above(0.0);

table! {
    /// The values of [`GraphWeights`].
    DependencyGraphValues {
        /// What a step's place among the others counts for.
        impact_scoring: ImpactScoring = ImpactScoring::default() => ImpactScoring,
        /// Factors by the state of a bottleneck.
        state_severity: StateSeverity = StateSeverity::default() => StateSeverity,
        /// What is added to a bottleneck's score.
        penalty_calculation: PenaltyCalculation = PenaltyCalculation::default() => PenaltyCalculation,
        /// From which score on a bottleneck has which severity.
        severity_thresholds: SeverityThresholds = SeverityThresholds::default() => SeverityThresholds,
        /// What a step is taken to last.
        duration_estimates: DurationEstimates = DurationEstimates::default() => DurationEstimates,
    }
}

table! {
    /// What a step's place among the others counts for.
    ImpactScoring {
        /// For each step that comes after it.
        downstream_weight: f64 = 5.0; in WEIGHT,
        /// For each of these that is blocked.
        blocked_weight: f64 = 15.0; in WEIGHT,
        /// For each step of a path.
        path_length_weight: f64 = 10.0; in WEIGHT,
        /// Taken off for each completed step of a path.
        completed_penalty: f64 = 15.0; in WEIGHT,
        /// For each blocked step of a path.
        blocked_penalty: f64 = 25.0; in WEIGHT,
        /// For each step in error on a path.
        error_penalty: f64 = 30.0; in WEIGHT,
        /// For each step in retry on a path.
        retry_penalty: f64 = 10.0; in WEIGHT,
    }
}

table! {
    /// Factors by the state of a bottleneck.
    StateSeverity {
        /// It is in error.
        error_state: f64 = 2.0; in WEIGHT,
        /// Added when its attempts are used up.
        exhausted_retry_bonus: f64 = 0.5; in WEIGHT,
        /// It is pending and waits for a parent.
        dependency_issue: f64 = 1.2; in WEIGHT,
    }
}

table! {
    /// What is added to a bottleneck's score.
    PenaltyCalculation {
        /// For each attempt.
        retry_instability: f64 = 3.0; in WEIGHT,
        /// When it may not be tried again.
        non_retryable: f64 = 10.0; in WEIGHT,
        /// When its attempts are used up.
        exhausted_retry: f64 = 20.0; in WEIGHT,
    }
}

table! {
    /// From which score on a bottleneck has which severity.
    SeverityThresholds {
        /// Critical from here on.
        critical: f64 = 100.0; in SCORE; "more than `severity_thresholds.high`",
        /// High from here on.
        high: f64 = 50.0; in SCORE; "more than `severity_thresholds.medium`",
        /// Medium from here on; low below.
        medium: f64 = 20.0; in SCORE,
    }
}

table! {
    /// What a step is taken to last, in seconds.
    DurationEstimates {
        /// Every step.
        base_step_seconds: f64 = 30.0; in WEIGHT,
        /// More for a step in error.
        error_penalty_seconds: f64 = 60.0; in WEIGHT,
        /// More for each attempt.
        retry_penalty_seconds: f64 = 30.0; in WEIGHT,
    }
}

section! {
    /// What weighs how much when a task is analysed.
    GraphWeights(DependencyGraphValues) in "dependency_graph"
}

impl DependencyGraphValues {
    fn check(&self, check: &mut Check) {
        let SeverityThresholds {
            critical,
            high,
            medium,
        } = self.severity_thresholds;
        check.require(
            critical > high,
            "severity_thresholds.critical",
            &critical,
            "more than `severity_thresholds.high`",
        );
        check.require(
            high > medium,
            "severity_thresholds.high",
            &high,
            "more than `severity_thresholds.medium`",
        );
    }
}
