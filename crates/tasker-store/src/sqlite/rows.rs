//! The rows that a change looks at, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use tasker_engine::Json;
use tasker_types::{LeaseToken, StepState, TaskId, TaskState, Timestamp};

use super::connection::Connection;
use super::statement::{Bind, Statement};
use crate::work::{Brought, Graph, Kind, Lease, Payloads, Place, StepKey, TaskRow};

/// How many bits of a step's key in the database are its number.
const STEP_BITS: u32 = 24;

/// How many steps a task may have at most.
pub(crate) const MOST_STEPS: usize = 1 << STEP_BITS;

/// Returns a step's key in the database: one integer, so that a step is found without comparing columns.
pub(crate) fn packed(key: StepKey) -> i64 {
    (key.0 << STEP_BITS) | i64::from(key.1)
}

/// Returns the step that a key in the database stands for.
pub(crate) fn unpacked(key: i64) -> StepKey {
    (key >> STEP_BITS, small(key & (MOST_STEPS as i64 - 1)))
}

/// Returns a payload's key in the database.
pub(crate) fn payload((key, kind): Place) -> i64 {
    (packed(key) << 3) | kind as i64
}

/// Returns where the payload lies that a key in the database stands for.
fn place(key: i64) -> Place {
    let kind = match key & 7 {
        0 => Kind::Context,
        1 => Kind::Result,
        2 => Kind::Checkpoint,
        3 => Kind::Config,
        4 => Kind::Failure,
        _ => Kind::Progress,
    };
    (unpacked(key >> 3), kind)
}

/// The right to a step in progress.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct LeaseRow {
    /// The key of the lease, which may be for several steps; 0 for one that is not written yet.
    pub(crate) id: i64,
    pub(crate) token: LeaseToken,
    pub(crate) actor: i64,
    pub(crate) process: i64,
    pub(crate) until: Timestamp,
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

pub(crate) type StepRow = crate::work::StepRow<LeaseRow>;

/// Returns a value that the database was checked to hold; the default stands for one that no program wrote.
fn parsed<T: std::str::FromStr>(text: &str, otherwise: T) -> T {
    text.parse().unwrap_or(otherwise)
}

pub(crate) fn time(micros: Option<i64>) -> Option<Timestamp> {
    micros.map(Timestamp::from_micros)
}

fn small(number: i64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

type StepSql = (
    BigInt,
    Text,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
);

type StepTuple = (
    i64,
    String,
    i64,
    i64,
    i64,
    i64,
    i64,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

fn step_row(row: StepTuple) -> (StepKey, StepRow) {
    let lease = match (row.12, row.13, row.14, row.15, row.16) {
        (Some(id), Some(token), Some(actor), Some(process), Some(until)) => Some(LeaseRow {
            id,
            token: LeaseToken(token),
            actor,
            process,
            until: Timestamp::from_micros(until),
        }),
        _ => None,
    };
    let step = StepRow {
        state: parsed(&row.1, StepState::Pending),
        attempts: small(row.2),
        run: small(row.3),
        retry_limit: small(row.4),
        retryable: row.5 != 0,
        permanent: row.6 != 0,
        unmet_parents: small(row.7),
        next_retry_at: time(row.8),
        started_at: time(row.9),
        finished_at: time(row.10),
        timeout_us: row.11,
        lease,
    };
    (unpacked(row.0), step)
}

macro_rules! step_columns {
    ($rest:literal) => {
        concat!(
            "SELECT s.key, s.state, s.attempts, s.run, s.retry_limit, s.retryable, s.permanent, \
             s.unmet_parents, s.next_retry_at, s.started_at, s.finished_at, s.timeout_us, s.lease, \
             l.token, l.actor, l.process, l.until ",
            $rest
        )
    };
}

/// Loads steps by their keys.
pub(crate) fn load_steps(
    connection: &mut Connection,
    keys: &[StepKey],
) -> QueryResult<Vec<(StepKey, StepRow)>> {
    const SQL: &str = step_columns!(
        "FROM json_each(?1) AS k CROSS JOIN steps AS s ON s.key = k.value LEFT JOIN leases AS l ON l.id = s.lease"
    );
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys: Vec<i64> = keys.iter().map(|key| packed(*key)).collect();
    load_steps_by(connection, SQL, &json(&keys))
}

/// Loads all steps of tasks, in step order.
pub(crate) fn load_all_steps(
    connection: &mut Connection,
    tasks: &[i64],
) -> QueryResult<Vec<(StepKey, StepRow)>> {
    const SQL: &str = step_columns!(
        "FROM json_each(?1) AS k CROSS JOIN steps AS s ON s.key >= k.value << 24 AND s.key < (k.value + 1) << 24 \
         LEFT JOIN leases AS l ON l.id = s.lease"
    );
    if tasks.is_empty() {
        return Ok(Vec::new());
    }
    load_steps_by(connection, SQL, &json(tasks))
}

fn load_steps_by(
    connection: &mut Connection,
    sql: &'static str,
    keys: &str,
) -> QueryResult<Vec<(StepKey, StepRow)>> {
    let rows = Statement::<StepSql>::new(sql, &[Bind::Text(keys)]).load::<StepTuple>(connection)?;
    Ok(rows.into_iter().map(step_row).collect())
}

type TaskSql = (
    BigInt,
    Binary,
    BigInt,
    Text,
    Nullable<Text>,
    BigInt,
    BigInt,
    Nullable<Text>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
    BigInt,
);

type TaskTuple = (
    i64,
    Vec<u8>,
    i64,
    String,
    Option<String>,
    i64,
    i64,
    Option<String>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    Option<i64>,
    i64,
);

/// Loads tasks by key, each with the key of its graph, which is looked up by the caller.
pub(crate) fn load_tasks(
    connection: &mut Connection,
    keys: &[i64],
    graph_of: &mut dyn FnMut(&mut Connection, i64) -> QueryResult<Arc<Graph>>,
) -> QueryResult<Vec<(i64, TaskRow)>> {
    const SQL: &str = "SELECT t.key, t.id, t.graph, t.state, t.failure, t.priority, t.live_steps, t.origin, \
         t.started_at, t.finished_at, t.deadline_at, t.next_check_at, t.updated_at \
         FROM json_each(?1) AS k CROSS JOIN tasks AS t ON t.key = k.value";
    if keys.is_empty() {
        return Ok(Vec::new());
    }
    let keys = json(keys);
    let rows = Statement::<TaskSql>::new(SQL, &[Bind::Text(&keys)]).load::<TaskTuple>(connection)?;
    rows.into_iter()
        .map(|row| {
            let task = TaskRow {
                id: task_id(&row.1),
                graph: graph_of(connection, row.2)?,
                state: parsed(&row.3, TaskState::Pending),
                failure: row.4.and_then(|reason| reason.parse().ok()),
                priority: i16::try_from(row.5).unwrap_or_default(),
                live_steps: row.6,
                brought: Brought::read(row.7),
                started_at: time(row.8),
                finished_at: time(row.9),
                deadline_at: time(row.10),
                next_check_at: time(row.11),
                updated_at: Timestamp::from_micros(row.12),
            };
            Ok((row.0, task))
        })
        .collect()
}

pub(crate) fn task_id(bytes: &[u8]) -> TaskId {
    TaskId::from_bytes(bytes.try_into().unwrap_or_default())
}

/// Returns the key of the task that the outside knows by this id.
pub(crate) fn key_of(connection: &mut Connection, task: TaskId) -> QueryResult<Option<i64>> {
    const SQL: &str = "SELECT key FROM tasks WHERE id = ?1";
    let keys = Statement::<(BigInt,)>::new(SQL, &[Bind::Blob(task.as_bytes())]).load::<(i64,)>(connection)?;
    Ok(keys.first().map(|row| row.0))
}

/// Loads payloads, those that exist.
pub(crate) fn load_payloads(
    connection: &mut Connection,
    places: &[Place],
) -> QueryResult<BTreeMap<Place, Json>> {
    const SQL: &str =
        "SELECT p.key, p.body FROM json_each(?1) AS k CROSS JOIN payloads AS p ON p.key = k.value";
    if places.is_empty() {
        return Ok(BTreeMap::new());
    }
    let list = json(&places.iter().map(|place| payload(*place)).collect::<Vec<_>>());
    let rows =
        Statement::<(BigInt, Text)>::new(SQL, &[Bind::Text(&list)]).load::<(i64, String)>(connection)?;
    Ok(rows
        .into_iter()
        .map(|(key, body)| (place(key), Json::from_stored(body)))
        .collect())
}

/// What a task carries for all claims of its steps.
#[derive(Debug, Default)]
pub(crate) struct CarriedRows {
    pub(crate) context: Option<Json>,
    /// Configurations that replace the template's.
    pub(crate) configs: BTreeMap<u32, Json>,
}

/// Loads the contexts of tasks, and the configurations that replace their template's.
pub(crate) fn load_carried(
    connection: &mut Connection,
    tasks: &[i64],
) -> QueryResult<BTreeMap<i64, CarriedRows>> {
    const SQL: &str = "SELECT p.key, p.body FROM json_each(?1) AS k CROSS JOIN payloads AS p \
         ON p.key >= k.value << 27 AND p.key < (k.value + 1) << 27 AND p.key & 7 IN (0, 3)";
    let mut all: BTreeMap<i64, CarriedRows> = BTreeMap::new();
    if tasks.is_empty() {
        return Ok(all);
    }
    let rows = Statement::<(BigInt, Text)>::new(SQL, &[Bind::Text(&json(tasks))])
        .load::<(i64, String)>(connection)?;
    for (key, body) in rows {
        let ((task, step), kind) = place(key);
        let own = all.entry(task).or_default();
        let body = Json::from_stored(body);
        if kind == Kind::Context {
            own.context = Some(body);
        } else {
            own.configs.insert(step, body);
        }
    }
    Ok(all)
}

/// Loads all payloads of some kinds that tasks and their steps have.
pub(crate) fn load_kinds(
    connection: &mut Connection,
    tasks: &[i64],
    kinds: &[Kind],
) -> QueryResult<Payloads> {
    const SQL: &str = "SELECT p.key, p.body FROM json_each(?1) AS k CROSS JOIN payloads AS p \
         ON p.key >= k.value << 27 AND p.key < (k.value + 1) << 27 AND (1 << (p.key & 7)) & ?2 <> 0";
    let kinds = kinds.iter().fold(0, |kinds, kind| kinds | 1 << *kind as i64);
    let binds = [Bind::Text(&json(tasks)), Bind::Int(kinds)];
    let rows = Statement::<(BigInt, Text)>::new(SQL, &binds).load::<(i64, String)>(connection)?;
    let mut all = Payloads::new();
    for (key, body) in rows {
        let ((task, step), kind) = place(key);
        let own = all.entry((task, kind)).or_default();
        own.insert(step, Json::from_stored(body));
    }
    Ok(all)
}

/// Returns the JSON text of a list of values that serialize.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
