//! `tasker task explain`.

use serde::Serialize;
use tasker::{StoreError, Tasker};
use tasker_types::{TaskId, TaskState};

use super::intervene::step_named;
use crate::args::Explain;
use crate::exit::{Exit, Problem};
use crate::output::Output;
use crate::session::Session;
use crate::view::text::printable_lines;

/// An explanation as `--json` shows it.
#[derive(Debug, Serialize)]
struct Explained<T> {
    task_id: TaskId,
    state: TaskState,
    step: Option<String>,
    explanation: T,
}

/// Says why a task, or one of its steps, is not running.
pub(super) async fn run(session: &Session, tasker: &Tasker, arguments: &Explain) -> Result<Exit, Problem> {
    let task = session.find(tasker, &arguments.task).await?;
    if let Some(remote) = session.remote() {
        let told = remote.explain(task, arguments.step.as_deref()).await?;
        let explained = Explained {
            task_id: task,
            state: told.state,
            step: arguments.step.clone(),
            explanation: told.explanation,
        };
        return write(session.output(), told.text, &explained);
    }
    let insight = tasker.insight(task).await?;
    let insight = insight.ok_or_else(|| Problem::from(StoreError::UnknownTask { task }))?;
    let state = insight.snapshot().task.state;
    let output = session.output();
    match &arguments.step {
        None => {
            let explanation = insight.explain();
            write(
                output,
                explanation.to_string(),
                &Explained {
                    task_id: task,
                    state,
                    step: None,
                    explanation,
                },
            )
        }
        Some(name) => {
            let number = step_named(insight.snapshot(), name)?;
            let name = insight.snapshot().task.template.step(number).name().to_string();
            let explanation = insight.explain_step(number);
            write(
                output,
                explanation.to_string(),
                &Explained {
                    task_id: task,
                    state,
                    step: Some(name),
                    explanation,
                },
            )
        }
    }
}

fn write<T: Serialize>(output: Output, text: String, explained: &Explained<T>) -> Result<Exit, Problem> {
    output.result(explained, || printable_lines(&text))?;
    Ok(Exit::Done)
}
