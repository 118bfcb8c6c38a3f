//! `tasker graph`: draws and checks templates, and says what holds tasks up.

mod analyze;
mod report;

use std::path::Path;

use serde::Serialize;
use tasker::{Tasker, Template, UnknownHandlers};
use tasker_graph::NodeLabel;

use crate::args::{Format, Graph};
use crate::exit::{Exit, Fault, Problem};
use crate::locate;
use crate::output::Output;
use crate::session::Session;
use crate::view::text::counted;

/// Does what a command about graphs says.
pub(super) fn run(session: &Session, arguments: Graph) -> Result<Exit, Problem> {
    let tasker = session.without_store()?;
    match arguments {
        Graph::Show { template, format } => show(session, &tasker, &template, format),
        Graph::Analyze { subject, format } => analyze::run(session, &subject, format),
        Graph::Check { templates } => check(session, &tasker, &templates),
    }
}

/// A template's graph as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    template: String,
    depth: usize,
    roots: Vec<&'a str>,
    leaves: Vec<&'a str>,
    nodes: Vec<Node<'a>>,
    edges: Vec<(&'a str, &'a str)>,
    diagram: String,
}

#[derive(Debug, Serialize)]
struct Node<'a> {
    name: &'a str,
    handler: String,
    level: u32,
    depends_on: Vec<&'a str>,
    retryable: bool,
    retry_limit: u32,
    skippable: bool,
}

fn show(session: &Session, tasker: &Tasker, argument: &str, format: Format) -> Result<Exit, Problem> {
    let path = locate::template(tasker, argument, None)?;
    let loaded = tasker.load(&path, UnknownHandlers::Warn)?;
    session.warn_all(&loaded.warnings);
    let template = &loaded.template;
    let diagram = draw(template, format);
    session
        .output()
        .result(&shown(template, diagram.clone()), || diagram)?;
    Ok(Exit::Done)
}

fn draw(template: &Template, format: Format) -> String {
    let label = |node: usize| {
        let note = template.steps().get(node).map(|step| step.handler().to_string());
        NodeLabel {
            note,
            ..NodeLabel::default()
        }
    };
    match format {
        Format::Text => template.dag().to_text(&label),
        Format::Mermaid => template.dag().to_mermaid(&label),
        Format::Dot => template.dag().to_graphviz(&label),
    }
}

fn shown(template: &Template, diagram: String) -> Shown<'_> {
    let dag = template.dag();
    let names = |nodes: &[usize]| nodes.iter().map(|node| dag.name(*node)).collect::<Vec<_>>();
    let nodes = template.steps().iter().enumerate().map(|(index, step)| Node {
        name: step.name().as_str(),
        handler: step.handler().to_string(),
        level: dag.levels()[index],
        depends_on: names(dag.parents(index)),
        retryable: step.retryable(),
        retry_limit: step.retry_limit(),
        skippable: step.skippable(),
    });
    Shown {
        template: template.full_name(),
        depth: dag
            .levels()
            .iter()
            .max()
            .map_or(0, |deepest| *deepest as usize + 1),
        roots: names(&dag.roots()),
        leaves: names(&dag.leaves()),
        nodes: nodes.collect(),
        edges: dag
            .edges()
            .map(|(from, to)| (dag.name(from), dag.name(to)))
            .collect(),
        diagram,
    }
}

/// What the check of several templates found.
#[derive(Debug, Serialize)]
struct Checked {
    templates: Vec<CheckedTemplate>,
    faults: Vec<Fault>,
    warnings: Vec<Fault>,
}

#[derive(Debug, Serialize)]
struct CheckedTemplate {
    file: String,
    name: Option<String>,
    steps: Option<usize>,
}

fn check(session: &Session, tasker: &Tasker, arguments: &[String]) -> Result<Exit, Problem> {
    let mut checked = Checked {
        templates: Vec::new(),
        faults: Vec::new(),
        warnings: Vec::new(),
    };
    for argument in arguments {
        match locate::template(tasker, argument, None) {
            Ok(path) => check_file(tasker, &path, &mut checked),
            Err(problem) => {
                checked.templates.push(CheckedTemplate {
                    file: argument.clone(),
                    name: None,
                    steps: None,
                });
                let help = problem.help.map(|help| format!("; {help}")).unwrap_or_default();
                let message = format!("{}{help}", problem.message);
                checked.faults.push(Fault {
                    file: Some(argument.clone()),
                    line: None,
                    message,
                });
            }
        }
    }
    session
        .output()
        .result(&checked, || text(&checked, session.output()))?;
    Ok(if checked.faults.is_empty() {
        Exit::Done
    } else {
        Exit::Refused
    })
}

fn check_file(tasker: &Tasker, path: &Path, checked: &mut Checked) {
    let file = path.display().to_string();
    match tasker.load(path, UnknownHandlers::Warn) {
        Ok(loaded) => {
            let template = &loaded.template;
            let (name, steps) = (Some(template.full_name()), Some(template.steps().len()));
            checked.templates.push(CheckedTemplate { file, name, steps });
            checked.warnings.extend(loaded.warnings.iter().map(Fault::from));
        }
        Err(faults) => {
            checked.templates.push(CheckedTemplate {
                file,
                name: None,
                steps: None,
            });
            checked.faults.extend(faults.as_slice().iter().map(Fault::from));
        }
    }
}

fn text(checked: &Checked, output: Output) -> String {
    let mut text = String::new();
    for fault in &checked.faults {
        text.push_str(&format!("{fault}\n"));
    }
    if output == Output::Quiet {
        return text;
    }
    for warning in &checked.warnings {
        let message = format!("warning: {}", warning.message);
        text.push_str(&format!(
            "{}\n",
            Fault {
                message,
                ..warning.clone()
            }
        ));
    }
    for template in &checked.templates {
        if let (Some(name), Some(steps)) = (&template.name, template.steps) {
            text.push_str(&format!(
                "{}: {name}, {}\n",
                template.file,
                counted(steps as u64, "step")
            ));
        }
    }
    text.push_str(&format!(
        "{}, {}, {}\n",
        counted(checked.templates.len() as u64, "template"),
        counted(checked.faults.len() as u64, "fault"),
        counted(checked.warnings.len() as u64, "warning")
    ));
    text
}
