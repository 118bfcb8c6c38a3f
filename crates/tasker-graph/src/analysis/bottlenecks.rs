//! The steps that hold others up, and how much.

use std::fmt;
use std::time::Duration;

use tasker_types::{GraphWeights, HealthStatus, StepFacts, StepState, TaskContext, TaskState};

use super::closure::Descendants;
use super::words::{BottleneckType, OverallImpact, Resolution, Severity};

/// How many bottlenecks are listed.
const LISTED: usize = 10;

/// The steps that hold others up.
#[derive(Clone, Debug, PartialEq)]
pub struct Bottlenecks {
    /// How many there are.
    pub total_bottlenecks: usize,
    /// How many of them are Critical, without those that only wait for healthy parents.
    pub critical_bottlenecks: usize,
    /// How many of them are High, without those that only wait for healthy parents.
    pub high_bottlenecks: usize,
    /// How many steps wait that come after any of them, each counted once.
    pub total_blocked_steps: usize,
    /// The ten with the highest scores, the highest first.
    pub listed: Vec<Bottleneck>,
    /// How far they hold the task up.
    pub overall_impact: OverallImpact,
    /// How the task fares.
    pub task_health: HealthStatus,
    /// The task's completed steps in percent, two decimals.
    pub task_completion: f64,
}

/// A step that holds others up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bottleneck {
    /// The place of the step in step order.
    pub step: usize,
    /// How many steps come after it.
    pub downstream_steps: usize,
    /// How many of these wait for a parent.
    pub blocked_downstream_steps: usize,
    /// What all this weighs.
    pub impact_score: i64,
    /// How severe that is.
    pub severity: Severity,
    /// Why it holds others up.
    pub kind: BottleneckType,
    /// What to do about it.
    pub resolution: Resolution,
    /// When it clears.
    pub time: ResolutionTime,
}

/// When a bottleneck clears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolutionTime {
    /// When a person does something.
    Immediate,
    /// When its parents are done.
    Upstream,
    /// After so much time.
    Wait(Duration),
    /// When a worker takes it.
    NextCycle,
    /// Nobody knows.
    Unknown,
}

impl fmt::Display for ResolutionTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const MINUTE: u128 = 60_000_000_000;
        match self {
            Self::Immediate => f.pad("Immediate action needed"),
            Self::Upstream => f.pad("Depends on upstream steps"),
            Self::Wait(wait) => match wait.as_nanos().div_ceil(MINUTE) {
                1 => f.pad("1 minute"),
                minutes => f.pad(&format!("{minutes} minutes")),
            },
            Self::NextCycle => f.pad("Within next retry cycle"),
            Self::Unknown => f.pad("Unknown"),
        }
    }
}

/// Returns how severe a score is.
pub(crate) fn severity(weights: &GraphWeights, score: f64) -> Severity {
    let thresholds = &weights.severity_thresholds;
    if score >= thresholds.critical {
        Severity::Critical
    } else if score >= thresholds.high {
        Severity::High
    } else if score >= thresholds.medium {
        Severity::Medium
    } else {
        Severity::Low
    }
}

/// Returns which steps are bottlenecks: those in error or cancelled, or, when there are none, those that wait or
/// have been tried several times. A final task has none.
pub(crate) fn candidates(state: TaskState, facts: &[StepFacts], context: &TaskContext) -> Vec<usize> {
    if state.is_final() {
        return Vec::new();
    }
    let has_failures = context.failed_steps + context.cancelled_steps > 0;
    let is_candidate = |step: &usize| {
        let facts = &facts[*step];
        match facts.state {
            StepState::Error | StepState::Cancelled => true,
            StepState::Pending | StepState::InProgress => {
                !has_failures && (facts.blocked() || facts.attempts >= 2 || !facts.retry_eligible())
            }
            StepState::Complete | StepState::ResolvedManually => false,
        }
    };
    (0..facts.len()).filter(is_candidate).collect()
}

/// What is counted over all bottlenecks that do not only wait for healthy parents.
#[derive(Default)]
struct Tally {
    critical: usize,
    high: usize,
    all: usize,
}

impl Bottlenecks {
    /// Weighs the candidates; `blocked` is how many steps wait for any of them.
    pub(crate) fn new(
        candidates: &[usize],
        facts: &[StepFacts],
        counts: &Descendants,
        context: &TaskContext,
        weights: &GraphWeights,
        blocked: usize,
    ) -> Self {
        let mut tally = Tally::default();
        let mut weighed: Vec<(i64, usize)> = Vec::with_capacity(candidates.len());
        for step in candidates.iter().copied() {
            let score = impact_score(step, &facts[step], counts, weights);
            weighed.push((score, step));
            if kind(&facts[step]) != BottleneckType::DependencyBlock {
                tally.all += 1;
                match severity(weights, score as f64) {
                    Severity::Critical => tally.critical += 1,
                    Severity::High => tally.high += 1,
                    Severity::Medium | Severity::Low => {}
                }
            }
        }
        let by_score =
            |left: &(i64, usize), right: &(i64, usize)| right.0.cmp(&left.0).then(left.1.cmp(&right.1));
        if weighed.len() > LISTED {
            weighed.select_nth_unstable_by(LISTED, by_score);
            weighed.truncate(LISTED);
        }
        weighed.sort_unstable_by(by_score);
        let describe = |(score, step): (i64, usize)| Bottleneck {
            step,
            downstream_steps: counts.all[step] as usize,
            blocked_downstream_steps: counts.blocked[step] as usize,
            impact_score: score,
            severity: severity(weights, score as f64),
            kind: kind(&facts[step]),
            resolution: resolution(&facts[step]),
            time: time(&facts[step]),
        };
        Self {
            total_bottlenecks: candidates.len(),
            critical_bottlenecks: tally.critical,
            high_bottlenecks: tally.high,
            total_blocked_steps: blocked,
            listed: weighed.into_iter().map(describe).collect(),
            overall_impact: overall_impact(&tally, context),
            task_health: context.health_status,
            task_completion: context.completion_percentage,
        }
    }
}

fn impact_score(step: usize, facts: &StepFacts, counts: &Descendants, weights: &GraphWeights) -> i64 {
    let impact = &weights.impact_scoring;
    let state = &weights.state_severity;
    let penalty = &weights.penalty_calculation;
    let if_so = |holds: bool, weight: f64| if holds { weight } else { 0.0 };
    let base = f64::from(counts.all[step]) * impact.downstream_weight
        + f64::from(counts.blocked[step]) * impact.blocked_weight;
    let multiplier = match facts.state {
        StepState::Error => state.error_state + if_so(facts.exhausted(), state.exhausted_retry_bonus),
        StepState::Pending if facts.blocked() => state.dependency_issue,
        _ => 1.0,
    };
    let penalties = f64::from(facts.attempts) * penalty.retry_instability
        + if_so(!facts.retry_eligible(), penalty.non_retryable)
        + if_so(facts.exhausted(), penalty.exhausted_retry);
    // The weights were checked to keep this within the range.
    (base * multiplier + penalties).round() as i64
}

fn kind(facts: &StepFacts) -> BottleneckType {
    if facts.state == StepState::Cancelled {
        BottleneckType::Cancelled
    } else if !facts.retry_eligible() {
        BottleneckType::PermanentFailure
    } else if facts.state == StepState::Error {
        BottleneckType::ActiveError
    } else if facts.blocked() {
        BottleneckType::DependencyBlock
    } else {
        BottleneckType::RepeatedRetries
    }
}

fn resolution(facts: &StepFacts) -> Resolution {
    if facts.state == StepState::Cancelled {
        Resolution::ResetOrResolve
    } else if !facts.retry_eligible() {
        Resolution::Intervene
    } else if facts.blocked() {
        Resolution::CheckUpstream
    } else if facts.in_backoff() {
        Resolution::WaitForBackoff
    } else if facts.state == StepState::Error {
        Resolution::Investigate
    } else {
        Resolution::MonitorRetries
    }
}

fn time(facts: &StepFacts) -> ResolutionTime {
    if facts.state == StepState::Cancelled || !facts.retry_eligible() {
        ResolutionTime::Immediate
    } else if facts.blocked() {
        ResolutionTime::Upstream
    } else if let Some(wait) = facts.due_in.filter(|_| facts.in_backoff()) {
        ResolutionTime::Wait(wait)
    } else if facts.state == StepState::Error {
        ResolutionTime::NextCycle
    } else {
        ResolutionTime::Unknown
    }
}

fn overall_impact(tally: &Tally, context: &TaskContext) -> OverallImpact {
    if tally.all == 0 {
        OverallImpact::None
    } else if tally.critical >= 3 || context.stuck_steps > context.total_steps / 2 {
        OverallImpact::Severe
    } else if tally.critical >= 1 || tally.high >= 3 || context.health_status == HealthStatus::Blocked {
        OverallImpact::High
    } else if tally.high >= 1 || tally.all >= 5 {
        OverallImpact::Medium
    } else {
        OverallImpact::Low
    }
}
