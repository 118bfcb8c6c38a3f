//! What holds a task up, from what the store knows.

use std::time::Duration;

use tasker::{Demand, StepNo, TaskState};
use tasker_graph::{Arrival, Cause};

use crate::place::{builder, chain};

#[tokio::test(start_paused = true)]
async fn a_failed_step_is_the_root_of_what_waits() {
    let tasker = builder().build().unwrap();
    let task = tasker.run(chain("two", &["fails", "ok"])).await.unwrap().task_id;
    let insight = tasker.insight(task).await.unwrap().unwrap();
    assert_eq!(insight.analysis().task_state(), TaskState::Error);
    let explanation = insight.explain_step(StepNo(1));
    assert_eq!(
        explanation.chain[0].cause,
        Cause::Parents {
            waits_for: vec!["fails_0".to_owned()]
        }
    );
    let last_error = Some("closed: the account is closed".to_owned());
    assert_eq!(explanation.chain[1].cause, Cause::Permanent { last_error });
    assert_eq!(insight.explain().roots[0].holds_up, 1);
    assert_eq!(insight.forecast().arrival(), &Arrival::Stuck(vec![0]));
}

#[tokio::test(start_paused = true)]
async fn earlier_tasks_say_how_long_steps_last() {
    let tasker = builder().build().unwrap();
    let first = chain("two", &["fails", "ok"]);
    let task = tasker.run(first.clone()).await.unwrap().task_id;
    tasker
        .intervene(task, Demand::ResolveStep(StepNo(0), None))
        .await
        .unwrap();
    // The second step was never measured, and nobody invents how long it lasts.
    let insight = tasker.insight(task).await.unwrap().unwrap();
    assert_eq!(insight.forecast().arrival(), &Arrival::NotMeasured(vec![1]));
    assert_eq!(insight.explain().to_string(), "ok_1: nothing blocks it\n");
    tasker.resume(task).await.unwrap();

    let other = tasker.run(first).await.unwrap().task_id;
    tasker
        .intervene(other, Demand::ResolveStep(StepNo(0), None))
        .await
        .unwrap();
    let insight = tasker.insight(other).await.unwrap().unwrap();
    let forecast = insight.forecast();
    assert_eq!(forecast.times(1).spread.unwrap().samples, 1);
    assert!(matches!(forecast.arrival(), Arrival::In { typical, .. } if *typical < Duration::from_secs(60)));

    // What an ended task lasted is read once; one that may go on is read each time.
    let stats = tasker.cache_stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (0, 1, 1));
    let again = tasker.insight(other).await.unwrap().unwrap();
    assert_eq!(again.forecast().times(1), forecast.times(1));
    let stats = tasker.cache_stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 1, 1));
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_has_no_insight() {
    let tasker = builder().build().unwrap();
    let task = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    assert!(tasker.insight(task).await.unwrap().is_none());
}
