//! What goes into an analysis.

use std::time::Duration;

use serde::{Deserialize, Deserializer};
use tasker_types::{DependencyGraphValues, StepFacts, StepState, TaskState, Timestamp};

/// What is known of a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskFacts {
    /// The state of the task.
    pub state: TaskState,
    /// When the facts were taken; with it, waits become points in time.
    pub taken_at: Option<Timestamp>,
    /// The steps, in the order in which every answer lists them.
    pub steps: Vec<Step>,
}

/// A step, as its task names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What edges and answers call it; no other step has it.
    pub id: u64,
    /// What people call it; no other step has it.
    pub name: String,
    /// Its facts. `unmet_parents` is not read: it follows from the edges and the states.
    pub facts: StepFacts,
}

impl Step {
    /// Returns a step.
    pub fn new(id: u64, name: impl Into<String>, facts: StepFacts) -> Self {
        Self {
            id,
            name: name.into(),
            facts,
        }
    }
}

impl TaskFacts {
    /// Returns the facts of a task in progress.
    pub fn new(steps: impl IntoIterator<Item = Step>) -> Self {
        Self {
            state: TaskState::InProgress,
            taken_at: None,
            steps: steps.into_iter().collect(),
        }
    }
}

/// A task as a file describes it: its steps, the edges between their ids, and what weighs how much.
///
/// A step has `id`, `name`, `state`, `attempts`, `retry_limit`, `retryable`, `permanent` and
/// `next_retry_in_seconds`, of which all but the first two may be missing; null or nothing more to wait means due.
#[derive(Clone, Debug, Deserialize)]
#[serde(from = "Document")]
pub struct TaskDocument {
    /// The task and its steps.
    pub facts: TaskFacts,
    /// Pairs of the ids of a step and of one that comes after it.
    pub edges: Vec<(u64, u64)>,
    /// What weighs how much, not yet checked.
    pub config: DependencyGraphValues,
}

#[derive(Deserialize)]
struct Document {
    #[serde(default = "in_progress")]
    task_state: TaskState,
    steps: Vec<Row>,
    #[serde(default)]
    edges: Vec<(u64, u64)>,
    #[serde(default)]
    config: DependencyGraphValues,
}

#[derive(Deserialize)]
struct Row {
    id: u64,
    name: String,
    #[serde(default)]
    state: StepState,
    #[serde(default)]
    attempts: u32,
    #[serde(default = "retry_limit")]
    retry_limit: u32,
    #[serde(default = "retryable")]
    retryable: bool,
    #[serde(default)]
    permanent: bool,
    #[serde(default, rename = "next_retry_in_seconds", deserialize_with = "wait")]
    due_in: Option<Duration>,
}

const fn in_progress() -> TaskState {
    TaskState::InProgress
}

fn retry_limit() -> u32 {
    StepFacts::default().retry_limit
}

const fn retryable() -> bool {
    true
}

/// Reads seconds to wait; what is over needs no wait, and what no clock can count is waited for without end.
fn wait<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Duration>, D::Error> {
    let seconds = Option::<f64>::deserialize(deserializer)?;
    Ok(seconds
        .filter(|seconds| *seconds > 0.0)
        .map(|seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX)))
}

impl From<Document> for TaskDocument {
    fn from(document: Document) -> Self {
        let step = |row: Row| {
            let facts = StepFacts {
                state: row.state,
                attempts: row.attempts,
                retry_limit: row.retry_limit,
                retryable: row.retryable,
                permanent: row.permanent,
                unmet_parents: 0,
                due_in: row.due_in,
            };
            Step::new(row.id, row.name, facts)
        };
        Self {
            facts: TaskFacts {
                state: document.task_state,
                taken_at: None,
                steps: document.steps.into_iter().map(step).collect(),
            },
            edges: document.edges,
            config: document.config,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_document_leaves_out_is_as_in_a_template() {
        let document = r#"{"steps": [{"id": 7, "name": "only"}]}"#;
        let document: TaskDocument = serde_json::from_str(document).unwrap();
        let only = Step::new(7, "only", StepFacts::default());
        assert_eq!(document.facts, TaskFacts::new([only]));
        assert_eq!(document.edges, []);
        assert_eq!(document.config, DependencyGraphValues::default());
    }

    #[test]
    fn a_wait_is_read_in_seconds() {
        for (seconds, wait) in [
            ("null", None),
            ("-1", None),
            ("0", None),
            ("0.5", Some(Duration::from_millis(500))),
            ("1e300", Some(Duration::MAX)),
        ] {
            let step = format!(r#"{{"id": 7, "name": "only", "next_retry_in_seconds": {seconds}}}"#);
            let row: Row = serde_json::from_str(&step).unwrap();
            assert_eq!(row.due_in, wait, "{seconds}");
        }
    }
}
