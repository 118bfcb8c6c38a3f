//! The registry: one present snapshot, and the one way by which it is changed.

use std::collections::BTreeSet;
use std::error::Error;
use std::fmt::{self, Display};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use tasker_types::{HandlerName, Namespace, Version, VersionReq};

use crate::batch::{Batch, Change, Key, Occupied};
use crate::error::{BatchError, LookupError, RegisterError};
use crate::snapshot::{Entry, Snapshot, Stats};

type Check<H> = dyn Fn(&H) -> Result<(), Box<dyn Error + Send + Sync>> + Send + Sync;

/// Handlers by namespace, name and version.
///
/// `H` is what is registered: a type, or a trait object such as `dyn Fn(i64) -> i64 + Send + Sync`.
///
/// Reading takes the present snapshot with one atomic load and never waits, not even for a change under way. Changes
/// wait for one another, and each is seen as a whole or not at all.
///
/// # Complexity
///
/// A search is O(log n). A change copies the list of namespaces and of the handlers of each namespace that it touches,
/// once a batch, so many handlers are best registered in one batch.
pub struct Registry<H: ?Sized> {
    present: ArcSwap<Snapshot<H>>,
    /// Held from reading the present snapshot until the next one is in its place. No foreign code runs meanwhile.
    changing: Mutex<()>,
    check: Option<Arc<Check<H>>>,
}

impl<H: ?Sized> Registry<H> {
    /// Returns an empty registry that accepts every handler.
    pub fn new() -> Self {
        Self::starting_with(Arc::default(), None)
    }

    /// Returns an empty registry that asks this function about every handler before it is registered.
    ///
    /// The function may use the registry.
    pub fn with_check<E>(check: impl Fn(&H) -> Result<(), E> + Send + Sync + 'static) -> Self
    where
        E: Into<Box<dyn Error + Send + Sync>>,
    {
        let check = move |handler: &H| check(handler).map_err(Into::into);
        Self::starting_with(Arc::default(), Some(Arc::new(check)))
    }

    fn starting_with(snapshot: Arc<Snapshot<H>>, check: Option<Arc<Check<H>>>) -> Self {
        Self {
            present: ArcSwap::new(snapshot),
            changing: Mutex::new(()),
            check,
        }
    }

    /// Registers a handler in the namespace `default_system` as version 0.1.0.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if the name is none, it is registered already, or the check refuses the handler.
    pub fn register(&self, name: impl AsRef<str>, handler: Arc<H>) -> Result<(), RegisterError> {
        self.change_one(|batch| batch.register(name, handler)).map(drop)
    }

    /// Registers a version of a handler.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if a name or the version is none, the version is registered already, or the check refuses the
    /// handler.
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
    /// [`RegisterError`] if a name or the version is none, or the check refuses the handler.
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
        let key = Key {
            namespace: namespace.clone(),
            name: name.clone(),
            version: version.clone(),
        };
        self.change(|snapshot| snapshot.take(&key))
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

    /// Returns the present contents, which later changes do not touch.
    pub fn snapshot(&self) -> Arc<Snapshot<H>> {
        self.present.load_full()
    }

    /// Returns a registry of its own that begins with the present contents and has the same check.
    ///
    /// Neither sees what happens to the other afterwards.
    #[must_use]
    pub fn scope(&self) -> Self {
        Self::starting_with(self.snapshot(), self.check.clone())
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
        // The check is foreign code: it may be slow or use this registry, so nothing is locked here.
        let changes: Vec<_> = batch
            .changes
            .into_iter()
            .map(|change| change.and_then(|c| self.checked(c)))
            .collect();
        // So is the end of a handler: those that are refused live on until the lock is free.
        let _kept: Vec<_> = changes.iter().flatten().map(Change::handler).collect();
        self.change(|snapshot| {
            let mut former = Vec::with_capacity(changes.len());
            let mut faults = Vec::new();
            let mut written = BTreeSet::new();
            for change in changes {
                match change.and_then(|change| make(change, snapshot, &mut written)) {
                    Ok(handler) => former.push(handler),
                    Err(fault) => faults.push(fault),
                }
            }
            if faults.is_empty() {
                Ok(former)
            } else {
                Err(faults)
            }
        })
    }

    fn checked(&self, change: Change<H>) -> Result<Change<H>, RegisterError> {
        if let (Some(check), Change::Put { key, handler, .. }) = (&self.check, &change)
            && let Err(source) = check(handler)
        {
            let Key {
                namespace,
                name,
                version,
            } = key.clone();
            return Err(RegisterError::InvalidHandler {
                namespace,
                name,
                version,
                source,
            });
        }
        Ok(change)
    }

    /// Puts a changed copy in the place of the present snapshot, unless the change fails.
    fn change<T, E>(&self, edit: impl FnOnce(&mut Snapshot<H>) -> Result<T, E>) -> Result<T, E> {
        // What the lock guards is replaced as a whole, so a panic under it leaves nothing half done.
        let guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.present.load_full();
        let mut next = Snapshot::clone(&former);
        let result = edit(&mut next);
        if result.is_ok() {
            self.present.store(Arc::new(next));
        }
        // Handlers that nobody has any more end with `former`, and their ends are foreign code again.
        drop(guard);
        result
    }
}

/// Makes one change of a batch and returns what was in the place before.
fn make<H: ?Sized>(
    change: Change<H>,
    snapshot: &mut Snapshot<H>,
    written: &mut BTreeSet<Key>,
) -> Result<Option<Arc<H>>, RegisterError> {
    match change {
        Change::Put {
            key,
            handler,
            occupied,
        } => {
            if !written.insert(key.clone()) {
                let Key {
                    namespace,
                    name,
                    version,
                } = key;
                return Err(RegisterError::TwiceInBatch {
                    namespace,
                    name,
                    version,
                });
            }
            if matches!(occupied, Occupied::Refuse) && snapshot.contains(&key) {
                let Key {
                    namespace,
                    name,
                    version,
                } = key;
                return Err(RegisterError::Duplicate {
                    namespace,
                    name,
                    version,
                });
            }
            Ok(snapshot.put(key, handler))
        }
        Change::Remove { key } => snapshot
            .take(&key)
            .map(Some)
            .map_err(RegisterError::NothingToRemove),
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
