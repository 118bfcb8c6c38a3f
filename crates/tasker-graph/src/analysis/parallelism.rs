//! How many steps can run side by side, level by level.

use tasker_types::{StepFacts, StepState, TaskContext};

use super::number::tenths;
use super::shape::Shape;
use super::words::Degree;

/// What could run side by side.
#[derive(Clone, Debug, PartialEq)]
pub struct Parallelism {
    /// The most steps that a level has.
    pub max_parallel_steps: usize,
    /// How many steps can start.
    pub current_opportunities: usize,
    /// How many steps wait for a parent.
    pub blocked_opportunities: usize,
    /// The levels on which more than one step can start, in percent of all, one decimal.
    pub efficiency: f64,
    /// The task's completed steps in percent, two decimals.
    pub overall_completion: f64,
    /// Every level, from that of the roots.
    pub levels: Vec<Level>,
}

/// The steps of one level.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Level {
    /// How many steps it has.
    pub total_steps: usize,
    /// How many can start.
    pub ready_steps: usize,
    /// How many wait for a parent.
    pub blocked_steps: usize,
    /// How many are in error.
    pub error_steps: usize,
    /// How many are complete or resolved.
    pub completed_steps: usize,
}

impl Level {
    /// Returns how many of its steps could run side by side now.
    pub const fn potential(&self) -> Degree {
        match self.ready_steps {
            0 => Degree::Low,
            1 => Degree::Medium,
            _ => Degree::High,
        }
    }

    /// Returns how likely it holds the task up: High if more than half of its steps wait for a parent.
    pub const fn risk(&self) -> Degree {
        if self.blocked_steps > self.total_steps / 2 {
            Degree::High
        } else {
            Degree::Low
        }
    }
}

impl Parallelism {
    pub(crate) fn new(shape: &Shape, facts: &[StepFacts], is_active: bool, context: &TaskContext) -> Self {
        let levels: Vec<Level> = (0..shape.levels())
            .map(|level| count(shape.level(level), facts, is_active))
            .collect();
        let wide = levels.iter().filter(|level| level.ready_steps > 1).count();
        Self {
            max_parallel_steps: levels.iter().map(|level| level.total_steps).max().unwrap_or(0),
            current_opportunities: levels.iter().map(|level| level.ready_steps).sum(),
            blocked_opportunities: levels.iter().map(|level| level.blocked_steps).sum(),
            efficiency: tenths(wide, levels.len()),
            overall_completion: context.completion_percentage,
            levels,
        }
    }
}

fn count(steps: &[usize], facts: &[StepFacts], is_active: bool) -> Level {
    let mut level = Level {
        total_steps: steps.len(),
        ready_steps: 0,
        blocked_steps: 0,
        error_steps: 0,
        completed_steps: 0,
    };
    for facts in steps.iter().map(|step| &facts[*step]) {
        level.ready_steps += usize::from(facts.blocking_reason(is_active).is_none());
        level.blocked_steps += usize::from(facts.blocked());
        level.error_steps += usize::from(facts.state == StepState::Error);
        level.completed_steps += usize::from(facts.state.is_done());
    }
    level
}
