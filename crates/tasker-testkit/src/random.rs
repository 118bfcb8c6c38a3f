//! The same random operations on two stores, which must answer the same and end the same.
//!
//! Nothing is random but the seed: it decides on the operations, and every id, token and time follows from it.

mod operations;

use serde_json::Value;
use tasker_engine::{Claim, Entropy, Outcome, SeededEntropy, Turn};
use tasker_types::{TaskId, WorkerId};

use crate::canonical::canonical_task;
use crate::harness::Harness;

/// How much the workers want.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appetite {
    /// All that is ready, so that nothing depends on the order in which a store hands it out.
    All,
    /// A few steps at a time, so that priority, age and fairness decide.
    Few,
}

/// How many operations a seed makes.
const OPERATIONS: u32 = 60;

/// How many tasks there are at most.
const TASKS: usize = 8;

/// Applies one random sequence of operations to two stores: creations, turns with random outcomes, repeated requests,
/// clock jumps, sweeps, renewals and interventions. After each operation it compares the answers and everything that
/// the stores hold, and at the end it verifies both histories.
///
/// The harnesses must be new; each has its own clock.
///
/// # Panics
///
/// At the first difference, with the seed, the operation and the lines that differ.
pub async fn random_operations(seed: u64, a: &Harness, b: &Harness, appetite: Appetite) {
    let workers = [a.another_worker(), a.another_worker()];
    let mut play = Play {
        pair: [a, b],
        seed,
        appetite,
        entropy: SeededEntropy::new(seed),
        workers,
        tasks: Vec::new(),
        held: Vec::new(),
        sent: Vec::new(),
        last_turn: None,
        done: 0,
    };
    for _ in 0..OPERATIONS {
        play.done += 1;
        let what = play.operate().await;
        play.compare_tasks(&what).await;
    }
    a.verify().await;
    b.verify().await;
}

/// A value for each of the two stores.
type Both<T> = [T; 2];

/// The state of a run.
struct Play<'a> {
    pair: Both<&'a Harness>,
    seed: u64,
    appetite: Appetite,
    entropy: SeededEntropy,
    workers: [WorkerId; 2],
    tasks: Vec<TaskId>,
    /// Claims that were handed out and not reported since, some of them stale.
    held: Vec<(WorkerId, Both<Claim>)>,
    /// Outcomes that were reported.
    sent: Vec<(WorkerId, Both<Outcome>)>,
    last_turn: Option<Both<Turn>>,
    done: u32,
}

impl Play<'_> {
    fn below(&self, bound: usize) -> usize {
        (self.entropy.next_u64() % bound as u64) as usize
    }

    fn one_in(&self, bound: usize) -> bool {
        self.below(bound) == 0
    }

    /// Compares two answers.
    fn compare(&self, what: &str, a: &Value, b: &Value) {
        if a == b {
            return;
        }
        let texts = [a, b].map(|value| serde_json::to_string_pretty(value).unwrap());
        let [left, right]: [Vec<&str>; 2] = [texts[0].lines().collect(), texts[1].lines().collect()];
        let same = left
            .iter()
            .zip(&right)
            .take_while(|(left, right)| left == right)
            .count();
        let from = same.saturating_sub(12);
        let shown = |lines: &[&str]| {
            lines
                .iter()
                .skip(from)
                .take(30)
                .copied()
                .collect::<Vec<_>>()
                .join("\n")
        };
        panic!(
            "seed {}, {:?}, operation {} ({what}): the stores differ from line {}\nfirst store:\n{}\n\nsecond store:\n{}",
            self.seed,
            self.appetite,
            self.done,
            same + 1,
            shown(&left),
            shown(&right),
        );
    }

    async fn compare_tasks(&self, what: &str) {
        for task in &self.tasks {
            let [a, b] = self.pair;
            let first = canonical_task(&*a.store, *task).await.unwrap();
            let second = canonical_task(&*b.store, *task).await.unwrap();
            self.compare(what, &first, &second);
        }
    }
}
