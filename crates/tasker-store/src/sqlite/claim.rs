//! Handing steps out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Nullable};
use tasker_engine::{Actor, Claim, ClaimedTask, Json, Lease, Scope, StepEvent, TaskEvent, Want};
use tasker_types::{Namespace, RunNo, StepNo, TaskState, Timestamp, Version, WorkerId};

use super::cache::Ahead;
use super::history;
use super::kept::Carried;
use super::rows::{CarriedRows, LeaseRow, json, key_of, load_carried, load_payloads};
use super::statement::{Bind, Statement};
use super::unit::{Trouble, Unit};
use crate::work::{Accepted, Candidate, Kind, Note, StepKey, accepted};

/// What a worker could be handed at all.
#[derive(Debug)]
pub(super) struct Reach {
    accepted: Accepted,
    /// The key of the one task in scope; `None` for all.
    task: Option<i64>,
}

impl Unit<'_> {
    /// Returns what a worker could be handed; `None` when its scope is a task that is not there.
    pub(super) fn reach(&mut self, want: &Want) -> QueryResult<Option<Reach>> {
        let task = match want.scope {
            Scope::All => None,
            Scope::Task(task) => {
                let new = self
                    .work
                    .created
                    .keys()
                    .find(|key| self.work.task(**key).id == task)
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
        let accepted = accepted(want, self.cache.queues(self.connection)?);
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
            if self.work.task(task).state == TaskState::Pending {
                self.work
                    .apply_to_task(task, TaskEvent::Start, actor, None, None)?;
            }
            let note = Note {
                handler_version: Some(version.clone()),
                ..Note::default()
            };
            if self
                .work
                .apply((task, step), StepEvent::Start, actor, note)
                .is_err()
            {
                continue;
            }
            let (process, until) = (self.process, self.work.now.plus(want.lease));
            self.work.step_mut((task, step)).lease = Some(LeaseRow {
                id: 0,
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
        const FIRST: &str = "SELECT rank, task, step FROM ready_steps WHERE queue = ?1 AND parked = 0 \
             AND (due_at IS NULL OR due_at <= ?2) ORDER BY rank, task, step LIMIT ?3";
        const FIRST_OF_TASK: &str = "SELECT rank, task, step FROM ready_steps WHERE queue = ?1 AND parked = 0 \
             AND (due_at IS NULL OR due_at <= ?2) AND task = ?4 ORDER BY rank, task, step LIMIT ?3";
        const ANY: &str = "SELECT task FROM ready_steps WHERE queue = ?1 AND parked = 0 LIMIT 1";
        let now = self.work.now.as_micros();
        self.unpark()?;
        let mut due = Vec::new();
        for queue in accepted.keys() {
            if self.cache.line.empty.contains(queue) {
                continue;
            }
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
            if rows.is_empty()
                && Statement::<(BigInt,)>::new(ANY, &[Bind::Int(*queue)])
                    .load::<(i64,)>(self.connection)?
                    .is_empty()
            {
                self.cache.line.empty.insert(*queue);
            }
            due.extend(
                rows.into_iter()
                    .map(|(rank, task, step)| (rank, task, u32::try_from(step).unwrap_or(u32::MAX), *queue)),
            );
        }
        // What this unit changed counts as it is now, not as the table has it.
        due.retain(|(_, task, step, _)| !self.work.steps.contains_key(&(*task, *step)));
        for (key, row) in &self.work.steps {
            let task = self.work.task(key.0);
            let queue = task.graph.queues[key.1 as usize];
            if row.now.queued(task.state.is_active())
                && row.now.next_retry_at.is_none_or(|due| due <= self.work.now)
                && scope.is_none_or(|task| task == key.0)
                && accepted.contains_key(&queue)
            {
                due.push((i64::from(task.priority.saturating_neg()), key.0, key.1, queue));
            }
        }
        due.sort_unstable();
        Ok(due)
    }

    /// Notices the steps whose time has come.
    fn unpark(&mut self) -> QueryResult<()> {
        const UNPARK: &str = "UPDATE ready_steps SET parked = 0 WHERE parked = 1 AND due_at <= ?1";
        const AHEAD: &str = "SELECT due_at FROM ready_steps INDEXED BY ready_steps_due_at_index WHERE due_at > ?1 \
             ORDER BY due_at LIMIT 1";
        let line = self.cache.line.at(self.work.now);
        match line.ahead {
            Some(Ahead::Nothing) => return Ok(()),
            Some(Ahead::From(first)) if first > self.work.now => return Ok(()),
            _ => {}
        }
        let binds = [Bind::Int(self.work.now.as_micros())];
        if Statement::<()>::new(UNPARK, &binds).execute(self.connection)? > 0 {
            line.empty.clear();
        }
        let first = Statement::<(BigInt,)>::new(AHEAD, &binds).load::<(i64,)>(self.connection)?;
        let first = first.first().map(|row| Timestamp::from_micros(row.0));
        line.ahead = Some(first.map_or(Ahead::Nothing, Ahead::From));
        Ok(())
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

    /// Notes which namespaces had a part in this hand-out, unless the same had the last one: their order is as it was.
    fn note_served(&mut self, accepted: &Accepted, chosen: &[Candidate]) -> QueryResult<()> {
        const NOTE: &str = "UPDATE queues SET last_served = (SELECT max(last_served) + 1 FROM queues) \
             WHERE namespace IN (SELECT value FROM json_each(?1))";
        let namespaces: BTreeSet<&Namespace> = chosen.iter().map(|place| &accepted[&place.3].0).collect();
        let list = json(&namespaces);
        if self.cache.line.served != list {
            Statement::<()>::new(NOTE, &[Bind::Text(&list)]).execute(self.connection)?;
            self.cache.line.served = list;
        }
        Ok(())
    }

    /// Builds the claims of steps in progress, each with the version of its handler.
    fn claims_of(&mut self, keys: &[(StepKey, Version)]) -> Result<Vec<Claim>, Trouble> {
        let mut missing = BTreeSet::new();
        for (key, _) in keys {
            // A step that runs for the first time has left nothing behind.
            if self.work.step(*key).run > 1 {
                missing.insert((*key, Kind::Checkpoint));
            }
            let parents = self
                .work
                .task(key.0)
                .graph
                .template
                .step(StepNo(key.1))
                .depends_on();
            missing.extend(parents.iter().map(|parent| ((key.0, parent.0), Kind::Result)));
        }
        let mut payloads = BTreeMap::new();
        missing.retain(|key| match self.work.payloads.get(key) {
            Some(written) => {
                payloads.extend(written.clone().map(|body| (*key, body)));
                false
            }
            None => true,
        });
        payloads.extend(load_payloads(
            self.connection,
            &missing.into_iter().collect::<Vec<_>>(),
        )?);
        self.carry(keys.iter().map(|(key, _)| key.0))?;
        let mut claims = Vec::with_capacity(keys.len());
        for ((key, step), version) in keys {
            let (task, row) = (self.work.task(*key), self.work.step((*key, *step)));
            let (Some(lease), Some(carried)) = (row.lease, self.carried.get(key)) else {
                continue;
            };
            let parents = task.graph.template.step(StepNo(*step)).depends_on().iter();
            let result = |parent: &StepNo| payloads.get(&((*key, parent.0), Kind::Result)).cloned();
            claims.push(Claim {
                lease: Lease {
                    task: task.id,
                    task_key: *key,
                    step: StepNo(*step),
                    run: RunNo(row.run),
                    token: lease.token,
                },
                task: Arc::clone(&carried.task),
                attempt: row.attempts,
                retry_limit: row.retry_limit,
                parents: parents.map(|parent| (*parent, result(parent))).collect(),
                checkpoint: payloads.get(&((*key, *step), Kind::Checkpoint)).cloned(),
                timeout: row
                    .timeout_us
                    .and_then(|us| u64::try_from(us).ok())
                    .map(Duration::from_micros),
                config: carried.configs.get(step).cloned(),
                handler_version: version.clone(),
                claimed_at: row.started_at.unwrap_or(self.work.now),
            });
        }
        Ok(claims)
    }

    /// Brings together what the claims of tasks' steps carry, whichever step it is.
    fn carry(&mut self, tasks: impl Iterator<Item = i64>) -> QueryResult<()> {
        let mut unknown = BTreeSet::new();
        for task in tasks {
            if self.carried.contains_key(&task) {
                continue;
            }
            match self.cache.kept.get(task).and_then(|kept| kept.carried.clone()) {
                Some(carried) => {
                    self.carried.insert(task, carried);
                }
                None => {
                    unknown.insert(task);
                }
            }
        }
        // Nothing of a task that is not written yet can be found.
        let written: Vec<i64> = unknown
            .iter()
            .filter(|task| !self.work.created.contains_key(task))
            .copied()
            .collect();
        let mut known = load_carried(self.connection, &written)?;
        for task in unknown {
            let CarriedRows {
                mut context,
                mut configs,
            } = known.remove(&task).unwrap_or_default();
            // What this unit writes counts as it is now.
            let own = ((task, 0), Kind::Context)..((task + 1, 0), Kind::Context);
            for (((_, step), kind), body) in self.work.payloads.range(own) {
                match (kind, body) {
                    (Kind::Context, _) => context.clone_from(body),
                    (Kind::Config, Some(body)) => {
                        configs.insert(*step, body.clone());
                    }
                    (Kind::Config, None) => {
                        configs.remove(step);
                    }
                    _ => {}
                }
            }
            let row = self.work.task(task);
            let claimed = ClaimedTask {
                template: Arc::clone(&row.graph.template),
                context: context.unwrap_or_else(Json::null),
                correlation_id: row.brought.correlation_id.clone(),
                trace_context: row.brought.trace_context,
            };
            let carried = Arc::new(Carried {
                task: Arc::new(claimed),
                configs,
            });
            self.carried.insert(task, carried);
        }
        Ok(())
    }

    /// Returns what an earlier request with this token was handed and still holds.
    pub(super) fn claims_under(&mut self, worker: WorkerId, want: &Want) -> Result<Vec<Claim>, Trouble> {
        const HELD: &str = "SELECT id, steps FROM leases WHERE token = ?1 AND actor = ?2";
        let actor = self.actor(&Actor::Worker(worker))?;
        let mut held = Vec::new();
        // What this very request ended is no longer held.
        for key in self.held_under(HELD, &[Bind::Int(want.token.0), Bind::Int(actor)])? {
            let run = self.work.step(key).run;
            let mut version = None;
            history::each_of_task(self.connection, key.0, |entry| {
                if entry.step == Some(key.1) && entry.run == Some(run) && entry.event == "start" {
                    version = entry.handler_version.as_ref().and_then(|text| text.parse().ok());
                }
            })?;
            held.push((key, version.unwrap_or_else(|| Version::new(0, 0, 0))));
        }
        self.claims_of(&held)
    }

    /// Returns how long until the earliest step in scope is due that waits for its time.
    pub(super) fn next_due_in(&mut self, reach: &Reach) -> QueryResult<Option<Duration>> {
        const NEXT: &str = "SELECT due_at FROM ready_steps INDEXED BY ready_steps_due_at_index WHERE due_at > ?1 \
             AND queue IN (SELECT value FROM json_each(?2)) AND (?3 IS NULL OR task = ?3) ORDER BY due_at LIMIT 1";
        if self.cache.line.at(self.work.now).ahead == Some(Ahead::Nothing) {
            return Ok(None);
        }
        let queues = json(&reach.accepted.keys().collect::<Vec<_>>());
        let binds = [
            Bind::Int(self.work.now.as_micros()),
            Bind::Text(&queues),
            Bind::MaybeInt(reach.task),
        ];
        let rows = Statement::<(BigInt,)>::new(NEXT, &binds).load::<(i64,)>(self.connection)?;
        Ok(rows
            .first()
            .map(|row| Timestamp::from_micros(row.0).since(self.work.now)))
    }
}
