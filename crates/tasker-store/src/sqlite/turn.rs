//! The hot path: what became of claims, and what is handed out next.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use tasker_engine::{
    Actor, Created, End, Failure, Json, Lease, LeaseStatus, NewTask, Outcome, Progress, Published, Receipt,
    Renewal, StepEvent, Turn, TurnReply,
};
use tasker_types::{StepState, TaskId};

use super::history::{self, Entry};
use super::rows::{Kind, StepKey, key_of};
use super::unit::{Note, Trouble, Unit};

impl Unit<'_> {
    /// Records outcomes, tells children, ends tasks, and hands out what is ready.
    pub(super) fn turn(&mut self, turn: Turn) -> Result<TurnReply, Trouble> {
        let mut reply = TurnReply::default();
        let actor = self.actor(&Actor::Worker(turn.worker))?;
        let places = self.places(turn.outcomes.iter().map(|outcome| &outcome.lease))?;
        let tasks: Vec<&NewTask> = turn.outcomes.iter().flat_map(|outcome| &outcome.tasks).collect();
        let mut creation = if tasks.is_empty() {
            None
        } else {
            Some(self.begin_creation(&tasks, actor, turn.check_in)?)
        };
        let mut done = Vec::new();
        for (mut outcome, place) in turn.outcomes.into_iter().zip(places) {
            let receipt = match place {
                Some(place) => {
                    let mut created = Vec::new();
                    if let Some(creation) = creation.as_mut().filter(|_| self.creates(place, &outcome)) {
                        for task in std::mem::take(&mut outcome.tasks) {
                            created.push(self.create_task(creation, task)?);
                        }
                    }
                    reply
                        .created
                        .extend(created.iter().map(|task| (outcome.lease, *task)));
                    self.record(actor, place, outcome, &created, &mut done)?
                }
                None => Receipt::LeaseLost,
            };
            reply.receipts.push(receipt);
        }
        if let Some(creation) = &creation {
            self.end_creation(creation)?;
        }
        self.tell_children(&done)?;
        reply.finished = self.finalize_touched()?;
        if turn.again {
            reply.claims = self.claims_under(turn.worker, &turn.want)?;
        }
        let reach = self.reach(&turn.want)?;
        if let Some(reach) = reach.as_ref().filter(|_| reply.claims.is_empty()) {
            reply.claims = self.claim(turn.worker, &turn.want, reach)?;
        }
        self.flush()?;
        if let Some(reach) = &reach {
            reply.next_due_in = self.next_due_in(reach)?;
        }
        Ok(reply)
    }

    /// Finds the steps that leases name, and loads them; `None` for one that is not there.
    fn places<'l>(
        &mut self,
        leases: impl Iterator<Item = &'l Lease> + Clone,
    ) -> QueryResult<Vec<Option<StepKey>>> {
        self.load_tasks(leases.clone().map(|lease| lease.task_key))?;
        self.load_steps(leases.clone().map(|lease| (lease.task_key, lease.step.0)))?;
        let mut moved: BTreeMap<TaskId, Option<i64>> = BTreeMap::new();
        let mut places = Vec::new();
        for lease in leases {
            let key = match self.tasks.get(&lease.task_key) {
                Some(task) if task.now.id == lease.task => Some(lease.task_key),
                _ => match moved.get(&lease.task) {
                    Some(key) => *key,
                    None => {
                        // The key is another database's.
                        let key = key_of(self.connection, lease.task)?;
                        self.load_tasks(key)?;
                        moved.insert(lease.task, key);
                        key
                    }
                },
            };
            let place = key.map(|key| (key, lease.step.0));
            self.load_steps(place)?;
            places.push(place.filter(|place| self.steps.contains_key(place)));
        }
        Ok(places)
    }

    /// Tells whether a lease is held: its token, its claim, and not past its time.
    fn holds(&self, place: StepKey, lease: &Lease) -> bool {
        let row = self.step(place);
        row.run == lease.run.0
            && row.lease.is_some_and(|held| {
                held.token == lease.token && (held.until >= self.now || tasker_types::bug(63))
            })
    }

    /// Tells whether recording an outcome creates its tasks.
    fn creates(&self, place: StepKey, outcome: &Outcome) -> bool {
        matches!(outcome.end, End::Succeed { .. }) && self.holds(place, &outcome.lease)
    }

    fn record(
        &mut self,
        actor: i64,
        place: StepKey,
        outcome: Outcome,
        created: &[Created],
        done: &mut Vec<StepKey>,
    ) -> QueryResult<Receipt> {
        if !self.holds(place, &outcome.lease) {
            return self.record_late(actor, place, &outcome);
        }
        let ran_us = outcome
            .ran_for
            .map(|ran| u64::try_from(ran.as_micros()).unwrap_or(u64::MAX));
        if let Some(progress) = &outcome.progress {
            self.keep_progress(place, progress);
        }
        let published = outcome.events;
        let note = |metadata| Note {
            handler_version: None,
            ran_us,
            metadata: Published::noted(&published, metadata),
        };
        // Every end is legal for a step that is held, since such a step is in progress.
        let legal = match outcome.end {
            End::Succeed { result } => {
                self.put(
                    place,
                    Kind::Result,
                    Some(result).filter(|_| !tasker_types::bug(73)),
                );
                if self.step(place).run > 1 {
                    self.put(place, Kind::Failure, None);
                }
                done.push(place);
                self.apply(place, StepEvent::Succeed, actor, note(Created::note(created)))
            }
            End::Fail { failure, retry_in } => {
                let legal = self.apply(place, StepEvent::Fail, actor, note(Json::of(&failure).ok()));
                self.set_failure(place, &failure, retry_in);
                legal
            }
            End::Release => self.apply(place, StepEvent::Release, actor, note(None)),
            End::Interrupt => {
                let failure = Failure::interrupted();
                self.keep_failure(place, &failure);
                self.apply(place, StepEvent::Interrupt, actor, note(Json::of(&failure).ok()))
            }
            End::Suspend { wake_in, checkpoint } => {
                self.put(place, Kind::Checkpoint, Some(checkpoint));
                let due = self.now.plus(wake_in);
                self.step_mut(place).next_retry_at = Some(due);
                self.apply(place, StepEvent::Suspend, actor, note(None))
            }
        };
        Ok(legal.map_or(Receipt::LeaseLost, |_| Receipt::Recorded))
    }

    /// Deals with an outcome whose lease is over.
    fn record_late(&mut self, actor: i64, place: StepKey, outcome: &Outcome) -> QueryResult<Receipt> {
        let run = outcome.lease.run.0;
        let mut events: Vec<String> = Vec::new();
        history::each_of_task(self.connection, place.0, |entry| {
            if entry.step == Some(place.1) && entry.run == Some(run) && entry.actor == actor {
                events.push(entry.event.to_owned());
            }
        })?;
        let own = self.entries.iter().filter(|entry| {
            entry.task == place.0
                && entry.step == Some(place.1)
                && entry.run == Some(run)
                && entry.actor == actor
        });
        events.extend(own.map(|entry| entry.event.to_owned()));
        if events
            .iter()
            .any(|event| event != "start" && event != "late_outcome")
        {
            return Ok(Receipt::Recorded);
        }
        let row = self.step(place);
        if row.state != StepState::Cancelled || row.run != run {
            return Ok(Receipt::LeaseLost);
        }
        if !events.iter().any(|event| event == "late_outcome") {
            self.entries.push(Entry {
                task: place.0,
                step: Some(place.1),
                event: "late_outcome",
                from: None,
                to: None,
                actor,
                run: Some(run),
                attempt: None,
                handler_version: None,
                ran_us: None,
                metadata: Json::of(&outcome.end).ok(),
            });
        }
        Ok(Receipt::Late)
    }

    /// Keeps what the handler of a step says.
    fn keep_progress(&mut self, place: StepKey, progress: &Progress) {
        self.put(place, Kind::Progress, Json::of(progress).ok());
    }

    /// Extends leases, keeps what handlers say, and tells which of them are over.
    pub(super) fn renew(&mut self, renewal: &Renewal) -> Result<Vec<LeaseStatus>, Trouble> {
        let places = self.places(renewal.leases.iter())?;
        let until = self.now.plus(renewal.lease);
        let said = renewal.progress.iter().map(|(lease, progress)| (lease, progress));
        let said: BTreeMap<&Lease, &Progress> = said.collect();
        let mut statuses = Vec::with_capacity(places.len());
        for (lease, place) in renewal.leases.iter().zip(places) {
            let Some(place) = place else {
                statuses.push(LeaseStatus::Lost);
                continue;
            };
            let held = self.holds(place, lease);
            if held && let Some(progress) = said.get(lease) {
                self.keep_progress(place, progress);
                self.woken = true;
            }
            let row = self.step_mut(place);
            statuses.push(match &mut row.lease {
                Some(own) if held => {
                    own.until = until;
                    LeaseStatus::Held
                }
                _ if row.state == StepState::Cancelled && row.run == lease.run.0 => LeaseStatus::Cancelled,
                _ => LeaseStatus::Lost,
            });
        }
        self.flush()?;
        Ok(statuses)
    }
}
