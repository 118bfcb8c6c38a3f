//! Draws several tasks as lines of text: a pure function, like the drawing of one.

use std::time::Duration;

use tasker_types::TaskState;

use super::render::{Size, bar, bar_columns, task_style, task_word};
use super::text::{Line, Style, counted, cut, ticking, width};

/// Several tasks as a view shows them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tasks {
    /// How many there were at the beginning or came since.
    pub(crate) total: u64,
    /// How many of them are no longer active.
    pub(crate) ended: u64,
    /// How many of those are in error or cancelled.
    pub(crate) failed: u64,
    /// How long the work has gone on.
    pub(crate) elapsed: Duration,
    /// Some of those that are active.
    pub(crate) active: Vec<Row>,
}

/// One of several tasks.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// The beginning of its id.
    pub(crate) id: String,
    /// The template's full name.
    pub(crate) name: String,
    /// Its state.
    pub(crate) state: TaskState,
    /// How many of its steps are complete or resolved.
    pub(crate) done: u64,
    /// How many steps it has.
    pub(crate) steps: u64,
}

/// Names longer than this are cut.
const NAME_COLUMNS: usize = 48;
/// How wide the bar of one task is.
const BAR_COLUMNS: usize = 12;

/// Draws the overall progress, and a line for each active task as far as there is room.
pub(crate) fn render(tasks: &Tasks, size: Size) -> Vec<Line> {
    let mut lines = vec![progress(tasks, size.columns)];
    let room = size.rows.saturating_sub(1);
    let active = tasks.total.saturating_sub(tasks.ended);
    let shown = if active as usize > room {
        room.saturating_sub(1)
    } else {
        room
    };
    let names = tasks
        .active
        .iter()
        .take(shown)
        .map(|row| width(&row.name))
        .max()
        .unwrap_or(0);
    let names = names.min(NAME_COLUMNS).min((size.columns / 2).max(8));
    lines.extend(tasks.active.iter().take(shown).map(|task| row(task, names)));
    let hidden = active.saturating_sub(lines.len() as u64 - 1);
    if hidden > 0 {
        let mut line = Line::default();
        line.push(Style::Dim, &format!("  … and {hidden} more"));
        lines.push(line);
    }
    lines.truncate(size.rows);
    lines.into_iter().map(|line| line.cut(size.columns)).collect()
}

fn progress(tasks: &Tasks, columns: usize) -> Line {
    let mut line = bar(tasks.ended, tasks.total, bar_columns(columns));
    let percent = tasks.ended * 100 / tasks.total.max(1);
    line.push(
        Style::Plain,
        &format!(" {percent:3} %  {}/{}", tasks.ended, counted(tasks.total, "task")),
    );
    if tasks.failed > 0 {
        line.push(Style::Plain, ", ");
        line.push(Style::Bad, &format!("{} in error or cancelled", tasks.failed));
    }
    line.push(Style::Dim, &format!("  {}", ticking(tasks.elapsed)));
    line
}

fn row(task: &Row, names: usize) -> Line {
    let mut line = Line::default();
    line.push(Style::Dim, &task.id);
    line.push(Style::Plain, "  ");
    line.push_padded(Style::Plain, &cut(&task.name, names), names + 2);
    line.push_padded(task_style(task.state), task_word(task.state), 9);
    line.extend(bar(task.done, task.steps, BAR_COLUMNS));
    line.push(
        Style::Plain,
        &format!(" {}/{}", task.done, counted(task.steps, "step")),
    );
    line
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks(active: u64) -> Tasks {
        let row = |n: u64| Row {
            id: format!("0198c2{n:02}"),
            name: format!("payments.process_refund@{n}.0.0"),
            state: if n == 0 {
                TaskState::Pending
            } else {
                TaskState::InProgress
            },
            done: n,
            steps: 8,
        };
        Tasks {
            total: active + 2,
            ended: 2,
            failed: 1,
            elapsed: Duration::from_millis(4_210),
            active: (0..active.min(8)).map(row).collect(),
        }
    }

    fn draw(tasks: &Tasks, columns: usize, rows: usize) -> String {
        let lines = render(tasks, Size { columns, rows });
        assert!(lines.len() <= rows);
        assert!(lines.iter().all(|line| line.width() <= columns));
        lines.iter().map(Line::plain).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn every_active_task_has_a_line() {
        insta::assert_snapshot!(draw(&tasks(3), 100, 10));
    }

    #[test]
    fn many_tasks_are_counted() {
        insta::assert_snapshot!(draw(&tasks(20_000), 60, 5));
        for rows in 0..12 {
            draw(&tasks(9), 30, rows);
        }
    }
}
