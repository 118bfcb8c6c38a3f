//! How workers run steps.

use super::{Bounds, Check, section, table};

table! {
    /// The values of [`Execution`].
    ExecutionValues {
        /// How many steps one worker runs at a time; by default twice the number of cores.
        max_concurrent_steps: Option<u32> = None; in Bounds::between(1.0, 100_000.0),
        /// How many finished steps and claims one turn carries at most.
        claim_batch: u32 = 50; in Bounds::between(1.0, 10_000.0),
        /// Seconds after which a step whose worker was not heard of may be run by another.
        lease_seconds: f64 = 30.0; in Bounds::between(0.1, 86_400.0),
        /// Seconds between two renewals of the leases that a worker holds.
        heartbeat_seconds: f64 = 10.0; in Bounds::above(0.0); "less than half of `lease_seconds`",
        /// Seconds until an idle worker looks for work again, at first.
        poll_min_seconds: f64 = 0.05; in Bounds::above(0.0); "at most `poll_max_seconds`",
        /// Seconds until an idle worker looks for work again, after a while.
        poll_max_seconds: f64 = 1.0; in Bounds::above(0.0).at_most(3_600.0),
        /// Seconds that running steps have to end when a worker is told to stop.
        shutdown_grace_seconds: f64 = 25.0; in Bounds::between(0.0, 86_400.0),
        /// How many connections to a database's server a process may use to read and write, however full the server is.
        min_connections: u32 = 3; in Bounds::at_least(2.0); "at most `max_connections`",
        /// How many connections to a database's server a process uses to read and write at most, whatever the sizes of its
        /// pools.
        max_connections: u32 = 12; in Bounds::between(2.0, 128.0),
        /// The part of a server's free connections that a process may take, by how many of them others have.
        connection_pressure_factors: ConnectionPressureFactors = ConnectionPressureFactors::default()
            => ConnectionPressureFactors,
    }
}

table! {
    /// The part of a server's free connections that a process may take, by how many of them others have.
    ConnectionPressureFactors {
        /// Others have less than half of the connections.
        low: f64 = 0.8; in Bounds::between(0.0, 1.0),
        /// Others have half of them or more.
        moderate: f64 = 0.6; in Bounds::between(0.0, 1.0),
        /// Others have 70 percent of them or more.
        high: f64 = 0.4; in Bounds::between(0.0, 1.0),
        /// Others have 85 percent of them or more.
        critical: f64 = 0.2; in Bounds::between(0.0, 1.0),
    }
}

section! {
    /// How workers run steps.
    Execution(ExecutionValues) in "execution"
}

impl ExecutionValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.heartbeat_seconds < self.lease_seconds / 2.0,
            "heartbeat_seconds",
            &self.heartbeat_seconds,
            "less than half of `lease_seconds`",
        );
        check.require(
            self.poll_min_seconds <= self.poll_max_seconds,
            "poll_min_seconds",
            &self.poll_min_seconds,
            "at most `poll_max_seconds`",
        );
        check.require(
            self.min_connections <= self.max_connections,
            "min_connections",
            &self.min_connections,
            "at most `max_connections`",
        );
    }
}
