//! The hot path: what became of claims, and what is handed out next.

use std::collections::BTreeMap;

use diesel::result::QueryResult;
use tasker_engine::{
    Actor, End, Json, Lease, LeaseStatus, NewTask, Outcome, Progress, Receipt, Renewal, Turn, TurnReply,
};
use tasker_types::{StepState, TaskId};

use super::history;
use super::rows::key_of;
use super::unit::{Trouble, Unit};
use crate::work::{Kind, StepKey};

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
                Some(place) if self.work.holds(place, &outcome.lease) => {
                    let mut created = Vec::new();
                    if let (Some(creation), End::Succeed { .. }) = (&mut creation, &outcome.end) {
                        for task in std::mem::take(&mut outcome.tasks) {
                            created.push(self.create_task(creation, task)?);
                        }
                    }
                    reply
                        .created
                        .extend(created.iter().map(|task| (outcome.lease, *task)));
                    self.work.record(actor, place, outcome, &created, &mut done)
                }
                Some(place) => self.record_late(actor, place, &outcome)?,
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
            let key = match self.work.tasks.get(&lease.task_key) {
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
            places.push(place.filter(|place| self.work.steps.contains_key(place)));
        }
        Ok(places)
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
        Ok(self.work.record_late(actor, place, outcome, events))
    }

    /// Extends leases, keeps what handlers say, and tells which of them are over.
    pub(super) fn renew(&mut self, renewal: &Renewal) -> Result<Vec<LeaseStatus>, Trouble> {
        let places = self.places(renewal.leases.iter())?;
        let until = self.work.now.plus(renewal.lease);
        let said = renewal.progress.iter().map(|(lease, progress)| (lease, progress));
        let said: BTreeMap<&Lease, &Progress> = said.collect();
        let mut statuses = Vec::with_capacity(places.len());
        for (lease, place) in renewal.leases.iter().zip(places) {
            let Some(place) = place else {
                statuses.push(LeaseStatus::Lost);
                continue;
            };
            let held = self.work.holds(place, lease);
            if held && let Some(progress) = said.get(lease) {
                self.work.put(place, Kind::Progress, Json::of(progress).ok());
                self.work.woken = true;
            }
            let row = self.work.step_mut(place);
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
