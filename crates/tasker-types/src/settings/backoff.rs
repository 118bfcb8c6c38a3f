//! How long to wait before trying again.

use super::{Bounds, Check, section, table};

/// The longest wait that may be configured, in seconds: ten years.
const LONGEST: f64 = 315_360_000.0;

/// Waits of any length that may be configured, none included.
const WAIT: Bounds = Bounds::between(0.0, LONGEST);

table! {
    /// The values of [`Backoff`].
    BackoffValues {
        /// Seconds to wait after the first, second, … failed attempt of a step.
        default_backoff_seconds: Vec<u64> = vec![1, 2, 4, 8, 16, 32]; in WAIT.and_not_empty(),
        /// No wait is longer than this many seconds.
        max_backoff_seconds: u64 = 300; in Bounds::between(1.0, LONGEST),
        /// Past the end of the list attempt n waits n to the power of this, in whole seconds.
        backoff_multiplier: f64 = 2.0; in Bounds::at_least(1.0),
        /// Whether waits are spread at random, so that failures at one moment do not come back at one moment.
        jitter_enabled: bool = true,
        /// The greatest part of a wait that is added or taken away at random; 0.1 is ten percent.
        jitter_max_percentage: f64 = 0.1; in Bounds::between(0.0, 1.0),
        /// Seconds until a task that is not done is looked at again.
        reenqueue_delays: ReenqueueDelays = ReenqueueDelays::default() => ReenqueueDelays,
        /// The same when nothing is known about the task.
        default_reenqueue_delay: u64 = 30; in WAIT,
        /// Seconds added to the time of the earliest retry when a task that waits for it is looked at again.
        buffer_seconds: u64 = 5; in WAIT,
    }
}

table! {
    /// Seconds until a task that is not done is looked at again, by what it is doing.
    ReenqueueDelays {
        /// A step can be claimed now.
        has_ready_steps: u64 = 0; in WAIT,
        /// Steps wait for their time, and no time is known.
        waiting_for_dependencies: u64 = 45; in WAIT,
        /// A step is in progress.
        processing: u64 = 10; in WAIT,
    }
}

section! {
    /// How long a failed step waits before its next attempt, and when a task that is not done is looked at again.
    Backoff(BackoffValues) in "backoff"
}

impl BackoffValues {
    fn check(&self, _: &mut Check) {}
}
