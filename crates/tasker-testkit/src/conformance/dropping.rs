//! Calls whose futures are dropped at each of their awaits, one after the other, as when a caller is cancelled.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use tasker_engine::{
    Actor, Create, Created, Demand, Intervention, LeaseStatus, Receipt, Renewal, StepEvent, StoreError,
    Sweep, TaskFilter, TaskQuery, Turn,
};
use tasker_types::Position;

use super::{A, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::succeed;
use crate::shapes;

/// No call waits more often.
const MOST: u32 = 1_000;

/// Polls a call so often at most, drops it, and tells whether it had come to its end.
///
/// # Panics
///
/// When the call fails.
async fn ends_within<T>(polls: u32, call: impl Future<Output = Result<T, StoreError>>) -> bool {
    let mut call = pin!(call);
    let mut polled = 0;
    poll_fn(|context| {
        if polled == polls {
            return Poll::Ready(false);
        }
        polled += 1;
        match call.as_mut().poll(context) {
            Poll::Ready(answer) => {
                answer.unwrap();
                Poll::Ready(true)
            }
            Poll::Pending if polled == polls => Poll::Ready(false),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Plays a scene in which a call is dropped before its first poll, after it, after the second one and so on, until it comes
/// to its end.
///
/// # Panics
///
/// When it does not.
async fn at_every_await(mut scene: impl AsyncFnMut(u32) -> bool) {
    for polls in 0..MOST {
        if scene(polls).await {
            return;
        }
    }
    panic!("a call waits more than {MOST} times");
}

pub(super) async fn a_dropped_creation_is_whole_or_nothing(h: &Harness) {
    at_every_await(async |polls| {
        let task = h.new_task(pair());
        let id = task.id;
        let request = Create::new(h.worker(), Actor::System, vec![task]).wanting(h.want(9));
        let ended = ends_within(polls, h.store.create(request.clone())).await;
        let after = "in_progress: in_progress in_progress";
        match h.store.snapshot(id).await.unwrap() {
            Some(_) => assert_eq!(h.look(id).await, after),
            None => assert!(!ended),
        }
        let reply = h.store.create(request).await.unwrap();
        assert_eq!(reply.tasks, [Created::New(id)]);
        assert_eq!(reply.claims.len(), 2);
        assert_eq!(h.look(id).await, after);
        ended
    })
    .await;
}

pub(super) async fn a_dropped_turn_is_whole_or_nothing(h: &Harness) {
    at_every_await(async |polls| {
        let task = h.create(shapes::linear(2)).await;
        let claim = h.claim_one().await;
        let mut turn = Turn::new(h.worker(), vec![succeed(&claim)], h.want(9));
        let ended = ends_within(polls, h.store.turn(turn.clone())).await;
        let seen = h.look(task).await;
        let (before, after) = (
            "in_progress: in_progress pending",
            "in_progress: complete in_progress",
        );
        assert!(
            seen == after || (seen == before && !ended),
            "after {polls} polls: {seen}"
        );
        turn.again = true;
        let reply = h.store.turn(turn).await.unwrap();
        assert_eq!(reply.receipts, [Receipt::Recorded]);
        assert_eq!(reply.claims.len(), 1);
        assert_eq!(h.look(task).await, after);
        assert_eq!(h.life(task, A).await.len(), 2);
        h.end(succeed(&reply.claims[0])).await;
        ended
    })
    .await;
}

pub(super) async fn a_dropped_renewal_can_be_asked_for_again(h: &Harness) {
    h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    at_every_await(async |polls| {
        h.pass(20);
        let renewal = Renewal::new(h.worker(), vec![claim.lease], Harness::LEASE);
        let ended = ends_within(polls, h.store.renew(renewal.clone())).await;
        assert_eq!(h.store.renew(renewal).await.unwrap(), [LeaseStatus::Held]);
        ended
    })
    .await;
    assert_eq!(h.end(succeed(&claim)).await, Receipt::Recorded);
}

pub(super) async fn a_dropped_sweep_ends_a_lease_once(h: &Harness) {
    at_every_await(async |polls| {
        let task = h.create(shapes::single()).await;
        let _claim = h.claim_one().await;
        h.pass(Harness::LEASE.as_secs() + 1);
        let sweep = Sweep::new(100, Harness::backoff(), 1);
        let ended = ends_within(polls, h.store.sweep(sweep)).await;
        let expired = async || {
            let life = h.life(task, A).await;
            life.iter()
                .filter(|(event, ..)| *event == StepEvent::Expire)
                .count()
        };
        assert!(expired().await == 1 || !ended);
        h.sweep().await;
        assert_eq!(expired().await, 1);
        h.demand(task, Demand::CancelTask).await;
        ended
    })
    .await;
}

pub(super) async fn a_dropped_look_of_the_finalizer_changes_nothing(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    at_every_await(async |polls| {
        let ended = ends_within(polls, h.store.examine(task)).await;
        assert!(h.store.examine(task).await.unwrap().is_some());
        assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
        ended
    })
    .await;
    at_every_await(async |polls| ends_within(polls, h.store.check_in(task, Harness::LEASE)).await).await;
    h.run_ready().await;
}

pub(super) async fn a_dropped_demand_is_whole_or_nothing(h: &Harness) {
    at_every_await(async |polls| {
        let task = h.create(pair()).await;
        let demand = Intervention::new(task, Demand::CancelTask, Actor::User("ann".to_owned()));
        let ended = ends_within(polls, h.store.intervene(demand.clone())).await;
        let seen = h.look(task).await;
        let (before, after) = ("pending: pending pending", "cancelled: cancelled cancelled");
        assert!(
            seen == after || (seen == before && !ended),
            "after {polls} polls: {seen}"
        );
        // Whoever cannot know asks again; it may be done by now.
        match h.store.intervene(demand).await {
            Ok(_) => assert!(!ended),
            Err(StoreError::IllegalTask { .. }) => {}
            Err(error) => panic!("{error}"),
        }
        assert_eq!(h.look(task).await, after);
        ended
    })
    .await;
}

pub(super) async fn readers_that_are_dropped_leave_the_store_as_it_was(h: &Harness) {
    let task = h.create(shapes::linear(2)).await;
    let claim = h.claim_one().await;
    h.end(succeed(&claim)).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let secret = h.store.cursor_secret([7; 32]).await.unwrap();
    let (store, all) = (&h.store, TaskQuery::new(TaskFilter::default(), 9));
    at_every_await(async |polls| {
        let ended = [
            ends_within(polls, store.snapshot(task)).await,
            ends_within(polls, store.results(task)).await,
            ends_within(polls, store.history(task, Position(0), 9)).await,
            ends_within(polls, store.readings(&[task])).await,
            ends_within(polls, store.events(Position(0), 9)).await,
            ends_within(polls, store.position()).await,
            ends_within(polls, store.list(all.clone())).await,
            ends_within(polls, store.cursor_secret([8; 32])).await,
        ];
        assert_eq!(canonical_task(&**store, task).await.unwrap(), before);
        assert_eq!(store.cursor_secret([9; 32]).await.unwrap(), secret);
        ended == [true; 8]
    })
    .await;
}
