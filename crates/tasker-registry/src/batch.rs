//! Changes that are wanted, before anything is asked of a registry.

use std::fmt::{self, Display};
use std::sync::Arc;

use tasker_types::{HandlerName, Namespace, Version};

use crate::error::RegisterError;

/// The version of a handler that is registered without one.
pub(crate) const DEFAULT_VERSION: Version = Version::new(0, 1, 0);

/// Changes that happen together or not at all; see [`Registry::batch`](crate::Registry::batch).
///
/// They are made in the order in which they are given.
pub struct Batch<H: ?Sized> {
    pub(crate) changes: Vec<Result<Change<H>, RegisterError>>,
}

/// One change whose names and version are good.
pub(crate) enum Change<H: ?Sized> {
    Put {
        key: Key,
        handler: Arc<H>,
        occupied: Occupied,
    },
    Remove {
        key: Key,
    },
}

/// What happens to a handler that is in the place already.
#[derive(Clone, Copy)]
pub(crate) enum Occupied {
    Refuse,
    Replace,
}

/// The place of a handler.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    pub(crate) namespace: Namespace,
    pub(crate) name: HandlerName,
    pub(crate) version: Version,
}

impl<H: ?Sized> Batch<H> {
    pub(crate) fn new() -> Self {
        Self { changes: Vec::new() }
    }

    /// Registers a handler in the namespace `default_system` as version 0.1.0.
    pub fn register(&mut self, name: impl AsRef<str>, handler: Arc<H>) {
        self.register_in(Namespace::default(), name, DEFAULT_VERSION, handler);
    }

    /// Registers a version of a handler, which must not be registered yet.
    pub fn register_in(
        &mut self,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
        handler: Arc<H>,
    ) {
        self.put(Key::parse(namespace, name, version), handler, Occupied::Refuse);
    }

    /// Registers a version of a handler, in the place of the one that is there if there is one.
    pub fn replace(
        &mut self,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
        handler: Arc<H>,
    ) {
        self.put(Key::parse(namespace, name, version), handler, Occupied::Replace);
    }

    /// Removes a version of a handler, which must be registered.
    pub fn remove(&mut self, namespace: &Namespace, name: &HandlerName, version: &Version) {
        let key = Key {
            namespace: namespace.clone(),
            name: name.clone(),
            version: version.clone(),
        };
        self.changes.push(Ok(Change::Remove { key }));
    }

    fn put(&mut self, key: Result<Key, RegisterError>, handler: Arc<H>, occupied: Occupied) {
        self.changes.push(key.map(|key| Change::Put {
            key,
            handler,
            occupied,
        }));
    }
}

impl<H: ?Sized> Change<H> {
    pub(crate) fn handler(&self) -> Option<Arc<H>> {
        match self {
            Self::Put { handler, .. } => Some(Arc::clone(handler)),
            Self::Remove { .. } => None,
        }
    }
}

impl Key {
    fn parse(
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
    ) -> Result<Self, RegisterError> {
        let (namespace, name, version) = (namespace.as_ref(), name.as_ref(), version.to_string());
        let namespace = Namespace::new(namespace).map_err(|source| RegisterError::InvalidNamespace {
            name: name.to_owned(),
            source,
        })?;
        let name = HandlerName::new(name).map_err(|source| RegisterError::InvalidName {
            namespace: namespace.clone(),
            source,
        })?;
        match version.parse() {
            Ok(version) => Ok(Self {
                namespace,
                name,
                version,
            }),
            Err(source) => Err(RegisterError::InvalidVersion {
                namespace,
                name,
                version,
                source,
            }),
        }
    }
}

impl<H: ?Sized> fmt::Debug for Batch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("changes", &self.changes.len())
            .finish()
    }
}
