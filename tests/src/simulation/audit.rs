//! What must be true of the answers of a store, whatever it holds.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tasker_engine::{
    Claim, Demand, End, Intervened, Intervention, Json, Lease, LeaseStatus, NewTask, Outcome, Receipt, Scope,
    Severity, Snapshot, Want,
};
use tasker_types::{LeaseToken, RunNo, StepNo, TaskId, Timestamp};

/// What a handler says that wants to be called again, before the number of milliseconds.
pub(super) const COME_BACK: &str = "come back in ";

/// The waits after a first, second, … failed attempt, in seconds, as the documentation has them.
const WAITS: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// How long a handler may go on after it was told to stop.
const LAST_WORD: Duration = Duration::from_secs(2);

/// How long one may that returns when it likes.
const LAST_WORDS: Duration = Duration::from_secs(17);

type Place = (TaskId, StepNo);

/// A lease as it was promised.
#[derive(Clone, Copy, Debug)]
struct Held {
    run: RunNo,
    token: LeaseToken,
    attempt: u32,
    /// Whether the step may be tried again after this attempt.
    retries: bool,
    /// How long its handler may run.
    longest: Option<Duration>,
    /// Until when; `None` when its process was restarted, and others may end it at any time.
    until: Option<Timestamp>,
}

/// Follows what was promised to workers, and notes what is not kept.
#[derive(Debug, Default)]
pub(super) struct Audit {
    held: BTreeMap<Place, Held>,
    ended: BTreeSet<(TaskId, StepNo, RunNo)>,
    /// When steps may be handed out again at the earliest.
    due: BTreeMap<Place, Timestamp>,
    checkpoints: BTreeMap<Place, Json>,
    pub(super) deadlines: BTreeMap<TaskId, Timestamp>,
    pub(super) problems: Vec<String>,
}

fn longest(claim: &Claim) -> Option<Duration> {
    let step = claim.template();
    let patience = if step.handler().name.as_str() == "returns" {
        LAST_WORDS
    } else {
        LAST_WORD
    };
    Some(claim.timeout.or(step.timeout())? + patience)
}

impl Audit {
    fn problem(&mut self, (task, step): Place, what: impl AsRef<str>) {
        self.problems
            .push(format!("task `{task}`, step {step}: {}", what.as_ref()));
    }

    /// Takes in what was handed out. `fresh` when it was not asked for before.
    pub(super) fn handed_out(&mut self, want: &Want, claims: &[Claim], now: Timestamp, fresh: bool) {
        if fresh && claims.len() > want.limit as usize {
            let (given, limit) = (claims.len(), want.limit);
            self.problems
                .push(format!("{given} steps were handed out, but {limit} were wanted"));
        }
        for claim in claims {
            let Lease {
                task,
                step,
                run,
                token,
                ..
            } = claim.lease;
            let place = (task, step);
            if fresh && matches!(want.scope, Scope::Task(only) if only != task) {
                self.problem(place, "it was handed out, but is not in the scope");
            }
            if self
                .held
                .get(&place)
                .is_some_and(|held| held.run == run && held.token == token)
            {
                continue;
            }
            if self.due.remove(&place).is_some_and(|due| due > now) {
                self.problem(place, "it was handed out before its time");
            }
            if claim.checkpoint.as_ref() != self.checkpoints.get(&place) {
                self.problem(place, "its checkpoint was not what its handler left");
            }
            let held = Held {
                run,
                token,
                attempt: claim.attempt,
                retries: !claim.is_last_attempt(),
                longest: longest(claim),
                until: Some(now.plus(want.lease)),
            };
            self.held.insert(place, held);
        }
    }

    /// Takes in that the first steps of a task are to wait.
    pub(super) fn starts_at(&mut self, task: &NewTask, start: Timestamp) {
        for (step, number) in task.template.steps().iter().zip(0..) {
            if step.depends_on().is_empty() {
                self.due.insert((task.id, StepNo(number)), start);
            }
        }
    }

    /// Tells how the lease stands: held, over, or unknown.
    fn stands(&self, lease: &Lease, now: Timestamp) -> Option<bool> {
        let held = self.held.get(&(lease.task, lease.step));
        let Some(held) = held.filter(|held| held.run == lease.run && held.token == lease.token) else {
            return Some(false);
        };
        held.until.map(|until| until >= now)
    }

    /// Takes in what became of an outcome.
    pub(super) fn answered(&mut self, outcome: &Outcome, receipt: Receipt, now: Timestamp) {
        let lease = &outcome.lease;
        let place = (lease.task, lease.step);
        if self.ended.contains(&(lease.task, lease.step, lease.run)) {
            if receipt != Receipt::Recorded {
                self.problem(
                    place,
                    "an outcome was recorded, and refused when it was sent again",
                );
            }
            return;
        }
        let limit = self.held.get(&place).filter(|held| held.run == lease.run);
        let limit = limit.and_then(|held| held.longest);
        if let (Some(limit), Some(ran_for)) = (limit, outcome.ran_for)
            && ran_for > limit
        {
            self.problem(place, "its handler ran on after its timeout");
        }
        match (self.stands(lease, now), receipt) {
            (Some(false), Receipt::Recorded) => {
                self.problem(place, "an outcome was recorded whose lease was over");
            }
            (Some(true), Receipt::Late | Receipt::LeaseLost) => {
                self.problem(place, "an outcome was refused whose lease was held");
            }
            _ => {}
        }
        if receipt != Receipt::Recorded {
            return;
        }
        self.ended.insert((lease.task, lease.step, lease.run));
        let held = self.held.remove(&place);
        match &outcome.end {
            End::Fail { failure, retry_in } if failure.severity == Severity::Retryable => {
                if let Some(held) = held {
                    self.waits_for(place, held.attempt, &failure.message, *retry_in);
                    if held.retries {
                        self.due.insert(place, now.plus(*retry_in));
                    }
                }
            }
            End::Suspend { wake_in, checkpoint } => {
                self.due.insert(place, now.plus(*wake_in));
                self.checkpoints.insert(place, checkpoint.clone());
            }
            _ => {}
        }
    }

    /// Checks how long a step waits after a failed attempt.
    fn waits_for(&mut self, place: Place, attempt: u32, message: &str, wait: Duration) {
        let asked = message
            .strip_prefix(COME_BACK)
            .and_then(|rest| rest.split(' ').next())
            .and_then(|millis| millis.parse().ok());
        let listed = usize::try_from(attempt)
            .ok()
            .and_then(|attempt| WAITS.get(attempt.wrapping_sub(1)));
        let (least, most) = match (asked, listed) {
            (Some(millis), _) => (millis, millis * 11 / 10),
            (None, Some(seconds)) => (seconds * 900, seconds * 1_100),
            (None, None) => return,
        };
        let millis = u64::try_from(wait.as_millis()).unwrap_or(u64::MAX);
        if !(least..=most).contains(&millis) {
            self.problem(
                place,
                format!("it waits {millis} ms after attempt {attempt}, not {least} to {most} ms"),
            );
        }
    }

    /// Takes in how leases stand that were to be renewed.
    pub(super) fn renewed(
        &mut self,
        leases: &[Lease],
        statuses: &[LeaseStatus],
        extension: Duration,
        now: Timestamp,
    ) {
        for (lease, status) in leases.iter().zip(statuses) {
            let place = (lease.task, lease.step);
            match (self.stands(lease, now), *status == LeaseStatus::Held) {
                (Some(false), true) => self.problem(place, "a lease was renewed that was over"),
                (Some(true), false) => self.problem(place, "a lease was not renewed that was held"),
                (_, true) => {
                    if let Some(held) = self.held.get_mut(&place) {
                        held.until = Some(now.plus(extension));
                    }
                }
                _ => {}
            }
        }
    }

    /// Takes in that a lease was ended.
    pub(super) fn expired(&mut self, place: Place, snapshot: Option<&Snapshot>, now: Timestamp) {
        match self.held.remove(&place) {
            None => self.problem(place, "a lease ended that nobody held"),
            Some(held) => {
                if held.until.is_some_and(|until| until >= now) {
                    self.problem(place, "a lease ended before its time");
                }
                let row = snapshot.and_then(|snapshot| snapshot.steps.get(place.1.0 as usize));
                if let (true, Some(row)) = (held.retries, row) {
                    let due = row.next_retry_at.unwrap_or(now);
                    self.waits_for(place, held.attempt, "", due.since(now));
                    self.due.insert(place, due);
                }
            }
        }
    }

    /// Checks that a sweep of everything left no lease that is over.
    pub(super) fn swept(&mut self, now: Timestamp) {
        let over = self
            .held
            .iter()
            .find(|(_, held)| held.until.is_some_and(|until| until < now))
            .map(|(place, _)| *place);
        if let Some(place) = over {
            self.problem(place, "a sweep left a lease that is over");
        }
    }

    /// Takes in what an operator did.
    pub(super) fn intervened(&mut self, intervention: &Intervention, done: &Intervened) {
        let resets = |demand: &Demand| {
            matches!(
                demand,
                Demand::ResetStep(_) | Demand::RetryTask | Demand::ResumeTask
            )
        };
        let resets = intervention.demands.iter().any(resets);
        for (step, _) in &done.steps {
            let place = (intervention.task, *step);
            self.held.remove(&place);
            self.due.remove(&place);
            if resets {
                self.checkpoints.remove(&place);
            }
        }
    }

    /// Takes in that all processes were restarted: whoever notices may end their leases.
    pub(super) fn restarted(&mut self) {
        for held in self.held.values_mut() {
            held.until = None;
        }
    }
}
