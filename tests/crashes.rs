//! One crash or one fault at every place where there can be one, and afterwards everything is as it should be.
//!
//! The simulation finds the rare combinations; here no single place is forgotten.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Clock, Create, Entropy, Handlers, Json, NewTask, Resolved, SeededEntropy, StepBuilder,
    StepContext, StepError, Template, TokioClock, Unresolved, Worker, WorkerSetup, handler, verify_all,
};
use tasker_testkit::{Fault, Faults, FaultyStore, Harness};
use tasker_types::{HandlerRef, Namespace, StepState, TaskId, TaskState, Timestamp, Version, WorkerId};
use tests::{Opened, StoreKind};
use tokio_util::sync::CancellationToken;

/// A diamond in which one step fails once; every step may lose an attempt more.
fn template() -> Arc<Template> {
    let step = |name: &str, parents: &[&str]| {
        StepBuilder::new(name, "any")
            .depends_on(parents.iter().copied())
            .retry_limit(3)
    };
    Template::builder("diamond")
        .step(step("start", &[]))
        .step(step("left", &["start"]))
        .step(step("flaky", &["start"]))
        .step(step("end", &["left", "flaky"]))
        .build()
        .unwrap()
}

fn handlers() -> Handlers {
    let any = handler(async |ctx: StepContext| {
        tokio::time::sleep(Duration::from_millis(20)).await;
        if ctx.step_name().as_str() == "flaky" && ctx.attempt() == 1 {
            return Err(StepError::retryable("not yet"));
        }
        Ok(json!({ "step": ctx.step_name(), "parents": ctx.parents_object() }))
    });
    Handlers::new(move |_: &Namespace, _: &HandlerRef| {
        Ok::<_, Unresolved>(Resolved {
            handler: Arc::clone(&any),
            version: Version::new(1, 0, 0),
        })
    })
}

/// One task on one store, in virtual time.
struct Scene {
    opened: Opened,
    faulty: Arc<FaultyStore>,
    clock: Arc<TokioClock>,
    entropy: Arc<SeededEntropy>,
    task: TaskId,
}

impl Scene {
    async fn new(kind: StoreKind) -> Self {
        let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(
            1_767_225_600_000_000,
        )));
        let opened = kind.open(Arc::<TokioClock>::clone(&clock));
        let entropy = Arc::new(SeededEntropy::new(5));
        // Every call and every answer takes time, so that there are awaits before and after each commit.
        let slow = Faults {
            late: 1_000,
            answered_late: 1_000,
            delay_ms: 3,
            ..Faults::default()
        };
        let faulty = Arc::new(FaultyStore::new(
            Arc::clone(&opened.store),
            Arc::<SeededEntropy>::clone(&entropy),
            slow,
        ));
        let task = TaskId::new(clock.now(), entropy.next_u128());
        let new = NewTask::new(task, template(), Json::from(&json!({})));
        let nobody = WorkerId::new(clock.now(), entropy.next_u128());
        let create = Create::new(nobody, Actor::User("ann".to_owned()), vec![new]);
        opened.store.create(create).await.unwrap();
        Self {
            opened,
            faulty,
            clock,
            entropy,
            task,
        }
    }

    fn worker(&self) -> Worker {
        let mut setup = WorkerSetup::new(
            Arc::<FaultyStore>::clone(&self.faulty),
            handlers(),
            Arc::<TokioClock>::clone(&self.clock),
            Arc::<SeededEntropy>::clone(&self.entropy),
        );
        setup.backoff = Harness::backoff();
        Worker::new(setup)
    }

    async fn is_active(&self) -> bool {
        self.opened
            .store
            .snapshot(self.task)
            .await
            .unwrap()
            .unwrap()
            .task
            .state
            .is_active()
    }

    /// Runs a worker until it has been polled so often; tells whether the task ended before that.
    async fn crash_after(&self, polls: u32) -> bool {
        let mut running = Box::pin(
            self.worker()
                .run(CancellationToken::new(), CancellationToken::new()),
        );
        let mut left = polls;
        let crash = poll_fn(move |cx| {
            if left == 0 {
                return Poll::Ready(());
            }
            left -= 1;
            running
                .as_mut()
                .poll(cx)
                .map(|ended| panic!("the worker ended: {ended:?}"))
        });
        let mut crash: Pin<Box<dyn Future<Output = ()>>> = Box::pin(crash);
        loop {
            tokio::select! {
                biased;
                () = &mut crash => return !self.is_active().await,
                () = tokio::time::sleep(Duration::from_secs(1)) => {
                    if !self.is_active().await {
                        return true;
                    }
                }
            }
        }
    }

    /// Runs a worker until the task has ended, and checks the end.
    async fn finish(&self, what: &str) {
        let shutdown = CancellationToken::new();
        let running = tokio::spawn(self.worker().run(shutdown.clone(), CancellationToken::new()));
        for _ in 0..600 {
            if !self.is_active().await {
                break;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        shutdown.cancel();
        running.await.unwrap().unwrap();
        let report = verify_all(&*self.opened.store).await.unwrap();
        assert!(report.holds(), "{what}: {report}");
        let end = self.opened.store.snapshot(self.task).await.unwrap().unwrap();
        assert_eq!(end.task.state, TaskState::Complete, "{what}");
        assert!(
            end.steps.iter().all(|step| step.state == StepState::Complete),
            "{what}"
        );
        let results = self.opened.store.results(self.task).await.unwrap();
        let last = results.last().unwrap().1.to_value();
        assert_eq!(
            last["parents"]["left"]["parents"]["start"]["step"], "start",
            "{what}: {last}"
        );
        assert_eq!(last["parents"]["flaky"]["step"], "flaky", "{what}: {last}");
    }
}

fn in_virtual_time<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()
        .unwrap();
    runtime.block_on(future)
}

#[test]
fn a_worker_dropped_at_any_await_loses_nothing() {
    for kind in StoreKind::ALL {
        let mut polls = 0;
        let ended = |polls| {
            in_virtual_time(async {
                let scene = Scene::new(*kind).await;
                let ended = scene.crash_after(polls).await;
                scene
                    .finish(&format!("dropped after {polls} polls, on {kind}"))
                    .await;
                ended
            })
        };
        while !ended(polls) {
            polls += 1;
            assert!(polls < 2_000, "the worker never gets to the end on {kind}");
        }
        assert!(
            polls > 20,
            "only {polls} polls on {kind}: the places to crash are missing"
        );
    }
}

#[test]
fn a_fault_at_any_call_loses_nothing() {
    for kind in StoreKind::ALL {
        for fault in Fault::ALL {
            let mut call = 0;
            // Until the call comes only after the end.
            while in_virtual_time(async {
                let scene = Scene::new(*kind).await;
                scene.faulty.plan(call, *fault);
                scene
                    .finish(&format!("{fault:?} at call {call}, on {kind}"))
                    .await;
                let counts = scene.faulty.counts();
                counts.refused + counts.unanswered + counts.repeated > 0
            }) {
                call += 1;
            }
            assert!(call >= 6, "only {call} calls on {kind}");
        }
    }
}

/// A creator that hears nothing asks again, and the steps that the first answer would have handed out do not wait for
/// their leases to end.
#[test]
fn a_task_whose_creation_was_not_answered_runs_at_once() {
    for kind in StoreKind::ALL {
        for call in 0..8 {
            in_virtual_time(async {
                let scene = Scene::new(*kind).await;
                scene.faulty.plan(call, Fault::Unanswered);
                let worker = scene.worker();
                let handle = worker.handle();
                let shutdown = CancellationToken::new();
                let running = tokio::spawn(worker.run(shutdown.clone(), CancellationToken::new()));
                let id = TaskId::new(scene.clock.now(), scene.entropy.next_u128());
                let new = NewTask::new(id, template(), Json::from(&json!({})));
                let began = tokio::time::Instant::now();
                while let Err(error) = handle
                    .create(Actor::User("ann".to_owned()), vec![new.clone()])
                    .await
                {
                    assert!(error.is_transient(), "{error}");
                }
                let state = async || scene.opened.store.snapshot(id).await.unwrap().unwrap().task.state;
                while state().await.is_active() {
                    tokio::time::sleep(Duration::from_millis(100)).await;
                }
                let took = began.elapsed();
                assert!(
                    took < Duration::from_secs(5),
                    "call {call} on {kind}: it took {took:?}"
                );
                shutdown.cancel();
                running.await.unwrap().unwrap();
            });
        }
    }
}

#[test]
fn a_stopping_worker_hands_back_what_it_was_not_told_of() {
    for kind in StoreKind::ALL {
        for call in 0..8 {
            in_virtual_time(async {
                let scene = Scene::new(*kind).await;
                scene.faulty.plan(call, Fault::Unanswered);
                let worker = scene.worker();
                let handle = worker.handle();
                let shutdown = CancellationToken::new();
                let running = tokio::spawn(worker.run(shutdown.clone(), CancellationToken::new()));
                let id = TaskId::new(scene.clock.now(), scene.entropy.next_u128());
                let new = NewTask::new(id, template(), Json::from(&json!({})));
                // Answered or not, the worker stops at once.
                let _ = handle.create(Actor::User("ann".to_owned()), vec![new]).await;
                shutdown.cancel();
                running.await.unwrap().unwrap();
                for task in [scene.task, id] {
                    let snapshot = scene.opened.store.snapshot(task).await.unwrap().unwrap();
                    let held = snapshot.steps.iter().any(|step| step.lease.is_some());
                    assert!(!held, "call {call} on {kind}: {:?}", snapshot.steps);
                }
            });
        }
    }
}
