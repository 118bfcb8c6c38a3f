//! What the statements of lists cost: each finds its rows by an index, from its place on.

use std::sync::Arc;

use diesel::sql_types::Text;
use tasker_engine::{Create, Store as _};
use tasker_testkit::{Cluster, Harness, ManualClock, shapes};

use super::statement::Statement;
use super::{PostgresOptions, PostgresStore, list};
use crate::list::{Gathering, examples};

/// Returns the lines of a statement's plan.
async fn plan(store: &PostgresStore, gathering: Gathering) -> Vec<String> {
    let read = store.shared.readers.read(move |connection| {
        Box::pin(async move {
            let mut gathering = gathering;
            let sql = gathering.next().unwrap();
            let text = format!("EXPLAIN {}", sql.text);
            Statement::<(Text,)>::new(&text, list::binds(&sql))
                .load::<(String,)>(connection)
                .await
        })
    });
    read.await.unwrap().into_iter().map(|row| row.0).collect()
}

#[tokio::test]
async fn no_list_reads_the_tasks_from_end_to_end() {
    let cluster = Cluster::shared();
    let clock = ManualClock::new();
    let options = PostgresOptions::new(cluster.url()).schema(cluster.schema());
    let store = PostgresStore::open(options).await.unwrap();
    let h = Harness::new(Arc::new(store.clone()), clock);
    let tasks = (0..9).map(|_| h.new_task(shapes::single())).collect();
    let create = Create::new(h.worker(), tasker_engine::Actor::System, tasks);
    store.create(create).await.unwrap();
    for query in examples() {
        store.list(query.clone()).await.unwrap();
        let mut query = query;
        // Any template will do for a plan.
        let planned = store.shared.readers.read({
            let query = query.clone();
            move |connection| Box::pin(async move { list::plan(connection, query).await })
        });
        let planned = planned.await.unwrap().with_some_graph();
        query.after = None;
        let lines = plan(&store, Gathering::page(&planned)).await;
        let text = lines.join("\n");
        assert!(
            !text.contains("Seq Scan on tasks") && !text.contains("Seq Scan on task_labels"),
            "{text}"
        );
        let begins = |line: &String| {
            line.contains("Index Cond") && line.contains("ROW(") && line.contains("created_at")
        };
        assert!(lines.iter().any(begins), "{text}");
        assert!(!text.contains("Rows Removed"), "{text}");
    }
    store.close().await.unwrap();
}
