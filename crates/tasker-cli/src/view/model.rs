//! What a view shows of a task: plain values, without a store, a clock or a terminal.

use std::time::Duration;

use tasker_types::{Position, StepFacts, StepNo, StepState, TaskState, Timestamp};

/// A task as a view shows it.
#[derive(Clone, Debug)]
pub(crate) struct Model {
    /// The task's id.
    pub(crate) id: String,
    /// The template's full name.
    pub(crate) name: String,
    /// The state.
    pub(crate) state: TaskState,
    /// Why it is in error.
    pub(crate) failure: Option<String>,
    /// When it was created.
    pub(crate) created_at: Timestamp,
    /// When it ended.
    pub(crate) finished_at: Option<Timestamp>,
    /// Its steps, in step order.
    pub(crate) steps: Vec<Step>,
    /// The last transition that is included.
    pub(crate) position: Position,
}

/// A step as a view shows it.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Its name.
    pub(crate) name: String,
    /// The steps that it waits for.
    pub(crate) parents: Vec<StepNo>,
    /// The state.
    pub(crate) state: StepState,
    /// Attempts since the last reset.
    pub(crate) attempts: u32,
    /// How many there may be.
    pub(crate) retry_limit: u32,
    /// Whether a failed attempt may be followed by another.
    pub(crate) retryable: bool,
    /// Whether the last failure was permanent.
    pub(crate) permanent: bool,
    /// When the step is due.
    pub(crate) due_at: Option<Timestamp>,
    /// When the last attempt began.
    pub(crate) started_at: Option<Timestamp>,
    /// When the step last came to a state other than pending and in progress.
    pub(crate) finished_at: Option<Timestamp>,
    /// What its handler said of itself.
    pub(crate) progress: Option<String>,
    /// How the last failed attempt failed.
    pub(crate) error: Option<String>,
}

/// What a step is doing, from what needs attention most to what needs none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Doing {
    /// It runs.
    Running,
    /// It failed and will not be tried again by itself.
    Failed,
    /// It waits for its time: a retry, a delay.
    Waiting,
    /// It can start.
    Ready,
    /// It waits for its parents.
    Blocked,
    /// It was cancelled.
    Cancelled,
    /// It is complete or resolved.
    Done,
}

/// How many steps are doing what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Counts {
    pub(crate) total: u64,
    pub(crate) running: u64,
    pub(crate) failed: u64,
    pub(crate) waiting: u64,
    pub(crate) ready: u64,
    pub(crate) blocked: u64,
    pub(crate) cancelled: u64,
    pub(crate) done: u64,
}

impl Counts {
    pub(crate) fn add(&mut self, doing: Doing) {
        self.total += 1;
        *match doing {
            Doing::Running => &mut self.running,
            Doing::Failed => &mut self.failed,
            Doing::Waiting => &mut self.waiting,
            Doing::Ready => &mut self.ready,
            Doing::Blocked => &mut self.blocked,
            Doing::Cancelled => &mut self.cancelled,
            Doing::Done => &mut self.done,
        } += 1;
    }

    /// Returns the counts that are not 0 with their words, what is done last.
    pub(crate) fn words(&self) -> Vec<(Doing, String)> {
        [
            (Doing::Running, self.running, "running"),
            (Doing::Failed, self.failed, "failed"),
            (Doing::Waiting, self.waiting, "waiting for its time"),
            (Doing::Ready, self.ready, "ready"),
            (Doing::Blocked, self.blocked, "blocked"),
            (Doing::Cancelled, self.cancelled, "cancelled"),
            (Doing::Done, self.done, "complete"),
        ]
        .into_iter()
        .filter(|(_, count, _)| *count > 0)
        .map(|(doing, count, word)| match (doing, count) {
            (Doing::Waiting, 2..) => (doing, format!("{count} waiting for their time")),
            _ => (doing, format!("{count} {word}")),
        })
        .collect()
    }
}

impl Model {
    /// Tells what a step is doing at a time.
    pub(crate) fn doing(&self, step: &Step, now: Timestamp) -> Doing {
        match step.state {
            StepState::InProgress => Doing::Running,
            StepState::Complete | StepState::ResolvedManually => Doing::Done,
            StepState::Cancelled => Doing::Cancelled,
            StepState::Pending | StepState::Error if !step.facts().retry_eligible() => Doing::Failed,
            StepState::Pending | StepState::Error if self.unmet(step).next().is_some() => Doing::Blocked,
            StepState::Pending | StepState::Error if step.due_in(now).is_some() => Doing::Waiting,
            StepState::Pending | StepState::Error => Doing::Ready,
        }
    }

    /// Returns the parents of a step that are not done.
    pub(crate) fn unmet<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Step> {
        step.parents
            .iter()
            .filter_map(|parent| self.step(*parent))
            .filter(|parent| !parent.state.is_done())
    }

    /// Returns a step by its number.
    pub(crate) fn step(&self, step: StepNo) -> Option<&Step> {
        self.steps.get(step.0 as usize)
    }

    /// Returns a step by its number, to change it.
    pub(crate) fn step_mut(&mut self, step: StepNo) -> Option<&mut Step> {
        self.steps.get_mut(step.0 as usize)
    }

    /// Counts what the steps are doing.
    pub(crate) fn counts(&self, now: Timestamp) -> Counts {
        let mut counts = Counts::default();
        self.steps
            .iter()
            .for_each(|step| counts.add(self.doing(step, now)));
        counts
    }

    /// Returns how long the task has been there, or took.
    pub(crate) fn elapsed(&self, now: Timestamp) -> Duration {
        self.finished_at.unwrap_or(now).since(self.created_at)
    }
}

impl Step {
    /// Returns how long until the step is due, if it waits for its time.
    pub(crate) fn due_in(&self, now: Timestamp) -> Option<Duration> {
        self.due_at.filter(|due| *due > now).map(|due| due.since(now))
    }

    /// Returns how long the last attempt has run, or ran.
    pub(crate) fn elapsed(&self, now: Timestamp) -> Option<Duration> {
        let started = self.started_at?;
        match self.state {
            StepState::InProgress => Some(now.since(started)),
            StepState::Pending => None,
            _ => self
                .finished_at
                .filter(|finished| *finished >= started)
                .map(|end| end.since(started)),
        }
    }

    fn facts(&self) -> StepFacts {
        StepFacts {
            state: self.state,
            attempts: self.attempts,
            retry_limit: self.retry_limit,
            retryable: self.retryable,
            permanent: self.permanent,
            unmet_parents: 0,
            due_in: None,
        }
    }
}
