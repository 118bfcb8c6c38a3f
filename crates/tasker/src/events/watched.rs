//! A store that tells of its commits.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, Reading, Renewal, Snapshot, Store,
    StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_types::{Position, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

use super::hub::Hub;

/// Another store; the hub is told when it may have a longer history.
#[derive(Debug)]
pub(crate) struct Watched {
    inner: Arc<dyn Store>,
    hub: Arc<Hub>,
}

impl Watched {
    pub(crate) fn new(inner: Arc<dyn Store>, hub: Arc<Hub>) -> Self {
        Self { inner, hub }
    }
}

#[async_trait]
impl Store for Watched {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let done = self.inner.create(request).await;
        self.hub.committed();
        done
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let idle = turn.outcomes.is_empty();
        let done = self.inner.turn(turn).await;
        if !idle || done.as_ref().is_ok_and(|reply| !reply.claims.is_empty()) {
            self.hub.committed();
        }
        done
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.inner.renew(renewal).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let done = self.inner.sweep(sweep).await;
        if done
            .as_ref()
            .is_ok_and(|swept| !swept.expired.is_empty() || !swept.finished.is_empty())
        {
            self.hub.committed();
        }
        done
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let done = self.inner.examine(task).await;
        self.hub.committed();
        done
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.inner.check_in(task, delay).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let done = self.inner.intervene(intervention).await;
        self.hub.committed();
        done
    }

    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        self.inner.readings(tasks).await
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

    async fn position(&self) -> Result<Position, StoreError> {
        self.inner.position().await
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
