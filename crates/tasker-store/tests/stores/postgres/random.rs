//! The same random operations on PostgreSQL and in memory.

use tasker_testkit::{Appetite, ManualClock, random_operations};

async fn compare(seeds: std::ops::Range<u64>, appetite: Appetite) {
    for seed in seeds {
        let (postgres, memory) = (
            crate::postgres::open(ManualClock::new()).await,
            crate::postgres::memory(ManualClock::new()).await,
        );
        random_operations(seed, &memory, &postgres, appetite).await;
    }
}

#[tokio::test]
async fn random_operations_end_as_in_memory() {
    compare(0..12, Appetite::All).await;
}

#[tokio::test]
async fn random_operations_of_workers_with_few_slots_end_as_in_memory() {
    compare(1_000..1_012, Appetite::Few).await;
}
