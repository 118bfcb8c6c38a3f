//! What is removed of what ended for good a while ago, the same on both databases.

use std::time::Duration;

use tasker_engine::{Actor, Create, Demand, StoreError};
use tasker_store::{Prune, PruneMode, PrunedBatch};
use tasker_testkit::{Harness, canonical_task, fail_permanently, shapes, succeed, succeed_creating};
use tasker_types::{Position, StepNo, TaskId, TaskState};

const HOUR: Duration = Duration::from_secs(3_600);

/// Has a store remove a batch.
pub(crate) trait Prunes {
    async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError>;
}

#[cfg(feature = "sqlite")]
impl Prunes for tasker_store::SqliteStore {
    async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        self.prune(prune).await
    }
}

#[cfg(feature = "postgres")]
impl Prunes for tasker_store::PostgresStore {
    async fn prune(&self, prune: &Prune) -> Result<Option<PrunedBatch>, StoreError> {
        self.prune(prune).await
    }
}

/// Removes or counts everything that is older than an hour, and returns how many tasks went, how many stayed for the sake
/// of others, and how many batches that took.
async fn all(store: &impl Prunes, mode: PruneMode, limit: u32) -> (u64, u64, u32) {
    let mut prune = Prune::new(HOUR, mode);
    prune.limit = limit;
    let mut sum = (0, 0, 0);
    loop {
        let batch = store.prune(&prune).await.unwrap().unwrap();
        sum = (sum.0 + batch.pruned, sum.1 + batch.kept, sum.2 + 1);
        assert!(batch.pruned <= u64::from(limit));
        prune.after = batch.next;
        if prune.after.is_none() {
            return sum;
        }
    }
}

async fn is_there(h: &Harness, task: TaskId) -> bool {
    h.store.snapshot(task).await.unwrap().is_some()
}

/// What ended for good goes; what is unfinished, in error or young stays as it was, and so do positions.
pub(crate) async fn what_ended_for_good_goes(h: &Harness, store: &impl Prunes) {
    // They share the commits, and in SQLite the rows, of their histories.
    let tasks: Vec<_> = (0..5).map(|_| h.new_task(shapes::linear(2))).collect();
    let ids: Vec<TaskId> = tasks.iter().map(|task| task.id).collect();
    let mut named = tasks.clone();
    named[0].identity = "order 7".to_owned();
    let create = Create::new(h.worker(), Actor::System, named);
    h.store.create(create).await.unwrap();
    let claims = h.claim(5).await;
    let of = |claims: &[tasker_engine::Claim], task: TaskId| {
        let found = claims.iter().find(|claim| claim.lease.task == task);
        found.unwrap().clone()
    };
    // One is completed, one is cancelled, one is resolved, one is in error, and one runs.
    let ends = vec![
        succeed(&of(&claims, ids[0])),
        fail_permanently(&of(&claims, ids[2])),
        fail_permanently(&of(&claims, ids[3])),
    ];
    let next = h.turn(ends, 1).await.claims;
    h.end(succeed(&next[0])).await;
    h.demand(ids[1], Demand::CancelTask).await;
    h.demand(ids[2], Demand::ResolveTask).await;
    h.pass(3_601);
    let young = h.create(shapes::single()).await;
    h.demand(young, Demand::CancelTask).await;

    let before = h.store.events(Position(0), u32::MAX).await.unwrap();
    let mut held = Vec::new();
    for task in [ids[3], ids[4], young] {
        held.push((task, canonical_task(&*h.store, task).await.unwrap()));
    }
    assert_eq!(all(store, PruneMode::Count, 100).await, (3, 0, 1));
    assert_eq!(h.store.events(Position(0), u32::MAX).await.unwrap(), before);
    assert_eq!(all(store, PruneMode::Remove, 100).await, (3, 0, 1));

    for task in &ids[..3] {
        assert!(!is_there(h, *task).await);
        assert_eq!(h.history(*task).await, []);
        assert_eq!(h.results(*task).await, []);
    }
    for (task, was) in held {
        assert_eq!(canonical_task(&*h.store, task).await.unwrap(), was);
    }
    assert_eq!(h.state(ids[3]).await, TaskState::Error);
    let left: Vec<_> = before
        .iter()
        .filter(|entry| !ids[..3].contains(&entry.task))
        .cloned()
        .collect();
    assert_eq!(h.store.events(Position(0), u32::MAX).await.unwrap(), left);
    // A reader who stopped in the middle of what is gone goes on with what is left.
    let middle = before
        .iter()
        .find(|entry| ids[..3].contains(&entry.task))
        .unwrap();
    let after: Vec<_> = left
        .iter()
        .filter(|entry| entry.position > middle.position)
        .cloned()
        .collect();
    assert_eq!(h.store.events(middle.position, u32::MAX).await.unwrap(), after);
    h.verify().await;

    // Names are free again, and what comes now comes after all that ever was.
    let mut again = h.new_task(shapes::single());
    again.identity = "order 7".to_owned();
    let reply = h.create_all(vec![again.clone()]).await;
    assert_eq!(reply.tasks, [tasker_engine::Created::New(again.id)]);
    let last = before.last().unwrap().position;
    let new = h.store.events(last, u32::MAX).await.unwrap();
    assert_eq!(new.iter().map(|entry| entry.task).collect::<Vec<_>>(), [again.id]);
    h.run_ready().await;
    h.verify().await;
}

/// Tasks that one created directly or not go together.
pub(crate) async fn a_line_of_tasks_goes_together(h: &Harness, store: &impl Prunes) {
    let first = h.create(shapes::single()).await;
    let mut second = h.new_task(shapes::single());
    second.parent = Some((first, StepNo(0)));
    let mut third = h.new_task(shapes::single());
    third.parent = Some((second.id, StepNo(0)));
    let claim = h.claim_one().await;
    let claims = h
        .turn(vec![succeed_creating(&claim, vec![second.clone()])], 1)
        .await
        .claims;
    h.end(succeed_creating(&claims[0], vec![third.clone()])).await;
    h.pass(3_601);
    // The third one waits, so the first, and the second between them, stay.
    assert_eq!(all(store, PruneMode::Remove, 100).await, (0, 2, 1));
    assert!(is_there(h, first).await && is_there(h, second.id).await);
    h.run_ready().await;
    assert_eq!(all(store, PruneMode::Remove, 100).await, (0, 2, 1), "it is young");
    h.pass(3_601);
    let newest = h.create(shapes::single()).await;
    assert_eq!(all(store, PruneMode::Remove, 100).await, (3, 0, 1));
    assert!(!is_there(h, first).await && !is_there(h, third.id).await);
    assert!(is_there(h, newest).await);
    h.verify().await;
}

/// However many there are, a batch takes a few.
pub(crate) async fn many_go_in_batches(h: &Harness, store: &impl Prunes) {
    for _ in 0..7 {
        h.create(shapes::single()).await;
        h.run_ready().await;
    }
    let open = h.create(shapes::single()).await;
    h.pass(3_601);
    assert_eq!(all(store, PruneMode::Count, 3).await, (7, 0, 3));
    assert_eq!(all(store, PruneMode::Remove, 3).await, (7, 0, 3));
    assert_eq!(all(store, PruneMode::Remove, 3).await, (0, 0, 1));
    assert!(is_there(h, open).await);
    h.run_ready().await;
    h.verify().await;
}
