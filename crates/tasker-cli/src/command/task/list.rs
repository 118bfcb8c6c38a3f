//! `tasker task list`.

use serde::Serialize;
use tasker::{TaskFilter, TaskQuery, TaskSummary, Tasker};

use crate::args::List;
use crate::exit::{Exit, Problem};
use crate::output::{Output, Table};
use crate::session::Session;
use crate::view::plain::time;
use crate::view::render::task_style;
use crate::view::text::{Line, duration};

/// The tasks as `--json` shows them.
#[derive(Debug, Serialize)]
struct Listed {
    tasks: Vec<TaskSummary>,
    /// There are more than were asked for.
    more: bool,
}

/// Lists tasks, the newest first.
pub(super) async fn run(session: &Session, tasker: &Tasker, arguments: &List) -> Result<Exit, Problem> {
    let filter = TaskFilter {
        states: arguments.state.clone(),
        namespace: arguments.namespace.clone(),
        name: arguments.name.clone(),
        version: arguments.version.clone(),
        initiator: arguments.initiator.clone(),
        source_system: arguments.source_system.clone(),
        tags: arguments.tag.clone(),
        annotations: arguments.annotation.clone(),
        ..TaskFilter::default()
    };
    let page = tasker
        .list(TaskQuery::new(filter.clone(), arguments.limit))
        .await?;
    let listed = Listed {
        more: page.next.is_some(),
        tasks: page.tasks,
    };
    session
        .output()
        .result(&listed, || text(&listed, &filter, session))?;
    Ok(Exit::Done)
}

fn text(listed: &Listed, filter: &TaskFilter, session: &Session) -> String {
    if session.output() == Output::Quiet {
        return listed
            .tasks
            .iter()
            .map(|task| format!("{}\n", task.task_id))
            .collect();
    }
    if listed.tasks.is_empty() {
        if *filter != TaskFilter::default() {
            return "no tasks like that\n".to_owned();
        }
        let file = session.location().map(|place| format!(" in `{place}`"));
        return format!(
            "no tasks yet{}; `tasker run TEMPLATE` makes one\n",
            file.unwrap_or_default()
        );
    }
    let mut table = Table::new(&["TASK", "TEMPLATE", "STATE", "STEPS", "CREATED", "TOOK"]);
    for task in &listed.tasks {
        let took = task
            .finished_at
            .map(|end| duration(end.since(task.created_at)))
            .unwrap_or_default();
        table.row([
            Line::from(task.task_id.to_string()),
            Line::from(task.name.clone()),
            Line::styled(task_style(task.state), task.state.as_str()),
            Line::from(format!("{}/{}", task.completed_steps, task.total_steps)),
            Line::from(time(task.created_at, 0)),
            Line::from(took),
        ]);
    }
    let mut text = table.render(session.layout());
    if listed.more {
        text.push_str("there are more; --limit N shows them\n");
    }
    text
}
