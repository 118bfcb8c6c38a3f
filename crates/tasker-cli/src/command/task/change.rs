//! `tasker task change`.

use serde::Serialize;
use tasker::{Demand, Description, Intervention, Origin, StoreError, Tasker};
use tasker_types::{TaskId, TaskState};

use crate::args::Change;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::text::printable;

/// A changed task, as it is written.
#[derive(Debug, Serialize)]
struct Changed {
    task_id: TaskId,
    state: TaskState,
    priority: i16,
    origin: Origin,
}

/// Changes a task's priority and what is said about it, and shows both.
pub(super) async fn run(session: &Session, tasker: &Tasker, arguments: &Change) -> Result<Exit, Problem> {
    let task = session.find(tasker, &arguments.task).await?;
    let demands = [
        Some(Demand::Describe(description(arguments))).filter(|_| !description(arguments).is_empty()),
        arguments.priority.map(Demand::SetPriority),
    ];
    let demands = demands.into_iter().flatten().collect();
    let intervention = Intervention::all(task, demands, session.actor()).because(arguments.reason.clone());
    tasker.store().intervene(intervention).await?;
    let snapshot = tasker.store().snapshot(task).await?;
    let record = snapshot.ok_or(StoreError::UnknownTask { task })?.task;
    let changed = Changed {
        task_id: task,
        state: record.state,
        priority: record.priority,
        origin: record.origin,
    };
    session
        .output()
        .result(&changed, || text(&changed, session.output()))?;
    Ok(Exit::Done)
}

fn description(arguments: &Change) -> Description {
    let mut description = Description::new();
    if arguments.no_tags || !arguments.tag.is_empty() {
        description = description.tags(arguments.tag.iter().cloned());
    }
    for (name, value) in &arguments.annotation {
        description = description.annotate(name, value.clone());
    }
    for name in &arguments.without {
        description = description.without(name);
    }
    match &arguments.task_reason {
        Some(reason) => description.reason(reason),
        None => description,
    }
}

fn text(changed: &Changed, output: Output) -> String {
    if output == Output::Quiet {
        return String::new();
    }
    let mut text = format!("task {} has priority {}\n", changed.task_id, changed.priority);
    for (name, value) in said(&changed.origin) {
        text.push_str(&format!("  {name:10}  {}\n", printable(&value)));
    }
    text
}

/// Returns what is said about a task, in lines: a name, and a value.
pub(super) fn said(origin: &Origin) -> Vec<(&'static str, String)> {
    let mut lines = Vec::new();
    if let Some(reason) = &origin.reason {
        lines.push(("reason", reason.clone()));
    }
    if !origin.tags.is_empty() {
        lines.push(("tags", origin.tags.join(", ")));
    }
    for (name, value) in &origin.annotations {
        lines.push(("annotation", format!("{name}={value}")));
    }
    lines
}
