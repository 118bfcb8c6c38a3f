//! The analysis in a few lines.

use tasker_types::{StepFacts, StepState};

use super::bottlenecks::Bottlenecks;
use super::errors::ErrorChains;
use super::parallelism::Parallelism;
use super::shape::Shape;
use super::words::{OverallHealth, Recommendation};

/// Below which efficiency, in percent, more parallelism is recommended.
const EFFICIENT: f64 = 50.0;

/// The analysis in a few lines.
#[derive(Clone, Debug, PartialEq)]
pub struct ExecutionSummary {
    /// How many steps there are.
    pub total_steps: usize,
    /// How many edges there are.
    pub total_dependencies: usize,
    /// How many levels there are.
    pub dependency_levels: usize,
    /// How many steps the longest path has.
    pub longest_path_length: usize,
    /// How many bottlenecks are Critical.
    pub critical_bottlenecks: usize,
    /// How many steps are in error.
    pub error_chains: usize,
    /// The levels on which more than one step can start, in percent of all.
    pub parallelism_efficiency: f64,
    /// How the execution fares.
    pub overall_health: OverallHealth,
    /// What to do, in this order; one that says that there is nothing to do if there is nothing.
    pub recommendations: Vec<Recommendation>,
}

impl ExecutionSummary {
    pub(crate) fn new(
        shape: &Shape,
        facts: &[StepFacts],
        parallelism: &Parallelism,
        errors: &ErrorChains,
        bottlenecks: &Bottlenecks,
    ) -> Self {
        let stuck_in_error = |facts: &StepFacts| facts.state == StepState::Error && facts.stuck();
        let overall_health = if bottlenecks.critical_bottlenecks > 0 || facts.iter().any(stuck_in_error) {
            OverallHealth::Critical
        } else if bottlenecks.high_bottlenecks > 0 {
            OverallHealth::Warning
        } else {
            OverallHealth::Healthy
        };
        // Nobody can widen what has run already.
        let is_left = facts.iter().any(|facts| !facts.finished());
        let mut recommendations = Vec::new();
        for (holds, recommendation) in [
            (
                bottlenecks.critical_bottlenecks > 0,
                Recommendation::ClearBottlenecks,
            ),
            (errors.total_error_steps > 0, Recommendation::ResolveErrors),
            (
                is_left && parallelism.efficiency < EFFICIENT,
                Recommendation::WidenParallelism,
            ),
        ] {
            if holds {
                recommendations.push(recommendation);
            }
        }
        if recommendations.is_empty() {
            recommendations.push(Recommendation::Nothing);
        }
        Self {
            total_steps: facts.len(),
            total_dependencies: shape.edges,
            dependency_levels: shape.levels(),
            longest_path_length: shape.levels(),
            critical_bottlenecks: bottlenecks.critical_bottlenecks,
            error_chains: errors.total_error_steps,
            parallelism_efficiency: parallelism.efficiency,
            overall_health,
            recommendations,
        }
    }
}
