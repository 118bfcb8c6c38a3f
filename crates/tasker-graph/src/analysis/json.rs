//! The analysis as every output spells it.
//!
//! Lists are written from what they are made of, so that a large analysis needs no second one in memory.

use serde::{Serialize, Serializer};
use tasker_types::{HealthStatus, TaskContext, TaskState, Timestamp};

use super::Analysis;
use super::bottlenecks::Bottleneck;
use super::critical::{CriticalPath, PathBottleneck};
use super::errors::{ErrorChain, Recovery, RecoveryPriority};
use super::number::Plain;
use super::parallelism::Level;
use super::words::{
    BottleneckType, Degree, OverallHealth, OverallImpact, PathReason, Recommendation, Resolution, Severity,
    Strategy,
};

/// A list that is made while it is written.
struct Each<I>(I);

impl<T: Serialize, I: Iterator<Item = T> + Clone> Serialize for Each<I> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.clone())
    }
}

/// A text that is made while it is written.
struct Text<T>(T);

impl<T: std::fmt::Display> Serialize for Text<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// An answer about a step, or several of them, with the analysis that knows their ids and names.
struct Of<'a, T>(&'a Analysis, &'a T);

/// Returns a list of answers.
fn each<'a, T>(analysis: &'a Analysis, answers: &'a [T]) -> Each<impl Iterator<Item = Of<'a, T>> + Clone> {
    Each(answers.iter().map(move |answer| Of(analysis, answer)))
}

impl Serialize for Analysis {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Whole<'a, N, E, L> {
            task_state: TaskState,
            taken_at: Option<Timestamp>,
            context: &'a TaskContext,
            dependency_graph: Graph<N, E>,
            levels: L,
            critical_paths: Of<'a, super::CriticalPaths>,
            parallelism_opportunities: Of<'a, super::Parallelism>,
            error_chains: Of<'a, super::ErrorChains>,
            bottlenecks: Of<'a, super::Bottlenecks>,
            task_execution_summary: Of<'a, super::ExecutionSummary>,
        }
        #[derive(Serialize)]
        struct Graph<N, E> {
            nodes: N,
            edges: E,
        }
        #[derive(Serialize)]
        struct Node<'a> {
            id: u64,
            name: &'a str,
            level: u32,
        }
        #[derive(Serialize)]
        struct Edge<'a> {
            from: u64,
            to: u64,
            from_name: &'a str,
            to_name: &'a str,
        }
        let levels = self.dag().levels();
        let node = |step| Node {
            id: self.id(step),
            name: self.name(step),
            level: levels[step],
        };
        // The iterator of all edges cannot be cloned, so each step's are made anew.
        let edges =
            (0..self.len()).flat_map(|from| self.dag().children(from).iter().map(move |to| (from, *to)));
        let edge = |(from, to)| Edge {
            from: self.id(from),
            to: self.id(to),
            from_name: self.name(from),
            to_name: self.name(to),
        };
        let concluded = &self.concluded;
        Whole {
            task_state: self.state,
            taken_at: self.taken_at,
            context: &self.context,
            dependency_graph: Graph {
                nodes: Each((0..self.len()).map(node)),
                edges: Each(edges.map(edge)),
            },
            levels: Each((0..self.len()).map(|step| (self.id(step), levels[step]))),
            critical_paths: Of(self, &concluded.critical_paths),
            parallelism_opportunities: Of(self, &concluded.parallelism),
            error_chains: Of(self, &concluded.error_chains),
            bottlenecks: Of(self, &concluded.bottlenecks),
            task_execution_summary: Of(self, &concluded.summary),
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, super::CriticalPaths> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<P, R, L> {
            total_paths: u64,
            total_paths_is_lower_bound: bool,
            longest_path_length: usize,
            paths: P,
            root_nodes: R,
            leaf_nodes: L,
        }
        let Self(analysis, paths) = *self;
        let dag = analysis.dag();
        let roots = (0..dag.len()).filter(|step| dag.parents(*step).is_empty());
        let leaves = (0..dag.len()).filter(|step| dag.children(*step).is_empty());
        Keys {
            total_paths: paths.total_paths,
            total_paths_is_lower_bound: paths.total_paths_is_lower_bound,
            longest_path_length: paths.longest_path_length,
            paths: each(analysis, &paths.paths),
            root_nodes: Each(roots.map(|step| analysis.id(step))),
            leaf_nodes: Each(leaves.map(|step| analysis.id(step))),
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, CriticalPath> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<P, N, B> {
            path: P,
            length: usize,
            step_names: N,
            completed_steps: usize,
            blocked_steps: usize,
            error_steps: usize,
            retry_steps: usize,
            ready_steps: usize,
            estimated_duration: Plain,
            bottlenecks: B,
            criticality_score: f64,
            completion_percentage: f64,
        }
        let Self(analysis, path) = *self;
        Keys {
            path: Each(path.steps.iter().map(|step| analysis.id(*step))),
            length: path.steps.len(),
            step_names: Each(path.steps.iter().map(|step| analysis.name(*step))),
            completed_steps: path.completed_steps,
            blocked_steps: path.blocked_steps,
            error_steps: path.error_steps,
            retry_steps: path.retry_steps,
            ready_steps: path.ready_steps,
            estimated_duration: Plain(path.estimated_duration_seconds),
            bottlenecks: each(analysis, &path.bottlenecks),
            criticality_score: path.criticality_score,
            completion_percentage: path.completion_percentage,
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, PathBottleneck> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            step_id: u64,
            step_name: &'a str,
            reason: PathReason,
            severity: u64,
            impact: Text<std::fmt::Arguments<'a>>,
        }
        let Self(analysis, bottleneck) = *self;
        Keys {
            step_id: analysis.id(bottleneck.step),
            step_name: analysis.name(bottleneck.step),
            reason: bottleneck.reason,
            severity: bottleneck.severity,
            impact: Text(format_args!(
                "Blocks {} downstream steps",
                bottleneck.downstream_steps
            )),
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, super::Parallelism> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<L> {
            total_steps: usize,
            total_levels: usize,
            max_parallel_steps: usize,
            current_parallel_opportunities: usize,
            blocked_parallel_opportunities: usize,
            overall_completion: f64,
            levels: L,
            parallelism_efficiency: f64,
        }
        #[derive(Serialize)]
        struct Row<N> {
            level: usize,
            total_steps: usize,
            ready_steps: usize,
            blocked_steps: usize,
            error_steps: usize,
            completed_steps: usize,
            step_names: N,
            parallelism_potential: Degree,
            bottleneck_risk: Degree,
        }
        let Self(analysis, parallelism) = *self;
        let row = |(number, level): (usize, &Level)| Row {
            level: number,
            total_steps: level.total_steps,
            ready_steps: level.ready_steps,
            blocked_steps: level.blocked_steps,
            error_steps: level.error_steps,
            completed_steps: level.completed_steps,
            step_names: Each(
                analysis
                    .shape
                    .level(number)
                    .iter()
                    .map(|step| analysis.name(*step)),
            ),
            parallelism_potential: level.potential(),
            bottleneck_risk: level.risk(),
        };
        Keys {
            total_steps: analysis.len(),
            total_levels: parallelism.levels.len(),
            max_parallel_steps: parallelism.max_parallel_steps,
            current_parallel_opportunities: parallelism.current_opportunities,
            blocked_parallel_opportunities: parallelism.blocked_opportunities,
            overall_completion: parallelism.overall_completion,
            levels: Each(parallelism.levels.iter().enumerate().map(row)),
            parallelism_efficiency: parallelism.efficiency,
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, super::ErrorChains> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<C, P> {
            total_error_steps: usize,
            total_steps: usize,
            error_percentage: f64,
            total_blocked_by_errors: usize,
            error_chains: C,
            most_critical_error: Option<u64>,
            recovery_priority: P,
            task_health: HealthStatus,
        }
        let Self(analysis, errors) = *self;
        Keys {
            total_error_steps: errors.total_error_steps,
            total_steps: analysis.len(),
            error_percentage: errors.error_percentage,
            total_blocked_by_errors: errors.total_blocked_by_errors,
            error_chains: each(analysis, &errors.chains),
            most_critical_error: errors.chains.first().map(|chain| analysis.id(chain.step)),
            recovery_priority: each(analysis, &errors.recovery_priority),
            task_health: errors.task_health,
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, ErrorChain> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a, D, N, R> {
            error_step_id: u64,
            error_step_name: &'a str,
            error_attempts: u32,
            retry_limit: u32,
            retry_analysis: Retry,
            downstream_steps: D,
            blocked_downstream_steps: usize,
            total_downstream_steps: usize,
            total_impact: Plain,
            recovery_strategies: N,
            recovery_details: R,
        }
        #[derive(Serialize)]
        struct Retry {
            exhausted: bool,
            remaining_attempts: u32,
            in_backoff: bool,
            next_retry_at: Option<Timestamp>,
            retryable: bool,
        }
        #[derive(Serialize)]
        struct Details<D> {
            strategy: Strategy,
            priority: Degree,
            description: D,
        }
        let Self(analysis, chain) = *self;
        let facts = analysis.facts(chain.step);
        let retry = chain.retry;
        let details = |recovery: &Recovery| Details {
            strategy: recovery.strategy,
            priority: recovery.priority,
            description: Text(recovery.description()),
        };
        Keys {
            error_step_id: analysis.id(chain.step),
            error_step_name: analysis.name(chain.step),
            error_attempts: facts.attempts,
            retry_limit: facts.retry_limit,
            retry_analysis: Retry {
                exhausted: retry.exhausted,
                remaining_attempts: retry.remaining_attempts,
                in_backoff: retry.in_backoff,
                next_retry_at: retry.next_retry_at,
                retryable: retry.retryable,
            },
            downstream_steps: Each(
                analysis
                    .descendants(chain.step)
                    .iter()
                    .map(|step| analysis.id(*step)),
            ),
            blocked_downstream_steps: chain.blocked_downstream_steps,
            total_downstream_steps: chain.total_downstream_steps,
            total_impact: Plain(chain.total_impact),
            recovery_strategies: Each(chain.strategies.iter().map(|recovery| recovery.strategy)),
            recovery_details: Each(chain.strategies.iter().map(details)),
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, RecoveryPriority> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            step_name: &'a str,
            priority_level: Severity,
            reason: Text<std::fmt::Arguments<'a>>,
            recommended_action: Strategy,
        }
        let Self(analysis, priority) = *self;
        Keys {
            step_name: analysis.name(priority.step),
            priority_level: priority.level,
            reason: Text(format_args!(
                "Blocking {} downstream steps",
                priority.blocked_downstream_steps
            )),
            recommended_action: priority.action,
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, super::Bottlenecks> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<B> {
            total_bottlenecks: usize,
            critical_bottlenecks: usize,
            total_blocked_steps: usize,
            bottlenecks: B,
            task_health: HealthStatus,
            task_completion: f64,
            overall_impact: OverallImpact,
        }
        let Self(analysis, bottlenecks) = *self;
        Keys {
            total_bottlenecks: bottlenecks.total_bottlenecks,
            critical_bottlenecks: bottlenecks.critical_bottlenecks,
            total_blocked_steps: bottlenecks.total_blocked_steps,
            bottlenecks: each(analysis, &bottlenecks.listed),
            task_health: bottlenecks.task_health,
            task_completion: bottlenecks.task_completion,
            overall_impact: bottlenecks.overall_impact,
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, Bottleneck> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            step_id: u64,
            step_name: &'a str,
            current_state: &'static str,
            attempts: u32,
            retry_limit: u32,
            dependencies_satisfied: bool,
            downstream_steps_count: usize,
            blocked_downstream_count: usize,
            impact_score: i64,
            severity: Severity,
            bottleneck_type: BottleneckType,
            resolution_strategy: Resolution,
            estimated_resolution_time: Text<super::ResolutionTime>,
        }
        let Self(analysis, bottleneck) = *self;
        let facts = analysis.facts(bottleneck.step);
        Keys {
            step_id: analysis.id(bottleneck.step),
            step_name: analysis.name(bottleneck.step),
            current_state: facts.state.as_str(),
            attempts: facts.attempts,
            retry_limit: facts.retry_limit,
            dependencies_satisfied: facts.dependencies_satisfied(),
            downstream_steps_count: bottleneck.downstream_steps,
            blocked_downstream_count: bottleneck.blocked_downstream_steps,
            impact_score: bottleneck.impact_score,
            severity: bottleneck.severity,
            bottleneck_type: bottleneck.kind,
            resolution_strategy: bottleneck.resolution,
            estimated_resolution_time: Text(bottleneck.time),
        }
        .serialize(serializer)
    }
}

impl Serialize for Of<'_, super::ExecutionSummary> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            total_steps: usize,
            total_dependencies: usize,
            dependency_levels: usize,
            longest_path_length: usize,
            critical_bottlenecks_count: usize,
            error_chains_count: usize,
            parallelism_efficiency: f64,
            overall_health: OverallHealth,
            recommendations: &'a [Recommendation],
        }
        let Self(_, summary) = *self;
        Keys {
            total_steps: summary.total_steps,
            total_dependencies: summary.total_dependencies,
            dependency_levels: summary.dependency_levels,
            longest_path_length: summary.longest_path_length,
            critical_bottlenecks_count: summary.critical_bottlenecks,
            error_chains_count: summary.error_chains,
            parallelism_efficiency: summary.parallelism_efficiency,
            overall_health: summary.overall_health,
            recommendations: &summary.recommendations,
        }
        .serialize(serializer)
    }
}
