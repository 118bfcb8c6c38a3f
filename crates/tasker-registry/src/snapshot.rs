//! The contents of a registry at one moment.
//!
//! A snapshot never changes. The next one shares with it all that is the same: a change copies the map of the
//! namespaces, the names of the namespace that it touches, and the versions of the handler, never a handler; custom
//! events are copied when one of them changes. So a search follows few pointers, and none that a writer moves meanwhile.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use rustc_hash::FxBuildHasher;
use tasker_types::{CustomEvent, HandlerName, Namespace, Version, VersionReq};

use crate::error::{EventError, LookupError, UnknownEvent, suggest};
use crate::events::{EventEntry, EventSource, Events};
use crate::name::FullName;

/// The versions of a handler, ascending.
type Versions<H> = Arc<[(Version, Arc<H>)]>;
/// Found by hashing, which is cheaper than comparing names one after the other. The hash need not withstand an attack:
/// names come from who registers, not from who asks.
type Names<H> = HashMap<HandlerName, Versions<H>, FxBuildHasher>;

/// The contents of a registry at one moment; what happens to the registry afterwards does not show.
///
/// Several questions that must agree with one another are asked of one snapshot.
pub struct Snapshot<H: ?Sized> {
    /// No namespace is without handlers, and no handler without versions.
    namespaces: HashMap<Namespace, Arc<Names<H>>, FxBuildHasher>,
    events: Arc<Events>,
}

/// One registered version of a handler.
pub struct Entry<H: ?Sized> {
    /// The namespace that owns the handler.
    pub namespace: Namespace,
    /// The handler's name.
    pub name: HandlerName,
    /// The version.
    pub version: Version,
    /// What is registered.
    pub handler: Arc<H>,
}

/// How much is registered.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Stats {
    /// What each namespace has.
    pub namespaces: BTreeMap<Namespace, NamespaceStats>,
    /// The number of handlers in all namespaces, each counted once.
    pub handlers: usize,
    /// The number of versions of all handlers.
    pub versions: usize,
    /// The number of custom events.
    pub events: usize,
}

/// How much is registered in a namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct NamespaceStats {
    /// The number of handlers, each counted once.
    pub handlers: usize,
    /// The number of versions of all of them.
    pub versions: usize,
}

impl<H: ?Sized> Snapshot<H> {
    /// Returns the greatest version of a handler.
    ///
    /// # Errors
    ///
    /// [`LookupError::UnknownNamespace`] or [`LookupError::UnknownHandler`].
    pub fn get(&self, namespace: &Namespace, name: &HandlerName) -> Result<(Version, Arc<H>), LookupError> {
        // Made in the place where the caller gets it: moving it there costs as much as the search.
        match self.latest(namespace, name) {
            Some((version, handler)) => Ok((version.clone(), Arc::clone(handler))),
            None => Err(self.not_found(namespace, name)),
        }
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
        let versions = self.versions(namespace, name)?;
        match position(versions, version) {
            Ok(index) => Ok(Arc::clone(&versions[index].1)),
            Err(_) => Err(LookupError::UnknownVersion {
                namespace: namespace.clone(),
                name: name.clone(),
                version: version.clone(),
                existing: numbers(versions),
            }),
        }
    }

    /// Returns the greatest version of a handler that fits a requirement.
    ///
    /// A pre-release fits only if the requirement names a pre-release of the same three numbers.
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
        let versions = self.versions(namespace, name)?;
        greatest_matching(versions, requirement).ok_or_else(|| LookupError::NoMatchingVersion {
            namespace: namespace.clone(),
            name: name.clone(),
            requirement: requirement.clone(),
            existing: numbers(versions),
        })
    }

    /// Returns what [`get`](Self::get) or [`get_matching`](Self::get_matching) would, and nothing where they would
    /// explain themselves.
    ///
    /// Cheaper where not finding is common, as when one namespace is searched after another.
    pub fn find(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        requirement: Option<&VersionReq>,
    ) -> Option<(Version, Arc<H>)> {
        match requirement {
            None => self.latest(namespace, name).cloned(),
            Some(requirement) => greatest_matching(self.namespaces.get(namespace)?.get(name)?, requirement),
        }
    }

    fn latest(&self, namespace: &Namespace, name: &HandlerName) -> Option<&(Version, Arc<H>)> {
        self.namespaces.get(namespace)?.get(name)?.last()
    }

    /// Returns every version of every handler of a namespace, by name and version, ascending.
    ///
    /// # Errors
    ///
    /// [`LookupError::UnknownNamespace`].
    pub fn list(&self, namespace: &Namespace) -> Result<Vec<Entry<H>>, LookupError> {
        let mut names: Vec<_> = self.names(namespace)?.iter().collect();
        names.sort_unstable_by_key(|(name, _)| *name);
        let rows = names
            .into_iter()
            .flat_map(|(name, versions)| versions.iter().map(move |row| (name, row)));
        Ok(rows
            .map(|(name, (version, handler))| Entry {
                namespace: namespace.clone(),
                name: name.clone(),
                version: version.clone(),
                handler: Arc::clone(handler),
            })
            .collect())
    }

    /// Returns the namespaces that have handlers, ascending.
    pub fn namespaces(&self) -> Vec<Namespace> {
        let mut namespaces: Vec<_> = self.namespaces.keys().cloned().collect();
        namespaces.sort_unstable();
        namespaces
    }

    /// Returns the custom events that handlers and others declared, by name, ascending.
    pub fn events(&self) -> Vec<EventEntry> {
        self.events.list()
    }

    /// Returns one custom event.
    ///
    /// # Errors
    ///
    /// [`UnknownEvent`], with the names that are spelled much like it.
    pub fn event(&self, name: &str) -> Result<EventEntry, UnknownEvent> {
        self.events.get(name)
    }

    /// Compares an event with what others than this source declared, and declares nothing.
    ///
    /// # Errors
    ///
    /// [`EventError::Conflict`] if someone else describes it in another way.
    pub fn compare(&self, source: impl Into<String>, event: &CustomEvent) -> Result<(), EventError> {
        self.events.compare(&EventSource::Other(source.into()), event)
    }

    /// Counts what is registered.
    ///
    /// # Complexity
    ///
    /// O(h), with h handlers.
    pub fn stats(&self) -> Stats {
        let count = |names: &Names<H>| NamespaceStats {
            handlers: names.len(),
            versions: names.values().map(|versions| versions.len()).sum(),
        };
        let namespaces: BTreeMap<_, _> = self
            .namespaces
            .iter()
            .map(|(namespace, names)| (namespace.clone(), count(names)))
            .collect();
        Stats {
            handlers: namespaces.values().map(|counts| counts.handlers).sum(),
            versions: namespaces.values().map(|counts| counts.versions).sum(),
            events: self.events.len(),
            namespaces,
        }
    }

    pub(crate) fn contains(&self, key: &FullName) -> bool {
        let versions = self
            .namespaces
            .get(&key.namespace)
            .and_then(|names| names.get(&key.name));
        versions.is_some_and(|versions| position(versions, &key.version).is_ok())
    }

    /// Puts a handler in its place and returns what was there.
    pub(crate) fn put(&mut self, key: FullName, handler: Arc<H>) -> Option<Arc<H>> {
        let names = Arc::make_mut(self.namespaces.entry(key.namespace).or_default());
        let versions = names.entry(key.name).or_insert_with(|| Arc::new([]));
        let mut changed = versions.to_vec();
        let former = match position(versions, &key.version) {
            Ok(index) => Some(std::mem::replace(&mut changed[index].1, handler)),
            Err(index) => {
                changed.insert(index, (key.version, handler));
                None
            }
        };
        *versions = changed.into();
        former
    }

    /// Takes a handler out, with its name and its namespace if it was their last.
    pub(crate) fn take(&mut self, key: &FullName) -> Result<Arc<H>, LookupError> {
        let handler = self.get_version(&key.namespace, &key.name, &key.version)?;
        if let Some(names) = self.namespaces.get_mut(&key.namespace) {
            let names = Arc::make_mut(names);
            if let Some(versions) = names.get_mut(&key.name) {
                let others = versions.iter().filter(|(version, _)| *version != key.version);
                *versions = others.cloned().collect();
            }
            names.retain(|_, versions| !versions.is_empty());
        }
        self.namespaces.retain(|_, names| !names.is_empty());
        Ok(handler)
    }

    /// Returns the declarations of custom events.
    pub(crate) fn declarations(&self) -> &Events {
        &self.events
    }

    /// Returns the declarations of custom events, to change them.
    pub(crate) fn declarations_mut(&mut self) -> &mut Events {
        Arc::make_mut(&mut self.events)
    }

    fn names(&self, namespace: &Namespace) -> Result<&Names<H>, LookupError> {
        match self.namespaces.get(namespace) {
            Some(names) => Ok(names),
            None => Err(LookupError::UnknownNamespace {
                namespace: namespace.clone(),
                nearest: suggest(namespace.as_str(), &self.namespaces()),
            }),
        }
    }

    fn versions(&self, namespace: &Namespace, name: &HandlerName) -> Result<&Versions<H>, LookupError> {
        match self.names(namespace)?.get(name) {
            Some(versions) => Ok(versions),
            None => Err(self.unknown_handler(namespace, name)),
        }
    }

    /// Explains why there is no such handler. It is apart from the search, which is meant to find something.
    #[cold]
    fn not_found(&self, namespace: &Namespace, name: &HandlerName) -> LookupError {
        match self.names(namespace) {
            Ok(_) => self.unknown_handler(namespace, name),
            Err(unknown) => unknown,
        }
    }

    fn unknown_handler(&self, namespace: &Namespace, name: &HandlerName) -> LookupError {
        let names = self.namespaces.get(namespace).into_iter();
        let mut known: Vec<_> = names.flat_map(|names| names.keys()).collect();
        known.sort_unstable();
        LookupError::UnknownHandler {
            namespace: namespace.clone(),
            name: name.clone(),
            nearest: suggest(name.as_str(), known),
        }
    }
}

fn greatest_matching<H: ?Sized>(
    versions: &Versions<H>,
    requirement: &VersionReq,
) -> Option<(Version, Arc<H>)> {
    let mut descending = versions.iter().rev();
    descending
        .find(|(version, _)| requirement.matches(version))
        .cloned()
}

/// Returns where a version is, or where it belongs.
fn position<H: ?Sized>(versions: &Versions<H>, version: &Version) -> Result<usize, usize> {
    versions.binary_search_by(|(known, _)| known.cmp(version))
}

fn numbers<H: ?Sized>(versions: &Versions<H>) -> Vec<Version> {
    versions.iter().map(|(version, _)| version.clone()).collect()
}

impl<H: ?Sized> Default for Snapshot<H> {
    fn default() -> Self {
        Self {
            namespaces: HashMap::default(),
            events: Arc::default(),
        }
    }
}

impl<H: ?Sized> Clone for Snapshot<H> {
    fn clone(&self) -> Self {
        Self {
            namespaces: self.namespaces.clone(),
            events: Arc::clone(&self.events),
        }
    }
}

impl<H: ?Sized> fmt::Debug for Snapshot<H> {
    /// Writes what is registered by its full name; a handler need not be printable.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut set = f.debug_set();
        for namespace in self.namespaces() {
            for Entry { name, version, .. } in self.list(&namespace).unwrap_or_default() {
                set.entry(&format_args!("{namespace}.{name}@{version}"));
            }
        }
        set.finish()
    }
}

impl<H: ?Sized> Clone for Entry<H> {
    fn clone(&self) -> Self {
        Self {
            namespace: self.namespace.clone(),
            name: self.name.clone(),
            version: self.version.clone(),
            handler: Arc::clone(&self.handler),
        }
    }
}

impl<H: ?Sized> fmt::Debug for Entry<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Entry({}.{}@{})", self.namespace, self.name, self.version)
    }
}
