//! Looking at tasks and results. Each function reads in one transaction of its connection.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use tasker_engine::{Actor, Json, Snapshot, TaskRecord};
use tasker_types::{Position, StepNo, TaskId, Timestamp, WorkerId};

use super::cache::read_graph;
use super::connection::Connection;
use super::history;
use super::rows::{key_of, load_all_steps, load_kind, load_payloads, load_tasks, packed, task_id, time};
use super::statement::{Bind, Statement};
use crate::work::{Kind, QueuePlace, in_queue};

type MoreSql = (
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Text>,
    Nullable<Binary>,
    Nullable<BigInt>,
    BigInt,
    Nullable<BigInt>,
    Nullable<Binary>,
);

type MoreTuple = (
    Option<String>,
    Option<String>,
    Option<String>,
    Option<Vec<u8>>,
    Option<i64>,
    i64,
    Option<i64>,
    Option<Vec<u8>>,
);

/// Returns a task and its steps at one moment.
pub(super) fn snapshot(
    connection: &mut Connection,
    task: TaskId,
    now: Timestamp,
) -> QueryResult<Option<Snapshot>> {
    const MORE: &str = "SELECT identity, idempotency_key, origin, parent_task, parent_step, created_at, start_at, \
         root_task \
         FROM tasks WHERE key = ?1";
    let Some(key) = key_of(connection, task)? else {
        return Ok(None);
    };
    let mut tasks = load_tasks(connection, &[key], &mut |connection, id| {
        read_graph(connection, id).map(std::sync::Arc::new)
    })?;
    let Some((_, row)) = tasks.pop() else {
        return Ok(None);
    };
    let more: MoreTuple = Statement::<MoreSql>::new(MORE, &[Bind::Int(key)]).get_result(connection)?;
    let position = history::last(connection)?;
    let context = load_payloads(connection, &[((key, 0), Kind::Context)])?
        .into_values()
        .next();
    let failures = load_kind(connection, key, Kind::Failure)?;
    let progress = load_kind(connection, key, Kind::Progress)?;
    let workers = workers(connection, key)?;
    let places = places(connection, key)?;
    let (active, priority) = (row.state.is_active(), row.priority);
    let queues = &row.graph.queues;
    let steps = load_all_steps(connection, &[key])?
        .into_iter()
        .map(|((_, step), row)| {
            let worker = row.lease.and_then(|lease| workers.get(&lease.actor).copied());
            let queue = queues.get(step as usize).copied();
            let found = places.get(&step).map_or(&[][..], Vec::as_slice);
            let queued = in_queue(queue.zip(row.place(active, priority)), found);
            row.record(
                StepNo(step),
                queued,
                worker,
                failures.get(&step),
                progress.get(&step),
            )
        })
        .collect();
    let parent_step = more.4.and_then(|step| u32::try_from(step).ok()).map(StepNo);
    let record = TaskRecord {
        id: row.id,
        template: std::sync::Arc::clone(&row.graph.template),
        state: row.state,
        failure: row.failure,
        context: context.unwrap_or_else(Json::null),
        origin: more
            .2
            .and_then(|text| serde_json::from_str(&text).ok())
            .unwrap_or_default(),
        identity: more.0.unwrap_or_else(|| row.id.to_string()),
        idempotency_key: more.1,
        priority: row.priority,
        parent: more.3.map(|id| task_id(&id)).zip(parent_step),
        root: more.7.map(|id| task_id(&id)),
        created_at: Timestamp::from_micros(more.5),
        updated_at: row.updated_at,
        started_at: row.started_at,
        finished_at: row.finished_at,
        start_at: time(more.6),
        deadline_at: row.deadline_at,
        next_check_at: row.next_check_at,
        live_steps: u32::try_from(row.live_steps).unwrap_or_default(),
    };
    Ok(Some(Snapshot {
        task: record,
        steps,
        position: Position(position),
        taken_at: now,
    }))
}

/// Returns the position of the last entry of all histories.
pub(super) fn position(connection: &mut Connection) -> QueryResult<Position> {
    Ok(Position(history::last(connection)?))
}

/// Returns where the queue has the steps of a task.
fn places(connection: &mut Connection, task: i64) -> QueryResult<BTreeMap<u32, Vec<(i64, QueuePlace)>>> {
    const SQL: &str = "SELECT step, queue, rank, due_at FROM ready_steps WHERE task = ?1";
    let rows = Statement::<(BigInt, BigInt, BigInt, Nullable<BigInt>)>::new(SQL, &[Bind::Int(task)])
        .load::<(i64, i64, i64, Option<i64>)>(connection)?;
    let mut places: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (step, queue, rank, due) in rows {
        let place = QueuePlace {
            rank: i16::try_from(rank).unwrap_or(i16::MAX),
            due_at: time(due),
        };
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        places.entry(step).or_default().push((queue, place));
    }
    Ok(places)
}

/// Returns the workers that hold leases on a task's steps, by their key.
fn workers(connection: &mut Connection, task: i64) -> QueryResult<BTreeMap<i64, WorkerId>> {
    const SQL: &str = "SELECT DISTINCT a.id, a.name FROM steps AS s JOIN leases AS l ON l.id = s.lease JOIN actors AS a ON a.id = l.actor \
         WHERE s.key >= ?1 AND s.key < ?2";
    let binds = [Bind::Int(packed((task, 0))), Bind::Int(packed((task + 1, 0)))];
    let rows = Statement::<(BigInt, Text)>::new(SQL, &binds).load::<(i64, String)>(connection)?;
    let worker = |(id, name): (i64, String)| match name.parse() {
        Ok(Actor::Worker(worker)) => Some((id, worker)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(worker).collect())
}

/// Returns the results of a task's steps that have one.
pub(super) fn results(connection: &mut Connection, task: TaskId) -> QueryResult<Vec<(StepNo, Json)>> {
    let Some(key) = key_of(connection, task)? else {
        return Ok(Vec::new());
    };
    let results = load_kind(connection, key, Kind::Result)?;
    Ok(results
        .into_iter()
        .map(|(step, result)| (StepNo(step), result))
        .collect())
}
