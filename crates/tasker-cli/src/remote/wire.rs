//! What a service writes, and what it is asked in a query.

use std::collections::HashMap;

use serde::Deserialize;
use serde_json::Value;
use tasker::{Actor, BoxError, Change, Json, Snapshot, TaskFilter, TaskQuery, Template, Transition};
use tasker_server::Code;
use tasker_types::{Position, RunNo, StepState, TaskId, TaskState, Timestamp, Version};

/// How many tasks a page of a service has at most.
const PAGE: u32 = 100;

/// What a service says about a request that it does not carry out.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Refused {
    pub(super) status: u16,
    pub(super) code: String,
    pub(super) detail: String,
    pub(super) state: Option<String>,
    pub(super) event: Option<String>,
    pub(super) nearest: Option<String>,
}

impl Refused {
    /// Returns what kind of problem it is, if this program knows it.
    pub(super) fn kind(&self) -> Option<Code> {
        Code::ALL.iter().copied().find(|code| code.as_str() == self.code)
    }
}

#[derive(Debug, Deserialize)]
pub(super) struct Record {
    pub(super) snapshot: Snapshot,
    pub(super) results: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct History {
    pub(super) transitions: Vec<Entry>,
}

/// An entry of a history; steps have their names.
#[derive(Debug, Deserialize)]
pub(super) struct Entry {
    pub(super) position: Position,
    pub(super) at: Timestamp,
    pub(super) subject: String,
    pub(super) step: Option<String>,
    pub(super) from: Option<String>,
    pub(super) event: Option<String>,
    pub(super) to: Option<String>,
    pub(super) run: Option<RunNo>,
    pub(super) attempt: Option<u32>,
    pub(super) handler_version: Option<Version>,
    pub(super) ran_us: Option<u64>,
    pub(super) actor: Actor,
    pub(super) metadata: Value,
}

#[derive(Debug, Deserialize)]
pub(super) struct Tasks {
    pub(super) tasks: Vec<Listed>,
    pub(super) next_cursor: Option<String>,
    pub(super) total: Option<u64>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Listed {
    pub(super) full_name: String,
    #[serde(flatten)]
    pub(super) rest: HashMap<String, Value>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Answer {
    pub(super) intervened: Option<Done>,
    pub(super) task: Option<Stated>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Stated {
    pub(super) state: TaskState,
}

#[derive(Debug, Deserialize)]
pub(super) struct Done {
    pub(super) task_state: TaskState,
    pub(super) steps: Vec<DoneStep>,
    pub(super) ended: bool,
}

#[derive(Debug, Deserialize)]
pub(super) struct DoneStep {
    pub(super) name: String,
    pub(super) state: StepState,
}

impl Entry {
    pub(super) fn read(self, task: TaskId, template: &Template) -> Result<Transition, BoxError> {
        let step = match &self.step {
            Some(name) => {
                let known = template.step_named(name);
                Some(
                    known
                        .ok_or_else(|| format!("the template has no step `{name}`"))?
                        .0,
                )
            }
            None => None,
        };
        let missing = |what: &str| format!("an entry of the history has no `{what}`");
        let from = || self.from.as_deref().ok_or_else(|| missing("from"));
        let event = || self.event.as_deref().ok_or_else(|| missing("event"));
        let to = || self.to.as_deref().ok_or_else(|| missing("to"));
        let change = match self.subject.as_str() {
            "created" => Change::Created,
            "task" => Change::Task {
                from: from()?.parse()?,
                event: event()?.parse()?,
                to: to()?.parse()?,
            },
            "step" => Change::Step {
                step: step.ok_or_else(|| missing("step"))?,
                from: from()?.parse()?,
                event: event()?.parse()?,
                to: to()?.parse()?,
                run: self.run.ok_or_else(|| missing("run"))?,
                attempt: self.attempt.ok_or_else(|| missing("attempt"))?,
                handler_version: self.handler_version.clone(),
                ran_us: self.ran_us,
            },
            "late_outcome" => Change::LateOutcome {
                step: step.ok_or_else(|| missing("step"))?,
                run: self.run.ok_or_else(|| missing("run"))?,
            },
            "setting" => Change::Setting { step },
            other => return Err(format!("an entry of the history is about `{other}`").into()),
        };
        Ok(Transition {
            position: self.position,
            task,
            change,
            at: self.at,
            actor: self.actor,
            metadata: (!self.metadata.is_null()).then(|| Json::from(&self.metadata)),
        })
    }
}

/// Returns what the filter, the order and the place are in a query.
pub(super) fn query(wanted: &TaskQuery, cursor: Option<String>) -> Vec<(&'static str, String)> {
    let TaskFilter {
        states,
        namespace,
        name,
        version,
        initiator,
        source_system,
        tags,
        annotations,
        context,
        created,
        updated,
        id_prefix,
        within: _,
    } = &wanted.filter;
    let mut query = Vec::new();
    let mut one = |name, value: Option<String>| query.extend(value.map(|value| (name, value)));
    one("namespace", namespace.as_ref().map(ToString::to_string));
    one("name", name.as_ref().map(ToString::to_string));
    one("version", version.as_ref().map(ToString::to_string));
    one("initiator", initiator.clone());
    one("source_system", source_system.clone());
    one("created_after", created.after.map(|time| time.to_string()));
    one("created_before", created.before.map(|time| time.to_string()));
    one("updated_after", updated.after.map(|time| time.to_string()));
    one("updated_before", updated.before.map(|time| time.to_string()));
    one("id_prefix", id_prefix.clone());
    one("sort", Some(wanted.sort.as_str().to_owned()));
    one("order", Some(wanted.order.as_str().to_owned()));
    one("limit", Some(wanted.limit.min(PAGE).to_string()));
    one("cursor", cursor);
    one("total", wanted.count.then(|| "true".to_owned()));
    query.extend(states.iter().map(|state| ("state", state.to_string())));
    query.extend(tags.iter().map(|tag| ("tag", tag.clone())));
    query.extend(context.iter().map(|wanted| ("context", wanted.to_string())));
    query.extend(annotations.iter().map(|(name, value)| {
        let text = match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        ("annotation", text)
    }));
    query
}
