//! The PostgreSQL store, put through the conformance suite and compared with the store in memory.

mod budget;
mod conformance;
mod doctor;
mod lists;
mod pooled;
mod pruning;
mod random;
mod tokens;
mod troubles;
mod within;

use std::sync::Arc;

use tasker_engine::MemoryStore;
use tasker_store::{PostgresOptions, PostgresStore};
use tasker_testkit::{Cluster, Harness, ManualClock};
use tasker_types::{Database, DatabaseValues};

/// Returns the options for a new schema, with one connection that writes and one that reads.
fn options(clock: ManualClock) -> PostgresOptions {
    let cluster = Cluster::shared();
    let values = DatabaseValues {
        writers: 1,
        readers: 1,
        ..DatabaseValues::default()
    };
    PostgresOptions::new(cluster.url())
        .schema(cluster.schema())
        .settings(&Database::try_from(values).unwrap())
        .clock(Arc::new(clock))
}

/// Opens a new store.
async fn open(clock: ManualClock) -> Harness {
    let store = PostgresStore::open(options(clock.clone())).await.unwrap();
    Harness::new(Arc::new(store), clock)
}

async fn memory(clock: ManualClock) -> Harness {
    Harness::new(Arc::new(MemoryStore::new(Arc::new(clock.clone()))), clock)
}
