//! The analysis of graphs beside brute force: on every small graph, and on random larger ones.

mod brute;
pub(crate) mod shapes;
mod states;

use std::fmt;
use std::ops::{AddAssign, Range};

use tasker_graph::{GraphWeights, Step, StepState, TaskFacts, analyze};

use crate::cores::on_all_cores;
use brute::{Brute, Shape};
use shapes::{Edges, graphs, orders, reordered};
pub use states::Fitting;
use states::{Numbers, combinations, facts, taken_at, task, weights};

/// How many differences are described.
const DESCRIBED: usize = 10;

/// How much of the states of the steps is tried.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent {
    /// Every combination.
    Every(Fitting),
    /// As many combinations as the steps have orders, one with each.
    OnePerOrder(Fitting),
}

/// What was compared.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Compared {
    /// How many graphs, however their steps are called and ordered.
    pub graphs: u64,
    /// In how many orders of their steps, all together.
    pub orders: u64,
    /// With how many combinations of states, all together.
    pub states: u64,
    /// How many of these an analysis got wrong.
    pub differences: u64,
    /// The first of them.
    pub described: Vec<String>,
}

impl AddAssign for Compared {
    fn add_assign(&mut self, other: Self) {
        self.graphs += other.graphs;
        self.orders += other.orders;
        self.states += other.states;
        self.differences += other.differences;
        self.described.extend(other.described);
        self.described.truncate(DESCRIBED);
    }
}

impl fmt::Display for Compared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            graphs,
            orders,
            states,
            differences,
            described: _,
        } = self;
        write!(
            f,
            "{graphs} graphs in {orders} orders, {states} states, {differences} differences"
        )
    }
}

/// Compares every graph of so many steps, each with its steps in every order.
///
/// With each graph go combinations of states, and with each of them one of the orders, so that every graph is seen
/// in every order, every combination of states on every graph, and ties are decided in all ways. What else is known
/// of a step differs from one to the next.
///
/// # Errors
///
/// If weights are refused, which are constants, or a thread panicked.
pub fn every_graph(steps: usize, extent: Extent) -> anyhow::Result<Compared> {
    let (graphs, orders, weights) = (graphs(steps), orders(steps), weights()?);
    on_all_cores(graphs.len(), |number| {
        compare_graph(steps, number, &graphs[number], extent, &orders, &weights)
    })
}

/// Compares random graphs of at most so many steps, one for each seed.
///
/// # Errors
///
/// As [`every_graph`].
pub fn random_graphs(seeds: Range<u64>, most: usize) -> anyhow::Result<Compared> {
    let weights = weights()?;
    let count = usize::try_from(seeds.end.saturating_sub(seeds.start))?;
    on_all_cores(count, |number| {
        let numbers = Numbers::new((seeds.start + number as u64) << 20);
        compare_random(numbers, most, &weights)
    })
}

fn compare_graph(
    steps: usize,
    number: usize,
    edges: &[(usize, usize)],
    extent: Extent,
    orders: &[Vec<usize>],
    weights: &[GraphWeights],
) -> Compared {
    let (Extent::Every(fitting) | Extent::OnePerOrder(fitting)) = extent;
    let combinations = combinations(steps, edges, fitting);
    let mut numbers = Numbers::new((steps << 48 | number << 24) as u64);
    let mut compared = Compared {
        graphs: 1,
        ..Compared::default()
    };
    // Where there are fewer combinations than orders, some come with several of them.
    let turns = match extent {
        Extent::Every(_) => combinations.len().max(orders.len()),
        Extent::OnePerOrder(_) => orders.len(),
    };
    let offset = numbers.below(combinations.len() as u64) as usize;
    for (turn, order) in orders.iter().enumerate() {
        let mut pair = Pair::new(steps, reordered(edges, order));
        compared.orders += 1;
        for turn in (turn..turns).step_by(orders.len()) {
            // As consecutive combinations differ in the last step only, so do those of one order in others.
            let states = &combinations[(offset + turn) % combinations.len()];
            for (step, state) in states.iter().enumerate() {
                pair.task.steps[order[step]].facts = facts(*state, &mut numbers);
            }
            pair.compare(&mut numbers, weights, &mut compared);
        }
    }
    compared
}

fn compare_random(mut numbers: Numbers, most: usize, weights: &[GraphWeights]) -> Compared {
    let count = numbers.below(most as u64 + 1) as usize;
    // A random order of the steps, along which the edges lead.
    let mut order: Vec<usize> = Vec::with_capacity(count);
    for step in 0..count {
        order.insert(numbers.below(step as u64 + 1) as usize, step);
    }
    let density = numbers.below(101);
    let mut edges = Edges::new();
    for to in 0..count {
        for from in 0..to {
            if numbers.below(100) < density {
                edges.push((order[from], order[to]));
            }
        }
    }
    let mut pair = Pair::new(count, edges);
    for step in &mut pair.task.steps {
        let state = StepState::ALL[numbers.below(StepState::ALL.len() as u64) as usize];
        step.facts = facts(state, &mut numbers);
    }
    let mut compared = Compared {
        graphs: 1,
        orders: 1,
        ..Compared::default()
    };
    pair.compare(&mut numbers, weights, &mut compared);
    compared
}

/// A graph as brute force knows it, and as the analysis is asked about it.
struct Pair {
    shape: Shape,
    task: TaskFacts,
    edges: Vec<(u64, u64)>,
}

impl Pair {
    fn new(steps: usize, edges: Edges) -> Self {
        // Ids neither count up from the first nor ascend.
        let id = |place: usize| (500 + place as u64 * 378) % 1_009;
        let step = |place| Step::new(id(place), format!("s{place}"), tasker_graph::StepFacts::default());
        Self {
            task: TaskFacts::new((0..steps).map(step)),
            edges: edges.iter().map(|(from, to)| (id(*from), id(*to))).collect(),
            shape: Shape::new(steps, edges),
        }
    }

    fn compare(&mut self, numbers: &mut Numbers, weights: &[GraphWeights], compared: &mut Compared) {
        self.task.state = task(numbers);
        self.task.taken_at = taken_at(numbers);
        let weights = &weights[numbers.below(weights.len() as u64) as usize];
        let difference = match analyze(&self.task, &self.edges, weights) {
            Ok(analysis) => Brute::new(&self.shape, &self.task, weights)
                .compare(&analysis)
                .err(),
            Err(error) => Some(error.to_string()),
        };
        compared.states += 1;
        if let Some(difference) = difference {
            compared.differences += 1;
            if compared.described.len() < DESCRIBED {
                let (task, edges) = (&self.task, &self.edges);
                compared
                    .described
                    .push(format!("{difference}\n  {task:?}\n  {edges:?}\n  {weights:?}"));
            }
        }
    }
}
