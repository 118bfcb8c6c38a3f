//! How rough a run is. Every seed has another temper: one without faults, one with a single kind, one with all.

use std::fmt;

use tasker_testkit::Faults;

use super::dice::Dice;

/// What may happen in a run, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temper {
    /// What the store in front of the store does.
    pub(super) faults: Faults,
    /// Workers side by side.
    pub(super) workers: u64,
    /// Tasks in all.
    pub(super) tasks: u64,
    /// The steps of each task; random without.
    pub(super) steps: Option<u64>,
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
    /// Processes that share the store, if it can be shared.
    pub(super) processes: u64,
    /// Milliseconds that the clocks of two machines are apart at most.
    pub(super) skew_ms: u64,
    /// Milliseconds between two restarts of everything, at most; 0 for none.
    pub(super) restarts_ms: u64,
}

impl Temper {
    /// Returns the temper of a seed.
    pub fn of(seed: u64) -> Self {
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
            steps: None,
            rough_seconds: dice.between(10, 90),
            crashes: *dice.pick(&[0, 500, 1_000]),
            stalls: *dice.pick(&[0, 300]),
            demands_ms: *dice.pick(&[0, 500, 3_000, 20_000]),
            jumps_ms: *dice.pick(&[0, 0, 10_000, 40_000]),
            failures: *dice.pick(&[0, 100, 300, 600]),
            processes: dice.between(1, 2),
            skew_ms: *dice.pick(&[0, 0, 50, 5_000]),
            restarts_ms: *dice.pick(&[0, 0, 30_000]),
        }
    }

    /// Sets how many workers there are, and how many steps each task has.
    #[must_use]
    pub fn sized(mut self, workers: Option<u64>, steps: Option<u64>) -> Self {
        self.workers = workers.unwrap_or(self.workers).max(1);
        self.steps = steps.map(|steps| steps.max(1));
        self
    }

    /// Returns tempers in which less happens, the greatest steps first.
    pub(super) fn milder(self) -> Vec<Self> {
        let mut milder = Vec::new();
        let mut add = |change: &dyn Fn(&mut Self)| {
            let mut changed = self;
            change(&mut changed);
            if changed != self {
                milder.push(changed);
            }
        };
        add(&|temper| temper.faults = Faults::default());
        add(&|temper| temper.tasks = 1);
        add(&|temper| temper.workers = 1);
        add(&|temper| temper.demands_ms = 0);
        add(&|temper| temper.failures = 0);
        add(&|temper| temper.crashes = 0);
        add(&|temper| temper.stalls = 0);
        add(&|temper| temper.jumps_ms = 0);
        add(&|temper| temper.skew_ms = 0);
        add(&|temper| temper.restarts_ms = 0);
        add(&|temper| temper.processes = 1);
        add(&|temper| temper.faults.refused = 0);
        add(&|temper| temper.faults.unanswered = 0);
        add(&|temper| temper.faults.late = 0);
        add(&|temper| temper.faults.answered_late = 0);
        add(&|temper| temper.faults.doubled = 0);
        add(&|temper| temper.faults.stale = 0);
        add(&|temper| temper.faults.unheard = 0);
        for steps in [1, 2, 3, 5, 8] {
            if self.steps.is_none_or(|before| steps < before) {
                add(&|temper| temper.steps = Some(steps));
            }
        }
        add(&|temper| temper.rough_seconds = (temper.rough_seconds / 2).max(1));
        add(&|temper| temper.tasks = (temper.tasks / 2).max(1));
        add(&|temper| temper.workers = (temper.workers / 2).max(1));
        milder
    }
}

impl fmt::Display for Temper {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            faults,
            workers,
            tasks,
            steps,
            rough_seconds,
            processes,
            ..
        } = self;
        write!(f, "{workers} workers in {processes} processes, {tasks} tasks of ")?;
        match steps {
            Some(steps) => write!(f, "{steps} steps")?,
            None => f.write_str("random steps")?,
        }
        write!(f, ", {rough_seconds} s")?;
        let happenings = [
            ("crashes in a thousand lives", self.crashes),
            ("stalls in a thousand lives", self.stalls),
            ("failures in a thousand attempts", self.failures),
            ("ms between demands", self.demands_ms),
            ("ms between jumps of the clock", self.jumps_ms),
            ("ms between clocks", self.skew_ms),
            ("ms between restarts", self.restarts_ms),
            ("refused calls in a thousand", faults.refused.into()),
            ("lost answers in a thousand", faults.unanswered.into()),
            ("late calls in a thousand", faults.late.into()),
            ("late answers in a thousand", faults.answered_late.into()),
            ("calls in a thousand twice", faults.doubled.into()),
            ("turns in a thousand repeated later", faults.stale.into()),
            ("lost hints in a thousand", faults.unheard.into()),
        ];
        for (what, count) in happenings {
            if count > 0 {
                write!(f, ", {count} {what}")?;
            }
        }
        Ok(())
    }
}
