//! Looking at tasks, results and histories. Each function reads in one transaction of its connection.

use std::collections::BTreeMap;

use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use tasker_engine::{Actor, Change, Json, Snapshot, StepEvent, TaskEvent, TaskRecord, Transition};
use tasker_types::{Position, RunNo, StepNo, StepState, TaskId, TaskState, Timestamp, WorkerId};

use super::cache::read_graph;
use super::rows::{key_of, load_all_steps, load_kind, load_payloads, load_tasks, task_id, time};
use super::statement::{Bind, Statement};

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
    connection: &mut SqliteConnection,
    task: TaskId,
    now: Timestamp,
) -> QueryResult<Option<Snapshot>> {
    const MORE: &str = "SELECT identity, idempotency_key, origin, parent_task, parent_step, created_at, start_at, \
         root_task \
         FROM tasks WHERE key = ?1";
    const POSITION: &str = "SELECT coalesce(max(position), 0) FROM transitions";
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
    let position: (i64,) = Statement::<(BigInt,)>::new(POSITION, &[]).get_result(connection)?;
    let context = load_payloads(connection, &[(key, -1, "context")])?
        .into_values()
        .next();
    let failures = load_kind(connection, key, "failure")?;
    let progress = load_kind(connection, key, "progress")?;
    let workers = workers(connection, key)?;
    let active = row.state.is_active();
    let steps = load_all_steps(connection, key)?
        .into_iter()
        .map(|((_, step), row)| {
            let worker = row.lease.and_then(|lease| workers.get(&lease.actor).copied());
            row.record(
                StepNo(step),
                active,
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
        position: Position(position.0),
        taken_at: now,
    }))
}

/// Returns the workers that hold leases on a task's steps, by their key.
fn workers(connection: &mut SqliteConnection, task: i64) -> QueryResult<BTreeMap<i64, WorkerId>> {
    const SQL: &str =
        "SELECT DISTINCT a.id, a.name FROM leases AS l JOIN actors AS a ON a.id = l.actor WHERE l.task = ?1";
    let rows = Statement::<(BigInt, Text)>::new(SQL, &[Bind::Int(task)]).load::<(i64, String)>(connection)?;
    let worker = |(id, name): (i64, String)| match name.parse() {
        Ok(Actor::Worker(worker)) => Some((id, worker)),
        _ => None,
    };
    Ok(rows.into_iter().filter_map(worker).collect())
}

/// Returns the results of a task's steps that have one.
pub(super) fn results(connection: &mut SqliteConnection, task: TaskId) -> QueryResult<Vec<(StepNo, Json)>> {
    let Some(key) = key_of(connection, task)? else {
        return Ok(Vec::new());
    };
    let results = load_kind(connection, key, "result")?;
    Ok(results
        .into_iter()
        .map(|(step, result)| (StepNo(step), result))
        .collect())
}

type EntrySql = (
    BigInt,
    Binary,
    Nullable<BigInt>,
    Text,
    Nullable<Text>,
    Nullable<Text>,
    BigInt,
    Text,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<Text>,
);

type EntryTuple = (
    i64,
    Vec<u8>,
    Option<i64>,
    String,
    Option<String>,
    Option<String>,
    i64,
    String,
    Option<i64>,
    Option<i64>,
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
            " ORDER BY t.position LIMIT ?2"
        )
    };
}

/// Returns entries of a task's history after a position.
pub(super) fn history(
    connection: &mut SqliteConnection,
    task: TaskId,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    const SQL: &str = entries!("t.position > ?1 AND t.task = ?3");
    let Some(key) = key_of(connection, task)? else {
        return Ok(Vec::new());
    };
    let binds = [Bind::Int(after.0), Bind::Int(i64::from(limit)), Bind::Int(key)];
    let rows = Statement::<EntrySql>::new(SQL, &binds).load::<EntryTuple>(connection)?;
    rows.into_iter().map(transition).collect()
}

/// Returns entries of all histories after a position.
pub(super) fn events(
    connection: &mut SqliteConnection,
    after: Position,
    limit: u32,
) -> QueryResult<Vec<Transition>> {
    const SQL: &str = entries!("t.position > ?1");
    let binds = [Bind::Int(after.0), Bind::Int(i64::from(limit))];
    let rows = Statement::<EntrySql>::new(SQL, &binds).load::<EntryTuple>(connection)?;
    rows.into_iter().map(transition).collect()
}

fn transition(row: EntryTuple) -> QueryResult<Transition> {
    let change = change(&row).ok_or_else(|| {
        let text = format!(
            "the history entry at position {} makes no sense: `{}`",
            row.0, row.3
        );
        diesel::result::Error::DeserializationError(text.into())
    })?;
    Ok(Transition {
        position: Position(row.0),
        task: task_id(&row.1),
        change,
        at: Timestamp::from_micros(row.6),
        actor: row.7.parse().unwrap_or(Actor::System),
        metadata: row.12.map(Json::from_stored),
    })
}

fn change(row: &EntryTuple) -> Option<Change> {
    let step = row.2.and_then(|step| u32::try_from(step).ok()).map(StepNo);
    let number = |value: Option<i64>| value.and_then(|value| u32::try_from(value).ok());
    let run = number(row.8).map(RunNo);
    match row.3.as_str() {
        "created" => return Some(Change::Created),
        "setting" => return Some(Change::Setting { step }),
        "late_outcome" => {
            return Some(Change::LateOutcome {
                step: step?,
                run: run?,
            });
        }
        _ => {}
    }
    let (from, to) = (row.4.as_deref()?, row.5.as_deref()?);
    let Some(step) = step else {
        let event: TaskEvent = row.3.parse().ok()?;
        return Some(Change::Task {
            from: from.parse::<TaskState>().ok()?,
            event,
            to: to.parse::<TaskState>().ok()?,
        });
    };
    let event: StepEvent = row.3.parse().ok()?;
    Some(Change::Step {
        step,
        from: from.parse::<StepState>().ok()?,
        event,
        to: to.parse::<StepState>().ok()?,
        run: run?,
        attempt: number(row.9)?,
        handler_version: row.10.as_ref().and_then(|version| version.parse().ok()),
        ran_us: row.11.and_then(|us| u64::try_from(us).ok()),
    })
}
