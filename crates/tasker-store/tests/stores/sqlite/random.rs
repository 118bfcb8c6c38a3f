//! The same random operations on SQLite and in memory.

use tasker_testkit::{Appetite, ManualClock, random_operations};

async fn compare(seeds: std::ops::Range<u64>, appetite: Appetite) {
    for seed in seeds {
        let (sqlite, memory) = (
            crate::sqlite::open(ManualClock::new()).await,
            crate::sqlite::memory(ManualClock::new()).await,
        );
        random_operations(seed, &memory, &sqlite, appetite).await;
    }
}

#[tokio::test]
async fn random_operations_end_as_in_memory() {
    compare(0..40, Appetite::All).await;
}

#[tokio::test]
async fn random_operations_of_workers_with_few_slots_end_as_in_memory() {
    compare(1_000..1_040, Appetite::Few).await;
}
