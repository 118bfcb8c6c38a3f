//! Lists of the tasks of a store that has none of its own.

use tasker_engine::{Change, Snapshot, Store, StoreError};
use tasker_store::{TaskFilter, TaskSummary};
use tasker_types::{Position, StepState, TaskId};

/// How many transitions are read at once.
const PAGE: u32 = 1_000;

/// Lists the tasks of a store that has no lists of its own, by reading its whole log.
pub(crate) async fn scan(store: &dyn Store, filter: &TaskFilter) -> Result<Vec<TaskSummary>, StoreError> {
    let mut ids = ids(store).await?;
    ids.retain(|id| filter.after.is_none_or(|after| *id < after));
    ids.retain(|id| {
        filter
            .id_prefix
            .as_ref()
            .is_none_or(|prefix| id.to_string().starts_with(prefix.as_str()))
    });
    ids.sort_unstable_by(|left, right| right.cmp(left));
    let mut tasks = Vec::new();
    for id in ids {
        if tasks.len() == filter.limit as usize {
            break;
        }
        let Some(snapshot) = store.snapshot(id).await? else {
            continue;
        };
        if wanted(filter, &snapshot) {
            tasks.push(summary(&snapshot));
        }
    }
    Ok(tasks)
}

/// Returns the tasks of a store in the order of their creation, by reading its whole log.
pub(crate) async fn ids(store: &dyn Store) -> Result<Vec<TaskId>, StoreError> {
    let mut ids = Vec::new();
    let mut after = Position(0);
    loop {
        let page = store.events(after, PAGE).await?;
        ids.extend(
            page.iter()
                .filter(|entry| entry.change == Change::Created)
                .map(|entry| entry.task),
        );
        match page.last() {
            Some(last) if page.len() == PAGE as usize => after = last.position,
            _ => return Ok(ids),
        }
    }
}

fn wanted(filter: &TaskFilter, snapshot: &Snapshot) -> bool {
    let task = &snapshot.task;
    (filter.states.is_empty() || filter.states.contains(&task.state))
        && filter
            .namespace
            .as_ref()
            .is_none_or(|namespace| namespace == task.template.namespace())
        && filter
            .name
            .as_ref()
            .is_none_or(|name| name == task.template.name())
        && filter
            .version
            .as_ref()
            .is_none_or(|version| version == task.template.version())
        && filter.passes(&task.origin)
}

fn summary(snapshot: &Snapshot) -> TaskSummary {
    let task = &snapshot.task;
    TaskSummary {
        task_id: task.id,
        name: task.template.full_name(),
        state: task.state,
        failure: task.failure,
        priority: task.priority,
        tags: task.origin.tags.clone(),
        completed_steps: snapshot
            .steps
            .iter()
            .filter(|step| StepState::is_done(step.state))
            .count() as u64,
        total_steps: snapshot.steps.len() as u64,
        created_at: task.created_at,
        started_at: task.started_at,
        finished_at: task.finished_at,
    }
}
