//! How rough a run is. Every seed has another temper: one without faults, one with a single kind, one with all.

use tasker_testkit::Faults;

use super::dice::Dice;

/// What may happen in a run, and how often.
#[derive(Clone, Copy, Debug)]
pub(super) struct Temper {
    /// What the store in front of the store does.
    pub(super) faults: Faults,
    /// Workers side by side.
    pub(super) workers: u64,
    /// Tasks in all.
    pub(super) tasks: u64,
    /// Seconds until everything is calm.
    pub(super) rough_seconds: u64,
    /// How many in a thousand incarnations of workers crash; the others are stopped.
    pub(super) crashes: u64,
    /// How many in a thousand incarnations stall from time to time.
    pub(super) stalls: u64,
    /// Milliseconds between two demands of an operator, at most; 0 for none.
    pub(super) demands_ms: u64,
    /// Milliseconds between two jumps of the clock, at most; 0 for none.
    pub(super) jumps_ms: u64,
    /// How many in a thousand attempts do not succeed.
    pub(super) failures: u64,
}

impl Temper {
    pub(super) fn of(seed: u64) -> Self {
        let dice = Dice::new(seed, 1);
        let rate = |most: u64| {
            if dice.chance(500) {
                0
            } else {
                u16::try_from(dice.between(1, most)).unwrap_or(0)
            }
        };
        let faults = Faults {
            refused: rate(150),
            unanswered: rate(150),
            late: rate(400),
            answered_late: rate(400),
            doubled: rate(200),
            stale: rate(100),
            unheard: rate(500),
            delay_ms: u16::try_from(dice.magnitude(13)).unwrap_or(1),
        };
        Self {
            faults,
            workers: dice.between(1, 4),
            tasks: dice.between(1, 6),
            rough_seconds: dice.between(10, 90),
            crashes: *dice.pick(&[0, 500, 1_000]),
            stalls: *dice.pick(&[0, 300]),
            demands_ms: *dice.pick(&[0, 500, 3_000, 20_000]),
            jumps_ms: *dice.pick(&[0, 0, 10_000, 40_000]),
            failures: *dice.pick(&[0, 100, 300, 600]),
        }
    }
}
