//! Creating the same thing twice at once, and claiming the same thing twice at once.

use std::collections::BTreeSet;
use std::sync::Barrier;

use tasker_engine::{Idempotency, NewTask, Turn};
use tasker_testkit::{Harness, shapes, succeed};
use tests::StoreKind;

use super::racing::{Act, Scene, check, harness};

fn twins(harness: &Harness, change: impl Fn(&mut NewTask, &str)) -> Scene {
    let template = shapes::single();
    let mut first = harness.new_task(std::sync::Arc::clone(&template));
    let mut second = harness.new_task(template);
    let name = first.id.to_string();
    change(&mut first, &name);
    change(&mut second, &name);
    // Only one of the two exists afterwards; a task of its own is looked at.
    Scene {
        task: first.id,
        left: Act::Create(Box::new(first)),
        right: Act::Create(Box::new(second)),
    }
}

/// Plays a scene of which either task may be the one that exists.
#[track_caller]
fn one_of(change: impl Fn(&mut NewTask, &str), loser: &str) {
    for kind in StoreKind::ALL {
        let harness = harness(*kind);
        for _ in 0..40 {
            let Scene {
                left: Act::Create(left),
                right: Act::Create(right),
                ..
            } = twins(&harness, &change)
            else {
                unreachable!("both are created");
            };
            let barrier = Barrier::new(2);
            let create = |task: NewTask| {
                barrier.wait();
                let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
                let created = runtime.block_on(harness.create_all(vec![task]));
                format!("{:?}", created.tasks[0])
            };
            let ids = [left.id, right.id].map(|id| format!("{id:?}"));
            let answers = std::thread::scope(|scope| {
                let right = scope.spawn(|| create(*right));
                [create(*left), right.join().unwrap()]
            });
            let winner = usize::from(answers[1].starts_with("New"));
            assert_eq!(answers[winner], format!("New({})", ids[winner]), "on {kind}");
            assert_eq!(
                answers[1 - winner],
                format!("{loser}({})", ids[winner]),
                "on {kind}"
            );
        }
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
            .block_on(harness.verify());
    }
}

#[test]
fn of_two_tasks_with_one_identity_one_is_created() {
    one_of(|task, name| task.identity = name.to_owned(), "Duplicate");
}

#[test]
fn of_two_requests_with_one_key_the_second_names_the_first() {
    one_of(
        |task, name| {
            task.idempotency = Some(Idempotency {
                key: name.to_owned(),
                digest: "same".to_owned(),
            });
        },
        "Repeated",
    );
}

#[test]
fn a_key_used_for_two_requests_at_once_belongs_to_one() {
    one_of(
        |task, name| {
            let digest = task.id.to_string();
            task.idempotency = Some(Idempotency {
                key: name.to_owned(),
                digest,
            });
        },
        "KeyReused",
    );
}

#[test]
fn a_task_sent_twice_at_once_is_created_once() {
    check(
        async |harness| {
            let task = harness.new_task(shapes::linear(2));
            let again = Box::new(task.clone());
            Scene {
                task: task.id,
                left: Act::Create(Box::new(task)),
                right: Act::Create(again),
            }
        },
        "new | new | pending: pending pending",
        "new | new | pending: pending pending",
    );
}

/// Four workers take and finish whatever they can get, as fast as they can.
#[test]
fn workers_side_by_side_never_hold_one_step_twice_and_finish_everything() {
    const TASKS: usize = 24;
    for kind in StoreKind::ALL {
        let harness = harness(*kind);
        let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
        let tasks: Vec<_> = (0..TASKS)
            .map(|number| runtime().block_on(harness.create(shapes::random(number as u64, 12))))
            .collect();
        let barrier = Barrier::new(4);
        let work = || {
            barrier.wait();
            let worker = harness.another_worker();
            let mut held = Vec::new();
            let mut outcomes = Vec::new();
            let mut idle = 0;
            while idle < 200 {
                let turn = Turn::new(worker, std::mem::take(&mut outcomes), harness.want(5));
                let claims = runtime().block_on(harness.store.turn(turn)).unwrap().claims;
                idle = if claims.is_empty() { idle + 1 } else { 0 };
                outcomes = claims.iter().map(succeed).collect();
                held.extend(claims.iter().map(|claim| (claim.lease.task, claim.lease.step)));
                std::thread::yield_now();
            }
            held
        };
        let held: Vec<_> = std::thread::scope(|scope| {
            let workers: Vec<_> = (0..4).map(|_| scope.spawn(work)).collect();
            workers
                .into_iter()
                .flat_map(|worker| worker.join().unwrap())
                .collect()
        });
        let distinct: BTreeSet<_> = held.iter().copied().collect();
        assert_eq!(
            (held.len(), distinct.len()),
            (TASKS * 12, TASKS * 12),
            "on {kind}"
        );
        for task in tasks {
            assert_eq!(
                runtime().block_on(harness.state(task)).as_str(),
                "complete",
                "on {kind}"
            );
        }
        runtime().block_on(harness.verify());
    }
}
