//! Telling subscribers what happens.
//!
//! Each subscription reads the durable events for itself, from the position at which it began, so a slow subscriber
//! holds up neither the work nor another one. Local events come through a channel of bounded length; what does not fit
//! is counted as missed.

pub(crate) mod files;
mod handlers;
mod hub;
mod pump;
mod reader;
mod watched;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tasker_engine::{BoxError, Event, Feed, InvalidPattern, Pattern, StoreError};
use tasker_registry::Watch;
use tasker_types::Position;
use thiserror::Error;
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

pub(crate) use hub::Hub;
pub use reader::{EventPlace, EventReader, InvalidEventPlace};
pub(crate) use watched::Watched;

use crate::tasker::Tasker;
use pump::Pump;

/// How often the history is looked at for what other processes did.
const LOOK: Duration = Duration::from_secs(1);

/// Why nobody was subscribed.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum SubscribeError {
    /// The text is no pattern of events.
    #[error(transparent)]
    Pattern(#[from] InvalidPattern),
    /// There is no runtime to run the subscription in.
    #[error("a subscription needs a tokio runtime; subscribe within one")]
    NoRuntime,
    /// Changes of the registry cannot be followed.
    #[error("changes of handlers cannot be followed: {0}")]
    Registry(#[source] std::io::Error),
    /// The store does not say where its history ends.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a subscription has told so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Delivered {
    /// How often the subscriber was called.
    pub events: u64,
    /// How often it returned an error or panicked.
    pub failed: u64,
    /// How many local events were dropped because it was too slow. Durable ones are never dropped.
    pub missed: u64,
}

/// The counters behind [`Delivered`].
#[derive(Debug, Default)]
struct Counters {
    events: AtomicU64,
    failed: AtomicU64,
    missed: AtomicU64,
}

/// Someone who is told of events. Dropping it ends that.
#[derive(Debug)]
#[must_use = "a dropped subscription tells nothing"]
pub struct EventSubscription {
    pattern: Pattern,
    counters: Arc<Counters>,
    flush: mpsc::UnboundedSender<oneshot::Sender<()>>,
    running: JoinHandle<()>,
    _watch: Option<Watch>,
}

impl EventSubscription {
    /// Returns the pattern.
    pub fn pattern(&self) -> &Pattern {
        &self.pattern
    }

    /// Returns what was told so far.
    pub fn delivered(&self) -> Delivered {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        Delivered {
            events: count(&self.counters.events),
            failed: count(&self.counters.failed),
            missed: count(&self.counters.missed),
        }
    }

    /// Waits until everything is told that has happened by now.
    ///
    /// # Errors
    ///
    /// [`StoreError::Closed`] when the subscription has ended because its store cannot be read any more.
    pub async fn caught_up(&self) -> Result<(), StoreError> {
        let (reply, told) = oneshot::channel();
        self.flush.send(reply).map_err(|_| StoreError::Closed)?;
        told.await.map_err(|_| StoreError::Closed)
    }
}

impl Drop for EventSubscription {
    fn drop(&mut self) {
        self.running.abort();
    }
}

impl Tasker {
    /// Has a function called for each event from now on whose name fits a pattern: `task.completed`, `task.*`,
    /// `order.*`, `*`.
    ///
    /// Durable events come once each, after their commit, in the order of positions, those of other processes on the
    /// same store too; local ones as they happen in this process, as far as the subscriber keeps up. What they carry is
    /// masked by `telemetry.filter_parameters`. An error or a panic of the subscriber is logged and counted, and
    /// concerns neither the work nor the next event.
    ///
    /// # Errors
    ///
    /// [`SubscribeError`] says what is missing.
    pub async fn subscribe(
        &self,
        pattern: &str,
        told: impl FnMut(&Event) -> Result<(), BoxError> + Send + 'static,
    ) -> Result<EventSubscription, SubscribeError> {
        let pattern: Pattern = pattern.parse()?;
        let after = self.store().position().await?;
        self.start_subscription(pattern, after, told)
    }

    /// As [`subscribe`](Self::subscribe), but durable events come from after a position: of a [`Snapshot`](crate::Snapshot)
    /// or of the last event that was dealt with. `Position(0)` is the beginning.
    ///
    /// Who keeps the position of the last event that it has dealt with is told of each at least once, whatever happens
    /// to the program meanwhile.
    ///
    /// # Errors
    ///
    /// As [`subscribe`](Self::subscribe).
    pub async fn subscribe_after(
        &self,
        position: Position,
        pattern: &str,
        told: impl FnMut(&Event) -> Result<(), BoxError> + Send + 'static,
    ) -> Result<EventSubscription, SubscribeError> {
        self.start_subscription(pattern.parse()?, position, told)
    }

    fn start_subscription(
        &self,
        pattern: Pattern,
        after: Position,
        told: impl FnMut(&Event) -> Result<(), BoxError> + Send + 'static,
    ) -> Result<EventSubscription, SubscribeError> {
        let runtime = Handle::try_current().map_err(|_| SubscribeError::NoRuntime)?;
        let hub = self.hub();
        let (handlers, watch) = self.follow_handlers(&pattern)?;
        let counters = Arc::<Counters>::default();
        let (flush, flushes) = mpsc::unbounded_channel();
        let pump = Pump {
            feed: Feed::after(Arc::clone(self.store()), after),
            local: hub.listen(),
            commits: hub.commits(),
            handlers,
            flushes,
            pattern: pattern.clone(),
            telemetry: Arc::clone(hub.telemetry()),
            counters: Arc::clone(&counters),
            told: Box::new(told),
        };
        Ok(EventSubscription {
            pattern,
            counters,
            flush,
            running: runtime.spawn(pump.run()),
            _watch: watch,
        })
    }

    /// Follows the changes of handlers if a pattern asks for them.
    fn follow_handlers(
        &self,
        pattern: &Pattern,
    ) -> Result<(Option<handlers::Changes>, Option<Watch>), SubscribeError> {
        if !tasker_types::HANDLER_EVENTS
            .iter()
            .any(|name| pattern.matches(name))
        {
            return Ok((None, None));
        }
        let (changes, watch) =
            handlers::follow(self.registry(), Arc::clone(self.clock())).map_err(SubscribeError::Registry)?;
        Ok((Some(changes), Some(watch)))
    }
}
