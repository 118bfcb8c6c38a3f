//! The registry: one present snapshot, and the one way by which it is changed.

use std::error::Error;
use std::fmt::{self, Display};
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tasker_types::{EventDefinition, HandlerName, Namespace, Version, VersionReq};

use crate::batch::{Batch, Change, checked_events};
use crate::change::make_all;
use crate::error::{BatchError, EventError, LookupError, RegisterError, UnknownEvent};
use crate::events::{EventEntry, EventSource};
use crate::notice::{HandlerChange, Notice};
use crate::present::Present;
use crate::snapshot::{Entry, Snapshot, Stats};
use crate::subscribers::{Activity, Subscribers, Subscription, Watch};

type Check<H> = dyn Fn(&H) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync;
type EventsOf<H> = dyn Fn(&H) -> Vec<EventDefinition> + Send + Sync;

/// Handlers by namespace, name and version, and the custom events that they and others declare.
///
/// `H` is what is registered: a type, or a trait object such as `dyn Fn(i64) -> i64 + Send + Sync`.
///
/// Reading takes the present snapshot with one atomic load and never waits, not even for a change under way. Changes
/// wait for one another, and each is seen as a whole or not at all.
///
/// # Complexity
///
/// A search is O(1), and O(v) among the v versions of the handler where a requirement is to be met. A change copies the list of namespaces and of the handlers of each namespace that it touches,
/// once a batch, so many handlers are best registered in one batch; one that touches custom events copies their list.
pub struct Registry<H: ?Sized> {
    /// The present snapshot, and how many notices there were.
    present: Present<Snapshot<H>, u64>,
    rules: Rules<H>,
    counts: Counts,
    subscribers: Arc<Subscribers>,
}

/// Makes a registry that checks handlers or asks them for their custom events.
#[must_use = "a builder does nothing until `build` is called"]
pub struct RegistryBuilder<H: ?Sized>(Rules<H>);

/// What is asked of a handler before it is registered.
struct Rules<H: ?Sized> {
    check: Option<Arc<Check<H>>>,
    events: Option<Arc<EventsOf<H>>>,
}

/// How often what was told.
#[derive(Default)]
struct Counts {
    registered: AtomicU64,
    replaced: AtomicU64,
    removed: AtomicU64,
    refused: AtomicU64,
}

impl<H: ?Sized> RegistryBuilder<H> {
    /// Asks this function about every handler before it is registered. It may use the registry.
    pub fn check<E>(mut self, check: impl Fn(&H) -> Result<(), E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        self.0.check = Some(Arc::new(move |handler: &H| check(handler).map_err(Into::into)));
        self
    }

    /// Asks this function for the custom events of every handler before it is registered. They are known for as long
    /// as the handler is registered.
    pub fn events(mut self, events: impl Fn(&H) -> Vec<EventDefinition> + Send + Sync + 'static) -> Self {
        self.0.events = Some(Arc::new(events));
        self
    }

    /// Returns an empty registry.
    pub fn build(self) -> Registry<H> {
        Registry::starting_with(Arc::default(), self.0)
    }
}

impl<H: ?Sized> Registry<H> {
    /// Returns an empty registry that accepts every handler.
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Begins a registry that checks handlers or asks them for their custom events.
    pub fn builder() -> RegistryBuilder<H> {
        RegistryBuilder(Rules {
            check: None,
            events: None,
        })
    }

    fn starting_with(snapshot: Arc<Snapshot<H>>, rules: Rules<H>) -> Self {
        Self {
            present: Present::new(snapshot, 0),
            rules,
            counts: Counts::default(),
            subscribers: Arc::default(),
        }
    }

    /// Registers a handler in the namespace `default_system` as version 0.1.0.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the name is none, it is registered already, the check refuses the handler, or one of its
    /// custom events cannot be.
    pub fn register(&self, name: impl AsRef<str>, handler: Arc<H>) -> Result<(), RegisterError> {
        self.change_one(|batch| batch.register(name, handler)).map(drop)
    }

    /// Registers a version of a handler.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if a name or the version is none, the version is registered already, the check refuses the
    /// handler, or one of its custom events cannot be.
    pub fn register_in(
        &self,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
        handler: Arc<H>,
    ) -> Result<(), RegisterError> {
        self.change_one(|batch| batch.register_in(namespace, name, version, handler))
            .map(drop)
    }

    /// Registers a version of a handler, and returns the one that was in its place if there was one.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if a name or the version is none, the check refuses the handler, or one of its custom events
    /// cannot be.
    pub fn replace(
        &self,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
        handler: Arc<H>,
    ) -> Result<Option<Arc<H>>, RegisterError> {
        self.change_one(|batch| batch.replace(namespace, name, version, handler))
    }

    /// Removes a version of a handler and returns it. Who has it already may go on using it.
    ///
    /// # Errors
    ///
    /// [`LookupError`] if it is not registered.
    pub fn remove(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        version: &Version,
    ) -> Result<Arc<H>, LookupError> {
        // Only what is not there can keep a handler from being removed.
        match self.change_one(|batch| batch.remove(namespace, name, version)) {
            Ok(Some(handler)) => Ok(handler),
            Err(RegisterError::NothingToRemove { source, .. }) => Err(*source),
            Ok(None) | Err(_) => self.get_version(namespace, name, version),
        }
    }

    /// Declares the custom events of something that is no handler, such as a template, in the place of those that the
    /// same declared before.
    ///
    /// `source` names it in messages, for instance "the template `refund`".
    ///
    /// # Errors
    ///
    /// [`EventError`] if a name is none, or an event is described otherwise by someone else. Nothing is declared then.
    pub fn declare(
        &self,
        source: impl Into<String>,
        events: impl IntoIterator<Item = impl Into<EventDefinition>>,
    ) -> Result<(), EventError> {
        match self.change_one(|batch| batch.declare(source, events)) {
            Err(RegisterError::Event(fault)) => Err(fault),
            // A declaration has no other faults.
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Takes back what a source that is no handler declared; nothing happens if that is nothing.
    pub fn withdraw(&self, source: impl Into<String>) {
        // There is nothing that could be refused.
        let _ = self.change_one(|batch| batch.withdraw(source));
    }

    /// Makes several changes together, or none of them.
    ///
    /// The function only says what is wanted; nothing is locked while it runs.
    ///
    /// # Errors
    ///
    /// [`BatchError`] has every change that is refused.
    pub fn batch(&self, fill: impl FnOnce(&mut Batch<H>)) -> Result<(), BatchError> {
        let mut batch = Batch::new();
        fill(&mut batch);
        let changes = batch.changes.len();
        self.apply(batch)
            .map(drop)
            .map_err(|faults| BatchError { changes, faults })
    }

    /// Returns the greatest version of a handler.
    ///
    /// # Errors
    ///
    /// [`LookupError::UnknownNamespace`] or [`LookupError::UnknownHandler`].
    pub fn get(&self, namespace: &Namespace, name: &HandlerName) -> Result<(Version, Arc<H>), LookupError> {
        self.present.load().get(namespace, name)
    }

    /// Returns one version of a handler.
    ///
    /// # Errors
    ///
    /// [`LookupError`] says how far the search came.
    pub fn get_version(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        version: &Version,
    ) -> Result<Arc<H>, LookupError> {
        self.present.load().get_version(namespace, name, version)
    }

    /// Returns the greatest version of a handler that fits a requirement; see [`Snapshot::get_matching`].
    ///
    /// # Errors
    ///
    /// [`LookupError`] says how far the search came.
    pub fn get_matching(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        requirement: &VersionReq,
    ) -> Result<(Version, Arc<H>), LookupError> {
        self.present.load().get_matching(namespace, name, requirement)
    }

    /// Returns the greatest version of a handler, or the greatest that fits, without saying why there is none; see
    /// [`Snapshot::find`].
    pub fn find(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        requirement: Option<&VersionReq>,
    ) -> Option<(Version, Arc<H>)> {
        self.present.load().find(namespace, name, requirement)
    }

    /// Returns every version of every handler of a namespace, by name and version, ascending.
    ///
    /// # Errors
    ///
    /// [`LookupError::UnknownNamespace`].
    pub fn list(&self, namespace: &Namespace) -> Result<Vec<Entry<H>>, LookupError> {
        self.present.load().list(namespace)
    }

    /// Returns the namespaces that have handlers, ascending.
    pub fn namespaces(&self) -> Vec<Namespace> {
        self.present.load().namespaces()
    }

    /// Counts what is registered.
    pub fn stats(&self) -> Stats {
        self.present.load().stats()
    }

    /// Returns the custom events that handlers and others declared, by name, ascending.
    pub fn events(&self) -> Vec<EventEntry> {
        self.present.load().events()
    }

    /// Returns one custom event.
    ///
    /// # Errors
    ///
    /// [`UnknownEvent`], with the names that are spelled much like it.
    pub fn event(&self, name: &str) -> Result<EventEntry, UnknownEvent> {
        self.present.load().event(name)
    }

    /// Counts what has happened, and who is told of it.
    pub fn activity(&self) -> Activity {
        let count = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        let mut activity = Activity {
            registered: count(&self.counts.registered),
            replaced: count(&self.counts.replaced),
            removed: count(&self.counts.removed),
            refused: count(&self.counts.refused),
            ..Activity::default()
        };
        self.subscribers.count(&mut activity);
        activity
    }

    /// Returns what happens from now on, as notices to take when it suits.
    ///
    /// A change never waits for its notice to be taken: of one who is too slow, what does not fit is counted as missed.
    pub fn subscribe(&self) -> Subscription {
        self.subscribers.subscribe()
    }

    /// Calls a function for whatever happens from now on, in a thread of its own and one notice at a time.
    ///
    /// A change never waits for it. It may use the registry. If it panics, that is counted, and it is called again for
    /// the next notice; if it is too slow, what does not fit is counted as missed.
    ///
    /// # Errors
    ///
    /// When the system has no thread to give.
    pub fn watch(&self, told: impl FnMut(&Notice) + Send + 'static) -> io::Result<Watch> {
        self.subscribers.watch(told)
    }

    /// Returns the present contents, which later changes do not touch.
    pub fn snapshot(&self) -> Arc<Snapshot<H>> {
        self.present.load_full()
    }

    /// Returns a registry of its own that begins with the present contents and asks the same of handlers.
    ///
    /// Neither sees what happens to the other afterwards, nor do those who listen.
    #[must_use]
    pub fn scope(&self) -> Self {
        Self::starting_with(self.snapshot(), self.rules.clone())
    }

    fn change_one(&self, fill: impl FnOnce(&mut Batch<H>)) -> Result<Option<Arc<H>>, RegisterError> {
        let mut batch = Batch::new();
        fill(&mut batch);
        match self.apply(batch) {
            Ok(mut former) => Ok(former.pop().flatten()),
            // One change has one fault at most.
            Err(mut faults) => Err(faults.remove(0)),
        }
    }

    /// Makes all changes, or none and returns all faults. For each change it returns what was in the place before.
    fn apply(&self, batch: Batch<H>) -> Result<Vec<Option<Arc<H>>>, Vec<RegisterError>> {
        // The rules are foreign code: they may be slow or use this registry, so nothing is locked here.
        let changes: Vec<_> = batch
            .changes
            .into_iter()
            .map(|change| change.and_then(|change| self.rules.asked(change)))
            .collect();
        // So is the end of a handler: those that are refused live on until the lock is free.
        let _kept: Vec<_> = changes.iter().flatten().map(Change::handler).collect();
        self.present.change(
            |former| {
                let mut next = Snapshot::clone(former);
                match make_all(changes, &mut next) {
                    Ok(made) => (Some(next), Ok(made)),
                    Err(faults) => (None, Err(faults)),
                }
            },
            |notices, made| match made {
                Ok(made) => {
                    self.tell(notices, made.told);
                    Ok(made.former)
                }
                Err(faults) => {
                    self.tell(notices, faults.iter().map(HandlerChange::from).collect());
                    Err(faults)
                }
            },
        )
    }

    /// Counts changes and tells of them.
    fn tell(&self, notices: &mut u64, changes: Vec<HandlerChange>) {
        for change in &changes {
            self.counts.of(change).fetch_add(1, Ordering::Relaxed);
        }
        let first = *notices + 1;
        *notices += changes.len() as u64;
        let numbered = |(number, change)| Notice { number, change };
        self.subscribers
            .tell(|| (first..).zip(changes).map(numbered).collect());
    }
}

impl Counts {
    fn of(&self, change: &HandlerChange) -> &AtomicU64 {
        match change {
            HandlerChange::Registered { .. } => &self.registered,
            HandlerChange::Replaced { .. } => &self.replaced,
            HandlerChange::Removed { .. } => &self.removed,
            HandlerChange::Refused { .. } => &self.refused,
        }
    }
}

impl<H: ?Sized> Rules<H> {
    /// Asks whether a handler is valid, and which custom events it declares.
    fn asked(&self, mut change: Change<H>) -> Result<Change<H>, RegisterError> {
        let Change::Put {
            place,
            handler,
            events,
            ..
        } = &mut change
        else {
            return Ok(change);
        };
        if let Some(check) = &self.check {
            check(handler).map_err(|source| RegisterError::InvalidHandler {
                handler: place.clone(),
                source,
            })?;
        }
        if let Some(events_of) = &self.events {
            *events = checked_events(&EventSource::Handler(place.clone()), events_of(handler))?;
        }
        Ok(change)
    }
}

impl<H: ?Sized> Clone for Rules<H> {
    fn clone(&self) -> Self {
        Self {
            check: self.check.clone(),
            events: self.events.clone(),
        }
    }
}

impl<H: ?Sized> fmt::Debug for RegistryBuilder<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryBuilder")
            .field("checks", &self.0.check.is_some())
            .field("events", &self.0.events.is_some())
            .finish()
    }
}

impl<H: ?Sized> Default for Registry<H> {
    fn default() -> Self {
        Self::new()
    }
}

impl<H: ?Sized> fmt::Debug for Registry<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Registry").field(&self.snapshot()).finish()
    }
}

#[cfg(test)]
mod concurrency;
#[cfg(test)]
mod tests;
