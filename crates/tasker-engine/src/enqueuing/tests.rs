//! What each strategy does with "look again", on a store in memory.

use std::sync::Arc;

use serde_json::json;
use tasker_types::{Backoff, Timestamp, WorkerId};

use super::*;
use crate::Emitter;
use crate::memory::MemoryStore;
use crate::record::Actor;
use crate::store::{Create, NewTask, Sweep};
use crate::template::{StepBuilder, Template};
use crate::{Json, TokioClock, look_at};

const START: Timestamp = Timestamp::from_micros(1_000_000_000);

async fn store_with_a_task() -> (MemoryStore, TaskId) {
    let store = MemoryStore::new(Arc::new(TokioClock::starting_at(START)));
    let template = Template::builder("t")
        .step(StepBuilder::new("only", "h"))
        .build()
        .unwrap();
    let id = TaskId::new(START, 1);
    let task = NewTask::new(id, template, Json::from(&json!({})));
    store
        .create(Create::new(WorkerId::new(START, 2), Actor::System, vec![task]))
        .await
        .unwrap();
    (store, id)
}

/// Returns the seconds after which the safety net looks at the task.
async fn next_check(store: &MemoryStore, task: TaskId) -> u64 {
    store
        .snapshot(task)
        .await
        .unwrap()
        .unwrap()
        .task
        .next_check_at
        .unwrap()
        .since(START)
        .as_secs()
}

const DELAY: Duration = Duration::from_secs(45);
const REASON: LookAgainReason = LookAgainReason::AwaitingDependencies;

#[tokio::test(start_paused = true)]
async fn the_default_keeps_the_time_on_the_task_for_any_sweeper() {
    let (store, task) = store_with_a_task().await;
    CheckIn.look_again(&store, task, DELAY, REASON).await.unwrap();
    assert_eq!(next_check(&store, task).await, 45);
    let sweep = || store.sweep(Sweep::new(10, Arc::new(Backoff::default()), 1));
    tokio::time::advance(Duration::from_secs(44)).await;
    assert!(sweep().await.unwrap().due.is_empty());
    tokio::time::advance(Duration::from_secs(1)).await;
    assert_eq!(sweep().await.unwrap().due, [task]);
}

#[tokio::test(start_paused = true)]
async fn the_immediate_one_has_the_next_sweep_look_and_tells_what_it_was_asked() {
    let (store, task) = store_with_a_task().await;
    let immediate = Immediate::default();
    immediate.look_again(&store, task, DELAY, REASON).await.unwrap();
    assert_eq!(next_check(&store, task).await, 0);
    assert_eq!(immediate.take(), [(task, DELAY, REASON)]);
    assert_eq!(immediate.take(), []);
}

#[tokio::test(start_paused = true)]
async fn the_immediate_one_does_not_remember_without_end() {
    let (store, task) = store_with_a_task().await;
    let immediate = Immediate::default();
    for second in 0..1_002 {
        let delay = Duration::from_secs(second);
        immediate.look_again(&store, task, delay, REASON).await.unwrap();
    }
    let asked = immediate.take();
    assert_eq!(
        (asked.len(), asked[0].1, asked[999].1),
        (1_000, Duration::from_secs(2), Duration::from_secs(1_001))
    );
}

#[tokio::test(start_paused = true)]
async fn an_applications_queue_is_asked_and_the_safety_net_stays() {
    let (store, task) = store_with_a_task().await;
    let asked = Arc::new(Mutex::new(Vec::new()));
    let queue = Arc::clone(&asked);
    let forward = Forward::new(
        move |task, after, reason| queue.lock().unwrap().push((task, after, reason)),
        Duration::from_secs(60),
    );
    forward.look_again(&store, task, DELAY, REASON).await.unwrap();
    assert_eq!(*asked.lock().unwrap(), [(task, DELAY, REASON)]);
    assert_eq!(next_check(&store, task).await, 105);
}

#[tokio::test(start_paused = true)]
async fn a_look_at_a_task_asks_for_the_next_one() {
    let (store, task) = store_with_a_task().await;
    let immediate = Immediate::default();
    look_at(&store, &immediate, &Backoff::default(), &Emitter::default(), task)
        .await
        .unwrap();
    assert_eq!(
        immediate.take(),
        [(task, Duration::ZERO, LookAgainReason::ReadyStepsAvailable)]
    );
    look_at(
        &store,
        &immediate,
        &Backoff::default(),
        &Emitter::default(),
        TaskId::new(START, 9),
    )
    .await
    .unwrap();
    assert_eq!(immediate.take(), []);
}
