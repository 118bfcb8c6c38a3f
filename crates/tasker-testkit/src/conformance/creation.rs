//! Creating tasks.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Change, Clock, Create, Created, HeldLease, Idempotency, Json, Origin, StepEvent, TaskEvent, Turn,
};
use tasker_types::{Position, StepState, TaskState};
use tokio::task::JoinSet;

use super::{A, B, C, D, fork, pair, within};
use crate::harness::Harness;
use crate::outcome::succeed;
use crate::shapes;

pub(super) async fn a_new_task_is_pending_and_its_roots_are_queued(h: &Harness) {
    let task = h.create(pair()).await;
    assert_eq!(h.look(task).await, "pending: pending pending");
    assert_eq!(h.queued(task).await, [A, B]);
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.live_steps, 2);
    assert_eq!(snapshot.task.created_at, h.clock.now());
    assert_eq!(snapshot.task.started_at, None);
    assert_eq!(snapshot.task.finished_at, None);
    let history = h.history(task).await;
    assert_eq!(history.len(), 1);
    assert_eq!(history[0].change, Change::Created);
}

pub(super) async fn steps_count_the_parents_that_they_wait_for(h: &Harness) {
    let task = h.create(fork()).await;
    let snapshot = h.snapshot(task).await;
    let unmet: Vec<_> = snapshot.steps.iter().map(|step| step.unmet_parents).collect();
    assert_eq!(unmet, [0, 1, 1, 2]);
    assert_eq!(h.queued(task).await, [A]);
}

pub(super) async fn a_task_keeps_what_the_request_says(h: &Harness) {
    let parent = h.create(pair()).await;
    let mut task = h.new_task(pair());
    let id = task.id;
    let now = h.clock.now();
    task.context = Json::from(&json!({ "b": [1.5, null], "a": "ü" }));
    task.origin = Origin {
        initiator: Some("shop".to_owned()),
        source_system: Some("orders".to_owned()),
        reason: Some("a test".to_owned()),
        tags: vec!["one".to_owned(), "two".to_owned()],
        annotations: [("ticket".to_owned(), json!({ "id": 7 }))].into(),
        correlation_id: Some("c-1".to_owned()),
        trace_context: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            .parse()
            .ok(),
        requested_at: Some(now),
    };
    task.priority = -3;
    task.identity = "order 7".to_owned();
    task.idempotency = Some(Idempotency {
        key: "k".to_owned(),
        digest: "d".to_owned(),
    });
    task.start_at = Some(now.plus(Duration::from_secs(1)));
    task.deadline_at = Some(now.plus(Duration::from_secs(99)));
    task.parent = Some((parent, B));
    h.create_all(vec![task.clone()]).await;
    let kept = h.snapshot(id).await.task;
    assert_eq!(kept.id, id);
    assert_eq!(kept.template, task.template);
    assert_eq!(kept.context, task.context);
    assert_eq!(kept.origin, task.origin);
    assert_eq!(kept.priority, -3);
    assert_eq!(kept.identity, "order 7");
    assert_eq!(kept.idempotency_key.as_deref(), Some("k"));
    assert_eq!(
        (kept.start_at, kept.deadline_at),
        (task.start_at, task.deadline_at)
    );
    assert_eq!(kept.parent, Some((parent, B)));
    assert_eq!(kept.next_check_at, Some(now.plus(Duration::from_secs(30))));
}

pub(super) async fn a_creator_is_handed_first_steps_in_the_same_commit(h: &Harness) {
    let task = h.new_task(pair());
    let id = task.id;
    let want = h.want(9);
    let request = Create::new(h.worker(), Actor::Worker(h.worker()), vec![task]).wanting(want.clone());
    let reply = h.store.create(request).await.unwrap();
    assert_eq!(reply.tasks, [Created::New(id)]);
    assert_eq!(
        reply
            .claims
            .iter()
            .map(|claim| claim.lease.step)
            .collect::<Vec<_>>(),
        [A, B]
    );
    assert_eq!(h.look(id).await, "in_progress: in_progress in_progress");
    let until = h.clock.now().plus(want.lease);
    let lease = HeldLease {
        worker: h.worker(),
        token: want.token,
        until,
    };
    assert_eq!(h.snapshot(id).await.steps[0].lease, Some(lease));
    let changes: Vec<_> = h
        .history(id)
        .await
        .into_iter()
        .map(|entry| entry.change)
        .collect();
    assert!(matches!(
        changes[..],
        [
            Change::Created,
            Change::Task {
                event: TaskEvent::Start,
                ..
            },
            Change::Step {
                step: A,
                event: StepEvent::Start,
                ..
            },
            Change::Step {
                step: B,
                event: StepEvent::Start,
                ..
            },
        ]
    ));
}

pub(super) async fn a_creator_is_handed_no_more_than_it_wants(h: &Harness) {
    let task = h.new_task(pair());
    let id = task.id;
    let request = Create::new(h.worker(), Actor::System, vec![task]).wanting(h.want(1));
    assert_eq!(h.store.create(request).await.unwrap().claims.len(), 1);
    assert_eq!(h.look(id).await, "in_progress: in_progress pending");
    assert_eq!(h.queued(id).await, [B]);
}

pub(super) async fn a_bypassed_step_is_resolved_from_the_start(h: &Harness) {
    let mut task = h.new_task(pair());
    task.bypass = vec![B];
    let id = task.id;
    h.create_all(vec![task]).await;
    assert_eq!(h.look(id).await, "pending: pending resolved_manually");
    let entry = h.history(id).await.remove(1);
    assert!(matches!(
        entry.change,
        Change::Step {
            step: B,
            event: StepEvent::Resolve,
            ..
        }
    ));
    assert_eq!(entry.metadata.unwrap().to_value(), json!({ "bypassed": true }));
    assert_eq!(h.results(id).await, []);
    let claim = h.claim_one().await;
    assert_eq!(
        h.turn(vec![succeed(&claim)], 9).await.finished,
        [(id, TaskState::Complete)]
    );
}

pub(super) async fn a_child_does_not_wait_for_a_bypassed_parent(h: &Harness) {
    let mut task = h.new_task(fork());
    task.bypass = vec![A, B];
    let id = task.id;
    h.create_all(vec![task]).await;
    let snapshot = h.snapshot(id).await;
    assert_eq!(snapshot.steps[2].unmet_parents, 0);
    assert_eq!(snapshot.steps[3].unmet_parents, 1);
    assert_eq!(h.queued(id).await, [C]);
    let claim = h.claim_one().await;
    let parents = h.turn(vec![succeed(&claim)], 9).await.claims.remove(0).parents;
    assert_eq!(
        parents
            .iter()
            .map(|(step, result)| (*step, result.is_some()))
            .collect::<Vec<_>>(),
        [(B, false), (C, true)]
    );
}

pub(super) async fn a_task_whose_steps_are_all_bypassed_is_complete_at_once(h: &Harness) {
    let mut task = h.new_task(fork());
    task.bypass = vec![A, B, C, D];
    let id = task.id;
    let reply = h.create_all(vec![task]).await;
    assert_eq!(reply.finished, [(id, TaskState::Complete)]);
    let snapshot = h.snapshot(id).await;
    assert_eq!(snapshot.task.state, TaskState::Complete);
    assert_eq!(snapshot.task.finished_at, Some(h.clock.now()));
    assert!(
        snapshot
            .steps
            .iter()
            .all(|step| step.state == StepState::ResolvedManually)
    );
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_taken_identity_is_an_answer_and_the_others_are_created(h: &Harness) {
    let mut first = h.new_task(pair());
    let mut second = h.new_task(pair());
    let third = h.new_task(pair());
    first.identity = "order 7".to_owned();
    second.identity = "order 7".to_owned();
    let (taken, refused, other) = (first.id, second.id, third.id);
    h.create_all(vec![first]).await;
    let reply = h.create_all(vec![second, third]).await;
    assert_eq!(reply.tasks, [Created::Duplicate(taken), Created::New(other)]);
    assert!(h.store.snapshot(refused).await.unwrap().is_none());
    assert_eq!(h.state(other).await, TaskState::Pending);
}

pub(super) async fn an_identity_is_taken_by_an_earlier_task_of_the_same_request(h: &Harness) {
    let mut first = h.new_task(pair());
    let mut second = h.new_task(pair());
    first.identity = "order 7".to_owned();
    second.identity = "order 7".to_owned();
    let taken = first.id;
    let reply = h.create_all(vec![first, second]).await;
    assert_eq!(reply.tasks, [Created::New(taken), Created::Duplicate(taken)]);
}

fn keyed(digest: &str) -> Option<Idempotency> {
    Some(Idempotency {
        key: "key".to_owned(),
        digest: digest.to_owned(),
    })
}

pub(super) async fn a_repeated_key_with_the_same_request_names_the_first_task(h: &Harness) {
    let mut first = h.new_task(pair());
    let mut second = h.new_task(pair());
    (first.idempotency, second.idempotency) = (keyed("same"), keyed("same"));
    let known = first.id;
    h.create_all(vec![first]).await;
    assert_eq!(h.create_all(vec![second]).await.tasks, [Created::Repeated(known)]);
    assert_eq!(h.store.events(Position(0), 9).await.unwrap().len(), 1);
}

pub(super) async fn a_repeated_key_with_another_request_is_told_apart(h: &Harness) {
    let mut first = h.new_task(pair());
    let mut second = h.new_task(pair());
    (first.idempotency, second.idempotency) = (keyed("one"), keyed("two"));
    let (known, refused) = (first.id, second.id);
    h.create_all(vec![first]).await;
    assert_eq!(
        h.create_all(vec![second]).await.tasks,
        [Created::KeyReused(known)]
    );
    assert!(h.store.snapshot(refused).await.unwrap().is_none());
}

pub(super) async fn a_key_belongs_to_its_namespace(h: &Harness) {
    let mut first = h.new_task(within("east"));
    let mut second = h.new_task(within("west"));
    (first.idempotency, second.idempotency) = (keyed("same"), keyed("same"));
    let (east, west) = (first.id, second.id);
    let reply = h.create_all(vec![first, second]).await;
    assert_eq!(reply.tasks, [Created::New(east), Created::New(west)]);
}

pub(super) async fn many_tasks_are_created_in_one_request(h: &Harness) {
    let tasks: Vec<_> = (0..50).map(|_| h.new_task(shapes::tree())).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    let reply = h.create_all(tasks).await;
    assert_eq!(
        reply.tasks,
        ids.iter().copied().map(Created::New).collect::<Vec<_>>()
    );
    assert_eq!(h.claim(100).await.len(), 50);
    for task in ids {
        assert_eq!(h.state(task).await, TaskState::InProgress);
    }
}

pub(super) async fn requests_that_come_in_together_are_answered_apart(h: &Harness) {
    let mut all = JoinSet::new();
    for number in 0..40 {
        let mut task = h.new_task(pair());
        match number % 4 {
            0 => {}
            1 => task.bypass = vec![A, B],
            2 => task.identity = "same".to_owned(),
            _ => {
                task.idempotency = Some(Idempotency {
                    key: "key".to_owned(),
                    digest: number.to_string(),
                });
            }
        }
        let id = task.id;
        let create = Create::new(h.worker(), Actor::User(format!("user-{number}")), vec![task]);
        let store = Arc::clone(&h.store);
        all.spawn(async move { (number, id, store.create(create).await.unwrap()) });
    }
    let mut claiming = JoinSet::new();
    for _ in 0..8 {
        let turn = Turn::new(h.worker(), Vec::new(), h.want(2));
        let store = Arc::clone(&h.store);
        claiming.spawn(async move { store.turn(turn).await.unwrap().claims });
    }
    let (mut named, mut keyed) = (Vec::new(), Vec::new());
    for (number, id, reply) in all.join_all().await {
        let mut ended = Vec::new();
        match number % 4 {
            0 => assert_eq!(reply.tasks, [Created::New(id)]),
            1 => {
                assert_eq!(reply.tasks, [Created::New(id)]);
                ended.push((id, TaskState::Complete));
            }
            2 => named.extend(reply.tasks),
            _ => keyed.extend(reply.tasks),
        }
        assert_eq!(reply.finished, ended);
        assert!(reply.claims.is_empty());
        if number % 4 < 2 {
            let by = &h.history(id).await[0].actor;
            assert_eq!(*by, Actor::User(format!("user-{number}")));
        }
    }
    for (all, refused) in [
        (named, Created::Duplicate as fn(_) -> _),
        (keyed, Created::KeyReused),
    ] {
        let first = all.iter().find_map(|created| match created {
            Created::New(id) => Some(*id),
            _ => None,
        });
        let first = first.unwrap();
        let new = all.iter().filter(|created| **created == Created::New(first));
        assert_eq!(new.count(), 1, "{all:?}");
        let others = all.iter().filter(|created| **created == refused(first));
        assert_eq!(others.count(), 9, "{all:?}");
    }
    // No step was handed out twice.
    let claims: Vec<_> = claiming.join_all().await.into_iter().flatten().collect();
    let steps: BTreeSet<_> = claims
        .iter()
        .map(|claim| (claim.lease.task, claim.lease.step))
        .collect();
    assert_eq!(steps.len(), claims.len());
    h.run_ready().await;
}

pub(super) async fn however_many_look_at_once_each_is_answered(h: &Harness) {
    let tasks: Vec<_> = (0..8).map(|_| h.new_task(pair())).collect();
    let ids: Vec<_> = tasks.iter().map(|task| task.id).collect();
    h.create_all(tasks).await;
    let mut looking = JoinSet::new();
    for number in 0..400 {
        let (store, id) = (Arc::clone(&h.store), ids[number % ids.len()]);
        looking.spawn(async move { (id, store.snapshot(id).await.unwrap().unwrap().task.id) });
    }
    let seen = looking.join_all().await;
    assert_eq!(seen.len(), 400);
    assert!(seen.iter().all(|(asked, told)| asked == told));
}

pub(super) async fn an_unknown_task_is_nothing(h: &Harness) {
    h.create(pair()).await;
    let unknown = h.new_task(pair()).id;
    assert!(h.store.snapshot(unknown).await.unwrap().is_none());
    assert!(h.store.examine(unknown).await.unwrap().is_none());
    assert_eq!(h.store.results(unknown).await.unwrap(), []);
    assert_eq!(h.store.history(unknown, Position(0), 9).await.unwrap(), []);
    h.store.check_in(unknown, Duration::from_secs(1)).await.unwrap();
}
