//! What must be true in the end.

use std::collections::BTreeMap;

use tasker_engine::{Change, StepEvent, verify_all};
use tasker_types::{Position, RunNo, StepState};

use super::super::script::Cast;
use super::Life;

impl Life {
    /// Holds what there is against the rules and against what was acknowledged.
    pub(super) async fn check(&mut self) {
        self.probe.sleep(true);
        if let Err(error) = self.look_through().await {
            self.problem(format!("the store cannot be read in the end: {error:#}"));
        }
        self.probe.sleep(false);
    }

    pub(super) async fn look_through(&mut self) -> anyhow::Result<()> {
        // A connection that was dropped by the last fault is noticed and replaced.
        if let Some(open) = &self.open
            && open.store().position().await.is_err()
        {
            self.close().await;
        }
        let open = self.opened().await?;
        let store = open.store();
        let report = verify_all(store).await?;
        if !report.holds() {
            self.problem(report.to_string());
        }
        let mut found = BTreeMap::new();
        for one in Cast::ALL {
            if let Some(snapshot) = store.snapshot(one.id()).await? {
                if !one.ends().contains(&snapshot.task.state) {
                    self.problem(format!("{one:?} is {} in the end", snapshot.task.state));
                }
                found.insert(one.id(), snapshot);
            } else if self.acknowledged.created.contains(&one.id()) && !self.acknowledged.pruned {
                self.problem(format!("{one:?} was created and is not there"));
            }
        }
        for ((task, step), run) in self.acknowledged.results.clone() {
            let Some(snapshot) = found.get(&task) else {
                if !self.acknowledged.pruned {
                    self.problem(format!("the task `{task}` has a result and is not there"));
                }
                continue;
            };
            let row = &snapshot.steps[step.0 as usize];
            let results = store.results(task).await?;
            let result = results.iter().find(|(own, _)| *own == step);
            let name = snapshot.task.template.step(step).name().to_string();
            if row.state != StepState::Complete || result.is_none_or(|(_, result)| result.to_value() != name)
            {
                self.problem(format!(
                    "the result of `{name}` of the task `{task}` was acknowledged and is lost"
                ));
            }
            let history = store.history(task, Position(0), u32::MAX).await?;
            let runs: Vec<RunNo> = history
                .iter()
                .filter_map(|entry| match entry.change {
                    Change::Step {
                        step: own,
                        event: StepEvent::Succeed,
                        run,
                        ..
                    } if own == step => Some(run),
                    _ => None,
                })
                .collect();
            if runs != [run] {
                self.problem(format!(
                    "the result of `{name}` of the task `{task}` was acknowledged of run {run}, and recorded of {runs:?}"
                ));
            }
        }
        Ok(())
    }
}
