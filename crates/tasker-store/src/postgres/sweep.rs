//! What time demands: leases that are over, deadlines, tasks to look at.

use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer};
use tasker_engine::{
    Entropy, Failure, FailureReason, Json, Scope, SeededEntropy, StepEvent, Sweep, Swept, TaskEvent,
    retry_delay,
};
use tasker_types::{StepNo, TaskContext, TaskId, Timestamp};

use super::rows::{key_of, small};
use super::statement::{Bind, Statement, execute};
use super::unit::{Session, Trouble, Unit};
use crate::work::{CHECK_AGAIN, Note, StepKey};

/// Steps whose lease is over, found by the hand-outs that they belong to: by their keys, also by a plan from the time when
/// the tables were empty.
const OVER: &str = "\
WITH l AS MATERIALIZED (SELECT l.token, l.tasks, l.steps FROM leases AS l WHERE l.until < $1 ORDER BY l.until) \
SELECT DISTINCT s.task, s.step FROM l CROSS JOIN unnest(l.tasks, l.steps) AS k (task, step) CROSS JOIN LATERAL ( \
    SELECT s.task, s.step FROM steps AS s WHERE s.task = k.task AND s.step = k.step AND (s.token = l.token) IS TRUE \
        AND (s.lease_until < $1) IS TRUE LIMIT 1) AS s \
WHERE $2::bigint IS NULL OR s.task = $2 ORDER BY s.task, s.step LIMIT $3";

/// Hand-outs that are over in part or not at all are looked at again when the next of their leases ends.
const POSTPONE: &str = "\
WITH o AS MATERIALIZED (SELECT l.token, l.actor, l.tasks, l.steps FROM leases AS l WHERE l.until < $1 ORDER BY l.until), \
n AS MATERIALIZED (SELECT o.token, o.actor, min(s.lease_until) AS until \
    FROM o CROSS JOIN unnest(o.tasks, o.steps) AS k (task, step) CROSS JOIN LATERAL ( \
        SELECT s.lease_until FROM steps AS s WHERE s.task = k.task AND s.step = k.step AND (s.token = o.token) IS TRUE \
            LIMIT 1) AS s GROUP BY o.token, o.actor) \
UPDATE leases AS l SET until = n.until FROM n WHERE l.token = n.token AND l.actor = n.actor AND n.until > l.until";

/// Hand-outs of which no step is held any more are forgotten.
const FORGET: &str = "\
DELETE FROM leases AS l WHERE l.ctid = ANY (ARRAY( \
    SELECT o.ctid FROM leases AS o WHERE o.until < $1 AND NOT EXISTS \
        (SELECT FROM unnest(o.tasks, o.steps) AS k (task, step) \
        JOIN steps AS s ON s.task = k.task AND s.step = k.step AND s.token = o.token) \
    ORDER BY o.until LIMIT 10000 FOR UPDATE SKIP LOCKED))";

/// Tasks past their deadline, by an index that has only those with one.
const OVERDUE: &str = "\
SELECT o.key FROM (SELECT t.key FROM tasks AS t WHERE t.deadline_at IS NOT NULL AND t.deadline_at <= $1 \
        AND t.next_check_at IS NOT NULL AND ($2::bigint IS NULL OR (t.key = $2) IS TRUE) \
    ORDER BY t.deadline_at, t.key LIMIT $3) AS o ORDER BY o.key";

const DUE: &str = "\
SELECT o.key FROM (SELECT t.key FROM tasks AS t WHERE t.next_check_at <= $1 \
        AND ($2::bigint IS NULL OR (t.key = $2) IS TRUE) \
    ORDER BY t.next_check_at, t.key LIMIT $3) AS o ORDER BY o.key";

/// The next deadline of the tasks that are not loaded.
const NEXT_DEADLINE: &str = "\
SELECT t.deadline_at FROM tasks AS t WHERE t.deadline_at IS NOT NULL AND t.next_check_at IS NOT NULL \
    AND ($1::bigint IS NULL OR t.key = $1) AND t.key <> ALL($2) ORDER BY t.deadline_at LIMIT 1";

/// The statements of sweeps, each with the types of its values.
#[cfg(test)]
pub(super) const SWEEPS: [(&str, &str); 6] = [
    (OVER, "bigint, bigint, bigint"),
    (POSTPONE, "bigint"),
    (FORGET, "bigint"),
    (OVERDUE, "bigint, bigint, bigint"),
    (DUE, "bigint, bigint, bigint"),
    (NEXT_DEADLINE, "bigint, bigint[]"),
];

impl Unit<'_> {
    /// Ends leases that are over, fails tasks past their deadline, names tasks to look at.
    pub(super) async fn sweep(&mut self, sweep: &Sweep) -> Result<Swept, Trouble> {
        let mut swept = Swept::default();
        let scope = match sweep.scope {
            Scope::All => None,
            Scope::Task(task) => match key_of(self.connection, task).await? {
                Some(key) => Some(key),
                None => return Ok(swept),
            },
        };
        let system = self.system;
        let over = self.over(scope, sweep.limit).await?;
        self.lock_tasks(over.iter().map(|key| key.0)).await?;
        self.load_steps(over.iter().copied()).await?;
        let random = SeededEntropy::new(sweep.seed);
        let now = self.work.now;
        for key in over {
            // Before the task was locked, its step may have been reported.
            let held = self.work.steps.get(&key).and_then(|row| row.now.lease);
            if held.is_none_or(|lease| lease.until >= now) {
                continue;
            }
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
        let overdue = self.keys(OVERDUE, scope, sweep.limit).await?;
        self.lock_free_tasks(overdue.iter().copied()).await?;
        let overdue: Vec<i64> = overdue
            .into_iter()
            .filter(|key| {
                self.work.tasks.get(key).is_some_and(|row| {
                    row.now.state.is_active() && row.now.deadline_at.is_some_and(|deadline| deadline <= now)
                })
            })
            .collect();
        if !overdue.is_empty() {
            self.lock_places(overdue.clone()).await?;
            self.load_all_steps(overdue.clone()).await?;
        }
        for key in overdue {
            let reason = Some(FailureReason::DeadlineExceeded);
            let state = self
                .work
                .apply_to_task(key, TaskEvent::Fail, system, reason, None)?;
            swept.finished.push((self.work.task(key).id, state));
        }
        let ended = self.finalize_touched().await?;
        swept.finished.extend(ended);
        // Tasks that this sweep ended still stand in the table, and must not take the place of others.
        let loaded = u32::try_from(self.work.tasks.len()).unwrap_or(u32::MAX);
        let due = self.keys(DUE, scope, sweep.limit.saturating_add(loaded)).await?;
        self.lock_free_tasks(due.iter().copied()).await?;
        let again = now.plus(CHECK_AGAIN);
        for key in due {
            if swept.due.len() >= sweep.limit as usize {
                break;
            }
            let Some(task) = self.work.tasks.get_mut(&key) else {
                continue;
            };
            if task.now.next_check_at.is_some_and(|check| check <= now) {
                task.now.next_check_at = Some(again);
                swept.due.push(task.now.id);
            }
        }
        swept.next_deadline_in = self.next_deadline_in(scope).await?;
        Ok(swept)
    }

    /// Returns how long until the next task in scope fails. What this unit changed counts, though it is not written yet.
    async fn next_deadline_in(&self, scope: Option<i64>) -> QueryResult<Option<Duration>> {
        let loaded = self.work.tasks.keys().copied().collect();
        let read =
            Statement::<(BigInt,)>::new(NEXT_DEADLINE, vec![Bind::MaybeInt(scope), Bind::Ints(loaded)])
                .load::<(i64,)>(self.connection)
                .await?;
        let here = self.work.tasks.iter().filter_map(|(key, task)| {
            let ours = scope.is_none_or(|scope| scope == *key) && task.now.state.is_active();
            task.now.deadline_at.filter(|_| ours)
        });
        let there = read.into_iter().next().map(|row| Timestamp::from_micros(row.0));
        Ok(here
            .chain(there)
            .min()
            .map(|deadline| deadline.since(self.work.now)))
    }

    async fn over(&mut self, scope: Option<i64>, limit: u32) -> QueryResult<Vec<StepKey>> {
        let rows = Statement::<(BigInt, Integer)>::new(OVER, self.sweeping(scope, limit))
            .load::<(i64, i32)>(self.connection)
            .await?;
        Ok(rows.into_iter().map(|(task, step)| (task, small(step))).collect())
    }

    async fn keys(&mut self, sql: &'static str, scope: Option<i64>, limit: u32) -> QueryResult<Vec<i64>> {
        let rows = Statement::<(BigInt,)>::new(sql, self.sweeping(scope, limit))
            .load::<(i64,)>(self.connection)
            .await?;
        Ok(rows.into_iter().map(|row| row.0).collect())
    }

    fn sweeping(&self, scope: Option<i64>, limit: u32) -> Vec<Bind<'static>> {
        vec![
            Bind::Int(self.work.now.as_micros()),
            Bind::MaybeInt(scope),
            Bind::Int(i64::from(limit)),
        ]
    }

    /// Looks at a task as the finalizer does, and returns its context as it was before.
    pub(super) async fn examine(&mut self, task: TaskId) -> Result<Option<TaskContext>, Trouble> {
        let Some(key) = key_of(self.connection, task).await? else {
            return Ok(None);
        };
        self.lock_tasks([key]).await?;
        if !self.work.tasks.contains_key(&key) {
            return Ok(None);
        }
        self.load_all_steps(vec![key]).await?;
        let context = self.work.active_context(key);
        self.work.touched.insert(key);
        self.finalize_touched().await?;
        Ok(context)
    }

    /// Notes when the safety net looks at a task again.
    pub(super) async fn check_in(&mut self, task: TaskId, delay: Duration) -> Result<(), Trouble> {
        let Some(key) = key_of(self.connection, task).await? else {
            return Ok(());
        };
        self.lock_tasks([key]).await?;
        let at = self.work.now.plus(delay);
        if let Some(row) = self
            .work
            .tasks
            .get_mut(&key)
            .filter(|row| row.now.state.is_active())
        {
            row.now.next_check_at = Some(at);
        }
        Ok(())
    }
}

impl Session {
    /// Forgets hand-outs that are over, and puts those off that are not.
    pub(super) async fn tidy_leases(&mut self) -> QueryResult<()> {
        let now = self.now().await?.as_micros();
        execute(&self.connection, FORGET, vec![Bind::Int(now)]).await?;
        execute(&self.connection, POSTPONE, vec![Bind::Int(now)]).await?;
        Ok(())
    }
}
