//! What a person reads when the work is over: how each task ended, and what to do next.

use tasker::{StepReport, TaskReport};
use tasker_types::{StepState, TaskState};

use crate::view::render::{task_style, task_word};
use crate::view::text::{Colours, Line, Style, counted, duration};

/// Says how a task ended, why, and where to look.
pub(crate) fn task(report: &TaskReport, colours: Colours) -> String {
    let id = report.task_id;
    let mut text = headline(report, colours);
    match report.state {
        TaskState::Complete | TaskState::ResolvedManually => {
            text.push_str(&format!("  tasker task show {id}\n"));
        }
        TaskState::Error | TaskState::Cancelled => {
            for line in failures(report) {
                text.push_str(&line.render(colours));
                text.push('\n');
            }
            text.push_str(&format!(
                "  tasker task show {id} --history    shows what happened\n"
            ));
            if report.state == TaskState::Error {
                text.push_str(&format!(
                    "  tasker task retry {id}    gives failed steps their attempts back\n"
                ));
                text.push_str(&format!(
                    "  tasker resume {id}    does so and goes on with the task here\n"
                ));
            }
        }
        TaskState::Pending | TaskState::InProgress => {
            text.push_str(&format!("  tasker resume {id}    goes on with it\n"));
        }
    }
    text
}

/// Says what has become of a task, in one line.
pub(crate) fn headline(report: &TaskReport, colours: Colours) -> String {
    let mut line = Line::styled(Style::Bold, &report.name);
    line.push(Style::Plain, " ");
    line.push(task_style(report.state), &outcome(report));
    let mut text = line.render(colours);
    text.push('\n');
    text
}

/// Says how several tasks ended: each if they are few, otherwise how many and which failed.
pub(crate) fn tasks(reports: &[TaskReport], colours: Colours) -> String {
    const FEW: usize = 10;
    match reports {
        [] => return "nothing is unfinished\n".to_owned(),
        few if few.len() <= FEW => return few.iter().map(|report| task(report, colours)).collect(),
        _ => {}
    }
    let counts = TaskState::ALL.iter().filter_map(|state| {
        let count = reports.iter().filter(|report| report.state == *state).count();
        (count > 0).then(|| format!("{count} {}", task_word(*state)))
    });
    let counts = counts.collect::<Vec<_>>().join(", ");
    let mut text = format!("{}: {counts}\n", counted(reports.len() as u64, "task"));
    let failed = || reports.iter().filter(|report| report.state == TaskState::Error);
    text.extend(failed().take(FEW).map(|report| task(report, colours)));
    if failed().count() > FEW {
        text.push_str("  tasker task list --state error    lists all that failed\n");
    }
    text
}

fn outcome(report: &TaskReport) -> String {
    let done = report.steps.iter().filter(|step| step.state.is_done()).count();
    let steps = format!("{done} of {}", counted(report.steps.len() as u64, "step"));
    let took = report
        .finished_at
        .map(|end| format!(" after {}", duration(end.since(report.created_at))));
    let took = took.unwrap_or_default();
    match report.state {
        TaskState::Pending | TaskState::InProgress => format!("is unfinished: {steps} done"),
        TaskState::Error => {
            let why = report
                .failure
                .map(|failure| format!(" ({failure})"))
                .unwrap_or_default();
            format!("is in error{took}: {steps} done{why}")
        }
        state => format!("is {}{took}: {steps} done{}", task_word(state), attempts(report)),
    }
}

fn attempts(report: &TaskReport) -> String {
    let retries: u64 = report
        .steps
        .iter()
        .map(|step| u64::from(step.attempts.saturating_sub(1)))
        .sum();
    match retries {
        0 => String::new(),
        1 => ", 1 retry".to_owned(),
        retries => format!(", {retries} retries"),
    }
}

/// Says of each failed step how it failed, at most ten.
fn failures(report: &TaskReport) -> impl Iterator<Item = Line> + '_ {
    const SHOWN: usize = 10;
    let failed = || report.steps.iter().filter(|step| step.state == StepState::Error);
    let more = failed().count().saturating_sub(SHOWN) as u64;
    let more = (more > 0).then(|| {
        Line::styled(
            Style::Bad,
            &format!("  … and {} more", counted(more, "failed step")),
        )
    });
    failed().take(SHOWN).map(failure).chain(more)
}

fn failure(step: &StepReport) -> Line {
    let error = step
        .error
        .as_ref()
        .map(tasker::Failure::in_one_line)
        .unwrap_or_else(|| "it may not be tried again".to_owned());
    let text = format!(
        "  {} failed (attempt {} of {}): {error}",
        step.name, step.attempts, step.retry_limit
    );
    Line::styled(Style::Bad, &text)
}
