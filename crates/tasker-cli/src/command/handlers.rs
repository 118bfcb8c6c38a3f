//! `tasker handlers`: what steps can use, and the templates that can be named.

use serde::Serialize;
use serde_json::Value;
use tasker::{SecretNames, Tasker, Template};
use tasker_types::Telemetry;

use crate::exit::{Exit, Fault, Problem};
use crate::locate;
use crate::output::{Output, Table};
use crate::session::Session;

/// What there is.
#[derive(Debug, Serialize)]
struct Listed {
    step_handlers: Vec<StepHandler>,
    templates: Vec<ListedTemplate>,
    events: Vec<ListedEvent>,
    faults: Vec<Fault>,
}

#[derive(Debug, Serialize)]
struct StepHandler {
    namespace: Option<String>,
    name: String,
    version: String,
}

#[derive(Debug, Serialize)]
struct ListedTemplate {
    namespace: String,
    name: String,
    version: String,
    file: String,
    description: Option<String>,
    steps: Vec<ListedStep>,
}

#[derive(Debug, Serialize)]
struct ListedStep {
    name: String,
    handler: String,
    /// Without its secrets: those of the configuration's names, and those of HTTP.
    config: Value,
}

/// A custom event, and who declares it.
#[derive(Debug, Serialize)]
struct ListedEvent {
    name: String,
    description: Option<String>,
    declared_by: Vec<String>,
}

/// Lists them.
pub(super) fn run(session: &Session) -> Result<Exit, Problem> {
    let tasker = session.without_store()?;
    let mut listed = Listed {
        step_handlers: step_handlers(&tasker),
        templates: Vec::new(),
        events: Vec::new(),
        faults: Vec::new(),
    };
    if let Some(directory) = locate::directory(&tasker) {
        for (path, loaded) in locate::all(&tasker, &directory)? {
            match loaded {
                Ok(loaded) => listed.templates.push(template(
                    &path.display().to_string(),
                    &loaded.template,
                    tasker.config().telemetry(),
                )),
                Err(faults) => listed.faults.extend(faults.as_slice().iter().map(Fault::from)),
            }
        }
    }
    listed.events = events(&tasker);
    let directory = locate::directory(&tasker).map(|directory| directory.display().to_string());
    session
        .output()
        .result(&listed, || text(&listed, directory.as_deref(), session))?;
    Ok(Exit::Done)
}

/// Returns the handlers that steps can use in this program; the built-in ones serve every namespace.
fn step_handlers(tasker: &Tasker) -> Vec<StepHandler> {
    let built_in = tasker.built_in_handlers().map(|(name, version)| StepHandler {
        namespace: None,
        name: name.to_owned(),
        version: version.to_string(),
    });
    let registry = tasker.registry().snapshot();
    let namespaces = registry.namespaces();
    let registered = namespaces
        .iter()
        .flat_map(|namespace| registry.list(namespace).unwrap_or_default());
    let registered = registered.map(|entry| StepHandler {
        namespace: Some(entry.namespace.to_string()),
        name: entry.name.to_string(),
        version: entry.version.to_string(),
    });
    built_in.chain(registered).collect()
}

/// Returns the custom events that handlers and the listed templates declare.
fn events(tasker: &Tasker) -> Vec<ListedEvent> {
    let events = tasker.registry().events().into_iter();
    let listed = events.map(|entry| ListedEvent {
        name: entry.event.name.to_string(),
        description: entry.event.description,
        declared_by: entry.declared_by.iter().map(ToString::to_string).collect(),
    });
    listed.collect()
}

fn template(file: &str, template: &Template, telemetry: &Telemetry) -> ListedTemplate {
    let secrets = SecretNames::of(telemetry);
    let steps = template.steps().iter().map(|step| ListedStep {
        name: step.name().to_string(),
        handler: step.handler().to_string(),
        config: secrets.masked(step.config()),
    });
    ListedTemplate {
        namespace: template.namespace().to_string(),
        name: template.name().to_string(),
        version: template.version().to_string(),
        file: file.to_owned(),
        description: template.description().map(str::to_owned),
        steps: steps.collect(),
    }
}

fn text(listed: &Listed, directory: Option<&str>, session: &Session) -> String {
    let mut table = Table::new(&["HANDLER", "VERSION", "NAMESPACE"]);
    for handler in &listed.step_handlers {
        let namespace = handler
            .namespace
            .clone()
            .unwrap_or_else(|| "every one".to_owned());
        table.row([handler.name.clone(), handler.version.clone(), namespace]);
    }
    let mut text = table.render(session.layout());
    if !listed.templates.is_empty() {
        let mut table = Table::new(&["TEMPLATE", "STEPS", "FILE"]);
        for template in &listed.templates {
            let name = format!("{}.{}@{}", template.namespace, template.name, template.version);
            table.row([name, template.steps.len().to_string(), template.file.clone()]);
        }
        text.push('\n');
        text.push_str(&table.render(session.layout()));
    }
    if !listed.events.is_empty() {
        let mut table = Table::new(&["EVENT", "DESCRIPTION", "DECLARED BY"]);
        for event in &listed.events {
            let description = event.description.clone().unwrap_or_default();
            table.row([event.name.clone(), description, event.declared_by.join(", ")]);
        }
        text.push('\n');
        text.push_str(&table.render(session.layout()));
    }
    for fault in &listed.faults {
        text.push_str(&format!("{fault}\n"));
    }
    if directory.is_none() && session.output() == Output::Text {
        text.push_str("\nno templates are listed, since `engine.task_config_directory` is not set\n");
    }
    text
}
