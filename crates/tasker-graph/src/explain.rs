//! Why a step is not running: the causes from the step down to the one that waits for no other.

mod words;

use std::fmt;

use serde::Serialize;
use tasker_types::{BlockingReason, StepState, TaskState, Timestamp};

use crate::analysis::Analysis;

/// What is known of a step beside its facts.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StepDetails {
    /// The last error, in one line.
    pub last_error: Option<String>,
    /// Who runs the step, and until when it may without renewing.
    pub lease: Option<(String, Timestamp)>,
    /// The handler that the step needs and nobody has.
    pub missing_handler: Option<String>,
    /// How many steps those who could run it run at once, if they do.
    pub slots_in_use: Option<u32>,
}

/// Why a step is not running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "cause", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Cause {
    /// Nothing blocks it: it can start.
    Nothing,
    /// It is complete or resolved.
    Finished {
        /// Its state.
        state: StepState,
    },
    /// A worker has it.
    Running {
        /// Who.
        worker: Option<String>,
        /// Until when, without renewing.
        lease_until: Option<Timestamp>,
    },
    /// Parents are not done.
    Parents {
        /// Their names.
        waits_for: Vec<String>,
    },
    /// It waits for its next attempt.
    Backoff {
        /// How many attempts there were.
        attempts: u32,
        /// How many there may be.
        retry_limit: u32,
        /// Why the last one failed.
        last_error: Option<String>,
    },
    /// Its first start lies in the future.
    NotYet,
    /// Its attempts are used up.
    Exhausted {
        /// How many there were.
        attempts: u32,
        /// How many there may be.
        retry_limit: u32,
        /// Why the last one failed.
        last_error: Option<String>,
    },
    /// Its last attempt failed for good.
    Permanent {
        /// Why.
        last_error: Option<String>,
    },
    /// It may not be tried a second time.
    NotRetryable {
        /// Why the first attempt failed.
        last_error: Option<String>,
    },
    /// It was cancelled.
    Cancelled,
    /// Its task has ended, in error or for good.
    TaskNotActive {
        /// The state of the task.
        state: TaskState,
    },
    /// No worker has its handler.
    NoWorkerForHandler {
        /// The handler.
        handler: String,
    },
    /// Those who could run it run as many steps as they may.
    ConcurrencyLimit {
        /// How many.
        limit: u32,
    },
}

/// When a cause is no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "when", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Clears {
    /// It is no hindrance.
    Now,
    /// At a time.
    At {
        /// When.
        time: Timestamp,
    },
    /// When the step that the chain leads to is done.
    WithParents,
    /// When the attempt ends, and if its worker is gone, when its lease does.
    WhenItEnds {
        /// The end of the lease.
        at_the_latest: Option<Timestamp>,
    },
    /// When a running step ends.
    WhenASlotIsFree,
    /// When its time has come; no clock says when that is.
    InTime,
    /// When a person does something.
    ByHand {
        /// What.
        action: &'static str,
    },
}

/// A step, and why it is not running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Link {
    /// The id of the step.
    pub id: u64,
    /// The name of the step.
    pub name: String,
    /// The state of the step.
    pub state: StepState,
    /// Why it is not running.
    #[serde(flatten)]
    pub cause: Cause,
    /// When that clears.
    pub clears: Clears,
}

/// Why a step is not running, all the way down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The step and what it waits for, to the root cause: of several parents the one that holds it up longest, so far
    /// as that can be told.
    pub chain: Vec<Link>,
    /// Every root cause, also of the other parents, in step order.
    pub roots: Vec<Link>,
}

/// A root cause, and how much waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RootCause {
    /// The step, and why it is not done.
    #[serde(flatten)]
    pub link: Link,
    /// How many steps wait that come after it.
    pub holds_up: usize,
}

/// Why a step is not running, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StepCause {
    /// The step, and why it is not running.
    #[serde(flatten)]
    pub link: Link,
    /// The step that it waits for in the end; none if that is itself.
    pub root: Option<String>,
}

/// Why a task is not done.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TaskExplanation {
    /// The state of the task.
    pub state: TaskState,
    /// Every root cause: the one that holds up most is first, and among equals step order decides.
    pub roots: Vec<RootCause>,
    /// Every step that is not done, in step order.
    pub steps: Vec<StepCause>,
}

/// Explains why steps do not run.
pub struct Explainer<'a> {
    analysis: &'a Analysis,
    details: &'a dyn Fn(usize) -> StepDetails,
    /// The parent that holds each step up longest; none for root causes and for what is done.
    next: Vec<Option<usize>>,
}

impl fmt::Debug for Explainer<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Explainer")
            .field("next", &self.next)
            .finish_non_exhaustive()
    }
}

/// How long a root cause holds up, as far as that can be told: what needs a person is the worst.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Weight {
    Nothing,
    Running,
    Slot,
    Wait(std::time::Duration),
    Handler,
    Person,
}

impl<'a> Explainer<'a> {
    /// Looks at every step; `details` says what is known of a step beside its facts, by its place.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn new(analysis: &'a Analysis, details: &'a dyn Fn(usize) -> StepDetails) -> Self {
        let dag = analysis.dag();
        let mut explainer = Self {
            analysis,
            details,
            next: vec![None; analysis.len()],
        };
        let mut weights = vec![Weight::Nothing; analysis.len()];
        for step in dag.topological_order().iter().copied() {
            if !analysis.facts(step).blocked() || analysis.facts(step).state == StepState::InProgress {
                weights[step] = explainer.weight(step);
                continue;
            }
            let unmet = dag
                .parents(step)
                .iter()
                .copied()
                .filter(|parent| !analysis.facts(*parent).state.is_done());
            // Of equals the first: the maximum is the last of them, so they are looked at backwards.
            let worst = unmet.rev().max_by_key(|parent| weights[*parent]);
            explainer.next[step] = worst;
            weights[step] = worst.map_or(Weight::Nothing, |parent| weights[parent]);
        }
        explainer
    }

    /// Explains why a step is not running.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn step(&self, step: usize) -> Explanation {
        let mut chain = vec![self.link(step)];
        let mut last = step;
        while let Some(next) = self.next[last] {
            chain.push(self.link(next));
            last = next;
        }
        let dag = self.analysis.dag();
        let mut seen = vec![false; self.analysis.len()];
        let mut waiting = vec![step];
        let mut roots = Vec::new();
        while let Some(step) = waiting.pop() {
            if self.next[step].is_none() {
                roots.push(step);
                continue;
            }
            for parent in dag.parents(step).iter().copied() {
                let is_unmet = !self.analysis.facts(parent).state.is_done();
                if is_unmet && !std::mem::replace(&mut seen[parent], true) {
                    waiting.push(parent);
                }
            }
        }
        roots.sort_unstable();
        Explanation {
            chain,
            roots: roots.into_iter().map(|root| self.link(root)).collect(),
        }
    }

    /// Explains why a task is not done.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn task(&self) -> TaskExplanation {
        let analysis = self.analysis;
        let steps: Vec<usize> = (0..analysis.len())
            .filter(|step| !analysis.facts(*step).state.is_done())
            .collect();
        let mut roots: Vec<usize> = steps
            .iter()
            .copied()
            .filter(|step| self.next[*step].is_none())
            .collect();
        // The sort is stable.
        roots.sort_by_key(|step| std::cmp::Reverse(analysis.blocked_descendant_count(*step)));
        // The end of every chain, from the roots down.
        let mut ends: Vec<usize> = (0..analysis.len()).collect();
        for step in analysis.dag().topological_order().iter().copied() {
            if let Some(next) = self.next[step] {
                ends[step] = ends[next];
            }
        }
        TaskExplanation {
            state: analysis.task_state(),
            roots: roots
                .into_iter()
                .map(|step| RootCause {
                    link: self.link(step),
                    holds_up: analysis.blocked_descendant_count(step),
                })
                .collect(),
            steps: steps
                .into_iter()
                .map(|step| StepCause {
                    link: self.link(step),
                    root: (ends[step] != step).then(|| analysis.name(ends[step]).to_owned()),
                })
                .collect(),
        }
    }

    fn weight(&self, step: usize) -> Weight {
        let facts = self.analysis.facts(step);
        match self.cause(step) {
            Cause::Nothing | Cause::Finished { .. } | Cause::Parents { .. } => Weight::Nothing,
            Cause::Running { .. } => Weight::Running,
            Cause::ConcurrencyLimit { .. } => Weight::Slot,
            Cause::Backoff { .. } | Cause::NotYet => Weight::Wait(facts.due_in.unwrap_or_default()),
            Cause::NoWorkerForHandler { .. } => Weight::Handler,
            Cause::Exhausted { .. }
            | Cause::Permanent { .. }
            | Cause::NotRetryable { .. }
            | Cause::Cancelled
            | Cause::TaskNotActive { .. } => Weight::Person,
        }
    }

    fn cause(&self, step: usize) -> Cause {
        let facts = self.analysis.facts(step);
        let details = (self.details)(step);
        let last_error = details.last_error;
        let (attempts, retry_limit) = (facts.attempts, facts.retry_limit);
        match facts.blocking_reason(self.analysis.task_state().is_active()) {
            None => match (details.missing_handler, details.slots_in_use) {
                (Some(handler), _) => Cause::NoWorkerForHandler { handler },
                (None, Some(limit)) => Cause::ConcurrencyLimit { limit },
                (None, None) => Cause::Nothing,
            },
            Some(BlockingReason::Finished) if facts.state == StepState::Cancelled => Cause::Cancelled,
            Some(BlockingReason::Finished) => Cause::Finished { state: facts.state },
            Some(BlockingReason::Running) => {
                let (worker, lease_until) = details.lease.unzip();
                Cause::Running { worker, lease_until }
            }
            Some(BlockingReason::DependenciesNotSatisfied) => {
                let parents = self.analysis.dag().parents(step).iter().copied();
                let unmet = parents.filter(|parent| !self.analysis.facts(*parent).state.is_done());
                Cause::Parents {
                    waits_for: unmet
                        .map(|parent| self.analysis.name(parent).to_owned())
                        .collect(),
                }
            }
            Some(BlockingReason::RetryNotEligible) if facts.permanent => Cause::Permanent { last_error },
            Some(BlockingReason::RetryNotEligible) if facts.exhausted() => Cause::Exhausted {
                attempts,
                retry_limit,
                last_error,
            },
            Some(BlockingReason::RetryNotEligible) => Cause::NotRetryable { last_error },
            Some(BlockingReason::WaitingForBackoff) if attempts == 0 => Cause::NotYet,
            Some(BlockingReason::WaitingForBackoff) => Cause::Backoff {
                attempts,
                retry_limit,
                last_error,
            },
            // The last that is left; a reason that is added must find its cause here.
            Some(_) => Cause::TaskNotActive {
                state: self.analysis.task_state(),
            },
        }
    }

    fn link(&self, step: usize) -> Link {
        let cause = self.cause(step);
        let facts = self.analysis.facts(step);
        let due_at = self
            .analysis
            .taken_at()
            .zip(facts.due_in)
            .map(|(now, wait)| now.plus(wait));
        Link {
            id: self.analysis.id(step),
            name: self.analysis.name(step).to_owned(),
            state: facts.state,
            clears: words::clears(&cause, due_at),
            cause,
        }
    }
}

#[cfg(test)]
mod tests;
