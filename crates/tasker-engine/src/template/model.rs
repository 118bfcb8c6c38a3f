//! What a template is.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::{Map, Value, json};
use tasker_graph::Dag;
use tasker_types::{
    CustomEvent, EventDefinition, HandlerRef, Limits, LimitsValues, Namespace, ParameterName, StepName,
    StepNo, TemplateName, Version,
};

use super::check::{CheckHandler, CheckedStep, DraftStep, HandlerProblem, check};
use super::document::{Marked, Node};
use super::faults::{Findings, TemplateFaults};
use super::load::{LoadOptions, Loaded, finish};
use super::read::{Draft, read};

/// A named, versioned DAG of steps. One that exists is valid.
#[derive(Clone)]
pub struct Template {
    pub(super) namespace: Namespace,
    pub(super) name: TemplateName,
    pub(super) version: Version,
    pub(super) description: Option<String>,
    pub(super) default_dependent_system: Option<ParameterName>,
    pub(super) context_schema: Option<Value>,
    pub(super) result: Option<StepNo>,
    pub(super) directory: Option<String>,
    pub(super) steps: Vec<StepTemplate>,
    pub(super) dag: Dag,
    pub(super) numbers: BTreeMap<StepName, StepNo>,
}

/// One step of a template.
#[derive(Clone, Debug, PartialEq)]
pub struct StepTemplate {
    pub(super) name: StepName,
    pub(super) description: Option<String>,
    pub(super) handler: HandlerRef,
    pub(super) config: Value,
    pub(super) depends_on: Vec<StepNo>,
    pub(super) dependent_system: Option<ParameterName>,
    pub(super) retryable: bool,
    pub(super) retry_limit: u32,
    pub(super) timeout: Option<Duration>,
    pub(super) skippable: bool,
    pub(super) events: Vec<CustomEvent>,
}

impl Template {
    /// Begins a template in code. It goes through the same checks as a file.
    ///
    /// ```
    /// use tasker_engine::{StepBuilder, Template};
    ///
    /// let template = Template::builder("invoice")
    ///     .step(StepBuilder::new("fetch", "http_get"))
    ///     .step(StepBuilder::new("send", "mailer").depends_on(["fetch"]).retry_limit(5))
    ///     .build()?;
    /// assert_eq!(template.full_name(), "default_system.invoice@0.1.0");
    /// # Ok::<(), tasker_engine::TemplateFaults>(())
    /// ```
    pub fn builder(name: impl Into<String>) -> TemplateBuilder {
        TemplateBuilder {
            draft: Draft {
                name: Some(Marked::plain(name.into())),
                ..Draft::default()
            },
        }
    }

    /// Returns the namespace that owns the template.
    pub fn namespace(&self) -> &Namespace {
        &self.namespace
    }

    /// Returns the template's name.
    pub fn name(&self) -> &TemplateName {
        &self.name
    }

    /// Returns the template's version.
    pub fn version(&self) -> &Version {
        &self.version
    }

    /// Returns `namespace.name@version`.
    pub fn full_name(&self) -> String {
        format!("{}.{}@{}", self.namespace, self.name, self.version)
    }

    /// Returns what the template is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns the JSON Schema of the context.
    pub fn context_schema(&self) -> Option<&Value> {
        self.context_schema.as_ref()
    }

    /// Returns the step whose result is the task's.
    pub fn result(&self) -> Option<StepNo> {
        self.result
    }

    /// Returns the directory of the template's file, if it was loaded from one.
    pub fn directory(&self) -> Option<&str> {
        self.directory.as_deref()
    }

    /// Returns the steps, in the order in which the template lists them.
    pub fn steps(&self) -> &[StepTemplate] {
        &self.steps
    }

    /// Returns a step by its number.
    ///
    /// # Panics
    ///
    /// When there is no such step.
    pub fn step(&self, step: StepNo) -> &StepTemplate {
        &self.steps[step.0 as usize]
    }

    /// Returns a step by its name.
    pub fn step_named(&self, name: &str) -> Option<(StepNo, &StepTemplate)> {
        self.numbers.get(name).map(|number| (*number, self.step(*number)))
    }

    /// Returns the steps' graph; its nodes are the steps' numbers.
    pub fn dag(&self) -> &Dag {
        &self.dag
    }

    /// Returns the steps that wait for a step.
    pub fn children(&self, step: StepNo) -> impl Iterator<Item = StepNo> + '_ {
        self.dag
            .children(step.0 as usize)
            .iter()
            .map(|child| number(*child))
    }

    /// Returns the custom events of all steps, each once.
    pub fn events(&self) -> Vec<CustomEvent> {
        let mut events: BTreeMap<_, CustomEvent> = BTreeMap::new();
        for event in self.steps.iter().flat_map(|step| &step.events) {
            let known = events.entry(&event.name).or_insert_with(|| event.clone());
            if known.description.is_none() {
                known.description.clone_from(&event.description);
            }
        }
        events.into_values().collect()
    }

    /// Checks that these handlers can run every step, and returns the steps that they cannot.
    pub fn check_handlers(&self, handlers: &dyn CheckHandler) -> Vec<(StepNo, HandlerProblem)> {
        let mut problems = Vec::new();
        for (index, step) in self.steps.iter().enumerate() {
            let step_number = number(index);
            if let Err(problem) = self.check_config(step_number, &step.config, handlers) {
                problems.push((step_number, problem));
            }
        }
        problems
    }

    /// Checks that these handlers can run a step if it has this configuration, a JSON object.
    ///
    /// # Errors
    ///
    /// Why they cannot.
    ///
    /// # Panics
    ///
    /// When there is no such step.
    pub fn check_config(
        &self,
        step: StepNo,
        config: &Value,
        handlers: &dyn CheckHandler,
    ) -> Result<(), HandlerProblem> {
        let step = self.step(step);
        let parents: Vec<_> = step
            .depends_on
            .iter()
            .map(|parent| self.step(*parent).name.as_str())
            .collect();
        handlers.check(&CheckedStep {
            namespace: &self.namespace,
            handler: &step.handler,
            config,
            parents: &parents,
        })
    }
}

/// Returns the step number of a node.
pub(super) fn number(node: usize) -> StepNo {
    StepNo(u32::try_from(node).unwrap_or(u32::MAX))
}

impl StepTemplate {
    /// Returns the step's name.
    pub fn name(&self) -> &StepName {
        &self.name
    }

    /// Returns what the step is for.
    pub fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    /// Returns the handler that runs the step.
    pub fn handler(&self) -> &HandlerRef {
        &self.handler
    }

    /// Returns the handler's configuration, a JSON object.
    pub fn config(&self) -> &Value {
        &self.config
    }

    /// Returns the steps that this one waits for, ascending.
    pub fn depends_on(&self) -> &[StepNo] {
        &self.depends_on
    }

    /// Returns the label of the outside system that the step touches.
    pub fn dependent_system(&self) -> Option<&ParameterName> {
        self.dependent_system.as_ref()
    }

    /// Tells whether a failed attempt may be followed by another.
    pub fn retryable(&self) -> bool {
        self.retryable
    }

    /// Returns how many attempts there may be in all.
    pub fn retry_limit(&self) -> u32 {
        self.retry_limit
    }

    /// Returns how long an attempt may take.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout
    }

    /// Tells whether a request may bypass the step.
    pub fn skippable(&self) -> bool {
        self.skippable
    }

    /// Returns the events that the step may publish.
    pub fn events(&self) -> &[CustomEvent] {
        &self.events
    }
}

impl fmt::Debug for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Template({}, {} steps)", self.full_name(), self.steps.len())
    }
}

impl PartialEq for Template {
    fn eq(&self, other: &Self) -> bool {
        self.to_value() == other.to_value()
    }
}

impl Template {
    /// Returns the template as a file would say it, with every default filled in and the directory of its file.
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| {
            if !value.is_null() {
                fields.insert(key.to_owned(), value);
            }
        };
        put("namespace", json!(self.namespace));
        put("name", json!(self.name));
        put("version", json!(self.version));
        put("description", json!(self.description));
        put("default_dependent_system", json!(self.default_dependent_system));
        put("context_schema", json!(self.context_schema));
        put("result", json!(self.result.map(|step| self.step(step).name())));
        put("directory", json!(self.directory));
        put(
            "steps",
            self.steps.iter().map(|step| self.step_value(step)).collect(),
        );
        Value::Object(fields)
    }

    fn step_value(&self, step: &StepTemplate) -> Value {
        let parents: Vec<_> = step
            .depends_on
            .iter()
            .map(|parent| self.step(*parent).name())
            .collect();
        let mut fields = Map::new();
        let mut put = |key: &str, value: Value| {
            fields.insert(key.to_owned(), value);
        };
        put("name", json!(step.name));
        put("handler", json!(step.handler));
        if let Some(description) = &step.description {
            put("description", json!(description));
        }
        if step.config.as_object().is_some_and(|config| !config.is_empty()) {
            put("config", step.config.clone());
        }
        if !parents.is_empty() {
            put("depends_on", json!(parents));
        }
        if let Some(system) = &step.dependent_system {
            put("dependent_system", json!(system));
        }
        put("retryable", json!(step.retryable));
        put("retry_limit", json!(step.retry_limit));
        if let Some(timeout) = step.timeout {
            put("timeout_seconds", json!(timeout.as_secs_f64()));
        }
        put("skippable", json!(step.skippable));
        if !step.events.is_empty() {
            put("events", json!(step.events));
        }
        Value::Object(fields)
    }
}

/// Returns the limits of a template that is read back from a store: it was within those of its time, and smaller ones
/// must not make its tasks unreadable.
pub(super) fn stored_limits() -> Limits {
    let values = LimitsValues {
        steps_per_task: u32::MAX,
        ..LimitsValues::default()
    };
    Limits::try_from(values).unwrap_or_default()
}

impl Serialize for Template {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_value().serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut value = Value::deserialize(deserializer)?;
        let directory = value
            .as_object_mut()
            .and_then(|fields| fields.remove("directory"));
        let mut findings = Findings::default();
        let limits = stored_limits();
        let template = read(&Node::from_value(value), None, &mut findings).and_then(|mut draft| {
            draft.directory = directory.and_then(|directory| directory.as_str().map(ToOwned::to_owned));
            check(draft, &LoadOptions::new(&limits), &mut findings)
        });
        finish(template, findings)
            .map(|loaded| (*loaded.template).clone())
            .map_err(D::Error::custom)
    }
}

/// Builds a template in code.
#[derive(Clone, Debug)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct TemplateBuilder {
    draft: Draft,
}

impl TemplateBuilder {
    /// Sets the namespace; `default_system` without.
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.draft.namespace = Some(Marked::plain(namespace.into()));
        self
    }

    /// Returns the namespace that was set.
    pub(crate) fn declared_namespace(&self) -> Option<&str> {
        self.draft
            .namespace
            .as_ref()
            .map(|namespace| namespace.value.as_str())
    }

    /// Sets the version; `0.1.0` without.
    pub fn version(mut self, version: impl Into<String>) -> Self {
        self.draft.version = Some(Marked::plain(version.into()));
        self
    }

    /// Says what the template is for.
    pub fn description(mut self, description: impl Into<String>) -> Self {
        self.draft.description = Some(description.into());
        self
    }

    /// Sets the JSON Schema of the context.
    pub fn context_schema(mut self, schema: Value) -> Self {
        self.draft.context_schema = Some(Marked::plain(schema));
        self
    }

    /// Names the step whose result is the task's.
    pub fn result(mut self, step: impl Into<String>) -> Self {
        self.draft.result = Some(Marked::plain(step.into()));
        self
    }

    /// Adds a step.
    pub fn step(mut self, step: StepBuilder) -> Self {
        self.draft.steps.push(step.0);
        self
    }

    /// Checks everything and returns the template.
    ///
    /// # Errors
    ///
    /// All faults.
    pub fn build(self) -> Result<std::sync::Arc<Template>, TemplateFaults> {
        self.build_with(&LoadOptions::new(&Limits::default()))
            .map(|loaded| loaded.template)
    }

    /// Checks everything, handlers too if the options have them.
    ///
    /// # Errors
    ///
    /// All faults.
    pub fn build_with(self, options: &LoadOptions<'_>) -> Result<Loaded, TemplateFaults> {
        let mut findings = Findings::default();
        let template = check(self.draft, options, &mut findings);
        finish(template, findings)
    }
}

/// Builds a step in code.
#[derive(Clone, Debug)]
#[must_use = "a step does nothing until it is added to a template"]
pub struct StepBuilder(DraftStep);

impl From<&str> for StepBuilder {
    /// Begins a step that the handler of the same name runs.
    fn from(name: &str) -> Self {
        Self::new(name, name)
    }
}

impl StepBuilder {
    /// Begins a step that a handler (`[namespace.]name[@requirement]`) runs.
    pub fn new(name: impl Into<String>, handler: impl Into<String>) -> Self {
        Self(DraftStep {
            name: Marked::plain(name.into()),
            handler: Some(Marked::plain(handler.into())),
            ..DraftStep::default()
        })
    }

    /// Returns the step's name.
    pub(crate) fn name(&self) -> &str {
        &self.0.name.value
    }

    /// Returns the handler as it was named.
    pub(crate) fn handler(&self) -> &str {
        self.0.handler.as_ref().map_or("", |handler| &handler.value)
    }

    /// Names steps that this one waits for.
    pub fn depends_on(mut self, steps: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.0
            .depends_on
            .extend(steps.into_iter().map(|step| Marked::plain(step.into())));
        self
    }

    /// Sets the handler's configuration, a JSON object.
    pub fn config(mut self, config: Value) -> Self {
        self.0.config = Some(Marked::plain(config));
        self
    }

    /// Allows so many attempts in all; 3 without.
    pub fn retry_limit(mut self, attempts: u32) -> Self {
        self.0.retry_limit = Marked::plain(i64::from(attempts));
        self
    }

    /// Allows one run at most.
    pub fn not_retryable(mut self) -> Self {
        self.0.retryable = false;
        self
    }

    /// Limits the time of an attempt.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout_seconds = Some(Marked::plain(timeout.as_secs_f64()));
        self
    }

    /// Lets requests bypass the step.
    pub fn skippable(mut self) -> Self {
        self.0.skippable = true;
        self
    }

    /// Declares a custom event that the step publishes.
    pub fn event(mut self, event: impl Into<EventDefinition>) -> Self {
        self.0.events.push(Marked::plain(event.into()));
        self
    }

    /// Labels the step with the outside system that it touches.
    pub fn dependent_system(mut self, system: impl Into<String>) -> Self {
        self.0.dependent_system = Some(Marked::plain(system.into()));
        self
    }
}
