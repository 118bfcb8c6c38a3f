//! Histories, events, and the hint that wakes workers.

use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Change, Demand, Failure, Json, Outcome, Published, StepEvent, TaskEvent, Transition,
};
use tasker_types::Position;

use super::{A, fork, limited, pair};
use crate::harness::Harness;
use crate::outcome::{fail, succeed, suspend};
use crate::shapes;

/// Runs two forks to their end and cancels a third.
async fn play(h: &Harness) -> [tasker_types::TaskId; 3] {
    let tasks = [
        h.create(fork()).await,
        h.create(fork()).await,
        h.create(fork()).await,
    ];
    h.demand(tasks[2], Demand::CancelTask).await;
    h.run_ready().await;
    tasks
}

pub(super) async fn a_history_is_read_in_pages(h: &Harness) {
    let [task, ..] = play(h).await;
    let whole = h.history(task).await;
    assert_eq!(whole.len(), 11);
    let mut pages: Vec<Transition> = Vec::new();
    while pages.len() < whole.len() {
        let after = pages.last().map_or(Position(0), |entry| entry.position);
        let page = h.store.history(task, after, 4).await.unwrap();
        assert!((1..=4).contains(&page.len()));
        pages.extend(page);
    }
    assert_eq!(pages, whole);
    assert_eq!(h.store.history(task, whole[10].position, 4).await.unwrap(), []);
}

pub(super) async fn a_reading_is_everything_of_each_task(h: &Harness) {
    let [first, second, cancelled] = play(h).await;
    let waiting = h.create(fork()).await;
    let held = h.claim(1).await;
    let held = held[0].lease.task;
    let unknown = h.new_task(shapes::single()).id;
    let asked = [waiting, cancelled, unknown, second, first];
    let readings = h.store.readings(&asked).await.unwrap();
    let found: Vec<_> = readings.iter().map(|reading| reading.snapshot.task.id).collect();
    assert_eq!(found, [waiting, cancelled, second, first]);
    assert_eq!(held, waiting);
    for reading in readings {
        let task = reading.snapshot.task.id;
        let snapshot = h.snapshot(task).await;
        assert_eq!(
            format!("{:?}", reading.snapshot.task),
            format!("{:?}", snapshot.task)
        );
        assert_eq!(
            format!("{:?}", reading.snapshot.steps),
            format!("{:?}", snapshot.steps)
        );
        assert_eq!(reading.snapshot.position, snapshot.position);
        assert_eq!(reading.results, h.store.results(task).await.unwrap());
        assert_eq!(reading.history, h.history(task).await);
    }
}

pub(super) async fn the_events_of_all_tasks_are_their_histories(h: &Harness) {
    let tasks = play(h).await;
    let events = h.store.events(Position(0), 1_000).await.unwrap();
    assert!(events.is_sorted_by(|before, after| before.position < after.position));
    for task in tasks {
        let of_task: Vec<_> = events
            .iter()
            .filter(|entry| entry.task == task)
            .cloned()
            .collect();
        assert_eq!(of_task, h.history(task).await);
    }
    assert!(events.iter().all(|entry| tasks.contains(&entry.task)));
}

pub(super) async fn the_events_are_read_in_pages(h: &Harness) {
    play(h).await;
    let whole = h.store.events(Position(0), 1_000).await.unwrap();
    let mut pages: Vec<Transition> = Vec::new();
    loop {
        let after = pages.last().map_or(Position(0), |entry| entry.position);
        let page = h.store.events(after, 5).await.unwrap();
        if page.is_empty() {
            break;
        }
        assert!(page.len() <= 5);
        pages.extend(page);
    }
    assert_eq!(pages, whole);
}

pub(super) async fn entries_name_who_did_it(h: &Harness) {
    let task = h.create(pair()).await;
    h.run_ready().await;
    let (ann, worker) = (Actor::User("ann".to_owned()), Actor::Worker(h.worker()));
    for entry in h.history(task).await {
        let expected = match entry.change {
            Change::Created => &ann,
            Change::Task {
                event: TaskEvent::Complete,
                ..
            } => &Actor::System,
            _ => &worker,
        };
        assert_eq!(&entry.actor, expected, "{entry:?}");
    }
    let cancelled = h.create(pair()).await;
    h.demand(cancelled, Demand::CancelTask).await;
    assert!(h.history(cancelled).await.iter().all(|entry| entry.actor == ann));
}

pub(super) async fn a_snapshot_names_the_position_it_includes(h: &Harness) {
    let task = h.create(pair()).await;
    let before = h.snapshot(task).await;
    assert!(h.history(task).await[0].position <= before.position);
    h.claim(1).await;
    let later = h.store.history(task, before.position, 9).await.unwrap();
    let events: Vec<_> = later
        .iter()
        .filter_map(|entry| match entry.change {
            Change::Step { step, event, .. } => Some((step, event)),
            _ => None,
        })
        .collect();
    assert_eq!(events, [(A, StepEvent::Start)]);
    assert!(h.snapshot(task).await.position > before.position);
}

pub(super) async fn queued_work_wakes_listeners(h: &Harness) {
    let mut wake = h.store.wake();
    wake.borrow_and_update();
    h.create(shapes::linear(2)).await;
    assert!(wake.has_changed().unwrap());
    let claim = h.claim_one().await;
    wake.borrow_and_update();
    h.end(crate::outcome::succeed(&claim)).await;
    assert!(wake.has_changed().unwrap(), "the child was left for others");
}

pub(super) async fn a_cancelled_lease_wakes_listeners(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let _ = h.claim_one().await;
    let mut wake = h.store.wake();
    wake.borrow_and_update();
    h.demand(task, Demand::CancelStep(A)).await;
    assert!(wake.has_changed().unwrap());
}

pub(super) async fn the_last_position_is_told(h: &Harness) {
    assert_eq!(h.store.position().await.unwrap(), Position(0));
    let task = h.create(pair()).await;
    h.run_ready().await;
    let events = h.store.events(Position(0), u32::MAX).await.unwrap();
    let last = events.last().unwrap().position;
    assert_eq!(h.store.position().await.unwrap(), last);
    assert_eq!(h.snapshot(task).await.position, last);
    assert!(h.store.events(last, 9).await.unwrap().is_empty());
}

pub(super) async fn what_a_handler_published_is_recorded_with_its_end(h: &Harness) {
    let published = |outcome: Outcome, name: &str| Outcome {
        events: vec![Published {
            name: name.to_owned(),
            data: Json::from(&json!({ "n": 1 })),
        }],
        ..outcome
    };
    let task = h.create(limited(9)).await;
    let claim = h.claim_one().await;
    h.end(published(suspend(&claim, Duration::ZERO, &json!(1)), "a.waited"))
        .await;
    let claim = h.claim_one().await;
    h.end(published(fail(&claim, Duration::ZERO), "a.failed")).await;
    let claim = h.claim_one().await;
    let last = published(succeed(&claim), "a.done");
    h.end(last.clone()).await;
    // Sent once more, it is recorded no more.
    h.end(last).await;
    let history = h.history(task).await;
    let said: Vec<_> = history
        .iter()
        .filter_map(|entry| Some(entry.metadata.as_ref()?.to_value()))
        .collect();
    let events = |name: &str| json!([{ "name": name, "data": { "n": 1 } }]);
    let mut failure = json!(Failure::retryable("flaky", "it failed, and may not fail again"));
    failure["events"] = events("a.failed");
    assert_eq!(
        said,
        [
            json!({ "events": events("a.waited") }),
            failure,
            json!({ "events": events("a.done") })
        ]
    );
    let failed = history
        .iter()
        .find_map(|entry| entry.metadata.as_ref()?.to::<Failure>().ok());
    assert_eq!(failed.unwrap().code, "flaky");
}
