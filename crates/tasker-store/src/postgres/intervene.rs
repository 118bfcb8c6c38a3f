//! What operators demand.

use std::collections::BTreeMap;

use diesel::sql_types::{BigInt, Nullable, Text};
use tasker_engine::{Demand, Description, Intervened, Intervention, Origin, StoreError};
use tasker_types::{StepNo, StepState, TaskId};

use super::rows::key_of;
use super::statement::{Bind, Statement, execute};
use super::unit::{Trouble, Unit};
use super::{history, list};

impl Unit<'_> {
    /// Carries out demands; when one is refused, the caller undoes everything.
    pub(super) async fn intervene(
        &mut self,
        intervention: &Intervention,
        actor: i64,
    ) -> Result<Intervened, Trouble> {
        let task = intervention.task;
        let key = self
            .take_all(task)
            .await?
            .ok_or(StoreError::UnknownTask { task })?;
        if let Some(expected) = intervention.expected
            && history::last_of_task(self.connection, key).await? > expected.0
        {
            return Err(StoreError::Changed { task }.into());
        }
        let state = self.work.task(key).state;
        let before: BTreeMap<u32, StepState> = self
            .work
            .steps_of(key)
            .map(|(step, row)| (step, row.state))
            .collect();
        self.work.carry_out(key, intervention, actor)?;
        for demand in &intervention.demands {
            if let Demand::Describe(description) = demand {
                self.describe(key, description).await?;
            }
        }
        self.work.touched.insert(key);
        self.finalize_touched().await?;
        let changed = self
            .work
            .steps_of(key)
            .filter(|(step, row)| before.get(step) != Some(&row.state))
            .map(|(step, row)| (StepNo(step), row.state))
            .collect();
        Ok(Intervened::new(state, self.work.task(key).state, changed))
    }

    /// Says something else about a task that is locked.
    async fn describe(&mut self, key: i64, description: &Description) -> Result<(), Trouble> {
        const READ: &str = "SELECT t.origin, t.created_at FROM tasks AS t WHERE t.key = $1";
        const WRITE: &str = "UPDATE tasks SET origin = $2 WHERE key = $1";
        let (kept, created_at) = Statement::<(Nullable<Text>, BigInt)>::new(READ, vec![Bind::Int(key)])
            .get_result::<(Option<String>, i64)>(self.connection)
            .await?;
        let kept: Origin = kept
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let origin = description.applied_to(&kept).map_err(StoreError::from)?;
        list::relabel(self.connection, key, created_at, &kept, &origin).await?;
        let origin = serde_json::to_string(&origin).unwrap_or_default();
        execute(self.connection, WRITE, vec![Bind::Int(key), Bind::Text(&origin)]).await?;
        Ok(())
    }

    /// Locks a task, keeps claims away from it, and loads all its steps.
    pub(super) async fn take_all(&mut self, task: TaskId) -> Result<Option<i64>, Trouble> {
        let Some(key) = key_of(self.connection, task).await? else {
            return Ok(None);
        };
        self.lock_tasks([key]).await?;
        self.lock_places(vec![key]).await?;
        self.load_all_steps(vec![key]).await?;
        Ok(self.work.tasks.contains_key(&key).then_some(key))
    }
}
