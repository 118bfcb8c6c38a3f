//! A worker on a store, in virtual time.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Change, Clock, Entropy, Handlers, Json, NewTask, Resolved, SeededEntropy, Snapshot, StepHandler,
    Store, StoreError, Template, TokioClock, Unresolved, Worker, WorkerHandle, WorkerSetup, verify_all,
};
use tasker_testkit::Harness;
use tasker_types::{HandlerRef, Namespace, Position, StepNo, TaskId, Timestamp, Version};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::stores::{Opened, StoreKind};

/// A worker that runs in the background on a store of its own, without jitter. It wants a runtime whose clock stands.
#[derive(Debug)]
pub struct Workshop {
    /// The store.
    pub store: Arc<dyn Store>,
    handle: WorkerHandle,
    clock: Arc<TokioClock>,
    opened_at: Timestamp,
    entropy: SeededEntropy,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), StoreError>>,
    _opened: Opened,
}

impl Workshop {
    /// Opens a store and starts a worker that runs every step by this handler.
    pub fn open(kind: StoreKind, handler: Arc<dyn StepHandler>) -> Self {
        let opened_at = Timestamp::from_micros(1_767_225_600_000_000);
        let clock = Arc::new(TokioClock::starting_at(opened_at));
        let opened = kind.open(Arc::<TokioClock>::clone(&clock));
        let store = Arc::clone(&opened.store);
        let resolve = move |_: &Namespace, _: &HandlerRef| {
            Ok::<_, Unresolved>(Resolved {
                handler: Arc::clone(&handler),
                version: Version::new(1, 0, 0),
            })
        };
        let entropy = Arc::new(SeededEntropy::new(11));
        let mut setup = WorkerSetup::new(
            Arc::clone(&store),
            Handlers::new(resolve),
            Arc::<TokioClock>::clone(&clock),
            Arc::<SeededEntropy>::clone(&entropy),
        );
        setup.backoff = Harness::backoff();
        let worker = Worker::new(setup);
        let (handle, shutdown) = (worker.handle(), CancellationToken::new());
        let running = tokio::spawn(worker.run(shutdown.clone(), CancellationToken::new()));
        Self {
            store,
            handle,
            clock,
            opened_at,
            entropy: SeededEntropy::new(12),
            shutdown,
            running,
            _opened: opened,
        }
    }

    /// Creates a task.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn create(&self, template: Arc<Template>) -> Result<TaskId, StoreError> {
        let id = self.new_id();
        self.create_task(NewTask::new(id, template, Json::from(&json!({ "order": 7 }))))
            .await
    }

    /// Returns an id that no task has.
    pub fn new_id(&self) -> TaskId {
        TaskId::new(self.now(), self.entropy.next_u128())
    }

    /// Returns the time, by the store's clock.
    pub fn now(&self) -> Timestamp {
        self.clock.now()
    }

    /// Creates a task about which more is to be said.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn create_task(&self, task: NewTask) -> Result<TaskId, StoreError> {
        let id = task.id;
        self.handle
            .create(Actor::User("ann".to_owned()), vec![task])
            .await?;
        Ok(id)
    }

    /// Waits until a task is neither pending nor in progress.
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::UnknownTask`] for an unknown task.
    pub async fn end(&self, task: TaskId) -> Result<Snapshot, StoreError> {
        loop {
            let snapshot = self
                .store
                .snapshot(task)
                .await?
                .ok_or(StoreError::UnknownTask { task })?;
            if !snapshot.task.state.is_active() {
                return Ok(snapshot);
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Returns what happened to each step and when: a line a step, `NAME: SECOND EVENT, …`, in step order.
    ///
    /// # Errors
    ///
    /// What the store says.
    pub async fn timeline(&self, task: TaskId) -> Result<String, StoreError> {
        let snapshot = self
            .store
            .snapshot(task)
            .await?
            .ok_or(StoreError::UnknownTask { task })?;
        let mut lines: BTreeMap<StepNo, String> = BTreeMap::new();
        for entry in self.store.history(task, Position(0), u32::MAX).await? {
            if let Change::Step { step, event, .. } = entry.change {
                let line = lines.entry(step).or_default();
                let separator = if line.is_empty() { "" } else { "," };
                let second = entry.at.since(self.opened_at).as_secs_f64().round();
                let _ = write!(line, "{separator} {second} {event}");
            }
        }
        let name = |step| snapshot.task.template.step(step).name();
        Ok(lines
            .iter()
            .map(|(step, line)| format!("{}:{line}\n", name(*step)))
            .collect())
    }

    /// Stops the worker and verifies all histories.
    ///
    /// # Errors
    ///
    /// What the store says.
    ///
    /// # Panics
    ///
    /// When a history does not follow the rules.
    pub async fn close(self) -> Result<(), StoreError> {
        self.shutdown.cancel();
        self.running.await.unwrap_or(Err(StoreError::Closed))?;
        let report = verify_all(&*self.store).await?;
        assert!(report.holds(), "{report}");
        Ok(())
    }
}
