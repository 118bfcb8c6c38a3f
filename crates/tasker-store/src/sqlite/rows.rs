//! The rows that a change looks at, as values.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::SqliteConnection;
use tasker_engine::{FailureReason, HeldLease, Json, Origin, StepRecord, StepTemplate, Template};
use tasker_types::{
    HandlerRef, LeaseToken, Namespace, RunNo, StepFacts, StepNo, StepState, TaskId, TaskState, Timestamp,
    WorkerId,
};

use super::statement::{Bind, Statement};

/// A step of a task, by the task's key and the step's number.
pub(crate) type StepKey = (i64, u32);

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

/// What a payload is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A task's context; it stands with step 0.
    Context = 0,
    Result = 1,
    Checkpoint = 2,
    Config = 3,
    Failure = 4,
    Progress = 5,
}

/// Returns a payload's key in the database.
pub(crate) fn payload(key: StepKey, kind: Kind) -> i64 {
    (packed(key) << 3) | kind as i64
}

/// A template as tasks keep it, with the queue in which each of its steps waits.
#[derive(Debug)]
pub(crate) struct Graph {
    pub(crate) id: i64,
    pub(crate) template: Arc<Template>,
    pub(crate) queues: Vec<i64>,
}

/// A graph never changes.
impl PartialEq for Graph {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for Graph {}

/// Where steps of one handler wait.
#[derive(Clone, Debug)]
pub(crate) struct Queue {
    pub(crate) namespace: Namespace,
    pub(crate) handler: HandlerRef,
}

/// A task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskRow {
    pub(crate) id: TaskId,
    pub(crate) graph: Arc<Graph>,
    pub(crate) state: TaskState,
    pub(crate) failure: Option<FailureReason>,
    pub(crate) priority: i16,
    pub(crate) live_steps: i64,
    pub(crate) correlation_id: Option<String>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) deadline_at: Option<Timestamp>,
    pub(crate) next_check_at: Option<Timestamp>,
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

/// A step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct StepRow {
    pub(crate) state: StepState,
    pub(crate) attempts: u32,
    pub(crate) run: u32,
    pub(crate) retry_limit: u32,
    pub(crate) retryable: bool,
    pub(crate) permanent: bool,
    pub(crate) unmet_parents: u32,
    pub(crate) next_retry_at: Option<Timestamp>,
    pub(crate) started_at: Option<Timestamp>,
    pub(crate) finished_at: Option<Timestamp>,
    pub(crate) timeout_us: Option<i64>,
    pub(crate) lease: Option<LeaseRow>,
}

impl StepRow {
    /// Returns the facts from which the step's readiness follows.
    pub(crate) fn facts(&self, now: Timestamp) -> StepFacts {
        StepFacts {
            state: self.state,
            attempts: self.attempts,
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents: self.unmet_parents,
            due_in: self
                .next_retry_at
                .filter(|due| *due > now)
                .map(|due| due.since(now)),
        }
    }

    /// Returns the row of a step that was just created, due at a time.
    pub(crate) fn new(step: &StepTemplate, due: Option<Timestamp>) -> Self {
        Self {
            state: StepState::Pending,
            attempts: 0,
            run: 0,
            retry_limit: step.retry_limit(),
            retryable: step.retryable(),
            permanent: false,
            unmet_parents: u32::try_from(step.depends_on().len()).unwrap_or(u32::MAX),
            next_retry_at: due,
            started_at: None,
            finished_at: None,
            timeout_us: None,
            lease: None,
        }
    }

    /// Tells whether the queue has the step, given whether its task is active.
    pub(crate) fn queued(&self, active: bool) -> bool {
        let facts = self.facts(Timestamp::default());
        active
            && matches!(self.state, StepState::Pending | StepState::Error)
            && facts.dependencies_satisfied()
            && facts.retry_eligible()
    }

    /// Returns the step as others see it.
    pub(crate) fn record(
        self,
        step: StepNo,
        active: bool,
        worker: Option<WorkerId>,
        failure: Option<&Json>,
        progress: Option<&Json>,
    ) -> StepRecord {
        let queued = self.queued(active);
        StepRecord {
            step,
            state: self.state,
            attempts: self.attempts,
            run: RunNo(self.run),
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents: self.unmet_parents,
            next_retry_at: self.next_retry_at,
            queued,
            lease: self.lease.zip(worker).map(|(lease, worker)| HeldLease {
                worker,
                token: lease.token,
                until: lease.until,
            }),
            started_at: self.started_at,
            finished_at: self.finished_at,
            failure: failure.and_then(|json| json.to().ok()),
            progress: progress.and_then(|json| json.to().ok()),
        }
    }
}

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
    connection: &mut SqliteConnection,
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
    connection: &mut SqliteConnection,
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
    connection: &mut SqliteConnection,
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
);

/// Loads tasks by key, each with the key of its graph, which is looked up by the caller.
pub(crate) fn load_tasks(
    connection: &mut SqliteConnection,
    keys: &[i64],
    graph_of: &mut dyn FnMut(&mut SqliteConnection, i64) -> QueryResult<Arc<Graph>>,
) -> QueryResult<Vec<(i64, TaskRow)>> {
    const SQL: &str = "SELECT t.key, t.id, t.graph, t.state, t.failure, t.priority, t.live_steps, t.origin, \
         t.started_at, t.finished_at, t.deadline_at, t.next_check_at \
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
                correlation_id: row
                    .7
                    .and_then(|text| serde_json::from_str::<Origin>(&text).ok())
                    .and_then(|origin| origin.correlation_id),
                started_at: time(row.8),
                finished_at: time(row.9),
                deadline_at: time(row.10),
                next_check_at: time(row.11),
            };
            Ok((row.0, task))
        })
        .collect()
}

pub(crate) fn task_id(bytes: &[u8]) -> TaskId {
    TaskId::from_bytes(bytes.try_into().unwrap_or_default())
}

/// Returns the key of the task that the outside knows by this id.
pub(crate) fn key_of(connection: &mut SqliteConnection, task: TaskId) -> QueryResult<Option<i64>> {
    const SQL: &str = "SELECT key FROM tasks WHERE id = ?1";
    let keys = Statement::<(BigInt,)>::new(SQL, &[Bind::Blob(task.as_bytes())]).load::<(i64,)>(connection)?;
    Ok(keys.first().map(|row| row.0))
}

/// What tasks and steps carry, by the payload's key.
pub(crate) type Payloads = BTreeMap<i64, Json>;

/// Loads payloads, those that exist.
pub(crate) fn load_payloads(connection: &mut SqliteConnection, keys: &[i64]) -> QueryResult<Payloads> {
    const SQL: &str =
        "SELECT p.key, p.body FROM json_each(?1) AS k CROSS JOIN payloads AS p ON p.key = k.value";
    if keys.is_empty() {
        return Ok(Payloads::new());
    }
    let list = json(keys);
    let rows =
        Statement::<(BigInt, Text)>::new(SQL, &[Bind::Text(&list)]).load::<(i64, String)>(connection)?;
    Ok(rows
        .into_iter()
        .map(|(key, body)| (key, Json::from_stored(body)))
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
    connection: &mut SqliteConnection,
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
        let (task, step) = unpacked(key >> 3);
        let own = all.entry(task).or_default();
        let body = Json::from_stored(body);
        if key & 7 == Kind::Context as i64 {
            own.context = Some(body);
        } else {
            own.configs.insert(step, body);
        }
    }
    Ok(all)
}

/// Loads all payloads of a kind that the steps of a task have.
pub(crate) fn load_kind(
    connection: &mut SqliteConnection,
    task: i64,
    kind: Kind,
) -> QueryResult<BTreeMap<u32, Json>> {
    const SQL: &str =
        "SELECT key, body FROM payloads WHERE key >= ?1 AND key < ?2 AND key & 7 = ?3 ORDER BY key";
    let binds = [
        Bind::Int(payload((task, 0), Kind::Context)),
        Bind::Int(payload((task + 1, 0), Kind::Context)),
        Bind::Int(kind as i64),
    ];
    let rows = Statement::<(BigInt, Text)>::new(SQL, &binds).load::<(i64, String)>(connection)?;
    Ok(rows
        .into_iter()
        .map(|(key, body)| (unpacked(key >> 3).1, Json::from_stored(body)))
        .collect())
}

/// Returns the JSON text of a list of values that serialize.
pub(crate) fn json<T: serde::Serialize + ?Sized>(value: &T) -> String {
    serde_json::to_string(value).unwrap_or_default()
}
