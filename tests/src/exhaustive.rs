//! Every state that a small task can come to, whatever its steps do and however its workers fail.
//!
//! A world is a graph of a few steps and two workers. Breadth-first search tries everything that may happen next in
//! each state: a claim, an outcome (success, a failure that may be tried again, one that may not) with or without a
//! claim in the same turn, the crash of a worker, a lease that is over, a sweep, and time that passes. The rules are those of
//! [`MemoryStore`](tasker_engine::MemoryStore) itself, which is copied for each thing that is tried. Two states are one
//! if they differ in nothing that decides what may happen: the names of the workers, the numbers of runs and tokens, and
//! the hour are left out, and the workers are alike.
//!
//! Each transition leaves a history, rows and results in which the checker finds nothing; each answer is what the state
//! before it demands; and from each state the task can end without another failure.

mod action;
mod node;
mod search;
mod state;
mod verdict;
mod world;

use std::fmt;
use std::ops::AddAssign;

use crate::cores::on_all_cores;
use crate::graphs::shapes::{graphs, orders, reordered};
use search::search;
use world::World;

/// How many violations are described.
const DESCRIBED: usize = 5;

/// What may happen in a world.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How often a step may be tried.
    pub attempts: u32,
    /// How many leases may end in one history.
    pub lapses: u8,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            attempts: 2,
            lapses: 2,
        }
    }
}

/// Which graphs of so many steps are explored.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Graphs {
    /// Each graph once, however its steps are called.
    UpToIsomorphism,
    /// Each graph with its steps in every order; steps are handed out in order.
    InEveryOrder,
}

/// What was explored.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Explored {
    /// Worlds.
    pub worlds: u64,
    /// States, all together.
    pub states: u64,
    /// In how many of them the task is over.
    pub ended: u64,
    /// Ways from a state to one that follows.
    pub transitions: u64,
    /// States and transitions with which something is wrong.
    pub violations: u64,
    /// The first of them, with how they come about.
    pub described: Vec<String>,
}

impl AddAssign for Explored {
    fn add_assign(&mut self, other: Self) {
        self.worlds += other.worlds;
        self.states += other.states;
        self.ended += other.ended;
        self.transitions += other.transitions;
        self.violations += other.violations;
        self.described.extend(other.described);
        self.described.truncate(DESCRIBED);
    }
}

impl fmt::Display for Explored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            states,
            transitions,
            violations,
            ..
        } = self;
        write!(
            f,
            "{states} states, {transitions} transitions, {violations} violations"
        )
    }
}

/// Explores every world of so many steps, on all cores.
///
/// # Errors
///
/// If the engine panicked.
pub fn explore(steps: usize, which: Graphs, bounds: Bounds) -> anyhow::Result<Explored> {
    let mut chosen = graphs(steps);
    if which == Graphs::InEveryOrder {
        let orders = orders(steps);
        let every = chosen.iter().flat_map(|edges| {
            orders.iter().map(|order| {
                let mut edges = reordered(edges, order);
                edges.sort_unstable();
                edges
            })
        });
        chosen = every.collect();
        chosen.sort_unstable();
        chosen.dedup();
    }
    // The fewer edges a graph has, the more can happen: the long searches come first, so that no core waits for them.
    chosen.sort_by_key(Vec::len);
    on_all_cores(chosen.len(), |number| {
        search(&World::new(steps, &chosen[number], bounds))
    })
}
