//! What holds a task up: critical paths, parallelism, errors, bottlenecks, and what to do about them.
//!
//! Everything follows from the facts of the steps, the edges and the weights; nothing here knows a store or a clock.
//! No path is ever enumerated: what an analysis costs grows with the steps and the edges, and the counts of what
//! comes after each step with bit sets over the steps that have several parents.

mod bottlenecks;
mod closure;
mod critical;
mod error;
mod errors;
mod exact;
mod facts;
mod json;
mod live;
mod number;
mod parallelism;
mod paths;
mod shape;
mod summary;
mod words;

use std::sync::Arc;

use tasker_types::{GraphWeights, StepFacts, TaskContext, TaskState, Timestamp};

pub use bottlenecks::{Bottleneck, Bottlenecks, ResolutionTime};
pub use critical::{CriticalPath, CriticalPaths, PathBottleneck};
pub use error::AnalysisError;
pub use errors::{ErrorChain, ErrorChains, Recovery, RecoveryPriority, RetryAnalysis};
pub use facts::{Step, TaskDocument, TaskFacts};
pub use live::LiveAnalysis;
pub use parallelism::{Level, Parallelism};
pub use summary::ExecutionSummary;
pub use words::{
    BottleneckType, Degree, OverallHealth, OverallImpact, PathReason, Recommendation, Resolution, Severity,
    Strategy,
};

use crate::dag::Dag;
use closure::Descendants;
use live::Concluded;
use shape::Shape;

/// Analyses a task: what is critical, what holds others up, and what to do.
///
/// Steps are named by their ids in the edges, and by their places in step order in the answers. Serialized, the
/// analysis names them by ids and names.
///
/// # Errors
///
/// [`AnalysisError`] says which ids, edges, names or weights are wrong.
///
/// # Complexity
///
/// O(V + E) beside the counts of descendants, which take O((V + E)·J/64) for the J steps with several parents, in
/// portions of bounded memory.
pub fn analyze(
    facts: &TaskFacts,
    edges: &[(u64, u64)],
    weights: &GraphWeights,
) -> Result<Analysis, AnalysisError> {
    LiveAnalysis::new(facts, edges, weights).map(LiveAnalysis::into_analysis)
}

/// What an analysis found.
#[derive(Clone, Debug)]
pub struct Analysis {
    shape: Arc<Shape>,
    state: TaskState,
    taken_at: Option<Timestamp>,
    facts: Vec<StepFacts>,
    counts: Descendants,
    context: TaskContext,
    concluded: Concluded,
}

impl PartialEq for Analysis {
    fn eq(&self, other: &Self) -> bool {
        self.shape.ids == other.shape.ids
            && self.dag().edges().eq(other.dag().edges())
            && self.state == other.state
            && self.taken_at == other.taken_at
            && self.facts == other.facts
            && self.counts == other.counts
            && self.context == other.context
            && self.concluded == other.concluded
    }
}

impl Analysis {
    /// Returns how many steps there are.
    pub fn len(&self) -> usize {
        self.facts.len()
    }

    /// Tells whether there is no step.
    pub fn is_empty(&self) -> bool {
        self.facts.is_empty()
    }

    /// Returns the steps and edges, which can be asked and drawn.
    pub fn dag(&self) -> &Dag {
        &self.shape.dag
    }

    /// Returns the id of a step.
    ///
    /// # Panics
    ///
    /// If there is no such step, as every method that takes one.
    pub fn id(&self, step: usize) -> u64 {
        self.shape.ids[step]
    }

    /// Returns the place of the step with this id.
    pub fn find(&self, id: u64) -> Option<usize> {
        self.shape.find(id)
    }

    /// Returns the name of a step.
    pub fn name(&self, step: usize) -> &str {
        self.dag().name(step)
    }

    /// Returns the facts of a step, its unmet parents counted.
    pub fn facts(&self, step: usize) -> &StepFacts {
        &self.facts[step]
    }

    /// Returns the state of the task.
    pub fn task_state(&self) -> TaskState {
        self.state
    }

    /// Returns when the facts were taken, if they say so.
    pub fn taken_at(&self) -> Option<Timestamp> {
        self.taken_at
    }

    /// Returns the counts over the steps, and what the task amounts to.
    pub fn context(&self) -> &TaskContext {
        &self.context
    }

    /// Returns how many steps come after a step.
    pub fn descendant_count(&self, step: usize) -> usize {
        self.counts.all[step] as usize
    }

    /// Returns how many of the steps after a step wait for a parent.
    pub fn blocked_descendant_count(&self, step: usize) -> usize {
        self.counts.blocked[step] as usize
    }

    /// Returns the steps that come after a step, in step order.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn descendants(&self, step: usize) -> Vec<usize> {
        self.dag().descendants(step)
    }

    /// Returns the most critical paths.
    pub fn critical_paths(&self) -> &CriticalPaths {
        &self.concluded.critical_paths
    }

    /// Returns what could run side by side.
    pub fn parallelism(&self) -> &Parallelism {
        &self.concluded.parallelism
    }

    /// Returns the steps in error and what they hold up.
    pub fn error_chains(&self) -> &ErrorChains {
        &self.concluded.error_chains
    }

    /// Returns the steps that hold others up.
    pub fn bottlenecks(&self) -> &Bottlenecks {
        &self.concluded.bottlenecks
    }

    /// Returns the analysis in a few lines.
    pub fn summary(&self) -> &ExecutionSummary {
        &self.concluded.summary
    }
}

#[cfg(test)]
mod tests {
    use tasker_types::StepState;

    use super::*;

    /// Analyses steps with these ids, the first of them in this state.
    fn analysis(ids: [u64; 2], edges: &[(u64, u64)], first: StepState, taken_at: i64) -> Analysis {
        let facts = StepFacts {
            state: first,
            ..StepFacts::default()
        };
        let steps = [
            Step::new(ids[0], "first", facts),
            Step::new(ids[1], "second", StepFacts::default()),
        ];
        let facts = TaskFacts {
            taken_at: Some(Timestamp::from_micros(taken_at)),
            ..TaskFacts::new(steps)
        };
        analyze(&facts, edges, &GraphWeights::default()).unwrap()
    }

    #[test]
    fn analyses_differ_by_each_of_their_parts() {
        let one = analysis([1, 2], &[(1, 2)], StepState::Pending, 0);
        let other = analysis([1, 2], &[], StepState::Error, 5);
        let renumbered = analysis([3, 4], &[(3, 4)], StepState::Pending, 0);
        assert_eq!(one, one.clone());
        let parts = [
            Analysis {
                shape: renumbered.shape,
                ..one.clone()
            },
            Analysis {
                shape: other.shape,
                ..one.clone()
            },
            Analysis {
                state: TaskState::Cancelled,
                ..one.clone()
            },
            Analysis {
                taken_at: other.taken_at,
                ..one.clone()
            },
            Analysis {
                facts: other.facts,
                ..one.clone()
            },
            Analysis {
                counts: other.counts,
                ..one.clone()
            },
            Analysis {
                context: other.context,
                ..one.clone()
            },
            Analysis {
                concluded: other.concluded,
                ..one.clone()
            },
        ];
        for (number, part) in parts.iter().enumerate() {
            assert_ne!(one, *part, "part {number}");
        }
    }

    #[test]
    fn an_analysis_without_steps_is_empty() {
        let none = TaskFacts::new(Vec::new());
        assert!(analyze(&none, &[], &GraphWeights::default()).unwrap().is_empty());
        assert!(!analysis([1, 2], &[], StepState::Pending, 0).is_empty());
    }
}
