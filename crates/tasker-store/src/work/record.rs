//! What became of claims.

use tasker_engine::{Created, End, Failure, Json, Lease, Outcome, Published, Receipt, StepEvent};
use tasker_types::StepState;

use super::{Entry, Kind, Note, StepKey, Work};

impl<L: super::Lease> Work<L> {
    /// Tells whether a lease is held: its token, its claim, and not past its time.
    pub(crate) fn holds(&self, place: StepKey, lease: &Lease) -> bool {
        let row = self.step(place);
        row.run == lease.run.0
            && row.lease.is_some_and(|held| {
                held.token() == lease.token && (held.until() >= self.now || tasker_types::bug(63))
            })
    }

    /// Records an outcome whose lease is held, with what became of the tasks that it creates; a step that is done is added
    /// to `done`.
    pub(crate) fn record(
        &mut self,
        actor: i64,
        place: StepKey,
        outcome: Outcome,
        created: &[Created],
        done: &mut Vec<StepKey>,
    ) -> Receipt {
        let ran_us = outcome
            .ran_for
            .map(|ran| u64::try_from(ran.as_micros()).unwrap_or(u64::MAX));
        if let Some(progress) = &outcome.progress {
            self.put(place, Kind::Progress, Json::of(progress).ok());
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
        legal.map_or(Receipt::LeaseLost, |_| Receipt::Recorded)
    }

    /// Deals with an outcome whose lease is over, given the events of its run by this actor that the database has.
    pub(crate) fn record_late(
        &mut self,
        actor: i64,
        place: StepKey,
        outcome: &Outcome,
        mut events: Vec<String>,
    ) -> Receipt {
        let run = outcome.lease.run.0;
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
            return Receipt::Recorded;
        }
        let row = self.step(place);
        if row.state != StepState::Cancelled || row.run != run {
            return Receipt::LeaseLost;
        }
        if !events.iter().any(|event| event == "late_outcome") {
            self.entries.push(Entry {
                run: Some(run),
                metadata: Json::of(&outcome.end).ok(),
                ..Entry::new(place.0, Some(place.1), "late_outcome", actor)
            });
        }
        Receipt::Late
    }
}
