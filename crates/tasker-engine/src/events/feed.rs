//! Reads the durable events of a store, in order and without gaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use tasker_types::{Position, TaskId};

use super::derive::derive;
use super::event::{Event, Subject};
use crate::record::{Change, Transition};
use crate::store::{Store, StoreError};
use crate::transition::TaskEvent;

/// How many entries are read at once.
const PAGE: u32 = 500;
/// Of how many tasks a feed remembers the templates.
const REMEMBERED: usize = 1_024;

/// The durable events after a position.
///
/// A feed that is started again at its [`position`](Self::position) tells what it has not told, and nothing twice.
#[derive(Debug)]
pub struct Feed {
    store: Arc<dyn Store>,
    position: Position,
    subjects: BTreeMap<TaskId, Subject>,
}

impl Feed {
    /// Returns a feed of what comes after a position.
    pub fn after(store: Arc<dyn Store>, position: Position) -> Self {
        Self {
            store,
            position,
            subjects: BTreeMap::new(),
        }
    }

    /// Returns the position of the last entry whose events were told.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Returns the next events, in the order of commits; none when there are no more by now.
    ///
    /// # Errors
    ///
    /// What the store says; the same events are told by the next call.
    pub async fn next(&mut self) -> Result<Vec<Event>, StoreError> {
        let page = self.store.events(self.position, PAGE).await?;
        let mut events = Vec::new();
        for entry in &page {
            if let Some(subject) = self.subject(entry).await? {
                events.extend(derive(entry, &subject));
            }
        }
        // Only now: what was told before an error is told again with the rest.
        if let Some(last) = page.last() {
            self.position = last.position;
        }
        Ok(events)
    }

    /// Returns what the events of a task have in common; `None` when the task is gone.
    async fn subject(&mut self, entry: &Transition) -> Result<Option<Subject>, StoreError> {
        let task = entry.task;
        let subject = match self.subjects.get(&task) {
            Some(subject) => subject.clone(),
            None => {
                let Some(snapshot) = self.store.snapshot(task).await? else {
                    return Ok(None);
                };
                if self.subjects.len() >= REMEMBERED {
                    self.subjects.clear();
                }
                let subject = Subject::from(&snapshot);
                self.subjects.insert(task, subject.clone());
                subject
            }
        };
        if matches!(
            entry.change,
            Change::Task {
                event: TaskEvent::Complete | TaskEvent::Cancel | TaskEvent::Resolve,
                ..
            }
        ) {
            // Little or nothing follows.
            self.subjects.remove(&task);
        }
        Ok(Some(subject))
    }
}
