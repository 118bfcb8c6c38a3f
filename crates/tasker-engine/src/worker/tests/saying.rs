//! Handlers that say how far they are.

use super::*;
use crate::Progress;
use crate::list::{TaskPage, TaskQuery};
use crate::store::{
    Create, CreateReply, Intervened, LeaseStatus, Renewal, StoreError, Sweep, Swept, Turn, TurnReply,
};

/// Says how far it is every tenth of a second, for so many seconds.
fn talks(seconds: u64) -> (&'static str, Arc<dyn StepHandler>) {
    let talks = handler(move |ctx: StepContext| async move {
        let total = seconds * 10;
        for done in 0..total {
            ctx.progress(done, total);
            ctx.note(format!("part {done}"));
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        ctx.note("done");
        Ok(())
    });
    ("talks", talks)
}

#[tokio::test(start_paused = true)]
async fn what_a_handler_says_is_seen_within_a_second() {
    let bench = Bench::start([talks(20)]);
    let task = bench.create(&single("talks")).await;
    tokio::time::sleep(Duration::from_millis(5_050)).await;
    let progress = bench.snapshot(task).await.steps[0].progress.clone().unwrap();
    assert!((40..=50).contains(&progress.done), "{progress:?}");
    assert_eq!(
        (progress.total, progress.note),
        (200, Some(format!("part {}", progress.done)))
    );
    let end = bench.end(task).await;
    let last = Progress {
        done: 199,
        total: 200,
        note: Some("done".to_owned()),
    };
    assert_eq!(end.steps[0].progress, Some(last));
    bench.stop().await;
}

/// A store that counts renewals.
#[derive(Debug)]
struct Counting(Arc<MemoryStore>, AtomicU32);

#[async_trait::async_trait]
impl Store for Counting {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.0.create(request).await
    }
    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.0.turn(turn).await
    }
    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        if self.1.fetch_add(1, Ordering::Relaxed) == 0 {
            let source = "busy".into();
            return Err(StoreError::Unavailable {
                store: "memory".to_owned(),
                source,
            });
        }
        self.0.renew(renewal).await
    }
    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.0.sweep(sweep).await
    }
    async fn examine(&self, task: TaskId) -> Result<Option<tasker_types::TaskContext>, StoreError> {
        self.0.examine(task).await
    }
    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.0.check_in(task, delay).await
    }
    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        self.0.intervene(intervention).await
    }
    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        self.0.snapshot(task).await
    }
    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.0.results(task).await
    }
    async fn history(
        &self,
        task: TaskId,
        after: tasker_types::Position,
        limit: u32,
    ) -> Result<Vec<crate::Transition>, StoreError> {
        self.0.history(task, after, limit).await
    }
    async fn events(
        &self,
        after: tasker_types::Position,
        limit: u32,
    ) -> Result<Vec<crate::Transition>, StoreError> {
        self.0.events(after, limit).await
    }
    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.0.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.0.cursor_secret(fresh).await
    }

    fn wake(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.wake()
    }
}

#[tokio::test(start_paused = true)]
async fn many_words_are_few_commits_and_a_lost_one_is_said_again() {
    let mut counting = None;
    let says_once = handler(async |ctx: StepContext| {
        ctx.progress(1, 4);
        tokio::time::sleep(Duration::from_secs(15)).await;
        for done in 0..1_000 {
            ctx.progress(done, 1_000);
        }
        tokio::time::sleep(Duration::from_secs(5)).await;
        Ok(())
    });
    let bench = Bench::start_set_up([("says", says_once)], |setup| {
        let memory = Arc::new(MemoryStore::new(Arc::clone(&setup.clock)));
        let store = Arc::new(Counting(memory, AtomicU32::new(0)));
        counting = Some(Arc::clone(&store));
        setup.store = store;
    });
    let counting = counting.unwrap();
    let id = TaskId::new(Timestamp::from_micros(5), 1 << 50);
    let task = NewTask::new(id, single("says"), Json::from(&json!({})));
    bench.handle.create(Actor::System, vec![task]).await.unwrap();
    let progress = async || {
        let snapshot = counting.0.snapshot(id).await.unwrap().unwrap();
        snapshot.steps[0].progress.clone().map(|progress| progress.done)
    };
    tokio::time::sleep(Duration::from_secs(2)).await;
    // The renewal that had it failed; the next one has it again.
    assert_eq!(progress().await, None);
    tokio::time::sleep(Duration::from_secs(12)).await;
    assert_eq!(progress().await, Some(1));
    let before = counting.1.load(Ordering::Relaxed);
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(progress().await, Some(999));
    assert!(counting.1.load(Ordering::Relaxed) - before <= 3);
    bench.stop().await;
}
