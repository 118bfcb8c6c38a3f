//! What operators demand.

use std::collections::BTreeMap;

use diesel::sql_types::{BigInt, Nullable, Text};
use tasker_engine::{Demand, Description, Intervened, Intervention, Origin, StoreError};
use tasker_types::{StepNo, StepState};

use super::rows::{json as list_of, key_of};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use super::{history, list};

impl Unit<'_> {
    /// Carries out demands; when one is refused, the caller undoes everything.
    pub(super) fn intervene(&mut self, intervention: &Intervention) -> Result<Intervened, Trouble> {
        let task = intervention.task;
        let key = key_of(self.connection, task)?.ok_or(StoreError::UnknownTask { task })?;
        if let Some(expected) = intervention.expected
            && history::last_of_task(self.connection, key)? > expected.0
        {
            return Err(StoreError::Changed { task }.into());
        }
        self.load_tasks([key])?;
        self.load_all_steps(key)?;
        let state = self.work.task(key).state;
        let before: BTreeMap<u32, StepState> = self
            .work
            .steps_of(key)
            .map(|(step, row)| (step, row.state))
            .collect();
        let actor = self.actor(&intervention.actor)?;
        self.work.carry_out(key, intervention, actor)?;
        for demand in &intervention.demands {
            if let Demand::Describe(description) = demand {
                self.describe(key, description)?;
            }
        }
        self.work.touched.insert(key);
        self.finalize_touched()?;
        let changed = self
            .work
            .steps_of(key)
            .filter(|(step, row)| before.get(step) != Some(&row.state))
            .map(|(step, row)| (StepNo(step), row.state))
            .collect();
        self.flush()?;
        Ok(Intervened::new(state, self.work.task(key).state, changed))
    }

    /// Says something else about a task.
    fn describe(&mut self, key: i64, description: &Description) -> Result<(), Trouble> {
        const READ: &str = "SELECT origin, created_at FROM tasks WHERE key = ?1";
        const WRITE: &str = "UPDATE tasks SET origin = ?2 WHERE key = ?1";
        let kept: (Option<String>, i64) = Statement::<(Nullable<Text>, BigInt)>::new(READ, &[Bind::Int(key)])
            .get_result(self.connection)?;
        let origin: Origin = kept
            .0
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default();
        let before = origin;
        let origin = description.applied_to(&before).map_err(StoreError::from)?;
        list::relabel(self.connection, key, kept.1, &before, &origin)?;
        let origin = list_of(&origin);
        Statement::<()>::new(WRITE, &[Bind::Int(key), Bind::Text(&origin)]).execute(self.connection)?;
        Ok(())
    }
}
