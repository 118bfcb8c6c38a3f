//! What can be wrong with a task.

use std::fmt;

use serde::Serialize;
use tasker_types::{BlockingReason, Position, RunNo, StepNo, StepState, TaskId, TaskState};
use thiserror::Error;

use crate::transition::{StepEvent, TaskEvent};

/// A rule that a task violates, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Violation {
    /// The task.
    pub task: TaskId,
    /// The step, if it is about one.
    pub step: Option<StepNo>,
    /// The transitions concerned, ascending; empty if it is about the rows alone.
    pub positions: Vec<Position>,
    /// What is wrong.
    #[serde(flatten)]
    pub fault: Fault,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "task `{}`", self.task)?;
        if let Some(step) = self.step {
            write!(f, ", step {step}")?;
        }
        write!(f, ": {}", self.fault)?;
        match self.positions.as_slice() {
            [] => Ok(()),
            [only] => write!(f, " (transition {only})"),
            [first, rest @ ..] => {
                write!(f, " (transitions {first}")?;
                rest.iter().try_for_each(|position| write!(f, ", {position}"))?;
                f.write_str(")")
            }
        }
    }
}

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq, Error, Serialize)]
#[serde(tag = "rule", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// The store has a history for a task that it does not know.
    #[error("there is a history, but no task")]
    TaskMissing,
    /// The history of the task and that of all tasks do not have the same entries of it.
    #[error("its history has {history} entries, but the history of all tasks has {outbox} of it")]
    OutboxDiffers {
        /// How many entries its own history has.
        history: u32,
        /// How many of them the history of all tasks has.
        outbox: u32,
    },
    /// The task's rows are not the steps of its template, numbered from 0.
    #[error("the template has {template} steps, but there are {rows} rows or they are not numbered from 0")]
    StepsDiffer {
        /// How many steps the template has.
        template: usize,
        /// How many rows there are.
        rows: usize,
    },
    /// The history has an entry that belongs to another task.
    #[error("an entry of the history belongs to another task")]
    ForeignEntry,
    /// The positions of two neighbours do not ascend.
    #[error("the positions do not ascend")]
    PositionsDoNotAscend,
    /// The history does not begin with the creation of the task.
    #[error("the history does not begin with the task's creation")]
    NotCreatedFirst,
    /// The task was created a second time.
    #[error("the task was created more than once")]
    CreatedTwice,
    /// An entry names a step that the task has not.
    #[error("the task has no such step")]
    UnknownStep,
    /// The table of steps does not have this transition, or its condition did not hold.
    #[error("event `{event}` does not lead from `{from}` to `{to}` here")]
    IllegalStep {
        /// The state before.
        from: StepState,
        /// What happened.
        event: StepEvent,
        /// The state after.
        to: StepState,
    },
    /// The table of tasks does not have this transition.
    #[error("event `{event}` does not lead from `{from}` to `{to}`")]
    IllegalTask {
        /// The state before.
        from: TaskState,
        /// What happened.
        event: TaskEvent,
        /// The state after.
        to: TaskState,
    },
    /// A transition does not begin where the one before it ended.
    #[error("the transition begins in `{from}`, but the state was `{was}`")]
    BrokenChain {
        /// Where the transition before it ended.
        was: &'static str,
        /// Where the transition begins.
        from: &'static str,
    },
    /// A transition carries the number of another claim.
    #[error("the transition belongs to run {expected}, but says {found}")]
    RunDiffers {
        /// The claim that the transition belongs to.
        expected: RunNo,
        /// What it says.
        found: RunNo,
    },
    /// A transition counts the attempts wrongly.
    #[error("there are {expected} attempts after the transition, but it says {found}")]
    AttemptDiffers {
        /// How many there are.
        expected: u32,
        /// What it says.
        found: u32,
    },
    /// A step was started more often than it may be.
    #[error("attempt {attempt} was started, but {limit} are allowed")]
    TooManyAttempts {
        /// The attempt.
        attempt: u32,
        /// How many were allowed at that time.
        limit: u32,
    },
    /// A step was started again after a failure that is permanent.
    #[error("it was started after a permanent failure")]
    StartedAfterPermanentFailure,
    /// A step was started while its task was not in progress.
    #[error("it was started while the task was `{state}`")]
    StartedOutsideTask {
        /// The state of the task.
        state: TaskState,
    },
    /// A step was started before a parent was done.
    #[error("it was started while its parent, step {parent}, was `{state}`")]
    StartedBeforeParent {
        /// The parent.
        parent: StepNo,
        /// The state of the parent.
        state: StepState,
    },
    /// A step was claimed while an earlier claim had not ended.
    #[error("the lease of run {run} had not ended when it was claimed again")]
    LeasesOverlap {
        /// The earlier claim.
        run: RunNo,
    },
    /// A claim ended that had not begun.
    #[error("run {run} ended without a start")]
    EndedWithoutStart {
        /// The claim.
        run: RunNo,
    },
    /// The end of a claim was recorded a second time.
    #[error("the end of run {run} was recorded more than once")]
    RecordedTwice {
        /// The claim.
        run: RunNo,
    },
    /// A late outcome was noted of a step that was not cancelled, or of another claim than its last.
    #[error("a late outcome of run {run} was noted, but that run was not cancelled")]
    LateWithoutCancel {
        /// The claim.
        run: RunNo,
    },
    /// The task was completed before these steps were done.
    #[error("the task was completed before {} of its steps were done, the first of them step {}", unfinished.len(), unfinished.first().copied().unwrap_or_default())]
    CompletedTooEarly {
        /// The steps, ascending.
        unfinished: Vec<StepNo>,
    },
    /// The row has another state than the last transition.
    #[error("the history ends in `{history}`, but the row is `{row}`")]
    StateDiffers {
        /// Where the history ends.
        history: &'static str,
        /// What the row says.
        row: &'static str,
    },
    /// A number in the row is not what it should be.
    #[error("{what} is {row}, but it should be {expected}")]
    NumberDiffers {
        /// The number: attempts, runs, the retry limit, or a counter.
        what: &'static str,
        /// What follows from the history or the other rows.
        expected: u64,
        /// What the row says.
        row: u64,
    },
    /// The row does not say what the history says about the last failure.
    #[error("the row and the history differ on whether the last failure was permanent")]
    PermanenceDiffers,
    /// A step is in progress and has no lease.
    #[error("it is in progress without a lease")]
    LeaseMissing,
    /// A step has a lease and is not in progress.
    #[error("it has a lease, but is `{state}`")]
    LeaseLeft {
        /// The state of the step.
        state: StepState,
    },
    /// The queue lacks a step that is ready or waits for its time.
    #[error("it is ready or waits for its time, but the queue does not have it")]
    NotQueued,
    /// The queue has a step that cannot be claimed.
    #[error("the queue has it, but it cannot be claimed: {reason}")]
    QueuedWrongly {
        /// Why it cannot be claimed.
        reason: BlockingReason,
    },
    /// A complete step has no result.
    #[error("it is complete without a result")]
    ResultMissing,
    /// A step has a result that is not done.
    #[error("it has a result, but is `{state}`")]
    ResultUnexpected {
        /// The state of the step.
        state: StepState,
    },
    /// A step has more than one result.
    #[error("it has more than one result")]
    ResultTwice,
    /// A task that is over for good has a step that is not.
    #[error("it is `{state}` although the task is over")]
    UnfinishedInFinalTask {
        /// The state of the step.
        state: StepState,
    },
    /// A complete task has a step that is not done.
    #[error("it is `{state}` although the task is complete")]
    UndoneInCompleteTask {
        /// The state of the step.
        state: StepState,
    },
    /// A task is in error and does not say why.
    #[error("the task is in error and does not say why")]
    ReasonMissing,
    /// A task says why it is in error, and is not.
    #[error("the task says why it is in error, but is `{state}`")]
    ReasonLeft {
        /// The state of the task.
        state: TaskState,
    },
    /// A task is active, and no step of it runs, is ready or waits for its time.
    #[error("the task is `{state}`, but nothing will ever happen to it")]
    CannotProgress {
        /// The state of the task.
        state: TaskState,
    },
    /// A task is in error for its steps, and this step could run.
    #[error("the task is in error for its steps, but this one could run")]
    CouldProgress,
}
