//! Looking at tasks, results and histories.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use tasker_engine::{Actor, Json, Snapshot, TaskRecord, Transition};
use tasker_types::{Position, StepNo, TaskId, Timestamp, WorkerId};
use uuid::Uuid;

use super::cache::Cache;
use super::connection::Connection;
use super::rows::{
    STEPS_OF_TASKS, TASKS, key_of, load_kind, load_payloads, load_steps, read_tasks, small, task_id,
    task_row, time,
};
use super::statement::{Bind, Statement};
use crate::work::{Entry, Kind, QueuePlace, change, in_queue};

type MoreSql = (
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

/// Returns a task and its steps at one moment; the transaction sees one.
pub(super) async fn snapshot(
    connection: &Connection<'_>,
    task: TaskId,
    now: Option<Timestamp>,
) -> QueryResult<Option<Snapshot>> {
    const MORE: &str = "SELECT identity, idempotency_key, origin, parent_task, parent_step, created_at, start_at, \
         (SELECT coalesce(max(position), 0) FROM transitions WHERE task = $1), \
         (extract(epoch FROM clock_timestamp()) * 1000000)::bigint, root_task \
         FROM tasks WHERE key = $1";
    let Some(key) = key_of(connection, task).await? else {
        return Ok(None);
    };
    let Some(read) = read_tasks(connection, TASKS, vec![key]).await?.pop() else {
        return Ok(None);
    };
    let (_, row, _) = task_row(connection, &mut Cache::default(), read).await?;
    let more: MoreTuple = Statement::<MoreSql>::new(MORE, vec![Bind::Int(key)])
        .get_result(connection)
        .await?;
    let context = load_payloads(connection, &[((key, 0), Kind::Context)])
        .await?
        .into_values()
        .next();
    let failures = load_kind(connection, key, Kind::Failure).await?;
    let progress = load_kind(connection, key, Kind::Progress).await?;
    let workers = workers(connection, key).await?;
    let places = places(connection, key).await?;
    let (active, priority) = (row.state.is_active(), row.priority);
    let queues = &row.graph.queues;
    let steps = load_steps(connection, STEPS_OF_TASKS, vec![Bind::Ints(vec![key])])
        .await?
        .into_iter()
        .map(|((_, step), row, ..)| {
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
    let record = TaskRecord {
        id: row.id,
        template: Arc::clone(&row.graph.template),
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
        parent: more.3.map(task_id).zip(more.4.map(|step| StepNo(small(step)))),
        root: more.9.map(task_id),
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
        position: Position(more.7),
        taken_at: now.unwrap_or(Timestamp::from_micros(more.8)),
    }))
}

/// Returns where the queue has the steps of a task, of those places in which claims look for them.
async fn places(
    connection: &Connection<'_>,
    task: i64,
) -> QueryResult<BTreeMap<u32, Vec<(i64, QueuePlace)>>> {
    // Every row of a task in the queue is found by its step's key.
    const SQL: &str = "SELECT r.step, r.queue, r.rank, r.due_at FROM steps AS s \
         CROSS JOIN (VALUES (false), (true)) AS p (parked) JOIN tasks AS t ON t.key = s.task \
         JOIN ready_steps AS r ON r.queue = s.queue AND r.parked = p.parked AND r.rank = least(-(t.priority::int), 32767) \
             AND r.task = s.task AND r.step = s.step WHERE s.task = $1";
    let rows = Statement::<(Integer, BigInt, SmallInt, Nullable<BigInt>)>::new(SQL, vec![Bind::Int(task)])
        .load::<(i32, i64, i16, Option<i64>)>(connection)
        .await?;
    let mut places: BTreeMap<u32, Vec<_>> = BTreeMap::new();
    for (step, queue, rank, due) in rows {
        let place = QueuePlace {
            rank,
            due_at: time(due),
        };
        places.entry(small(step)).or_default().push((queue, place));
    }
    Ok(places)
}

/// Returns the workers that hold leases on a task's steps, by their key.
async fn workers(connection: &Connection<'_>, task: i64) -> QueryResult<BTreeMap<i64, WorkerId>> {
    const SQL: &str = "SELECT DISTINCT a.id, a.name FROM steps AS s JOIN actors AS a ON a.id = s.lease_actor \
         WHERE s.task = $1";
    let rows = Statement::<(BigInt, Text)>::new(SQL, vec![Bind::Int(task)])
        .load::<(i64, String)>(connection)
        .await?;
    let worker = |(id, name): (i64, String)| match name.parse() {
        Ok(Actor::Worker(worker)) => Some((id, worker)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(worker).collect())
}

/// Returns the results of a task's steps that have one.
pub(super) async fn results(connection: &Connection<'_>, task: TaskId) -> QueryResult<Vec<(StepNo, Json)>> {
    let Some(key) = key_of(connection, task).await? else {
        return Ok(Vec::new());
    };
    let results = load_kind(connection, key, Kind::Result).await?;
    Ok(results
        .into_iter()
        .map(|(step, result)| (StepNo(step), result))
        .collect())
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
            " ORDER BY t.position LIMIT $2"
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
    const SQL: &str = entries!("t.position > $1 AND t.task = $3");
    let Some(key) = key_of(connection, task).await? else {
        return Ok(Vec::new());
    };
    let binds = vec![Bind::Int(after.0), Bind::Int(i64::from(limit)), Bind::Int(key)];
    let rows = Statement::<EntrySql>::new(SQL, binds)
        .load::<EntryTuple>(connection)
        .await?;
    rows.into_iter().map(transition).collect()
}

/// Returns entries of all histories after a position, those that no transaction can come before any more, and whether
/// there are others.
pub(super) async fn events(
    connection: &Connection<'_>,
    after: Position,
    limit: u32,
    offset: i64,
) -> QueryResult<(Vec<Transition>, bool)> {
    const SQL: &str = entries!(
        "t.position > $1 AND t.position < \
         ((SELECT pg_snapshot_xmin(pg_current_snapshot())::text::bigint) + $3) << 19"
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
