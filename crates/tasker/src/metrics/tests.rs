//! What seldom happens, counted.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use prometheus::TextEncoder;
use tasker_engine::{
    Accepts, Actor, Create, Demand, End, Intervention, Json, LeaseStatus, MemoryStore, NewTask, Outcome,
    Renewal, Scope, StepBuilder, Store, Sweep, Turn, Version, Want,
};
use tasker_types::{HandlerRef, LeaseToken, Namespace, Timestamp, WorkerId};

use super::*;
use crate::observe::{Narrator, Observed, Observers};

/// A clock that stands still until it is turned.
#[derive(Debug, Default)]
struct Still(AtomicI64);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::Relaxed))
    }
}

struct Scene {
    clock: Arc<Still>,
    metrics: Arc<Metrics>,
    store: Observed,
    worker: WorkerId,
}

fn scene() -> Scene {
    let clock = Arc::new(Still::default());
    let shared: Arc<dyn Clock> = Arc::<Still>::clone(&clock);
    let known = Arc::<Known>::default();
    let metrics = Arc::new(Metrics::new(Arc::clone(&shared), Arc::clone(&known)));
    let observers = Observers {
        clock: Arc::clone(&shared),
        backoff: Arc::default(),
        metrics: Some(Arc::clone(&metrics)),
        narrator: Arc::new(Narrator {
            telling: Arc::default(),
            clock: Arc::clone(&shared),
            known: Arc::clone(&known),
            #[cfg(feature = "otlp")]
            spans: None,
        }),
        known,
    };
    let store = Observed::new(Arc::new(MemoryStore::new(shared)), observers);
    Scene {
        clock,
        metrics,
        store,
        worker: WorkerId::new(Timestamp::from_micros(0), 1),
    }
}

impl Scene {
    async fn claimed(&self, attempts: u32) -> Claim {
        let step = StepBuilder::new("one", "sleep").retry_limit(attempts);
        let template = Template::builder("job").step(step).build().unwrap();
        let task = NewTask::new(TaskId::new(self.clock.now(), 7), template, Json::null());
        let create = Create::new(self.worker, Actor::System, vec![task]).wanting(want());
        let reply = self.store.create(create).await.unwrap();
        reply.claims.into_iter().next().unwrap()
    }

    async fn end(&self, claim: &Claim, end: End) {
        let outcome = Outcome {
            lease: claim.lease,
            end,
            ran_for: Some(Duration::from_secs(2)),
            progress: None,
            tasks: Vec::new(),
            events: Vec::new(),
        };
        let turn = Turn::new(self.worker, vec![outcome], Want { limit: 0, ..want() });
        self.store.turn(turn).await.unwrap();
    }

    #[track_caller]
    fn says(&self, line: &str) {
        let text = TextEncoder::new()
            .encode_to_string(&self.metrics.registry.gather())
            .unwrap();
        assert!(text.lines().any(|each| each == line), "no `{line}` in\n{text}");
    }
}

/// Runs everything.
#[derive(Debug)]
struct Anything;

impl Accepts for Anything {
    fn version_for(&self, _: &Namespace, _: &HandlerRef) -> Option<Version> {
        Some(Version::new(0, 1, 0))
    }
}

fn want() -> Want {
    Want {
        limit: 1,
        accepts: Arc::new(Anything),
        scope: Scope::All,
        top_up: true,
        lease: Duration::from_secs(30),
        token: LeaseToken(9),
    }
}

#[tokio::test]
async fn a_lease_that_expires_is_counted_and_so_is_what_comes_too_late() {
    let scene = scene();
    let claim = scene.claimed(3).await;
    let renewal = Renewal::new(scene.worker, vec![claim.lease], Duration::from_secs(30));
    assert_eq!(scene.store.renew(renewal).await.unwrap(), [LeaseStatus::Held]);
    scene.clock.0.store(31_000_000, Ordering::Relaxed);
    scene
        .store
        .sweep(Sweep::new(10, Arc::default(), 0))
        .await
        .unwrap();
    scene.says(r#"tasker_leases_expired_total{namespace="default_system",step="one",task="job"} 1"#);
    scene.end(&claim, End::Succeed { result: Json::null() }).await;
    scene.says(
        r#"tasker_step_outcomes_refused_total{namespace="default_system",receipt="lease_lost",step="one",task="job"} 1"#,
    );
}

#[tokio::test]
async fn an_interrupted_step_is_pending_unless_that_was_its_last_attempt() {
    for (attempts, state) in [(3, "pending"), (1, "error")] {
        let scene = scene();
        let claim = scene.claimed(attempts).await;
        scene.end(&claim, End::Interrupt).await;
        scene.says(&format!(
            r#"tasker_step_transitions_total{{namespace="default_system",state="{state}",step="one",task="job"}} 1"#
        ));
    }
}

#[tokio::test]
async fn a_task_that_someone_ends_is_counted_once() {
    let scene = scene();
    let claim = scene.claimed(3).await;
    scene.clock.0.store(4_000_000, Ordering::Relaxed);
    let demand = |demand| Intervention::new(claim.lease.task, demand, Actor::System);
    let cancel = || demand(Demand::CancelTask);
    scene.store.intervene(cancel()).await.unwrap();
    scene.store.intervene(demand(Demand::SetPriority(3))).await.ok();
    assert!(scene.store.intervene(cancel()).await.is_err());
    let labels = r#"{namespace="default_system",state="cancelled",task="job"}"#;
    scene.says(&format!("tasker_tasks_finished_total{labels} 1"));
    scene.says(&format!("tasker_task_duration_seconds_sum{labels} 4"));
    scene.says(r#"tasker_store_request_failures_total{request="intervene"} 1"#);
}
