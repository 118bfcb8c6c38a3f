//! The steps that hold others up, and the summary.

use std::cmp::Reverse;

use tasker_graph::{
    Analysis, Bottleneck, BottleneckType, Bottlenecks, ExecutionSummary, OverallHealth, OverallImpact,
    Recommendation, Resolution, ResolutionTime, Severity, StepState,
};
use tasker_types::HealthStatus;

use super::{Brute, of, same, set, size, tenths};

/// How many bottlenecks are listed.
const LISTED: usize = 10;

impl Brute<'_> {
    fn candidates(&self) -> u32 {
        let failed = self.error | self.cancelled;
        if self.is_final() {
            0
        } else if failed != 0 {
            failed
        } else {
            set(self.steps.len(), |step| {
                let known = &self.steps[step];
                matches!(known.state, StepState::Pending | StepState::InProgress)
                    && (known.blocked || known.attempts >= 2 || !known.eligible)
            })
        }
    }

    /// Returns the impact of a step, rounded half away from zero.
    fn impact_score(&self, step: usize) -> i64 {
        let known = &self.steps[step];
        let impact = &self.weights.impact_scoring;
        let state = &self.weights.state_severity;
        let penalty = &self.weights.penalty_calculation;
        let below = self.shape.below[step];
        let base = size(below) as i64 * tenths(impact.downstream_weight)
            + size(below & self.blocked) as i64 * tenths(impact.blocked_weight);
        let multiplier = match (known.state, known.exhausted, known.blocked) {
            (StepState::Error, true, _) => tenths(state.error_state) + tenths(state.exhausted_retry_bonus),
            (StepState::Error, false, _) => tenths(state.error_state),
            (StepState::Pending, _, true) => tenths(state.dependency_issue),
            _ => 10,
        };
        let mut penalties = i64::from(known.attempts) * tenths(penalty.retry_instability);
        if !known.eligible {
            penalties += tenths(penalty.non_retryable);
        }
        if known.exhausted {
            penalties += tenths(penalty.exhausted_retry);
        }
        // In hundredths, none of them negative.
        (base * multiplier + penalties * 10 + 50) / 100
    }

    fn bottleneck(&self, step: usize) -> Bottleneck {
        let known = &self.steps[step];
        let below = self.shape.below[step];
        let score = self.impact_score(step);
        let is_error = known.state == StepState::Error;
        let (resolution, time) = if known.state == StepState::Cancelled {
            (Resolution::ResetOrResolve, ResolutionTime::Immediate)
        } else if !known.eligible {
            (Resolution::Intervene, ResolutionTime::Immediate)
        } else if known.blocked {
            (Resolution::CheckUpstream, ResolutionTime::Upstream)
        } else if known.in_backoff {
            let wait = ResolutionTime::Wait(known.due_in.unwrap_or_default());
            (Resolution::WaitForBackoff, wait)
        } else if is_error {
            (Resolution::Investigate, ResolutionTime::NextCycle)
        } else {
            (Resolution::MonitorRetries, ResolutionTime::Unknown)
        };
        let kinds = [
            (known.state == StepState::Cancelled, BottleneckType::Cancelled),
            (!known.eligible, BottleneckType::PermanentFailure),
            (is_error, BottleneckType::ActiveError),
            (known.blocked, BottleneckType::DependencyBlock),
            (true, BottleneckType::RepeatedRetries),
        ];
        Bottleneck {
            step,
            downstream_steps: size(below),
            blocked_downstream_steps: size(below & self.blocked),
            impact_score: score,
            severity: self.severity(score * 100),
            kind: kinds
                .into_iter()
                .find(|(holds, _)| *holds)
                .map_or(BottleneckType::RepeatedRetries, |(_, kind)| kind),
            resolution,
            time,
        }
    }

    pub(super) fn compare_bottlenecks(&self, analysis: &Analysis) -> Result<(), String> {
        let candidates = self.candidates();
        let mut all: Vec<Bottleneck> = of(candidates).map(|step| self.bottleneck(step)).collect();
        // They are in step order, and the sort is stable.
        all.sort_by_key(|bottleneck| Reverse(bottleneck.impact_score));
        // Those that only wait for healthy parents are listed, and count for nothing else.
        let real = |bottleneck: &&Bottleneck| bottleneck.kind != BottleneckType::DependencyBlock;
        let severe = |severity| {
            let real = all.iter().filter(real);
            real.filter(|bottleneck| bottleneck.severity == severity).count()
        };
        let (critical, high) = (severe(Severity::Critical), severe(Severity::High));
        let below = of(candidates).fold(0, |set, step| set | self.shape.below[step]);
        let expected = Bottlenecks {
            total_bottlenecks: size(candidates),
            critical_bottlenecks: critical,
            high_bottlenecks: high,
            total_blocked_steps: size(below & self.blocked),
            overall_impact: self.overall_impact(all.iter().filter(real).count(), critical, high),
            task_health: self.context.health_status,
            task_completion: self.context.completion_percentage,
            listed: all.iter().copied().take(LISTED).collect(),
        };
        same("bottlenecks", analysis.bottlenecks(), &expected)?;
        for bottleneck in &expected.listed {
            let text = match bottleneck.time {
                ResolutionTime::Immediate => "Immediate action needed",
                ResolutionTime::Upstream => "Depends on upstream steps",
                ResolutionTime::Wait(wait) if wait.as_millis() <= 60_000 => "1 minute",
                ResolutionTime::Wait(_) => "2 minutes",
                ResolutionTime::NextCycle => "Within next retry cycle",
                ResolutionTime::Unknown => "Unknown",
            };
            same("time", bottleneck.time.to_string().as_str(), text)?;
        }
        same("summary", analysis.summary(), &self.summary(&expected))
    }

    fn overall_impact(&self, real: usize, critical: usize, high: usize) -> OverallImpact {
        let stuck = self.steps.iter().filter(|step| step.stuck).count();
        match (real, critical, high) {
            (0, _, _) => OverallImpact::None,
            (_, 3.., _) => OverallImpact::Severe,
            _ if stuck > self.steps.len() / 2 => OverallImpact::Severe,
            (_, 1.., _) | (_, _, 3..) => OverallImpact::High,
            _ if self.context.health_status == HealthStatus::Blocked => OverallImpact::High,
            (_, _, 1..) | (5.., _, _) => OverallImpact::Medium,
            _ => OverallImpact::Low,
        }
    }

    fn summary(&self, bottlenecks: &Bottlenecks) -> ExecutionSummary {
        let critical = bottlenecks.critical_bottlenecks;
        let depth = self.shape.paths.iter().map(|path| path.steps.len()).max();
        let efficiency = self.efficiency();
        let stuck_in_error = of(self.error).any(|step| self.steps[step].stuck);
        let is_left = self
            .steps
            .iter()
            .any(|step| step.state != StepState::Cancelled && !super::is_done(step.state));
        let mut recommendations: Vec<Recommendation> = [
            (critical > 0, Recommendation::ClearBottlenecks),
            (self.error != 0, Recommendation::ResolveErrors),
            (is_left && efficiency < 50.0, Recommendation::WidenParallelism),
        ]
        .into_iter()
        .filter(|(holds, _)| *holds)
        .map(|(_, recommendation)| recommendation)
        .collect();
        if recommendations.is_empty() {
            recommendations.push(Recommendation::Nothing);
        }
        ExecutionSummary {
            total_steps: self.steps.len(),
            total_dependencies: self.shape.edges.len(),
            dependency_levels: depth.unwrap_or(0),
            longest_path_length: depth.unwrap_or(0),
            critical_bottlenecks: critical,
            error_chains: size(self.error),
            parallelism_efficiency: efficiency,
            overall_health: if critical > 0 || stuck_in_error {
                OverallHealth::Critical
            } else if bottlenecks.high_bottlenecks > 0 {
                OverallHealth::Warning
            } else {
                OverallHealth::Healthy
            },
            recommendations,
        }
    }
}
