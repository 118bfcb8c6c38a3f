//! Tells what happens as lines, one for each transition: for a log file, a pipe, and `task show --history`.

use std::time::Duration;

use tasker::{Actor, Change, Created, Failure, StepEvent, TaskEvent, Template, Transition};
use tasker_types::{StepNo, TaskState};

use super::text::{Line, Style, duration, first_line};

/// Who is named in a line beside time and step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Detail {
    /// Nobody: who watches a run knows who runs it.
    Progress,
    /// Whoever did it.
    Full,
}

/// Says in one line what a transition did. `Settings` and the like are told only in full.
pub(crate) fn line(transition: &Transition, template: &Template, detail: Detail) -> Line {
    let mut line = Line::default();
    line.push(Style::Dim, &format!("{:.3}", Clock(transition)));
    line.push(Style::Plain, "  ");
    let subject = match &transition.change {
        Change::Created | Change::Task { .. } | Change::Setting { step: None } => "task".to_owned(),
        Change::Step { step, .. }
        | Change::LateOutcome { step, .. }
        | Change::Setting { step: Some(step) } => step_name(template, *step),
    };
    line.push_padded(Style::Bold, &subject, 24);
    line.push(Style::Plain, "  ");
    let (style, text) = what(transition, template);
    line.push(style, &text);
    if detail == Detail::Full {
        line.push(Style::Dim, &who(&transition.actor));
    }
    line
}

/// Says in one line what a running step says of itself.
pub(crate) fn said(now: tasker_types::Timestamp, step: &str, said: &str) -> Line {
    let mut line = Line::default();
    line.push(Style::Dim, &time(now, 3));
    line.push(Style::Plain, "  ");
    line.push_padded(Style::Bold, step, 24);
    line.push(Style::Plain, "  ");
    line.push(Style::Busy, &first_line(said));
    line
}

/// Writes the time of a transition; the precision says how many digits its seconds have.
struct Clock<'a>(&'a Transition);

impl std::fmt::Display for Clock<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&time(self.0.at, f.precision().unwrap_or(0)))
    }
}

/// Writes a time in UTC with so many digits after the second, at most six.
pub(crate) fn time(at: tasker_types::Timestamp, digits: usize) -> String {
    let text = at.to_string();
    match text.split_once('.') {
        Some((seconds, _)) if digits == 0 => format!("{seconds}Z"),
        Some((seconds, fraction)) => format!("{seconds}.{}Z", &fraction[..digits.min(6)]),
        None => text,
    }
}

fn step_name(template: &Template, step: StepNo) -> String {
    match template.steps().get(step.0 as usize) {
        Some(step) => step.name().to_string(),
        None => format!("step {step}"),
    }
}

fn what(transition: &Transition, template: &Template) -> (Style, String) {
    match &transition.change {
        Change::Created => (Style::Plain, format!("created from {}", template.full_name())),
        Change::Task { event, to, .. } => task_event(*event, *to, transition),
        Change::Step {
            step,
            event,
            attempt,
            ran_us,
            ..
        } => {
            let limit = template
                .steps()
                .get(step.0 as usize)
                .map(|step| step.retry_limit());
            step_event(
                *event,
                *attempt,
                limit,
                ran_us.map(Duration::from_micros),
                transition,
            )
        }
        Change::LateOutcome { run, .. } => (
            Style::Waiting,
            format!("run {run} ended after the step was cancelled; its outcome does not count"),
        ),
        Change::Setting { .. } => {
            let setting = transition.metadata.as_ref().map(|json| json.as_str().to_owned());
            (Style::Plain, format!("changed: {}", setting.unwrap_or_default()))
        }
    }
}

fn task_event(event: TaskEvent, to: TaskState, transition: &Transition) -> (Style, String) {
    let reason = reason(transition);
    match event {
        TaskEvent::Start => (Style::Plain, "started".to_owned()),
        TaskEvent::Complete => (Style::Good, "complete".to_owned()),
        TaskEvent::Fail => (Style::Bad, format!("in error{reason}")),
        TaskEvent::Resume => (Style::Busy, format!("goes on{reason}")),
        TaskEvent::Cancel | TaskEvent::Resolve => (
            super::render::task_style(to),
            format!("{}{reason}", super::render::task_word(to)),
        ),
    }
}

fn step_event(
    event: StepEvent,
    attempt: u32,
    limit: Option<u32>,
    ran: Option<Duration>,
    transition: &Transition,
) -> (Style, String) {
    let attempts = match limit {
        // The limit may have been raised since the template was written.
        Some(limit) if limit >= attempt => format!(" (attempt {attempt} of {limit})"),
        _ => format!(" (attempt {attempt})"),
    };
    let ran = ran
        .map(|ran| format!(" after {}", duration(ran)))
        .unwrap_or_default();
    let failure = failure(transition)
        .map(|failure| format!(": {}", failure.in_one_line()))
        .unwrap_or_default();
    let reason = reason(transition);
    match event {
        StepEvent::Start => (Style::Busy, format!("started{attempts}")),
        StepEvent::Succeed => (Style::Good, format!("complete{ran}{}", tasks(transition))),
        StepEvent::Fail => (Style::Bad, format!("failed{ran}{attempts}{failure}")),
        StepEvent::Expire => (Style::Bad, format!("lost its worker{attempts}{failure}")),
        StepEvent::Interrupt => (Style::Waiting, format!("interrupted{ran}{attempts}")),
        StepEvent::Release => (Style::Plain, "handed back before it began".to_owned()),
        StepEvent::Suspend => (Style::Waiting, "waits for its time".to_owned()),
        StepEvent::Cancel => (Style::Bad, format!("cancelled{reason}")),
        StepEvent::Reset => (Style::Plain, format!("may start again{reason}")),
        StepEvent::Resolve if is_bypassed(transition) => (Style::Good, "bypassed".to_owned()),
        StepEvent::Resolve => (Style::Good, format!("resolved{reason}")),
    }
}

/// Returns the failure that a transition carries.
pub(crate) fn failure(transition: &Transition) -> Option<Failure> {
    transition.metadata.as_ref()?.to().ok()
}

fn reason(transition: &Transition) -> String {
    let reason = transition.metadata.as_ref().and_then(|json| {
        json.to_value()
            .get("reason")
            .and_then(|reason| reason.as_str().map(first_line))
    });
    reason.map(|reason| format!(": {reason}")).unwrap_or_default()
}

/// Names the tasks that a result created, and those that were there before.
fn tasks(transition: &Transition) -> String {
    #[derive(serde::Deserialize)]
    struct Note {
        tasks: Vec<Created>,
    }
    let note = transition
        .metadata
        .as_ref()
        .and_then(|json| json.to::<Note>().ok());
    let named = |created: Created| match created {
        Created::New(task) => format!(", created task {task}"),
        Created::Repeated(task) => format!(", asked for task {task} again"),
        Created::KeyReused(task) => format!(", created nothing: task {task} has the idempotency key"),
        Created::Duplicate(task) => format!(", created nothing: task {task} is the same"),
    };
    note.map(|note| note.tasks.into_iter().map(named).collect())
        .unwrap_or_default()
}

fn is_bypassed(transition: &Transition) -> bool {
    let bypassed = transition
        .metadata
        .as_ref()
        .map(|json| json.to_value()["bypassed"] == true);
    bypassed.unwrap_or(false)
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::System | Actor::Worker(_) => String::new(),
        Actor::User(name) => format!(", by {name}"),
    }
}

#[cfg(test)]
mod tests {
    use tasker::{Json, StepBuilder};
    use tasker_types::{Position, RunNo, StepState, TaskId, Timestamp};

    use super::*;

    #[track_caller]
    fn says(change: Change, actor: Actor, metadata: Option<&str>, text: &str) {
        let template = Template::builder("refund")
            .step(StepBuilder::new("fetch", "command"))
            .build()
            .unwrap();
        let transition = Transition {
            position: Position(7),
            task: TaskId::from_bytes([1; 16]),
            change,
            at: Timestamp::from_micros(1_767_225_600_123_456),
            actor,
            metadata: metadata.map(|text| Json::parse(text).unwrap()),
        };
        let line = line(&transition, &template, Detail::Full).plain();
        assert_eq!(line.strip_prefix("2026-01-01T00:00:00.123Z  ").unwrap(), text);
    }

    fn step(event: StepEvent, attempt: u32) -> Change {
        Change::Step {
            step: StepNo(0),
            from: StepState::Pending,
            event,
            to: StepState::InProgress,
            run: RunNo(attempt),
            attempt,
            handler_version: None,
            ran_us: Some(1_230_000),
        }
    }

    fn task(event: TaskEvent, to: TaskState) -> Change {
        Change::Task {
            from: TaskState::InProgress,
            event,
            to,
        }
    }

    const FAILURE: &str = r#"{"code": "HTTP_404", "message": "gone\n  for good", "severity": "permanent"}"#;

    #[test]
    fn steps_say_what_became_of_them() {
        says(
            step(StepEvent::Start, 2),
            Actor::System,
            None,
            "fetch                     started (attempt 2 of 3)",
        );
        says(
            step(StepEvent::Start, 4),
            Actor::System,
            None,
            "fetch                     started (attempt 4)",
        );
        says(
            step(StepEvent::Succeed, 1),
            Actor::System,
            None,
            "fetch                     complete after 1.23 s",
        );
        let other = TaskId::from_bytes([1; 16]);
        says(
            step(StepEvent::Succeed, 1),
            Actor::System,
            Some(&format!(
                r#"{{"tasks": [{{"new": "{other}"}}, {{"duplicate": "{other}"}}]}}"#
            )),
            &format!(
                "fetch                     complete after 1.23 s, created task {other}, created nothing: task {other} is \
                 the same"
            ),
        );
        says(
            step(StepEvent::Fail, 1),
            Actor::System,
            Some(FAILURE),
            "fetch                     failed after 1.23 s (attempt 1 of 3): HTTP_404: gone",
        );
        says(
            step(StepEvent::Reset, 0),
            Actor::User("ann".to_owned()),
            Some(r#"{"reason": "try again"}"#),
            "fetch                     may start again: try again, by ann",
        );
        says(
            step(StepEvent::Resolve, 0),
            Actor::System,
            Some(r#"{"bypassed": true}"#),
            "fetch                     bypassed",
        );
    }

    #[test]
    fn tasks_say_why() {
        says(
            Change::Created,
            Actor::System,
            None,
            "task                      created from default_system.refund@0.1.0",
        );
        says(
            task(TaskEvent::Fail, TaskState::Error),
            Actor::System,
            Some(r#"{"reason": "steps_in_error_state"}"#),
            "task                      in error: steps_in_error_state",
        );
        says(
            task(TaskEvent::Cancel, TaskState::Cancelled),
            Actor::User("ann".to_owned()),
            None,
            "task                      cancelled, by ann",
        );
    }

    #[test]
    fn what_a_step_says_of_itself_is_a_line() {
        let at = Timestamp::from_micros(1_767_225_600_123_456);
        assert_eq!(
            said(at, "fetch", "40 %: reading\norders").plain(),
            "2026-01-01T00:00:00.123Z  fetch                     40 %: reading"
        );
    }

    #[test]
    fn times_have_as_many_digits_as_wanted() {
        let at = Timestamp::from_micros(1_767_225_600_000_001);
        assert_eq!(time(at, 0), "2026-01-01T00:00:00Z");
        assert_eq!(time(at, 6), "2026-01-01T00:00:00.000001Z");
    }
}
