//! Writing a unit of work back, a statement for each kind of row.

use std::collections::BTreeMap;

use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::BigInt;
use diesel::sqlite::SqliteConnection;
use serde::Serialize;
use tasker_types::{StepState, Timestamp};

use super::rows::{StepRow, json};
use super::statement::{Bind, Statement};
use super::unit::{Entry, Tracked, Unit};

/// How many steps a task has, and how many of them are done.
#[derive(Clone, Copy, Debug)]
pub(super) struct Counts {
    pub(super) steps: i64,
    pub(super) done: i64,
}

const INSERT_TASKS: &str = "\
INSERT INTO tasks (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, \
    request_digest, origin, parent_task, parent_step, root_task, created_at, started_at, finished_at, start_at, \
    deadline_at, next_check_at) \
SELECT value->>0, unhex(value->>1), value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
    value->>9, value->>10, value->>11, unhex(value->>12), value->>13, \
    (SELECT coalesce(parent.root_task, parent.id) FROM tasks AS parent WHERE parent.id = unhex(value->>12)), \
    ?2, value->>14, value->>15, value->>16, value->>17, value->>18 \
FROM jsonb_each(?1)";

const UPDATE_TASKS: &str = "\
UPDATE tasks SET state = u.state, failure = u.failure, priority = u.priority, live_steps = u.live_steps, \
    started_at = u.started_at, finished_at = u.finished_at, deadline_at = u.deadline_at, \
    next_check_at = u.next_check_at \
FROM (SELECT value->>0 AS key, value->>1 AS state, value->>2 AS failure, value->>3 AS priority, \
    value->>4 AS live_steps, value->>5 AS started_at, value->>6 AS finished_at, value->>7 AS deadline_at, \
    value->>8 AS next_check_at FROM jsonb_each(?1)) AS u \
WHERE tasks.key = u.key";

const UPSERT_STEPS: &str = "\
INSERT INTO steps (task, step, state, attempts, run, retry_limit, retryable, permanent, unmet_parents, queue, \
    next_retry_at, started_at, finished_at, timeout_us) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6, value->>7, value->>8, \
    value->>9, value->>10, value->>11, value->>12, value->>13 \
FROM jsonb_each(?1) WHERE true \
ON CONFLICT (task, step) DO UPDATE SET state = excluded.state, attempts = excluded.attempts, run = excluded.run, \
    retry_limit = excluded.retry_limit, permanent = excluded.permanent, unmet_parents = excluded.unmet_parents, \
    next_retry_at = excluded.next_retry_at, started_at = excluded.started_at, \
    finished_at = excluded.finished_at, timeout_us = excluded.timeout_us";

const COMPLETE_STEPS: &str = "\
UPDATE steps SET state = 'complete', finished_at = ?2 \
FROM (SELECT value->>0 AS task, value->>1 AS step FROM jsonb_each(?1)) AS u \
WHERE steps.task = u.task AND steps.step = u.step";

const CLAIM_STEPS: &str = "\
UPDATE steps SET state = 'in_progress', started_at = ?2, finished_at = NULL, next_retry_at = NULL, \
    attempts = attempts + 1, run = run + 1, unmet_parents = u.unmet_parents \
FROM (SELECT value->>0 AS task, value->>1 AS step, value->>2 AS unmet_parents FROM jsonb_each(?1)) AS u \
WHERE steps.task = u.task AND steps.step = u.step";

const DELETE_READY: &str = "\
DELETE FROM ready_steps WHERE (queue, parked, rank, task, step) IN \
    (SELECT value->>0, p.parked, value->>1, value->>2, value->>3 \
    FROM jsonb_each(?1) CROSS JOIN (SELECT 0 AS parked UNION ALL SELECT 1) AS p)";

const INSERT_READY: &str = "\
INSERT INTO ready_steps (queue, parked, rank, task, step, due_at) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5 FROM jsonb_each(?1)";

const DELETE_LEASES: &str = "\
DELETE FROM leases WHERE (task, step) IN (SELECT value->>0, value->>1 FROM jsonb_each(?1))";

const UPSERT_LEASES: &str = "\
INSERT OR REPLACE INTO leases (task, step, run, token, actor, process, until) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, value->>5, value->>6 FROM jsonb_each(?1)";

const DELETE_PAYLOADS: &str = "\
DELETE FROM payloads WHERE (task, step, kind) IN (SELECT value->>0, value->>1, value->>2 FROM jsonb_each(?1))";

const UPSERT_PAYLOADS: &str = "\
INSERT OR REPLACE INTO payloads (task, step, kind, body) \
SELECT value->>0, value->>1, value->>2, value->>3 FROM jsonb_each(?1)";

const INSERT_TRANSITIONS: &str = "\
INSERT INTO transitions (task, step, event, from_state, to_state, at, actor, run, attempt, handler_version, ran_us, \
    metadata) \
SELECT value->>0, value->>1, value->>2, value->>3, value->>4, ?2, value->>5, value->>6, value->>7, value->>8, \
    value->>9, value->>10 \
FROM jsonb_each(?1)";

/// For entries that have all but numbers in common.
const INSERT_ALIKE_TRANSITIONS: &str = "\
INSERT INTO transitions (task, step, event, from_state, to_state, at, actor, run, attempt, handler_version, ran_us, \
    metadata) \
SELECT value->>0, value->>1, ?2, ?3, ?4, ?5, ?6, value->>2, value->>3, ?7, value->>4, ?8 \
FROM jsonb_each(?1)";

/// With more runs of like entries than this, one statement for all of them is faster.
const SHORT_RUNS: usize = 8;

const COUNTS: &str = "\
SELECT s.task, count(*), sum(s.state IN ('complete', 'resolved_manually')) \
FROM json_each(?1) AS k CROSS JOIN steps AS s ON s.task = k.value GROUP BY s.task";

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

/// A step's place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    rank: i16,
    due_at: Option<Timestamp>,
}

fn place(row: &StepRow, active: bool, priority: i16) -> Option<Place> {
    row.queued(active).then(|| Place {
        rank: priority.saturating_neg(),
        due_at: row.next_retry_at,
    })
}

impl Unit<'_> {
    /// Counts the steps of tasks, with what this unit has changed.
    pub(super) fn counts(&mut self, tasks: &[i64]) -> QueryResult<BTreeMap<i64, Counts>> {
        let list = json(tasks);
        let rows = Statement::<(BigInt, BigInt, BigInt)>::new(COUNTS, &[Bind::Text(&list)])
            .load::<(i64, i64, i64)>(self.connection)?;
        let mut counts: BTreeMap<i64, Counts> = rows
            .into_iter()
            .map(|(task, steps, done)| (task, Counts { steps, done }))
            .collect();
        for (key, row) in &self.steps {
            if let (Some(counts), Some(before)) = (counts.get_mut(&key.0), &row.before) {
                counts.done += i64::from(row.now.state.is_done()) - i64::from(before.state.is_done());
            }
        }
        Ok(counts)
    }

    /// Writes everything that changed.
    pub(super) fn flush(&mut self) -> QueryResult<()> {
        self.count_live();
        self.flush_tasks()?;
        self.flush_steps()?;
        self.flush_queue()?;
        self.flush_leases()?;
        self.flush_payloads()?;
        self.flush_entries()
    }

    fn flush_tasks(&mut self) -> QueryResult<()> {
        let mut inserts = Vec::new();
        let mut updates = Vec::new();
        for (key, Tracked { before, now }) in &self.tasks {
            let state = now.state.as_str();
            let failure = now.failure.map(tasker_engine::FailureReason::as_str);
            let (started, finished) = (micros(now.started_at), micros(now.finished_at));
            let (deadline, check) = (micros(now.deadline_at), micros(now.next_check_at));
            if let Some(new) = self.created.get(key) {
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
                    (started, finished, micros(new.start_at), deadline, check),
                ));
            } else if before.as_ref().is_none_or(|before| {
                before.state != now.state
                    || before.failure != now.failure
                    || before.priority != now.priority
                    || before.live_steps != now.live_steps
                    || before.deadline_at != now.deadline_at
                    || before.next_check_at != now.next_check_at
            }) {
                let live = now.live_steps;
                updates.push((
                    key,
                    state,
                    failure,
                    now.priority,
                    live,
                    started,
                    finished,
                    deadline,
                    check,
                ));
            }
        }
        let inserts: Vec<Vec<serde_json::Value>> = inserts.iter().map(flatten).collect();
        run_at(self.connection, INSERT_TASKS, &inserts, self.now)?;
        run(self.connection, UPDATE_TASKS, &updates)
    }

    /// Writes steps: those that were just claimed or completed, which are most, with only what such a step changes.
    fn flush_steps(&mut self) -> QueryResult<()> {
        let now = Some(self.now);
        let (mut completed, mut claimed, mut others) = (Vec::new(), Vec::new(), Vec::new());
        for ((task, step), row) in &self.steps {
            let Tracked { before, now: row } = row;
            if before
                .as_ref()
                .is_some_and(|before| before.is_but_for_its_lease(row))
            {
                continue;
            }
            let began = before.as_ref().filter(|before| {
                StepRow {
                    state: StepState::InProgress,
                    run: before.run + 1,
                    attempts: before.attempts + 1,
                    unmet_parents: row.unmet_parents,
                    started_at: now,
                    next_retry_at: None,
                    finished_at: None,
                    ..(*before).clone()
                }
                .is_but_for_its_lease(row)
            });
            let ended = before.as_ref().filter(|before| {
                StepRow {
                    state: StepState::Complete,
                    finished_at: now,
                    ..(*before).clone()
                }
                .is_but_for_its_lease(row)
            });
            if began.is_some() {
                claimed.push((task, step, row.unmet_parents));
            } else if ended.is_some() {
                completed.push((task, step));
            } else {
                others.push((
                    task,
                    step,
                    row.state.as_str(),
                    row.attempts,
                    row.run,
                    row.retry_limit,
                    u8::from(row.retryable),
                    u8::from(row.permanent),
                    row.unmet_parents,
                    self.tasks[task].now.graph.queues[*step as usize],
                    micros(row.next_retry_at),
                    micros(row.started_at),
                    micros(row.finished_at),
                    row.timeout_us,
                ));
            }
        }
        run_at(self.connection, COMPLETE_STEPS, &completed, self.now)?;
        run_at(self.connection, CLAIM_STEPS, &claimed, self.now)?;
        run(self.connection, UPSERT_STEPS, &others)
    }

    fn flush_queue(&mut self) -> QueryResult<()> {
        let mut deletes = Vec::new();
        let mut inserts = Vec::new();
        for ((task, step), row) in &self.steps {
            let owner = &self.tasks[task];
            let queue = owner.now.graph.queues[*step as usize];
            let before = row.before.as_ref().zip(owner.before.as_ref());
            let before = before.and_then(|(row, task)| place(row, task.state.is_active(), task.priority));
            let after = place(&row.now, owner.now.state.is_active(), owner.now.priority);
            if before == after {
                continue;
            }
            if let Some(before) = before {
                deletes.push((queue, before.rank, task, step));
            }
            if let Some(after) = after {
                let parked = u8::from(after.due_at.is_some_and(|due| due > self.now));
                inserts.push((queue, parked, after.rank, *task, *step, micros(after.due_at)));
                self.added.push(after.due_at);
            }
        }
        run(self.connection, DELETE_READY, &deletes)?;
        run(self.connection, INSERT_READY, &inserts)
    }

    fn flush_leases(&mut self) -> QueryResult<()> {
        let mut deletes = Vec::new();
        let mut inserts = Vec::new();
        for ((task, step), row) in &self.steps {
            let before = row.before.as_ref().and_then(|row| row.lease);
            let run = row.now.run;
            match row.now.lease {
                after if after == before => {}
                Some(lease) => inserts.push((
                    task,
                    step,
                    run,
                    lease.token.0,
                    lease.actor,
                    lease.process,
                    lease.until.as_micros(),
                )),
                None => deletes.push((task, step)),
            }
        }
        run(self.connection, DELETE_LEASES, &deletes)?;
        run(self.connection, UPSERT_LEASES, &inserts)
    }

    fn flush_payloads(&mut self) -> QueryResult<()> {
        let mut deletes = Vec::new();
        let mut writes = Vec::new();
        for ((task, step, kind), body) in &self.payloads {
            match body {
                Some(body) => writes.push((task, step, kind, body.as_str())),
                None => deletes.push((task, step, kind)),
            }
        }
        run(self.connection, DELETE_PAYLOADS, &deletes)?;
        run(self.connection, UPSERT_PAYLOADS, &writes)
    }

    /// Writes the history in its order. Neighbours that differ only in numbers share a statement that is told once what
    /// they have in common.
    fn flush_entries(&mut self) -> QueryResult<()> {
        let runs: Vec<&[Entry]> = self.entries.chunk_by(Entry::is_alike).collect();
        if runs.len() > SHORT_RUNS {
            return self.flush_mixed_entries();
        }
        for run in runs {
            let first = &run[0];
            let rows: Vec<_> = run
                .iter()
                .map(|entry| (entry.task, entry.step, entry.run, entry.attempt, entry.ran_us))
                .collect();
            let rows = json(&rows);
            let binds = [
                Bind::Text(&rows),
                Bind::Text(first.event),
                Bind::MaybeText(first.from),
                Bind::MaybeText(first.to),
                Bind::Int(self.now.as_micros()),
                Bind::Int(first.actor),
                Bind::MaybeText(first.handler_version.as_deref()),
                Bind::MaybeText(first.metadata.as_ref().map(tasker_engine::Json::as_str)),
            ];
            Statement::<()>::new(INSERT_ALIKE_TRANSITIONS, &binds).execute(self.connection)?;
        }
        Ok(())
    }

    fn flush_mixed_entries(&mut self) -> QueryResult<()> {
        let rows: Vec<_> = self
            .entries
            .iter()
            .map(|entry: &Entry| {
                (
                    entry.task,
                    entry.step,
                    entry.event,
                    entry.from,
                    entry.to,
                    entry.actor,
                    entry.run,
                    entry.attempt,
                    &entry.handler_version,
                    entry.ran_us,
                    entry.metadata.as_ref().map(tasker_engine::Json::as_str),
                )
            })
            .collect();
        run_at(self.connection, INSERT_TRANSITIONS, &rows, self.now)
    }

    /// Tells whether this unit left work in the queue that is due, or must wake listeners anyhow.
    pub(super) fn wakes(&self) -> bool {
        self.woken || self.added.iter().any(|due| due.is_none_or(|due| due <= self.now))
    }
}

/// Carries out a statement over rows at a time, unless there are none.
fn run_at<T: Serialize>(
    connection: &mut SqliteConnection,
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
fn run<T: Serialize>(connection: &mut SqliteConnection, sql: &'static str, rows: &[T]) -> QueryResult<()> {
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
