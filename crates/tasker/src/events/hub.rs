//! Where local events and news of commits come together.

use std::fmt;
use std::sync::Arc;

use serde_json::Value;
use tasker_engine::{Clock, Emit, Event, SystemEvent};
use tasker_types::Telemetry;
use tokio::sync::{broadcast, watch};

/// How many local events wait for a slow subscriber.
const CAPACITY: usize = 4_096;

/// Takes local events, and notices commits of this process.
pub(crate) struct Hub {
    clock: Arc<dyn Clock>,
    telemetry: Arc<Telemetry>,
    local: broadcast::Sender<Arc<Event>>,
    commits: watch::Sender<u64>,
}

impl Hub {
    pub(crate) fn new(clock: Arc<dyn Clock>, telemetry: Arc<Telemetry>) -> Self {
        Self {
            clock,
            telemetry,
            local: broadcast::Sender::new(CAPACITY),
            commits: watch::Sender::new(0),
        }
    }

    /// Notices that the store has something new.
    pub(super) fn committed(&self) {
        self.commits.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(super) fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    pub(super) fn listen(&self) -> broadcast::Receiver<Arc<Event>> {
        self.local.subscribe()
    }

    pub(super) fn commits(&self) -> watch::Receiver<u64> {
        self.commits.subscribe()
    }
}

impl Emit for Hub {
    fn is_heard(&self) -> bool {
        self.local.receiver_count() > 0
    }

    fn emit(&self, event: SystemEvent, payload: Value) {
        let event = local(event, &*self.clock, payload);
        // Nobody needs to listen.
        let _ = self.local.send(Arc::new(event));
    }
}

/// Returns an event that is in no history.
pub(super) fn local(event: SystemEvent, clock: &dyn Clock, payload: Value) -> Event {
    Event {
        name: event.name().to_owned(),
        position: None,
        ordinal: 0,
        at: clock.now(),
        payload,
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub")
            .field("listeners", &self.local.receiver_count())
            .finish_non_exhaustive()
    }
}
