//! How much there is in a file.

use std::sync::Arc;

use tasker_engine::Totals;
use tasker_store::{SqliteOptions, SqliteStore};
use tasker_testkit::{Harness, ManualClock};

#[tokio::test]
async fn what_there_is_is_counted_by_state() {
    let directory = tempfile::tempdir().unwrap();
    let clock = ManualClock::new();
    let options = SqliteOptions::new(directory.path().join("tasker.db"), Arc::new(clock.clone())).inline();
    let store = SqliteStore::open(options).unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    assert_eq!(store.totals().await.unwrap(), Totals::default());
    let expected = crate::totals::scene(&h).await;
    assert_eq!(store.totals().await.unwrap(), expected);
    assert_eq!(store.connections().readers, 1);
}
