//! Writing a unit of work back, a statement for each kind of row.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use serde::Serialize;
use tasker_types::{StepState, TaskState, Timestamp};

use super::connection::Connection;
use super::kept::SMALL;
use super::rows::{StepRow, json, packed, payload};
use super::statement::{Bind, Statement};
use super::unit::Unit;
use crate::work::{Counts, Kind, TaskRow, Tracked};

const INSERT_TASKS: &str = "\
INSERT INTO tasks (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, \
    request_digest, origin, parent_task, parent_step, root_task, created_at, updated_at, started_at, finished_at, \
    start_at, deadline_at, next_check_at) \
SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
    value->>9, value->>10, value->>11, unhex(value->>12), value->>13, \
    (SELECT coalesce(parent.root_task, parent.id) FROM tasks AS parent WHERE parent.id = unhex(value->>12)), \
    ?2, ?2, value->>14, value->>15, value->>16, value->>17, value->>18 \
FROM jsonb_each(?1)";

const UPDATE_TASKS: &str = "\
UPDATE tasks SET state = u.state, failure = u.failure, priority = u.priority, live_steps = u.live_steps, \
    started_at = u.started_at, finished_at = u.finished_at, deadline_at = u.deadline_at, \
    next_check_at = u.next_check_at, updated_at = u.updated_at \
FROM (SELECT value->>0 AS key, value->>1 AS state, value->>2 AS failure, value->>3 AS priority, \
    value->>4 AS live_steps, value->>5 AS started_at, value->>6 AS finished_at, value->>7 AS deadline_at, \
    value->>8 AS next_check_at, value->>9 AS updated_at FROM jsonb_each(?1)) AS u \
WHERE tasks.key = u.key";

/// Finds tasks by what was said about them.
pub(super) const INSERT_LABELS: &str = "\
INSERT INTO task_labels (kind, value, created_at, task) \
SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each(?1)";

/// For tasks of which nothing else changed.
const START_TASKS: &str = "\
UPDATE tasks SET state = 'in_progress', started_at = ?2, updated_at = ?2 WHERE key IN (SELECT value FROM json_each(?1))";

/// For tasks of which nothing else changed.
const COMPLETE_TASKS: &str = "\
UPDATE tasks SET state = 'complete', finished_at = ?2, updated_at = ?2, live_steps = 0, next_check_at = NULL \
WHERE key IN (SELECT value FROM json_each(?1))";

const UPSERT_STEPS: &str = "\
INSERT INTO steps (key, state, attempts, run, retry_limit, retryable, permanent, unmet_parents, queue, \
    next_retry_at, started_at, finished_at, timeout_us, lease) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
    value->>9, value->>10, value->>11, value->>12, value->>13 \
FROM jsonb_each(?1) WHERE true \
ON CONFLICT (key) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, run = excluded.run, \
    retry_limit = excluded.retry_limit, permanent = excluded.permanent, unmet_parents = excluded.unmet_parents, \
    next_retry_at = excluded.next_retry_at, started_at = excluded.started_at, \
    finished_at = excluded.finished_at, timeout_us = excluded.timeout_us, lease = excluded.lease";

/// For steps of which nothing else changed.
const COMPLETE_STEPS: &str = "\
UPDATE steps SET state = 'complete', finished_at = ?2, lease = NULL \
WHERE key IN (SELECT value FROM json_each(?1))";

/// For steps of which nothing else changed.
const CLAIM_STEPS: &str = "\
UPDATE steps SET state = 'in_progress', started_at = ?2, finished_at = NULL, next_retry_at = NULL, \
    attempts = attempts + 1, run = run + 1, unmet_parents = 0, lease = ?3 \
WHERE key IN (SELECT value FROM json_each(?1))";

const DELETE_READY: &str = "\
DELETE FROM ready_steps WHERE (queue, parked, rank, task, step) IN \
    (SELECT value->>0, p.parked, value->>1, value->>2, value->>3 \
    FROM jsonb_each(?1) CROSS JOIN (SELECT 0 AS parked UNION ALL SELECT 1) AS p)";

const INSERT_READY: &str = "\
INSERT INTO ready_steps (queue, parked, rank, task, step, due_at) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_each(?1)";

const DELETE_PAYLOADS: &str = "DELETE FROM payloads WHERE key IN (SELECT value FROM json_each(?1))";

const UPSERT_PAYLOADS: &str = "\
INSERT OR REPLACE INTO payloads (key, body) SELECT value->>0, value->>1 FROM jsonb_each(?1)";

/// Of a request that creates more tasks than this, none is kept: they will wait for a while.
const KEEP_CREATED: usize = 64;

const COUNTS: &str = "\
SELECT k.value, count(*), sum(s.state IN ('complete', 'resolved_manually')) \
FROM json_each(?1) AS k CROSS JOIN steps AS s ON s.key >= k.value << 24 AND s.key < (k.value + 1) << 24 \
GROUP BY k.value";

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

impl Unit<'_> {
    /// Counts the steps of tasks as the database has them.
    pub(super) fn counts(&mut self, tasks: &[i64]) -> QueryResult<BTreeMap<i64, Counts>> {
        let mut counts = BTreeMap::new();
        let mut unknown = Vec::new();
        for task in tasks {
            match self.cache.kept.get(*task) {
                Some(kept) if kept.whole => {
                    let done = kept.steps.values().filter(|row| row.state.is_done()).count();
                    let number = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
                    let (steps, done) = (number(kept.steps.len()), number(done));
                    counts.insert(*task, Counts { steps, done });
                }
                _ => unknown.push(*task),
            }
        }
        if !unknown.is_empty() {
            let list = json(&unknown);
            let rows =
                Statement::<(BigInt, BigInt, BigInt)>::new(COUNTS, &[Bind::Text(&list)])
                    .load::<(i64, i64, i64)>(self.connection)?;
            let rows = rows.into_iter();
            counts.extend(rows.map(|(task, steps, done)| (task, Counts { steps, done })));
        }
        Ok(counts)
    }

    /// Writes everything that changed.
    pub(super) fn flush(&mut self) -> QueryResult<()> {
        self.work.count_live();
        self.flush_tasks()?;
        self.flush_labels()?;
        self.flush_leases()?;
        self.flush_steps()?;
        self.flush_queue()?;
        self.flush_payloads()?;
        self.flush_entries()?;
        self.keep();
        Ok(())
    }

    /// Keeps what was written for the next unit.
    fn keep(&mut self) {
        let few = self.work.created.len() <= KEEP_CREATED;
        let kept = &mut self.cache.kept;
        for (key, Tracked { now: row, .. }) in &self.work.tasks {
            if !row.state.is_active() {
                kept.forget(*key);
            } else if !self.work.created.contains_key(key) {
                kept.put_task(*key, row);
            } else if few && row.graph.template.steps().len() <= SMALL {
                let steps = row.graph.template.steps().iter().zip(0_u32..);
                let steps = steps.map(|(step, number)| (number, StepRow::new(step, None)));
                kept.put_task(*key, row);
                kept.put_whole(*key, steps.collect());
            }
        }
        for (key, row) in &self.work.steps {
            kept.put_step(*key, &row.now);
        }
        for key in self.work.payloads.keys() {
            if matches!(key.1, Kind::Context | Kind::Config) {
                kept.drop_carried(key.0.0);
            }
        }
        for (key, carried) in &self.carried {
            kept.put_carried(*key, carried);
        }
    }

    fn flush_tasks(&mut self) -> QueryResult<()> {
        let mut inserts = Vec::new();
        let (mut started, mut completed, mut updates) = (Vec::new(), Vec::new(), Vec::new());
        for (key, Tracked { before, now }) in &self.work.tasks {
            if let Some(before) = before {
                if *before == *now {
                    continue;
                }
                let start = TaskRow {
                    state: TaskState::InProgress,
                    started_at: Some(self.work.now),
                    updated_at: self.work.now,
                    ..before.clone()
                };
                let complete = TaskRow {
                    state: TaskState::Complete,
                    finished_at: Some(self.work.now),
                    updated_at: self.work.now,
                    live_steps: 0,
                    next_check_at: None,
                    ..before.clone()
                };
                if *now == start {
                    started.push(key);
                    continue;
                }
                if *now == complete {
                    completed.push(key);
                    continue;
                }
            }
            let state = now.state.as_str();
            let failure = now.failure.map(tasker_engine::FailureReason::as_str);
            let (began, finished) = (micros(now.started_at), micros(now.finished_at));
            let (deadline, check) = (micros(now.deadline_at), micros(now.next_check_at));
            if let Some(new) = self.work.created.get(key) {
                let namespace = new.idempotency.as_ref().map(|_| now.graph.template.namespace());
                let (parent, parent_step) = new
                    .parent
                    .map_or((None, None), |(task, step)| (Some(hex(task)), Some(step.0)));
                inserts.push((
                    (
                        key,
                        hex(now.id),
                        now.graph.id,
                        state,
                        failure,
                        now.priority,
                        now.live_steps,
                        &new.identity,
                    ),
                    namespace,
                    new.idempotency.as_ref().map(|idempotency| &idempotency.key),
                    new.idempotency.as_ref().map(|idempotency| &idempotency.digest),
                    &new.origin,
                    parent,
                    parent_step,
                    (began, finished, micros(new.start_at), deadline, check),
                ));
            } else {
                let (priority, live, updated) = (now.priority, now.live_steps, now.updated_at.as_micros());
                updates.push((
                    key, state, failure, priority, live, began, finished, deadline, check, updated,
                ));
            }
        }
        let inserts: Vec<Vec<serde_json::Value>> = inserts.iter().map(flatten).collect();
        run_at(self.connection, INSERT_TASKS, &inserts, self.work.now)?;
        run_at(self.connection, START_TASKS, &started, self.work.now)?;
        run_at(self.connection, COMPLETE_TASKS, &completed, self.work.now)?;
        run(self.connection, UPDATE_TASKS, &updates)
    }

    /// Writes what new tasks are found by.
    fn flush_labels(&mut self) -> QueryResult<()> {
        let now = self.work.now.as_micros();
        let rows = self.work.created.iter().flat_map(|(key, new)| {
            let labels = new.labels.iter();
            labels.map(move |(kind, value)| (kind.as_str(), value, now, key))
        });
        let rows: Vec<_> = rows.collect();
        run(self.connection, INSERT_LABELS, &rows)
    }

    /// Writes steps: those that were just claimed or completed, which are most, with only what such a step changes.
    fn flush_steps(&mut self) -> QueryResult<()> {
        let now = Some(self.work.now);
        let (mut completed, mut others) = (Vec::new(), Vec::new());
        let mut claimed: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
        for (place, Tracked { before, now: row }) in &self.work.steps {
            let key = packed(*place);
            if let Some(before) = before {
                if before == row {
                    continue;
                }
                let began = StepRow {
                    state: StepState::InProgress,
                    run: before.run + 1,
                    attempts: before.attempts + 1,
                    unmet_parents: 0,
                    started_at: now,
                    next_retry_at: None,
                    finished_at: None,
                    lease: row.lease,
                    ..before.clone()
                };
                if let Some(lease) = row.lease
                    && began == *row
                {
                    claimed.entry(lease.id).or_default().push(key);
                    continue;
                }
                let ended = StepRow {
                    state: StepState::Complete,
                    finished_at: now,
                    lease: None,
                    ..before.clone()
                };
                if ended == *row {
                    completed.push(key);
                    continue;
                }
            }
            others.push((
                key,
                row.state.as_str(),
                row.attempts,
                row.run,
                row.retry_limit,
                u8::from(row.retryable),
                u8::from(row.permanent),
                row.unmet_parents,
                self.work.tasks[&place.0].now.graph.queues[place.1 as usize],
                micros(row.next_retry_at),
                micros(row.started_at),
                micros(row.finished_at),
                row.timeout_us,
                row.lease.map(|lease| lease.id),
            ));
        }
        run_at(self.connection, COMPLETE_STEPS, &completed, self.work.now)?;
        for (lease, steps) in claimed {
            let steps = json(&steps);
            let binds = [
                Bind::Text(&steps),
                Bind::Int(self.work.now.as_micros()),
                Bind::Int(lease),
            ];
            Statement::<()>::new(CLAIM_STEPS, &binds).execute(self.connection)?;
        }
        run(self.connection, UPSERT_STEPS, &others)
    }

    fn flush_queue(&mut self) -> QueryResult<()> {
        let mut deletes = Vec::new();
        let mut inserts = Vec::new();
        for ((task, step), row) in &self.work.steps {
            let owner = &self.work.tasks[task];
            let queue = owner.now.graph.queues[*step as usize];
            let before = row.before.as_ref().zip(owner.before.as_ref());
            let before = before.and_then(|(row, task)| row.place(task.state.is_active(), task.priority));
            let after = row.now.place(owner.now.state.is_active(), owner.now.priority);
            if before == after {
                continue;
            }
            if let Some(before) = before {
                deletes.push((queue, before.rank, task, step));
            }
            if let Some(after) = after {
                let later = after.due_at.filter(|due| *due > self.work.now);
                let parked = u8::from(later.is_some());
                inserts.push((queue, parked, after.rank, *task, *step, micros(after.due_at)));
                self.cache.line.added(queue, later);
                self.added.push(after.due_at);
            }
        }
        if !tasker_types::bug(65) {
            run(self.connection, DELETE_READY, &deletes)?;
        }
        run(self.connection, INSERT_READY, &inserts)
    }

    fn flush_payloads(&mut self) -> QueryResult<()> {
        let mut deletes = Vec::new();
        let mut writes = Vec::new();
        for (place, body) in &self.work.payloads {
            match body {
                Some(body) => writes.push((payload(*place), body.as_str())),
                None => deletes.push(payload(*place)),
            }
        }
        run(self.connection, DELETE_PAYLOADS, &deletes)?;
        run(self.connection, UPSERT_PAYLOADS, &writes)
    }

    /// Tells whether this unit left work in the queue that is due, or must wake listeners anyhow.
    pub(super) fn wakes(&self) -> bool {
        self.work.woken
            || self
                .added
                .iter()
                .any(|due| due.is_none_or(|due| due <= self.work.now))
    }
}

/// Carries out a statement over rows at a time, unless there are none.
fn run_at<T: Serialize>(
    connection: &mut Connection,
    sql: &'static str,
    rows: &[T],
    now: Timestamp,
) -> QueryResult<()> {
    if !rows.is_empty() {
        let rows = json(rows);
        Statement::<()>::new(sql, &[Bind::Text(&rows), Bind::Int(now.as_micros())]).execute(connection)?;
    }
    Ok(())
}

/// Carries out a statement over rows, unless there are none.
pub(super) fn run<T: Serialize>(
    connection: &mut Connection,
    sql: &'static str,
    rows: &[T],
) -> QueryResult<()> {
    if !rows.is_empty() {
        let rows = json(rows);
        Statement::<()>::new(sql, &[Bind::Text(&rows)]).execute(connection)?;
    }
    Ok(())
}

/// Returns the leaves of nested tuples, in order.
fn flatten<T: Serialize>(row: &T) -> Vec<serde_json::Value> {
    fn walk(value: serde_json::Value, out: &mut Vec<serde_json::Value>) {
        match value {
            serde_json::Value::Array(values) => values.into_iter().for_each(|value| walk(value, out)),
            leaf => out.push(leaf),
        }
    }
    let mut out = Vec::new();
    walk(serde_json::to_value(row).unwrap_or_default(), &mut out);
    out
}

pub(super) fn hex(task: tasker_types::TaskId) -> String {
    task.to_string().replace('-', "")
}
