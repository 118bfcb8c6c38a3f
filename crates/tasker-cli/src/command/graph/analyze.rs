//! `tasker graph analyze`.

use std::path::Path;

use serde::Serialize;
use tasker::StoreError;
use tasker_graph::{Analysis, Forecast, GraphWeights, NodeLabel, Page, TaskDocument, analyze};
use tasker_types::{StepState, TaskId};

use super::report;
use crate::args::Report;
use crate::exit::{Exit, Problem};
use crate::input::{self, Expected};
use crate::output::Output;
use crate::session::Session;
use crate::view::terminal::Layout;
use crate::view::text::{duration, printable};

/// An analysis as `--json` shows it.
#[derive(Serialize)]
struct Written<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    task_id: Option<TaskId>,
    #[serde(flatten)]
    analysis: &'a Analysis,
    #[serde(skip_serializing_if = "Option::is_none")]
    forecast: Option<&'a Forecast<'a>>,
}

/// Says what holds a task up.
pub(super) fn run(session: &Session, subject: &str, format: Report) -> Result<Exit, Problem> {
    let path = Path::new(subject);
    // What looks like a file is one, so that a name that is wrong is told as such.
    if path.exists() || subject.contains(['/', '.', '@']) {
        return file(session, subject, format);
    }
    session.block_on(async {
        let tasker = session.open().await?;
        let task = session.find(&tasker, subject).await?;
        let insight = tasker.insight(task).await?;
        let insight = insight.ok_or_else(|| Problem::from(StoreError::UnknownTask { task }))?;
        let record = &insight.snapshot().task;
        let subject = Subject {
            title: format!("{}  {task}", record.template.full_name()),
            task_id: Some(task),
            analysis: insight.analysis(),
            forecast: Some(insight.forecast()),
            explanation: Some(insight.explain().to_string()),
        };
        subject.write(session, format)
    })
}

/// Analyses what a file describes.
fn file(session: &Session, name: &str, format: Report) -> Result<Exit, Problem> {
    let limits = session.limits();
    let expected = Expected {
        what: "the task",
        limit: limits.template,
        key: "limits.template",
    };
    let value = input::json(&format!("@{name}"), expected)?;
    let document: TaskDocument = serde_json::from_value(value).map_err(|error| {
        Problem::refused("task_document", format!("`{name}` describes no task: {error}")).with_help(
            "write { \"steps\": [{ \"id\": 1, \"name\": \"a\", \"state\": \"pending\" }], \"edges\": [[1, 2]] }",
        )
    })?;
    let weights = GraphWeights::try_from(document.config)
        .map_err(|faults| Problem::refused("task_document", format!("the `config` of `{name}`: {faults}")))?;
    let analysis = analyze(&document.facts, &document.edges, &weights).map_err(|error| {
        Problem::refused("task_document", format!("`{name}` cannot be analysed: {error}"))
    })?;
    let subject = Subject {
        title: name.to_owned(),
        task_id: None,
        analysis: &analysis,
        forecast: None,
        explanation: None,
    };
    subject.write(session, format)
}

/// What is analysed, and all that is said about it.
struct Subject<'a> {
    title: String,
    task_id: Option<TaskId>,
    analysis: &'a Analysis,
    forecast: Option<Forecast<'a>>,
    explanation: Option<String>,
}

impl Subject<'_> {
    fn write(&self, session: &Session, format: Report) -> Result<Exit, Problem> {
        if session.output() == Output::Json || format == Report::Json {
            let written = Written {
                task_id: self.task_id,
                analysis: self.analysis,
                forecast: self.forecast.as_ref(),
            };
            Output::Json.result(&written, String::new)?;
            return Ok(Exit::Done);
        }
        let dag = self.analysis.dag();
        let label = |step| label(self.analysis, step);
        Output::text(&match format {
            Report::Text | Report::Json => report::text(
                &self.title,
                self.analysis,
                self.forecast.as_ref(),
                session.layout(),
            ),
            Report::Mermaid => dag.to_mermaid(&label),
            Report::Dot => dag.to_graphviz(&label),
            Report::Html => self.page().to_html(),
        })?;
        Ok(Exit::Done)
    }

    fn page(&self) -> Page<'_> {
        let mut page = Page::new(self.analysis, self.title.clone());
        if let Some(explanation) = &self.explanation {
            page = page.section("Why it is not done", explanation.clone());
        }
        if let Some(forecast) = &self.forecast {
            page = page.section(
                "When it will be done",
                report::forecast(self.analysis, forecast, Layout::PLAIN),
            );
        }
        page
    }
}

/// Says of a step what it is doing, and how severe it is if it holds others up.
fn label(analysis: &Analysis, step: usize) -> NodeLabel {
    let facts = analysis.facts(step);
    let mut note = facts.state.to_string();
    if facts.attempts > 0 {
        note.push_str(&format!(", attempt {} of {}", facts.attempts, facts.retry_limit));
    }
    if let Some(wait) = facts.due_in.filter(|_| facts.in_backoff()) {
        note.push_str(&format!(", due in {}", duration(wait)));
    }
    let listed = analysis
        .bottlenecks()
        .listed
        .iter()
        .find(|bottleneck| bottleneck.step == step);
    if let Some(bottleneck) = listed {
        note.push_str(&format!(", {} {}", bottleneck.severity, bottleneck.impact_score));
    }
    let is_ready = facts.blocking_reason(analysis.task_state().is_active()).is_none();
    let (class, colour) = match facts.state {
        StepState::Complete | StepState::ResolvedManually => ("done", "#d8f0dd"),
        StepState::InProgress => ("running", "#d6e8fb"),
        StepState::Cancelled => ("cancelled", "#e4dfe9"),
        StepState::Error => ("failed", "#fbdcdc"),
        StepState::Pending if is_ready => ("ready", "#ffffff"),
        StepState::Pending => ("blocked", "#eceff2"),
    };
    NodeLabel {
        note: Some(printable(&note)),
        class: Some(class),
        colour: Some(colour),
    }
}
