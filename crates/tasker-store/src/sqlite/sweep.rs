//! What time demands: leases that are over, deadlines, tasks to look at.

use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use tasker_engine::{
    Actor, Entropy, Failure, FailureReason, Json, Scope, SeededEntropy, StepEvent, Sweep, Swept, TaskEvent,
    retry_delay,
};
use tasker_types::{StepNo, TaskContext, TaskId, Timestamp};

use super::rows::{json, key_of};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use crate::work::{CHECK_AGAIN, Note, StepKey};

/// There are few leases, since one is for all steps that were handed out together.
const OVER: &str = "SELECT id, steps FROM leases WHERE until < ?1 OR process IN (SELECT value FROM json_each(?2)) ORDER BY id";

// Without the index's name the planner walks through all tasks in the order of their keys.
const OVERDUE: &str = "SELECT key FROM tasks INDEXED BY tasks_deadline_at_index WHERE deadline_at <= ?1 \
     AND next_check_at IS NOT NULL AND (?2 IS NULL OR key = ?2) ORDER BY key LIMIT ?3";

const DUE: &str = "SELECT key FROM tasks INDEXED BY tasks_next_check_at_index WHERE next_check_at <= ?1 \
     AND (?2 IS NULL OR key = ?2) ORDER BY key LIMIT ?3";

const NEXT_DEADLINE: &str = "SELECT deadline_at FROM tasks INDEXED BY tasks_deadline_at_index \
     WHERE deadline_at IS NOT NULL AND next_check_at IS NOT NULL AND (?1 IS NULL OR key = ?1) \
     ORDER BY deadline_at LIMIT 1";

impl Unit<'_> {
    /// Ends leases that are over or whose process is dead, fails tasks past their deadline, names tasks to look at.
    pub(super) fn sweep(&mut self, sweep: &Sweep, dead: &[i64]) -> Result<Swept, Trouble> {
        let mut swept = Swept::default();
        let scope = match sweep.scope {
            Scope::All => None,
            Scope::Task(task) => match key_of(self.connection, task)? {
                Some(key) => Some(key),
                None => return Ok(swept),
            },
        };
        let system = self.actor(&Actor::System)?;
        let over = self.over(dead, scope, sweep.limit)?;
        let random = SeededEntropy::new(sweep.seed);
        for key in over {
            let failure = Failure::lease_expired();
            let note = Note {
                metadata: Json::of(&failure).ok(),
                ..Note::default()
            };
            if self.work.apply(key, StepEvent::Expire, system, note).is_ok() {
                let attempts = self.work.step(key).attempts;
                let wait = retry_delay(&sweep.backoff, attempts, None, &mut || random.next_u64());
                self.work.set_failure(key, &failure, wait);
                swept.expired.push((self.work.task(key.0).id, StepNo(key.1)));
            }
        }
        for key in self.keys(OVERDUE, scope, sweep.limit)? {
            self.load_tasks([key])?;
            self.load_all_steps(key)?;
            if self.work.task(key).state.is_active() {
                let reason = Some(FailureReason::DeadlineExceeded);
                let state = self
                    .work
                    .apply_to_task(key, TaskEvent::Fail, system, reason, None)?;
                swept.finished.push((self.work.task(key).id, state));
            }
        }
        let ended = self.finalize_touched()?;
        swept.finished.extend(ended);
        // Tasks that this sweep ended still stand in the table, and must not take the place of others.
        let loaded = u32::try_from(self.work.tasks.len()).unwrap_or(u32::MAX);
        for key in self.keys(DUE, scope, sweep.limit.saturating_add(loaded))? {
            if swept.due.len() >= sweep.limit as usize {
                break;
            }
            self.load_tasks([key])?;
            let again = self.work.now.plus(CHECK_AGAIN);
            let now = self.work.now;
            let task = self.work.task_mut(key);
            if task.next_check_at.is_some_and(|check| check <= now) {
                task.next_check_at = Some(again);
                swept.due.push(task.id);
            }
        }
        self.flush()?;
        swept.next_deadline_in = self.next_deadline_in(scope)?;
        Ok(swept)
    }

    fn next_deadline_in(&mut self, scope: Option<i64>) -> QueryResult<Option<Duration>> {
        let rows = Statement::<(BigInt,)>::new(NEXT_DEADLINE, &[Bind::MaybeInt(scope)])
            .load::<(i64,)>(self.connection)?;
        Ok(rows
            .first()
            .map(|row| Timestamp::from_micros(row.0).since(self.work.now)))
    }

    fn over(&mut self, dead: &[i64], scope: Option<i64>, limit: u32) -> QueryResult<Vec<StepKey>> {
        let dead = json(dead);
        let mut over = self.held_under(
            OVER,
            &[
                Bind::Int(self.work.now.as_micros() + i64::from(tasker_types::bug(71)) * 1_000_000),
                Bind::Text(&dead),
            ],
        )?;
        over.retain(|key| scope.is_none_or(|task| task == key.0));
        over.truncate(limit as usize);
        Ok(over)
    }

    fn keys(&mut self, sql: &'static str, scope: Option<i64>, limit: u32) -> QueryResult<Vec<i64>> {
        let binds = [
            Bind::Int(self.work.now.as_micros()),
            Bind::MaybeInt(scope),
            Bind::Int(i64::from(limit)),
        ];
        let rows = Statement::<(BigInt,)>::new(sql, &binds).load::<(i64,)>(self.connection)?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    /// Looks at a task as the finalizer does, and returns its context as it was before.
    pub(super) fn examine(&mut self, task: TaskId) -> Result<Option<TaskContext>, Trouble> {
        let Some(key) = key_of(self.connection, task)? else {
            return Ok(None);
        };
        self.load_tasks([key])?;
        let context = self.active_context(key)?;
        self.work.touched.insert(key);
        self.finalize_touched()?;
        self.flush()?;
        Ok(context)
    }

    /// Notes when the safety net looks at a task again.
    pub(super) fn check_in(&mut self, task: TaskId, delay: Duration) -> Result<(), Trouble> {
        if let Some(key) = key_of(self.connection, task)? {
            self.load_tasks([key])?;
            if self.work.task(key).state.is_active() {
                let at = self.work.now.plus(delay);
                self.work.task_mut(key).next_check_at = Some(at);
                self.flush()?;
            }
        }
        Ok(())
    }
}
