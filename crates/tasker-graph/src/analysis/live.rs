//! An analysis that is kept up to date, one step's change at a time.

use std::collections::BinaryHeap;
use std::sync::Arc;

use tasker_types::{GraphWeights, HealthStatus, StepFacts, TaskContext, TaskState, Timestamp};

use super::Analysis;
use super::bottlenecks::{Bottlenecks, candidates};
use super::closure::Descendants;
use super::critical::{self, CriticalPath, CriticalPaths};
use super::error::AnalysisError;
use super::errors::{self, ErrorChains};
use super::exact::PathWeights;
use super::facts::TaskFacts;
use super::parallelism::Parallelism;
use super::paths::BestWays;
use super::shape::Shape;
use super::summary::ExecutionSummary;

/// When so many steps come to wait or no longer wait at once, it is cheaper to count anew.
const MANY: usize = 64;

/// An analysis with what is needed to follow the changes of its steps.
///
/// What it says is at any time what a fresh analysis of the same facts would say.
#[derive(Clone, Debug)]
pub struct LiveAnalysis {
    analysis: Analysis,
    weights: GraphWeights,
    path_weights: PathWeights,
    /// What each step adds to a path.
    step_weights: Vec<i128>,
    best: BestWays,
    /// Which step was last seen by which walk.
    seen: Vec<u32>,
    walk: u32,
}

impl LiveAnalysis {
    /// Analyses a task.
    ///
    /// # Errors
    ///
    /// As [`analyze`](super::analyze).
    pub fn new(
        facts: &TaskFacts,
        edges: &[(u64, u64)],
        weights: &GraphWeights,
    ) -> Result<Self, AnalysisError> {
        let shape = Shape::new(&facts.steps, edges)?;
        let mut steps: Vec<StepFacts> = facts.steps.iter().map(|step| step.facts.clone()).collect();
        for step in 0..steps.len() {
            let unmet = shape
                .dag
                .parents(step)
                .iter()
                .filter(|parent| !steps[**parent].state.is_done());
            steps[step].unmet_parents = u32::try_from(unmet.count()).unwrap_or(u32::MAX);
        }
        let context = TaskContext::of(facts.state, &steps);
        let path_weights = PathWeights::new(
            weights,
            steps.len(),
            context.health_status == HealthStatus::Healthy,
        )?;
        let step_weights: Vec<i128> = steps.iter().map(|facts| path_weights.of(facts)).collect();
        let blocked: Vec<bool> = steps.iter().map(StepFacts::blocked).collect();
        let counts = Descendants::count(&shape.dag, &blocked);
        let best = BestWays::find(&shape.dag, &shape.paths, &step_weights);
        let concluded = conclude(&Known {
            shape: &shape,
            state: facts.state,
            taken_at: facts.taken_at,
            facts: &steps,
            counts: &counts,
            context: &context,
            weights,
            best: &best,
        });
        Ok(Self {
            seen: vec![0; steps.len()],
            walk: 0,
            analysis: Analysis {
                shape: Arc::new(shape),
                state: facts.state,
                taken_at: facts.taken_at,
                facts: steps,
                counts,
                context,
                concluded,
            },
            weights: weights.clone(),
            path_weights,
            step_weights,
            best,
        })
    }

    /// Returns the analysis of the facts as they are.
    pub fn analysis(&self) -> &Analysis {
        &self.analysis
    }

    /// Returns the analysis, to be kept as it is.
    pub fn into_analysis(self) -> Analysis {
        self.analysis
    }

    /// Takes in what a step has become, and when.
    ///
    /// # Errors
    ///
    /// [`AnalysisError::UnknownStep`], and then nothing is changed.
    ///
    /// # Complexity
    ///
    /// O(V + E) with small constants, and O(the steps before it) for the scores that change.
    pub fn update(
        &mut self,
        id: u64,
        facts: StepFacts,
        now: Option<Timestamp>,
    ) -> Result<&Analysis, AnalysisError> {
        let shape = Arc::clone(&self.analysis.shape);
        let step = shape.find(id).ok_or(AnalysisError::UnknownStep { id })?;
        let steps = &mut self.analysis.facts;
        let was_done = steps[step].state.is_done();
        let mut changed = vec![step];
        let mut turned = Vec::new();
        let was_blocked = steps[step].blocked();
        steps[step] = StepFacts {
            unmet_parents: steps[step].unmet_parents,
            ..facts
        };
        if steps[step].blocked() != was_blocked {
            turned.push(step);
        }
        if steps[step].state.is_done() != was_done {
            for child in shape.dag.children(step).iter().copied() {
                let facts = &mut steps[child];
                let was_blocked = facts.blocked();
                match was_done {
                    true => facts.unmet_parents += 1,
                    false => facts.unmet_parents -= 1,
                }
                changed.push(child);
                if facts.blocked() != was_blocked {
                    turned.push(child);
                }
            }
        }
        self.count_blocked(&turned);
        self.analysis.taken_at = now;
        self.weigh(&changed)?;
        Ok(&self.analysis)
    }

    /// Takes in what the task has become, and when.
    ///
    /// # Errors
    ///
    /// None that [`new`](Self::new) has not had.
    pub fn update_task(
        &mut self,
        state: TaskState,
        now: Option<Timestamp>,
    ) -> Result<&Analysis, AnalysisError> {
        self.analysis.state = state;
        self.analysis.taken_at = now;
        self.weigh(&[])?;
        Ok(&self.analysis)
    }

    /// Counts steps that came to wait, or no longer wait, with all that come before them.
    fn count_blocked(&mut self, turned: &[usize]) {
        let Analysis {
            shape, facts, counts, ..
        } = &mut self.analysis;
        if turned.len() > MANY {
            let blocked: Vec<bool> = facts.iter().map(StepFacts::blocked).collect();
            *counts = Descendants::count(&shape.dag, &blocked);
            return;
        }
        for step in turned.iter().copied() {
            self.walk = self.walk.wrapping_add(1);
            if self.walk == 0 {
                self.seen.fill(0);
                self.walk = 1;
            }
            let mut waiting = vec![step];
            while let Some(next) = waiting.pop() {
                for parent in shape.dag.parents(next).iter().copied() {
                    if std::mem::replace(&mut self.seen[parent], self.walk) == self.walk {
                        continue;
                    }
                    match facts[step].blocked() {
                        true => counts.blocked[parent] += 1,
                        false => counts.blocked[parent] -= 1,
                    }
                    waiting.push(parent);
                }
            }
        }
    }

    /// Weighs steps anew, and all if the task has become healthy or ceased to be; then concludes.
    fn weigh(&mut self, changed: &[usize]) -> Result<(), AnalysisError> {
        let was_healthy = self.analysis.context.health_status == HealthStatus::Healthy;
        let context = TaskContext::of(self.analysis.state, &self.analysis.facts);
        let is_healthy = context.health_status == HealthStatus::Healthy;
        self.analysis.context = context;
        let shape = Arc::clone(&self.analysis.shape);
        let facts = &self.analysis.facts;
        if is_healthy == was_healthy {
            self.weigh_some(&shape, changed);
        } else {
            self.path_weights = PathWeights::new(&self.weights, facts.len(), is_healthy)?;
            self.step_weights = facts.iter().map(|facts| self.path_weights.of(facts)).collect();
            self.best = BestWays::find(&shape.dag, &shape.paths, &self.step_weights);
        }
        self.analysis.concluded = conclude(&Known {
            shape: &shape,
            state: self.analysis.state,
            taken_at: self.analysis.taken_at,
            facts: &self.analysis.facts,
            counts: &self.analysis.counts,
            context: &self.analysis.context,
            weights: &self.weights,
            best: &self.best,
        });
        Ok(())
    }

    /// Finds the best ways from the changed steps anew, and from those before them as far as something changes.
    fn weigh_some(&mut self, shape: &Shape, changed: &[usize]) {
        let order = shape.dag.topological_order();
        let mut waiting: BinaryHeap<usize> = BinaryHeap::new();
        for step in changed.iter().copied() {
            let weight = self.path_weights.of(&self.analysis.facts[step]);
            if std::mem::replace(&mut self.step_weights[step], weight) != weight {
                waiting.push(shape.place[step]);
            }
        }
        while let Some(place) = waiting.pop() {
            while waiting.peek() == Some(&place) {
                waiting.pop();
            }
            if self.best.find_again(&shape.dag, &self.step_weights, order[place]) {
                waiting.extend(
                    shape
                        .dag
                        .parents(order[place])
                        .iter()
                        .map(|parent| shape.place[*parent]),
                );
            }
        }
    }
}

/// What is known before the conclusions.
struct Known<'a> {
    shape: &'a Shape,
    state: TaskState,
    taken_at: Option<Timestamp>,
    facts: &'a [StepFacts],
    counts: &'a Descendants,
    context: &'a TaskContext,
    weights: &'a GraphWeights,
    best: &'a BestWays,
}

/// What is concluded anew after each change.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Concluded {
    pub(crate) critical_paths: CriticalPaths,
    pub(crate) parallelism: Parallelism,
    pub(crate) error_chains: ErrorChains,
    pub(crate) bottlenecks: Bottlenecks,
    pub(crate) summary: ExecutionSummary,
}

fn conclude(known: &Known<'_>) -> Concluded {
    let Known {
        shape,
        facts,
        counts,
        context,
        weights,
        ..
    } = *known;
    let is_active = known.state.is_active();
    let task = critical::Task {
        facts,
        is_active,
        context,
        weights,
        unhealthy_factor: if context.health_status == HealthStatus::Healthy {
            1.0
        } else {
            1.5
        },
    };
    let paths = known.best.paths(&shape.dag).into_iter();
    let critical_paths = CriticalPaths {
        total_paths: shape.paths.total,
        total_paths_is_lower_bound: shape.paths.is_lower_bound,
        longest_path_length: shape.levels(),
        paths: paths.map(|steps| CriticalPath::new(steps, task)).collect(),
    };
    let parallelism = Parallelism::new(shape, facts, is_active, context);
    let errors: Vec<usize> = (0..facts.len())
        .filter(|step| facts[*step].state == tasker_types::StepState::Error)
        .collect();
    let blocked_by_errors = blocked_after(shape, facts, &errors);
    let error_chains = ErrorChains::new(
        errors::Task {
            state: known.state,
            taken_at: known.taken_at,
            facts,
            counts,
            context,
            weights,
        },
        blocked_by_errors,
    );
    let candidates = candidates(known.state, facts, context);
    let blocked = if candidates == errors {
        blocked_by_errors
    } else {
        blocked_after(shape, facts, &candidates)
    };
    let bottlenecks = Bottlenecks::new(&candidates, facts, counts, context, weights, blocked);
    let summary = ExecutionSummary::new(shape, facts, &parallelism, &error_chains, &bottlenecks);
    Concluded {
        critical_paths,
        parallelism,
        error_chains,
        bottlenecks,
        summary,
    }
}

/// Counts the blocked steps that come after any of some, each once.
fn blocked_after(shape: &Shape, facts: &[StepFacts], steps: &[usize]) -> usize {
    let Some(first) = steps.iter().map(|step| shape.place[*step]).min() else {
        return 0;
    };
    // Whether a step is one of them or after one.
    let mut reached = vec![false; facts.len()];
    for step in steps {
        reached[*step] = true;
    }
    let mut blocked = 0;
    for step in shape.dag.topological_order()[first..].iter().copied() {
        if shape.dag.parents(step).iter().any(|parent| reached[*parent]) {
            reached[step] = true;
            blocked += usize::from(facts[step].blocked());
        }
    }
    blocked
}
