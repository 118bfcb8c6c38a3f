//! Lists of tasks: which ones are wanted, in what order, and from where on.
//!
//! This module is pure: it says what a filter leaves and what comes before what. How a store finds that without looking at
//! all its tasks is the store's business.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker_types::{Namespace, TaskId, TaskState, TemplateName, Timestamp, Version};
use thiserror::Error;

use crate::finalizer::FailureReason;
use crate::json::Json;
use crate::origin::Origin;

/// Which tasks a list has: those that satisfy all that is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
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
    /// Only tasks whose contexts have all of this.
    pub context: Vec<ContextMatch>,
    /// Only tasks that were created in this time.
    pub created: Period,
    /// Only tasks that last changed in this time.
    pub updated: Period,
    /// Only tasks whose id begins with this text.
    pub id_prefix: Option<String>,
    /// Only tasks in one of these scopes; `None` for all.
    pub within: Option<Vec<TaskScope>>,
}

/// Some tasks: those that satisfy all that is said here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct TaskScope {
    /// Only those of this namespace.
    pub namespace: Option<Namespace>,
    /// Only those that this one asked for.
    pub owner: Option<String>,
}

/// A time from one moment on and before another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Period {
    /// At this moment or later.
    pub after: Option<Timestamp>,
    /// Earlier than this moment.
    pub before: Option<Timestamp>,
}

impl Period {
    /// Tells whether a moment lies in it.
    pub fn has(&self, time: Timestamp) -> bool {
        self.after.is_none_or(|after| after <= time) && self.before.is_none_or(|before| time < before)
    }
}

/// Something that the context of a task must have: a value at a path, or anything there.
///
/// Its text form is `customer.id` or `customer.id=42`: the names of fields and the numbers of elements, from the outside in,
/// and after the first `=` the value. It is compared as text: with a string as it is, with anything else as JSON writes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(into = "String")]
pub struct ContextMatch {
    path: Vec<String>,
    value: Option<String>,
}

/// A text that says nothing about a context.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "`{text}` is not a path in a context such as `customer.id`, or a path and a value such as `customer.id=42`"
)]
pub struct InvalidContextMatch {
    /// What was given.
    pub text: String,
}

impl ContextMatch {
    /// What the text form looks like, as a regular expression.
    pub const PATTERN: &str = r"^[^.=]+(\.[^.=]+)*(=[\s\S]*)?$";

    /// Tells whether a context has it.
    pub fn holds(&self, context: &Value) -> bool {
        let mut value = context;
        for key in &self.path {
            let inner = match value {
                Value::Object(fields) => fields.get(key),
                Value::Array(elements) => key.parse().ok().and_then(|place: usize| elements.get(place)),
                _ => None,
            };
            let Some(inner) = inner else { return false };
            value = inner;
        }
        match (&self.value, value) {
            (None, _) => true,
            (Some(wanted), Value::String(text)) => wanted == text,
            (Some(wanted), value) => serde_json::to_string(value).is_ok_and(|text| text == *wanted),
        }
    }
}

impl FromStr for ContextMatch {
    type Err = InvalidContextMatch;

    fn from_str(text: &str) -> Result<Self, InvalidContextMatch> {
        let (path, value) = match text.split_once('=') {
            Some((path, value)) => (path, Some(value.to_owned())),
            None => (text, None),
        };
        let path: Vec<String> = path.split('.').map(str::to_owned).collect();
        if path.iter().any(String::is_empty) {
            return Err(InvalidContextMatch {
                text: text.to_owned(),
            });
        }
        Ok(Self { path, value })
    }
}

impl fmt::Display for ContextMatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.path.join("."))?;
        match &self.value {
            Some(value) => write!(f, "={value}"),
            None => Ok(()),
        }
    }
}

impl From<ContextMatch> for String {
    fn from(wanted: ContextMatch) -> Self {
        wanted.to_string()
    }
}

/// By what a list is sorted. Tasks that are equal in it stand in the order of their creation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TaskSort {
    /// By when they were created.
    #[default]
    Created,
    /// By when their state, or what is said about them, last changed.
    Updated,
    /// By priority.
    Priority,
}

impl TaskSort {
    /// Every way.
    pub const ALL: [Self; 3] = [Self::Created, Self::Updated, Self::Priority];

    /// Returns the name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Updated => "updated",
            Self::Priority => "priority",
        }
    }
}

/// Which end of a sorted list comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SortOrder {
    /// The newest, or the highest priority.
    #[default]
    Descending,
    /// The oldest, or the lowest priority.
    Ascending,
}

impl SortOrder {
    /// Both ways.
    pub const ALL: [Self; 2] = [Self::Descending, Self::Ascending];

    /// Returns the name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Descending => "descending",
            Self::Ascending => "ascending",
        }
    }
}

/// A task's place in a sorted list. It stays the same while what the list is sorted by does, and holds when the task is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TaskMark {
    /// What the list is sorted by: microseconds since the epoch, or the priority.
    pub value: i64,
    /// The place in the order of creation, as the store counts it.
    pub place: i64,
}

impl TaskMark {
    /// Tells whether a task at this place comes after another place.
    pub fn follows(self, other: Self, order: SortOrder) -> bool {
        match order {
            SortOrder::Descending => self < other,
            SortOrder::Ascending => self > other,
        }
    }
}

/// A request for a page of a list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskQuery {
    /// Which tasks.
    pub filter: TaskFilter,
    /// Sorted by what.
    pub sort: TaskSort,
    /// From which end.
    pub order: SortOrder,
    /// Only what comes after this place.
    pub after: Option<TaskMark>,
    /// At most so many.
    pub limit: u32,
    /// Whether to count all that the filter leaves.
    pub count: bool,
}

impl TaskQuery {
    /// Returns a request for at most so many of the newest tasks that a filter leaves.
    pub fn new(filter: TaskFilter, limit: u32) -> Self {
        Self {
            filter,
            sort: TaskSort::default(),
            order: SortOrder::default(),
            after: None,
            limit,
            count: false,
        }
    }
}

/// A page of a list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TaskPage {
    /// The tasks. There may be fewer than were asked for, and even none, although more follow: a store that would have to
    /// look at too many to find enough stops before.
    pub tasks: Vec<TaskSummary>,
    /// Where to go on; `None` at the end of the list.
    pub next: Option<TaskMark>,
    /// How many tasks the filter leaves in all, if that was asked for.
    pub total: Option<u64>,
}

/// A task in a list.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
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
    /// When its state, or what is said about it, last changed.
    pub updated_at: Timestamp,
    /// When its first step was claimed.
    pub started_at: Option<Timestamp>,
    /// When it ended, for good or in error.
    pub finished_at: Option<Timestamp>,
}

/// What a filter looks at of a task, but for its context.
#[derive(Clone, Copy, Debug)]
pub struct Listed<'a> {
    /// The task.
    pub id: TaskId,
    /// The state.
    pub state: TaskState,
    /// The namespace of its template.
    pub namespace: &'a str,
    /// The name of its template.
    pub name: &'a str,
    /// The version of its template.
    pub version: &'a str,
    /// What was said about it.
    pub origin: &'a Origin,
    /// Higher first.
    pub priority: i16,
    /// When it was created.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

impl Listed<'_> {
    /// Returns the task's place in a list, given its place in the order of creation.
    pub fn mark(&self, sort: TaskSort, place: i64) -> TaskMark {
        let value = match sort {
            TaskSort::Created => self.created_at.as_micros(),
            TaskSort::Updated => self.updated_at.as_micros(),
            TaskSort::Priority => i64::from(self.priority),
        };
        TaskMark { value, place }
    }
}

impl TaskFilter {
    /// Tells whether a task passes, given its context by `context`, which is asked only if all else passes and something is
    /// said about it.
    pub fn passes(&self, task: &Listed<'_>, context: impl FnOnce() -> Option<Json>) -> bool {
        self.passes_but_for_context(task)
            && (self.context.is_empty()
                || context().is_some_and(|context| self.passes_context(&context.to_value())))
    }

    /// Tells whether a task passes, whatever its context says.
    pub fn passes_but_for_context(&self, task: &Listed<'_>) -> bool {
        let is = |wanted: &Option<String>, value: &Option<String>| wanted.is_none() || wanted == value;
        let origin = task.origin;
        (self.states.is_empty() || self.states.contains(&task.state))
            && self
                .namespace
                .as_ref()
                .is_none_or(|own| own.as_str() == task.namespace)
            && self.name.as_ref().is_none_or(|own| own.as_str() == task.name)
            && self
                .version
                .as_ref()
                .is_none_or(|own| own.to_string() == task.version)
            && is(&self.initiator, &origin.initiator)
            && is(&self.source_system, &origin.source_system)
            && self.tags.iter().all(|tag| origin.tags.contains(tag))
            && self.annotations.iter().all(|(name, wanted)| {
                let value = origin.annotations.get(name);
                value.is_some_and(|value| wanted.as_ref().is_none_or(|wanted| wanted == value))
            })
            && self.created.has(task.created_at)
            && self.updated.has(task.updated_at)
            && self.id_prefix.as_ref().is_none_or(|prefix| {
                let digits = prefix.chars().filter(|c| *c != '-');
                let digits: String = digits.map(|c| c.to_ascii_lowercase()).collect();
                task.id.to_string().replace('-', "").starts_with(&digits)
            })
            && self.within.as_ref().is_none_or(|scopes| {
                scopes.iter().any(|scope| {
                    scope
                        .namespace
                        .as_ref()
                        .is_none_or(|own| own.as_str() == task.namespace)
                        && is(&scope.owner, &origin.initiator)
                })
            })
    }

    /// Tells whether a context has all that it must have.
    pub fn passes_context(&self, context: &Value) -> bool {
        self.context.iter().all(|wanted| wanted.holds(context))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn holds(text: &str, expected: bool) {
        let context = json!({
            "customer": { "id": 42, "name": "Ann", "vip": true, "note": null, "=": 1 },
            "items": [{ "sku": "a=b" }, 7], "": 1
        });
        let wanted: ContextMatch = text.parse().unwrap();
        assert_eq!(wanted.to_string(), text);
        assert_eq!(wanted.holds(&context), expected, "{text}");
    }

    #[test]
    fn a_path_leads_through_objects_and_lists() {
        holds("customer", true);
        holds("customer.id", true);
        holds("customer.note", true);
        holds("customer.age", false);
        holds("items.0.sku", true);
        holds("items.2", false);
        holds("items.first", false);
        holds("customer.id.digits", false);
    }

    #[test]
    fn a_value_is_compared_as_text() {
        holds("customer.id=42", true);
        holds("customer.id=4", false);
        holds("customer.name=Ann", true);
        holds("customer.name=\"Ann\"", false);
        holds("customer.vip=true", true);
        holds("customer.note=null", true);
        holds("customer.note=", false);
        holds("items.0.sku=a=b", true);
        holds("items.0={\"sku\":\"a=b\"}", true);
    }

    #[test]
    fn an_empty_name_is_no_path() {
        for text in ["", ".", "a.", ".a", "a..b", "=1", "a.=1"] {
            let error = text.parse::<ContextMatch>().unwrap_err();
            assert_eq!(error.text, text);
        }
        assert_eq!(
            "a..b".parse::<ContextMatch>().unwrap_err().to_string(),
            "`a..b` is not a path in a context such as `customer.id`, or a path and a value such as `customer.id=42`"
        );
    }

    #[test]
    fn a_period_has_its_beginning_and_not_its_end() {
        let at = Timestamp::from_micros;
        let period = Period {
            after: Some(at(3)),
            before: Some(at(5)),
        };
        let has: Vec<i64> = (0..9).filter(|micros| period.has(at(*micros))).collect();
        assert_eq!(has, [3, 4]);
        assert!(Period::default().has(at(i64::MIN)));
    }

    #[test]
    fn a_later_place_is_smaller_in_a_descending_list() {
        let mark = |value, place| TaskMark { value, place };
        assert!(mark(1, 9).follows(mark(2, 1), SortOrder::Descending));
        assert!(mark(2, 1).follows(mark(2, 2), SortOrder::Descending));
        assert!(!mark(2, 2).follows(mark(2, 2), SortOrder::Descending));
        assert!(mark(2, 2).follows(mark(2, 1), SortOrder::Ascending));
        assert!(!mark(2, 2).follows(mark(2, 2), SortOrder::Ascending));
    }
}
