//! Handing steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Bool, Integer, Nullable, SmallInt, Text, Uuid as SqlUuid};
use futures_util::future::try_join;
use tasker_engine::{Actor, Claim, Scope, StepEvent, TaskEvent, Want};
use tasker_types::{Namespace, StepState, TaskState, Timestamp, Version, WorkerId};
use uuid::Uuid;

use super::connection::Connection;
use super::front::{Spot, Start};
use super::history;
use super::rows::{self, LeaseRow, StepRow, TASKS, load_payloads, number, read_tasks, small, time};
use super::statement::{Bind, Statement, execute};
use super::unit::{Trouble, Unit};
use crate::work::{Accepted, Brought, Candidate, Choice, Note, Place, StepKey, TaskRow};

/// What a worker could be handed at all.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Reach {
    pub(super) accepted: Accepted,
    /// The key of the one task in scope; `None` for all.
    pub(super) task: Option<i64>,
}

/// Takes the first places of each queue that nobody else is taking, with their steps and tasks. A place whose task has not
/// begun is taken only with the task, and what a later transaction wrote is left for the next time. Tasks that have not begun
/// are found by their keys, not by their state, which many have.
///
/// The time is that of a test, or that at which the transaction began. The look at each queue begins at a place.
const TAKE: &str = "\
WITH clock AS MATERIALIZED (SELECT coalesce($2::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now), \
r AS MATERIALIZED ( \
    SELECT c.* FROM unnest($1, $5, $6, $7) AS q (id, rank, task, step) CROSS JOIN LATERAL ( \
        SELECT r.queue, r.rank, r.task, r.step, age(r.xmin) AS age FROM ready_steps AS r \
        WHERE r.queue = q.id AND NOT r.parked AND (r.rank, r.task, r.step) >= (q.rank, q.task, q.step) \
            AND (r.due_at IS NULL OR r.due_at <= (SELECT clock.now FROM clock)) \
            AND ($3::bigint IS NULL OR r.task = $3) \
        ORDER BY r.rank, r.task, r.step LIMIT $4 FOR UPDATE SKIP LOCKED) AS c), \
begun AS MATERIALIZED ( \
    SELECT t.key FROM (SELECT DISTINCT r.task FROM r ORDER BY r.task) AS k CROSS JOIN LATERAL ( \
        SELECT t.key FROM tasks AS t WHERE t.key = k.task AND (t.state = 'pending') IS TRUE \
        LIMIT 1 FOR NO KEY UPDATE SKIP LOCKED) AS t) \
SELECT r.rank, r.task, r.step, r.queue, t.id, t.graph, t.state, t.priority, t.live_steps, t.origin, \
    t.started_at, t.deadline_at, t.next_check_at, t.updated_at, s.state, s.attempts, s.run, s.retry_limit, s.retryable, \
    s.unmet_parents, s.configured, s.next_retry_at, s.started_at, s.finished_at, s.timeout_us, least(r.age, age(t.xmin), age(s.xmin)), \
    t.state <> 'pending' OR r.task IN (SELECT begun.key FROM begun), q.last_served, q.namespace \
FROM r JOIN tasks AS t ON t.key = r.task JOIN steps AS s ON s.task = r.task AND s.step = r.step \
    JOIN queues AS q ON q.id = r.queue";

const UNPARK: &str = "\
UPDATE ready_steps AS r SET parked = false WHERE r.ctid = ANY (ARRAY( \
    SELECT r.ctid FROM ready_steps AS r WHERE r.parked AND r.due_at <= $1 \
    ORDER BY r.due_at LIMIT 10000 FOR UPDATE SKIP LOCKED)) RETURNING r.queue, r.rank, r.task, r.step";

/// How many places were deleted and are still there, by the server's statistics.
const DEAD: &str = "SELECT pg_stat_get_dead_tuples('ready_steps'::regclass)";

/// The time, that of a test or that at which the transaction began; when the next of the steps is due that wait for theirs;
/// and the queues that were added after one.
///
/// Of the steps that are parked it is one that is due after some time, for it may be due by now; of those that are not, one
/// that is due later than now, for it may be claimed if it is due. Most steps in the queue wait for nothing: those that do have
/// an index of their own, and no other may be taken.
const MOMENT: &str = "\
WITH clock AS MATERIALIZED (SELECT coalesce($1::bigint, (extract(epoch FROM now()) * 1000000)::bigint) AS now), \
next AS MATERIALIZED (SELECT min(o.due_at) AS due_at \
    FROM (VALUES (true, $4::bigint), (false, (SELECT clock.now FROM clock))) AS p (parked, after) CROSS JOIN LATERAL ( \
        SELECT r.due_at FROM ready_steps AS r WHERE r.parked = p.parked AND r.due_at > p.after \
            AND (r.queue = ANY($2)) IS TRUE AND ($3::bigint IS NULL OR (r.task = $3) IS TRUE) \
        ORDER BY r.due_at LIMIT 1) AS o) \
SELECT clock.now, next.due_at, q.id, q.namespace, q.handler \
FROM clock CROSS JOIN next LEFT JOIN queues AS q ON q.id > $5";

/// The statements that look at the queue, each with the types of its values.
#[cfg(test)]
pub(super) const LOOKS: [(&str, &str); 3] = [
    (
        TAKE,
        "bigint[], bigint, bigint, bigint, integer[], bigint[], integer[]",
    ),
    (UNPARK, "bigint"),
    (MOMENT, "bigint, bigint[], bigint, bigint, bigint"),
];

type TakenSql = (
    (
        SmallInt,
        BigInt,
        Integer,
        BigInt,
        SqlUuid,
        BigInt,
        Text,
        SmallInt,
        Integer,
        Nullable<Text>,
    ),
    (Nullable<BigInt>, Nullable<BigInt>, Nullable<BigInt>, BigInt),
    (Text, Integer, Integer, BigInt, Bool, Integer, Bool),
    (
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<BigInt>,
        Nullable<BigInt>,
    ),
    (Integer, Bool, BigInt, Text),
);

type TakenTuple = (
    (i16, i64, i32, i64, Uuid, i64, String, i16, i32, Option<String>),
    (Option<i64>, Option<i64>, Option<i64>, i64),
    (String, i32, i32, i64, bool, i32, bool),
    (Option<i64>, Option<i64>, Option<i64>, Option<i64>),
    (i32, bool, i64, String),
);

/// The first places of queues, taken for this turn and those that follow.
#[derive(Debug)]
pub(super) struct Look {
    queues: Vec<i64>,
    task: Option<i64>,
    /// How many places of each queue were asked for.
    wanted: u32,
    taken: Vec<Candidate>,
    /// When the namespaces were last served, those that could be in the choice.
    served: BTreeMap<Namespace, i64>,
    /// When the earliest step is due that waits for its time.
    next_due: Option<Timestamp>,
}

impl Look {
    /// Tells whether this is where a worker looks.
    fn is_at(&self, reach: &Reach) -> bool {
        self.task == reach.task && self.queues.iter().eq(reach.accepted.keys())
    }
}

/// What a look at the queue shows.
#[derive(Debug)]
pub(super) struct Seen {
    places: Vec<TakenTuple>,
    served: BTreeMap<Namespace, i64>,
    start: Start,
}

/// Prepares the statements that share a trip.
pub(super) async fn warm(connection: &Connection<'_>) -> QueryResult<()> {
    let nowhere = Reach {
        accepted: Accepted::new(),
        task: None,
    };
    take(connection, &nowhere, None, 0, &Start::whole()).await?;
    dead_places(connection).await?;
    Asked::default().answer(connection).await?;
    Ok(())
}

/// Makes steps whose time has come claimable, and returns their places.
async fn unpark(connection: &Connection<'_>, now: i64) -> QueryResult<Vec<(i64, Spot)>> {
    let rows = Statement::<(BigInt, SmallInt, BigInt, Integer)>::new(UNPARK, vec![Bind::Int(now)])
        .load::<(i64, i16, i64, i32)>(connection)
        .await?;
    let spot = |(queue, rank, task, step)| (queue, (rank, task, small(step)));
    Ok(rows.into_iter().map(spot).collect())
}

/// Counts the places that were deleted and are still there.
pub(super) async fn dead_places(connection: &Connection<'_>) -> QueryResult<i64> {
    let (dead,) = Statement::<(BigInt,)>::new(DEAD, Vec::new())
        .get_result::<(i64,)>(connection)
        .await?;
    Ok(dead)
}

/// Takes so many first places of each queue, and learns what a choice among them needs, in one trip. The time is that at which
/// the transaction began, unless it is given.
pub(super) async fn see(
    connection: &Connection<'_>,
    reach: &Reach,
    now: Option<Timestamp>,
    wanted: u32,
    start: Start,
) -> QueryResult<Seen> {
    let (places, served) = try_join(
        take(connection, reach, now, wanted, &start),
        served(connection, reach),
    )
    .await?;
    Ok(Seen {
        places,
        served,
        start,
    })
}

/// Takes the first places of the queues.
async fn take(
    connection: &Connection<'_>,
    reach: &Reach,
    now: Option<Timestamp>,
    limit: u32,
    start: &Start,
) -> QueryResult<Vec<TakenTuple>> {
    let queues = || reach.accepted.keys().copied();
    let starts = || queues().map(|queue| start.of(queue));
    let ranks = starts().map(|spot| spot.map_or(i32::MIN, |spot| i32::from(spot.0)));
    let tasks = starts().map(|spot| spot.map_or(i64::MIN, |spot| spot.1));
    let steps = starts().map(|spot| spot.map_or(i32::MIN, |spot| number(spot.2)));
    let binds = vec![
        Bind::Ints(queues().collect()),
        Bind::MaybeInt(now.map(Timestamp::as_micros)),
        Bind::MaybeInt(reach.task),
        Bind::Int(i64::from(limit)),
        Bind::Smalls(ranks.collect()),
        Bind::Ints(tasks.collect()),
        Bind::Smalls(steps.collect()),
    ];
    Statement::<TakenSql>::new(TAKE, binds)
        .load::<TakenTuple>(connection)
        .await
}

/// What is asked of a moment.
#[derive(Debug)]
pub(super) struct Asked {
    /// The time of a test.
    pub(super) now: Option<Timestamp>,
    /// Where steps wait for their time.
    pub(super) queues: Vec<i64>,
    /// The one task in scope; `None` for all.
    pub(super) task: Option<i64>,
    /// Of the steps that are parked, those that are due after this.
    pub(super) parked_after: i64,
    /// The last queue that is known.
    pub(super) last_queue: i64,
}

/// Nothing but the time.
impl Default for Asked {
    fn default() -> Self {
        Self {
            now: None,
            queues: Vec::new(),
            task: None,
            parked_after: i64::MIN,
            last_queue: i64::MAX,
        }
    }
}

/// What is told of it.
#[derive(Debug)]
pub(super) struct Moment {
    pub(super) now: Timestamp,
    /// When the next step is due that waits for its time; if by now, it is to be made claimable.
    pub(super) next_due: Option<Timestamp>,
    /// The queues that were added, each with its namespace and handler.
    pub(super) queues: Vec<(i64, String, String)>,
}

impl Moment {
    /// Returns one of which nothing but the time is known.
    pub(super) fn at(now: Timestamp) -> Self {
        Self {
            now,
            next_due: None,
            queues: Vec::new(),
        }
    }
}

impl Asked {
    pub(super) async fn answer(self, connection: &Connection<'_>) -> QueryResult<Moment> {
        type Row = (
            BigInt,
            Nullable<BigInt>,
            Nullable<BigInt>,
            Nullable<Text>,
            Nullable<Text>,
        );
        let binds = vec![
            Bind::MaybeInt(self.now.map(Timestamp::as_micros)),
            Bind::Ints(self.queues),
            Bind::MaybeInt(self.task),
            Bind::Int(self.parked_after),
            Bind::Int(self.last_queue),
        ];
        let rows = Statement::<Row>::new(MOMENT, binds)
            .load::<(i64, Option<i64>, Option<i64>, Option<String>, Option<String>)>(connection)
            .await?;
        let first = rows.first();
        let (now, next_due) = first.map_or((0, None), |row| (row.0, row.1));
        let queues = rows.into_iter().filter_map(|row| Some((row.2?, row.3?, row.4?)));
        Ok(Moment {
            now: Timestamp::from_micros(now),
            next_due: next_due.map(Timestamp::from_micros),
            queues: queues.collect(),
        })
    }
}

impl Reach {
    /// Asks for what a look there needs to know of the moment.
    pub(super) fn ask(&self, now: Option<Timestamp>) -> Asked {
        Asked {
            now,
            queues: self.accepted.keys().copied().collect(),
            task: self.task,
            ..Asked::default()
        }
    }
}

/// Returns when the namespaces were last served if there are several to choose from.
async fn served(connection: &Connection<'_>, reach: &Reach) -> QueryResult<BTreeMap<Namespace, i64>> {
    const SERVED: &str = "SELECT namespace, max(last_served) FROM queues GROUP BY namespace";
    let namespaces: BTreeSet<&Namespace> = reach.accepted.values().map(|(name, _)| name).collect();
    if namespaces.len() < 2 {
        return Ok(BTreeMap::new());
    }
    let rows = Statement::<(Text, BigInt)>::new(SERVED, Vec::new())
        .load::<(String, i64)>(connection)
        .await?;
    Ok(rows
        .into_iter()
        .filter_map(|(namespace, served)| Some((namespace.parse().ok()?, served)))
        .collect())
}

impl Unit<'_> {
    /// Returns what a worker could be handed; `None` when its scope is a task that is not there.
    pub(super) async fn reach(&mut self, want: &Want) -> Result<Option<Reach>, Trouble> {
        let task = match want.scope {
            Scope::All => None,
            Scope::Task(task) => {
                let loaded = self.work.tasks.iter().find(|(_, row)| row.now.id == task);
                let key = match loaded {
                    Some((key, _)) => Some(*key),
                    None => rows::key_of(self.connection, task).await?,
                };
                if key.is_none() {
                    return Ok(None);
                }
                key
            }
        };
        if !self.knows_queues {
            let asked = Asked {
                last_queue: self.cache.last_queue(),
                ..Asked::default()
            };
            self.cache.learn(asked.answer(self.connection).await?.queues);
            self.knows_queues = true;
        }
        let accepted = crate::work::accepted(want, self.cache.queues());
        Ok(Some(Reach { accepted, task }))
    }

    /// Hands out what is due: the first step of the namespace that was served longest ago, then by rank, age and step.
    /// A child that this unit made ready goes straight to the worker, without a place in the queue's table.
    pub(super) async fn claim(
        &mut self,
        worker: WorkerId,
        want: &Want,
        reach: &Reach,
    ) -> Result<Vec<Claim>, Trouble> {
        if want.limit == 0 || reach.accepted.is_empty() {
            return Ok(Vec::new());
        }
        let fresh = self.work.fresh(&reach.accepted, reach.task);
        let tops_up = want.top_up || fresh.len() >= want.limit as usize;
        if tops_up && !self.look.as_ref().is_some_and(|look| look.is_at(reach)) {
            let ready = u32::try_from(fresh.len()).unwrap_or(u32::MAX);
            let own = want.limit.saturating_sub(ready).max(1);
            self.look = Some(self.look(reach, own).await?);
        }
        let choice = loop {
            let Some(look) = self.look.as_ref().filter(|_| tops_up) else {
                break Choice::of(fresh, want.limit, &reach.accepted, &BTreeMap::new());
            };
            // What this transaction handed out before is no longer there.
            let is_left = |place: &&Candidate| self.work.step((place.1, place.2)).queued(true);
            let left: Vec<Candidate> = look.taken.iter().filter(is_left).copied().collect();
            let gone = u32::try_from(look.taken.len() - left.len()).unwrap_or(u32::MAX);
            let due = left.into_iter().chain(fresh.iter().copied()).collect();
            let choice = Choice::of(due, want.limit, &reach.accepted, &look.served);
            let most = want.limit.saturating_add(gone);
            if look.wanted >= most || !choice.misses(&look.taken, look.wanted, want.limit) {
                break choice;
            }
            self.look = Some(self.look(reach, most).await?);
        };
        self.note_served(&choice.namespaces).await?;
        let actor = self.cache.known(&Actor::Worker(worker))?;
        let mut keys = Vec::with_capacity(choice.chosen.len());
        for (_, task, step, queue) in choice.chosen {
            let version = reach.accepted[&queue].1.clone();
            if self.work.task(task).state == TaskState::Pending {
                self.work
                    .apply_to_task(task, TaskEvent::Start, actor, None, None)?;
            }
            let note = Note {
                handler_version: Some(version.clone()),
                ..Note::default()
            };
            let key = (task, step);
            if self.work.apply(key, StepEvent::Start, actor, note).is_err() {
                continue;
            }
            let until = self.work.now.plus(want.lease);
            self.work.step_mut(key).lease = Some(LeaseRow {
                token: want.token,
                actor,
                until,
            });
            keys.push((key, version));
        }
        self.claims_of(&keys).await
    }

    /// Returns where a look begins.
    fn start(&self, reach: &Reach) -> Start {
        match reach.task {
            None => self.front.start(),
            Some(_) => Start::whole(),
        }
    }

    /// Takes the first places of the queues.
    async fn look(&mut self, reach: &Reach, wanted: u32) -> Result<Look, Trouble> {
        let (moment, seen) = self.see(reach, wanted, self.start(reach)).await?;
        self.take_in(reach, wanted, seen, moment.next_due).await
    }

    /// Learns what the queues show now.
    async fn see(&self, reach: &Reach, wanted: u32, start: Start) -> QueryResult<(Moment, Seen)> {
        let now = Some(self.work.now);
        let seen = see(self.connection, reach, now, wanted, start);
        try_join(reach.ask(now).answer(self.connection), seen).await
    }

    /// Takes up what a look at the queue showed; when there are steps that have become due, it looks again with them.
    pub(super) async fn take_in(
        &mut self,
        reach: &Reach,
        wanted: u32,
        mut seen: Seen,
        mut next_due: Option<Timestamp>,
    ) -> Result<Look, Trouble> {
        let now = self.work.now;
        if next_due.is_some_and(|due| due <= now) {
            self.unparked
                .extend(unpark(self.connection, now.as_micros()).await?);
            let mut start = self.start(reach);
            for (queue, spot) in &self.unparked {
                start.include(*queue, *spot);
            }
            let moment;
            (moment, seen) = self.see(reach, wanted, start).await?;
            next_due = moment.next_due;
        }
        if reach.task.is_none() {
            let places = seen.places.iter();
            let places = places.map(|row| (row.0.3, (row.0.0, row.0.1, small(row.0.2))));
            self.front.found(&seen.start, places);
        }
        let mut served = seen.served;
        let taken = self.take_up(seen.places, &mut served).await?;
        Ok(Look {
            queues: reach.accepted.keys().copied().collect(),
            task: reach.task,
            wanted,
            taken,
            served,
            next_due: next_due.filter(|due| *due > now),
        })
    }

    /// Takes up places of the queue, with their steps and tasks, and returns them in the order of claims.
    async fn take_up(
        &mut self,
        rows: Vec<TakenTuple>,
        served: &mut BTreeMap<Namespace, i64>,
    ) -> Result<Vec<Candidate>, Trouble> {
        let mut due = Vec::with_capacity(rows.len());
        for (
            (rank, key, step, queue, id, graph, state, priority, live, origin),
            times,
            step_row,
            waits,
            rest,
        ) in rows
        {
            let (age, free, last_served, namespace) = rest;
            if rows::overtakes(age) || !free {
                self.passed_over = true;
                continue;
            }
            if let Ok(namespace) = namespace.parse() {
                let known = served.entry(namespace).or_default();
                *known = (*known).max(last_served);
            }
            let step = small(step);
            let task = TaskRow {
                id: rows::task_id(id),
                graph: self.cache.graph(self.connection, graph).await?,
                state: rows::parsed(&state, TaskState::Pending),
                failure: None,
                priority,
                live_steps: i64::from(live),
                brought: Brought::read(origin),
                started_at: time(times.0),
                finished_at: None,
                deadline_at: time(times.1),
                next_check_at: time(times.2),
                updated_at: Timestamp::from_micros(times.3),
            };
            let row = StepRow {
                state: rows::parsed(&step_row.0, StepState::Pending),
                attempts: small(step_row.1),
                run: small(step_row.2),
                retry_limit: u32::try_from(step_row.3).unwrap_or(u32::MAX),
                retryable: step_row.4,
                // A step that failed for good has no place in the queue.
                permanent: false,
                unmet_parents: small(step_row.5),
                next_retry_at: time(waits.0),
                started_at: time(waits.1),
                finished_at: time(waits.2),
                timeout_us: waits.3,
                lease: None,
            };
            self.work.add_task(key, task);
            self.work.add_step((key, step), row);
            if step_row.6 {
                self.configured.insert((key, step));
            }
            due.push((i64::from(rank), key, step, queue));
        }
        due.sort_unstable();
        due.dedup();
        Ok(due)
    }

    /// Notes which namespaces had a part in this hand-out. With one namespace alone there is nothing to choose; what
    /// another transaction is noting at this moment is nearly the same.
    async fn note_served(&mut self, namespaces: &BTreeSet<Namespace>) -> QueryResult<()> {
        const NOTE: &str = "\
            UPDATE queues SET last_served = n.next FROM \
                (SELECT q.id, (SELECT max(last_served) + 1 FROM queues) AS next FROM queues AS q \
                WHERE q.namespace = ANY($1) ORDER BY q.id FOR NO KEY UPDATE SKIP LOCKED) AS n \
            WHERE queues.id = n.id";
        let all: BTreeSet<&Namespace> = self
            .cache
            .queues()
            .values()
            .map(|queue| &queue.namespace)
            .collect();
        let noted = namespaces.iter().all(|name| {
            let look = self.look.as_ref();
            self.cache.noted.contains(name)
                || look.is_some_and(|look| look.served.get(name).is_some_and(|served| *served > 0))
        });
        if namespaces.is_empty() || (all.len() < 2 && noted) {
            return Ok(());
        }
        let names = namespaces.iter().map(Namespace::as_str).collect();
        execute(self.connection, NOTE, vec![Bind::Texts(names)]).await?;
        self.noted.extend(namespaces.iter().cloned());
        if let Some(look) = &mut self.look {
            let next = look.served.values().max().map_or(1, |last| last + 1);
            let now = namespaces.iter().map(|name| (name.clone(), next));
            look.served.extend(now);
        }
        Ok(())
    }

    /// Builds the claims of steps in progress, each with the version of its handler.
    async fn claims_of(&mut self, keys: &[(StepKey, Version)]) -> Result<Vec<Claim>, Trouble> {
        let steps: Vec<StepKey> = keys.iter().map(|(key, _)| *key).collect();
        let (known, missing): (Vec<Place>, Vec<Place>) = self
            .work
            .places_of(&steps, &self.configured)
            .into_iter()
            .partition(|place| self.contexts.has(*place));
        let mut read = load_payloads(self.connection, &missing).await?;
        self.contexts.learn(&read);
        let graphs = steps.iter().map(|key| (key.0, &self.work.task(key.0).graph));
        self.contexts.keep_graphs(graphs);
        for place in known {
            match self.contexts.get(place) {
                Some(context) => {
                    read.insert(place, context);
                }
                // Another turn made room meanwhile.
                None => read.extend(load_payloads(self.connection, &[place]).await?),
            }
        }
        let claims = self.work.claims_of(keys, &read);
        Ok(claims)
    }

    /// Returns what an earlier request with this token was handed and still holds.
    pub(super) async fn claims_under(
        &mut self,
        worker: WorkerId,
        want: &Want,
    ) -> Result<Vec<Claim>, Trouble> {
        const HELD: &str = "\
            SELECT k.task, k.step \
            FROM leases AS l CROSS JOIN unnest(l.tasks, l.steps) AS k (task, step) \
            JOIN steps AS s ON s.task = k.task AND s.step = k.step AND s.token = l.token AND s.lease_actor = l.actor \
            WHERE l.token = $1 AND l.actor = $2 ORDER BY k.task, k.step";
        let actor = self.cache.known(&Actor::Worker(worker))?;
        let binds = vec![Bind::Int(want.token.0), Bind::Int(actor)];
        let rows = Statement::<(BigInt, Integer)>::new(HELD, binds)
            .load::<(i64, i32)>(self.connection)
            .await?;
        let keys: Vec<StepKey> = rows.into_iter().map(|(task, step)| (task, small(step))).collect();
        let missing: BTreeSet<i64> = keys
            .iter()
            .map(|key| key.0)
            .filter(|key| !self.work.tasks.contains_key(key))
            .collect();
        if !missing.is_empty() {
            let read = read_tasks(self.connection, TASKS, missing.into_iter().collect()).await?;
            self.add_tasks(read).await?;
        }
        self.load_steps(keys.iter().copied()).await?;
        let mut versions: BTreeMap<StepKey, Version> = BTreeMap::new();
        for own in keys.chunk_by(|one, other| one.0 == other.0) {
            let Some((task, _)) = own.first() else { continue };
            let steps = &self.work.steps;
            history::each_of_task(self.connection, *task, |entry| {
                let key = (*task, entry.step.unwrap_or_default());
                let is_last = steps.get(&key).is_some_and(|row| entry.run == Some(row.now.run));
                let version = entry.handler_version.as_ref().and_then(|text| text.parse().ok());
                if is_last
                    && entry.event == StepEvent::Start.as_str()
                    && let Some(version) = version
                {
                    versions.insert(key, version);
                }
            })
            .await?;
        }
        // What this very request ended is no longer held.
        let held: Vec<_> = keys
            .into_iter()
            .filter(|key| self.work.step(*key).state == StepState::InProgress)
            .map(|key| {
                (
                    key,
                    versions.remove(&key).unwrap_or_else(|| Version::new(0, 0, 0)),
                )
            })
            .collect();
        self.claims_of(&held).await
    }

    /// Returns how long until the earliest step in scope is due that waits for its time.
    /// Where the queue was not to be looked at, of those that this turn changed.
    pub(super) async fn next_due_in(&mut self, want: &Want, reach: &Reach) -> QueryResult<Option<Duration>> {
        let looked = self.look.as_ref().filter(|look| look.is_at(reach));
        let read = match looked {
            Some(look) => look.next_due,
            None if !want.top_up => None,
            None => {
                let asked = Asked {
                    parked_after: self.work.now.as_micros(),
                    ..reach.ask(Some(self.work.now))
                };
                asked.answer(self.connection).await?.next_due
            }
        };
        // What this unit adds, removes or moves is not written yet.
        let own = self.work.steps.iter().filter_map(|(key, row)| {
            let task = &self.work.tasks[&key.0].now;
            let queue = task.graph.queues[key.1 as usize];
            (row.now.queued(task.state.is_active())
                && reach.accepted.contains_key(&queue)
                && reach.task.is_none_or(|task| task == key.0))
            .then_some(row.now.next_retry_at)
            .flatten()
            .filter(|due| *due > self.work.now)
        });
        Ok(own.chain(read).min().map(|due| due.since(self.work.now)))
    }
}
