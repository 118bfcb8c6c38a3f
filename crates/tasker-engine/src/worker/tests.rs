//! The worker with a store in memory, in virtual time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::json;
use tasker_types::{
    BackoffValues, ExecutionValues, HandlerRef, Namespace, StepNo, StepState, TaskId, TaskState, Timestamp,
    Version,
};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::clock::{SeededEntropy, TokioClock};
use crate::handler::{Resolve, Resolved, StepContext, StepError, StepHandler, Unresolved};
use crate::memory::MemoryStore;
use crate::record::{Change, Snapshot};
use crate::store::{Demand, Intervention};
use crate::template::{StepBuilder, Template};
use crate::transition::StepEvent;
use crate::{Done, Json, StopPolicy, handler};

mod creating;
mod saying;
mod stopping;

#[derive(Default)]
struct Registered(BTreeMap<String, Arc<dyn StepHandler>>);

impl Resolve for Registered {
    fn resolve(&self, _: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved> {
        match self.0.get(handler.name.as_str()) {
            Some(found) => Ok(Resolved {
                handler: Arc::clone(found),
                version: Version::new(1, 0, 0),
            }),
            None => Err(Unresolved {
                message: format!("there is no handler `{handler}`"),
            }),
        }
    }
}

/// A worker that runs in the background, and its store.
struct Bench {
    store: Arc<MemoryStore>,
    handle: WorkerHandle,
    stop: CancellationToken,
    abort: CancellationToken,
    running: JoinHandle<Result<(), StoreError>>,
}

impl Bench {
    fn start(handlers: impl IntoIterator<Item = (&'static str, Arc<dyn StepHandler>)>) -> Self {
        Self::start_with(handlers, |_| {})
    }

    fn start_with(
        handlers: impl IntoIterator<Item = (&'static str, Arc<dyn StepHandler>)>,
        change: impl FnOnce(&mut ExecutionValues),
    ) -> Self {
        Self::start_set_up(handlers, |setup| {
            let mut values = ExecutionValues::default();
            change(&mut values);
            setup.execution = Arc::new(values.try_into().unwrap());
        })
    }

    fn start_set_up(
        handlers: impl IntoIterator<Item = (&'static str, Arc<dyn StepHandler>)>,
        change: impl FnOnce(&mut WorkerSetup),
    ) -> Self {
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_000_000_000)));
        let store = Arc::new(MemoryStore::new(Arc::<TokioClock>::clone(&clock)));
        let registered = Registered(
            handlers
                .into_iter()
                .map(|(name, handler)| (name.to_owned(), handler))
                .collect(),
        );
        let entropy = Arc::new(SeededEntropy::new(7));
        let mut setup = WorkerSetup::new(
            Arc::<MemoryStore>::clone(&store),
            Handlers::new(registered),
            clock,
            entropy,
        );
        let plain = BackoffValues {
            jitter_enabled: false,
            ..BackoffValues::default()
        };
        setup.backoff = Arc::new(plain.try_into().unwrap());
        change(&mut setup);
        let worker = Worker::new(setup);
        let (handle, stop, abort) = (
            worker.handle(),
            CancellationToken::new(),
            CancellationToken::new(),
        );
        let running = tokio::spawn(worker.run(stop.clone(), abort.clone()));
        Self {
            store,
            handle,
            stop,
            abort,
            running,
        }
    }

    async fn create(&self, template: &Arc<Template>) -> TaskId {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let id = TaskId::new(
            Timestamp::from_micros(5),
            u128::from(NEXT.fetch_add(1, Ordering::Relaxed)),
        );
        let task = NewTask::new(id, Arc::clone(template), Json::from(&json!({"n": 1})));
        self.handle
            .create(Actor::User("ann".to_owned()), vec![task])
            .await
            .unwrap();
        id
    }

    async fn snapshot(&self, task: TaskId) -> Snapshot {
        self.store.snapshot(task).await.unwrap().unwrap()
    }

    /// Waits until the task is neither pending nor in progress.
    async fn end(&self, task: TaskId) -> Snapshot {
        loop {
            let snapshot = self.snapshot(task).await;
            if !snapshot.task.state.is_active() {
                return snapshot;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Returns what happened to the steps: second, step, event.
    async fn events(&self, task: TaskId) -> Vec<(u64, u32, StepEvent)> {
        let history = self
            .store
            .history(task, tasker_types::Position(0), 10_000)
            .await
            .unwrap();
        history
            .iter()
            .filter_map(|entry| match &entry.change {
                Change::Step { step, event, .. } => {
                    let since = entry.at.since(Timestamp::from_micros(1_000_000_000));
                    Some((since.as_secs(), step.0, *event))
                }
                _ => None,
            })
            .collect()
    }

    async fn stop(self) {
        self.stop.cancel();
        self.running.await.unwrap().unwrap();
    }
}

fn single(handler: &str) -> Arc<Template> {
    Template::builder("single")
        .step(StepBuilder::new("only", handler))
        .build()
        .unwrap()
}

fn chain(length: usize) -> Arc<Template> {
    (0..length)
        .fold(Template::builder("chain"), |template, index| {
            let step = StepBuilder::new(format!("s{index}"), "ok");
            template.step(if index == 0 {
                step
            } else {
                step.depends_on([format!("s{}", index - 1)])
            })
        })
        .build()
        .unwrap()
}

fn ok() -> (&'static str, Arc<dyn StepHandler>) {
    ("ok", handler(async || Ok(json!({"fine": true}))))
}

fn hang() -> (&'static str, Arc<dyn StepHandler>) {
    (
        "hang",
        handler(async || std::future::pending::<Result<(), StepError>>().await),
    )
}

/// Fails so many times, then succeeds.
fn flaky(failures: u32) -> (&'static str, Arc<dyn StepHandler>) {
    let flaky = handler(move |ctx: StepContext| async move {
        if ctx.attempt() <= failures {
            Err(StepError::retryable("not yet"))
        } else {
            Ok(ctx.attempt())
        }
    });
    ("flaky", flaky)
}

#[tokio::test(start_paused = true)]
async fn steps_run_after_their_parents_without_waiting() {
    let bench = Bench::start([ok()]);
    let task = bench.create(&chain(4)).await;
    let end = bench.end(task).await;
    assert_eq!(end.task.state, TaskState::Complete);
    assert!(bench.events(task).await.iter().all(|(second, _, _)| *second == 0));
    assert_eq!(bench.store.results(task).await.unwrap().len(), 4);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_tried_again_after_its_backoff() {
    use StepEvent::{Fail, Start, Succeed};
    let bench = Bench::start([flaky(2)]);
    let task = bench.create(&single("flaky")).await;
    assert_eq!(bench.end(task).await.task.state, TaskState::Complete);
    assert_eq!(
        bench.events(task).await,
        [
            (0, 0, Start),
            (0, 0, Fail),
            (1, 0, Start),
            (1, 0, Fail),
            (3, 0, Start),
            (3, 0, Succeed)
        ]
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_exhausted_step_fails_its_task() {
    let bench = Bench::start([flaky(9)]);
    let task = bench.create(&single("flaky")).await;
    let end = bench.end(task).await;
    assert_eq!(end.task.state, TaskState::Error);
    assert_eq!(end.steps[0].attempts, 3);
    assert_eq!(end.steps[0].failure.as_ref().unwrap().message, "not yet");
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_timeout_stops_the_work_and_is_retried() {
    let bench = Bench::start([hang()]);
    let step = StepBuilder::new("only", "hang")
        .timeout(Duration::from_secs(2))
        .retry_limit(2);
    let task = bench
        .create(&Template::builder("t").step(step).build().unwrap())
        .await;
    let end = bench.end(task).await;
    let failure = end.steps[0].failure.clone().unwrap();
    assert_eq!((failure.code.as_str(), end.steps[0].attempts), ("timeout", 2));
    assert_eq!(
        failure.message,
        "the step did not end within its 2 seconds (`timeout_seconds`)"
    );
    assert_eq!(bench.events(task).await.last().unwrap().0, 5);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_is_caught_and_retried() {
    let panics = handler(|ctx: StepContext| async move {
        assert!(ctx.attempt() > 1, "first time");
        Ok(1)
    });
    let bench = Bench::start([("panics", panics)]);
    let task = bench.create(&single("panics")).await;
    assert_eq!(bench.end(task).await.task.state, TaskState::Complete);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_step_is_told_and_its_end_is_late() {
    let bench = Bench::start([hang()]);
    let task = bench.create(&single("hang")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    let cancel = Intervention::new(task, Demand::CancelTask, Actor::User("ann".to_owned()));
    bench.store.intervene(cancel).await.unwrap();
    tokio::time::sleep(Duration::from_millis(100)).await;
    let history = bench
        .store
        .history(task, tasker_types::Position(0), 100)
        .await
        .unwrap();
    assert!(
        matches!(history.last().unwrap().change, Change::LateOutcome { .. }),
        "{history:?}"
    );
    assert_eq!(bench.snapshot(task).await.steps[0].state, StepState::Cancelled);
    bench.stop().await;
}

/// Has the store say that something changed, after a time, and returns how long the lease of a step has left after another.
async fn left_after_a_hint(bench: &Bench, hint: u64, look: u64) -> Duration {
    // None was looked at for a while.
    tokio::time::sleep(Duration::from_millis(300)).await;
    let task = bench.create(&single("hang")).await;
    tokio::time::sleep(Duration::from_millis(hint)).await;
    let time = Timestamp::from_micros(1_000_000_000);
    let (id, creator) = (TaskId::new(time, 9), WorkerId::new(time, 9));
    let other = NewTask::new(id, single("elsewhere"), Json::null());
    let create = Create::new(creator, Actor::System, vec![other]);
    bench.store.create(create).await.unwrap();
    tokio::time::sleep(Duration::from_millis(look - hint)).await;
    let snapshot = bench.snapshot(task).await;
    let lease = snapshot.steps[0].lease.unwrap();
    lease.until.since(snapshot.task.started_at.unwrap())
}

#[tokio::test(start_paused = true)]
async fn a_lease_is_not_looked_at_before_its_step_has_run_for_a_moment() {
    let bench = Bench::start([hang()]);
    let lease = Duration::from_secs(30);
    assert_eq!(left_after_a_hint(&bench, 50, 90).await, lease);
    bench.stop().await;
    let bench = Bench::start([hang()]);
    let asked = Duration::from_millis(100);
    assert_eq!(left_after_a_hint(&bench, 50, 300).await, lease + asked);
    bench.stop().await;
    // One that is older is looked at at once.
    let bench = Bench::start([hang()]);
    let asked = Duration::from_millis(700);
    assert_eq!(left_after_a_hint(&bench, 700, 710).await, lease + asked);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_runs_may_end_within_the_grace() {
    let slow = handler(async || {
        tokio::time::sleep(Duration::from_secs(10)).await;
        Ok(1)
    });
    let bench = Bench::start([("slow", slow)]);
    let task = bench.create(&single("slow")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let store = Arc::clone(&bench.store);
    bench.stop().await;
    assert_eq!(
        store.snapshot(task).await.unwrap().unwrap().task.state,
        TaskState::Complete
    );
}

#[tokio::test(start_paused = true)]
async fn what_outlasts_the_grace_is_interrupted_and_due_at_once() {
    let bench = Bench::start([hang()]);
    let task = bench.create(&single("hang")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let store = Arc::clone(&bench.store);
    bench.stop().await;
    let step = store.snapshot(task).await.unwrap().unwrap().steps[0].clone();
    assert_eq!(
        (step.state, step.attempts, step.next_retry_at),
        (StepState::Pending, 1, None)
    );
    assert!(step.queued);
}

#[tokio::test(start_paused = true)]
async fn an_abort_does_not_wait_for_the_grace() {
    let bench = Bench::start([hang()]);
    let task = bench.create(&single("hang")).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = tokio::time::Instant::now();
    bench.abort.cancel();
    let store = Arc::clone(&bench.store);
    bench.stop().await;
    assert!(before.elapsed() < Duration::from_secs(1));
    assert_eq!(
        store.snapshot(task).await.unwrap().unwrap().steps[0].state,
        StepState::Pending
    );
}

#[tokio::test(start_paused = true)]
async fn no_more_steps_run_than_there_are_slots() {
    static RUNNING: Mutex<(u32, u32)> = Mutex::new((0, 0));
    let counts = handler(async || {
        {
            let mut running = RUNNING.lock().unwrap();
            running.0 += 1;
            running.1 = running.1.max(running.0);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
        RUNNING.lock().unwrap().0 -= 1;
        Ok(())
    });
    let bench = Bench::start_with([("counts", counts)], |v| v.max_concurrent_steps = Some(3));
    let wide = (0..10).fold(Template::builder("wide"), |template, index| {
        template.step(StepBuilder::new(format!("s{index}"), "counts"))
    });
    let task = bench.create(&wide.build().unwrap()).await;
    assert_eq!(bench.end(task).await.task.state, TaskState::Complete);
    assert_eq!(RUNNING.lock().unwrap().1, 3);
    assert_eq!(bench.events(task).await.last().unwrap().0, 4);
    bench.stop().await;
}

struct Naps;

#[async_trait::async_trait]
impl StepHandler for Naps {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        match ctx.checkpoint() {
            None => Ok(Done::Suspend {
                wake_in: Duration::from_secs(60),
                checkpoint: Json::from(&json!("slept")),
            }),
            Some(checkpoint) => Ok(Done::Result(checkpoint.clone())),
        }
    }

    fn stop_policy(&self) -> StopPolicy {
        StopPolicy::Drop
    }
}

#[tokio::test(start_paused = true)]
async fn a_suspended_step_takes_no_attempt() {
    let bench = Bench::start([("naps", Arc::new(Naps) as Arc<dyn StepHandler>)]);
    let task = bench.create(&single("naps")).await;
    let end = bench.end(task).await;
    assert_eq!((end.task.state, end.steps[0].attempts), (TaskState::Complete, 1));
    assert_eq!(bench.events(task).await.last().unwrap().0, 60);
    assert_eq!(
        bench.store.results(task).await.unwrap(),
        [(StepNo(0), Json::from(&json!("slept")))]
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_result_over_the_limit_is_permanent() {
    let bench = Bench::start([("large", handler(async || Ok("x".repeat(2 << 20))))]);
    let task = bench.create(&single("large")).await;
    let end = bench.end(task).await;
    let failure = end.steps[0].failure.clone().unwrap();
    assert_eq!(
        (end.steps[0].attempts, failure.code.as_str()),
        (1, "result_rejected")
    );
    assert_eq!(
        failure.message,
        "the result has 2097154 bytes, but the limit is 1048576; return less, or raise `limits.result`"
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_takes_only_what_it_has_handlers_for() {
    let bench = Bench::start([ok()]);
    let task = bench.create(&single("elsewhere")).await;
    tokio::time::sleep(Duration::from_secs(60)).await;
    let snapshot = bench.snapshot(task).await;
    assert_eq!(
        (snapshot.task.state, snapshot.steps[0].attempts),
        (TaskState::Pending, 0)
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn leases_are_renewed_while_a_step_runs() {
    let slow = handler(async || {
        tokio::time::sleep(Duration::from_secs(300)).await;
        Ok(1)
    });
    let bench = Bench::start([("slow", slow)]);
    let task = bench.create(&single("slow")).await;
    let end = bench.end(task).await;
    assert_eq!((end.task.state, end.steps[0].attempts), (TaskState::Complete, 1));
    bench.stop().await;
}
