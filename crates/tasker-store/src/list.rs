//! Lists of tasks.

use serde::Serialize;
use serde_json::Value;
use tasker_engine::{FailureReason, Origin};
use tasker_types::{Namespace, TaskId, TaskState, TemplateName, Timestamp, Version};

/// Which tasks a list has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFilter {
    /// Only tasks in one of these states; in any state when there are none.
    pub states: Vec<TaskState>,
    /// Only tasks of this namespace.
    pub namespace: Option<Namespace>,
    /// Only tasks of templates of this name.
    pub name: Option<TemplateName>,
    /// Only tasks of templates of this version.
    pub version: Option<Version>,
    /// Only tasks that this one asked for.
    pub initiator: Option<String>,
    /// Only tasks whose request came from this system.
    pub source_system: Option<String>,
    /// Only tasks that have all these tags.
    pub tags: Vec<String>,
    /// Only tasks that have all these annotations, with these values where there are any.
    pub annotations: Vec<(String, Option<Value>)>,
    /// Only tasks whose id begins with this text.
    pub id_prefix: Option<String>,
    /// Only tasks that were created before this one.
    pub after: Option<TaskId>,
    /// At most so many.
    pub limit: u32,
}

impl Default for TaskFilter {
    /// Returns a filter that leaves nothing out, for the newest hundred.
    fn default() -> Self {
        Self {
            states: Vec::new(),
            namespace: None,
            name: None,
            version: None,
            initiator: None,
            source_system: None,
            tags: Vec::new(),
            annotations: Vec::new(),
            id_prefix: None,
            after: None,
            limit: 100,
        }
    }
}

impl TaskFilter {
    /// Tells whether what is said about a task passes.
    pub fn passes(&self, origin: &Origin) -> bool {
        let is = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
        is(&self.initiator, &origin.initiator)
            && is(&self.source_system, &origin.source_system)
            && self.tags.iter().all(|tag| origin.tags.contains(tag))
            && self.annotations.iter().all(|(name, wanted)| {
                let value = origin.annotations.get(name);
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
    }
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskSummary {
    /// The task.
    pub task_id: TaskId,
    /// The full name of its template.
    pub name: String,
    /// The state.
    pub state: TaskState,
    /// Why it is in error.
    pub failure: Option<FailureReason>,
    /// Higher first.
    pub priority: i16,
    /// Its labels.
    pub tags: Vec<String>,
    /// How many of its steps are done.
    pub completed_steps: u64,
    /// How many steps it has.
    pub total_steps: u64,
    /// When it was created.
    pub created_at: Timestamp,
    /// When its first step was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended, for good or in error.
    pub finished_at: Option<Timestamp>,
}
