//! A store that is looked at.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use tasker_engine::{
    Create, CreateReply, Decision, Intervened, Intervention, Json, LeaseStatus, Reading, Renewal, Snapshot,
    Store, StoreError, Sweep, Swept, TaskPage, TaskQuery, Transition, Turn, TurnReply, decide,
};
use tasker_types::{Position, StepNo, TaskContext, TaskId, TaskState};
use tokio::sync::watch;
use tokio::time::Instant;

use super::{Ended, Observers};

/// Another store, whose answers observers are told of.
#[derive(Debug)]
pub(crate) struct Observed {
    inner: Arc<dyn Store>,
    observers: Observers,
}

impl Observed {
    pub(crate) fn new(inner: Arc<dyn Store>, observers: Observers) -> Self {
        Self { inner, observers }
    }

    /// Carries a request out, and notes how long it took.
    async fn timed<T>(
        &self,
        request: &'static str,
        work: impl Future<Output = Result<T, StoreError>> + Send,
    ) -> Result<(T, f64), StoreError> {
        let start = Instant::now();
        let done = work.await;
        let seconds = start.elapsed().as_secs_f64();
        self.observers.asked(request, done.is_ok().then_some(seconds));
        done.map(|answer| (answer, seconds))
    }
}

#[async_trait]
impl Store for Observed {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.observers.met_all(&request.tasks);
        let (reply, seconds) = self.timed("create", self.inner.create(request)).await?;
        self.observers.created(reply.tasks.iter().copied());
        self.observers.claimed("create", &reply.claims, seconds);
        self.observers.finished(&reply.finished);
        Ok(reply)
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        let now = self.observers.now();
        let ended: Vec<_> = turn
            .outcomes
            .iter()
            .map(|outcome| Ended::of(outcome, now))
            .collect();
        self.observers
            .met_all(turn.outcomes.iter().flat_map(|outcome| &outcome.tasks));
        let (reply, seconds) = self.timed("turn", self.inner.turn(turn)).await?;
        for (ended, receipt) in ended.iter().zip(&reply.receipts) {
            self.observers.ended(ended, *receipt);
        }
        self.observers
            .created(reply.created.iter().map(|(_, created)| *created));
        self.observers.claimed("turn", &reply.claims, seconds);
        self.observers.finished(&reply.finished);
        Ok(reply)
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let (statuses, _) = self.timed("renew", self.inner.renew(renewal)).await?;
        Ok(statuses)
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        let (swept, _) = self.timed("sweep", self.inner.sweep(sweep)).await?;
        self.observers.expired(&swept.expired);
        self.observers.finished(&swept.finished);
        Ok(swept)
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        let (context, _) = self.timed("examine", self.inner.examine(task)).await?;
        // There is a context of active tasks only, and by it the store has decided.
        match context
            .as_ref()
            .map(|context| decide(Some(context), &self.observers.backoff))
        {
            Some(Decision::Complete) => self.observers.finished(&[(task, TaskState::Complete)]),
            Some(Decision::Fail { .. }) => self.observers.finished(&[(task, TaskState::Error)]),
            Some(Decision::LookAgain { .. }) | None => {}
        }
        Ok(context)
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.timed("check_in", self.inner.check_in(task, delay)).await?;
        Ok(())
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        let task = intervention.task;
        let (done, _) = self
            .timed("intervene", self.inner.intervene(intervention))
            .await?;
        if done.ended {
            self.observers.finished(&[(task, done.task_state)]);
        }
        Ok(done)
    }

    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        let (readings, _) = self.timed("readings", self.inner.readings(tasks)).await?;
        Ok(readings)
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        let (snapshot, _) = self.timed("snapshot", self.inner.snapshot(task)).await?;
        if let Some(snapshot) = &snapshot {
            self.observers.met_task(&snapshot.task);
        }
        Ok(snapshot)
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        let (results, _) = self.timed("results", self.inner.results(task)).await?;
        Ok(results)
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let (history, _) = self
            .timed("history", self.inner.history(task, after, limit))
            .await?;
        Ok(history)
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        let (events, _) = self.timed("events", self.inner.events(after, limit)).await?;
        Ok(events)
    }

    async fn position(&self) -> Result<Position, StoreError> {
        let (position, _) = self.timed("position", self.inner.position()).await?;
        Ok(position)
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        let (page, _) = self.timed("list", self.inner.list(query)).await?;
        Ok(page)
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        let (secret, _) = self
            .timed("cursor_secret", self.inner.cursor_secret(fresh))
            .await?;
        Ok(secret)
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.inner.wake()
    }
}
