//! What the analysis must find, by enumerating every path and every set.

use tasker_graph::{
    Analysis, BottleneckType, OverallHealth, OverallImpact, Recommendation, StepFacts, StepState, analyze,
};

use crate::cases::Case;

/// A task with its sets as bits.
struct Brute<'a> {
    case: &'a Case,
    facts: Vec<StepFacts>,
    children: Vec<u32>,
    parents: Vec<u32>,
    below: Vec<u32>,
}

fn bits(set: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |bit| set >> bit & 1 == 1)
}

/// Checks that the analysis finds what brute force finds.
#[track_caller]
pub(crate) fn check(case: &Case) -> Analysis {
    let analysis = analyze(&case.facts, &case.edges_by_id(), &case.weights).unwrap();
    let brute = Brute::new(case);
    brute.check_paths(&analysis);
    brute.check_levels(&analysis);
    brute.check_errors(&analysis);
    brute.check_bottlenecks(&analysis);
    analysis
}

impl<'a> Brute<'a> {
    fn new(case: &'a Case) -> Self {
        let count = case.facts.steps.len();
        let (mut children, mut parents) = (vec![0; count], vec![0; count]);
        for (from, to) in &case.edges {
            children[*from] |= 1 << to;
            parents[*to] |= 1 << from;
        }
        let mut below = children.clone();
        for _ in 0..count {
            for step in 0..count {
                below[step] = bits(children[step]).fold(children[step], |set, child| set | below[child]);
            }
        }
        let mut facts: Vec<StepFacts> = case.facts.steps.iter().map(|step| step.facts.clone()).collect();
        for step in 0..count {
            let unmet = bits(parents[step])
                .filter(|parent| !facts[*parent].state.is_done())
                .count();
            facts[step].unmet_parents = unmet as u32;
        }
        Self {
            case,
            facts,
            children,
            parents,
            below,
        }
    }

    fn count(&self, set: u32, holds: impl Fn(&StepFacts) -> bool) -> usize {
        bits(set).filter(|step| holds(&self.facts[*step])).count()
    }

    fn all(&self) -> u32 {
        (1_u64 << self.facts.len()).wrapping_sub(1) as u32
    }

    fn paths(&self) -> Vec<Vec<usize>> {
        let mut paths = Vec::new();
        let mut open: Vec<Vec<usize>> = (0..self.facts.len())
            .filter(|s| self.parents[*s] == 0)
            .map(|s| vec![s])
            .collect();
        while let Some(path) = open.pop() {
            let last = path[path.len() - 1];
            if self.children[last] == 0 {
                paths.push(path);
                continue;
            }
            open.extend(bits(self.children[last]).map(|child| [path.clone(), vec![child]].concat()));
        }
        paths
    }

    fn is_healthy(&self) -> bool {
        let active = self.case.facts.state.is_active();
        let reasons: Vec<_> = self
            .facts
            .iter()
            .map(|facts| facts.blocking_reason(active))
            .collect();
        let waits =
            |facts: &StepFacts| active && facts.in_backoff() && !facts.blocked() && facts.retry_eligible();
        let moves = reasons.iter().any(Option::is_none)
            || self
                .facts
                .iter()
                .any(|facts| facts.state == StepState::InProgress || waits(facts))
            || self.facts.iter().all(|facts| facts.state.is_done());
        moves
            && !self
                .facts
                .iter()
                .any(|facts| facts.stuck() || facts.state == StepState::Error)
    }

    /// Returns the raw score of a path, in six-hundredths.
    fn raw(&self, path: &[usize]) -> i128 {
        let tenths = |weight: f64| (weight * 10.0).round() as i128;
        let impact = &self.case.weights.impact_scoring;
        let duration = &self.case.weights.duration_estimates;
        let factor = if self.is_healthy() { 60 } else { 90 };
        let counted = |holds: &dyn Fn(&StepFacts) -> bool| {
            path.iter().filter(|s| holds(&self.facts[**s])).count() as i128
        };
        let length = path.len() as i128;
        let completed = counted(&|facts| facts.state.is_done());
        let blocked = counted(&StepFacts::blocked);
        let errors = counted(&|facts| facts.state == StepState::Error);
        let retries = counted(&|facts| facts.state == StepState::Error && facts.attempts > 0);
        let attempts: i128 = path
            .iter()
            .map(|step| i128::from(self.facts[*step].attempts))
            .sum();
        let seconds = length * tenths(duration.base_step_seconds)
            + errors * tenths(duration.error_penalty_seconds)
            + attempts * tenths(duration.retry_penalty_seconds);
        (length * tenths(impact.path_length_weight) - completed * tenths(impact.completed_penalty)
            + retries * tenths(impact.retry_penalty))
            * 60
            + (blocked * tenths(impact.blocked_penalty) + errors * tenths(impact.error_penalty)) * factor
            + seconds * 2
    }

    #[track_caller]
    fn check_paths(&self, analysis: &Analysis) {
        let mut paths = self.paths();
        let found = analysis.critical_paths();
        assert_eq!(found.total_paths, paths.len() as u64);
        assert!(!found.total_paths_is_lower_bound);
        assert_eq!(
            found.longest_path_length,
            paths.iter().map(Vec::len).max().unwrap_or(0)
        );
        paths.sort_by(|left, right| self.raw(right).cmp(&self.raw(left)).then_with(|| left.cmp(right)));
        paths.truncate(5);
        let steps: Vec<_> = found.paths.iter().map(|path| path.steps.clone()).collect();
        assert_eq!(steps, paths, "{:?}", self.case);
        let left = 1.0 - 0.003 * analysis.context().completion_percentage;
        for (path, steps) in found.paths.iter().zip(&paths) {
            let score = (self.raw(steps) as f64 / 600.0 * left).max(0.0);
            assert!(
                (path.criticality_score - score).abs() <= 1e-9 * score.max(1.0),
                "{} {score}",
                path.criticality_score
            );
            let holds_up = |s: &usize| {
                let facts = &self.facts[*s];
                facts.blocked() || matches!(facts.state, StepState::Error | StepState::Cancelled)
            };
            let mut held: Vec<usize> = steps.iter().copied().filter(holds_up).collect();
            held.sort();
            let mut found: Vec<usize> = path
                .bottlenecks
                .iter()
                .map(|bottleneck| bottleneck.step)
                .collect();
            found.sort();
            assert_eq!(found, held);
            assert!(
                path.bottlenecks
                    .is_sorted_by(|left, right| left.severity >= right.severity)
            );
        }
    }

    #[track_caller]
    fn check_levels(&self, analysis: &Analysis) {
        let active = self.case.facts.state.is_active();
        let mut longest = vec![0; self.facts.len()];
        for path in self.paths() {
            for (distance, step) in path.into_iter().enumerate() {
                longest[step] = longest[step].max(distance);
            }
        }
        let found = analysis.parallelism();
        assert_eq!(
            found.levels.len(),
            longest.iter().max().map_or(0, |level| level + 1)
        );
        for (number, level) in found.levels.iter().enumerate() {
            let set = (0..longest.len())
                .filter(|step| longest[*step] == number)
                .fold(0, |set, step| set | 1 << step);
            let counts = [
                (level.total_steps, self.count(set, |_| true)),
                (
                    level.ready_steps,
                    self.count(set, |facts| facts.blocking_reason(active).is_none()),
                ),
                (level.blocked_steps, self.count(set, StepFacts::blocked)),
                (
                    level.error_steps,
                    self.count(set, |facts| facts.state == StepState::Error),
                ),
                (
                    level.completed_steps,
                    self.count(set, |facts| facts.state.is_done()),
                ),
            ];
            assert!(
                counts.iter().all(|(found, expected)| found == expected),
                "{counts:?}"
            );
        }
        for (step, longest) in longest.into_iter().enumerate() {
            assert_eq!(analysis.dag().levels()[step] as usize, longest);
            assert_eq!(
                analysis.descendants(step),
                bits(self.below[step]).collect::<Vec<_>>()
            );
            assert_eq!(
                analysis.descendant_count(step),
                self.below[step].count_ones() as usize
            );
            assert_eq!(
                analysis.blocked_descendant_count(step),
                self.count(self.below[step], StepFacts::blocked)
            );
        }
    }

    #[track_caller]
    fn check_errors(&self, analysis: &Analysis) {
        let impact = &self.case.weights.impact_scoring;
        let penalty = &self.case.weights.penalty_calculation;
        let mut errors: Vec<(f64, usize)> = Vec::new();
        let mut below = 0;
        for step in bits(self.all()).filter(|step| self.facts[*step].state == StepState::Error) {
            let facts = &self.facts[step];
            let blocked = self.count(self.below[step], StepFacts::blocked);
            let exhausted = f64::from(u8::from(facts.exhausted())) * penalty.exhausted_retry;
            let total = blocked as f64 * impact.blocked_weight
                + f64::from(self.below[step].count_ones()) * impact.downstream_weight
                + exhausted
                + f64::from(facts.attempts) * penalty.retry_instability;
            errors.push((total, step));
            below |= self.below[step];
        }
        errors.sort_by(|left, right| right.0.total_cmp(&left.0).then(left.1.cmp(&right.1)));
        let found = analysis.error_chains();
        let chains: Vec<_> = found
            .chains
            .iter()
            .map(|chain| (chain.total_impact, chain.step))
            .collect();
        assert_eq!(chains, errors);
        assert_eq!(
            found.total_blocked_by_errors,
            self.count(below, StepFacts::blocked)
        );
        let first = if self.case.facts.state.is_final() {
            0
        } else {
            errors.len().min(3)
        };
        assert_eq!(found.recovery_priority.len(), first);
        assert!(found.chains.iter().all(|chain| !chain.strategies.is_empty()));
    }

    #[track_caller]
    fn check_bottlenecks(&self, analysis: &Analysis) {
        let failed = |facts: &StepFacts| matches!(facts.state, StepState::Error | StepState::Cancelled);
        let waits = |facts: &StepFacts| {
            matches!(facts.state, StepState::Pending | StepState::InProgress)
                && (facts.blocked() || facts.attempts >= 2 || !facts.retry_eligible())
        };
        let has_failures = self.facts.iter().any(failed);
        let candidates: Vec<usize> = bits(self.all())
            .filter(|_| !self.case.facts.state.is_final())
            .filter(|step| {
                if has_failures {
                    failed(&self.facts[*step])
                } else {
                    waits(&self.facts[*step])
                }
            })
            .collect();
        let found = analysis.bottlenecks();
        assert_eq!(found.total_bottlenecks, candidates.len());
        let below = candidates.iter().fold(0, |set, step| set | self.below[*step]);
        assert_eq!(found.total_blocked_steps, self.count(below, StepFacts::blocked));
        let mut scores: Vec<(i64, usize)> =
            candidates.iter().map(|step| (self.score(*step), *step)).collect();
        scores.sort_by_key(|(score, step)| (-score, *step));
        let real: Vec<i64> = scores
            .iter()
            .filter(|(_, step)| {
                let facts = &self.facts[*step];
                failed(facts) || !facts.retry_eligible() || !facts.blocked()
            })
            .map(|(score, _)| *score)
            .collect();
        let thresholds = &self.case.weights.severity_thresholds;
        let critical = real
            .iter()
            .filter(|score| **score as f64 >= thresholds.critical)
            .count();
        let high = real
            .iter()
            .filter(|score| **score as f64 >= thresholds.high)
            .count()
            - critical;
        assert_eq!(
            (found.critical_bottlenecks, found.high_bottlenecks),
            (critical, high)
        );
        scores.truncate(10);
        let listed: Vec<_> = found
            .listed
            .iter()
            .map(|bottleneck| (bottleneck.impact_score, bottleneck.step))
            .collect();
        assert_eq!(listed, scores);
        let stuck = self.count(self.all(), StepFacts::stuck);
        let health = analysis.context().health_status;
        assert_eq!(health == tasker_types::HealthStatus::Healthy, self.is_healthy());
        let impact = match (critical, high) {
            _ if real.is_empty() => OverallImpact::None,
            (3.., _) => OverallImpact::Severe,
            _ if stuck > self.facts.len() / 2 => OverallImpact::Severe,
            (1.., _) | (_, 3..) => OverallImpact::High,
            _ if health == tasker_types::HealthStatus::Blocked => OverallImpact::High,
            (_, 1..) => OverallImpact::Medium,
            _ if real.len() >= 5 => OverallImpact::Medium,
            _ => OverallImpact::Low,
        };
        assert_eq!(found.overall_impact, impact);
        self.check_summary(analysis, critical, high);
        for bottleneck in &found.listed {
            let is_wait = bottleneck.kind == BottleneckType::DependencyBlock;
            assert!(!is_wait || self.facts[bottleneck.step].blocked());
        }
    }

    #[track_caller]
    fn check_summary(&self, analysis: &Analysis, critical: usize, high: usize) {
        let summary = analysis.summary();
        let stuck_in_error = self
            .facts
            .iter()
            .any(|facts| facts.state == StepState::Error && !facts.retry_eligible());
        let health = match (critical, high) {
            (1.., _) => OverallHealth::Critical,
            _ if stuck_in_error => OverallHealth::Critical,
            (_, 1..) => OverallHealth::Warning,
            _ => OverallHealth::Healthy,
        };
        assert_eq!(summary.overall_health, health);
        let has = |recommendation| summary.recommendations.contains(&recommendation);
        assert_eq!(has(Recommendation::ClearBottlenecks), critical > 0);
        assert_eq!(
            has(Recommendation::ResolveErrors),
            self.facts.iter().any(|facts| facts.state == StepState::Error)
        );
        assert_eq!(
            has(Recommendation::Nothing),
            summary.recommendations.len() == 1
                && !has(Recommendation::ClearBottlenecks)
                && !has(Recommendation::ResolveErrors)
                && !has(Recommendation::WidenParallelism)
        );
        assert!(!summary.recommendations.is_empty());
    }

    fn score(&self, step: usize) -> i64 {
        let facts = &self.facts[step];
        let weights = &self.case.weights;
        let blocked = self.count(self.below[step], StepFacts::blocked) as f64;
        let base = f64::from(self.below[step].count_ones()) * weights.impact_scoring.downstream_weight
            + blocked * weights.impact_scoring.blocked_weight;
        let multiplier = match facts.state {
            StepState::Error if facts.exhausted() => {
                weights.state_severity.error_state + weights.state_severity.exhausted_retry_bonus
            }
            StepState::Error => weights.state_severity.error_state,
            StepState::Pending if facts.blocked() => weights.state_severity.dependency_issue,
            _ => 1.0,
        };
        let mut penalties = f64::from(facts.attempts) * weights.penalty_calculation.retry_instability;
        if !facts.retry_eligible() {
            penalties += weights.penalty_calculation.non_retryable;
        }
        if facts.exhausted() {
            penalties += weights.penalty_calculation.exhausted_retry;
        }
        (base * multiplier + penalties).round() as i64
    }
}
