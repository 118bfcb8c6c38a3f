//! Random choices that follow from a seed.

use std::time::Duration;

use tasker_engine::{Entropy, SeededEntropy};

/// Makes random choices.
#[derive(Debug)]
pub(super) struct Dice(SeededEntropy);

impl Dice {
    /// Returns the dice for one purpose of a run.
    pub(super) fn new(seed: u64, purpose: u64) -> Self {
        // One draw mixes the two, so that neighbouring seeds have nothing in common.
        let mixed = SeededEntropy::new(seed.wrapping_mul(0x1_0001).wrapping_add(purpose)).next_u64();
        Self(SeededEntropy::new(mixed))
    }

    /// Returns a number below a bound; 0 for a bound of 0.
    pub(super) fn below(&self, bound: u64) -> u64 {
        self.0.next_u64() % bound.max(1)
    }

    /// Returns a number from `least` to `most`.
    pub(super) fn between(&self, least: u64, most: u64) -> u64 {
        least + self.below(most - least + 1)
    }

    /// Says yes so often in a thousand.
    pub(super) fn chance(&self, in_a_thousand: u64) -> bool {
        self.below(1_000) < in_a_thousand
    }

    /// Returns a time of at most so many milliseconds.
    pub(super) fn up_to_ms(&self, most: u64) -> Duration {
        Duration::from_millis(self.below(most + 1))
    }

    /// Returns one of some things.
    pub(super) fn pick<'a, T>(&self, of: &'a [T]) -> &'a T {
        &of[usize::try_from(self.below(of.len() as u64)).unwrap_or(0)]
    }

    /// Returns a number whose order of magnitude is random: between 1 and `2^bits`.
    pub(super) fn magnitude(&self, bits: u32) -> u64 {
        let most = 1_u64 << self.between(1, u64::from(bits));
        self.between(1, most)
    }
}

impl Entropy for Dice {
    fn next_u64(&self) -> u64 {
        self.0.next_u64()
    }
}
