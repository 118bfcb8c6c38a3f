//! `tasker task show`.

use serde::Serialize;
use tasker::{Actor, Change, Json, Origin, Snapshot, StoreError, TaskReport, Tasker, Template, Transition};
use tasker_types::{Position, RunNo, StepNo, TaskId, Timestamp, Version};

use crate::args::Show;
use crate::exit::{Exit, Problem};
use crate::output::{Output, Table};
use crate::session::Session;
use crate::view::follow::model_of;
use crate::view::plain::{Detail, line, time};
use crate::view::render::{detail, state_word, style, task_style};
use crate::view::terminal::Layout;
use crate::view::text::{Line, Style, counted, cut, duration};

/// Where there is no terminal to fit, a context is cut to so many columns.
const CONTEXT_COLUMNS: usize = 100;

/// A task as `--json` shows it.
#[derive(Debug, Serialize)]
struct Shown<'a> {
    #[serde(flatten)]
    report: &'a TaskReport,
    context: &'a Json,
    priority: i16,
    idempotency_key: Option<&'a str>,
    origin: &'a Origin,
    parent_task_id: Option<TaskId>,
    parent_step: Option<&'a str>,
    root_task_id: Option<TaskId>,
    start_at: Option<Timestamp>,
    deadline_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    history: Option<Vec<Entry<'a>>>,
}

/// An entry of the history as `--json` shows it: steps have their names.
#[derive(Debug, Default, Serialize)]
pub(super) struct Entry<'a> {
    position: Position,
    at: Timestamp,
    subject: &'static str,
    step: Option<&'a str>,
    from: Option<&'static str>,
    event: Option<&'static str>,
    to: Option<&'static str>,
    run: Option<RunNo>,
    attempt: Option<u32>,
    handler_version: Option<&'a Version>,
    ran_us: Option<u64>,
    actor: Option<&'a Actor>,
    metadata: Option<&'a Json>,
}

/// Shows a task, its steps, and what happened if that was asked for.
pub(super) async fn run(session: &Session, tasker: &Tasker, arguments: &Show) -> Result<Exit, Problem> {
    let task = session.find(tasker, &arguments.task).await?;
    let unknown = || Problem::from(StoreError::UnknownTask { task });
    let snapshot = tasker.store().snapshot(task).await?.ok_or_else(unknown)?;
    let results = tasker.store().results(task).await?;
    let report = TaskReport::new(&snapshot, &results);
    let history = if arguments.history {
        Some(tasker.history(task).await?)
    } else {
        None
    };
    let record = &snapshot.task;
    let parent_step = match record.parent {
        Some((parent, step)) => tasker.store().snapshot(parent).await?.map(|parent| {
            let template = &parent.task.template;
            template.step(step).name().to_string()
        }),
        None => None,
    };
    let telemetry = tasker.config().telemetry();
    let context = Json::from(&tasker::masked(record.context.to_value(), telemetry));
    let shown = Shown {
        report: &report,
        context: &context,
        priority: record.priority,
        idempotency_key: record.idempotency_key.as_deref(),
        origin: &record.origin,
        parent_task_id: record.parent.map(|(task, _)| task),
        parent_step: parent_step.as_deref(),
        root_task_id: record.root,
        start_at: record.start_at,
        deadline_at: record.deadline_at,
        history: history.as_ref().map(|history| {
            history
                .iter()
                .map(|transition| entry(transition, &record.template))
                .collect()
        }),
    };
    session.output().result(&shown, || match session.output() {
        Output::Quiet => report.state.to_string(),
        _ => text(
            &snapshot,
            &report,
            &context,
            parent_step.as_deref(),
            history.as_deref(),
            session.layout(),
        ),
    })?;
    Ok(Exit::Done)
}

/// Returns what `--json` shows of a transition.
pub(super) fn entry<'a>(transition: &'a Transition, template: &'a Template) -> Entry<'a> {
    let name = |step: StepNo| {
        template
            .steps()
            .get(step.0 as usize)
            .map(|step| step.name().as_str())
    };
    let entry = Entry {
        position: transition.position,
        at: transition.at,
        actor: Some(&transition.actor),
        metadata: transition.metadata.as_ref(),
        ..Entry::default()
    };
    match &transition.change {
        Change::Created => Entry {
            subject: "created",
            ..entry
        },
        Change::Task { from, event, to } => Entry {
            subject: "task",
            from: Some(from.as_str()),
            event: Some(event.as_str()),
            to: Some(to.as_str()),
            ..entry
        },
        Change::Step {
            step,
            from,
            event,
            to,
            run,
            attempt,
            handler_version,
            ran_us,
        } => Entry {
            subject: "step",
            step: name(*step),
            from: Some(from.as_str()),
            event: Some(event.as_str()),
            to: Some(to.as_str()),
            run: Some(*run),
            attempt: Some(*attempt),
            handler_version: handler_version.as_ref(),
            ran_us: *ran_us,
            ..entry
        },
        Change::LateOutcome { step, run } => Entry {
            subject: "late_outcome",
            step: name(*step),
            run: Some(*run),
            ..entry
        },
        Change::Setting { step } => Entry {
            subject: "setting",
            step: step.and_then(name),
            ..entry
        },
    }
}

fn text(
    snapshot: &Snapshot,
    report: &TaskReport,
    context: &Json,
    parent_step: Option<&str>,
    history: Option<&[Transition]>,
    layout: Layout,
) -> String {
    let mut text = head(snapshot, report, context, parent_step, layout);
    let model = model_of(snapshot);
    let mut table = Table::new(&["STEP", "STATE", "ATTEMPTS", "TIME", "NOTE"]);
    for step in &model.steps {
        let doing = model.doing(step, snapshot.taken_at);
        let elapsed = step.elapsed(snapshot.taken_at).map(duration);
        table.row([
            Line::from(step.name.clone()),
            Line::styled(style(doing), state_word(step, doing)),
            Line::from(format!("{}/{}", step.attempts, step.retry_limit)),
            Line::from(elapsed.unwrap_or_default()),
            Line::from(detail(&model, step, doing, snapshot.taken_at)),
        ]);
    }
    text.push('\n');
    text.push_str(&table.render(layout));
    if let Some(history) = history {
        text.push('\n');
        for transition in history {
            text.push_str(&line(transition, &snapshot.task.template, Detail::Full).render(layout.colours));
            text.push('\n');
        }
    }
    text
}

fn head(
    snapshot: &Snapshot,
    report: &TaskReport,
    context: &Json,
    parent_step: Option<&str>,
    layout: Layout,
) -> String {
    let task = &snapshot.task;
    let mut text = String::new();
    let mut styled = |name: &str, value: &str, style: Style| {
        let mut line = Line::styled(Style::Dim, &format!("{name:10} "));
        line.push(style, value);
        text.push_str(&line.render(layout.colours));
        text.push('\n');
    };
    styled("task", &task.id.to_string(), Style::Plain);
    styled("template", &report.name, Style::Plain);
    let failure = report
        .failure
        .map(|failure| format!(" ({failure})"))
        .unwrap_or_default();
    let state = format!("{}{failure}", report.state);
    styled("state", &state, task_style(report.state));
    let mut row = |name: &str, value: String| styled(name, &value, Style::Plain);
    if report.state.is_active() {
        row(
            "status",
            format!("{}, {}", report.execution_status, report.health_status),
        );
    }
    let done = report.steps.iter().filter(|step| step.state.is_done()).count();
    row(
        "progress",
        format!(
            "{} %, {done} of {}",
            report.completion_percentage,
            counted(report.steps.len() as u64, "step")
        ),
    );
    row("created", time(report.created_at, 3));
    if let Some(started) = report.started_at {
        row("started", time(started, 3));
    }
    if let Some(finished) = report.finished_at {
        row(
            "finished",
            format!(
                "{} (after {})",
                time(finished, 3),
                duration(finished.since(report.created_at))
            ),
        );
    }
    if let Some(start) = task.start_at {
        row("not before", time(start, 0));
    }
    if let Some(deadline) = task.deadline_at {
        row("deadline", time(deadline, 0));
    }
    if let Some((parent, step)) = task.parent {
        let step = parent_step.map_or_else(|| step.to_string(), str::to_owned);
        row("created by", format!("step {step} of task {parent}"));
    }
    if let Some(root) = task
        .root
        .filter(|root| task.parent.is_none_or(|(parent, _)| parent != *root))
    {
        row("root task", root.to_string());
    }
    if task.priority != 0 {
        row("priority", task.priority.to_string());
    }
    for (name, value) in [
        ("key", &task.idempotency_key),
        ("initiator", &task.origin.initiator),
        ("source", &task.origin.source_system),
    ] {
        if let Some(value) = value {
            row(name, value.clone());
        }
    }
    if let Some(asked) = task.origin.requested_at {
        row("asked for", time(asked, 0));
    }
    for (name, value) in super::change::said(&task.origin) {
        row(name, value);
    }
    if context.as_str() != "{}" {
        row(
            "context",
            cut(
                context.as_str(),
                layout
                    .columns
                    .map_or(CONTEXT_COLUMNS, |columns| columns.saturating_sub(11)),
            ),
        );
    }
    text
}
