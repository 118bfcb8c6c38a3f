//! What a store holds, in a form that is the same for every store.

use serde_json::{Value, json};
use tasker_engine::{Claim, Store, StoreError};
use tasker_types::{Position, TaskId};

/// Returns everything that a store holds about a task: its row, its steps, its results and its history.
///
/// Positions, which count the changes of all tasks together, are left out, and so is the template but for its name.
///
/// # Errors
///
/// When the store cannot be read. An unknown task is `null`.
pub async fn canonical_task(store: &dyn Store, task: TaskId) -> Result<Value, StoreError> {
    let Some(snapshot) = store.snapshot(task).await? else {
        return Ok(Value::Null);
    };
    let template = snapshot.task.template.full_name();
    let mut row = json!(snapshot.task);
    row["template"] = json!(template);
    let mut history = json!(store.history(task, Position(0), u32::MAX).await?);
    for entry in history
        .as_array_mut()
        .into_iter()
        .flatten()
        .filter_map(Value::as_object_mut)
    {
        entry.shift_remove("position");
    }
    Ok(json!({
        "task": row,
        "steps": snapshot.steps,
        "results": store.results(task).await?,
        "history": history,
    }))
}

/// Returns a claim without the store's own key of the task, and without the template.
pub(crate) fn canonical_claim(claim: &Claim) -> Value {
    let mut value = json!(claim);
    value["lease"]["task_key"] = Value::Null;
    value["task"]["template"] = Value::Null;
    value
}
