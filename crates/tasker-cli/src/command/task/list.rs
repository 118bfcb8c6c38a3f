//! `tasker task list`.

use serde::Serialize;
use tasker::{Period, SortOrder, TaskFilter, TaskQuery, TaskSummary, Tasker};
use tasker_server::{CursorError, Cursors};

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
    /// Where to go on if there are.
    next_cursor: Option<String>,
    /// How many there are in all, if that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    total: Option<u64>,
}

/// Lists tasks.
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
        context: arguments.context.clone(),
        created: Period {
            after: arguments.created_after,
            before: arguments.created_before,
        },
        updated: Period {
            after: arguments.updated_after,
            before: arguments.updated_before,
        },
        ..TaskFilter::default()
    };
    let mut query = TaskQuery {
        sort: arguments.sort,
        order: match arguments.ascending {
            true => SortOrder::Ascending,
            false => SortOrder::Descending,
        },
        count: arguments.total,
        ..TaskQuery::new(filter, arguments.limit)
    };
    let cursors = Cursors::new(tasker.config().server().cursor_secret.as_deref());
    if let (Some(cursor), Some(remote)) = (&arguments.cursor, session.remote()) {
        query.after = Some(remote.mark(cursor));
    } else if let Some(cursor) = &arguments.cursor {
        let place = cursors.read(tasker, &query, cursor).await;
        query.after = Some(place.map_err(|error| match error {
            CursorError::Store(error) => Problem::from(error),
            error => Problem::refused("invalid_cursor", error.to_string()),
        })?);
    }
    let mut page = tasker.list(query.clone()).await?;
    // A page that found few among many ends early.
    while let Some(next) = page.next
        && page.tasks.len() < arguments.limit as usize
    {
        let rest = arguments.limit - u32::try_from(page.tasks.len()).unwrap_or(u32::MAX);
        let further = TaskQuery {
            after: Some(next),
            limit: rest,
            count: false,
            ..query.clone()
        };
        let further = tasker.list(further).await?;
        page.tasks.extend(further.tasks);
        page.next = further.next;
    }
    let next_cursor = match (page.next, session.remote()) {
        (Some(place), Some(remote)) => remote.cursor(place),
        (Some(place), None) => Some(cursors.write(tasker, &query, place).await?),
        (None, _) => None,
    };
    let listed = Listed {
        tasks: page.tasks,
        more: next_cursor.is_some(),
        next_cursor,
        total: page.total,
    };
    session
        .output()
        .result(&listed, || text(&listed, &query.filter, session))?;
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
        let place = match session.remote() {
            Some(remote) => format!(" at `{remote}`"),
            None => session
                .location()
                .map(|place| format!(" in `{place}`"))
                .unwrap_or_default(),
        };
        return format!("no tasks yet{place}; `tasker run TEMPLATE` makes one\n");
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
    if let Some(cursor) = &listed.next_cursor {
        text.push_str(&format!(
            "there are more; --limit N shows them, or --cursor {cursor}\n"
        ));
    }
    if let Some(total) = listed.total {
        text.push_str(&format!("{total} in all\n"));
    }
    text
}
