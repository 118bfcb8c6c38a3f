//! How long to wait before trying again.

use super::{Check, section, table};

/// The longest wait that may be configured, in seconds: ten years.
const LONGEST: u64 = 315_360_000;

table! {
    /// The values of [`Backoff`].
    BackoffValues {
        /// Seconds to wait after the first, second, … failed attempt of a step.
        default_backoff_seconds: Vec<u64> = vec![1, 2, 4, 8, 16, 32]; "not empty",
        /// No wait is longer than this many seconds.
        max_backoff_seconds: u64 = 300; "> 0",
        /// Past the end of the list attempt n waits n to the power of this, in whole seconds.
        backoff_multiplier: f64 = 2.0; "finite, >= 1",
        /// Whether waits are spread at random, so that failures at one moment do not come back at one moment.
        jitter_enabled: bool = true,
        /// The greatest part of a wait that is added or taken away at random; 0.1 is ten percent.
        jitter_max_percentage: f64 = 0.1; "0 to 1",
        /// Seconds until a task that is not done is looked at again.
        reenqueue_delays: ReenqueueDelays = ReenqueueDelays::default() => ReenqueueDelays,
        /// The same when nothing is known about the task.
        default_reenqueue_delay: u64 = 30,
        /// Seconds added to the time of the earliest retry when a task that waits for it is looked at again.
        buffer_seconds: u64 = 5,
    }
}

table! {
    /// Seconds until a task that is not done is looked at again, by what it is doing.
    ReenqueueDelays {
        /// A step can be claimed now.
        has_ready_steps: u64 = 0,
        /// Steps wait for their time, and no time is known.
        waiting_for_dependencies: u64 = 45,
        /// A step is in progress.
        processing: u64 = 10,
    }
}

section! {
    /// How long a failed step waits before its next attempt, and when a task that is not done is looked at again.
    Backoff(BackoffValues) in "backoff"
}

impl BackoffValues {
    fn check(&self, check: &mut Check) {
        const MUST_BE_BOUNDED: &str = "at most 315360000 (ten years)";
        let delays = &self.default_backoff_seconds;
        check.require(
            !delays.is_empty(),
            "default_backoff_seconds",
            delays,
            "a list of at least one delay",
        );
        check.require(
            delays.iter().all(|delay| *delay <= LONGEST),
            "default_backoff_seconds",
            delays,
            "a list of delays of at most 315360000 (ten years)",
        );
        check.require(
            (1..=LONGEST).contains(&self.max_backoff_seconds),
            "max_backoff_seconds",
            self.max_backoff_seconds,
            "between 1 and 315360000 (ten years)",
        );
        check.number(
            1.0..,
            "backoff_multiplier",
            self.backoff_multiplier,
            "a number that is at least 1",
        );
        check.number(
            0.0..=1.0,
            "jitter_max_percentage",
            self.jitter_max_percentage,
            "between 0 and 1",
        );
        for (key, seconds) in [
            (
                "reenqueue_delays.has_ready_steps",
                self.reenqueue_delays.has_ready_steps,
            ),
            (
                "reenqueue_delays.waiting_for_dependencies",
                self.reenqueue_delays.waiting_for_dependencies,
            ),
            ("reenqueue_delays.processing", self.reenqueue_delays.processing),
            ("default_reenqueue_delay", self.default_reenqueue_delay),
            ("buffer_seconds", self.buffer_seconds),
        ] {
            check.require(seconds <= LONGEST, key, seconds, MUST_BE_BOUNDED);
        }
    }
}
