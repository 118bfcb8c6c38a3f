//! The conformance suite on a store that is not ours: it counts the requests to another.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, MemoryStore, Renewal, Snapshot, Store,
    StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_testkit::{Harness, ManualClock, conformance, shapes};
use tasker_types::{Position, StepNo, TaskContext, TaskId};
use tokio::sync::watch;

#[derive(Debug)]
struct Counting {
    inner: MemoryStore,
    writes: AtomicU64,
}

impl Counting {
    fn new(clock: ManualClock) -> Self {
        Self {
            inner: MemoryStore::new(Arc::new(clock)),
            writes: AtomicU64::new(0),
        }
    }

    fn written(&self) -> &MemoryStore {
        self.writes.fetch_add(1, Ordering::Relaxed);
        &self.inner
    }
}

#[async_trait]
impl Store for Counting {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.written().create(request).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.written().turn(turn).await
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.written().renew(renewal).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.written().sweep(sweep).await
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.inner.examine(task).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.written().check_in(task, delay).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        self.written().intervene(intervention).await
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

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.inner.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.written().cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}

async fn open(clock: ManualClock) -> Harness {
    Harness::new(Arc::new(Counting::new(clock.clone())), clock)
}

conformance!(open);

#[tokio::test]
async fn requests_are_counted() {
    let clock = ManualClock::new();
    let store = Arc::new(Counting::new(clock.clone()));
    let harness = Harness::new(Arc::<Counting>::clone(&store), clock);
    let task = harness.create(shapes::single()).await;
    harness.run_ready().await;
    harness.view(task).await.assert_attempts("only", 1);
    // One creates, one claims, one records.
    assert_eq!(store.writes.load(Ordering::Relaxed), 3);
}
