//! Calls one subscriber.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tasker_engine::{BoxError, Event, Feed, Pattern, StoreError};
use tasker_types::Telemetry;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::sync::{broadcast, mpsc, oneshot, watch};

use super::handlers::Changes;
use super::{Counters, LOOK};
use crate::mask::masked;

type Told = Box<dyn FnMut(&Event) -> Result<(), BoxError> + Send>;

/// Carries events to a subscriber.
pub(super) struct Pump {
    pub(super) feed: Feed,
    pub(super) local: broadcast::Receiver<Arc<Event>>,
    pub(super) commits: watch::Receiver<u64>,
    pub(super) handlers: Option<Changes>,
    pub(super) flushes: mpsc::UnboundedReceiver<oneshot::Sender<()>>,
    pub(super) pattern: Pattern,
    pub(super) telemetry: Arc<Telemetry>,
    pub(super) counters: Arc<Counters>,
    pub(super) told: Told,
}

impl Pump {
    /// Runs until the subscription is dropped or the store cannot be read any more.
    pub(super) async fn run(mut self) {
        let mut waiting: Vec<oneshot::Sender<()>> = Vec::new();
        loop {
            let caught_up = self.deliver().await;
            match caught_up {
                Ok(()) => {
                    for flushed in waiting.drain(..) {
                        // Who does not wait any more need not be told.
                        let _ = flushed.send(());
                    }
                }
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "events wait for the store");
                }
                Err(error) => {
                    tracing::error!(%error, pattern = %self.pattern, "events are told no more");
                    return;
                }
            }
            let event = tokio::select! {
                biased;
                flush = self.flushes.recv() => {
                    waiting.extend(flush);
                    continue;
                }
                event = self.local.recv() => event,
                Some(event) = next(&mut self.handlers) => Ok(Arc::new(event)),
                Ok(()) = self.commits.changed() => continue,
                () = tokio::time::sleep(LOOK) => continue,
            };
            match event {
                Ok(event) => self.tell(&event),
                Err(RecvError::Lagged(missed)) => self.miss(missed),
                // Everyone who could emit is gone.
                Err(RecvError::Closed) => return,
            }
        }
    }

    /// Tells everything that there is.
    async fn deliver(&mut self) -> Result<(), StoreError> {
        self.deliver_local();
        loop {
            let position = self.feed.position();
            let events = self.feed.next().await?;
            for event in &events {
                self.tell(event);
            }
            self.deliver_local();
            if self.feed.position() == position {
                return Ok(());
            }
        }
    }

    fn deliver_local(&mut self) {
        loop {
            match self.local.try_recv() {
                Ok(event) => self.tell(&event),
                Err(TryRecvError::Lagged(missed)) => self.miss(missed),
                Err(TryRecvError::Empty | TryRecvError::Closed) => return,
            }
        }
    }

    fn miss(&self, events: u64) {
        self.counters.missed.fetch_add(events, Ordering::Relaxed);
        tracing::warn!(pattern = %self.pattern, events, "a subscriber was too slow for local events");
    }

    /// Calls the subscriber if it wants the event. Its failures are its own.
    fn tell(&mut self, event: &Event) {
        if !self.pattern.matches(&event.name) {
            return;
        }
        let event = Event {
            payload: masked(event.payload.clone(), &self.telemetry),
            ..event.clone()
        };
        self.counters.events.fetch_add(1, Ordering::Relaxed);
        let problem = match catch_unwind(AssertUnwindSafe(|| (self.told)(&event))) {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error.to_string(),
            Err(_) => "it panicked".to_owned(),
        };
        self.counters.failed.fetch_add(1, Ordering::Relaxed);
        tracing::warn!(event = event.name, pattern = %self.pattern, problem, "a subscriber failed");
    }
}

/// Waits for the next change of a handler; without anyone who follows them it never comes.
async fn next(changes: &mut Option<Changes>) -> Option<Event> {
    match changes {
        Some(changes) => changes.recv().await,
        None => std::future::pending().await,
    }
}
