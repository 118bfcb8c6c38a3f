//! The processes that use one database, each with a clock of its own.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Clock, Create, CreateReply, Intervened, Intervention, Json, LeaseStatus, Renewal, Snapshot, Store,
    StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply,
};
use tasker_types::{Position, StepNo, TaskContext, TaskId, Timestamp, WorkerId};
use tokio::sync::watch;

use super::clock::JumpingClock;
use crate::stores::Opened;

/// Passes each call on to the store of the caller's process, under the clock of the caller's machine.
///
/// Simulated stores answer without waiting, so a clock that is set for a call is the clock of that call alone.
pub(super) struct Processes {
    opened: Opened,
    stores: Mutex<Vec<Arc<dyn Store>>>,
    clock: Arc<JumpingClock>,
    /// How far the clocks of two machines are apart at most, in milliseconds.
    skew_ms: u64,
    wake: watch::Sender<u64>,
}

impl fmt::Debug for Processes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Processes")
            .field("opened", &self.opened)
            .field("skew_ms", &self.skew_ms)
            .finish_non_exhaustive()
    }
}

impl Processes {
    /// Returns so many processes that use a store, if it can be shared by processes, and else one.
    pub(super) fn new(opened: Opened, count: u64, clock: Arc<JumpingClock>, skew_ms: u64) -> Self {
        let mut stores = vec![Arc::clone(&opened.store)];
        while (stores.len() as u64) < count
            && let Some(store) = opened.again()
        {
            stores.push(store);
        }
        Self {
            opened,
            stores: Mutex::new(stores),
            clock,
            skew_ms,
            wake: watch::Sender::new(0),
        }
    }

    fn stores(&self) -> MutexGuard<'_, Vec<Arc<dyn Store>>> {
        self.stores.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends every process and starts as many again; tells whether that was possible.
    pub(super) fn restart(&self) -> bool {
        let mut stores = self.stores();
        let mut fresh = Vec::new();
        for _ in 0..stores.len() {
            fresh.extend(self.opened.again());
        }
        let restarted = fresh.len() == stores.len();
        if restarted {
            *stores = fresh;
        }
        restarted
    }

    /// Returns how far a caller's clock is off, in microseconds.
    fn off(&self, caller: u64) -> i64 {
        let bound = self.skew_ms * 1_000;
        i64::try_from(caller % (bound + 1)).unwrap_or(0)
    }

    /// Returns the time by the clock of a worker's machine.
    pub(super) fn time_of(&self, worker: WorkerId) -> Timestamp {
        self.time(caller(worker))
    }

    /// Returns the time by the clock of whoever makes a sweep.
    pub(super) fn time_of_sweep(&self, sweep: &Sweep) -> Timestamp {
        self.time(sweep.seed)
    }

    fn time(&self, caller: u64) -> Timestamp {
        Timestamp::from_micros(self.clock.now().as_micros() + self.off(caller))
    }

    /// Returns the store of a caller.
    fn store(&self, caller: u64) -> Arc<dyn Store> {
        let stores = self.stores();
        let number = usize::try_from(caller >> 32).unwrap_or(0) % stores.len();
        Arc::clone(&stores[number])
    }

    /// Begins a call under the clock of the caller.
    fn begin(&self, caller: u64) -> (Arc<dyn Store>, watch::Receiver<u64>) {
        let store = self.store(caller);
        let hints = store.wake();
        self.clock.skew(self.off(caller));
        (store, hints)
    }

    /// Ends a call, and passes a hint on.
    fn end(&self, hints: &watch::Receiver<u64>) {
        self.clock.skew(0);
        if hints.has_changed().unwrap_or(false) {
            self.wake.send_modify(|count| *count += 1);
        }
    }

    fn any(&self) -> Arc<dyn Store> {
        self.store(0)
    }
}

/// Mixes the random bits of a worker's id.
fn caller(worker: WorkerId) -> u64 {
    let mut random = [0; 8];
    random.copy_from_slice(&worker.as_bytes()[8..]);
    u64::from_be_bytes(random).wrapping_mul(0x9E37_79B9_7F4A_7C15)
}

#[async_trait]
impl Store for Processes {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        let caller = caller(request.worker);
        let (store, hints) = self.begin(caller);
        let answer = store.create(request).await;
        self.end(&hints);
        answer
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let caller = caller(turn.worker);
        let (store, hints) = self.begin(caller);
        let answer = store.turn(turn).await;
        self.end(&hints);
        answer
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let caller = caller(renewal.worker);
        let (store, hints) = self.begin(caller);
        let answer = store.renew(renewal).await;
        self.end(&hints);
        answer
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let (store, hints) = self.begin(sweep.seed);
        let answer = store.sweep(sweep).await;
        self.end(&hints);
        answer
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let (store, hints) = self.begin(0);
        let answer = store.examine(task).await;
        self.end(&hints);
        answer
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        let (store, hints) = self.begin(0);
        let answer = store.check_in(task, delay).await;
        self.end(&hints);
        answer
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let (store, hints) = self.begin(0);
        let answer = store.intervene(intervention).await;
        self.end(&hints);
        answer
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        self.any().snapshot(task).await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.any().results(task).await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        self.any().history(task, after, limit).await
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        self.any().events(after, limit).await
    }

    async fn position(&self) -> Result<Position, StoreError> {
        self.any().position().await
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.any().list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.any().cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.wake.subscribe()
    }
}
