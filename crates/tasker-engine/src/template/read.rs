//! From a tree to a draft: which keys there are, of which type, under which spelling.

use std::collections::BTreeMap;

use serde_json::Value;
use tasker_types::{EventDefinition, nearest};

use super::check::{DraftStep, check_retry_limit, check_timeout, merge};
use super::document::{Marked, Node};
use super::faults::Findings;

/// A template whose keys are known and typed, and whose meaning is not checked yet.
#[derive(Clone, Debug, Default)]
pub(super) struct Draft {
    pub(super) namespace: Option<Marked<String>>,
    pub(super) name: Option<Marked<String>>,
    pub(super) version: Option<Marked<String>>,
    pub(super) description: Option<String>,
    pub(super) default_dependent_system: Option<Marked<String>>,
    pub(super) context_schema: Option<Marked<Value>>,
    pub(super) result: Option<Marked<String>>,
    pub(super) directory: Option<String>,
    pub(super) named_steps: Option<Marked<Vec<String>>>,
    pub(super) steps: Vec<DraftStep>,
    pub(super) steps_line: Option<u64>,
    /// Whether there is something under `steps` that is not among them because it is wrong.
    pub(super) steps_faulty: bool,
}

/// A key, the original's other spellings of it, and where it may stand.
pub(super) type KnownKey = (&'static str, &'static [&'static str]);

pub(super) const TEMPLATE_KEYS: &[KnownKey] = &[
    ("namespace", &["namespace_name"]),
    ("name", &[]),
    ("version", &[]),
    ("description", &[]),
    ("default_dependent_system", &[]),
    ("context_schema", &["schema"]),
    ("result", &[]),
    ("steps", &["step_templates"]),
    ("environments", &[]),
    ("named_steps", &[]),
    ("task_handler_class", &[]),
];

pub(super) const STEP_KEYS: &[KnownKey] = &[
    ("name", &[]),
    ("description", &[]),
    ("handler", &["handler_class"]),
    ("config", &["handler_config"]),
    ("depends_on", &["depends_on_steps", "depends_on_step"]),
    ("dependent_system", &[]),
    ("retryable", &["default_retryable"]),
    ("retry_limit", &["default_retry_limit"]),
    ("timeout_seconds", &[]),
    ("skippable", &[]),
    ("events", &["custom_events"]),
];

pub(super) const OVERRIDE_KEYS: &[KnownKey] = &[
    ("name", &[]),
    ("config", &["handler_config"]),
    ("retryable", &["default_retryable"]),
    ("retry_limit", &["default_retry_limit"]),
    ("timeout_seconds", &[]),
];

pub(super) const ENVIRONMENT_KEYS: &[KnownKey] = &[("steps", &["step_templates"])];

pub(super) const EVENT_KEYS: &[KnownKey] = &[("name", &[]), ("description", &[])];

/// The fields of one table, by the names that we use.
struct Fields<'a> {
    what: String,
    line: Option<u64>,
    values: Vec<(&'static str, &'a Marked<String>, &'a Marked<Node>)>,
}

impl<'a> Fields<'a> {
    /// Finds the known keys of a table, and reports the others.
    fn of(
        node: &'a Node,
        line: Option<u64>,
        what: impl Into<String>,
        known: &[KnownKey],
        findings: &mut Findings,
    ) -> Option<Self> {
        let what = what.into();
        let Node::Map(entries) = node else {
            findings.fault(
                line,
                "wrong_type",
                format!("{what} must be a table of keys, but it is {}", node.kind()),
            );
            return None;
        };
        let mut fields = Self {
            what,
            line,
            values: Vec::new(),
        };
        for (key, value) in entries {
            let spelled = key.value.as_str();
            match known
                .iter()
                .find(|(name, others)| *name == spelled || others.contains(&spelled))
            {
                Some((name, _)) => fields.add(name, key, value, findings),
                None => {
                    let names = known.iter().map(|(name, _)| *name);
                    let advice = match nearest(spelled, names.clone()) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("the keys are `{}`", names.collect::<Vec<_>>().join("`, `")),
                    };
                    let message = format!("{} has the unknown key `{spelled}`; {advice}", fields.what);
                    findings.fault(key.line, "unknown_key", message);
                }
            }
        }
        Some(fields)
    }

    fn add(
        &mut self,
        name: &'static str,
        key: &'a Marked<String>,
        value: &'a Marked<Node>,
        findings: &mut Findings,
    ) {
        if let Some((_, before, _)) = self.values.iter().find(|(known, _, _)| *known == name) {
            // The same key twice is reported for the document as a whole.
            if before.value != key.value {
                findings.fault(
                    key.line,
                    "two_spellings",
                    format!(
                        "{} has both `{}` and `{}`; keep `{name}`",
                        self.what, before.value, key.value
                    ),
                );
            }
            return;
        }
        self.values.push((name, key, value));
    }

    fn get(&self, name: &str) -> Option<(&'a Marked<String>, &'a Marked<Node>)> {
        self.values
            .iter()
            .find(|(known, _, _)| *known == name)
            .map(|(_, key, value)| (*key, *value))
    }

    /// Reads one field; a value of the wrong type is reported, one that is empty counts as absent.
    fn read<T>(
        &self,
        name: &str,
        must_be: &str,
        findings: &mut Findings,
        convert: impl FnOnce(&Node) -> Option<T>,
    ) -> Option<Marked<T>> {
        let (key, value) = self.get(name)?;
        if value.value.is_null() {
            return None;
        }
        let converted = convert(&value.value);
        if converted.is_none() {
            let message = format!(
                "`{}` of {} must be {must_be}, but it is {}",
                key.value,
                self.what,
                value.value.kind()
            );
            findings.fault(value.line.or(key.line), "wrong_type", message);
        }
        converted.map(|converted| Marked {
            value: converted,
            line: value.line.or(key.line),
        })
    }

    fn text(&self, name: &str, findings: &mut Findings) -> Option<Marked<String>> {
        self.read(name, "a text", findings, text)
    }

    fn truth(&self, name: &str, findings: &mut Findings) -> Option<bool> {
        self.read(name, "`true` or `false`", findings, |node| match node {
            Node::Scalar(Value::Bool(value)) => Some(*value),
            _ => None,
        })
        .map(|marked| marked.value)
    }

    fn whole(&self, name: &str, findings: &mut Findings) -> Option<Marked<i64>> {
        self.read(name, "a whole number", findings, |node| match node {
            Node::Scalar(Value::Number(number)) => number.as_i64(),
            _ => None,
        })
    }

    fn number(&self, name: &str, findings: &mut Findings) -> Option<Marked<f64>> {
        self.read(name, "a number", findings, |node| match node {
            Node::Scalar(Value::Number(number)) => number.as_f64(),
            _ => None,
        })
    }

    fn list(&self, name: &str, findings: &mut Findings) -> Option<(Option<u64>, &'a [Marked<Node>])> {
        let (key, value) = self.get(name)?;
        match &value.value {
            Node::Scalar(Value::Null) => None,
            Node::List(items) => Some((key.line, items)),
            other => {
                let message = format!(
                    "`{}` of {} must be a list, but it is {}",
                    key.value,
                    self.what,
                    other.kind()
                );
                findings.fault(value.line, "wrong_type", message);
                None
            }
        }
    }

    /// Reads a list of names; one name alone is a list of one.
    fn names(&self, name: &str, findings: &mut Findings) -> Vec<Marked<String>> {
        let Some((key, value)) = self.get(name) else {
            return Vec::new();
        };
        let items: Vec<&Marked<Node>> = match &value.value {
            Node::Scalar(Value::Null) => Vec::new(),
            Node::List(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut names = Vec::new();
        for item in items {
            match text(&item.value) {
                Some(name) => names.push(Marked {
                    value: name,
                    line: item.line,
                }),
                None => findings.fault(
                    item.line,
                    "wrong_type",
                    format!(
                        "`{}` of {} must name steps, but there is {}",
                        key.value,
                        self.what,
                        item.value.kind()
                    ),
                ),
            }
        }
        names
    }
}

fn text(node: &Node) -> Option<String> {
    match node {
        Node::Scalar(Value::String(text)) => Some(text.clone()),
        _ => None,
    }
}

/// Reads a template, with the overrides of an environment applied.
pub(super) fn read(node: &Node, environment: Option<&str>, findings: &mut Findings) -> Option<Draft> {
    let fields = Fields::of(node, None, "the template", TEMPLATE_KEYS, findings)?;
    let mut draft = Draft {
        namespace: fields.text("namespace", findings),
        name: fields.text("name", findings),
        version: fields.read(
            "version",
            "a text such as \"1.2.0\", in quotes if it has only one dot",
            findings,
            text,
        ),
        description: fields.text("description", findings).map(|marked| marked.value),
        default_dependent_system: fields.text("default_dependent_system", findings),
        context_schema: fields.read("context_schema", "a JSON Schema, a table", findings, |node| {
            matches!(node, Node::Map(_)).then(|| node.to_value())
        }),
        result: fields.text("result", findings),
        ..Draft::default()
    };
    if let Some((key, _)) = fields.get("task_handler_class") {
        findings.warning(
            key.line,
            "ignored_key",
            "`task_handler_class` means nothing here and is ignored; remove it",
        );
    }
    if let Some((line, _)) = fields.list("named_steps", findings) {
        let names = fields
            .names("named_steps", findings)
            .into_iter()
            .map(|name| name.value)
            .collect();
        draft.named_steps = Some(Marked { value: names, line });
    }
    if let Some((line, items)) = fields.list("steps", findings) {
        draft.steps_line = line;
        draft.steps.extend(
            items
                .iter()
                .enumerate()
                .filter_map(|(index, item)| read_step(item, index, findings)),
        );
        draft.steps_faulty = draft.steps.len() < items.len();
    } else {
        draft.steps_faulty = fields
            .get("steps")
            .is_some_and(|(_, steps)| !steps.value.is_null());
    }
    read_environments(&fields, environment, &mut draft, findings);
    Some(draft)
}

fn read_step(item: &Marked<Node>, index: usize, findings: &mut Findings) -> Option<DraftStep> {
    let what = step_label(&item.value, index);
    let fields = Fields::of(&item.value, item.line, what.clone(), STEP_KEYS, findings)?;
    let defaults = DraftStep::default();
    let Some(name) = fields.text("name", findings) else {
        // One of a wrong type has its fault already.
        if fields.get("name").is_none_or(|(_, name)| name.value.is_null()) {
            findings.fault(
                fields.line,
                "missing_name",
                format!("{what} has no `name`; give it one"),
            );
        }
        return None;
    };
    Some(DraftStep {
        name,
        line: item.line,
        description: fields.text("description", findings).map(|marked| marked.value),
        handler: fields.text("handler", findings),
        config: fields.read("config", "a table", findings, |node| {
            matches!(node, Node::Map(_)).then(|| node.to_value())
        }),
        depends_on: fields.names("depends_on", findings),
        dependent_system: fields.text("dependent_system", findings),
        retryable: fields.truth("retryable", findings).unwrap_or(defaults.retryable),
        retry_limit: fields
            .whole("retry_limit", findings)
            .unwrap_or(defaults.retry_limit),
        timeout_seconds: fields.number("timeout_seconds", findings),
        skippable: fields.truth("skippable", findings).unwrap_or(defaults.skippable),
        events: read_events(&fields, findings),
    })
}

/// Says which step is meant, by its name if it has one.
fn step_label(node: &Node, index: usize) -> String {
    if let Node::Map(entries) = node
        && let Some((
            _,
            Marked {
                value: Node::Scalar(Value::String(name)),
                ..
            },
        )) = entries.iter().find(|(key, _)| key.value == "name")
    {
        return format!("step `{name}`");
    }
    format!("step {} of the list", index + 1)
}

fn read_events(fields: &Fields<'_>, findings: &mut Findings) -> Vec<Marked<EventDefinition>> {
    let Some((_, items)) = fields.list("events", findings) else {
        return Vec::new();
    };
    let mut events = Vec::new();
    for item in items {
        let what = format!("an event of {}", fields.what);
        let Some(event) = Fields::of(&item.value, item.line, what.clone(), EVENT_KEYS, findings) else {
            continue;
        };
        match event.text("name", findings) {
            Some(name) => {
                let description = event.text("description", findings).map(|marked| marked.value);
                events.push(name.map(|name| EventDefinition { name, description }));
            }
            None => findings.fault(
                item.line,
                "missing_name",
                format!("{what} has no `name`; give it one"),
            ),
        }
    }
    events
}

fn read_environments(
    fields: &Fields<'_>,
    environment: Option<&str>,
    draft: &mut Draft,
    findings: &mut Findings,
) {
    let Some((_, environments)) = fields.get("environments") else {
        return;
    };
    let entries = match &environments.value {
        Node::Map(entries) => entries,
        Node::Scalar(Value::Null) => return,
        other => {
            let message = format!(
                "`environments` must be a table by name, but it is {}",
                other.kind()
            );
            findings.fault(environments.line, "wrong_type", message);
            return;
        }
    };
    let numbers: BTreeMap<String, usize> = draft
        .steps
        .iter()
        .enumerate()
        .rev()
        .map(|(number, step)| (step.name.value.clone(), number))
        .collect();
    for (name, node) in entries {
        let what = format!("environment `{}`", name.value);
        let Some(fields) = Fields::of(&node.value, name.line, what, ENVIRONMENT_KEYS, findings) else {
            continue;
        };
        let Some((_, items)) = fields.list("steps", findings) else {
            continue;
        };
        for (index, item) in items.iter().enumerate() {
            let change = read_override(item, index, &name.value, &numbers, findings);
            if let (true, Some(change)) = (environment == Some(name.value.as_str()), change) {
                change.apply(&mut draft.steps);
            }
        }
    }
}

/// What an environment changes about one step.
struct Override {
    step: usize,
    config: Option<Marked<Value>>,
    retryable: Option<bool>,
    retry_limit: Option<Marked<i64>>,
    timeout_seconds: Option<Marked<f64>>,
}

impl Override {
    fn apply(self, steps: &mut [DraftStep]) {
        let step = &mut steps[self.step];
        if let Some(change) = self.config {
            let base = step
                .config
                .take()
                .map_or_else(|| Value::Object(serde_json::Map::new()), |base| base.value);
            step.config = Some(change.map(|change| merge(base, change)));
        }
        step.retryable = self.retryable.unwrap_or(step.retryable);
        if let Some(limit) = self.retry_limit {
            step.retry_limit = limit;
        }
        if self.timeout_seconds.is_some() {
            step.timeout_seconds = self.timeout_seconds;
        }
    }
}

fn read_override(
    item: &Marked<Node>,
    index: usize,
    environment: &str,
    numbers: &BTreeMap<String, usize>,
    findings: &mut Findings,
) -> Option<Override> {
    let what = format!(
        "{} of environment `{environment}`",
        step_label(&item.value, index)
    );
    let fields = Fields::of(&item.value, item.line, what.clone(), OVERRIDE_KEYS, findings)?;
    let Some(name) = fields.text("name", findings) else {
        findings.fault(
            fields.line,
            "missing_name",
            format!("{what} has no `name`; say which step it changes"),
        );
        return None;
    };
    let known = numbers.get(&name.value).copied();
    if known.is_none() {
        let advice = match findings.hint(&name.value, numbers.keys().map(String::as_str)) {
            Some(near) => format!("; did you mean `{near}`?"),
            None => "; name one of its steps, or remove it".to_owned(),
        };
        findings.fault(
            name.line,
            "unknown_step",
            format!(
                "environment `{environment}` changes `{}`, which is no step{advice}",
                name.value
            ),
        );
    }
    let change = Override {
        step: known.unwrap_or_default(),
        config: fields.read("config", "a table", findings, |node| {
            matches!(node, Node::Map(_)).then(|| node.to_value())
        }),
        retryable: fields.truth("retryable", findings),
        // Checked here, since an environment that is not chosen should be right, too.
        retry_limit: fields
            .whole("retry_limit", findings)
            .filter(|limit| check_retry_limit(limit, &what, findings).is_some()),
        timeout_seconds: fields
            .number("timeout_seconds", findings)
            .filter(|seconds| check_timeout(seconds, &what, findings).is_some()),
    };
    known.map(|_| change)
}
