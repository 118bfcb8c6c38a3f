//! Tasks for lists, and the lists.

use std::sync::Arc;

use serde_json::json;
use tasker::{SystemClock, SystemEntropy};
use tasker_engine::{
    Actor, Clock as _, Create, Demand, Entropy as _, Intervention, Json, NewTask, StepBuilder, Store,
    Template,
};
use tasker_types::{TaskId, WorkerId};

/// How many tasks are created at once.
const TOGETHER: usize = 1_000;
/// How many namespaces there are, and names in each.
const SPACES: usize = 10;
const NAMES: usize = 5;
/// Of how many tasks one is cancelled, has the label `nightly`, or has the label `rare`.
const CANCELLED: usize = 400;
const NIGHTLY: usize = 10;
const RARE: usize = 5_000;

/// The lists that are measured: what they are called, and their filters.
pub(crate) const LISTS: [(&str, &str); 7] = [
    ("all", ""),
    ("state_of_most", "&state=pending"),
    ("state_of_few", "&state=cancelled"),
    ("state_of_none", "&state=in_progress"),
    ("namespace_and_name", "&namespace=team_3&name=process_2"),
    ("tag_of_many", "&tag=nightly"),
    ("tag_of_few", "&tag=rare"),
];

fn template(space: usize, name: usize) -> anyhow::Result<Arc<Template>> {
    Ok(Template::builder(format!("process_{name}"))
        .namespace(format!("team_{space}"))
        .step(StepBuilder::new("work", "nothing"))
        .build()?)
}

/// Fills a store with so many tasks of one step each.
pub(crate) async fn fill(store: &dyn Store, tasks: usize) -> anyhow::Result<()> {
    let templates: Vec<_> = (0..SPACES * NAMES)
        .map(|number| template(number / NAMES, number % NAMES))
        .collect::<anyhow::Result<_>>()?;
    let creator = WorkerId::new(SystemClock.now(), SystemEntropy.next_u128());
    let mut cancelled = Vec::new();
    for first in (0..tasks).step_by(TOGETHER) {
        let batch = (first..tasks.min(first + TOGETHER)).map(|number| {
            let id = TaskId::new(SystemClock.now(), SystemEntropy.next_u128());
            let template = Arc::clone(&templates[number % templates.len()]);
            let mut task = NewTask::new(id, template, Json::from(&json!({ "order": number })));
            for (label, share) in [("nightly", NIGHTLY), ("rare", RARE)] {
                if number % share == 0 {
                    task.origin.tags.push(label.to_owned());
                }
            }
            if number % CANCELLED == 7 {
                cancelled.push(id);
            }
            task
        });
        let create = Create::new(creator, Actor::System, batch.collect());
        store.create(create).await?;
    }
    for task in cancelled {
        let demand = Intervention::new(task, Demand::CancelTask, Actor::System);
        store.intervene(demand).await?;
    }
    Ok(())
}
