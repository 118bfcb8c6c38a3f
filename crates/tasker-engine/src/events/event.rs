//! One event, and the task that it is about.

use std::sync::Arc;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_types::{Position, Timestamp};

use crate::json::Json;
use crate::record::{Snapshot, TaskRecord};
use crate::template::Template;

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    /// Its name: one of the catalogue, or a custom one.
    pub name: String,
    /// The position of the transition that it follows from; `None` for a local event.
    pub position: Option<Position>,
    /// Which of the events of that transition it is, from 0.
    pub ordinal: u32,
    /// When, by the store's clock, or by the program's for a local event.
    pub at: Timestamp,
    /// What it carries.
    pub payload: Value,
}

impl Event {
    /// Reads what the event carries.
    ///
    /// # Errors
    ///
    /// When the type is another event's, or a field that it has was masked.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        T::deserialize(&self.payload)
    }
}

/// An event of a step's own, as its handler published it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Published {
    /// Its name.
    pub name: String,
    /// What it carries.
    pub data: Json,
}

impl Published {
    /// Adds events to what the history says of the end of an attempt.
    pub fn noted(events: &[Self], metadata: Option<Json>) -> Option<Json> {
        if events.is_empty() {
            return metadata;
        }
        let mut said = metadata.map(|metadata| metadata.to_value()).unwrap_or_default();
        if !said.is_object() {
            said = Value::Object(serde_json::Map::new());
        }
        said["events"] = serde_json::to_value(events).unwrap_or_default();
        Some(Json::from(&said))
    }
}

/// What the events of a task have in common.
#[derive(Clone, Debug)]
pub struct Subject {
    pub(super) template: Arc<Template>,
    pub(super) correlation_id: Option<String>,
    pub(super) initiator: Option<String>,
}

impl Subject {
    /// Returns what the events of a task have in common.
    pub fn new(template: Arc<Template>, correlation_id: Option<String>) -> Self {
        Self {
            template,
            correlation_id,
            initiator: None,
        }
    }

    /// Returns the template of the task.
    pub fn template(&self) -> &Arc<Template> {
        &self.template
    }

    /// Returns who asked for the task.
    pub fn initiator(&self) -> Option<&str> {
        self.initiator.as_deref()
    }
}

impl From<&TaskRecord> for Subject {
    fn from(task: &TaskRecord) -> Self {
        Self {
            initiator: task.origin.initiator.clone(),
            ..Self::new(Arc::clone(&task.template), task.origin.correlation_id.clone())
        }
    }
}

impl From<&Snapshot> for Subject {
    fn from(snapshot: &Snapshot) -> Self {
        Self::from(&snapshot.task)
    }
}
