//! The test vectors for readiness and for the context of a task.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

use std::time::Duration;

use serde_json::{Value, json};
use tasker_types::{StepFacts, StepState, TaskContext, TaskState};

const VECTORS: &str = include_str!("../../../tests/golden/task_context.jsonl");

fn facts(step: &Value, edges: &[Value], steps: &[Value]) -> StepFacts {
    let state = |step: &Value| step["state"].as_str().unwrap().parse::<StepState>().unwrap();
    let done = |id: &Value| state(steps.iter().find(|step| step["id"] == *id).unwrap()).is_done();
    let number = |key: &str| u32::try_from(step[key].as_u64().unwrap()).unwrap();
    let unmet = edges
        .iter()
        .filter(|edge| edge[1] == step["id"] && !done(&edge[0]))
        .count();
    let wait = step["next_retry_in_seconds"]
        .as_f64()
        .filter(|seconds| *seconds > 0.0);
    StepFacts {
        state: state(step),
        attempts: number("attempts"),
        retry_limit: number("retry_limit"),
        retryable: step["retryable"].as_bool().unwrap(),
        permanent: step["permanent"].as_bool().unwrap_or(false),
        unmet_parents: u32::try_from(unmet).unwrap(),
        due_in: wait.map(Duration::from_secs_f64),
    }
}

#[test]
fn the_task_context_vectors_hold() {
    let mut count = 0;
    for line in VECTORS.lines() {
        let vector: Value = serde_json::from_str(line).unwrap();
        let input = &vector["input"];
        let task: TaskState = input["task_state"]
            .as_str()
            .unwrap_or("in_progress")
            .parse()
            .unwrap();
        let (steps, edges) = (
            input["steps"].as_array().unwrap(),
            input["edges"].as_array().unwrap(),
        );
        let facts: Vec<_> = steps.iter().map(|step| facts(step, edges, steps)).collect();
        let context = serde_json::to_value(TaskContext::of(task, &facts)).unwrap();
        assert_eq!(context, vector["expected"]["context"], "{line}");
        for ((facts, step), expected) in facts
            .iter()
            .zip(steps)
            .zip(vector["expected"]["steps"].as_array().unwrap())
        {
            let reason = facts.blocking_reason(task.is_active());
            let found = json!({
                "id": step["id"],
                "dependencies_satisfied": facts.dependencies_satisfied(),
                "retry_eligible": facts.retry_eligible(),
                "ready_for_execution": reason.is_none(),
                "blocking_reason": reason,
            });
            assert_eq!(&found, expected, "{line}");
        }
        count += 1;
    }
    assert!(count > 0, "there are vectors");
}
