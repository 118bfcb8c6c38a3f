//! How workers run steps.

use super::{Check, section, table};

table! {
    /// The values of [`Execution`].
    ExecutionValues {
        /// How many steps one worker runs at a time; by default twice the number of cores.
        max_concurrent_steps: Option<u32> = None; "1 to 100 000",
        /// How many finished steps and claims one turn carries at most.
        claim_batch: u32 = 50; "1 to 10 000",
        /// Seconds after which a step whose worker was not heard of may be run by another.
        lease_seconds: f64 = 30.0; "0.1 to 86 400",
        /// Seconds between two renewals of the leases that a worker holds.
        heartbeat_seconds: f64 = 10.0; "> 0, less than half of lease_seconds",
        /// Seconds until an idle worker looks for work again, at first.
        poll_min_seconds: f64 = 0.05; "> 0, at most poll_max_seconds",
        /// Seconds until an idle worker looks for work again, after a while.
        poll_max_seconds: f64 = 1.0; "at most 3600",
        /// Seconds that running steps have to end when a worker is told to stop.
        shutdown_grace_seconds: f64 = 25.0; "0 to 86 400",
    }
}

section! {
    /// How workers run steps.
    Execution(ExecutionValues) in "execution"
}

impl ExecutionValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.max_concurrent_steps
                .is_none_or(|steps| (1..=100_000).contains(&steps)),
            "max_concurrent_steps",
            self.max_concurrent_steps.unwrap_or_default(),
            "between 1 and 100000",
        );
        check.require(
            (1..=10_000).contains(&self.claim_batch),
            "claim_batch",
            self.claim_batch,
            "between 1 and 10000",
        );
        check.number(
            0.1..=86_400.0,
            "lease_seconds",
            self.lease_seconds,
            "between 0.1 and 86400",
        );
        check.require(
            self.heartbeat_seconds > 0.0 && self.heartbeat_seconds < self.lease_seconds / 2.0,
            "heartbeat_seconds",
            self.heartbeat_seconds,
            "more than 0 and less than half of `lease_seconds`",
        );
        check.require(
            self.poll_min_seconds > 0.0 && self.poll_min_seconds <= self.poll_max_seconds,
            "poll_min_seconds",
            self.poll_min_seconds,
            "more than 0 and at most `poll_max_seconds`",
        );
        check.number(
            ..=3600.0,
            "poll_max_seconds",
            self.poll_max_seconds,
            "at most 3600",
        );
        check.number(
            0.0..=86_400.0,
            "shutdown_grace_seconds",
            self.shutdown_grace_seconds,
            "between 0 and 86400",
        );
    }
}
