//! Writing a request back, a statement for each kind of row.

use std::collections::BTreeSet;
#[cfg(test)]
use std::sync::LazyLock;

use tasker_types::{StepState, TaskState, Timestamp};

use super::front::Spot;
use super::rows::{LeaseRow, StepRow, Work, letter, number, payload_step, uuid};
use super::statement::Bind;
use super::unit::Unit;
use crate::work::{Kind, NewHistoryRow, NewRow, StepKey, TaskRow, Tracked};

const INSERT_TASKS: &str = "\
INSERT INTO tasks (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, \
    request_digest, origin, parent_task, parent_step, root_task, created_at, updated_at, started_at, finished_at, \
    start_at, deadline_at, next_check_at) \
SELECT u.key, u.id, u.graph, u.state, u.failure, u.priority, u.live_steps, u.identity, u.namespace, \
    u.idempotency_key, u.request_digest, u.origin, u.parent_task, u.parent_step, \
    (SELECT coalesce(parent.root_task, parent.id) FROM tasks AS parent WHERE parent.id = u.parent_task), \
    $1, $1, u.started_at, u.finished_at, u.start_at, u.deadline_at, u.next_check_at \
FROM unnest($2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20) \
    AS u (key, id, graph, state, failure, priority, live_steps, identity, namespace, idempotency_key, request_digest, \
    origin, parent_task, parent_step, started_at, finished_at, start_at, deadline_at, next_check_at)";

/// As [`INSERT_TASKS`], tasks of which nothing more is known than most: each column costs as much as a row.
const INSERT_PLAIN_TASKS: &str = "\
INSERT INTO tasks (key, id, graph, state, priority, live_steps, created_at, updated_at, next_check_at) \
SELECT u.key, u.id, u.graph, 'pending', u.priority, u.live_steps, $1, $1, u.next_check_at \
FROM unnest($2, $3, $4, $5, $6, $7) AS u (key, id, graph, priority, live_steps, next_check_at)";

/// The steps of new tasks, as the graph has them.
const INSERT_STEPS: &str = "\
INSERT INTO steps (task, step, state, attempts, run, retry_limit, retryable, permanent, unmet_parents, queue, next_retry_at) \
SELECT k.task, g.step, 'pending', 0, 0, g.retry_limit, g.retryable, false, g.parents, g.queue, \
    CASE WHEN g.parents = 0 THEN k.start_at END \
FROM unnest($1, $2, $3) AS k (task, graph, start_at) JOIN graph_steps AS g ON g.graph = k.graph \
ORDER BY k.task, g.step";

/// Finds tasks by what was said about them.
pub(super) const INSERT_LABELS: &str = "\
INSERT INTO task_labels (kind, value, created_at, task) \
SELECT u.kind, u.value, $4, u.task FROM unnest($1, $2, $3) AS u (kind, value, task)";

const UPDATE_TASKS: &str = "\
UPDATE tasks SET state = u.state, failure = u.failure, priority = u.priority, live_steps = u.live_steps, \
    started_at = u.started_at, finished_at = u.finished_at, deadline_at = u.deadline_at, \
    next_check_at = u.next_check_at, updated_at = u.updated_at \
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) \
    AS u (key, state, failure, priority, live_steps, started_at, finished_at, deadline_at, next_check_at, updated_at) \
WHERE tasks.key = u.key";

const UPDATE_STEPS: &str = "\
UPDATE steps SET state = u.state, attempts = u.attempts, run = u.run, retry_limit = u.retry_limit, \
    permanent = u.permanent, unmet_parents = u.unmet_parents, next_retry_at = u.next_retry_at, \
    started_at = u.started_at, finished_at = u.finished_at, timeout_us = u.timeout_us, token = u.token, \
    lease_actor = u.lease_actor, lease_until = u.lease_until \
FROM unnest($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) \
    AS u (task, step, state, attempts, run, retry_limit, permanent, unmet_parents, next_retry_at, started_at, \
    finished_at, timeout_us, token, lease_actor, lease_until) \
WHERE steps.task = u.task AND steps.step = u.step";

const CONFIGURE_STEPS: &str = "\
UPDATE steps SET configured = true FROM unnest($1, $2) AS u (task, step) \
WHERE steps.task = u.task AND steps.step = u.step";

const COMPLETE_STEPS: &str = "\
UPDATE steps SET state = 'complete', finished_at = $3, token = NULL, lease_actor = NULL, lease_until = NULL \
FROM unnest($1, $2) AS u (task, step) \
WHERE steps.task = u.task AND steps.step = u.step";

const CLAIM_STEPS: &str = "\
UPDATE steps SET state = 'in_progress', started_at = $7, finished_at = NULL, next_retry_at = NULL, \
    attempts = attempts + 1, run = run + 1, unmet_parents = u.unmet_parents, token = u.token, lease_actor = u.actor, \
    lease_until = u.until \
FROM unnest($1, $2, $3, $4, $5, $6) AS u (task, step, unmet_parents, token, actor, until) \
WHERE steps.task = u.task AND steps.step = u.step";

/// Each place is looked up by its whole key, also by a plan from the time when the table was empty. They are locked, so they
/// stay where they are.
pub(super) const DELETE_READY: &str = "\
DELETE FROM ready_steps AS r WHERE r.ctid = ANY (ARRAY( \
    SELECT o.ctid FROM unnest($1, $2, $3, $4) AS u (queue, rank, task, step) \
    CROSS JOIN (VALUES (false), (true)) AS p (parked) CROSS JOIN LATERAL ( \
        SELECT r.ctid FROM ready_steps AS r WHERE r.queue = u.queue AND r.parked = p.parked AND r.rank = u.rank \
            AND r.task = u.task AND r.step = u.step LIMIT 1) AS o))";

const INSERT_READY: &str = "\
INSERT INTO ready_steps (queue, parked, rank, task, step, due_at) \
SELECT * FROM unnest($1, $2, $3, $4, $5, $6)";

macro_rules! end_leases {
    () => {
        "DELETE FROM leases AS l USING unnest($1, $2, $3) AS u (token, actor, ended) \
         WHERE l.token = u.token AND l.actor = u.actor AND cardinality(l.tasks) <= u.ended"
    };
}

macro_rules! begin_leases {
    () => {
        "INSERT INTO leases AS l (token, actor, until, tasks, steps) \
         SELECT u.token, u.actor, min(u.until), array_agg(u.task), array_agg(u.step) \
         FROM unnest($4, $5, $6, $7, $8) AS u (token, actor, until, task, step) GROUP BY u.token, u.actor \
         ON CONFLICT (token, actor) DO UPDATE SET until = least(l.until, excluded.until), \
             tasks = l.tasks || excluded.tasks, steps = l.steps || excluded.steps"
    };
}

/// Hand-outs that end and that begin. One of which all steps are reported at once need not be looked at any more.
const CHANGE_LEASES: &str = concat!("WITH written AS (", end_leases!(), ") ", begin_leases!());

const DELETE_PAYLOADS: &str = "\
DELETE FROM payloads AS p USING unnest($1, $2, $3::text[]) AS u (task, step, kind) \
WHERE p.task = u.task AND p.step = u.step AND p.kind = u.kind::\"char\"";

/// What is written once: a second result of a step is refused.
const INSERT_PAYLOADS: &str = "\
INSERT INTO payloads (task, step, kind, body) \
SELECT u.task, u.step, u.kind::\"char\", u.body FROM unnest($1, $2, $3::text[], $4) AS u (task, step, kind, body)";

const UPSERT_PAYLOADS: &str = "\
INSERT INTO payloads (task, step, kind, body) \
SELECT u.task, u.step, u.kind::\"char\", u.body FROM unnest($1, $2, $3::text[], $4) AS u (task, step, kind, body) \
ON CONFLICT (task, step, kind) DO UPDATE SET body = excluded.body, encoding = excluded.encoding";

macro_rules! insert_history {
    () => {
        "INSERT INTO history (position, at, entries) \
         SELECT (((SELECT pg_current_xact_id()::text::bigint) + $1) << 19) + u.last, $2, u.entries \
         FROM unnest($3, $4) AS u (last, entries)"
    };
}

macro_rules! insert_task_history {
    () => {
        "INSERT INTO task_history (task, position) \
         SELECT u.task, (((SELECT pg_current_xact_id()::text::bigint) + $1) << 19) + u.last \
         FROM unnest($5, $6) AS u (task, last)"
    };
}

/// The history, and where each task has a part in it.
const INSERT_HISTORY: &str = concat!(
    "WITH written AS (",
    insert_history!(),
    ") ",
    insert_task_history!()
);

/// What most turns end with: statements that do not depend on one another, the parts of each, and the types of its values.
pub(super) const USUAL: [(&str, &[&str], &str); 6] = [
    (
        UPDATE_TASKS,
        &[UPDATE_TASKS],
        "bigint[], text[], text[], integer[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[]",
    ),
    (COMPLETE_STEPS, &[COMPLETE_STEPS], "bigint[], integer[], bigint"),
    (
        CLAIM_STEPS,
        &[CLAIM_STEPS],
        "bigint[], integer[], integer[], bigint[], bigint[], bigint[], bigint",
    ),
    (
        CHANGE_LEASES,
        &[end_leases!(), begin_leases!()],
        "bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], bigint[], integer[]",
    ),
    (
        INSERT_PAYLOADS,
        &[INSERT_PAYLOADS],
        "bigint[], integer[], text[], text[]",
    ),
    (
        INSERT_HISTORY,
        &[insert_history!(), insert_task_history!()],
        "bigint, bigint, bigint[], text[], bigint[], bigint[]",
    ),
];

/// The statements that a turn ends with, each with the types of its values.
#[cfg(test)]
pub(super) fn endings() -> Vec<(&'static str, &'static str)> {
    let usual = USUAL.iter().map(|(sql, _, types)| (*sql, *types));
    let others = [
        (
            UPDATE_STEPS,
            "bigint[], integer[], text[], integer[], integer[], bigint[], boolean[], integer[], bigint[], bigint[], \
             bigint[], bigint[], bigint[], bigint[], bigint[]",
        ),
        (DELETE_READY, "bigint[], integer[], bigint[], integer[]"),
        (
            INSERT_READY,
            "bigint[], boolean[], integer[], bigint[], integer[], bigint[]",
        ),
        (DELETE_PAYLOADS, "bigint[], integer[], text[]"),
        (UPSERT_PAYLOADS, "bigint[], integer[], text[], text[]"),
    ];
    static ALL: LazyLock<(String, String)> = LazyLock::new(super::together::all);
    let all = (ALL.0.as_str(), ALL.1.as_str());
    usual.chain(others).chain([all]).collect()
}

/// A place that is added to a queue.
#[derive(Clone, Copy, Debug)]
pub(super) struct Added {
    pub(super) queue: i64,
    pub(super) spot: Spot,
    due_at: Option<Timestamp>,
}

impl Added {
    /// Tells whether its step can be claimed at this time.
    pub(super) fn is_due(&self, now: Timestamp) -> bool {
        self.due_at.is_none_or(|due| due <= now)
    }
}

/// A statement and its values.
pub(super) type Change<'a> = (&'static str, Vec<Bind<'a>>);

fn micros(time: Option<Timestamp>) -> Option<i64> {
    time.map(Timestamp::as_micros)
}

/// Returns values column by column: a list of rows is taken apart once for each.
macro_rules! column {
    ($bind:ident, $rows:expr, $row:pat => $value:expr) => {
        Bind::$bind($rows.iter().map(|$row| $value).collect())
    };
}

impl Unit<'_> {
    /// Returns the statements that write what changed, and the places that they add to the queue. The transaction has so many
    /// entries of the history already.
    pub(super) fn changes(&self, entries_before: i64) -> (Vec<Change<'_>>, Vec<Added>) {
        let mut changes = Vec::new();
        let (queue, added) = queue(&self.work);
        tasks(&self.work, &mut changes);
        changes.extend(created_steps(&self.work, &self.steps_written));
        steps(&self.work, &mut changes);
        changes.extend(queue);
        leases(&self.work, &mut changes);
        payloads(&self.work, &mut changes);
        configured(&self.work, &mut changes);
        entries(&self.work, self.offset, entries_before, &mut changes);
        (changes, added)
    }
}

/// Tells whether a new task has only what most have.
fn is_plain(new: &NewRow, now: &TaskRow) -> bool {
    let said = new.identity.is_some() || new.idempotency.is_some() || new.origin.is_some();
    let times = [new.start_at, now.started_at, now.finished_at, now.deadline_at];
    now.state == TaskState::Pending
        && now.failure.is_none()
        && !said
        && new.parent.is_none()
        && times.iter().all(Option::is_none)
}

fn tasks<'a>(work: &'a Work, changes: &mut Vec<Change<'a>>) {
    let inserts: Vec<_> = work
        .created
        .iter()
        .map(|(key, new)| (*key, new, &work.tasks[key].now))
        .collect();
    let (plain, others): (Vec<_>, Vec<_>) = inserts
        .iter()
        .copied()
        .partition(|(_, new, now)| is_plain(new, now));
    if !plain.is_empty() {
        changes.push((
            INSERT_PLAIN_TASKS,
            vec![
                Bind::Int(work.now.as_micros()),
                column!(Ints, plain, (key, ..) => *key),
                column!(Ids, plain, (.., now) => uuid(now.id)),
                column!(Ints, plain, (.., now) => now.graph.id),
                column!(Smalls, plain, (.., now) => i32::from(now.priority)),
                column!(Ints, plain, (.., now) => now.live_steps),
                column!(MaybeInts, plain, (.., now) => micros(now.next_check_at)),
            ],
        ));
    }
    if !others.is_empty() {
        let rows = &others;
        let key = |new: &'a crate::work::NewRow| new.idempotency.as_ref();
        changes.push((
            INSERT_TASKS,
            vec![
                Bind::Int(work.now.as_micros()),
                column!(Ints, rows, (key, ..) => *key),
                column!(Ids, rows, (.., now) => uuid(now.id)),
                column!(Ints, rows, (.., now) => now.graph.id),
                column!(Texts, rows, (.., now) => now.state.as_str()),
                column!(MaybeTexts, rows, (.., now) => now.failure.map(tasker_engine::FailureReason::as_str)),
                column!(Smalls, rows, (.., now) => i32::from(now.priority)),
                column!(Ints, rows, (.., now) => now.live_steps),
                column!(MaybeTexts, rows, (_, new, _) => new.identity.as_deref()),
                column!(MaybeTexts, rows, (_, new, now) => {
                    key(new).map(|_| now.graph.template.namespace().as_str())
                }),
                column!(MaybeTexts, rows, (_, new, _) => key(new).map(|own| own.key.as_str())),
                column!(MaybeTexts, rows, (_, new, _) => key(new).map(|own| own.digest.as_str())),
                column!(MaybeTexts, rows, (_, new, _) => new.origin.as_deref()),
                column!(MaybeIds, rows, (_, new, _) => new.parent.map(|(task, _)| uuid(task))),
                column!(MaybeSmalls, rows, (_, new, _) => new.parent.map(|(_, step)| number(step.0))),
                column!(MaybeInts, rows, (.., now) => micros(now.started_at)),
                column!(MaybeInts, rows, (.., now) => micros(now.finished_at)),
                column!(MaybeInts, rows, (_, new, _) => micros(new.start_at)),
                column!(MaybeInts, rows, (.., now) => micros(now.deadline_at)),
                column!(MaybeInts, rows, (.., now) => micros(now.next_check_at)),
            ],
        ));
    }
    let labels = inserts.iter().flat_map(|(key, new, _)| {
        let labels = new.labels.iter();
        labels.map(move |(kind, value)| (kind.as_str(), value.as_str(), *key))
    });
    let labels: Vec<_> = labels.collect();
    if !labels.is_empty() {
        changes.push((
            INSERT_LABELS,
            vec![
                column!(Texts, labels, (kind, ..) => *kind),
                column!(Texts, labels, (_, value, _) => *value),
                column!(Ints, labels, (.., key) => *key),
                Bind::Int(work.now.as_micros()),
            ],
        ));
    }
    let updates: Vec<_> = work
        .tasks
        .iter()
        .filter(|(key, row)| {
            !work.created.contains_key(key)
                && row.before.as_ref().is_some_and(|before| {
                    let now = &row.now;
                    before.state != now.state
                        || before.failure != now.failure
                        || before.priority != now.priority
                        || before.live_steps != now.live_steps
                        || before.deadline_at != now.deadline_at
                        || before.next_check_at != now.next_check_at
                        || before.updated_at != now.updated_at
                })
        })
        .map(|(key, row)| (*key, &row.now))
        .collect();
    if updates.is_empty() {
        return;
    }
    let rows = &updates;
    changes.push((
        UPDATE_TASKS,
        vec![
            column!(Ints, rows, (key, _) => *key),
            column!(Texts, rows, (_, now) => now.state.as_str()),
            column!(MaybeTexts, rows, (_, now) => now.failure.map(tasker_engine::FailureReason::as_str)),
            column!(Smalls, rows, (_, now) => i32::from(now.priority)),
            column!(Ints, rows, (_, now) => now.live_steps),
            column!(MaybeInts, rows, (_, now) => micros(now.started_at)),
            column!(MaybeInts, rows, (_, now) => micros(now.finished_at)),
            column!(MaybeInts, rows, (_, now) => micros(now.deadline_at)),
            column!(MaybeInts, rows, (_, now) => micros(now.next_check_at)),
            column!(Ints, rows, (_, now) => now.updated_at.as_micros()),
        ],
    ));
}

/// Returns what writes the steps of new tasks, except those of which they are written.
pub(super) fn created_steps(work: &Work, written: &BTreeSet<i64>) -> Option<Change<'static>> {
    let created: Vec<i64> = work
        .created
        .keys()
        .copied()
        .filter(|key| !written.contains(key))
        .collect();
    (!created.is_empty()).then(|| {
        (
            INSERT_STEPS,
            vec![
                column!(Ints, created, key => *key),
                column!(Ints, created, key => work.task(*key).graph.id),
                column!(MaybeInts, created, key => micros(work.start_of(*key))),
            ],
        )
    })
}

/// Writes steps: those that were just claimed or completed, which are most, with only what such a step changes.
fn steps<'a>(work: &'a Work, changes: &mut Vec<Change<'a>>) {
    let now = Some(work.now);
    let (mut completed, mut claimed, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (key, Tracked { before, now: row }) in &work.steps {
        let Some(before) = before.as_ref().filter(|before| *before != row) else {
            continue;
        };
        let began = StepRow {
            state: StepState::InProgress,
            run: before.run + 1,
            attempts: before.attempts + 1,
            unmet_parents: row.unmet_parents,
            started_at: now,
            next_retry_at: None,
            finished_at: None,
            lease: row.lease,
            ..before.clone()
        };
        let ended = StepRow {
            state: StepState::Complete,
            finished_at: now,
            lease: None,
            ..before.clone()
        };
        match row.lease.filter(|_| began == *row) {
            Some(lease) => claimed.push((*key, row.unmet_parents, lease)),
            None if ended == *row => completed.push(*key),
            None => others.push((*key, row)),
        }
    }
    if !completed.is_empty() {
        changes.push((
            COMPLETE_STEPS,
            vec![
                column!(Ints, completed, key => key.0),
                column!(Smalls, completed, key => number(key.1)),
                Bind::Int(work.now.as_micros()),
            ],
        ));
    }
    if !claimed.is_empty() {
        changes.push((
            CLAIM_STEPS,
            vec![
                column!(Ints, claimed, (key, ..) => key.0),
                column!(Smalls, claimed, (key, ..) => number(key.1)),
                column!(Smalls, claimed, (_, unmet, _) => number(*unmet)),
                column!(Ints, claimed, (.., lease) => lease.token.0),
                column!(Ints, claimed, (.., lease) => lease.actor),
                column!(Ints, claimed, (.., lease) => lease.until.as_micros()),
                Bind::Int(work.now.as_micros()),
            ],
        ));
    }
    if others.is_empty() {
        return;
    }
    let rows = &others;
    changes.push((
        UPDATE_STEPS,
        vec![
            column!(Ints, rows, (key, _) => key.0),
            column!(Smalls, rows, (key, _) => number(key.1)),
            column!(Texts, rows, (_, row) => row.state.as_str()),
            column!(Smalls, rows, (_, row) => number(row.attempts)),
            column!(Smalls, rows, (_, row) => number(row.run)),
            column!(Ints, rows, (_, row) => i64::from(row.retry_limit)),
            column!(Bools, rows, (_, row) => row.permanent),
            column!(Smalls, rows, (_, row) => number(row.unmet_parents)),
            column!(MaybeInts, rows, (_, row) => micros(row.next_retry_at)),
            column!(MaybeInts, rows, (_, row) => micros(row.started_at)),
            column!(MaybeInts, rows, (_, row) => micros(row.finished_at)),
            column!(MaybeInts, rows, (_, row) => row.timeout_us),
            column!(MaybeInts, rows, (_, row) => row.lease.map(|lease| lease.token.0)),
            column!(MaybeInts, rows, (_, row) => row.lease.map(|lease| lease.actor)),
            column!(MaybeInts, rows, (_, row) => row.lease.map(|lease| lease.until.as_micros())),
        ],
    ));
}

/// Returns how the queue changes, and the places that are added.
fn queue(work: &Work) -> (Vec<Change<'static>>, Vec<Added>) {
    let (mut deletes, mut inserts) = (Vec::new(), Vec::new());
    for (key, row) in &work.steps {
        let owner = &work.tasks[&key.0];
        let queue = owner.now.graph.queues[key.1 as usize];
        let before = row.before.as_ref().zip(owner.before.as_ref());
        let before = before.and_then(|(row, task)| row.place(task.state.is_active(), task.priority));
        let after = row.now.place(owner.now.state.is_active(), owner.now.priority);
        if before == after {
            continue;
        }
        if let Some(before) = before {
            deletes.push((queue, before, *key));
        }
        if let Some(after) = after {
            inserts.push((queue, after, *key));
        }
    }
    let mut changes = Vec::new();
    if !deletes.is_empty() {
        changes.push((
            DELETE_READY,
            vec![
                column!(Ints, deletes, (queue, ..) => *queue),
                column!(Smalls, deletes, (_, place, _) => i32::from(place.rank)),
                column!(Ints, deletes, (.., key) => key.0),
                column!(Smalls, deletes, (.., key) => number(key.1)),
            ],
        ));
    }
    if !inserts.is_empty() {
        changes.push((
            INSERT_READY,
            vec![
                column!(Ints, inserts, (queue, ..) => *queue),
                column!(Bools, inserts, (_, place, _) => place.due_at.is_some_and(|due| due > work.now)),
                column!(Smalls, inserts, (_, place, _) => i32::from(place.rank)),
                column!(Ints, inserts, (.., key) => key.0),
                column!(Smalls, inserts, (.., key) => number(key.1)),
                column!(MaybeInts, inserts, (_, place, _) => micros(place.due_at)),
            ],
        ));
    }
    let added = inserts.iter().map(|(queue, place, key)| Added {
        queue: *queue,
        spot: (place.rank, key.0, key.1),
        due_at: place.due_at,
    });
    let added = added.collect();
    (changes, added)
}

fn leases<'a>(work: &'a Work, changes: &mut Vec<Change<'a>>) {
    let mut ended: Vec<(LeaseRow, i64)> = Vec::new();
    let mut begun: Vec<(LeaseRow, StepKey)> = Vec::new();
    for (key, row) in &work.steps {
        let before = row.before.as_ref().and_then(|row| row.lease);
        let after = row.now.lease;
        if before.map(|lease| lease.token) == after.map(|lease| lease.token) {
            continue;
        }
        if let Some(lease) = before {
            match ended
                .iter_mut()
                .find(|(own, _)| (own.token, own.actor) == (lease.token, lease.actor))
            {
                Some((_, count)) => *count += 1,
                None => ended.push((lease, 1)),
            }
        }
        if let Some(lease) = after {
            begun.push((lease, *key));
        }
    }
    if ended.is_empty() && begun.is_empty() {
        return;
    }
    let is_extended = |lease: &LeaseRow| {
        let same = |(own, _): &(LeaseRow, StepKey)| (own.token, own.actor) == (lease.token, lease.actor);
        begun.iter().any(same)
    };
    // One statement cannot end and extend the same row.
    if ended.iter().any(|(lease, _)| is_extended(lease)) {
        changes.push(change_leases(&ended, &[]));
        changes.push(change_leases(&[], &begun));
    } else {
        changes.push(change_leases(&ended, &begun));
    }
}

fn change_leases<'a>(ended: &[(LeaseRow, i64)], begun: &[(LeaseRow, StepKey)]) -> Change<'a> {
    (
        CHANGE_LEASES,
        vec![
            column!(Ints, ended, (lease, _) => lease.token.0),
            column!(Ints, ended, (lease, _) => lease.actor),
            column!(Ints, ended, (_, count) => *count),
            column!(Ints, begun, (lease, _) => lease.token.0),
            column!(Ints, begun, (lease, _) => lease.actor),
            column!(Ints, begun, (lease, _) => lease.until.as_micros()),
            column!(Ints, begun, (_, key) => key.0),
            column!(Smalls, begun, (_, key) => number(key.1)),
        ],
    )
}

fn payloads<'a>(work: &'a Work, changes: &mut Vec<Change<'a>>) {
    let (mut deletes, mut inserts, mut writes) = (Vec::new(), Vec::new(), Vec::new());
    for (place, body) in &work.payloads {
        match (body, place.1) {
            (Some(body), Kind::Context | Kind::Result) => inserts.push((*place, body.as_str())),
            (Some(body), _) => writes.push((*place, body.as_str())),
            (None, _) => deletes.push(*place),
        }
    }
    if !deletes.is_empty() {
        changes.push((
            DELETE_PAYLOADS,
            vec![
                column!(Ints, deletes, (key, _) => key.0),
                column!(Smalls, deletes, place => payload_step(*place)),
                column!(Texts, deletes, (_, kind) => letter(*kind)),
            ],
        ));
    }
    for (sql, rows) in [(INSERT_PAYLOADS, inserts), (UPSERT_PAYLOADS, writes)] {
        if rows.is_empty() {
            continue;
        }
        changes.push((
            sql,
            vec![
                column!(Ints, rows, ((key, _), _) => key.0),
                column!(Smalls, rows, (place, _) => payload_step(*place)),
                column!(Texts, rows, ((_, kind), _) => letter(*kind)),
                column!(Texts, rows, (_, body) => *body),
            ],
        ));
    }
}

/// Marks the steps that got a configuration of their own.
fn configured<'a>(work: &'a Work, changes: &mut Vec<Change<'a>>) {
    let places = work.payloads.keys();
    let keys: Vec<StepKey> = places
        .filter(|(_, kind)| *kind == Kind::Config)
        .map(|(key, _)| *key)
        .collect();
    if !keys.is_empty() {
        changes.push((
            CONFIGURE_STEPS,
            vec![
                column!(Ints, keys, key => key.0),
                column!(Smalls, keys, key => number(key.1)),
            ],
        ));
    }
}

fn entries<'a>(work: &'a Work, offset: i64, before: i64, changes: &mut Vec<Change<'a>>) {
    let rows = NewHistoryRow::of(&work.entries);
    if rows.is_empty() {
        return;
    }
    let mut last = before;
    let (mut ends, mut texts, mut tasks) = (Vec::new(), Vec::new(), Vec::new());
    for row in rows {
        last += row.count;
        ends.push(last);
        texts.push(row.entries);
        tasks.extend(row.tasks.into_iter().map(|task| (task, last)));
    }
    changes.push((
        INSERT_HISTORY,
        vec![
            Bind::Int(offset),
            Bind::Int(work.now.as_micros()),
            Bind::Ints(ends),
            Bind::OwnTexts(texts),
            column!(Ints, tasks, (task, _) => *task),
            column!(Ints, tasks, (_, last) => *last),
        ],
    ));
}
