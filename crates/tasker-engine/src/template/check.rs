//! From a draft to a template: what the keys mean, and whether it makes sense together.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde_json::{Map, Value};
use tasker_graph::{Dag, DagError, TemplateAnalysis, TemplateStep};
use tasker_types::{
    CustomEvent, EventDefinition, HandlerRef, InvalidName, Namespace, ParameterName, StepName, StepNo,
    TemplateName, Version,
};

use super::document::{DEEPEST, Marked, too_deep};
use super::events::check_events;
use super::faults::Findings;
use super::load::LoadOptions;
use super::model::{StepTemplate, Template, number};
use super::read::Draft;
use crate::json::is_deeper;

/// Checks a template's steps against what is registered, while it is loaded.
pub trait CheckHandler: std::fmt::Debug {
    /// Checks that the handler exists and takes the configuration.
    ///
    /// # Errors
    ///
    /// What is wrong.
    fn check(&self, step: &CheckedStep<'_>) -> Result<(), HandlerProblem>;

    /// Checks that nobody else describes a custom event in another way than this template, which is given by its full
    /// name.
    ///
    /// # Errors
    ///
    /// Who does, a sentence without a full stop.
    fn check_event(&self, template: &str, event: &CustomEvent) -> Result<(), String> {
        let _ = (template, event);
        Ok(())
    }
}

/// What a handler may look at when a step that names it is checked.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct CheckedStep<'a> {
    /// The template's namespace.
    pub namespace: &'a Namespace,
    /// The handler that the step names.
    pub handler: &'a HandlerRef,
    /// The step's configuration, a JSON object.
    pub config: &'a Value,
    /// The names of the steps that it waits for.
    pub parents: &'a [&'a str],
}

/// What is wrong with a step's handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HandlerProblem {
    /// There is no such handler.
    Unknown {
        /// What is missing, and what there is instead.
        message: String,
    },
    /// The handler does not accept the configuration.
    Config {
        /// Each fault, a sentence without a full stop.
        faults: Vec<String>,
    },
    /// The handler takes results of steps that this one does not wait for.
    Parents {
        /// The names of these steps.
        missing: Vec<String>,
        /// Each fault of the configuration beside, as in [`HandlerProblem::Config`].
        config: Vec<String>,
    },
}

/// What a handler that is not known means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnknownHandlers {
    /// A fault: steps would run here.
    Refuse,
    /// A warning: steps run elsewhere.
    Warn,
}

/// A step whose keys are known and typed.
#[derive(Clone, Debug)]
pub(super) struct DraftStep {
    pub(super) name: Marked<String>,
    pub(super) line: Option<u64>,
    pub(super) description: Option<String>,
    pub(super) handler: Option<Marked<String>>,
    pub(super) config: Option<Marked<Value>>,
    pub(super) depends_on: Vec<Marked<String>>,
    pub(super) dependent_system: Option<Marked<String>>,
    pub(super) retryable: bool,
    pub(super) retry_limit: Marked<i64>,
    pub(super) timeout_seconds: Option<Marked<f64>>,
    pub(super) skippable: bool,
    pub(super) events: Vec<Marked<EventDefinition>>,
}

impl Default for DraftStep {
    fn default() -> Self {
        Self {
            name: Marked::plain(String::new()),
            line: None,
            description: None,
            handler: None,
            config: None,
            depends_on: Vec::new(),
            dependent_system: None,
            retryable: true,
            retry_limit: Marked::plain(3),
            timeout_seconds: None,
            skippable: false,
            events: Vec::new(),
        }
    }
}

/// Lays one configuration over another: tables are merged, everything else is replaced.
pub(super) fn merge(base: Value, over: Value) -> Value {
    match (base, over) {
        (Value::Object(mut base), Value::Object(over)) => {
            for (key, value) in over {
                let merged = match base.remove(&key) {
                    Some(before) => merge(before, value),
                    None => value,
                };
                base.insert(key, merged);
            }
            Value::Object(base)
        }
        (_, over) => over,
    }
}

/// Checks a draft; `None` when something is wrong with it.
pub(super) fn check(draft: Draft, options: &LoadOptions<'_>, findings: &mut Findings) -> Option<Template> {
    let namespace = match &draft.namespace {
        Some(text) => name(text, "namespace", Namespace::new, findings),
        None => Some(options.default_namespace.clone()),
    };
    let template_name = match &draft.name {
        Some(text) => name(text, "name", TemplateName::new, findings),
        None => {
            findings.fault(None, "missing_name", "the template has no `name`; give it one");
            None
        }
    };
    let version = check_version(draft.version.as_ref(), findings);
    let default_system = draft
        .default_dependent_system
        .as_ref()
        .and_then(|text| name(text, "default_dependent_system", ParameterName::new, findings));
    if let Some(schema) = &draft.context_schema {
        if is_deeper(&schema.value, DEEPEST) {
            findings.fault(schema.line, "too_deep", too_deep("`context_schema`"));
        } else if let Err(problem) = super::context::check_schema(&schema.value) {
            findings.fault(
                schema.line,
                "bad_schema",
                format!("`context_schema` is no JSON Schema: {problem}"),
            );
        }
    }
    let count = draft.steps.len();
    let limit = options.limits.steps_per_task;
    if count > limit as usize {
        findings.fault(
            draft.steps_line,
            "too_many_steps",
            format!("the template has {count} steps, but the limit is {limit}; split it, or raise `limits.steps_per_task`"),
        );
        return None;
    }
    let numbers = number_steps(&draft, findings);
    let dag = check_edges(&draft, &numbers, findings);
    check_named_steps(&draft, findings);
    let result = draft.result.as_ref().and_then(|step| {
        let found = numbers.get(step.value.as_str()).copied();
        if found.is_none() {
            unknown_step(step, "`result` names", &draft, findings);
        }
        found
    });
    let full_name = match (&namespace, &template_name, &version) {
        (Some(namespace), Some(name), Some(version)) => Some(format!("{namespace}.{name}@{version}")),
        _ => None,
    };
    let events = check_events(&draft.steps, full_name.as_deref(), options, findings);
    let steps: Vec<_> = draft
        .steps
        .iter()
        .zip(events)
        .enumerate()
        .map(|(index, (step, events))| {
            check_step(step, index, dag.as_ref(), default_system.as_ref(), findings)
                .map(|step| StepTemplate { events, ..step })
        })
        .collect();
    if let Some(namespace) = &namespace {
        check_handlers(&draft, namespace, options, findings);
    }
    if !findings.is_clean() {
        return None;
    }
    let steps: Vec<StepTemplate> = steps.into_iter().collect::<Option<_>>()?;
    let numbers = steps
        .iter()
        .enumerate()
        .map(|(index, step)| (step.name.clone(), number(index)))
        .collect();
    Some(Template {
        namespace: namespace?,
        name: template_name?,
        version: version?,
        description: draft.description,
        default_dependent_system: default_system,
        context_schema: draft.context_schema.map(|schema| schema.value),
        result,
        directory: draft.directory,
        steps,
        dag: dag?,
        numbers,
    })
}

fn name<T>(
    text: &Marked<String>,
    key: &str,
    new: impl FnOnce(&str) -> Result<T, InvalidName>,
    findings: &mut Findings,
) -> Option<T> {
    match new(&text.value) {
        Ok(name) => Some(name),
        Err(error) => {
            findings.fault(text.line, "bad_name", format!("`{key}` is no name: {error}"));
            None
        }
    }
}

fn check_version(text: Option<&Marked<String>>, findings: &mut Findings) -> Option<Version> {
    let Some(text) = text else {
        return Some(Version::new(0, 1, 0));
    };
    match text.value.parse() {
        Ok(version) => Some(version),
        Err(error) => {
            findings.fault(
                text.line,
                "bad_version",
                format!("`{}` is no semantic version such as `1.2.0`: {error}", text.value),
            );
            None
        }
    }
}

fn number_steps<'a>(draft: &'a Draft, findings: &mut Findings) -> BTreeMap<&'a str, StepNo> {
    if draft.steps.is_empty() && !draft.steps_faulty {
        findings.fault(
            draft.steps_line,
            "no_steps",
            "the template has no steps; list at least one under `steps`",
        );
    }
    let mut numbers = BTreeMap::new();
    for (index, step) in draft.steps.iter().enumerate() {
        let name = step.name.value.as_str();
        if let Some(before) = numbers.get(name).copied() {
            let StepNo(before) = before;
            let first = draft.steps[before as usize].name.line;
            let first = first.map_or(String::new(), |line| format!(" (first in line {line})"));
            findings.fault(
                step.name.line,
                "duplicate_step",
                format!("the step `{name}` is there twice{first}; rename one"),
            );
        } else {
            numbers.insert(name, number(index));
        }
    }
    numbers
}

fn unknown_step(step: &Marked<String>, says: &str, draft: &Draft, findings: &mut Findings) {
    let advice = match findings.hint(
        &step.value,
        draft.steps.iter().map(|step| step.name.value.as_str()),
    ) {
        Some(near) => format!("; did you mean `{near}`?"),
        None => "; name one of the template's steps".to_owned(),
    };
    findings.fault(
        step.line,
        "unknown_step",
        format!("{says} `{}`, which is no step{advice}", step.value),
    );
}

/// Builds the graph; `None` when an edge or a cycle is wrong.
fn check_edges(draft: &Draft, numbers: &BTreeMap<&str, StepNo>, findings: &mut Findings) -> Option<Dag> {
    let mut edges = Vec::new();
    let mut sound = true;
    for (to, step) in draft.steps.iter().enumerate() {
        let mut seen = BTreeSet::new();
        for parent in &step.depends_on {
            match numbers.get(parent.value.as_str()) {
                Some(from) if !seen.insert(*from) => {
                    let name = &step.name.value;
                    findings.warning(
                        parent.line,
                        "repeated_dependency",
                        format!("step `{name}` depends on `{}` twice; remove one", parent.value),
                    );
                }
                Some(from) => edges.push((from.0 as usize, to)),
                None => {
                    sound = false;
                    unknown_step(
                        parent,
                        &format!("step `{}` depends on", step.name.value),
                        draft,
                        findings,
                    );
                }
            }
        }
    }
    // Cycles are looked for among the dependencies that are right, even if others are not.
    let error = match Dag::build(draft.steps.iter().map(|step| &step.name.value), edges) {
        Ok(dag) => return sound.then_some(dag),
        Err(error) => error,
    };
    let place = |name: &str| {
        let step = &draft.steps[numbers.get(name).map_or(0, |number| number.0 as usize)];
        step.depends_on
            .first()
            .and_then(|parent| parent.line)
            .or(step.line)
    };
    for fault in error.faults() {
        match fault {
            DagError::SelfLoop { name } => {
                findings.fault(
                    place(name),
                    "cycle",
                    format!("step `{name}` depends on itself; remove that"),
                );
            }
            DagError::Cycles { .. } => {
                let graph = TemplateAnalysis::new(draft.steps.iter().map(written), CYCLES);
                // Steps that depend on themselves have been told of.
                for cycle in graph.cycles.iter().filter(|cycle| cycle.len() > 1) {
                    findings.fault(place(&cycle[0]), "cycle", describe_cycle(cycle));
                }
                if !graph.cycles_are_all {
                    let message = "there are more cycles than these; they show when these are gone";
                    findings.fault(draft.steps_line, "cycle", message.to_owned());
                }
            }
            // Reported where the steps were numbered.
            DagError::DuplicateName { .. } => {}
            other => findings.fault(draft.steps_line, "bad_graph", other.to_string()),
        }
    }
    None
}

/// How many cycles a report names.
const CYCLES: usize = 20;

/// Returns a step with the names of what it depends on.
fn written(step: &DraftStep) -> TemplateStep {
    TemplateStep::new(
        step.name.value.as_str(),
        step.depends_on.iter().map(|parent| parent.value.as_str()),
    )
}

/// How many steps of a cycle a message names.
const SHOWN: usize = 60;

fn describe_cycle(cycle: &[String]) -> String {
    let shown = cycle
        .iter()
        .take(SHOWN)
        .map(String::as_str)
        .collect::<Vec<_>>()
        .join(" -> ");
    let more = if cycle.len() > SHOWN {
        format!(" -> … {} more", cycle.len() - SHOWN)
    } else {
        String::new()
    };
    format!(
        "the steps wait for one another: {shown}{more} -> {}; remove one of these dependencies",
        cycle[0]
    )
}

fn check_named_steps(draft: &Draft, findings: &mut Findings) {
    let Some(named) = &draft.named_steps else { return };
    let steps: BTreeSet<&str> = draft.steps.iter().map(|step| step.name.value.as_str()).collect();
    let names: BTreeSet<&str> = named.value.iter().map(String::as_str).collect();
    let (unlisted, unknown): (Vec<_>, Vec<_>) = (
        steps.difference(&names).collect(),
        names.difference(&steps).collect(),
    );
    if !unlisted.is_empty() || !unknown.is_empty() {
        findings.fault(
            named.line,
            "named_steps",
            format!(
                "`named_steps` and the steps differ (only in `named_steps`: {unknown:?}, only in the steps: \
                 {unlisted:?}); remove `named_steps`, it is not needed"
            ),
        );
    }
}

fn check_step(
    step: &DraftStep,
    index: usize,
    dag: Option<&Dag>,
    default_system: Option<&ParameterName>,
    findings: &mut Findings,
) -> Option<StepTemplate> {
    let label = &step.name.value;
    let checked_name = match StepName::new(label) {
        Ok(name) => Some(name),
        Err(error) => {
            findings.fault(
                step.name.line,
                "bad_name",
                format!("the step's `name` is no name: {error}"),
            );
            None
        }
    };
    let handler = check_handler_ref(step, findings);
    if let Some(config) = step
        .config
        .as_ref()
        .filter(|config| is_deeper(&config.value, DEEPEST))
    {
        findings.fault(
            config.line,
            "too_deep",
            too_deep(&format!("`config` of step `{label}`")),
        );
    }
    let what = format!("step `{label}`");
    let retry_limit = check_retry_limit(&step.retry_limit, &what, findings);
    let timeout = match &step.timeout_seconds {
        None => Some(None),
        Some(seconds) => check_timeout(seconds, &what, findings).map(Some),
    };
    let dependent_system = match &step.dependent_system {
        Some(text) => name(text, "dependent_system", ParameterName::new, findings),
        None => default_system.cloned(),
    };
    Some(StepTemplate {
        name: checked_name?,
        description: step.description.clone(),
        handler: handler?,
        config: step
            .config
            .as_ref()
            .map_or_else(|| Value::Object(Map::new()), |config| config.value.clone()),
        depends_on: dag?.parents(index).iter().map(|parent| number(*parent)).collect(),
        dependent_system,
        retryable: step.retryable,
        retry_limit: retry_limit?,
        timeout: timeout?,
        skippable: step.skippable,
        events: Vec::new(),
    })
}

/// Checks how many attempts a step has; `what` says which step.
pub(super) fn check_retry_limit(limit: &Marked<i64>, what: &str, findings: &mut Findings) -> Option<u32> {
    if limit.value < 1 {
        let message = format!(
            "`retry_limit` of {what} is {}; it counts all attempts, so it is at least 1",
            limit.value
        );
        findings.fault(limit.line, "bad_retry_limit", message);
        return None;
    }
    let checked = u32::try_from(limit.value).ok();
    if checked.is_none() {
        let message = format!("`retry_limit` of {what} is larger than {}", u32::MAX);
        findings.fault(limit.line, "bad_retry_limit", message);
    }
    checked
}

/// Checks how long an attempt of a step may take; `what` says which step.
pub(super) fn check_timeout(seconds: &Marked<f64>, what: &str, findings: &mut Findings) -> Option<Duration> {
    let timeout = Duration::try_from_secs_f64(seconds.value)
        .ok()
        .filter(|limit| !limit.is_zero());
    if timeout.is_none() {
        let bound = if seconds.value > 0.0 {
            "a smaller number"
        } else {
            "a number above 0"
        };
        let message = format!(
            "`timeout_seconds` of {what} is {}; write {bound}, or leave it out",
            seconds.value
        );
        findings.fault(seconds.line, "bad_timeout", message);
    }
    timeout
}

fn check_handler_ref(step: &DraftStep, findings: &mut Findings) -> Option<HandlerRef> {
    let label = &step.name.value;
    let Some(handler) = &step.handler else {
        findings.fault(
            step.line,
            "missing_handler",
            format!("step `{label}` has no `handler`; name a registered one, or `command` or `sleep`"),
        );
        return None;
    };
    if let Some(class) = handler
        .value
        .rsplit("::")
        .next()
        .filter(|_| handler.value.contains("::"))
    {
        findings.fault(
            handler.line,
            "bad_handler",
            format!(
                "`{}` of step `{label}` is the name of a class; register a handler and write its name, for instance \
                 `{}`",
                handler.value,
                snake_case(class)
            ),
        );
        return None;
    }
    match handler.value.parse() {
        Ok(handler) => Some(handler),
        Err(error) => {
            findings.fault(
                handler.line,
                "bad_handler",
                format!("`handler` of step `{label}`: {error}"),
            );
            None
        }
    }
}

fn snake_case(class: &str) -> String {
    let mut name = String::new();
    for c in class.trim_end_matches("Handler").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name
}

fn check_handlers(draft: &Draft, namespace: &Namespace, options: &LoadOptions<'_>, findings: &mut Findings) {
    let Some(handlers) = options.handlers else { return };
    let empty = Value::Object(Map::new());
    for step in &draft.steps {
        let label = &step.name.value;
        let Some(handler) = &step.handler else { continue };
        let Ok(reference) = handler.value.parse::<HandlerRef>() else {
            continue;
        };
        let parents: Vec<&str> = step
            .depends_on
            .iter()
            .map(|parent| parent.value.as_str())
            .collect();
        let checked = CheckedStep {
            namespace,
            handler: &reference,
            config: step.config.as_ref().map_or(&empty, |config| &config.value),
            parents: &parents,
        };
        match handlers.check(&checked) {
            Ok(()) => {}
            Err(HandlerProblem::Unknown { message }) => {
                let message = format!("step `{label}`: {message}");
                match options.unknown_handlers {
                    UnknownHandlers::Refuse => findings.fault(handler.line, "unknown_handler", message),
                    UnknownHandlers::Warn => findings.warning(handler.line, "unknown_handler", message),
                }
            }
            Err(HandlerProblem::Config { faults }) => refuse_config(step, handler, &faults, findings),
            Err(HandlerProblem::Parents { missing, config }) => {
                refuse_config(step, handler, &config, findings);
                let line = step
                    .depends_on
                    .first()
                    .and_then(|parent| parent.line)
                    .or(handler.line);
                for parent in missing {
                    let message = format!(
                        "the handler `{}` of step `{label}` takes the result of `{parent}`; add it to `depends_on`",
                        handler.value
                    );
                    findings.fault(line, "undeclared_parent", message);
                }
            }
        }
    }
}

fn refuse_config(step: &DraftStep, handler: &Marked<String>, faults: &[String], findings: &mut Findings) {
    let line = step
        .config
        .as_ref()
        .and_then(|config| config.line)
        .or(handler.line);
    for fault in faults {
        findings.fault(
            line,
            "bad_config",
            format!("`config` of step `{}`: {fault}", step.name.value),
        );
    }
}
