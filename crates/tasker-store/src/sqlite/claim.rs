//! Handing steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use diesel::query_dsl::RunQueryDsl;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable, Text};
use tasker_engine::{Actor, Claim, ClaimedTask, Json, Lease, Scope, StepEvent, TaskEvent, Want};
use tasker_types::{Namespace, RunNo, StepNo, StepState, TaskState, Timestamp, Version, WorkerId};

use super::rows::{LeaseRow, Payloads, StepKey, json, key_of, load_payloads};
use super::statement::{Bind, Statement};
use super::unit::{Note, Trouble, Unit};

/// A place in the queue, in the order of claims: rank (the priority, negated), age, step; and the queue it is in.
type Candidate = (i64, i64, u32, i64);

/// The queues that a worker takes steps from, with the version of the handler that would run them.
type Accepted = BTreeMap<i64, (Namespace, Version)>;

/// What a worker could be handed at all.
#[derive(Debug)]
pub(super) struct Reach {
    accepted: Accepted,
    /// The key of the one task in scope; `None` for all.
    task: Option<i64>,
}

impl Unit<'_> {
    fn accepted(&mut self, want: &Want) -> QueryResult<Accepted> {
        let queues = self.cache.queues(self.connection)?;
        let accepted = queues.iter().filter_map(|(id, queue)| {
            let version = want.accepts.version_for(&queue.namespace, &queue.handler)?;
            Some((*id, (queue.namespace.clone(), version)))
        });
        Ok(accepted.collect())
    }

    /// Returns what a worker could be handed; `None` when its scope is a task that is not there.
    pub(super) fn reach(&mut self, want: &Want) -> QueryResult<Option<Reach>> {
        let task = match want.scope {
            Scope::All => None,
            Scope::Task(task) => {
                let new = self
                    .created
                    .keys()
                    .find(|key| self.task(**key).id == task)
                    .copied();
                let key = match new {
                    Some(key) => Some(key),
                    None => key_of(self.connection, task)?,
                };
                if key.is_none() {
                    return Ok(None);
                }
                key
            }
        };
        let accepted = self.accepted(want)?;
        Ok(Some(Reach { accepted, task }))
    }

    /// Hands out what is due: the first step of the namespace that was served longest ago, then by rank, age and step.
    /// A child that this unit made ready goes straight to the worker, without a place in the queue's table.
    pub(super) fn claim(
        &mut self,
        worker: WorkerId,
        want: &Want,
        reach: &Reach,
    ) -> Result<Vec<Claim>, Trouble> {
        if want.limit == 0 {
            return Ok(Vec::new());
        }
        let Reach { accepted, task } = reach;
        let mut due = self.due(accepted, *task, want.limit)?;
        let Some(first) = self.first_served(accepted, &due)? else {
            return Ok(Vec::new());
        };
        due.retain(|candidate| *candidate != first);
        due.truncate(want.limit as usize - 1);
        due.push(first);
        due.sort_unstable_by_key(|(_, task, step, _)| (*task, *step));
        self.note_served(accepted, &due)?;
        self.load_tasks(due.iter().map(|candidate| candidate.1))?;
        self.load_steps(due.iter().map(|candidate| (candidate.1, candidate.2)))?;
        let actor = self.actor(&Actor::Worker(worker))?;
        let mut keys = Vec::with_capacity(due.len());
        for (_, task, step, queue) in due {
            let version = accepted[&queue].1.clone();
            if self.task(task).state == TaskState::Pending {
                self.apply_to_task(task, TaskEvent::Start, actor, None, None)?;
            }
            let note = Note {
                handler_version: Some(version.clone()),
                ..Note::default()
            };
            if self.apply((task, step), StepEvent::Start, actor, note).is_err() {
                continue;
            }
            let (process, until) = (self.process, self.now.plus(want.lease));
            self.step_mut((task, step)).lease = Some(LeaseRow {
                token: want.token,
                actor,
                process,
                until,
            });
            keys.push(((task, step), version));
        }
        self.claims_of(&keys)
    }

    /// Returns the first places of all queues, those that are due, in the order of claims.
    fn due(&mut self, accepted: &Accepted, scope: Option<i64>, limit: u32) -> QueryResult<Vec<Candidate>> {
        const UNPARK: &str = "UPDATE ready_steps SET parked = 0 WHERE parked = 1 AND due_at <= ?1";
        const FIRST: &str = "SELECT rank, task, step FROM ready_steps WHERE queue = ?1 AND parked = 0 \
             AND (due_at IS NULL OR due_at <= ?2) ORDER BY rank, task, step LIMIT ?3";
        const FIRST_OF_TASK: &str = "SELECT rank, task, step FROM ready_steps WHERE queue = ?1 AND parked = 0 \
             AND (due_at IS NULL OR due_at <= ?2) AND task = ?4 ORDER BY rank, task, step LIMIT ?3";
        let now = self.now.as_micros();
        Statement::<()>::new(UNPARK, &[Bind::Int(now)]).execute(self.connection)?;
        let mut due = Vec::new();
        for queue in accepted.keys() {
            let mut binds = vec![Bind::Int(*queue), Bind::Int(now), Bind::Int(i64::from(limit))];
            let sql = match scope {
                Some(task) => {
                    binds.push(Bind::Int(task));
                    FIRST_OF_TASK
                }
                None => FIRST,
            };
            let rows = Statement::<(BigInt, BigInt, BigInt)>::new(sql, &binds)
                .load::<(i64, i64, i64)>(self.connection)?;
            due.extend(
                rows.into_iter()
                    .map(|(rank, task, step)| (rank, task, u32::try_from(step).unwrap_or(u32::MAX), *queue)),
            );
        }
        // What this unit changed counts as it is now, not as the table has it.
        due.retain(|(_, task, step, _)| !self.steps.contains_key(&(*task, *step)));
        for (key, row) in &self.steps {
            let task = self.task(key.0);
            let queue = task.graph.queues[key.1 as usize];
            if row.now.queued(task.state.is_active())
                && row.now.next_retry_at.is_none_or(|due| due <= self.now)
                && scope.is_none_or(|task| task == key.0)
                && accepted.contains_key(&queue)
            {
                due.push((i64::from(task.priority.saturating_neg()), key.0, key.1, queue));
            }
        }
        due.sort_unstable();
        Ok(due)
    }

    /// Returns the first place of the namespace that was served longest ago.
    fn first_served(&mut self, accepted: &Accepted, due: &[Candidate]) -> QueryResult<Option<Candidate>> {
        const SERVED: &str = "SELECT max(last_served) FROM queues WHERE namespace = ?1";
        let mut firsts: BTreeMap<&Namespace, Candidate> = BTreeMap::new();
        for candidate in due {
            firsts.entry(&accepted[&candidate.3].0).or_insert(*candidate);
        }
        if firsts.len() < 2 {
            return Ok(firsts.into_values().next());
        }
        let mut best: Option<(i64, Candidate)> = None;
        for (namespace, candidate) in firsts {
            let name = namespace.to_string();
            let row: (Option<i64>,) = Statement::<(Nullable<BigInt>,)>::new(SERVED, &[Bind::Text(&name)])
                .get_result(self.connection)?;
            let entry = (row.0.unwrap_or(0), candidate);
            if best.is_none_or(|best| entry < best) {
                best = Some(entry);
            }
        }
        Ok(best.map(|(_, candidate)| candidate))
    }

    /// Notes which namespaces had a part in this hand-out.
    fn note_served(&mut self, accepted: &Accepted, chosen: &[Candidate]) -> QueryResult<()> {
        const NOTE: &str = "UPDATE queues SET last_served = (SELECT max(last_served) + 1 FROM queues) \
             WHERE namespace IN (SELECT value FROM json_each(?1))";
        let namespaces: BTreeSet<&Namespace> = chosen.iter().map(|place| &accepted[&place.3].0).collect();
        let list = json(&namespaces);
        Statement::<()>::new(NOTE, &[Bind::Text(&list)]).execute(self.connection)?;
        Ok(())
    }

    /// Builds the claims of steps in progress, each with the version of its handler.
    fn claims_of(&mut self, keys: &[(StepKey, Version)]) -> Result<Vec<Claim>, Trouble> {
        let mut places = BTreeSet::new();
        for ((task, step), _) in keys {
            places.insert((*task, -1, "context"));
            // A step that runs for the first time has left nothing behind.
            if self.step((*task, *step)).run > 1 {
                places.insert((*task, i64::from(*step), "checkpoint"));
            }
            places.insert((*task, i64::from(*step), "config"));
            let parents = self.template(*task).step(StepNo(*step)).depends_on();
            places.extend(
                parents
                    .iter()
                    .map(|parent| (*task, i64::from(parent.0), "result")),
            );
        }
        let mut payloads = Payloads::new();
        let mut missing = Vec::new();
        for place in places {
            match self.payloads.get(&place) {
                Some(Some(body)) => {
                    payloads.insert(place, body.clone());
                }
                Some(None) => {}
                None => missing.push(place),
            }
        }
        payloads.extend(load_payloads(self.connection, &missing)?);
        let mut tasks: BTreeMap<i64, Arc<ClaimedTask>> = BTreeMap::new();
        let mut claims = Vec::with_capacity(keys.len());
        for ((key, step), version) in keys {
            let (task, row) = (self.task(*key), self.step((*key, *step)));
            let template = &task.graph.template;
            let claimed = tasks.entry(*key).or_insert_with(|| {
                Arc::new(ClaimedTask {
                    template: Arc::clone(template),
                    context: payloads
                        .get(&(*key, -1, "context"))
                        .cloned()
                        .unwrap_or_else(Json::null),
                    correlation_id: task.correlation_id.clone(),
                })
            });
            let own = |kind| payloads.get(&(*key, i64::from(*step), kind)).cloned();
            let parents = template.step(StepNo(*step)).depends_on().iter();
            let Some(lease) = row.lease else { continue };
            claims.push(Claim {
                lease: Lease {
                    task: task.id,
                    task_key: *key,
                    step: StepNo(*step),
                    run: RunNo(row.run),
                    token: lease.token,
                },
                task: Arc::clone(claimed),
                attempt: row.attempts,
                retry_limit: row.retry_limit,
                parents: parents
                    .map(|parent| {
                        (
                            *parent,
                            payloads.get(&(*key, i64::from(parent.0), "result")).cloned(),
                        )
                    })
                    .collect(),
                checkpoint: own("checkpoint"),
                timeout: row
                    .timeout_us
                    .and_then(|us| u64::try_from(us).ok())
                    .map(Duration::from_micros),
                config: own("config"),
                handler_version: version.clone(),
                claimed_at: row.started_at.unwrap_or(self.now),
            });
        }
        Ok(claims)
    }

    /// Returns what an earlier request with this token was handed and still holds.
    pub(super) fn claims_under(&mut self, worker: WorkerId, want: &Want) -> Result<Vec<Claim>, Trouble> {
        const HELD: &str = "SELECT l.task, l.step, (SELECT t.handler_version FROM transitions AS t \
             WHERE t.task = l.task AND t.step = l.step AND t.run = l.run AND t.event = 'start' LIMIT 1) \
             FROM leases AS l WHERE l.token = ?1 AND l.actor = ?2 ORDER BY l.task, l.step";
        let actor = self.actor(&Actor::Worker(worker))?;
        let binds = [Bind::Int(want.token.0), Bind::Int(actor)];
        let rows =
            Statement::<(BigInt, BigInt, Nullable<Text>)>::new(HELD, &binds)
                .load::<(i64, i64, Option<String>)>(self.connection)?;
        let keys: Vec<(StepKey, Version)> = rows
            .into_iter()
            .map(|(task, step, version)| {
                let version = version.and_then(|text| text.parse().ok());
                let step = u32::try_from(step).unwrap_or(u32::MAX);
                ((task, step), version.unwrap_or_else(|| Version::new(0, 0, 0)))
            })
            .collect();
        self.load_tasks(keys.iter().map(|(key, _)| key.0))?;
        self.load_steps(keys.iter().map(|(key, _)| *key))?;
        // What this very request ended is no longer held.
        let held: Vec<_> = keys
            .into_iter()
            .filter(|(key, _)| self.step(*key).state == StepState::InProgress)
            .collect();
        self.claims_of(&held)
    }

    /// Returns how long until the earliest step in scope is due that waits for its time.
    pub(super) fn next_due_in(&mut self, reach: &Reach) -> QueryResult<Option<Duration>> {
        const NEXT: &str = "SELECT due_at FROM ready_steps INDEXED BY ready_steps_due_at_index WHERE due_at > ?1 \
             AND queue IN (SELECT value FROM json_each(?2)) AND (?3 IS NULL OR task = ?3) ORDER BY due_at LIMIT 1";
        let queues = json(&reach.accepted.keys().collect::<Vec<_>>());
        let binds = [
            Bind::Int(self.now.as_micros()),
            Bind::Text(&queues),
            Bind::MaybeInt(reach.task),
        ];
        let rows = Statement::<(BigInt,)>::new(NEXT, &binds).load::<(i64,)>(self.connection)?;
        Ok(rows
            .first()
            .map(|row| Timestamp::from_micros(row.0).since(self.now)))
    }
}
