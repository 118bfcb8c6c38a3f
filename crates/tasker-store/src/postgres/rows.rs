//! Reading the rows that a request looks at.

use std::collections::{BTreeMap, BTreeSet};

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use tasker_engine::Json;
use tasker_types::{LeaseToken, StepState, TaskId, TaskState, Timestamp};
use uuid::Uuid;

use super::cache::Cache;
use super::connection::Connection;
use super::statement::{Bind, Statement};
use crate::work::{Brought, Kind, Lease, Payloads, Place, StepKey, TaskRow};

/// Returns a value that the database was checked to hold; the default stands for one that no program wrote.
pub(super) fn parsed<T: std::str::FromStr>(text: &str, otherwise: T) -> T {
    text.parse().unwrap_or(otherwise)
}

pub(super) fn time(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

pub(super) fn small(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

pub(super) fn number(step: u32) -> i32 {
    i32::try_from(step).unwrap_or(i32::MAX)
}

pub(super) fn uuid(task: TaskId) -> Uuid {
    Uuid::from_bytes(*task.as_bytes())
}

pub(super) fn task_id(uuid: Uuid) -> TaskId {
    TaskId::from_bytes(uuid.into_bytes())
}

/// Returns the letter that stands for a kind of payload.
pub(super) fn letter(kind: Kind) -> &'static str {
    match kind {
        Kind::Context => "t",
        Kind::Result => "r",
        Kind::Checkpoint => "p",
        Kind::Config => "c",
        Kind::Failure => "f",
        Kind::Progress => "g",
    }
}

/// Returns the number of the step under which a payload stands: -1 for a task's context.
pub(super) fn payload_step((key, kind): Place) -> i32 {
    match kind {
        Kind::Context => -1,
        _ => number(key.1),
    }
}

/// The right to a step in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct LeaseRow {
    pub(super) token: LeaseToken,
    pub(super) actor: i64,
    pub(super) until: Timestamp,
}

impl Lease for LeaseRow {
    fn token(&self) -> LeaseToken {
        self.token
    }

    fn until(&self) -> Timestamp {
        self.until
    }

    fn actor(&self) -> i64 {
        self.actor
    }
}

pub(super) type StepRow = crate::work::StepRow<LeaseRow>;
pub(super) type Work = crate::work::Work<LeaseRow>;

/// A step as it is read: its key and row, whether a configuration of its own replaces the template's, and the row's age.
pub(super) type ReadStep = (StepKey, StepRow, bool, Age);

/// How old the newest version of a row that was read is, in transactions since this one; below zero when a transaction that
/// began after this one wrote it.
pub(super) type Age = i32;

/// Tells whether a row was written by a transaction that began after this one. A great distance is that of a row so old
/// that the numbers of transactions have gone around.
pub(super) fn overtakes(age: Age) -> bool {
    (-1_000_000_000..0).contains(&age)
}

type StepSql = (
    BigInt,
    Integer,
    Text,
    Integer,
    Integer,
    BigInt,
    Bool,
    Bool,
    Integer,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Bool,
    Integer,
);

type StepTuple = (
    i64,
    i32,
    String,
    i32,
    i32,
    i64,
    bool,
    bool,
    i32,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    bool,
    Age,
);

fn step_row(row: StepTuple) -> ReadStep {
    let lease = match (row.13, row.14, row.15) {
        (Some(token), Some(actor), Some(until)) => Some(LeaseRow {
            token: LeaseToken(token),
            actor,
            until: Timestamp::from_micros(until),
        }),
        _ => None,
    };
    let step = StepRow {
        state: parsed(&row.2, StepState::Pending),
        attempts: small(row.3),
        run: small(row.4),
        retry_limit: u32::try_from(row.5).unwrap_or(u32::MAX),
        retryable: row.6,
        permanent: row.7,
        unmet_parents: small(row.8),
        next_retry_at: time(row.9),
        started_at: time(row.10),
        finished_at: time(row.11),
        timeout_us: row.12,
        lease,
    };
    ((row.0, small(row.1)), step, row.16, row.17)
}

macro_rules! step_columns {
    ($rest:literal) => {
        concat!(
            "SELECT s.task, s.step, s.state, s.attempts, s.run, s.retry_limit, s.retryable, s.permanent, \
             s.unmet_parents, s.next_retry_at, s.started_at, s.finished_at, s.timeout_us, s.token, s.lease_actor, \
             s.lease_until, s.configured, age(s.xmin) ",
            $rest
        )
    };
}

pub(super) const STEPS: &str = step_columns!(
    "FROM unnest($1, $2) AS k (task, step) JOIN steps AS s ON s.task = k.task AND s.step = k.step"
);

pub(super) const STEPS_OF_TASKS: &str =
    step_columns!("FROM steps AS s WHERE s.task = ANY($1) ORDER BY s.task, s.step");

/// Loads steps by one of the texts above.
pub(super) async fn load_steps(
    connection: &Connection<'_>,
    sql: &'static str,
    binds: Vec<Bind<'_>>,
) -> QueryResult<Vec<ReadStep>> {
    let rows = Statement::<StepSql>::new(sql, binds)
        .load::<StepTuple>(connection)
        .await?;
    Ok(rows.into_iter().map(step_row).collect())
}

/// Returns the binds of keys of steps.
pub(super) fn keys<'a>(keys: &BTreeSet<StepKey>) -> Vec<Bind<'a>> {
    vec![
        Bind::Ints(keys.iter().map(|key| key.0).collect()),
        Bind::Smalls(keys.iter().map(|key| number(key.1)).collect()),
    ]
}

type TaskSql = (
    BigInt,
    SqlUuid,
    BigInt,
    Text,
    Nullable<Text>,
    SmallInt,
    Integer,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    BigInt,
    Integer,
);

/// A task's row as it is read.
pub(super) type TaskTuple = (
    i64,
    Uuid,
    i64,
    String,
    Option<String>,
    i16,
    i32,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
    Age,
);

macro_rules! task_columns {
    ($rest:literal) => {
        concat!(
            "SELECT t.key, t.id, t.graph, t.state, t.failure, t.priority, t.live_steps, t.origin, t.started_at, \
             t.finished_at, t.deadline_at, t.next_check_at, t.updated_at, age(t.xmin) ",
            $rest
        )
    };
}

pub(super) const TASKS: &str = task_columns!("FROM tasks AS t WHERE t.key = ANY($1) ORDER BY t.key");

/// Locks tasks, in the one order in which everyone does.
pub(super) const LOCKED_TASKS: &str =
    task_columns!("FROM tasks AS t WHERE t.key = ANY($1) ORDER BY t.key FOR NO KEY UPDATE");

/// Locks those tasks that nobody else has locked.
pub(super) const FREE_TASKS: &str =
    task_columns!("FROM tasks AS t WHERE t.key = ANY($1) ORDER BY t.key FOR NO KEY UPDATE SKIP LOCKED");

/// Reads tasks by one of the texts above.
pub(super) async fn read_tasks(
    connection: &Connection<'_>,
    sql: &'static str,
    keys: Vec<i64>,
) -> QueryResult<Vec<TaskTuple>> {
    Statement::<TaskSql>::new(sql, vec![Bind::Ints(keys)])
        .load::<TaskTuple>(connection)
        .await
}

/// Reads tasks by the ids that the outside knows.
pub(super) async fn tasks_of(connection: &Connection<'_>, tasks: &[TaskId]) -> QueryResult<Vec<TaskTuple>> {
    const SQL: &str = task_columns!("FROM tasks AS t WHERE t.id = ANY($1)");
    let ids = tasks.iter().copied().map(uuid).collect();
    Statement::<TaskSql>::new(SQL, vec![Bind::Ids(ids)])
        .load::<TaskTuple>(connection)
        .await
}

/// Makes rows of what was read; graphs are looked up.
pub(super) async fn task_row(
    connection: &Connection<'_>,
    cache: &mut Cache,
    row: TaskTuple,
) -> QueryResult<(i64, TaskRow, Age)> {
    let task = TaskRow {
        id: task_id(row.1),
        graph: cache.graph(connection, row.2).await?,
        state: parsed(&row.3, TaskState::Pending),
        failure: row.4.and_then(|reason| reason.parse().ok()),
        priority: row.5,
        live_steps: i64::from(row.6),
        brought: Brought::read(row.7),
        started_at: time(row.8),
        finished_at: time(row.9),
        deadline_at: time(row.10),
        next_check_at: time(row.11),
        updated_at: Timestamp::from_micros(row.12),
    };
    Ok((row.0, task, row.13))
}

/// Returns the keys of the tasks that the outside knows by these ids.
pub(super) async fn keys_of(
    connection: &Connection<'_>,
    tasks: &[TaskId],
) -> QueryResult<BTreeMap<TaskId, i64>> {
    const SQL: &str = "SELECT id, key FROM tasks WHERE id = ANY($1)";
    let ids = tasks.iter().copied().map(uuid).collect();
    let rows = Statement::<(SqlUuid, BigInt)>::new(SQL, vec![Bind::Ids(ids)])
        .load::<(Uuid, i64)>(connection)
        .await?;
    Ok(rows.into_iter().map(|(id, key)| (task_id(id), key)).collect())
}

/// Returns the key of the task that the outside knows by this id.
pub(super) async fn key_of(connection: &Connection<'_>, task: TaskId) -> QueryResult<Option<i64>> {
    Ok(keys_of(connection, &[task]).await?.get(&task).copied())
}

/// Loads payloads of these places, those that exist.
pub(super) async fn load_payloads(
    connection: &Connection<'_>,
    places: &[Place],
) -> QueryResult<BTreeMap<Place, Json>> {
    const SQL: &str = "SELECT k.ord, p.body \
         FROM unnest($1, $2, $3::text[]) WITH ORDINALITY AS k (task, step, kind, ord) \
         JOIN payloads AS p ON p.task = k.task AND p.step = k.step AND p.kind = k.kind::\"char\"";
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let binds = vec![
        Bind::Ints(places.iter().map(|(key, _)| key.0).collect()),
        Bind::Smalls(places.iter().map(|place| payload_step(*place)).collect()),
        Bind::Texts(places.iter().map(|(_, kind)| letter(*kind)).collect()),
    ];
    let rows = Statement::<(BigInt, Text)>::new(SQL, binds)
        .load::<(i64, String)>(connection)
        .await?;
    let found = rows.into_iter().filter_map(|(index, body)| {
        let place = places.get(usize::try_from(index - 1).ok()?)?;
        Some((*place, Json::from_stored(body)))
    });
    Ok(found.collect())
}

/// Loads all payloads of some kinds that tasks and their steps have.
pub(super) async fn load_kinds(
    connection: &Connection<'_>,
    tasks: &[i64],
    kinds: &[Kind],
) -> QueryResult<Payloads> {
    const SQL: &str = "SELECT task, step, kind::text, body FROM payloads \
         WHERE task = ANY($1) AND kind::text = ANY($2)";
    let binds = vec![
        Bind::Ints(tasks.to_vec()),
        Bind::Texts(kinds.iter().map(|kind| letter(*kind)).collect()),
    ];
    let rows = Statement::<(BigInt, Integer, Text, Text)>::new(SQL, binds)
        .load::<(i64, i32, String, String)>(connection)
        .await?;
    let mut all = Payloads::new();
    for (task, step, text, body) in rows {
        if let Some(kind) = kinds.iter().find(|kind| letter(**kind) == text) {
            let own = all.entry((task, *kind)).or_default();
            own.insert(small(step), Json::from_stored(body));
        }
    }
    Ok(all)
}
