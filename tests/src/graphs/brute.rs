//! What an analysis must find, by enumerating every path.
//!
//! Nothing of what is checked is used: readiness and the context are worked out anew from the bare facts, all that
//! follows from the graph comes from the list of its paths, and scores are sums of whole numbers.

mod bottlenecks;
mod context;
mod errors;
mod levels;
mod paths;

use std::fmt::Debug;
use std::time::Duration;

use tasker_graph::{Analysis, GraphWeights, Severity, StepState, TaskContext, TaskFacts, TaskState};
use tasker_types::BlockingReason;

use super::shapes::Edges;
use super::states::is_done;

/// A graph with all its paths; sets of steps are bits.
#[derive(Debug)]
pub(super) struct Shape {
    edges: Edges,
    parents: Vec<u32>,
    children: Vec<u32>,
    /// What comes after each step.
    below: Vec<u32>,
    levels: Vec<usize>,
    /// Every path from a root to a leaf, in the order of their steps.
    paths: Vec<Path>,
}

#[derive(Debug)]
struct Path {
    steps: Vec<usize>,
    set: u32,
}

/// Returns the steps of a set.
fn of(set: u32) -> impl Iterator<Item = usize> {
    (0..32).filter(move |step| set >> step & 1 == 1)
}

/// Returns the set of the steps below a number for which something holds.
fn set(count: usize, holds: impl Fn(usize) -> bool) -> u32 {
    (0..count)
        .filter(|step| holds(*step))
        .fold(0, |set, step| set | 1 << step)
}

fn size(set: u32) -> usize {
    set.count_ones() as usize
}

/// Compares two answers.
fn same<T: PartialEq + Debug>(what: &str, found: T, expected: T) -> Result<(), String> {
    if found == expected {
        return Ok(());
    }
    Err(format!("{what}: found {found:?}, expected {expected:?}"))
}

/// Compares two numbers of which at least one is a sum of rounded ones.
fn near(what: &str, found: f64, expected: f64) -> Result<(), String> {
    if (found - expected).abs() <= 1e-12 * expected.abs().max(1.0) {
        return Ok(());
    }
    Err(format!("{what}: found {found}, expected {expected}"))
}

/// Returns a part in percent, rounded half away from zero to so many parts of one.
fn percent(part: usize, whole: usize, parts_of_one: usize) -> f64 {
    if whole == 0 {
        return 0.0;
    }
    let rounded = (part * 200 * parts_of_one + whole) / (2 * whole);
    rounded as f64 / parts_of_one as f64
}

/// Returns a weight in tenths.
fn tenths(weight: f64) -> i64 {
    (weight * 10.0).round() as i64
}

impl Shape {
    pub(super) fn new(count: usize, edges: Edges) -> Self {
        let (mut parents, mut children) = (vec![0; count], vec![0; count]);
        for (from, to) in &edges {
            children[*from] |= 1 << to;
            parents[*to] |= 1 << from;
        }
        let mut shape = Self {
            edges,
            below: vec![0; count],
            levels: vec![0; count],
            paths: Vec::new(),
            parents,
            children,
        };
        for root in of(set(count, |step| shape.parents[step] == 0)) {
            shape.walk(&mut vec![root]);
        }
        for path in &shape.paths {
            let mut rest = path.set;
            for (distance, step) in path.steps.iter().copied().enumerate() {
                rest &= !(1 << step);
                shape.below[step] |= rest;
                shape.levels[step] = shape.levels[step].max(distance);
            }
        }
        shape
    }

    /// Lists every path that goes on from one.
    fn walk(&mut self, path: &mut Vec<usize>) {
        let last = path[path.len() - 1];
        if self.children[last] == 0 {
            self.paths.push(Path {
                steps: path.clone(),
                set: path.iter().fold(0, |set, step| set | 1 << step),
            });
        }
        for child in of(self.children[last]) {
            path.push(child);
            self.walk(path);
            path.pop();
        }
    }
}

/// A step with what follows from its facts.
#[derive(Debug)]
struct Known {
    state: StepState,
    attempts: u32,
    retry_limit: u32,
    due_in: Option<Duration>,
    unmet: u32,
    blocked: bool,
    exhausted: bool,
    eligible: bool,
    stuck: bool,
    in_backoff: bool,
    /// A person set no flag that forbids another attempt, and no failure was permanent.
    may_retry: bool,
    reason: Option<BlockingReason>,
}

/// A task with what follows from it.
#[derive(Debug)]
pub(super) struct Brute<'a> {
    shape: &'a Shape,
    task: &'a TaskFacts,
    weights: &'a GraphWeights,
    steps: Vec<Known>,
    done: u32,
    error: u32,
    cancelled: u32,
    blocked: u32,
    ready: u32,
    context: TaskContext,
}

impl<'a> Brute<'a> {
    pub(super) fn new(shape: &'a Shape, task: &'a TaskFacts, weights: &'a GraphWeights) -> Self {
        let count = task.steps.len();
        let active = matches!(task.state, TaskState::Pending | TaskState::InProgress);
        let state = |step: usize| task.steps[step].facts.state;
        let done = set(count, |step| is_done(state(step)));
        let steps: Vec<Known> = (0..count)
            .map(|step| known(task, step, shape.parents[step] & !done, active))
            .collect();
        Self {
            error: set(count, |step| state(step) == StepState::Error),
            cancelled: set(count, |step| state(step) == StepState::Cancelled),
            blocked: set(count, |step| steps[step].blocked),
            ready: set(count, |step| steps[step].reason.is_none()),
            context: context::of(&steps),
            shape,
            task,
            weights,
            steps,
            done,
        }
    }

    /// Says what an analysis has found that is not so.
    pub(super) fn compare(&self, analysis: &Analysis) -> Result<(), String> {
        self.compare_steps(analysis)?;
        self.compare_context(analysis)?;
        self.compare_paths(analysis)?;
        self.compare_levels(analysis)?;
        self.compare_errors(analysis)?;
        self.compare_bottlenecks(analysis)
    }

    /// Compares what is said of each step, and of the graph.
    fn compare_steps(&self, analysis: &Analysis) -> Result<(), String> {
        let shape = self.shape;
        same("len", analysis.len(), self.steps.len())?;
        same("is_empty", analysis.is_empty(), self.steps.is_empty())?;
        same("task_state", analysis.task_state(), self.task.state)?;
        same("taken_at", analysis.taken_at(), self.task.taken_at)?;
        let dag = analysis.dag();
        let mut sorted = shape.edges.clone();
        sorted.sort_unstable();
        same("edges", dag.edges().collect(), sorted)?;
        let all = self.steps.len();
        let ends = |of: &[u32]| (0..all).filter(|step| of[*step] == 0).collect::<Vec<_>>();
        same("roots", dag.roots(), ends(&shape.parents))?;
        same("leaves", dag.leaves(), ends(&shape.children))?;
        let mut before = 0;
        for step in dag.topological_order().iter().copied() {
            same("a step after its parents", shape.parents[step] & !before, 0)?;
            before |= 1 << step;
        }
        same("steps in the topological order", size(before), all)?;
        for (place, (step, known)) in self.task.steps.iter().zip(&self.steps).enumerate() {
            let below = shape.below[place];
            same("id", analysis.id(place), step.id)?;
            same("find", analysis.find(step.id), Some(place))?;
            same("name", analysis.name(place), &step.name)?;
            let facts = analysis.facts(place);
            same("unmet_parents", facts.unmet_parents, known.unmet)?;
            same("state", facts.state, known.state)?;
            same("attempts", facts.attempts, known.attempts)?;
            same("level", dag.levels()[place] as usize, shape.levels[place])?;
            same("descendants", analysis.descendants(place), of(below).collect())?;
            same("descendant_count", analysis.descendant_count(place), size(below))?;
            same(
                "blocked_descendant_count",
                analysis.blocked_descendant_count(place),
                size(below & self.blocked),
            )?;
        }
        Ok(())
    }

    /// Returns how severe a score is, given in hundredths.
    fn severity(&self, score: i64) -> Severity {
        let thresholds = &self.weights.severity_thresholds;
        let at_least = |threshold: f64| score >= tenths(threshold) * 10;
        if at_least(thresholds.critical) {
            Severity::Critical
        } else if at_least(thresholds.high) {
            Severity::High
        } else if at_least(thresholds.medium) {
            Severity::Medium
        } else {
            Severity::Low
        }
    }

    fn is_final(&self) -> bool {
        matches!(
            self.task.state,
            TaskState::Complete | TaskState::Cancelled | TaskState::ResolvedManually
        )
    }
}

fn known(task: &TaskFacts, step: usize, unmet: u32, active: bool) -> Known {
    let facts = &task.steps[step].facts;
    let idle = matches!(facts.state, StepState::Pending | StepState::Error);
    let finished = is_done(facts.state) || facts.state == StepState::Cancelled;
    let exhausted = idle && facts.attempts >= facts.retry_limit;
    let refused = exhausted || facts.permanent || (!facts.retryable && facts.attempts > 0);
    let eligible = !(idle && refused);
    let in_backoff = idle && facts.due_in.is_some_and(|wait| wait > Duration::ZERO);
    let reasons = [
        (finished, BlockingReason::Finished),
        (facts.state == StepState::InProgress, BlockingReason::Running),
        (unmet != 0, BlockingReason::DependenciesNotSatisfied),
        (!eligible, BlockingReason::RetryNotEligible),
        (!active, BlockingReason::TaskNotActive),
        (in_backoff, BlockingReason::WaitingForBackoff),
    ];
    Known {
        state: facts.state,
        attempts: facts.attempts,
        retry_limit: facts.retry_limit,
        due_in: facts.due_in,
        unmet: unmet.count_ones(),
        blocked: !finished && unmet != 0,
        exhausted,
        eligible,
        stuck: facts.state == StepState::Cancelled || !eligible,
        in_backoff,
        may_retry: facts.retryable && !facts.permanent,
        reason: reasons
            .into_iter()
            .find(|(holds, _)| *holds)
            .map(|(_, reason)| reason),
    }
}
