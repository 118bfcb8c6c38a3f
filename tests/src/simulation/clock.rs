//! A clock that jumps, and that is not the same everywhere.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use tasker_engine::{Clock, TokioClock};
use tasker_types::Timestamp;

/// A clock that follows virtual time and can be set, as an administrator or a time server does.
///
/// Whoever calls a store may be on a machine whose clock is ahead or behind: [`JumpingClock::skew`] says by how much
/// for the call that follows.
#[derive(Debug)]
pub(super) struct JumpingClock {
    steady: TokioClock,
    offset_us: AtomicI64,
    skew_us: AtomicI64,
}

impl JumpingClock {
    /// Returns a clock at 2026-01-01T00:00:00Z.
    pub(super) fn new() -> Self {
        let steady = TokioClock::starting_at(Timestamp::from_micros(1_767_225_600_000_000));
        Self {
            steady,
            offset_us: AtomicI64::new(0),
            skew_us: AtomicI64::new(0),
        }
    }

    /// Sets the clock ahead.
    pub(super) fn ahead(&self, by: Duration) {
        self.offset_us.fetch_add(micros(by), Ordering::Relaxed);
    }

    /// Sets the clock back.
    pub(super) fn back(&self, by: Duration) {
        self.offset_us.fetch_sub(micros(by), Ordering::Relaxed);
    }

    /// Has the clock be ahead by so many microseconds, or behind, until it is told otherwise.
    pub(super) fn skew(&self, by_us: i64) {
        self.skew_us.store(by_us, Ordering::Relaxed);
    }
}

fn micros(duration: Duration) -> i64 {
    i64::try_from(duration.as_micros()).unwrap_or(i64::MAX)
}

impl Clock for JumpingClock {
    fn now(&self) -> Timestamp {
        let off = self.offset_us.load(Ordering::Relaxed) + self.skew_us.load(Ordering::Relaxed);
        Timestamp::from_micros(self.steady.now().as_micros() + off)
    }
}
