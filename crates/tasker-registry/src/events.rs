//! The custom events that are known, and who declared them.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use tasker_types::{CustomEvent, EventName};

use crate::error::{EventConflict, EventError, UnknownEvent, suggest};
use crate::name::FullName;

/// Who declared a custom event.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum EventSource {
    /// A handler, for as long as it is registered.
    Handler(FullName),
    /// Something else, in its own words, for instance "the template `refund`".
    Other(String),
}

/// A custom event that is known, and everyone who declared it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventEntry {
    /// The event.
    pub event: CustomEvent,
    /// Who declared it: at least one, handlers first.
    pub declared_by: Vec<EventSource>,
}

/// Who declared an event, each with the description that it gave.
type Declarations = BTreeMap<EventSource, Option<Arc<str>>>;

/// Every declaration. All descriptions of one event are equal; a source may leave it to the others.
#[derive(Clone, Default)]
pub(crate) struct Events {
    by_name: BTreeMap<EventName, Declarations>,
    by_source: BTreeMap<EventSource, Vec<EventName>>,
}

impl Events {
    pub(crate) fn len(&self) -> usize {
        self.by_name.len()
    }

    pub(crate) fn list(&self) -> Vec<EventEntry> {
        let entries = self.by_name.iter();
        entries
            .map(|(name, declarations)| entry(name, declarations))
            .collect()
    }

    pub(crate) fn get(&self, name: &str) -> Result<EventEntry, UnknownEvent> {
        match self.by_name.get_key_value(name) {
            Some((name, declarations)) => Ok(entry(name, declarations)),
            None => Err(UnknownEvent {
                name: name.to_owned(),
                nearest: suggest(name, self.by_name.keys()),
            }),
        }
    }

    pub(crate) fn has(&self, source: &EventSource) -> bool {
        self.by_source.contains_key(source)
    }

    /// Forgets what a source declared.
    pub(crate) fn retract(&mut self, source: &EventSource) {
        for name in self.by_source.remove(source).unwrap_or_default() {
            if let Some(declarations) = self.by_name.get_mut(&name) {
                declarations.remove(source);
                if declarations.is_empty() {
                    self.by_name.remove(&name);
                }
            }
        }
    }

    /// Adds what a source declares, unless it or someone else describes the same event in another way.
    pub(crate) fn declare(&mut self, source: &EventSource, event: &CustomEvent) -> Result<(), EventError> {
        self.differs(source, event, |_| true)?;
        let declarations = self.by_name.entry(event.name.clone()).or_default();
        let description = declarations.entry(source.clone()).or_default();
        if event.description.is_some() {
            *description = event.description.as_deref().map(Arc::from);
        }
        let names = self.by_source.entry(source.clone()).or_default();
        if !names.contains(&event.name) {
            names.push(event.name.clone());
        }
        Ok(())
    }

    /// Compares an event with what others than a source declared.
    pub(crate) fn compare(&self, source: &EventSource, event: &CustomEvent) -> Result<(), EventError> {
        self.differs(source, event, |other| other != source)
    }

    fn differs(
        &self,
        source: &EventSource,
        event: &CustomEvent,
        counts: impl Fn(&EventSource) -> bool,
    ) -> Result<(), EventError> {
        let Some(description) = event.description.as_deref() else {
            return Ok(());
        };
        let declarations = self.by_name.get(&event.name).into_iter().flatten();
        let described = |(other, known): (&EventSource, &Option<Arc<str>>)| {
            let known = known.as_deref().filter(|known| *known != description)?;
            counts(other).then(|| (other.clone(), known.to_owned()))
        };
        match declarations.filter_map(described).next() {
            None => Ok(()),
            Some((other, other_description)) => Err(EventError::Conflict(Box::new(EventConflict {
                name: event.name.clone(),
                declared_by: source.clone(),
                description: description.to_owned(),
                other,
                other_description,
            }))),
        }
    }
}

fn entry(name: &EventName, declarations: &Declarations) -> EventEntry {
    EventEntry {
        event: CustomEvent {
            name: name.clone(),
            description: declarations.values().flatten().next().map(ToString::to_string),
        },
        declared_by: declarations.keys().cloned().collect(),
    }
}

impl fmt::Display for EventSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Handler(handler) => write!(f, "the handler `{handler}`"),
            Self::Other(source) => f.write_str(source),
        }
    }
}
