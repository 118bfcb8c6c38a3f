//! Looking at tasks, results and histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use futures_util::future::{try_join, try_join3};
use tasker_engine::{Json, Reading, Snapshot, TaskRecord};
use tasker_types::{Position, StepNo, TaskId, Timestamp, WorkerId};
use uuid::Uuid;

use super::cache::Cache;
use super::connection::Connection;
use super::history;
use super::rows::{
    STEPS_OF_TASKS, key_of, load_kinds, load_steps, small, task_id, task_row, tasks_of, time, uuid,
};
use super::statement::{Bind, Statement};
use crate::work::{Graphs, Kind, Looked, Places, QueuePlace, TaskRow, by_step, of_kind, workers};

type MoreSql = (
    BigInt,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<SqlUuid>,
    Nullable<Integer>,
    BigInt,
    Nullable<BigInt>,
    BigInt,
    BigInt,
    Nullable<SqlUuid>,
);

type MoreTuple = (
    i64,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Uuid>,
    Option<i32>,
    i64,
    Option<i64>,
    i64,
    i64,
    Option<Uuid>,
);

/// Returns tasks and their steps at one moment, those that there are; the transaction sees one.
pub(super) async fn snapshots_of(
    connection: &Connection<'_>,
    graphs: &Arc<Graphs>,
    tasks: &[TaskId],
    now: Option<Timestamp>,
) -> QueryResult<BTreeMap<TaskId, Snapshot>> {
    let read = snapshots(connection, graphs, tasks, now).await?;
    let of = |(_, snapshot): (i64, Snapshot)| (snapshot.task.id, snapshot);
    Ok(read.into_iter().map(of).collect())
}

/// Returns everything that there is of tasks at one moment, in their order.
pub(super) async fn readings(
    connection: &Connection<'_>,
    graphs: &Arc<Graphs>,
    tasks: &[TaskId],
    now: Option<Timestamp>,
) -> QueryResult<Vec<Reading>> {
    let snapshots = snapshots(connection, graphs, tasks, now).await?;
    let ids: BTreeMap<i64, TaskId> = snapshots
        .iter()
        .map(|(key, snapshot)| (*key, snapshot.task.id))
        .collect();
    let keys: Vec<i64> = ids.keys().copied().collect();
    let results = load_kinds(connection, &keys, &[Kind::Result]);
    let (mut results, mut histories) = try_join(results, history::of_tasks(connection, ids)).await?;
    let whole = |(key, snapshot): (i64, Snapshot)| Reading {
        history: histories.remove(&snapshot.task.id).unwrap_or_default(),
        snapshot,
        results: by_step(&mut results, key, Kind::Result),
    };
    Ok(snapshots.into_iter().map(whole).collect())
}

/// Returns tasks and their steps at one moment, in their order, each with its key. What does not depend on each other is
/// asked for in one trip.
async fn snapshots(
    connection: &Connection<'_>,
    graphs: &Arc<Graphs>,
    tasks: &[TaskId],
    now: Option<Timestamp>,
) -> QueryResult<Vec<(i64, Snapshot)>> {
    let (read, mut more) = try_join(tasks_of(connection, tasks), more(connection, tasks)).await?;
    let mut cache = Cache::sharing(graphs);
    let mut rows = BTreeMap::new();
    for read in read {
        let (key, row, _) = task_row(connection, &mut cache, read).await?;
        rows.insert(row.id, (key, row));
    }
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<i64> = rows.values().map(|(key, _)| *key).collect();
    let kinds = [Kind::Context, Kind::Failure, Kind::Progress];
    let (payloads, places, steps) = try_join3(
        load_kinds(connection, &keys, &kinds),
        places(connection, &keys),
        load_steps(connection, STEPS_OF_TASKS, vec![Bind::Ints(keys.clone())]),
    )
    .await?;
    let steps = steps.into_iter().map(|(key, row, ..)| (key, row));
    let mut looked = Looked::new(steps, payloads, places);
    looked.workers = holders(connection, looked.holders().collect()).await?;
    let mut found = Vec::with_capacity(rows.len());
    for task in tasks {
        let Some((key, row)) = rows.remove(task) else {
            continue;
        };
        let Some(more) = more.remove(&key) else { continue };
        let context = of_kind(&mut looked.payloads, key, Kind::Context).remove(&0);
        let steps = looked.take(key, &row);
        let snapshot = Snapshot {
            position: Position(more.8),
            taken_at: now.unwrap_or(Timestamp::from_micros(more.9)),
            task: record(row, more, context),
            steps,
        };
        found.push((key, snapshot));
    }
    Ok(found)
}

/// Returns what only those who look at tasks read of them.
async fn more(connection: &Connection<'_>, tasks: &[TaskId]) -> QueryResult<BTreeMap<i64, MoreTuple>> {
    const SQL: &str = "SELECT k.key, k.identity, k.idempotency_key, k.origin, k.parent_task, k.parent_step, k.created_at, \
         k.start_at, (SELECT coalesce(max(t.position), 0) FROM task_history AS t WHERE t.task = k.key), \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, k.root_task \
         FROM tasks AS k WHERE k.id = ANY($1)";
    let ids = tasks.iter().copied().map(uuid).collect();
    let rows = Statement::<MoreSql>::new(SQL, vec![Bind::Ids(ids)])
        .load::<MoreTuple>(connection)
        .await?;
    Ok(rows.into_iter().map(|row| (row.0, row)).collect())
}

fn record(row: TaskRow, more: MoreTuple, context: Option<Json>) -> TaskRecord {
    TaskRecord {
        id: row.id,
        template: Arc::clone(&row.graph.template),
        state: row.state,
        failure: row.failure,
        context: context.unwrap_or_else(Json::null),
        origin: more
            .3
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        identity: more.1.unwrap_or_else(|| row.id.to_string()),
        idempotency_key: more.2,
        priority: row.priority,
        parent: more.4.map(task_id).zip(more.5.map(|step| StepNo(small(step)))),
        root: more.10.map(task_id),
        created_at: Timestamp::from_micros(more.6),
        updated_at: row.updated_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        start_at: time(more.7),
        deadline_at: row.deadline_at,
        next_check_at: row.next_check_at,
        live_steps: u32::try_from(row.live_steps).unwrap_or_default(),
    }
}

/// Each row of a task in the queue is found by its step's key, also by a plan from the time when the table was empty.
pub(super) const PLACES: &str = "\
SELECT k.task, s.step, o.queue, o.rank, o.due_at FROM unnest($1) AS k (task) \
    CROSS JOIN LATERAL (SELECT t.priority FROM tasks AS t WHERE t.key = k.task LIMIT 1) AS t \
    CROSS JOIN LATERAL (SELECT s.queue, s.step FROM steps AS s WHERE s.task = k.task OFFSET 0) AS s \
    CROSS JOIN (VALUES (false), (true)) AS p (parked) CROSS JOIN LATERAL ( \
        SELECT r.queue, r.rank, r.due_at FROM ready_steps AS r WHERE r.queue = s.queue AND r.parked = p.parked \
            AND r.rank = least(-(t.priority::int), 32767) AND r.task = k.task AND r.step = s.step LIMIT 1) AS o";

/// Returns where the queue has the steps of tasks, of those places in which claims look for them.
async fn places(connection: &Connection<'_>, tasks: &[i64]) -> QueryResult<Places> {
    let binds = vec![Bind::Ints(tasks.to_vec())];
    let rows = Statement::<(BigInt, Integer, BigInt, SmallInt, Nullable<BigInt>)>::new(PLACES, binds)
        .load::<(i64, i32, i64, i16, Option<i64>)>(connection)
        .await?;
    let mut places = Places::new();
    for (task, step, queue, rank, due) in rows {
        let place = QueuePlace {
            rank,
            due_at: time(due),
        };
        let own = places.entry(task).or_default();
        own.entry(small(step)).or_default().push((queue, place));
    }
    Ok(places)
}

/// Returns the workers among those who hold leases, by their key.
async fn holders(connection: &Connection<'_>, actors: BTreeSet<i64>) -> QueryResult<BTreeMap<i64, WorkerId>> {
    const SQL: &str = "SELECT id, name FROM actors WHERE id = ANY($1)";
    if actors.is_empty() {
        return Ok(BTreeMap::new());
    }
    let binds = vec![Bind::Ints(actors.into_iter().collect())];
    let rows = Statement::<(BigInt, Text)>::new(SQL, binds)
        .load::<(i64, String)>(connection)
        .await?;
    Ok(workers(rows))
}

/// Returns the results of a task's steps that have one.
pub(super) async fn results(connection: &Connection<'_>, task: TaskId) -> QueryResult<Vec<(StepNo, Json)>> {
    let Some(key) = key_of(connection, task).await? else {
        return Ok(Vec::new());
    };
    let mut results = load_kinds(connection, &[key], &[Kind::Result]).await?;
    Ok(by_step(&mut results, key, Kind::Result))
}
