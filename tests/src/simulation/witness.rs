//! A store that remembers what another one promised.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Claim, Create, CreateReply, End, Intervened, Intervention, Json, Lease, LeaseStatus, Receipt, Renewal,
    Snapshot, Store, StoreError, Sweep, Swept, Transition, Turn, TurnReply,
};
use tasker_types::{LeaseToken, Position, RunNo, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

/// How many calls a run may make; more is a loop that would never end.
const CALLS: u64 = 1_000_000;

/// Passes every call on, and remembers which results were acknowledged and who was handed what.
#[derive(Debug)]
pub(super) struct Witness {
    inner: Arc<dyn Store>,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    calls: u64,
    acknowledged: BTreeMap<(TaskId, StepNo), Json>,
    handed_out: BTreeMap<(TaskId, StepNo, RunNo), LeaseToken>,
    problems: Vec<String>,
}

impl Witness {
    pub(super) fn new(inner: Arc<dyn Store>) -> Self {
        Self {
            inner,
            seen: Mutex::default(),
        }
    }

    /// Returns the results whose record was acknowledged, and what was wrong so far.
    pub(super) fn testimony(&self) -> (BTreeMap<(TaskId, StepNo), Json>, Vec<String>) {
        let seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        (seen.acknowledged.clone(), seen.problems.clone())
    }

    /// Counts a call; refuses it when there were too many.
    fn count(&self) -> Result<(), StoreError> {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.calls += 1;
        if seen.calls == CALLS {
            seen.problems.push(format!("the store was called {CALLS} times"));
        }
        if seen.calls < CALLS {
            Ok(())
        } else {
            Err(StoreError::Closed)
        }
    }

    fn saw(&self, turn: &Turn, reply: &TurnReply) {
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if turn.outcomes.len() != reply.receipts.len() {
            let (sent, received) = (turn.outcomes.len(), reply.receipts.len());
            seen.problems
                .push(format!("{sent} outcomes were answered with {received} receipts"));
        }
        for (outcome, receipt) in turn.outcomes.iter().zip(&reply.receipts) {
            let End::Succeed { result } = &outcome.end else {
                continue;
            };
            if *receipt != Receipt::Recorded {
                continue;
            }
            let Lease { task, step, .. } = outcome.lease;
            let first = seen
                .acknowledged
                .entry((task, step))
                .or_insert_with(|| result.clone())
                .clone();
            if first != *result {
                seen.problems.push(format!(
                    "task `{task}`, step {step}: both {} and {} were acknowledged as its result",
                    first.as_str(),
                    result.as_str()
                ));
            }
        }
        seen.hand_out(&reply.claims);
    }
}

impl Seen {
    fn hand_out(&mut self, claims: &[Claim]) {
        for Lease {
            task,
            step,
            run,
            token,
            ..
        } in claims.iter().map(|claim| claim.lease)
        {
            let first = *self.handed_out.entry((task, step, run)).or_insert(token);
            if first != token {
                self.problems.push(format!(
                    "task `{task}`, step {step}: run {run} was handed out twice"
                ));
            }
        }
    }
}

#[async_trait]
impl Store for Witness {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.count()?;
        let reply = self.inner.create(request).await?;
        self.seen
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .hand_out(&reply.claims);
        Ok(reply)
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.count()?;
        let reply = self.inner.turn(turn.clone()).await?;
        self.saw(&turn, &reply);
        Ok(reply)
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.count()?;
        self.inner.renew(renewal).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.count()?;
        self.inner.sweep(sweep).await
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.count()?;
        self.inner.examine(task).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.inner.check_in(task, delay).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        self.inner.intervene(intervention).await
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(task).await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.inner.results(task).await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        self.inner.history(task, after, limit).await
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.inner.events(after, limit).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}
