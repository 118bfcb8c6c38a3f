//! What must be true in the end.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tasker_engine::{Change, Reading, Snapshot, StepEvent, verify_all};
use tasker_types::{RunNo, StepState, TaskId};

use super::super::script::Cast;
use super::Life;

impl Life {
    /// Holds what there is in the end against the rules and against what was acknowledged.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        self.watchful(async |life| {
            let found = life.look_through().await?;
            for one in Cast::ALL {
                if let Some(reading) = found.get(&one.id())
                    && !one.ends().contains(&reading.snapshot.task.state)
                {
                    let state = reading.snapshot.task.state;
                    life.problem(format!("{one:?} is {state} in the end"));
                }
            }
            Ok(())
        })
        .await
        .context("the store cannot be read in the end")
    }

    /// Holds what the process before left against the rules and against what it acknowledged, before anything is asked.
    pub(super) async fn look_back(&mut self) -> anyhow::Result<()> {
        self.watchful(async |life| life.look_through().await.map(drop))
            .await
            .context("what a process left cannot be read")
    }

    /// Looks without meeting the probe.
    async fn watchful(
        &mut self,
        look: impl AsyncFnOnce(&mut Self) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.probe.sleep(true);
        let looked = look(self).await;
        self.probe.sleep(false);
        self.gave_up |= looked.is_err();
        looked
    }

    async fn look_through(&mut self) -> anyhow::Result<BTreeMap<TaskId, Reading>> {
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
        let tasks = store.readings(&Cast::ALL.map(Cast::id)).await?;
        let found: BTreeMap<TaskId, Reading> = tasks
            .into_iter()
            .map(|reading| (reading.snapshot.task.id, reading))
            .collect();
        for one in Cast::ALL {
            if found.contains_key(&one.id()) {
                continue;
            }
            if self.acknowledged.created.contains(&one.id()) && !self.acknowledged.pruned {
                self.problem(format!("{one:?} was created and is not there"));
            }
        }
        for ((task, step), run) in self.acknowledged.results.clone() {
            let Some(reading) = found.get(&task) else {
                if !self.acknowledged.pruned {
                    self.problem(format!("the task `{task}` has a result and is not there"));
                }
                continue;
            };
            let Snapshot { task: row, steps, .. } = &reading.snapshot;
            let name = row.template.step(step).name().to_string();
            let result = reading.results.iter().find(|(own, _)| *own == step);
            if steps[step.0 as usize].state != StepState::Complete
                || result.is_none_or(|(_, result)| result.to_value() != name)
            {
                self.problem(format!(
                    "the result of `{name}` of the task `{task}` was acknowledged and is lost"
                ));
            }
            let runs: Vec<RunNo> = reading
                .history
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
        Ok(found)
    }
}
