//! What becomes of a store some of whose statements fail.

use std::sync::Mutex;

use tasker_engine::Store as _;
use tasker_testkit::{Harness, ManualClock, shapes};

use super::*;
use crate::probe::{Fault, Moment};

/// Has a statement fail, once.
#[derive(Debug, Default)]
struct Trap(Mutex<Option<(&'static str, Moment, Fault)>>);

impl Probe for Trap {
    fn pass(&self, statement: &str) -> Option<(Moment, Fault)> {
        let mut set = self.0.lock().unwrap();
        let (_, moment, fault) = set.take_if(|(sql, ..)| *sql == statement)?;
        Some((moment, fault))
    }
}

struct Scene {
    trap: Arc<Trap>,
    store: SqliteStore,
    h: Harness,
}

impl Scene {
    fn new() -> Self {
        let clock = ManualClock::new();
        let directory = tempfile::tempdir().unwrap();
        let trap = Arc::new(Trap::default());
        let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone()))
            .probe(Arc::<Trap>::clone(&trap))
            .inline();
        let store = SqliteStore::open(options).unwrap();
        let h = Harness::new(Arc::new(store.clone()), clock).keeping(directory);
        Self { trap, store, h }
    }

    fn set(&self, statement: &'static str, moment: Moment, fault: Fault) {
        *self.trap.0.lock().unwrap() = Some((statement, moment, fault));
    }

    fn is_sprung(&self) -> bool {
        self.trap.0.lock().unwrap().is_none()
    }
}

/// Creates a task while the commit meets a fault; whether it is there afterwards is what `kept` says.
async fn a_commit_that_meets(moment: Moment, fault: Fault, kept: bool) {
    let scene = Scene::new();
    let task = scene.h.new_task(shapes::single());
    let id = task.id;
    let request = Create::new(scene.h.worker(), tasker_engine::Actor::System, vec![task]);
    scene.set("COMMIT", moment, fault);
    let told = scene.store.create(request.clone()).await.unwrap_err();
    assert!(scene.is_sprung());
    assert!(told.is_transient(), "{told}");
    assert!(!told.to_string().contains("nothing was changed"), "{told}");
    assert_eq!(scene.store.snapshot(id).await.unwrap().is_some(), kept);
    scene.store.create(request).await.unwrap();
    scene.h.run_ready().await;
    assert_eq!(scene.h.look(id).await, "complete: complete");
    scene.h.verify().await;
}

#[tokio::test]
async fn nobody_is_told_that_a_commit_which_met_the_disk_changed_nothing() {
    a_commit_that_meets(Moment::Before, Fault::Error, false).await;
    a_commit_that_meets(Moment::After, Fault::Error, true).await;
}

#[tokio::test]
async fn a_connection_that_is_lost_at_a_commit_is_replaced() {
    a_commit_that_meets(Moment::Before, Fault::Drop, false).await;
    a_commit_that_meets(Moment::After, Fault::LoseAnswer, true).await;
}

#[tokio::test]
async fn a_reader_that_cannot_end_its_transaction_does_not_see_the_same_for_ever() {
    for fault in [Fault::Error, Fault::Drop] {
        let scene = Scene::new();
        let first = scene.h.create(shapes::single()).await;
        scene.set("ROLLBACK", Moment::Before, fault);
        scene.h.snapshot(first).await;
        assert!(scene.is_sprung());
        let second = scene.h.create(shapes::single()).await;
        assert_eq!(scene.h.look(second).await, "pending: pending");
    }
}

#[tokio::test]
async fn a_writer_that_cannot_undo_a_transaction_is_replaced() {
    let scene = Scene::new();
    let task = scene.h.create(shapes::single()).await;
    scene.set("ROLLBACK", Moment::Before, Fault::Error);
    let unknown = scene.h.new_task(shapes::single()).id;
    let refused = scene
        .h
        .intervene(unknown, tasker_engine::Demand::CancelTask)
        .await;
    assert!(refused.is_err() && scene.is_sprung());
    scene.h.run_ready().await;
    assert_eq!(scene.h.look(task).await, "complete: complete");
    scene.h.verify().await;
}
