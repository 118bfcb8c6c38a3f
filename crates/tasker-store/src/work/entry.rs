//! Entries of the history.

use serde::Deserialize;
use tasker_engine::{Change, Json};
use tasker_types::{RunNo, StepNo};

/// An entry, its fields in the order in which rows of the history list them. Names are texts: a program that is older than
/// the one that wrote them may not know them.
#[derive(Debug, Deserialize)]
pub(crate) struct Entry<'a> {
    pub(crate) task: i64,
    pub(crate) step: Option<u32>,
    #[serde(borrow)]
    pub(crate) event: &'a str,
    pub(crate) from: Option<&'a str>,
    pub(crate) to: Option<&'a str>,
    pub(crate) actor: i64,
    pub(crate) run: Option<u32>,
    pub(crate) attempt: Option<u32>,
    pub(crate) handler_version: Option<String>,
    pub(crate) ran_us: Option<u64>,
    pub(crate) metadata: Option<Json>,
}

impl<'a> Entry<'a> {
    /// Returns an entry that says no more than what happened, and who did it.
    pub(crate) fn new(task: i64, step: Option<u32>, event: &'a str, actor: i64) -> Self {
        Self {
            task,
            step,
            event,
            from: None,
            to: None,
            actor,
            run: None,
            attempt: None,
            handler_version: None,
            ran_us: None,
            metadata: None,
        }
    }
}

/// Returns what an entry says; `None` when it makes no sense.
pub(super) fn change(entry: &Entry<'_>) -> Option<Change> {
    let step = entry.step.map(StepNo);
    let run = entry.run.map(RunNo);
    match entry.event {
        "created" => return Some(Change::Created),
        "setting" => return Some(Change::Setting { step }),
        "late_outcome" => {
            return Some(Change::LateOutcome {
                step: step?,
                run: run?,
            });
        }
        _ => {}
    }
    let (from, to) = (entry.from?, entry.to?);
    let Some(step) = step else {
        return Some(Change::Task {
            from: from.parse().ok()?,
            event: entry.event.parse().ok()?,
            to: to.parse().ok()?,
        });
    };
    Some(Change::Step {
        step,
        from: from.parse().ok()?,
        event: entry.event.parse().ok()?,
        to: to.parse().ok()?,
        run: run?,
        attempt: entry.attempt?,
        handler_version: entry
            .handler_version
            .as_ref()
            .and_then(|version| version.parse().ok()),
        ran_us: entry.ran_us,
    })
}
