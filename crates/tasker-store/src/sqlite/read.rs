//! Looking at tasks and results. Each function reads in one transaction of its connection.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use tasker_engine::{Json, Reading, Snapshot, TaskRecord};
use tasker_types::{Position, StepNo, TaskId, Timestamp, WorkerId};

use super::cache::read_graph;
use super::connection::Connection;
use super::history;
use super::rows::{json, key_of, load_all_steps, load_kinds, load_tasks, task_id, time};
use super::statement::{Bind, Statement};
use crate::work::{Graphs, Kind, Looked, Places, QueuePlace, TaskRow, by_step, of_kind, workers};

type MoreSql = (
    BigInt,
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
    i64,
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
    graphs: &Graphs,
    task: TaskId,
    now: Timestamp,
) -> QueryResult<Option<Snapshot>> {
    let read = snapshots(connection, graphs, &[task], now)?.pop();
    Ok(read.map(|(_, snapshot)| snapshot))
}

/// Returns everything that there is of tasks at one moment, in their order.
pub(super) fn readings(
    connection: &mut Connection,
    graphs: &Graphs,
    tasks: &[TaskId],
    now: Timestamp,
) -> QueryResult<Vec<Reading>> {
    let snapshots = snapshots(connection, graphs, tasks, now)?;
    let ids: BTreeMap<i64, TaskId> = snapshots
        .iter()
        .map(|(key, snapshot)| (*key, snapshot.task.id))
        .collect();
    let keys: Vec<i64> = ids.keys().copied().collect();
    let mut results = load_kinds(connection, &keys, &[Kind::Result])?;
    let mut histories = history::of_tasks(connection, ids)?;
    let whole = |(key, snapshot): (i64, Snapshot)| Reading {
        history: histories.remove(&snapshot.task.id).unwrap_or_default(),
        snapshot,
        results: by_step(&mut results, key, Kind::Result),
    };
    Ok(snapshots.into_iter().map(whole).collect())
}

/// Returns tasks and their steps at one moment, in their order, each with its key.
fn snapshots(
    connection: &mut Connection,
    graphs: &Graphs,
    tasks: &[TaskId],
    now: Timestamp,
) -> QueryResult<Vec<(i64, Snapshot)>> {
    let mut keys = Vec::with_capacity(tasks.len());
    for task in tasks {
        keys.extend(key_of(connection, *task)?);
    }
    let rows = load_tasks(connection, &keys, &mut |connection, id| {
        if let Some(graph) = graphs.get(id) {
            return Ok(graph);
        }
        let graph = Arc::new(read_graph(connection, id)?);
        graphs.keep(&graph);
        Ok(graph)
    })?;
    if rows.is_empty() {
        return Ok(Vec::new());
    }
    let position = Position(history::last(connection)?);
    let mut more = more(connection, &keys)?;
    let kinds = [Kind::Context, Kind::Failure, Kind::Progress];
    let payloads = load_kinds(connection, &keys, &kinds)?;
    let places = places(connection, &keys)?;
    let mut looked = Looked::new(load_all_steps(connection, &keys)?, payloads, places);
    looked.workers = holders(connection, looked.holders().collect())?;
    let mut found = Vec::with_capacity(rows.len());
    for (key, row) in rows {
        let Some(more) = more.remove(&key) else { continue };
        let context = of_kind(&mut looked.payloads, key, Kind::Context).remove(&0);
        let steps = looked.take(key, &row);
        let snapshot = Snapshot {
            task: record(row, more, context),
            steps,
            position,
            taken_at: now,
        };
        found.push((key, snapshot));
    }
    Ok(found)
}

/// Returns what only those who look at tasks read of them.
fn more(connection: &mut Connection, tasks: &[i64]) -> QueryResult<BTreeMap<i64, MoreTuple>> {
    const SQL: &str = "SELECT t.key, t.identity, t.idempotency_key, t.origin, t.parent_task, t.parent_step, t.created_at, \
         t.start_at, t.root_task FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value";
    let rows = Statement::<MoreSql>::new(SQL, &[Bind::Text(&json(tasks))]).load::<MoreTuple>(connection)?;
    Ok(rows.into_iter().map(|row| (row.0, row)).collect())
}

fn record(row: TaskRow, more: MoreTuple, context: Option<Json>) -> TaskRecord {
    let parent_step = more.5.and_then(|step| u32::try_from(step).ok()).map(StepNo);
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
        parent: more.4.map(|id| task_id(&id)).zip(parent_step),
        root: more.8.map(|id| task_id(&id)),
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

/// Returns the position of the last entry of all histories.
pub(super) fn position(connection: &mut Connection) -> QueryResult<Position> {
    Ok(Position(history::last(connection)?))
}

fn places(connection: &mut Connection, tasks: &[i64]) -> QueryResult<Places> {
    const SQL: &str = "SELECT r.task, r.step, r.queue, r.rank, r.due_at FROM json_each(?1) AS k \
         CROSS JOIN ready_steps AS r ON r.task = k.value";
    let binds = [Bind::Text(&json(tasks))];
    let rows = Statement::<(BigInt, BigInt, BigInt, BigInt, Nullable<BigInt>)>::new(SQL, &binds).load::<(
        i64,
        i64,
        i64,
        i64,
        Option<i64>,
    )>(
        connection,
    )?;
    let mut places = Places::new();
    for (task, step, queue, rank, due) in rows {
        let place = QueuePlace {
            rank: i16::try_from(rank).unwrap_or(i16::MAX),
            due_at: time(due),
        };
        let step = u32::try_from(step).unwrap_or(u32::MAX);
        let own = places.entry(task).or_default();
        own.entry(step).or_default().push((queue, place));
    }
    Ok(places)
}

/// Returns the workers among those who hold leases, by their key.
fn holders(connection: &mut Connection, actors: BTreeSet<i64>) -> QueryResult<BTreeMap<i64, WorkerId>> {
    const SQL: &str = "SELECT a.id, a.name FROM json_each(?1) AS k CROSS JOIN actors AS a ON a.id = k.value";
    if actors.is_empty() {
        return Ok(BTreeMap::new());
    }
    let rows = Statement::<(BigInt, Text)>::new(SQL, &[Bind::Text(&json(&actors))])
        .load::<(i64, String)>(connection)?;
    Ok(workers(rows))
}

/// Returns the results of a task's steps that have one.
pub(super) fn results(connection: &mut Connection, task: TaskId) -> QueryResult<Vec<(StepNo, Json)>> {
    let Some(key) = key_of(connection, task)? else {
        return Ok(Vec::new());
    };
    let mut results = load_kinds(connection, &[key], &[Kind::Result])?;
    Ok(by_step(&mut results, key, Kind::Result))
}
