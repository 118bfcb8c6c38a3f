//! When the power fails.

use std::fmt;

use super::disk::{Disk, Loss};
use super::trace::Event;

/// A failure of the power.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    /// After how many events.
    pub after: usize,
    /// What it does.
    pub loss: Loss,
}

/// Returns the failures that differ: before each sync and each removal, and when something was written down as done.
pub fn failures(events: &[Event]) -> Vec<Failure> {
    let mut disk = Disk::default();
    let mut failures = Vec::new();
    for (after, event) in events.iter().enumerate() {
        let matters = matches!(event, Event::Sync(_) | Event::Remove(_) | Event::Log(..));
        if matters {
            let losses: &[Loss] = if disk.is_dirty() {
                &[Loss::All, Loss::Nothing, Loss::Some]
            } else {
                &[Loss::All]
            };
            failures.extend(losses.iter().map(|loss| Failure { after, loss: *loss }));
        }
        disk.apply(event);
    }
    failures.push(Failure {
        after: events.len(),
        loss: Loss::All,
    });
    failures
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.loss {
            Loss::All => "all that was not synced is lost",
            Loss::Nothing => "nothing is lost",
            Loss::Some => "some of what was not synced is lost",
        };
        write!(f, "the power fails after {} calls, and {what}", self.after)
    }
}
