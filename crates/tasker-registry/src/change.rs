//! Makes the changes of a batch on a copy of a snapshot, and finds everything that is wrong with them.

use std::collections::BTreeSet;
use std::sync::Arc;

use tasker_types::CustomEvent;

use crate::batch::{Change, Occupied};
use crate::error::RegisterError;
use crate::events::EventSource;
use crate::name::FullName;
use crate::notice::HandlerChange;
use crate::snapshot::Snapshot;

/// What a batch came to.
pub(crate) struct Made<H: ?Sized> {
    /// What was in the place of each change before, in their order.
    pub(crate) former: Vec<Option<Arc<H>>>,
    /// What there is to tell.
    pub(crate) told: Vec<HandlerChange>,
}

/// Makes all changes, or returns all faults in the order of the changes.
pub(crate) fn make_all<H: ?Sized>(
    changes: Vec<Result<Change<H>, RegisterError>>,
    snapshot: &mut Snapshot<H>,
) -> Result<Made<H>, Vec<RegisterError>> {
    let (mut former, mut told) = (Vec::with_capacity(changes.len()), Vec::new());
    let mut faults = Vec::new();
    let mut written = BTreeSet::new();
    let mut declared = Vec::new();
    for (number, change) in changes.into_iter().enumerate() {
        let made = change.and_then(|change| {
            let (source, events) = declaration(&change);
            let replaced = make(change, snapshot, &mut written)?;
            declared.push(Declared {
                number,
                source,
                events,
            });
            Ok(replaced)
        });
        match made {
            Ok((before, change)) => {
                former.push(before);
                told.extend(change);
            }
            Err(fault) => faults.push((number, fault)),
        }
    }
    declare(declared, snapshot, &mut faults);
    if faults.is_empty() {
        return Ok(Made { former, told });
    }
    faults.sort_by_key(|(number, _)| *number);
    Err(faults.into_iter().map(|(_, fault)| fault).collect())
}

/// What one change says about custom events: from now on the source declares these and no others.
struct Declared {
    number: usize,
    source: EventSource,
    events: Vec<CustomEvent>,
}

fn declaration<H: ?Sized>(change: &Change<H>) -> (EventSource, Vec<CustomEvent>) {
    match change {
        Change::Put { place, events, .. } => (EventSource::Handler(place.clone()), events.clone()),
        Change::Remove { place } => (EventSource::Handler(place.clone()), Vec::new()),
        Change::Declare { source, events } => (source.clone(), events.clone()),
    }
}

/// Compares what is declared when all changes are made, so that a batch may change an event everywhere at once.
fn declare<H: ?Sized>(
    declared: Vec<Declared>,
    snapshot: &mut Snapshot<H>,
    faults: &mut Vec<(usize, RegisterError)>,
) {
    let touches = |one: &Declared| !one.events.is_empty() || snapshot.declarations().has(&one.source);
    if !declared.iter().any(touches) {
        return;
    }
    // The last word of a source counts.
    let mut last = std::collections::BTreeMap::new();
    for one in &declared {
        last.insert(one.source.clone(), one.number);
    }
    let events = snapshot.declarations_mut();
    for source in last.keys() {
        events.retract(source);
    }
    for one in declared
        .iter()
        .filter(|one| last.get(&one.source) == Some(&one.number))
    {
        let conflict = one
            .events
            .iter()
            .find_map(|event| events.declare(&one.source, event).err());
        faults.extend(conflict.map(|conflict| (one.number, RegisterError::Event(conflict))));
    }
}

type Replaced<H> = (Option<Arc<H>>, Option<HandlerChange>);

/// Makes one change and returns what was in the place before.
fn make<H: ?Sized>(
    change: Change<H>,
    snapshot: &mut Snapshot<H>,
    written: &mut BTreeSet<FullName>,
) -> Result<Replaced<H>, RegisterError> {
    match change {
        Change::Put {
            place,
            handler,
            occupied,
            events,
        } => {
            if !written.insert(place.clone()) {
                return Err(RegisterError::TwiceInBatch { handler: place });
            }
            if matches!(occupied, Occupied::Refuse) && snapshot.contains(&place) {
                return Err(RegisterError::Duplicate { handler: place });
            }
            let before = snapshot.put(place.clone(), handler);
            let change = match before {
                Some(_) => HandlerChange::Replaced {
                    handler: place,
                    events,
                },
                None => HandlerChange::Registered {
                    handler: place,
                    events,
                },
            };
            Ok((before, Some(change)))
        }
        Change::Remove { place } => match snapshot.take(&place) {
            Ok(handler) => Ok((Some(handler), Some(HandlerChange::Removed { handler: place }))),
            Err(source) => Err(RegisterError::NothingToRemove {
                handler: place,
                source: Box::new(source),
            }),
        },
        Change::Declare { .. } => Ok((None, None)),
    }
}
