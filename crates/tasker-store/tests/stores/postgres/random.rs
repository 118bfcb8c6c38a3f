//! The same random operations on PostgreSQL and in memory.

use std::ops::Range;
use std::sync::Arc;

use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Appetite, Harness, ManualClock, random_operations};

use crate::postgres::{memory, options};

async fn compare(seeds: Range<u64>, appetite: Appetite, adapt: impl Fn(PostgresOptions) -> PostgresOptions) {
    for seed in seeds {
        let clock = ManualClock::new();
        let store = PostgresStore::open(adapt(options(clock.clone()))).await.unwrap();
        let postgres = Harness::new(Arc::new(store), clock);
        random_operations(seed, &memory(ManualClock::new()).await, &postgres, appetite).await;
    }
}

#[tokio::test]
async fn random_operations_end_as_in_memory() {
    compare(0..12, Appetite::All, |options| options).await;
}

#[tokio::test]
async fn random_operations_of_workers_with_few_slots_end_as_in_memory() {
    compare(1_000..1_012, Appetite::Few, |options| options).await;
}

#[tokio::test]
async fn random_operations_pass_by_deleted_places_and_end_as_in_memory() {
    compare(2_000..2_012, Appetite::Few, |options| {
        options.many_deleted_places(0)
    })
    .await;
}
