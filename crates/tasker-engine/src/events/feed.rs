//! Reads the durable events of a store, in order and without gaps.

use std::collections::BTreeMap;
use std::sync::Arc;

use tasker_types::{Position, TaskId, TaskState};

use super::derive::derive;
use super::event::{Event, Subject};
use crate::record::{Change, TaskRecord, Transition};
use crate::store::{Store, StoreError};
use crate::transition::TaskEvent;

/// How many entries are read at once.
const PAGE: u32 = 500;
/// Of how many tasks a feed remembers the templates.
const REMEMBERED: usize = 1_024;

/// The durable events after a position, of all tasks or of one.
///
/// A feed that is started again at its [`position`](Self::position) tells what it has not told, and nothing twice.
#[derive(Debug)]
pub struct Feed {
    store: Arc<dyn Store>,
    position: Position,
    subjects: BTreeMap<TaskId, Subject>,
    /// The only task, with the state that it had or has come to.
    task: Option<(TaskId, TaskState)>,
}

impl Feed {
    /// Returns a feed of what comes after a position.
    pub fn after(store: Arc<dyn Store>, position: Position) -> Self {
        Self {
            store,
            position,
            subjects: BTreeMap::new(),
            task: None,
        }
    }

    /// Returns a feed of what comes after a position in the history of one task.
    pub fn of_task(store: Arc<dyn Store>, task: &TaskRecord, position: Position) -> Self {
        Self {
            subjects: BTreeMap::from([(task.id, Subject::from(task))]),
            task: Some((task.id, task.state)),
            ..Self::after(store, position)
        }
    }

    /// Tells whether this is the feed of one task that has ended for good, so that hardly anything will follow what
    /// there is by now.
    pub fn has_ended(&self) -> bool {
        self.task.is_some_and(|(_, state)| state.is_final())
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
        self.next_of(|_| true).await
    }

    /// Returns the next events of the tasks that are wanted, as [`next`](Self::next) does. There may be none although
    /// more follow: as long as the [`position`](Self::position) moves there may be.
    ///
    /// # Errors
    ///
    /// As [`next`](Self::next).
    pub async fn next_of(&mut self, wanted: impl Fn(&Subject) -> bool) -> Result<Vec<Event>, StoreError> {
        let page = match self.task {
            Some((task, _)) => self.store.history(task, self.position, PAGE).await?,
            None => self.store.events(self.position, PAGE).await?,
        };
        let mut events = Vec::new();
        for entry in &page {
            if let Some(subject) = self.subject(entry).await?.filter(|subject| wanted(subject)) {
                events.extend(derive(entry, &subject));
            }
        }
        let mut states = page.iter().filter_map(|entry| match entry.change {
            Change::Task { to, .. } => Some(to),
            _ => None,
        });
        if let (Some((_, state)), Some(latest)) = (&mut self.task, states.next_back()) {
            *state = latest;
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
        let ends = matches!(
            entry.change,
            Change::Task {
                event: TaskEvent::Complete | TaskEvent::Cancel | TaskEvent::Resolve,
                ..
            }
        );
        if ends && self.task.is_none() {
            // Little or nothing follows.
            self.subjects.remove(&task);
        }
        Ok(Some(subject))
    }
}
