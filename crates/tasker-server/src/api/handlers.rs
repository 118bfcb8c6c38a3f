//! What tasks can be created of: namespaces, templates with their versions, and each template in full.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker::{LookupError, SecretNames, StepTemplate, Template};
use tasker_types::{HandlerName, Namespace, Version, VersionReq};
use utoipa::{IntoParams, ToSchema};

use super::forms;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::guard::Granted;
use crate::problem::{Code, Problem};

/// The namespaces that have handlers.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Namespaces {
    namespaces: Vec<NamespaceSummary>,
    /// How many there are.
    total_count: usize,
}

/// A namespace, with how much it has.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct NamespaceSummary {
    /// The name.
    #[schema(examples("payments"))]
    name: String,
    /// How many handlers it has, whatever their versions.
    handler_count: usize,
    /// How many versions they have together.
    version_count: usize,
}

/// Lists the namespaces that have handlers, with how many
#[utoipa::path(get, path = "/handlers", tag = "handlers", responses((status = 200, body = Namespaces)))]
pub(crate) async fn namespaces(State(app): State<App>, granted: Granted) -> Json<Namespaces> {
    let namespaces: Vec<_> = app
        .templates()
        .namespaces()
        .into_iter()
        .filter(|(namespace, _)| granted.reach().touches(namespace))
        .map(|(namespace, stats)| NamespaceSummary {
            name: namespace.to_string(),
            handler_count: stats.handlers,
            version_count: stats.versions,
        })
        .collect();
    Json(Namespaces {
        total_count: namespaces.len(),
        namespaces,
    })
}

/// The handlers of a namespace.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Handlers {
    /// The namespace.
    #[schema(examples("payments"))]
    namespace: String,
    handlers: Vec<HandlerSummary>,
    /// How many there are, whatever their versions.
    total_count: usize,
}

/// A handler of tasks, and its versions.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandlerSummary {
    /// The name.
    #[schema(examples("process_refund"))]
    name: String,
    /// Its versions, ascending.
    versions: Vec<String>,
    /// The latest.
    #[schema(examples("2.1.0"))]
    latest: String,
    /// What the latest is for.
    description: Option<String>,
    /// How many steps the latest has.
    step_count: usize,
}

/// Lists the handlers of a namespace, with their versions
#[utoipa::path(get, path = "/handlers/{namespace}", tag = "handlers", params(("namespace" = inline(forms::NameText), Path, description = "The namespace.")),
    responses((status = 200, body = Handlers)))]
pub(crate) async fn index(
    State(app): State<App>,
    granted: Granted,
    Path(namespace): Path<Namespace>,
) -> Result<Json<Handlers>, Problem> {
    granted.require_in(&namespace)?;
    let mut handlers: Vec<HandlerSummary> = Vec::new();
    // By name, and of each name by version.
    for template in app.templates().list(&namespace)? {
        let version = template.version().to_string();
        match handlers.last_mut() {
            Some(last) if last.name == template.name().as_str() => last.take_later(version, &template),
            _ => {
                let mut summary = HandlerSummary {
                    name: template.name().to_string(),
                    versions: Vec::new(),
                    latest: String::new(),
                    description: None,
                    step_count: 0,
                };
                summary.take_later(version, &template);
                handlers.push(summary);
            }
        }
    }
    Ok(Json(Handlers {
        namespace: namespace.to_string(),
        total_count: handlers.len(),
        handlers,
    }))
}

impl HandlerSummary {
    fn take_later(&mut self, version: String, template: &Template) {
        self.latest.clone_from(&version);
        self.versions.push(version);
        self.description = template.description().map(str::to_owned);
        self.step_count = template.steps().len();
    }
}

/// Which version is asked for.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Wanted {
    /// A version such as `2.1.0`, or a requirement such as `^2`; by default the latest.
    #[param(value_type = Option<forms::VersionRequirement>, inline, example = "2.1.0")]
    version: Option<String>,
}

/// A handler in full.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandlerAnswer {
    handler: Handler,
}

/// A handler of tasks: its template with every default filled in, and its graph.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Handler {
    /// The namespace.
    #[schema(examples("payments"))]
    namespace: String,
    /// The name.
    #[schema(examples("process_refund"))]
    name: String,
    /// The version.
    #[schema(examples("2.1.0"))]
    version: String,
    /// `namespace.name@version`.
    #[schema(examples("payments.process_refund@2.1.0"))]
    full_name: String,
    /// Every version that there is, ascending.
    versions: Vec<String>,
    /// What it is for.
    description: Option<String>,
    /// The JSON Schema of a task's context.
    context_schema: Option<Value>,
    /// The step whose result is that of the task.
    result: Option<String>,
    /// The steps, in the order of the template.
    steps: Vec<HandlerStep>,
    dependency_graph: DependencyGraph,
}

/// A step of a handler.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HandlerStep {
    /// The name.
    name: String,
    /// What it is for.
    description: Option<String>,
    /// What runs it.
    handler: String,
    /// The configuration of what runs it, without secrets.
    config: Value,
    /// The steps that it waits for.
    depends_on: Vec<String>,
    /// The outside system that it touches.
    dependent_system: Option<String>,
    /// Whether a failed attempt may be followed by another.
    retryable: bool,
    /// How many attempts there may be in all.
    retry_limit: u32,
    /// How long an attempt may take.
    timeout_seconds: Option<f64>,
    /// Whether a request may bypass it.
    skippable: bool,
    /// The events that it may publish.
    events: Vec<String>,
}

/// What comes after what.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DependencyGraph {
    /// The steps.
    nodes: Vec<String>,
    /// Each dependency.
    edges: Vec<Edge>,
    /// Every step after those that it depends on.
    topological_order: Vec<String>,
    /// The steps by how far they are from a root at most.
    levels: Vec<Vec<String>>,
    /// Steps that depend on none.
    roots: Vec<String>,
    /// Steps that none depends on.
    leaves: Vec<String>,
}

/// A dependency: one step before another.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Edge {
    /// The step that comes first.
    from: String,
    /// The step that waits for it.
    to: String,
}

/// Shows a handler in full: its steps, their settings and the graph
#[utoipa::path(get, path = "/handlers/{namespace}/{name}", tag = "handlers",
    params(("namespace" = inline(forms::NameText), Path, description = "The namespace."), ("name" = inline(forms::NameText), Path, description = "The handler's name."), Wanted),
    responses((status = 200, body = HandlerAnswer)))]
pub(crate) async fn show(
    State(app): State<App>,
    granted: Granted,
    Path((namespace, name)): Path<(Namespace, HandlerName)>,
    Query(wanted): Query<Wanted>,
) -> Result<Json<HandlerAnswer>, Problem> {
    granted.require_in(&namespace)?;
    let requirement = wanted.version.as_deref().map(requirement).transpose()?;
    let template = app.templates().find(&namespace, &name, requirement.as_ref())?;
    let all = app.templates().list(&namespace)?;
    let versions = all.iter().filter(|other| other.name() == template.name());
    let versions = versions.map(|other| other.version().to_string()).collect();
    let secrets = SecretNames::of(app.tasker().config().telemetry());
    Ok(Json(HandlerAnswer {
        handler: Handler::new(&template, versions, &secrets),
    }))
}

/// Reads a version, which means that one and no later one, or a requirement.
pub(crate) fn requirement(text: &str) -> Result<VersionReq, Problem> {
    let exact = text.parse::<Version>().ok().map(|version| format!("={version}"));
    exact.as_deref().unwrap_or(text).parse().map_err(|_| {
        let detail = format!(
            "`{}` is no version such as `2.1.0` and no requirement such as `^2`",
            text.escape_debug()
        );
        Problem::new(Code::InvalidQuery, detail)
    })
}

impl Handler {
    fn new(template: &Arc<Template>, versions: Vec<String>, secrets: &SecretNames) -> Self {
        Self {
            namespace: template.namespace().to_string(),
            name: template.name().to_string(),
            version: template.version().to_string(),
            full_name: template.full_name(),
            versions,
            description: template.description().map(str::to_owned),
            context_schema: template.context_schema().cloned(),
            result: template
                .result()
                .map(|step| template.step(step).name().to_string()),
            steps: template
                .steps()
                .iter()
                .map(|step| HandlerStep::new(template, step, secrets))
                .collect(),
            dependency_graph: DependencyGraph::new(template),
        }
    }
}

impl HandlerStep {
    fn new(template: &Template, step: &StepTemplate, secrets: &SecretNames) -> Self {
        let parents = step.depends_on().iter();
        Self {
            name: step.name().to_string(),
            description: step.description().map(str::to_owned),
            handler: step.handler().to_string(),
            config: secrets.masked(step.config()),
            depends_on: parents
                .map(|parent| template.step(*parent).name().to_string())
                .collect(),
            dependent_system: step.dependent_system().map(ToString::to_string),
            retryable: step.retryable(),
            retry_limit: step.retry_limit(),
            timeout_seconds: step.timeout().map(|timeout| timeout.as_secs_f64()),
            skippable: step.skippable(),
            events: step.events().iter().map(|event| event.name.to_string()).collect(),
        }
    }
}

impl DependencyGraph {
    fn new(template: &Template) -> Self {
        let dag = template.dag();
        let name = |step: usize| template.steps()[step].name().to_string();
        let named = |steps: Vec<usize>| steps.into_iter().map(name).collect();
        let all = 0..template.steps().len();
        let mut levels: Vec<Vec<String>> = Vec::new();
        for (step, level) in dag.levels().iter().enumerate() {
            let level = *level as usize;
            if levels.len() <= level {
                levels.resize_with(level + 1, Vec::new);
            }
            levels[level].push(name(step));
        }
        Self {
            nodes: named(all.clone().collect()),
            edges: all
                .flat_map(|from| dag.children(from).iter().map(move |to| (from, *to)))
                .map(|(from, to)| Edge {
                    from: name(from),
                    to: name(to),
                })
                .collect(),
            topological_order: named(dag.topological_order().to_vec()),
            levels,
            roots: named(dag.roots()),
            leaves: named(dag.leaves()),
        }
    }
}

impl From<LookupError> for Problem {
    fn from(error: LookupError) -> Self {
        let names = |names: &[HandlerName]| names.iter().map(ToString::to_string).collect::<Vec<_>>();
        match &error {
            LookupError::UnknownNamespace { nearest, .. } => {
                let nearest: Vec<_> = nearest.iter().map(ToString::to_string).collect();
                Self::new(Code::UnknownNamespace, error.to_string()).with("nearest", nearest)
            }
            LookupError::UnknownHandler { nearest, .. } => {
                Self::new(Code::UnknownHandler, error.to_string()).with("nearest", names(nearest))
            }
            LookupError::UnknownVersion { existing, .. }
            | LookupError::NoMatchingVersion { existing, .. } => {
                let existing: Vec<_> = existing.iter().map(ToString::to_string).collect();
                Self::new(Code::UnknownVersion, error.to_string()).with("existing", existing)
            }
            _ => Self::internal(&error),
        }
    }
}
