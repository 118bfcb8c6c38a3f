//! Draws a task as lines of text: a pure function of a model, a time and a size.

use tasker_types::{StepState, TaskState, Timestamp};

use super::model::{Counts, Doing, Model, Step};
use super::text::{Line, Style, countdown, counted, cut, duration, first_line, ticking, width};

/// How large the drawing may be, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) columns: usize,
    pub(crate) rows: usize,
}

/// Names longer than this are cut, so that there is room for what they do.
const NAME_COLUMNS: usize = 40;
/// How many parents are named that a step waits for.
const PARENTS_NAMED: usize = 3;
/// Below this width the times give way to what happens.
const NARROW: usize = 56;
/// Below this width the attempts do, too.
const VERY_NARROW: usize = 40;
/// Below this width the symbol alone says what a step is doing, and its name takes the line.
const TINY: usize = 30;

/// Draws the task: a headline, the overall progress, and a line for each step as far as there is room.
pub(crate) fn render(model: &Model, now: Timestamp, size: Size) -> Vec<Line> {
    let counts = model.counts(now);
    let mut lines = vec![headline(model), progress(&counts, model, now, size.columns)];
    let room = size.rows.saturating_sub(lines.len());
    lines.extend(steps(model, now, Size { rows: room, ..size }));
    lines.truncate(size.rows);
    lines.into_iter().map(|line| line.cut(size.columns)).collect()
}

fn headline(model: &Model) -> Line {
    let mut line = Line::default();
    line.push(task_style(model.state), task_word(model.state));
    line.push(Style::Plain, "  ");
    line.push(Style::Bold, &model.name);
    line.push(Style::Plain, "  ");
    line.push(Style::Dim, &model.id);
    if let Some(failure) = &model.failure {
        line.push(Style::Bad, &format!("  {failure}"));
    }
    line
}

/// Returns the word for a task's state.
pub(crate) fn task_word(state: TaskState) -> &'static str {
    match state {
        TaskState::InProgress => "running",
        TaskState::ResolvedManually => "resolved",
        other => other.as_str(),
    }
}

pub(crate) fn task_style(state: TaskState) -> Style {
    match state {
        TaskState::Complete | TaskState::ResolvedManually => Style::Good,
        TaskState::Error | TaskState::Cancelled => Style::Bad,
        TaskState::InProgress => Style::Busy,
        TaskState::Pending => Style::Plain,
    }
}

fn progress(counts: &Counts, model: &Model, now: Timestamp, columns: usize) -> Line {
    let mut line = bar(counts.done, counts.total, bar_columns(columns));
    let percent = counts.done * 100 / counts.total.max(1);
    line.push(
        Style::Plain,
        &format!(" {percent:3} %  {}/{} steps", counts.done, counts.total),
    );
    for (doing, words) in counts.words() {
        if doing == Doing::Running || doing == Doing::Failed || doing == Doing::Waiting {
            line.push(Style::Plain, ", ");
            line.push(style(doing), &words);
        }
    }
    line.push(Style::Dim, &format!("  {}", ticking(model.elapsed(now))));
    line
}

/// Returns how wide the bar of the overall progress is.
pub(crate) fn bar_columns(columns: usize) -> usize {
    (columns / 4).clamp(4, 30)
}

/// Draws how much of something is done.
pub(crate) fn bar(done: u64, total: u64, columns: usize) -> Line {
    let full = usize::try_from(done * columns as u64 / total.max(1))
        .unwrap_or(columns)
        .min(columns);
    let mut line = Line::default();
    line.push(Style::Good, &"█".repeat(full));
    line.push(Style::Dim, &"░".repeat(columns - full));
    line
}

fn steps(model: &Model, now: Timestamp, size: Size) -> Vec<Line> {
    let mut rows: Vec<(Doing, usize, &Step)> = model
        .steps
        .iter()
        .enumerate()
        .map(|(index, step)| (model.doing(step, now), index, step))
        .collect();
    let mut hidden = Counts::default();
    if rows.len() > size.rows {
        // What needs attention comes first, the last that ended before those that ended long ago.
        let rank = |row: &(Doing, usize, &Step)| (row.0, std::cmp::Reverse(row.2.finished_at), row.1);
        let shown = size.rows.saturating_sub(1);
        rows.select_nth_unstable_by_key(shown, rank);
        rows.drain(shown..).for_each(|(doing, ..)| hidden.add(doing));
        rows.sort_by_key(rank);
    }
    let names = rows.iter().map(|(.., step)| width(&step.name)).max().unwrap_or(0);
    let room = (size.columns / 3).max(20).min(size.columns / 2).max(8);
    let names = names.min(NAME_COLUMNS).min(room);
    let mut lines: Vec<Line> = rows
        .iter()
        .map(|(doing, _, step)| row(model, step, *doing, now, names, size.columns))
        .collect();
    if hidden.total > 0 && size.rows > 0 {
        lines.push(hidden_steps(&hidden));
    }
    lines
}

fn hidden_steps(hidden: &Counts) -> Line {
    let words: Vec<String> = hidden.words().into_iter().map(|(_, words)| words).collect();
    let mut line = Line::default();
    line.push(
        Style::Dim,
        &format!("  … and {} more: {}", hidden.total, words.join(", ")),
    );
    line
}

fn row(model: &Model, step: &Step, doing: Doing, now: Timestamp, names: usize, columns: usize) -> Line {
    let mut line = Line::default();
    line.push(style(doing), symbol(doing));
    line.push(Style::Plain, " ");
    if columns < TINY {
        line.push(Style::Plain, &step.name);
        return line;
    }
    line.push_padded(Style::Plain, &cut(&step.name, names), names + 2);
    line.push_padded(style(doing), state_word(step, doing), 10);
    if columns >= VERY_NARROW {
        let attempts = if step.attempts > 0 {
            format!("{}/{}", step.attempts, step.retry_limit)
        } else {
            String::new()
        };
        line.push_padded(Style::Dim, &attempts, 6);
    }
    if columns >= NARROW {
        let write = if doing == Doing::Running {
            ticking
        } else {
            duration
        };
        let elapsed = step.elapsed(now).map(write).unwrap_or_default();
        line.push_padded(Style::Dim, &elapsed, 12);
    }
    line.push(detail_style(doing), &detail(model, step, doing, now));
    line
}

fn symbol(doing: Doing) -> &'static str {
    match doing {
        Doing::Running => "▶",
        Doing::Failed => "✗",
        Doing::Waiting => "↻",
        Doing::Ready => "○",
        Doing::Blocked => "·",
        Doing::Cancelled => "⊘",
        Doing::Done => "✓",
    }
}

/// Returns the colour of what a step is doing.
pub(crate) fn style(doing: Doing) -> Style {
    match doing {
        Doing::Running => Style::Busy,
        Doing::Failed => Style::Bad,
        Doing::Waiting => Style::Waiting,
        Doing::Ready => Style::Plain,
        Doing::Blocked | Doing::Cancelled => Style::Dim,
        Doing::Done => Style::Good,
    }
}

fn detail_style(doing: Doing) -> Style {
    if doing == Doing::Failed {
        Style::Bad
    } else {
        Style::Dim
    }
}

/// Returns the word for what a step is doing.
pub(crate) fn state_word(step: &Step, doing: Doing) -> &'static str {
    match doing {
        Doing::Running => "running",
        Doing::Failed => "failed",
        Doing::Waiting if step.state == StepState::Error => "retrying",
        Doing::Waiting => "waiting",
        Doing::Ready => "ready",
        Doing::Blocked => "blocked",
        Doing::Cancelled => "cancelled",
        Doing::Done if step.state == StepState::ResolvedManually => "resolved",
        Doing::Done => "complete",
    }
}

/// Says what a step waits for, or what went wrong, in a few words.
pub(crate) fn detail(model: &Model, step: &Step, doing: Doing, now: Timestamp) -> String {
    let error = step
        .error
        .as_deref()
        .map(first_line)
        .filter(|error| !error.is_empty());
    let wait = step.due_in(now).map(countdown);
    match doing {
        Doing::Blocked => waits_for(model, step),
        Doing::Waiting => {
            let wait = wait.unwrap_or_default();
            match error {
                Some(error) => format!("next try in {wait} after: {error}"),
                None => format!("starts in {wait}"),
            }
        }
        Doing::Running if step.progress.is_some() => {
            step.progress.as_deref().map(first_line).unwrap_or_default()
        }
        Doing::Running | Doing::Ready => error.map(|error| format!("before: {error}")).unwrap_or_default(),
        Doing::Failed => match (error, step.permanent) {
            (Some(error), true) => format!("for good: {error}"),
            (Some(error), false) => format!("no attempts left: {error}"),
            (None, _) => "no attempts left".to_owned(),
        },
        Doing::Cancelled | Doing::Done => String::new(),
    }
}

fn waits_for(model: &Model, step: &Step) -> String {
    let unmet: Vec<&str> = model.unmet(step).map(|parent| parent.name.as_str()).collect();
    let named = unmet
        .iter()
        .take(PARENTS_NAMED)
        .copied()
        .collect::<Vec<_>>()
        .join(", ");
    match unmet.len().saturating_sub(PARENTS_NAMED) {
        0 => format!("waits for {named}"),
        more => format!("waits for {named} and {}", counted(more as u64, "other")),
    }
}

#[cfg(test)]
mod tests;
