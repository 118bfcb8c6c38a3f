//! When an idle worker looks for work, renews its leases and sweeps.

use std::time::Duration;

use tasker_types::Execution;
use tokio::time::Instant;

/// Never look again sooner than this without a reason.
const BREATH: Duration = Duration::from_millis(1);

/// What handlers say is told at most so often.
const TELL: Duration = Duration::from_secs(1);

/// When the store wakes a worker, it is asked what became of leases at most so often, and of none that is younger: most steps
/// end sooner.
pub(super) const ASK: Duration = Duration::from_millis(100);

#[derive(Debug)]
pub(super) struct Pace {
    shortest: Duration,
    longest: Duration,
    interval: Duration,
    turn_at: Instant,
    heartbeat: Duration,
    /// When leases were last renewed, all of them or some.
    renewed_at: Instant,
    /// When all leases are renewed next.
    beat_at: Instant,
    /// When some leases are looked at before that.
    ask_at: Option<Instant>,
    sweep_at: Instant,
}

/// Returns a duration of so many seconds, as the settings have checked them.
pub(super) fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

impl Pace {
    pub(super) fn new(execution: &Execution) -> Self {
        let now = Instant::now();
        let heartbeat = seconds(execution.heartbeat_seconds);
        Self {
            shortest: seconds(execution.poll_min_seconds),
            longest: seconds(execution.poll_max_seconds),
            interval: seconds(execution.poll_min_seconds),
            turn_at: now,
            heartbeat,
            renewed_at: now,
            beat_at: now + heartbeat,
            ask_at: None,
            sweep_at: now,
        }
    }

    /// Returns when the worker looks for work next.
    pub(super) fn turn_at(&self) -> Instant {
        self.turn_at
    }

    /// Looks for work at once: there may be some.
    pub(super) fn hurry(&mut self) {
        self.interval = self.shortest;
        self.turn_at = Instant::now();
    }

    /// Plans the next look after a turn that handed out `claimed` of `wanted` steps; where that was no look at the queue, one
    /// stays as it was planned, unless a step is due before.
    pub(super) fn turned(
        &mut self,
        claimed: u32,
        wanted: u32,
        next_due_in: Option<Duration>,
        topped_up: bool,
    ) {
        let now = Instant::now();
        if claimed >= wanted && wanted > 0 {
            self.hurry();
            return;
        }
        if !topped_up {
            if let Some(due) = next_due_in {
                self.turn_at = self.turn_at.min(now + due.max(BREATH));
            }
            return;
        }
        self.interval = if claimed > 0 {
            self.shortest
        } else {
            (self.interval * 2).min(self.longest)
        };
        let wait = next_due_in.map_or(self.interval, |due| due.max(BREATH).min(self.interval));
        self.turn_at = now + wait;
    }

    /// Returns how long to wait before a call to the store is tried again.
    pub(super) fn after_trouble(&mut self) -> Duration {
        self.interval = (self.interval * 2).min(self.longest);
        self.interval
    }

    /// Returns when leases are renewed next, all of them or some.
    pub(super) fn renewal_at(&self) -> Instant {
        self.ask_at.map_or(self.beat_at, |ask| ask.min(self.beat_at))
    }

    /// Plans the next renewal; tells whether this one is of all leases.
    pub(super) fn renewed(&mut self) -> bool {
        let now = Instant::now();
        self.renewed_at = now;
        self.ask_at = None;
        let all = self.beat_at <= now;
        if all {
            self.beat_at = now + self.heartbeat;
        }
        all
    }

    /// Has what handlers tell passed on; but not more often than once in a while.
    pub(super) fn renew_soon(&mut self) {
        self.ask_within(TELL);
    }

    /// Has leases looked at, since something changed that may have ended one: at once, unless that was done a moment ago.
    pub(super) fn ask_soon(&mut self) {
        self.ask_within(ASK);
    }

    fn ask_within(&mut self, wait: Duration) {
        self.ask_at(self.renewed_at + wait);
    }

    /// Has leases looked at at this time, or before.
    pub(super) fn ask_at(&mut self, time: Instant) {
        self.ask_at = Some(self.ask_at.map_or(time, |ask| ask.min(time)));
    }

    /// Returns when the worker sweeps next.
    pub(super) fn sweep_at(&self) -> Instant {
        self.sweep_at
    }

    /// Sweeps no later than this: something is due then.
    pub(super) fn sweep_within(&mut self, wait: Duration) {
        self.sweep_at = self.sweep_at.min(Instant::now() + wait.max(BREATH));
    }

    /// Plans the next sweep: twice in a heartbeat, so that a lost lease is noticed soon after its end.
    pub(super) fn swept(&mut self) {
        self.sweep_at = Instant::now() + self.heartbeat / 2;
    }
}
