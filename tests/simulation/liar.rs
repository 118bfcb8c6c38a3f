//! Stores that break one promise each, to see whether a simulation finds out.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tasker_engine::{
    Change, Create, CreateReply, Created, End, Intervened, Intervention, Json, LeaseStatus, Receipt, Renewal,
    Snapshot, StepEvent, Store, StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_types::{Position, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

/// A promise that a store breaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lie {
    /// Results that were acknowledged are sometimes not kept.
    ForgetsResults,
    /// Results change.
    ChangesResults,
    /// A task that was acknowledged is not created.
    LosesTasks,
    /// The history lacks some ends.
    HidesHistory,
    /// Leases never end.
    KeepsLeases,
}

/// A store that lies.
#[derive(Debug)]
pub(crate) struct Liar {
    pub(crate) inner: Arc<dyn Store>,
    pub(crate) lie: Lie,
    pub(crate) occasions: AtomicU64,
}

impl Liar {
    /// Tells whether it is time to lie: now and then.
    fn lies(&self, lie: Lie) -> bool {
        self.lie == lie && self.occasions.fetch_add(1, Ordering::Relaxed) % 5 == 3
    }
}

#[async_trait]
impl Store for Liar {
    async fn create(&self, mut request: Create) -> Result<CreateReply, StoreError> {
        let lost = if self.lies(Lie::LosesTasks) {
            request.tasks.pop()
        } else {
            None
        };
        let mut reply = self.inner.create(request).await?;
        reply.tasks.extend(lost.map(|task| Created::New(task.id)));
        Ok(reply)
    }

    async fn turn(&self, mut turn: Turn) -> Result<TurnReply, StoreError> {
        let succeeds = turn
            .outcomes
            .last()
            .is_some_and(|last| matches!(last.end, End::Succeed { .. }));
        let forgotten = if succeeds && self.lies(Lie::ForgetsResults) {
            turn.outcomes.pop()
        } else {
            None
        };
        let mut reply = self.inner.turn(turn).await?;
        reply.receipts.extend(forgotten.map(|_| Receipt::Recorded));
        Ok(reply)
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.inner.renew(renewal).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        if self.lie == Lie::KeepsLeases {
            Ok(Swept::default())
        } else {
            self.inner.sweep(sweep).await
        }
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
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
        let mut results = self.inner.results(task).await?;
        if let Some((_, result)) = results.first_mut().filter(|_| self.lies(Lie::ChangesResults)) {
            *result = Json::from(&json!("something else"));
        }
        Ok(results)
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let mut history = self.inner.history(task, after, limit).await?;
        if self.lie == Lie::HidesHistory {
            let hidden = |entry: &Transition| {
                matches!(
                    entry.change,
                    Change::Step {
                        event: StepEvent::Succeed,
                        step: StepNo(0),
                        ..
                    }
                )
            };
            history.retain(|entry| !hidden(entry));
        }
        Ok(history)
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.inner.events(after, limit).await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.inner.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.inner.cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}
