//! Handing steps out, and taking in what became of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tasker_types::{LeaseToken, Namespace, StepNo, StepState, TaskId, TaskState, WorkerId};

use super::queue::{Lane, Queued, Reach};
use super::state::{CHECK, DEADLINE, Note, State};
use super::{Actor, Change, Claim, Json, LeaseStatus, Outcome, Receipt, Sweep};
use crate::backoff::retry_delay;
use crate::claim::{ClaimedTask, End, Lease, Progress};
use crate::clock::{Entropy, SeededEntropy};
use crate::events::Published;
use crate::failure::Failure;
use crate::finalizer::FailureReason;
use crate::record::HeldLease;
use crate::store::{Created, Scope, Want};
use crate::transition::{StepEvent, TaskEvent};

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

impl State {
    fn in_scope(&self, key: i64, scope: Scope) -> bool {
        match scope {
            Scope::All => true,
            Scope::Task(task) => self.task(key).record.id == task,
        }
    }

    /// Returns the lanes whose steps the caller can run, and which places in them are in its scope; `None` when none is.
    fn lanes(&self, want: &Want) -> Option<(Vec<&Lane>, Reach)> {
        let reach = match want.scope {
            Scope::Task(_) if tasker_types::bug(37) => Reach::All,
            Scope::All => Reach::All,
            Scope::Task(task) => {
                let key = self.key_of(task)?;
                Reach::Task {
                    rank: self.task(key).record.priority.saturating_neg(),
                    key,
                }
            }
        };
        let can_run = |lane: &&Lane| want.accepts.version_for(&lane.namespace, &lane.handler).is_some();
        Some((self.queue.lanes().iter().filter(can_run).collect(), reach))
    }

    /// Hands out what is due: the first step of the namespace that was served longest ago, then by rank, age and step.
    pub(super) fn claim(&mut self, worker: WorkerId, want: &Want) -> Vec<Claim> {
        self.queue.advance(self.now);
        let mut chosen = self.choose(want);
        if !chosen.is_empty() {
            self.top_ups += 1;
        }
        chosen.sort_unstable_by_key(|place| (place.key, place.step));
        for place in &chosen {
            let namespace = self.task(place.key).record.template.namespace().clone();
            self.served.insert(namespace, self.top_ups);
        }
        chosen
            .into_iter()
            .filter_map(|place| self.start(place, worker, want))
            .collect()
    }

    /// Returns the places to hand out.
    fn choose(&self, want: &Want) -> Vec<Queued> {
        let limit = want.limit as usize + usize::from(tasker_types::bug(36) && want.limit > 0);
        let Some((lanes, reach)) = self.lanes(want).filter(|_| limit > 0) else {
            return Vec::new();
        };
        let mut firsts: BTreeMap<&Namespace, Queued> = BTreeMap::new();
        // The first ones of each lane: the first ones of all are among them.
        let mut due = Vec::new();
        for lane in lanes {
            let start = due.len();
            due.extend(lane.due(reach).take(limit));
            if let Some(first) = due.get(start) {
                firsts
                    .entry(&lane.namespace)
                    .and_modify(|known| *known = (*known).min(*first))
                    .or_insert(*first);
            }
        }
        due.sort_unstable();
        let last_served = |namespace: &Namespace| self.served.get(namespace).copied().unwrap_or(0);
        let first = firsts
            .into_iter()
            .min_by_key(|(namespace, place)| (last_served(namespace), *place));
        let Some((_, first)) = first else {
            return Vec::new();
        };
        std::iter::once(first)
            .chain(due.into_iter().filter(|place| *place != first).take(limit - 1))
            .collect()
    }

    fn start(&mut self, place: Queued, worker: WorkerId, want: &Want) -> Option<Claim> {
        let Queued { key, step, .. } = place;
        let actor = Actor::Worker(worker);
        let template = Arc::clone(&self.task(key).record.template);
        let version = want
            .accepts
            .version_for(template.namespace(), template.step(step).handler())?;
        if self.task(key).record.state == TaskState::Pending {
            self.apply_to_task(key, TaskEvent::Start, &actor, None, None)
                .ok()?;
        }
        let note = Note {
            handler_version: Some(version),
            ..Note::default()
        };
        self.apply(key, step, StepEvent::Start, &actor, note).ok()?;
        let until = self.now.plus(want.lease / (1 + u32::from(tasker_types::bug(35))));
        self.set_lease(
            key,
            step,
            Some(HeldLease {
                worker,
                token: want.token,
                until,
            }),
        );
        Some(self.claim_of(key, step, want.token))
    }

    /// Builds the claim of a step in progress.
    fn claim_of(&self, key: i64, step: StepNo, token: LeaseToken) -> Claim {
        let task = self.task(key);
        let row = self.step(key, step);
        let parents = task.record.template.step(step).depends_on();
        let version = row
            .entries
            .iter()
            .rev()
            .find_map(|entry| match &self.history[*entry].change {
                Change::Step {
                    event: StepEvent::Start,
                    handler_version,
                    ..
                } => handler_version.clone(),
                _ => None,
            });
        Claim {
            lease: Lease {
                task: task.record.id,
                task_key: key,
                step,
                run: row.record.run,
                token,
            },
            task: Arc::new(ClaimedTask {
                template: Arc::clone(&task.record.template),
                context: task.record.context.clone(),
                correlation_id: task.record.origin.correlation_id.clone(),
                trace_context: task.record.origin.trace_context,
            }),
            attempt: row.record.attempts,
            retry_limit: row.record.retry_limit,
            parents: parents
                .iter()
                .map(|parent| {
                    (
                        *parent,
                        self.step(key, if tasker_types::bug(39) { StepNo(0) } else { *parent })
                            .result
                            .clone(),
                    )
                })
                .collect(),
            checkpoint: row.checkpoint.clone().filter(|_| !tasker_types::bug(40)),
            timeout: row.timeout,
            config: row.config.clone(),
            handler_version: version.unwrap_or_else(|| tasker_types::Version::new(0, 0, 0)),
            claimed_at: row.record.started_at.unwrap_or(self.now),
        }
    }

    /// Returns what an earlier request with this token was handed and still holds.
    pub(super) fn claims_under(&self, worker: WorkerId, token: LeaseToken) -> Vec<Claim> {
        let steps = self.held.get(&(worker, token)).into_iter().flatten();
        steps
            .map(|(key, step)| self.claim_of(*key, *step, token))
            .collect()
    }

    pub(super) fn next_due_in(&mut self, want: &Want) -> Option<Duration> {
        self.queue.advance(self.now);
        let (lanes, reach) = self.lanes(want)?;
        let first = lanes.into_iter().filter_map(|lane| lane.next_due(reach)).min()?;
        Some(first.since(self.now))
    }

    /// Tells whether a lease is held: its token, its claim, and not past its time.
    fn holds(&self, lease: &Lease) -> bool {
        let Ok(key) = self.find(lease.task, lease.step) else {
            return false;
        };
        let row = &self.step(key, lease.step).record;
        (row.run == lease.run || tasker_types::bug(27))
            && row.lease.is_some_and(|held| {
                (held.token == lease.token || tasker_types::bug(27))
                    && (held.until >= self.now || tasker_types::bug(28))
            })
    }

    pub(super) fn renew(&mut self, lease: &Lease, extension: Duration) -> LeaseStatus {
        let until = self.now.plus(extension);
        let Ok(key) = self.find(lease.task, lease.step) else {
            return LeaseStatus::Lost;
        };
        if self.holds(lease) {
            let held = self.step(key, lease.step).record.lease;
            if !tasker_types::bug(31) {
                self.set_lease(key, lease.step, held.map(|held| HeldLease { until, ..held }));
            }
            return LeaseStatus::Held;
        }
        let row = &self.step(key, lease.step).record;
        if tasker_types::bug(29) && row.state != StepState::Cancelled {
            LeaseStatus::Held
        } else if row.state == StepState::Cancelled && row.run == lease.run {
            if tasker_types::bug(30) {
                return LeaseStatus::Held;
            }
            LeaseStatus::Cancelled
        } else {
            LeaseStatus::Lost
        }
    }

    /// Keeps what a handler says while its step is held.
    pub(super) fn note_progress(&mut self, lease: &Lease, progress: Progress) {
        if self.holds(lease)
            && let Some(key) = self.key_of(lease.task)
        {
            self.step_mut(key, lease.step).record.progress = Some(progress);
            self.woken = true;
        }
    }

    /// Records what became of a claim.
    pub(super) fn record(
        &mut self,
        actor: &Actor,
        outcome: Outcome,
        check_in: Duration,
        created: &mut Vec<(Lease, Created)>,
    ) -> Receipt {
        let lease = outcome.lease;
        if !self.holds(&lease) {
            return self.record_late(actor, &outcome);
        }
        let Some(key) = self.key_of(lease.task) else {
            return Receipt::LeaseLost;
        };
        if let Some(progress) = outcome.progress {
            self.step_mut(key, lease.step).record.progress = Some(progress);
        }
        let ran_us = outcome.ran_for.map(micros);
        let published = outcome.events;
        let note = |metadata| Note {
            handler_version: None,
            ran_us,
            metadata: Published::noted(&published, metadata),
        };
        let event = match &outcome.end {
            End::Succeed { .. } => StepEvent::Succeed,
            End::Fail { .. } => StepEvent::Fail,
            End::Release => StepEvent::Release,
            End::Interrupt => StepEvent::Interrupt,
            End::Suspend { .. } => StepEvent::Suspend,
        };
        let now = self.now;
        let step = lease.step;
        match outcome.end {
            End::Succeed { result } => {
                let tasks = outcome.tasks.into_iter();
                let tasks: Vec<Created> = tasks.map(|task| self.create(task, actor, check_in)).collect();
                created.extend(tasks.iter().map(|task| (lease, *task)));
                self.step_mut(key, step).result = Some(result).filter(|_| !tasker_types::bug(41));
                self.step_mut(key, step).record.failure = None;
                let _ = self.apply(key, step, event, actor, note(Created::note(&tasks)));
            }
            End::Fail { failure, retry_in } => {
                let _ = self.apply(key, step, event, actor, note(Json::of(&failure).ok()));
                self.set_failure(key, step, failure, retry_in);
            }
            End::Release => {
                let _ = self.apply(key, step, event, actor, note(None));
            }
            End::Interrupt => {
                let failure = Failure::interrupted();
                let metadata = Json::of(&failure).ok();
                self.step_mut(key, step).record.failure = Some(failure);
                let _ = self.apply(key, step, event, actor, note(metadata));
            }
            End::Suspend { wake_in, checkpoint } => {
                let row = self.step_mut(key, step);
                row.checkpoint = Some(checkpoint);
                row.record.next_retry_at = Some(now.plus(wake_in)).filter(|_| !tasker_types::bug(44));
                let _ = self.apply(key, step, event, actor, note(None));
            }
        }
        Receipt::Recorded
    }

    /// Deals with an outcome whose lease is over.
    fn record_late(&mut self, actor: &Actor, outcome: &Outcome) -> Receipt {
        let lease = outcome.lease;
        let Ok(key) = self.find(lease.task, lease.step) else {
            return Receipt::LeaseLost;
        };
        if tasker_types::bug(42)
            && let End::Succeed { result } = &outcome.end
        {
            self.step_mut(key, lease.step).result = Some(result.clone());
        }
        let mut recorded = false;
        let mut late = false;
        let entries = self
            .step(key, lease.step)
            .entries
            .iter()
            .map(|entry| &self.history[*entry]);
        for entry in entries.filter(|entry| entry.actor == *actor) {
            match &entry.change {
                Change::Step { run, event, .. } if *run == lease.run => {
                    recorded |= *event != StepEvent::Start
                }
                Change::LateOutcome { run, .. } if *run == lease.run => late = true,
                _ => {}
            }
        }
        if recorded && !tasker_types::bug(43) {
            return Receipt::Recorded;
        }
        let row = &self.step(key, lease.step).record;
        if row.state != StepState::Cancelled || row.run != lease.run {
            return Receipt::LeaseLost;
        }
        if !late {
            let change = Change::LateOutcome {
                step: lease.step,
                run: lease.run,
            };
            self.log(key, change, actor, Json::of(&outcome.end).ok());
        }
        Receipt::Late
    }

    /// Ends leases that are over.
    pub(super) fn expire(&mut self, sweep: &Sweep) -> Vec<(TaskId, StepNo)> {
        let random = SeededEntropy::new(sweep.seed);
        let second = Duration::from_secs(u64::from(tasker_types::bug(32)));
        let over = self.leases.range(..(self.now.plus(second), i64::MIN, StepNo(0)));
        let mut over: Vec<_> = over.map(|(_, key, step)| (*key, *step)).collect();
        over.retain(|(key, _)| self.in_scope(*key, sweep.scope));
        over.sort_unstable();
        over.truncate(if tasker_types::bug(33) {
            0
        } else {
            sweep.limit as usize
        });
        let mut expired = Vec::new();
        for (key, step) in over {
            let failure = Failure::lease_expired();
            let note = Note {
                metadata: Json::of(&failure).ok(),
                ..Note::default()
            };
            if self
                .apply(key, step, StepEvent::Expire, &Actor::System, note)
                .is_ok()
            {
                let attempts = self.step(key, step).record.attempts;
                let wait = retry_delay(&sweep.backoff, attempts, None, &mut || random.next_u64());
                self.set_failure(
                    key,
                    step,
                    failure,
                    if tasker_types::bug(34) {
                        Duration::ZERO
                    } else {
                        wait
                    },
                );
                expired.push((self.task(key).record.id, step));
            }
        }
        expired
    }

    /// Fails tasks that are past their deadline.
    pub(super) fn fail_overdue(&mut self, sweep: &Sweep, finished: &mut Vec<(TaskId, TaskState)>) {
        let overdue = self.timed_out(DEADLINE, sweep);
        for key in overdue.into_iter().filter(|_| !tasker_types::bug(45)) {
            let reason = Some(FailureReason::DeadlineExceeded);
            if let Ok(state) = self.apply_to_task(key, TaskEvent::Fail, &Actor::System, reason, None) {
                finished.push((self.task(key).record.id, state));
            }
        }
    }

    /// Names tasks whose time to be looked at has come, and has the next sweeps leave them alone for a while.
    pub(super) fn due_checks(&mut self, sweep: &Sweep, again: Duration) -> Vec<TaskId> {
        let next = self.now.plus(again);
        let mut due = Vec::new();
        for key in self.timed_out(CHECK, sweep) {
            let record = &mut self.task_mut(key).record;
            record.next_check_at = Some(next);
            due.push(record.id);
            self.sync_task(key);
        }
        due
    }

    /// Returns how long until the next task in scope fails.
    pub(super) fn next_deadline_in(&self, scope: Scope) -> Option<Duration> {
        let deadlines = self.times[DEADLINE].iter();
        let mut ours = deadlines.filter(|(_, key)| self.in_scope(*key, scope));
        ours.next().map(|(time, _)| time.since(self.now))
    }

    /// Returns the tasks whose time has come, oldest tasks first.
    fn timed_out(&self, index: usize, sweep: &Sweep) -> Vec<i64> {
        let over = self.times[index]
            .range(..=(self.now, i64::MAX))
            .map(|(_, key)| *key);
        let mut keys: Vec<i64> = over.filter(|key| self.in_scope(*key, sweep.scope)).collect();
        keys.sort_unstable();
        keys.truncate(sweep.limit as usize);
        keys
    }
}
