//! Tasks to check, played on the store in memory.

mod mends;
mod rules;
mod stores;

use std::sync::Arc;
use std::time::Duration;

use tasker_types::{
    Backoff, HandlerRef, LeaseToken, Namespace, Position, RunNo, StepNo, StepState, TaskId, TaskState,
    Timestamp, Version, WorkerId,
};

use super::*;
use crate::claim::{End, Outcome};
use crate::clock::Clock;
use crate::failure::Failure;
use crate::finalizer::FailureReason;
use crate::memory::MemoryStore;
use crate::record::{Actor, Change, HeldLease};
use crate::store::{
    Accepts, Create, Demand, Intervention, NewTask, Scope, Store, StoreError, Sweep, Turn, Want,
};
use crate::template::{StepBuilder, Template};
use crate::transition::{StepEvent, TaskEvent};

#[derive(Debug)]
struct Still;

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_000_000_000)
    }
}

#[derive(Debug)]
struct Anything;

impl Accepts for Anything {
    fn version_for(&self, _: &Namespace, _: &HandlerRef) -> Option<Version> {
        Some(Version::new(1, 0, 0))
    }
}

const A: StepNo = StepNo(0);
const B: StepNo = StepNo(1);
const C: StepNo = StepNo(2);
const D: StepNo = StepNo(3);

fn task() -> TaskId {
    TaskId::new(Timestamp::from_micros(0), 1)
}

fn diamond() -> Arc<Template> {
    Template::builder("diamond")
        .step(StepBuilder::new("a", "any"))
        .step(StepBuilder::new("b", "any").depends_on(["a"]))
        .step(StepBuilder::new("c", "any").depends_on(["a"]).not_retryable())
        .step(StepBuilder::new("d", "any").depends_on(["b", "c"]))
        .build()
        .unwrap()
}

/// A task as a store reports it.
#[derive(Clone)]
struct Told {
    snapshot: Snapshot,
    history: Vec<Transition>,
    results: Vec<(StepNo, Json)>,
}

impl Told {
    fn violations(&self) -> Vec<Violation> {
        verify_task(&self.snapshot, &self.history, &self.results)
    }

    /// Returns the index of a step's n-th entry with this event.
    fn index(&self, wanted: StepNo, of: StepEvent, nth: usize) -> usize {
        let found = self.history.iter().enumerate().filter(|(_, entry)| {
            matches!(entry.change, Change::Step { step, event, .. } if step == wanted && event == of)
        });
        found.map(|(index, _)| index).nth(nth).unwrap()
    }

    fn task_index(&self, of: TaskEvent) -> usize {
        let found = |entry: &Transition| matches!(entry.change, Change::Task { event, .. } if event == of);
        self.history.iter().position(found).unwrap()
    }

    /// Repeats an entry at the end.
    fn repeat(&mut self, index: usize) -> &mut Transition {
        let mut copy = self.history[index].clone();
        copy.position = Position(self.history.last().unwrap().position.0 + 1);
        self.history.push(copy);
        self.history.last_mut().unwrap()
    }

    /// Moves an entry to another place, and numbers all of them again.
    fn shift(&mut self, from: usize, to: usize) {
        let entry = self.history.remove(from);
        self.history.insert(to, entry);
        for (entry, position) in self.history.iter_mut().zip(1..) {
            entry.position = Position(position);
        }
    }
}

struct Play(MemoryStore);

impl Play {
    async fn new() -> Self {
        let store = MemoryStore::new(Arc::new(Still));
        let new = NewTask::new(task(), diamond(), Json::null());
        store
            .create(Create::new(worker(), Actor::System, vec![new]))
            .await
            .unwrap();
        Self(store)
    }

    /// Claims what is ready, and ends the claims as told.
    async fn round(&self, ends: impl Fn(StepNo) -> Option<End>) {
        let claims = self
            .0
            .turn(Turn::new(worker(), Vec::new(), want(9)))
            .await
            .unwrap()
            .claims;
        let outcomes = claims.iter().filter_map(|claim| {
            ends(claim.lease.step).map(|end| Outcome {
                lease: claim.lease,
                end,
                ran_for: None,
                progress: None,
                tasks: Vec::new(),
                events: Vec::new(),
            })
        });
        self.0
            .turn(Turn::new(worker(), outcomes.collect(), want(0)))
            .await
            .unwrap();
    }

    async fn demand(&self, demand: Demand) {
        self.0
            .intervene(Intervention::new(task(), demand, Actor::System))
            .await
            .unwrap();
    }

    async fn told(&self) -> Told {
        Told {
            snapshot: self.0.snapshot(task()).await.unwrap().unwrap(),
            history: self.0.history(task(), Position(0), 1_000).await.unwrap(),
            results: self.0.results(task()).await.unwrap(),
        }
    }
}

fn worker() -> WorkerId {
    WorkerId::new(Timestamp::from_micros(0), 7)
}

fn want(limit: u32) -> Want {
    let lease = Duration::from_secs(30);
    Want {
        limit,
        accepts: Arc::new(Anything),
        scope: Scope::All,
        top_up: true,
        lease,
        token: LeaseToken(1),
    }
}

fn succeed() -> Option<End> {
    Some(End::Succeed { result: Json::null() })
}

fn fail(failure: Failure) -> Option<End> {
    Some(End::Fail {
        failure,
        retry_in: Duration::ZERO,
    })
}

/// Everything done; `b` failed once.
async fn complete() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.round(|step| {
        if step == B {
            fail(Failure::retryable("flaky", "once"))
        } else {
            succeed()
        }
    })
    .await;
    play.round(|_| succeed()).await;
    play.round(|_| succeed()).await;
    let told = play.told().await;
    assert_eq!(told.snapshot.task.state, TaskState::Complete);
    told
}

/// `a` done, `b` in progress, `c` failed and may not be tried again, `d` waiting.
async fn halfway() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.round(|step| {
        if step == B {
            None
        } else {
            fail(Failure::retryable("flaky", "once"))
        }
    })
    .await;
    play.told().await
}

/// `a` and `c` done, `b` failed for good.
async fn failed_for_good() -> Play {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.round(|step| {
        if step == B {
            fail(Failure::permanent("never", "again"))
        } else {
            succeed()
        }
    })
    .await;
    play
}

/// `b` failed for good, so the task is in error; then an operator cancelled `d`.
async fn in_error() -> Told {
    let play = failed_for_good().await;
    play.demand(Demand::CancelStep(D)).await;
    let told = play.told().await;
    assert_eq!(told.snapshot.task.state, TaskState::Error);
    told
}

/// The task was cancelled while `b` and `c` ran, and `b` reported late.
async fn cancelled() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    let claims = play
        .0
        .turn(Turn::new(worker(), Vec::new(), want(9)))
        .await
        .unwrap()
        .claims;
    play.demand(Demand::CancelTask).await;
    let end = End::Succeed { result: Json::null() };
    let late = Outcome {
        lease: claims[0].lease,
        end,
        ran_for: None,
        progress: None,
        tasks: Vec::new(),
        events: Vec::new(),
    };
    play.0
        .turn(Turn::new(worker(), vec![late], want(0)))
        .await
        .unwrap();
    play.told().await
}

/// `b` and `c`, which has no other attempt, were interrupted.
async fn interrupted() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.round(|_| Some(End::Interrupt)).await;
    play.told().await
}

/// `b` may be tried once, and was interrupted.
async fn interrupted_for_good() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.demand(Demand::SetRetryLimit(B, 1)).await;
    play.round(|_| Some(End::Interrupt)).await;
    play.told().await
}

/// `b` was given back before it began, and then done.
async fn released() -> Told {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    play.round(|step| if step == B { Some(End::Release) } else { succeed() })
        .await;
    play.round(|_| succeed()).await;
    play.told().await
}

/// `b` failed for good, was reset by an operator, and then done.
async fn reset() -> Told {
    let play = failed_for_good().await;
    play.demand(Demand::ResetStep(B)).await;
    play.round(|_| succeed()).await;
    let told = play.told().await;
    assert_eq!(told.snapshot.steps[1].state, StepState::Complete);
    told
}

/// Nothing happened yet.
async fn fresh() -> Told {
    Play::new().await.told().await
}

#[tokio::test]
async fn a_violation_names_task_step_rule_and_transitions() {
    let mut told = cancelled().await;
    told.repeat(told.history.len() - 1);
    let violation = told.violations().remove(0);
    assert_eq!(
        violation.to_string(),
        format!(
            "task `{}`, step 1: the end of run 1 was recorded more than once (transitions 11, 12)",
            task()
        )
    );
    assert_eq!(
        serde_json::to_value(&violation).unwrap(),
        serde_json::json!({
            "task": task(), "step": 1, "positions": [11, 12], "rule": "recorded_twice", "run": 1,
        })
    );
}

#[tokio::test]
async fn a_store_that_keeps_the_rules_passes_as_a_whole() {
    let play = Play::new().await;
    play.round(|_| succeed()).await;
    let other = NewTask::new(TaskId::new(Timestamp::from_micros(0), 2), diamond(), Json::null());
    play.0
        .create(Create::new(worker(), Actor::System, vec![other]))
        .await
        .unwrap();
    play.0
        .sweep(Sweep::new(10, Arc::new(Backoff::default()), 0))
        .await
        .unwrap();
    let report = verify_all(&play.0).await.unwrap();
    assert!(report.holds());
    assert_eq!(
        report.to_string(),
        "2 tasks, 8 steps, 5 transitions: 0 violations"
    );
    assert_eq!(verify_store(&play.0, [task()]).await.unwrap().tasks, 1);
}

#[tokio::test]
async fn a_task_that_is_asked_for_and_unknown_is_an_error() {
    let unknown = TaskId::new(Timestamp::from_micros(0), 3);
    let refused = verify_store(&Play::new().await.0, [unknown]).await.unwrap_err();
    assert!(matches!(refused, StoreError::UnknownTask { task } if task == unknown));
}
