//! The hot path: what became of claims, and what is handed out next.

use std::collections::BTreeMap;
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Text};
use tasker_engine::{Actor, End, Lease, LeaseStatus, NewTask, Receipt, Renewal, Turn, TurnReply};
use tasker_types::{TaskId, Timestamp};

use super::connection::Connection;
use super::history;
use super::rows::{self, number, uuid};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use crate::work::StepKey;

/// When to look again for work that another transaction was about to change.
const SOON: Duration = Duration::from_millis(2);

impl Unit<'_> {
    /// Records outcomes, tells children, ends tasks, and hands out what is ready.
    pub(super) async fn turn(&mut self, turn: Turn) -> Result<TurnReply, Trouble> {
        let mut reply = TurnReply::default();
        let actor = self.cache.known(&Actor::Worker(turn.worker))?;
        let leases: Vec<Lease> = turn.outcomes.iter().map(|outcome| outcome.lease).collect();
        let places = self.places(&leases).await?;
        let tasks: Vec<&NewTask> = turn.outcomes.iter().flat_map(|outcome| &outcome.tasks).collect();
        let mut creation = match tasks.as_slice() {
            [] => None,
            tasks => Some(self.begin_creation(tasks).await?),
        };
        let mut done = Vec::new();
        for (mut outcome, place) in turn.outcomes.into_iter().zip(places) {
            let receipt = match place {
                Some(place) if self.work.holds(place, &outcome.lease) => {
                    let mut created = Vec::new();
                    if let (Some(creation), End::Succeed { .. }) = (&mut creation, &outcome.end) {
                        for task in std::mem::take(&mut outcome.tasks) {
                            created.push(self.create_task(creation, task, actor, turn.check_in)?);
                        }
                    }
                    reply
                        .created
                        .extend(created.iter().map(|task| (outcome.lease, *task)));
                    self.work.record(actor, place, outcome, &created, &mut done)
                }
                Some(place) => {
                    let events = self.events_of(actor, place, outcome.lease.run.0).await?;
                    self.work.record_late(actor, place, &outcome, events)
                }
                None => Receipt::LeaseLost,
            };
            reply.receipts.push(receipt);
        }
        if let Some(creation) = &creation {
            self.end_creation(creation).await?;
        }
        let children = self.work.children(&done);
        self.load_steps(children.iter().copied()).await?;
        self.work.tell(&children);
        reply.finished = self.finalize_touched().await?;
        if turn.again {
            reply.claims = self.claims_under(turn.worker, &turn.want).await?;
        }
        if let Some(reach) = self.reach(&turn.want).await? {
            if reply.claims.is_empty() {
                reply.claims = self.claim(turn.worker, &turn.want, &reach).await?;
            }
            reply.next_due_in = self.next_due_in(&turn.want, &reach).await?;
            if self.passed_over && reply.claims.len() < turn.want.limit as usize {
                let soon = reply.next_due_in.map_or(SOON, |due| due.min(SOON));
                reply.next_due_in = Some(soon);
            }
        }
        Ok(reply)
    }

    /// Finds the steps that leases name; `None` for one that is not there. Most are loaded, and their tasks locked, since the
    /// transaction began.
    async fn places(&mut self, leases: &[Lease]) -> Result<Vec<Option<StepKey>>, Trouble> {
        let strangers: Vec<TaskId> = leases
            .iter()
            .filter(|lease| !self.is_here(lease.task_key, lease.task))
            .map(|lease| lease.task)
            .collect();
        let mut moved = BTreeMap::new();
        if !strangers.is_empty() {
            moved = rows::keys_of(self.connection, &strangers).await?;
            self.lock_tasks(moved.values().copied()).await?;
        }
        let places: Vec<Option<StepKey>> = leases
            .iter()
            .map(|lease| {
                let key = match self.is_here(lease.task_key, lease.task) {
                    true => Some(lease.task_key),
                    false => moved.get(&lease.task).copied(),
                };
                key.map(|key| (key, lease.step.0))
            })
            .collect();
        self.load_steps(places.iter().flatten().copied()).await?;
        Ok(places
            .into_iter()
            .map(|place| place.filter(|place| self.work.steps.contains_key(place)))
            .collect())
    }

    fn is_here(&self, key: i64, task: TaskId) -> bool {
        self.work.tasks.get(&key).is_some_and(|row| row.now.id == task)
    }

    /// Returns the events of a run of a step by an actor.
    async fn events_of(&mut self, actor: i64, place: StepKey, run: u32) -> QueryResult<Vec<String>> {
        let mut events = Vec::new();
        history::each_of_task(self.connection, place.0, |entry| {
            if entry.step == Some(place.1) && entry.run == Some(run) && entry.actor == actor {
                events.push(entry.event.to_owned());
            }
        })
        .await?;
        Ok(events)
    }
}

/// Extends leases and keeps what handlers say in one statement, which is a transaction of its own, and tells which of the
/// leases are over.
///
/// A step that is locked is being reported or ended at this moment, so nothing depends on its lease any more. A clock that
/// went back may have a lease end sooner than before, and a sweep must look for it as soon.
pub(super) async fn renew(
    connection: &Connection<'_>,
    renewal: &Renewal,
    now: Option<Timestamp>,
) -> QueryResult<Vec<LeaseStatus>> {
    const RENEW: &str = "\
        WITH clock AS MATERIALIZED (SELECT coalesce($1::bigint, \
            (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now), \
        k AS MATERIALIZED (SELECT k.ord, t.key AS task, k.step, k.run, k.token, k.progress \
            FROM unnest($3, $4, $5, $6, $7) WITH ORDINALITY AS k (id, step, run, token, progress, ord) JOIN tasks AS t ON t.id = k.id), \
        held AS MATERIALIZED (SELECT s.task, s.step, s.token, s.lease_actor, k.progress FROM k JOIN steps AS s ON s.task = k.task AND s.step = k.step \
            WHERE s.token = k.token AND s.run = k.run AND s.lease_until >= (SELECT now FROM clock) \
            ORDER BY s.task, s.step FOR NO KEY UPDATE OF s SKIP LOCKED), \
        extended AS (UPDATE steps AS s SET lease_until = (SELECT now FROM clock) + $2 FROM held \
            WHERE s.task = held.task AND s.step = held.step), \
        sooner AS (UPDATE leases AS l SET until = (SELECT now FROM clock) + $2 \
            FROM (SELECT DISTINCT held.token, held.lease_actor FROM held) AS h \
            WHERE l.token = h.token AND l.actor = h.lease_actor AND l.until > (SELECT now FROM clock) + $2), \
        said AS (INSERT INTO payloads (task, step, kind, body) SELECT DISTINCT ON (task, step) task, step, 'g', progress \
            FROM held WHERE progress IS NOT NULL ORDER BY task, step \
            ON CONFLICT (task, step, kind) DO UPDATE SET body = excluded.body, encoding = NULL) \
        SELECT k.ord, CASE \
            WHEN s.token = k.token AND s.run = k.run AND s.lease_until >= (SELECT now FROM clock) THEN 'held' \
            WHEN s.state = 'cancelled' AND s.run = k.run THEN 'cancelled' ELSE 'lost' END \
        FROM k JOIN steps AS s ON s.task = k.task AND s.step = k.step";
    let leases = &renewal.leases;
    let lease = i64::try_from(renewal.lease.as_micros()).unwrap_or(i64::MAX);
    let said: BTreeMap<&Lease, String> = renewal
        .progress
        .iter()
        .map(|(lease, progress)| (lease, serde_json::to_string(progress).unwrap_or_default()))
        .collect();
    let binds = vec![
        Bind::MaybeInt(now.map(Timestamp::as_micros)),
        Bind::Int(lease),
        Bind::Ids(leases.iter().map(|lease| uuid(lease.task)).collect()),
        Bind::Smalls(leases.iter().map(|lease| number(lease.step.0)).collect()),
        Bind::Smalls(leases.iter().map(|lease| number(lease.run.0)).collect()),
        Bind::Ints(leases.iter().map(|lease| lease.token.0).collect()),
        Bind::MaybeTexts(
            leases
                .iter()
                .map(|lease| said.get(lease).map(String::as_str))
                .collect(),
        ),
    ];
    let rows = Statement::<(BigInt, Text)>::new(RENEW, binds)
        .load::<(i64, String)>(connection)
        .await?;
    let mut statuses = vec![LeaseStatus::Lost; leases.len()];
    for (ord, status) in rows {
        let place = usize::try_from(ord - 1)
            .ok()
            .and_then(|index| statuses.get_mut(index));
        if let Some(place) = place {
            *place = match status.as_str() {
                "held" => LeaseStatus::Held,
                "cancelled" => LeaseStatus::Cancelled,
                _ => LeaseStatus::Lost,
            };
        }
    }
    Ok(statuses)
}
