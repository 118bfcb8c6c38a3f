//! Writing leases: a row for the steps that are handed out together.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;

use super::rows::{LeaseRow, json, packed, unpacked};
use super::statement::{Bind, Statement};
use super::unit::Unit;
use crate::work::StepKey;

const INSERT: &str = "\
INSERT INTO leases (id, token, actor, process, until, held, steps) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";

/// Returns the steps that a lease was given for, from how the database has them.
pub(super) fn steps_of(list: &str) -> Vec<StepKey> {
    let keys: Vec<i64> = serde_json::from_str(list).unwrap_or_default();
    keys.into_iter().map(unpacked).collect()
}

impl Unit<'_> {
    /// Writes the leases that came, went or were extended, and numbers those that came.
    pub(super) fn flush_leases(&mut self) -> QueryResult<()> {
        let mut given: BTreeMap<LeaseRow, Vec<StepKey>> = BTreeMap::new();
        let mut taken: BTreeMap<i64, i64> = BTreeMap::new();
        for (key, row) in &self.work.steps {
            let before = row.before.as_ref().and_then(|row| row.lease);
            let after = row.now.lease;
            if before == after {
                continue;
            }
            if let Some(after) = after {
                given.entry(after).or_default().push(*key);
            }
            if let Some(before) = before {
                *taken.entry(before.id).or_default() += 1;
            }
        }
        for (lease, steps) in given {
            if lease.id != 0 && self.extend(&lease, steps.len())? {
                taken.remove(&lease.id);
                continue;
            }
            let id = self.cache.next_lease(self.connection)?;
            self.give(&lease, id, &steps)?;
            for step in steps {
                self.work.step_mut(step).lease = Some(LeaseRow { id, ..lease });
            }
        }
        for (lease, count) in taken {
            self.take(lease, count)?;
        }
        Ok(())
    }

    /// Extends a lease, if it is for so many steps; a part of them needs a lease of its own.
    fn extend(&mut self, lease: &LeaseRow, steps: usize) -> QueryResult<bool> {
        const EXTEND: &str = "UPDATE leases SET until = ?2 WHERE id = ?1 AND held = ?3";
        let steps = i64::try_from(steps).unwrap_or(i64::MAX);
        let binds = [
            Bind::Int(lease.id),
            Bind::Int(lease.until.as_micros()),
            Bind::Int(steps),
        ];
        Ok(Statement::<()>::new(EXTEND, &binds).execute(self.connection)? == 1)
    }

    fn give(&mut self, lease: &LeaseRow, id: i64, steps: &[StepKey]) -> QueryResult<()> {
        let keys = json(&steps.iter().map(|step| packed(*step)).collect::<Vec<_>>());
        let binds = [
            Bind::Int(id),
            Bind::Int(lease.token.0),
            Bind::Int(lease.actor),
            Bind::Int(lease.process),
            Bind::Int(lease.until.as_micros()),
            Bind::Int(i64::try_from(steps.len()).unwrap_or(i64::MAX)),
            Bind::Text(&keys),
        ];
        Statement::<()>::new(INSERT, &binds).execute(self.connection)?;
        Ok(())
    }

    /// Takes so many steps off a lease, which goes with the last one.
    fn take(&mut self, lease: i64, steps: i64) -> QueryResult<()> {
        const LAST: &str = "DELETE FROM leases WHERE id = ?1 AND held = ?2";
        const SOME: &str = "UPDATE leases SET held = held - ?2 WHERE id = ?1";
        let binds = [Bind::Int(lease), Bind::Int(steps)];
        if Statement::<()>::new(LAST, &binds).execute(self.connection)? == 0 {
            Statement::<()>::new(SOME, &binds).execute(self.connection)?;
        }
        Ok(())
    }

    /// Returns the steps that leases were given for, which a statement selects with their keys, if they still are.
    pub(super) fn held_under(&mut self, sql: &'static str, binds: &[Bind<'_>]) -> QueryResult<Vec<StepKey>> {
        use diesel::sql_types::Text;
        let leases = Statement::<(BigInt, Text)>::new(sql, binds).load::<(i64, String)>(self.connection)?;
        let mut held = Vec::new();
        for (lease, steps) in leases {
            let steps = steps_of(&steps);
            self.load_tasks(steps.iter().map(|step| step.0))?;
            self.load_steps(steps.iter().copied())?;
            held.extend(steps.into_iter().filter(|step| {
                let row = self.work.steps.get(step);
                row.and_then(|row| row.now.lease)
                    .is_some_and(|own| own.id == lease)
            }));
        }
        held.sort_unstable();
        Ok(held)
    }
}
