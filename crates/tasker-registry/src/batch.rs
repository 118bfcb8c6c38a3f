//! Changes that are wanted, before anything is asked of a registry.

use std::fmt::{self, Display};
use std::sync::Arc;

use tasker_types::{CustomEvent, EventDefinition, HandlerName, Namespace, Version};

use crate::error::{EventError, RegisterError};
use crate::events::EventSource;
use crate::name::FullName;

/// The version of a handler that is registered without one.
pub(crate) const DEFAULT_VERSION: Version = Version::new(0, 1, 0);

/// Changes that happen together or not at all; see [`Registry::batch`](crate::Registry::batch).
///
/// They are made in the order in which they are given; custom events are compared when all are made.
pub struct Batch<H: ?Sized> {
    pub(crate) changes: Vec<Result<Change<H>, RegisterError>>,
}

/// One change whose names and version are good.
pub(crate) enum Change<H: ?Sized> {
    Put {
        place: FullName,
        handler: Arc<H>,
        occupied: Occupied,
        events: Vec<CustomEvent>,
    },
    Remove {
        place: FullName,
    },
    Declare {
        source: EventSource,
        events: Vec<CustomEvent>,
    },
}

/// What happens to a handler that is in the place already.
#[derive(Clone, Copy)]
pub(crate) enum Occupied {
    Refuse,
    Replace,
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
        self.put(place(namespace, name, version), handler, Occupied::Refuse);
    }

    /// Registers a version of a handler, in the place of the one that is there if there is one.
    pub fn replace(
        &mut self,
        namespace: impl AsRef<str>,
        name: impl AsRef<str>,
        version: impl Display,
        handler: Arc<H>,
    ) {
        self.put(place(namespace, name, version), handler, Occupied::Replace);
    }

    /// Removes a version of a handler, which must be registered.
    pub fn remove(&mut self, namespace: &Namespace, name: &HandlerName, version: &Version) {
        let place = FullName::new(namespace, name, version);
        self.changes.push(Ok(Change::Remove { place }));
    }

    /// Declares the custom events of something that is no handler, such as a template, in the place of those that the
    /// same declared before.
    ///
    /// `source` names it in messages, for instance "the template `refund`".
    pub fn declare(
        &mut self,
        source: impl Into<String>,
        events: impl IntoIterator<Item = impl Into<EventDefinition>>,
    ) {
        let source = EventSource::Other(source.into());
        let change = checked_events(&source, events).map(|events| Change::Declare { source, events });
        self.changes.push(change.map_err(RegisterError::Event));
    }

    /// Takes back what a source that is no handler declared; nothing happens if that is nothing.
    pub fn withdraw(&mut self, source: impl Into<String>) {
        self.declare(source, Vec::<EventDefinition>::new());
    }

    fn put(&mut self, place: Result<FullName, RegisterError>, handler: Arc<H>, occupied: Occupied) {
        self.changes.push(place.map(|place| Change::Put {
            place,
            handler,
            occupied,
            events: Vec::new(),
        }));
    }
}

/// Checks the names of the events that a source declares.
pub(crate) fn checked_events(
    source: &EventSource,
    events: impl IntoIterator<Item = impl Into<EventDefinition>>,
) -> Result<Vec<CustomEvent>, EventError> {
    let check = |event: EventDefinition| {
        event.check().map_err(|fault| EventError::Invalid {
            declared_by: source.clone(),
            source: Box::new(fault),
        })
    };
    events.into_iter().map(|event| check(event.into())).collect()
}

impl<H: ?Sized> Change<H> {
    pub(crate) fn handler(&self) -> Option<Arc<H>> {
        match self {
            Self::Put { handler, .. } => Some(Arc::clone(handler)),
            Self::Remove { .. } | Self::Declare { .. } => None,
        }
    }
}

fn place(
    namespace: impl AsRef<str>,
    name: impl AsRef<str>,
    version: impl Display,
) -> Result<FullName, RegisterError> {
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
        Ok(version) => Ok(FullName {
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

impl<H: ?Sized> fmt::Debug for Batch<H> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch")
            .field("changes", &self.changes.len())
            .finish()
    }
}
