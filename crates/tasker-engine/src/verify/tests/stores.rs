//! Stores that do not tell the truth, or are worked on while they are read.

use std::sync::Mutex;

use async_trait::async_trait;
use tasker_types::TaskContext;
use tokio::sync::watch;

use super::*;
use crate::list::{TaskPage, TaskQuery};
use crate::record::Reading;
use crate::store::{CreateReply, Intervened, LeaseStatus, Renewal, Swept, TurnReply};

/// A store that tells what is changed on the way.
struct Altered {
    store: MemoryStore,
    /// How many tasks were asked for at a time.
    asked: Mutex<Vec<usize>>,
    readings: fn(&mut Vec<Reading>),
    history: fn(&mut Vec<Transition>),
    events: fn(&mut Vec<Transition>),
}

impl std::fmt::Debug for Altered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Altered").finish_non_exhaustive()
    }
}

impl Altered {
    fn of(store: MemoryStore) -> Self {
        Self {
            store,
            asked: Mutex::default(),
            readings: |_| (),
            history: |_| (),
            events: |_| (),
        }
    }

    fn asked(&self) -> Vec<usize> {
        self.asked.lock().unwrap().clone()
    }
}

#[async_trait]
impl Store for Altered {
    async fn create(&self, request: Create) -> Result<CreateReply, StoreError> {
        self.store.create(request).await
    }

    async fn turn(&self, turn: Turn) -> Result<TurnReply, StoreError> {
        self.store.turn(turn).await
    }

    async fn renew(&self, renewal: Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        self.store.renew(renewal).await
    }

    async fn sweep(&self, sweep: Sweep) -> Result<Swept, StoreError> {
        self.store.sweep(sweep).await
    }

    async fn examine(&self, task: TaskId) -> Result<Option<TaskContext>, StoreError> {
        self.store.examine(task).await
    }

    async fn check_in(&self, task: TaskId, delay: Duration) -> Result<(), StoreError> {
        self.store.check_in(task, delay).await
    }

    async fn intervene(&self, intervention: Intervention) -> Result<Intervened, StoreError> {
        self.store.intervene(intervention).await
    }

    async fn snapshot(&self, task: TaskId) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot(task).await
    }

    async fn results(&self, task: TaskId) -> Result<Vec<(StepNo, Json)>, StoreError> {
        self.store.results(task).await
    }

    async fn history(
        &self,
        task: TaskId,
        after: Position,
        limit: u32,
    ) -> Result<Vec<Transition>, StoreError> {
        let mut history = self.store.history(task, after, limit).await?;
        (self.history)(&mut history);
        Ok(history)
    }

    async fn readings(&self, tasks: &[TaskId]) -> Result<Vec<Reading>, StoreError> {
        self.asked.lock().unwrap().push(tasks.len());
        let mut readings = self.store.readings(tasks).await?;
        (self.readings)(&mut readings);
        Ok(readings)
    }

    async fn events(&self, after: Position, limit: u32) -> Result<Vec<Transition>, StoreError> {
        let mut events = self.store.events(after, limit).await?;
        (self.events)(&mut events);
        Ok(events)
    }

    async fn list(&self, query: TaskQuery) -> Result<TaskPage, StoreError> {
        self.store.list(query).await
    }

    async fn cursor_secret(&self, fresh: [u8; 32]) -> Result<[u8; 32], StoreError> {
        self.store.cursor_secret(fresh).await
    }

    fn wake(&self) -> watch::Receiver<u64> {
        self.store.wake()
    }
}

/// A store whose one task is done but for its last step.
async fn played() -> MemoryStore {
    let play = Play::new().await;
    for _ in 0..2 {
        play.round(|_| succeed()).await;
    }
    play.0
}

fn faults(report: &Report) -> Vec<&Fault> {
    report
        .violations
        .iter()
        .map(|violation| &violation.fault)
        .collect()
}

#[tokio::test]
async fn a_task_without_rows_is_missing_unless_it_was_pruned() {
    let mut told = Altered::of(played().await);
    told.readings = Vec::clear;
    let report = verify_all(&told).await.unwrap();
    assert!(!report.holds());
    assert_eq!(faults(&report), [&Fault::TaskMissing]);
    told.history = Vec::clear;
    assert!(verify_all(&told).await.unwrap().holds());
}

#[tokio::test]
async fn both_histories_have_as_much_of_a_task() {
    let mut told = Altered::of(played().await);
    told.events = |events| events.retain(|entry| entry.position != Position(3));
    let report = verify_all(&told).await.unwrap();
    assert_eq!(
        faults(&report),
        [&Fault::OutboxDiffers {
            history: 8,
            outbox: 7
        }]
    );
}

#[tokio::test]
async fn positions_of_all_histories_ascend() {
    let mut told = Altered::of(played().await);
    told.events = |events| {
        if events.len() > 4 {
            events.swap(2, 3);
        }
    };
    let report = verify_all(&told).await.unwrap();
    assert_eq!(faults(&report), [&Fault::PositionsDoNotAscend]);
    let violation = &report.violations[0];
    assert_eq!(violation.positions, [Position(4), Position(3)]);
}

#[tokio::test]
async fn a_history_that_repeats_itself_comes_to_an_end() {
    let mut told = Altered::of(Play::new().await.0);
    told.events = |events| {
        if let Some(mut entry) = events.pop() {
            entry.position = Position(1);
            events.push(entry.clone());
            events.push(entry);
        }
    };
    let report = verify_all(&told).await.unwrap();
    assert!(faults(&report).contains(&&Fault::PositionsDoNotAscend));
}

#[tokio::test]
async fn a_task_that_rests_is_read_once() {
    let told = Altered::of(played().await);
    assert!(verify_store(&told, [task()]).await.unwrap().holds());
    assert_eq!(told.asked(), [1]);
}

#[tokio::test]
async fn a_task_that_never_rests_is_cut_back_to_its_snapshot() {
    let mut told = Altered::of(played().await);
    // As if the last step had been claimed and ended after the snapshot was read.
    told.readings = |readings| {
        for Reading {
            snapshot,
            results,
            history,
        } in readings
        {
            let mut late = history.last().unwrap().clone();
            late.position = Position(snapshot.position.0 + 1);
            history.push(late);
            results.push((D, Json::null()));
        }
    };
    let report = verify_store(&told, [task()]).await.unwrap();
    assert_eq!(faults(&report), Vec::<&Fault>::new());
    assert_eq!((report.transitions, told.asked().len()), (8, 4));
}

#[tokio::test]
async fn as_many_tasks_are_read_at_a_time_as_have_two_thousand_steps() {
    let store = MemoryStore::new(Arc::new(Still));
    let tasks = (1..=1_000).map(|number| {
        let id = TaskId::new(Timestamp::from_micros(0), number);
        NewTask::new(id, diamond(), Json::null())
    });
    store
        .create(Create::new(worker(), Actor::System, tasks.collect()))
        .await
        .unwrap();
    let told = Altered::of(store);
    let report = verify_all(&told).await.unwrap();
    assert_eq!(
        report.to_string(),
        "1000 tasks, 4000 steps, 1000 transitions: 0 violations"
    );
    assert_eq!(told.asked(), [1, 500, 499]);
}
