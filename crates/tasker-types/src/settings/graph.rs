//! What weighs how much when a task is analysed.

use super::{Check, section, table};

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
        downstream_weight: f64 = 5.0; ">= 0",
        /// For each of these that is blocked.
        blocked_weight: f64 = 15.0; ">= 0",
        /// For each step of a path.
        path_length_weight: f64 = 10.0; ">= 0",
        /// Taken off for each completed step of a path.
        completed_penalty: f64 = 15.0; ">= 0",
        /// For each blocked step of a path.
        blocked_penalty: f64 = 25.0; ">= 0",
        /// For each step in error on a path.
        error_penalty: f64 = 30.0; ">= 0",
        /// For each step in retry on a path.
        retry_penalty: f64 = 10.0; ">= 0",
    }
}

table! {
    /// Factors by the state of a bottleneck.
    StateSeverity {
        /// It is in error.
        error_state: f64 = 2.0; ">= 0",
        /// Added when its attempts are used up.
        exhausted_retry_bonus: f64 = 0.5; ">= 0",
        /// It is pending and waits for a parent.
        dependency_issue: f64 = 1.2; ">= 0",
    }
}

table! {
    /// What is added to a bottleneck's score.
    PenaltyCalculation {
        /// For each attempt.
        retry_instability: f64 = 3.0; ">= 0",
        /// When it may not be tried again.
        non_retryable: f64 = 10.0; ">= 0",
        /// When its attempts are used up.
        exhausted_retry: f64 = 20.0; ">= 0",
    }
}

table! {
    /// From which score on a bottleneck has which severity.
    SeverityThresholds {
        /// Critical from here on.
        critical: f64 = 100.0; "> high",
        /// High from here on.
        high: f64 = 50.0; "> medium",
        /// Medium from here on; low below.
        medium: f64 = 20.0; "> 0",
    }
}

table! {
    /// What a step is taken to last, in seconds.
    DurationEstimates {
        /// Every step.
        base_step_seconds: f64 = 30.0; ">= 0",
        /// More for a step in error.
        error_penalty_seconds: f64 = 60.0; ">= 0",
        /// More for each attempt.
        retry_penalty_seconds: f64 = 30.0; ">= 0",
    }
}

section! {
    /// What weighs how much when a task is analysed.
    GraphWeights(DependencyGraphValues) in "dependency_graph"
}

impl DependencyGraphValues {
    fn check(&self, check: &mut Check) {
        let impact = &self.impact_scoring;
        let state = &self.state_severity;
        let penalty = &self.penalty_calculation;
        let duration = &self.duration_estimates;
        for (key, weight) in [
            ("impact_scoring.downstream_weight", impact.downstream_weight),
            ("impact_scoring.blocked_weight", impact.blocked_weight),
            ("impact_scoring.path_length_weight", impact.path_length_weight),
            ("impact_scoring.completed_penalty", impact.completed_penalty),
            ("impact_scoring.blocked_penalty", impact.blocked_penalty),
            ("impact_scoring.error_penalty", impact.error_penalty),
            ("impact_scoring.retry_penalty", impact.retry_penalty),
            ("state_severity.error_state", state.error_state),
            (
                "state_severity.exhausted_retry_bonus",
                state.exhausted_retry_bonus,
            ),
            ("state_severity.dependency_issue", state.dependency_issue),
            ("penalty_calculation.retry_instability", penalty.retry_instability),
            ("penalty_calculation.non_retryable", penalty.non_retryable),
            ("penalty_calculation.exhausted_retry", penalty.exhausted_retry),
            ("duration_estimates.base_step_seconds", duration.base_step_seconds),
            (
                "duration_estimates.error_penalty_seconds",
                duration.error_penalty_seconds,
            ),
            (
                "duration_estimates.retry_penalty_seconds",
                duration.retry_penalty_seconds,
            ),
        ] {
            check.number(0.0.., key, weight, "a number that is at least 0");
        }
        let SeverityThresholds {
            critical,
            high,
            medium,
        } = self.severity_thresholds;
        check.require(
            critical.is_finite() && critical > high && high > medium && medium > 0.0,
            "severity_thresholds",
            (critical, high, medium),
            "critical > high > medium > 0",
        );
    }
}
