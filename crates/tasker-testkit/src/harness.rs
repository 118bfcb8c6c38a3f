//! A store under test, and short ways to play with it.

use std::any::Any;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Change, Claim, Clock, Create, CreateReply, Demand, Entropy, Intervened, Intervention, Json,
    LeaseStatus, NewTask, Outcome, Receipt, Renewal, Scope, SeededEntropy, Snapshot, StepEvent, Store,
    StoreError, Sweep, Swept, Template, Transition, Turn, TurnReply, Want, verify_all,
};
use tasker_types::{
    Backoff, BackoffValues, LeaseToken, Position, Section, StepNo, StepState, TaskId, TaskState, WorkerId,
};

use crate::accepts::Everything;
use crate::clock::ManualClock;
use crate::outcome::succeed;
use crate::view::TaskView;

/// A store under test, the clock that it reads, and one worker.
///
/// Methods without a `Result` panic when the store refuses. Ids and tokens follow from a fixed seed, so two harnesses
/// that are asked the same things in the same order make the same ones.
#[derive(Debug)]
pub struct Harness {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Its clock.
    pub clock: ManualClock,
    worker: WorkerId,
    entropy: SeededEntropy,
    _kept: Vec<Box<dyn Any + Send + Sync>>,
}

impl Harness {
    /// How long claims are leased.
    pub const LEASE: Duration = Duration::from_secs(30);

    /// Returns a harness around an empty store that reads this clock.
    pub fn new(store: Arc<dyn Store>, clock: ManualClock) -> Self {
        let entropy = SeededEntropy::new(0x7A5C);
        let worker = WorkerId::new(clock.now(), entropy.next_u128());
        Self {
            store,
            clock,
            worker,
            entropy,
            _kept: Vec::new(),
        }
    }

    /// Keeps something, such as a directory, for as long as the harness lives.
    #[must_use]
    pub fn keeping(mut self, kept: impl Any + Send + Sync) -> Self {
        self._kept.push(Box::new(kept));
        self
    }

    /// Returns the worker that the short ways work for.
    pub fn worker(&self) -> WorkerId {
        self.worker
    }

    /// Returns a worker that there was not before.
    pub fn another_worker(&self) -> WorkerId {
        WorkerId::new(self.clock.now(), self.entropy.next_u128())
    }

    /// Returns a task that was not created yet, with the context `{"order": 7}`.
    pub fn new_task(&self, template: Arc<Template>) -> NewTask {
        let id = TaskId::new(self.clock.now(), self.entropy.next_u128());
        NewTask::new(id, template, Json::from(&json!({ "order": 7 })))
    }

    /// Returns a token that was not used before.
    pub fn token(&self) -> LeaseToken {
        LeaseToken((self.entropy.next_u64() >> 1).cast_signed())
    }

    /// Returns a wish for at most so many steps of any task and handler, under a new token.
    pub fn want(&self, limit: u32) -> Want {
        let token = self.token();
        Want {
            limit,
            accepts: Arc::new(Everything),
            scope: Scope::All,
            top_up: true,
            lease: Self::LEASE,
            token,
        }
    }

    /// Creates a task and hands nothing out.
    pub async fn create(&self, template: Arc<Template>) -> TaskId {
        let task = self.new_task(template);
        let id = task.id;
        self.create_all(vec![task]).await;
        id
    }

    /// Creates tasks and hands nothing out.
    pub async fn create_all(&self, tasks: Vec<NewTask>) -> CreateReply {
        self.store
            .create(Create::new(self.worker, Actor::User("ann".to_owned()), tasks))
            .await
            .unwrap()
    }

    /// Claims at most so many steps.
    pub async fn claim(&self, limit: u32) -> Vec<Claim> {
        self.turn(Vec::new(), limit).await.claims
    }

    /// Claims the one step that there is.
    ///
    /// # Panics
    ///
    /// When none or more than one can be claimed.
    pub async fn claim_one(&self) -> Claim {
        let mut claims = self.claim(2).await;
        assert_eq!(claims.len(), 1, "one step should be ready");
        claims.remove(0)
    }

    /// Reports outcomes and claims at most so many steps.
    pub async fn turn(&self, outcomes: Vec<Outcome>, limit: u32) -> TurnReply {
        self.store
            .turn(Turn::new(self.worker, outcomes, self.want(limit)))
            .await
            .unwrap()
    }

    /// Reports one outcome and claims nothing.
    pub async fn end(&self, outcome: Outcome) -> Receipt {
        self.turn(vec![outcome], 0).await.receipts[0]
    }

    /// Runs whatever is ready, successfully, until nothing is ready any more.
    pub async fn run_ready(&self) {
        let mut claims = self.claim(100).await;
        while !claims.is_empty() {
            let outcomes = claims.iter().map(succeed).collect();
            claims = self.turn(outcomes, 100).await.claims;
        }
    }

    /// Has an operator demand something.
    ///
    /// # Errors
    ///
    /// What the store refuses.
    pub async fn intervene(&self, task: TaskId, demand: Demand) -> Result<Intervened, StoreError> {
        self.store
            .intervene(Intervention::new(task, demand, Actor::User("ann".to_owned())))
            .await
    }

    /// Has an operator demand something that is legal.
    pub async fn demand(&self, task: TaskId, demand: Demand) -> Intervened {
        self.intervene(task, demand).await.unwrap()
    }

    /// Extends leases.
    pub async fn renew(&self, claims: &[Claim]) -> Vec<LeaseStatus> {
        let leases = claims.iter().map(|claim| claim.lease).collect();
        self.store
            .renew(Renewal::new(self.worker, leases, Self::LEASE))
            .await
            .unwrap()
    }

    /// Does what time demands; steps whose lease expired wait as by default, without jitter.
    pub async fn sweep(&self) -> Swept {
        self.store
            .sweep(Sweep::new(100, Self::backoff(), 1))
            .await
            .unwrap()
    }

    /// Returns the default backoff without jitter: 1, 2, 4, … seconds.
    pub fn backoff() -> Arc<Backoff> {
        let values = BackoffValues {
            jitter_enabled: false,
            ..BackoffValues::default()
        };
        Arc::new(Backoff::check(values).unwrap())
    }

    /// Moves the clock on by seconds.
    pub fn pass(&self, seconds: u64) {
        self.clock.advance(Duration::from_secs(seconds));
    }

    /// Returns a task that is known.
    pub async fn snapshot(&self, task: TaskId) -> Snapshot {
        self.store.snapshot(task).await.unwrap().unwrap()
    }

    /// Returns the state of a task.
    pub async fn state(&self, task: TaskId) -> TaskState {
        self.snapshot(task).await.task.state
    }

    /// Looks at a task that is known, to assert things about it.
    pub async fn view(&self, task: TaskId) -> TaskView {
        TaskView::of(&*self.store, task).await.unwrap().unwrap()
    }

    /// Returns the state of a task and those of its steps, such as `in_progress: complete pending`.
    pub async fn look(&self, task: TaskId) -> String {
        let snapshot = self.snapshot(task).await;
        let steps: Vec<_> = snapshot.steps.iter().map(|step| step.state.as_str()).collect();
        format!("{}: {}", snapshot.task.state, steps.join(" "))
    }

    /// Returns the steps that the queue has.
    pub async fn queued(&self, task: TaskId) -> Vec<StepNo> {
        let snapshot = self.snapshot(task).await;
        snapshot
            .steps
            .iter()
            .filter(|step| step.queued)
            .map(|step| step.step)
            .collect()
    }

    /// Returns the whole history of a task.
    pub async fn history(&self, task: TaskId) -> Vec<Transition> {
        self.store.history(task, Position(0), u32::MAX).await.unwrap()
    }

    /// Returns what happened to a step: each event with the state it led to, the run and the attempts.
    pub async fn life(&self, task: TaskId, step: StepNo) -> Vec<(StepEvent, StepState, u32, u32)> {
        let entry = |entry: Transition| match entry.change {
            Change::Step {
                step: other,
                event,
                to,
                run,
                attempt,
                ..
            } if other == step => Some((event, to, run.0, attempt)),
            _ => None,
        };
        self.history(task).await.into_iter().filter_map(entry).collect()
    }

    /// Returns the results of a task's steps.
    pub async fn results(&self, task: TaskId) -> Vec<(StepNo, serde_json::Value)> {
        let results = self.store.results(task).await.unwrap();
        results
            .into_iter()
            .map(|(step, result)| (step, result.to_value()))
            .collect()
    }

    /// Checks the histories of all tasks.
    ///
    /// # Panics
    ///
    /// When a rule is violated, with the report.
    pub async fn verify(&self) {
        let report = verify_all(&*self.store).await.unwrap();
        assert!(report.holds(), "{report}");
    }
}
