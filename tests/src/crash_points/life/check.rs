//! What must be true in the end.

use std::collections::BTreeMap;

use anyhow::Context as _;
use tasker_engine::{Change, Snapshot, StepEvent, verify_all};
use tasker_types::{Position, RunNo, StepState, TaskId};

use super::super::script::Cast;
use super::Life;

impl Life {
    /// Holds what there is in the end against the rules and against what was acknowledged.
    pub(super) async fn check(&mut self) -> anyhow::Result<()> {
        self.watchful(async |life| {
            let found = life.look_through().await?;
            for one in Cast::ALL {
                if let Some(snapshot) = found.get(&one.id())
                    && !one.ends().contains(&snapshot.task.state)
                {
                    life.problem(format!("{one:?} is {} in the end", snapshot.task.state));
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

    async fn look_through(&mut self) -> anyhow::Result<BTreeMap<TaskId, Snapshot>> {
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
        Ok(found)
    }
}
