//! Looking at tasks, results and histories.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use futures_util::future::{try_join, try_join3};
use tasker_engine::{Actor, Json, Reading, Snapshot, TaskRecord, Transition};
use tasker_types::{Position, StepNo, TaskId, Timestamp, WorkerId};
use uuid::Uuid;

use super::cache::Cache;
use super::connection::Connection;
use super::rows::{
    STEPS_OF_TASKS, key_of, load_kinds, load_steps, small, task_id, task_row, tasks_of, time, uuid,
};
use super::statement::{Bind, Statement};
use crate::work::{
    Entry, Graphs, Kind, Looked, Places, QueuePlace, TaskRow, by_step, change, of_kind, workers,
};

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
    let keys: Vec<i64> = snapshots.iter().map(|(key, _)| *key).collect();
    let results = load_kinds(connection, &keys, &[Kind::Result]);
    let (mut results, mut histories) = try_join(results, histories(connection, keys.clone())).await?;
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
         k.start_at, (SELECT coalesce(max(t.position), 0) FROM transitions AS t WHERE t.task = k.key), \
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

type EntrySql = (
    BigInt,
    SqlUuid,
    Nullable<Integer>,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    Text,
    Nullable<Integer>,
    Nullable<Integer>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
);

type EntryTuple = (
    i64,
    Uuid,
    Option<i32>,
    String,
    Option<String>,
    Option<String>,
    i64,
    String,
    Option<i32>,
    Option<i32>,
    Option<String>,
    Option<i64>,
    Option<String>,
);

macro_rules! entries {
    ($where:literal) => {
        concat!(
            "SELECT t.position, k.id, t.step, t.event, t.from_state, t.to_state, t.at, a.name, t.run, t.attempt, \
             t.handler_version, t.ran_us, t.metadata \
             FROM transitions AS t JOIN tasks AS k ON k.key = t.task JOIN actors AS a ON a.id = t.actor WHERE ",
            $where,
            " ORDER BY t.position"
        )
    };
}

/// Returns the position of the last entry of a task's history.
pub(super) async fn last_of_task(connection: &Connection<'_>, task: i64) -> QueryResult<i64> {
    const SQL: &str = "SELECT coalesce(max(t.position), 0) FROM transitions AS t WHERE t.task = $1";
    let (last,) = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(task)])
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(last)
}

/// Returns entries of a task's history after a position.
pub(super) async fn history(
    connection: &Connection<'_>,
    task: TaskId,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    const SQL: &str = concat!(entries!("t.position > $1 AND t.task = $3"), " LIMIT $2");
    let Some(key) = key_of(connection, task).await? else {
        return Ok(Vec::new());
    };
    let binds = vec![Bind::Int(after.0), Bind::Int(i64::from(limit)), Bind::Int(key)];
    let rows = Statement::<EntrySql>::new(SQL, binds)
        .load::<EntryTuple>(connection)
        .await?;
    rows.into_iter().map(transition).collect()
}

/// Returns the whole histories of tasks.
async fn histories(
    connection: &Connection<'_>,
    tasks: Vec<i64>,
) -> QueryResult<BTreeMap<TaskId, Vec<Transition>>> {
    const SQL: &str = entries!("t.task = ANY($1)");
    let rows = Statement::<EntrySql>::new(SQL, vec![Bind::Ints(tasks)])
        .load::<EntryTuple>(connection)
        .await?;
    let mut histories: BTreeMap<TaskId, Vec<Transition>> = BTreeMap::new();
    for row in rows {
        let transition = transition(row)?;
        histories.entry(transition.task).or_default().push(transition);
    }
    Ok(histories)
}

/// Returns entries of all histories after a position, those that no transaction can come before any more, and whether
/// there are others.
pub(super) async fn events(
    connection: &Connection<'_>,
    after: Position,
    limit: u32,
    offset: i64,
) -> QueryResult<(Vec<Transition>, bool)> {
    const SQL: &str = concat!(
        entries!(
            "t.position > $1 AND t.position < \
             ((SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) + $3) << 19"
        ),
        " LIMIT $2"
    );
    const MORE: &str =
        "SELECT count(*) FROM (SELECT FROM transitions AS t WHERE t.position > $1 LIMIT 1) AS m";
    let binds = vec![Bind::Int(after.0), Bind::Int(i64::from(limit)), Bind::Int(offset)];
    let rows = Statement::<EntrySql>::new(SQL, binds)
        .load::<EntryTuple>(connection)
        .await?;
    let entries: Vec<Transition> = rows.into_iter().map(transition).collect::<QueryResult<_>>()?;
    if entries.len() >= limit as usize {
        return Ok((entries, false));
    }
    let last = entries.last().map_or(after, |entry| entry.position);
    let more: (i64,) = Statement::<(BigInt,)>::new(MORE, vec![Bind::Int(last.0)])
        .get_result(connection)
        .await?;
    Ok((entries, more.0 > 0))
}

/// Returns the position of the last entry of all histories, and the position before which no transaction can write any
/// more.
pub(super) async fn position(connection: &Connection<'_>, offset: i64) -> QueryResult<(i64, i64)> {
    const SQL: &str = "SELECT coalesce((SELECT max(t.position) FROM transitions AS t), 0), \
         ((SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) + $1) << 19";
    Statement::<(BigInt, BigInt)>::new(SQL, vec![Bind::Int(offset)])
        .get_result::<(i64, i64)>(connection)
        .await
}

/// Returns the position of the last entry before one.
pub(super) async fn position_before(connection: &Connection<'_>, end: i64) -> QueryResult<Position> {
    const SQL: &str =
        "SELECT coalesce((SELECT max(t.position) FROM transitions AS t WHERE t.position < $1), 0)";
    let (last,) = Statement::<(BigInt,)>::new(SQL, vec![Bind::Int(end)])
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(Position(last))
}

fn transition(row: EntryTuple) -> QueryResult<Transition> {
    let number = |value: Option<i32>| value.and_then(|value| u32::try_from(value).ok());
    // Whose it is and who did it stand in the row by their names.
    let entry = Entry {
        from: row.4.as_deref(),
        to: row.5.as_deref(),
        run: number(row.8),
        attempt: number(row.9),
        handler_version: row.10,
        ran_us: row.11.and_then(|us| u64::try_from(us).ok()),
        ..Entry::new(0, number(row.2), &row.3, 0)
    };
    let change = change(&entry).ok_or_else(|| {
        let text = format!(
            "the history entry at position {} makes no sense: `{}`",
            row.0, row.3
        );
        diesel::result::Error::DeserializationError(text.into())
    })?;
    Ok(Transition {
        position: Position(row.0),
        task: task_id(row.1),
        change,
        at: Timestamp::from_micros(row.6),
        actor: row.7.parse().unwrap_or(Actor::System),
        metadata: row.12.map(Json::from_stored),
    })
}
