//! API tokens in a database.

use std::sync::Arc;

use tasker_engine::TokenStore;
use tasker_store::PostgresStore;
use tasker_testkit::ManualClock;

async fn open(clock: ManualClock) -> (Arc<dyn TokenStore>, ()) {
    let store = PostgresStore::open(super::options(clock)).await.unwrap();
    (Arc::new(store), ())
}

tasker_testkit::token_conformance!(open);
