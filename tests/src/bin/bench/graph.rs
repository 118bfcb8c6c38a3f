//! The analysis of graphs: how long it takes, how that grows, and what memory it needs.

use std::hint::black_box;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use tasker_graph::{GraphWeights, LiveAnalysis, Step, StepFacts, StepState, TaskFacts, analyze};

use crate::figure::{Figure, Figures, median};

/// What is measured, each in a process of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Graph {
    /// Diamonds one after the other.
    Ladder,
    /// Levels of steps, each of which comes after three random ones of the level above.
    Layered,
    /// One step after the other.
    Chain,
}

impl Graph {
    const fn name(self) -> &'static str {
        match self {
            Self::Ladder => "ladder",
            Self::Layered => "layered",
            Self::Chain => "chain",
        }
    }

    /// Returns about so many steps, in the midst of a run, and their edges.
    fn task(self, steps: usize) -> (TaskFacts, Vec<(u64, u64)>) {
        let edges = match self {
            Self::Ladder => ladder(steps / 3),
            Self::Layered => layered(steps),
            Self::Chain => (1..steps as u64).map(|step| (step - 1, step)).collect(),
        };
        let count = edges.iter().map(|(_, to)| *to as usize + 1).max().unwrap_or(1);
        (midway(count, &edges), edges)
    }
}

/// Some numbers that look random and are always the same.
struct Dice(u64);

impl Dice {
    /// Returns a number below a bound.
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % bound
    }
}

fn ladder(diamonds: usize) -> Vec<(u64, u64)> {
    let diamond = |number: usize| {
        let top = number as u64 * 3;
        [
            (top, top + 1),
            (top, top + 2),
            (top + 1, top + 3),
            (top + 2, top + 3),
        ]
    };
    (0..diamonds).flat_map(diamond).collect()
}

/// Levels of a hundredth of the steps, ten at least.
fn layered(steps: usize) -> Vec<(u64, u64)> {
    let width = (steps as u64 / 100).max(10);
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let mut edges = Vec::with_capacity(steps * 3);
    for step in width..steps as u64 {
        let above = (step / width - 1) * width;
        let mut parents: Vec<u64> = Vec::with_capacity(3);
        while parents.len() < 3 {
            let parent = above + dice.below(width);
            if !parents.contains(&parent) {
                parents.push(parent);
            }
        }
        edges.extend(parents.into_iter().map(|parent| (parent, step)));
    }
    edges
}

/// The first third is done, some of the rest failed, what can wait waits.
fn midway(steps: usize, edges: &[(u64, u64)]) -> TaskFacts {
    let mut dice = Dice(42);
    let mut open = vec![false; steps];
    let mut facts: Vec<StepFacts> = vec![StepFacts::default(); steps];
    let mut parents = vec![Vec::new(); steps];
    for (from, to) in edges {
        parents[*to as usize].push(*from as usize);
    }
    for step in 0..steps {
        let can_run = parents[step].iter().all(|parent| !open[*parent]);
        let done = can_run && step < steps / 3 && dice.below(50) != 0;
        open[step] = !done;
        let state = match (can_run, done) {
            (_, true) => StepState::Complete,
            (true, false) if step < steps / 3 => StepState::Error,
            _ => StepState::Pending,
        };
        facts[step] = StepFacts {
            state,
            attempts: u32::from(done || state == StepState::Error),
            ..StepFacts::default()
        };
    }
    let steps = facts.into_iter().enumerate();
    TaskFacts::new(steps.map(|(step, facts)| Step::new(step as u64, format!("step_{step}"), facts)))
}

/// What was measured of one graph, in milliseconds.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Measured {
    analysis: f64,
    /// Sorting topologically, and what comes after each step, by bit sets.
    plain: Option<f64>,
    /// One step's change, where some are in error.
    update: Option<f64>,
    peak_mb: f64,
}

/// Measures one graph; the caller runs this in a process of its own.
pub(crate) fn measure(graph: Graph, steps: usize) -> anyhow::Result<Measured> {
    let (facts, edges) = graph.task(steps);
    let weights = GraphWeights::default();
    let rounds = if steps > 50_000 { 3 } else { 15 };
    let before = crate::engine::peak_mb()?;
    let analysis = timed(rounds, || analyze(&facts, &edges, &weights))?;
    let peak_mb = crate::engine::peak_mb()? - before;
    let plain = if graph == Graph::Ladder {
        Some(timed(rounds, || {
            Ok::<_, anyhow::Error>(plain(facts.steps.len(), &edges))
        })?)
    } else {
        None
    };
    let update = if graph == Graph::Layered {
        Some(update(&facts, &edges, &weights)?)
    } else {
        None
    };
    Ok(Measured {
        analysis,
        plain,
        update,
        peak_mb,
    })
}

fn timed<T, E>(rounds: usize, mut work: impl FnMut() -> Result<T, E>) -> Result<f64, E> {
    let mut times = Vec::new();
    for _ in 0..rounds {
        let start = Instant::now();
        let answer = black_box(work()?);
        times.push(start.elapsed());
        drop(answer);
    }
    Ok(median(&times))
}

/// Sorts topologically and builds the set of what comes after each step, as plainly as it can be done.
fn plain(steps: usize, edges: &[(u64, u64)]) -> Vec<u32> {
    let mut children = vec![Vec::new(); steps];
    let mut waits = vec![0_u32; steps];
    for (from, to) in edges {
        children[*from as usize].push(*to as usize);
        waits[*to as usize] += 1;
    }
    let mut order: Vec<usize> = (0..steps).filter(|step| waits[*step] == 0).collect();
    let mut next = 0;
    while next < order.len() {
        for child in &children[order[next]] {
            waits[*child] -= 1;
            if waits[*child] == 0 {
                order.push(*child);
            }
        }
        next += 1;
    }
    let width = steps.div_ceil(64);
    let mut sets = vec![0_u64; steps * width];
    let mut counts = vec![0; steps];
    for step in order.into_iter().rev() {
        let mut set = vec![0_u64; width];
        for child in &children[step] {
            for (word, other) in set.iter_mut().zip(&sets[child * width..]) {
                *word |= other;
            }
            set[child / 64] |= 1 << (child % 64);
        }
        counts[step] = set.iter().map(|word| word.count_ones()).sum();
        sets[step * width..(step + 1) * width].copy_from_slice(&set);
    }
    counts
}

/// Lets steps in error complete, and fail again, one at a time.
fn update(facts: &TaskFacts, edges: &[(u64, u64)], weights: &GraphWeights) -> anyhow::Result<f64> {
    let mut live = LiveAnalysis::new(facts, edges, weights)?;
    let mut dice = Dice(7);
    let mut times: Vec<Duration> = Vec::new();
    let open: Vec<&Step> = facts
        .steps
        .iter()
        .filter(|step| step.facts.state == StepState::Error)
        .collect();
    for _ in 0..100 {
        let Some(step) = open.get(dice.below(open.len().max(1) as u64) as usize) else {
            break;
        };
        for state in [StepState::InProgress, StepState::Complete, StepState::Error] {
            let changed = StepFacts {
                state,
                attempts: 2,
                ..step.facts.clone()
            };
            let start = Instant::now();
            live.update(step.id, changed, None)?;
            times.push(start.elapsed());
        }
    }
    Ok(median(&times))
}

/// Measures all of them.
pub(crate) fn bench(figures: &mut Figures) -> anyhow::Result<()> {
    let ladders = [(750, 0.0), (1_500, 0.0), (3_000, 50.0)];
    let layered = [(1_000, 10.0), (10_000, 250.0), (100_000, 10_000.0)];
    let chains = [(250_000, 0.0), (500_000, 0.0), (1_000_000, 2_000.0)];
    for (graph, sizes) in [
        (Graph::Ladder, ladders),
        (Graph::Layered, layered),
        (Graph::Chain, chains),
    ] {
        let mut last: Option<(usize, f64)> = None;
        for (steps, limit) in sizes {
            let measured = apart(graph, steps)?;
            let name = format!("graph_{}_{steps}", graph.name());
            let mut figure = Figure::new(&format!("{name}_analysis"), "ms", measured.analysis);
            if limit > 0.0 {
                figure = figure.beside("the limit", limit).at_most(1.0);
            }
            figures.add(figure);
            if let Some(plain) = measured.plain {
                let figure = Figure::new(&format!("{name}_over_plain"), "ms", measured.analysis);
                figures.add(figure.beside("topological sort and closure", plain).at_most(8.0));
            }
            if let Some((smaller, time)) = last {
                let exponent = (measured.analysis / time).ln() / (steps as f64 / smaller as f64).ln();
                figures.add(Figure::new(
                    &format!("{name}_growth"),
                    "as a power of the steps",
                    exponent,
                ));
            }
            last = Some((steps, measured.analysis));
            if let Some(update) = measured.update {
                let figure = Figure::new(&format!("{name}_memory"), "MB", measured.peak_mb);
                figures.add(if steps > 10_000 {
                    figure
                } else {
                    figure.beside("the limit", 200.0).at_most(1.0)
                });
                let figure = Figure::new(&format!("{name}_update"), "ms", update);
                figures.add(if steps == 10_000 {
                    figure.beside("the limit", 1.0).at_most(1.0)
                } else {
                    figure
                });
            }
        }
    }
    Ok(())
}

/// Measures one graph in a process of its own, so that its peak of memory is its own.
fn apart(graph: Graph, steps: usize) -> anyhow::Result<Measured> {
    let output = Command::new(std::env::current_exe()?)
        .args(["--graph", graph.name(), "--steps", &steps.to_string()])
        .stderr(Stdio::inherit())
        .output()?;
    anyhow::ensure!(
        output.status.success(),
        "the {} of {steps} steps was not measured",
        graph.name()
    );
    Ok(serde_json::from_slice(&output.stdout)?)
}
