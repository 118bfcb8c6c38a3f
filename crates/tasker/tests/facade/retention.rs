//! Removing tasks that ended for good a while ago.

use std::time::Duration;

use tasker::config::Loader;
use tasker::{PruneMode, TaskFilter, TaskQuery, Tasker};

use crate::place::{builder, chain};

const FAR: Duration = Duration::from_secs(60);

/// Two tasks that ended and one in error, in a file, by the time of the test.
async fn tasker(days: Option<f64>) -> (Tasker, tempfile::TempDir) {
    let directory = tempfile::tempdir().unwrap();
    let mut loader = Loader::new();
    if let Some(days) = days {
        loader = loader.set("database.retention_days", days);
    }
    let tasker = builder()
        .config(loader.load().unwrap())
        .sqlite(directory.path().join("tasker.db"))
        .build()
        .unwrap();
    for handler in ["ok", "fails", "ok"] {
        tasker.run(chain("one", &[handler])).await.unwrap();
    }
    (tasker, directory)
}

async fn count(tasker: &Tasker) -> usize {
    tasker
        .list(TaskQuery::new(TaskFilter::default(), 100))
        .await
        .unwrap()
        .tasks
        .len()
}

#[tokio::test]
async fn what_ended_goes_when_it_is_asked_for() {
    let (tasker, _directory) = tasker(None).await;
    let day = Duration::from_secs(86_400);
    let none = tasker.prune(day, PruneMode::Remove).await.unwrap();
    assert_eq!((none.pruned, none.kept), (0, 0));
    tokio::time::sleep(Duration::from_millis(1)).await;
    // The newest task stays in a file, and so does the one in error.
    let would = tasker.prune(Duration::ZERO, PruneMode::Count).await.unwrap();
    assert_eq!((would.pruned, count(&tasker).await), (1, 3));
    let did = tasker.prune(Duration::ZERO, PruneMode::Remove).await.unwrap();
    assert_eq!((did, count(&tasker).await), (would, 2));
}

#[tokio::test]
async fn what_ended_goes_by_itself_where_that_is_configured() {
    let (tasker, _directory) = tasker(Some(0.0)).await;
    tokio::time::sleep(Duration::from_millis(1)).await;
    let gone = async {
        while count(&tasker).await > 2 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = tasker.retain() => panic!("it ended"),
        done = tokio::time::timeout(FAR, gone) => done.unwrap(),
    }
}

#[tokio::test]
async fn nothing_goes_by_itself_otherwise() {
    let (tasker, _directory) = tasker(None).await;
    tokio::select! {
        biased;
        () = tasker.retain() => panic!("it ended"),
        () = tokio::task::yield_now() => {}
    }
    assert_eq!(count(&tasker).await, 3);
}

#[tokio::test]
async fn a_store_in_memory_is_refused() {
    let tasker = builder().build().unwrap();
    let refused = tasker.prune(Duration::ZERO, PruneMode::Remove).await.unwrap_err();
    assert!(refused.to_string().contains("SQLite or PostgreSQL"), "{refused}");
}
