//! The checker of histories: does what a store holds follow the rules?
//!
//! [`verify_task`] is pure. It replays a task's whole history through the transition tables and compares the outcome
//! with the rows, the counters, the queue and the results. It shares nothing with the stores but the tables and the
//! facts of readiness, so that a mistake in a store does not hide itself. [`verify_store`] and [`verify_all`] read
//! tasks from a store and check each. Nothing here changes anything.

mod fault;
mod mend;
mod replay;
mod report;
mod rows;
#[cfg(test)]
mod tests;

use tasker_types::{Position, StepNo, TaskId};

use crate::json::Json;
use crate::record::{Snapshot, Transition};

pub use fault::{Fault, Violation};
pub use mend::{Mend, Proposal};
pub use report::{Report, verify_all, verify_store};

/// Checks one task: its whole history up to the snapshot, in order, and the results of its steps.
///
/// Returns nothing when every rule holds. A violation names the rule, the step and the transitions concerned; one
/// mistake of a store may violate several rules.
///
/// # Complexity
///
/// Linear in the length of the history and in the steps and edges of the task; a start costs the number of the step's
/// parents.
pub fn verify_task(
    snapshot: &Snapshot,
    history: &[Transition],
    results: &[(StepNo, Json)],
) -> Vec<Violation> {
    let mut findings = Findings {
        task: snapshot.task.id,
        found: Vec::new(),
    };
    let template = snapshot.task.template.steps().len();
    let numbered = snapshot
        .steps
        .iter()
        .zip(0..)
        .all(|(row, number)| row.step == StepNo(number));
    if snapshot.steps.len() != template || !numbered {
        findings.add(
            None,
            [],
            Fault::StepsDiffer {
                template,
                rows: snapshot.steps.len(),
            },
        );
        return findings.found;
    }
    let replayed = replay::replay(&snapshot.task, history, &mut findings);
    rows::check(snapshot, results, &replayed, &mut findings);
    findings.found
}

/// The violations of one task.
struct Findings {
    task: TaskId,
    found: Vec<Violation>,
}

impl Findings {
    fn add(&mut self, step: Option<StepNo>, positions: impl IntoIterator<Item = Position>, fault: Fault) {
        let positions = positions.into_iter().collect();
        self.found.push(Violation {
            task: self.task,
            step,
            positions,
            fault,
        });
    }
}
