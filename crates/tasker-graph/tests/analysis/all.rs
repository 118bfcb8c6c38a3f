//! All small graphs, and random larger ones.

use proptest::prelude::*;
use tasker_graph::{StepState, TaskState};

use crate::brute::check;
use crate::cases::{Case, named, step_facts, tasks, weights};

/// Every graph of so many steps whose edges lead from lower to higher numbers; every other one is one of them with
/// the steps in another order.
fn graphs(count: usize) -> impl Iterator<Item = Vec<(usize, usize)>> {
    let pairs: Vec<(usize, usize)> = (0..count)
        .flat_map(|from| (from + 1..count).map(move |to| (from, to)))
        .collect();
    (0_u32..1 << pairs.len()).map(move |set| {
        let chosen = pairs.iter().enumerate().filter(|(bit, _)| set >> bit & 1 == 1);
        chosen.map(|(_, pair)| *pair).collect()
    })
}

/// Returns the states that a number stands for.
fn states(count: usize, mut number: usize) -> Vec<StepState> {
    (0..count)
        .map(|_| {
            let state = StepState::ALL[number % 6];
            number /= 6;
            state
        })
        .collect()
}

#[track_caller]
fn check_one(count: usize, edges: &[(usize, usize)], number: usize, turn: u64) {
    // Half of the time the steps come in the opposite order, so that their order is not a topological one.
    let place = |step: usize| {
        if turn.is_multiple_of(2) {
            step
        } else {
            count - 1 - step
        }
    };
    let facts = states(count, number)
        .into_iter()
        .enumerate()
        .map(|(step, state)| step_facts(state, turn.wrapping_mul(2_654_435_761) >> (step * 4) & 0x3ff));
    let mut facts = named(facts, 3, 1);
    facts.state = if turn % 16 == 15 {
        TaskState::ALL[number % 6]
    } else {
        TaskState::InProgress
    };
    check(&Case {
        facts,
        edges: edges
            .iter()
            .map(|(from, to)| (place(*from), place(*to)))
            .collect(),
        weights: weights(turn / 2),
    });
}

/// Every graph with every combination of states.
fn check_all(count: usize) {
    let mut turn = 0;
    for edges in graphs(count) {
        for number in 0..6_usize.pow(count as u32) {
            check_one(count, &edges, number, turn);
            turn += 1;
        }
    }
}

/// Every graph, and every combination of states, but not each with each.
fn check_each(count: usize) {
    let graphs: Vec<_> = graphs(count).collect();
    let combinations = 6_usize.pow(count as u32);
    for turn in 0..graphs.len().max(combinations) {
        check_one(
            count,
            &graphs[turn % graphs.len()],
            turn % combinations,
            turn as u64,
        );
    }
}

#[test]
fn up_to_three_steps_in_all_states() {
    (0..=3).for_each(check_all);
}

#[test]
fn four_steps_in_all_states() {
    check_all(4);
}

#[test]
fn five_steps_in_each_state() {
    check_each(5);
}

#[test]
fn six_steps_in_each_state() {
    check_each(6);
}

proptest! {
    #[test]
    fn up_to_fourteen_steps(case in tasks(14)) {
        check(&case);
    }
}
