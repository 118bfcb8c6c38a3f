//! The store in memory, put through the conformance suite and compared with itself.

use std::sync::Arc;

use tasker_engine::MemoryStore;
use tasker_testkit::{Appetite, Harness, ManualClock, conformance, random_operations};

async fn open(clock: ManualClock) -> Harness {
    Harness::new(Arc::new(MemoryStore::new(Arc::new(clock.clone()))), clock)
}

conformance!(open);

async fn compare(seeds: std::ops::Range<u64>, appetite: Appetite) {
    for seed in seeds {
        let (a, b) = (open(ManualClock::new()).await, open(ManualClock::new()).await);
        random_operations(seed, &a, &b, appetite).await;
    }
}

#[tokio::test]
async fn random_operations_keep_every_rule() {
    compare(0..150, Appetite::All).await;
}

#[tokio::test]
async fn random_operations_of_workers_with_few_slots_keep_every_rule() {
    compare(1_000..1_150, Appetite::Few).await;
}

mod tokens {
    use std::sync::Arc;

    use tasker_engine::{MemoryStore, TokenStore};
    use tasker_testkit::ManualClock;

    async fn open(clock: ManualClock) -> (Arc<dyn TokenStore>, ()) {
        (Arc::new(MemoryStore::new(Arc::new(clock))), ())
    }

    tasker_testkit::token_conformance!(open);
}
