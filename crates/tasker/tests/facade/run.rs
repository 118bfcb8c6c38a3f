//! Running, resuming, listing and changing tasks.

use std::time::Duration;

use serde_json::json;
use tasker::{
    Demand, HashIdentity, Refusal, RunError, Scope, StepNo, TaskFilter, TaskQuery, TaskRequest, TaskState,
    Tasker, handler,
};
use tokio_util::sync::CancellationToken;

use crate::place::{builder, chain, steps};

#[tokio::test(start_paused = true)]
async fn a_task_runs_to_its_end() {
    let tasker = builder().build().unwrap();
    let report = tasker.run(chain("two", &["flaky", "ok"])).await.unwrap();
    assert_eq!(report.state, TaskState::Complete);
    assert_eq!(
        steps(&report),
        [("flaky_0", "complete", 2), ("ok_1", "complete", 1)]
    );
    assert_eq!(report.result, Some(json!({ "ok_1": "ok" })));
    assert_eq!(
        tasker.report(report.task_id).await.unwrap().unwrap().state,
        TaskState::Complete
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_in_error_is_a_report() {
    let tasker = builder().build().unwrap();
    let report = tasker.run(chain("two", &["fails", "ok"])).await.unwrap();
    assert_eq!(report.state, TaskState::Error);
    assert_eq!(steps(&report), [("fails_0", "error", 1), ("ok_1", "pending", 0)]);
    let error = report.steps[0].error.as_ref().unwrap();
    assert_eq!(
        (error.code.as_str(), error.message.as_str()),
        ("closed", "the account is closed")
    );
    let done = tasker
        .intervene(report.task_id, Demand::ResolveStep(StepNo(0), None))
        .await
        .unwrap();
    assert_eq!(done.task_state, TaskState::InProgress);
    let report = tasker.resume(report.task_id).await.unwrap();
    assert_eq!(
        steps(&report),
        [("fails_0", "resolved_manually", 1), ("ok_1", "complete", 1)]
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_is_retried_resolved_and_cancelled() {
    let tasker = builder().build().unwrap();
    let task = tasker.run(chain("one", &["fails"])).await.unwrap().task_id;
    assert_eq!(
        tasker.retry(task).await.unwrap().task_state,
        TaskState::InProgress
    );
    assert_eq!(tasker.resume(task).await.unwrap().state, TaskState::Error);
    assert_eq!(
        tasker.resolve(task).await.unwrap().task_state,
        TaskState::ResolvedManually
    );
    assert!(tasker.cancel(task).await.is_err());
    let task = tasker.run(chain("one", &["fails"])).await.unwrap().task_id;
    assert_eq!(
        tasker.cancel(task).await.unwrap().task_state,
        TaskState::Cancelled
    );
    assert_eq!(tasker.resume(task).await.unwrap().state, TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_someone_cancels_is_no_longer_waited_for() {
    let hangs = handler(async || {
        std::future::pending::<()>().await;
        Ok::<_, tasker::StepError>(())
    });
    let tasker = builder().handler("hangs", hangs).build().unwrap();
    let other = tasker.clone();
    let running = tokio::spawn(async move { other.run(chain("one", &["hangs"])).await });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let task = tasker
        .list(TaskQuery::new(TaskFilter::default(), 100))
        .await
        .unwrap()
        .tasks[0]
        .task_id;
    tasker.cancel(task).await.unwrap();
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.state, TaskState::Cancelled);
}

#[tokio::test(start_paused = true)]
async fn a_step_without_a_handler_is_refused_before_anything_is_created() {
    let tasker = builder().build().unwrap();
    let error = tasker.run(chain("one", &["flacky"])).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "step `flacky_0` of `default_system.one@0.1.0` cannot run here: there is no handler `flacky` in the namespace \
         `default_system`; did you mean `flaky`?"
    );
    assert!(
        tasker
            .list(TaskQuery::new(TaskFilter::default(), 100))
            .await
            .unwrap()
            .tasks
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn a_key_finds_the_same_task_again() {
    let tasker = builder().build().unwrap();
    let request = |day: &str| {
        TaskRequest::new(chain("one", &["ok"]))
            .context(json!({ "day": day }))
            .idempotency_key("nightly")
    };
    let first = tasker.run(request("monday")).await.unwrap().task_id;
    assert_eq!(tasker.run(request("monday")).await.unwrap().task_id, first);
    let error = tasker.run(request("tuesday")).await.unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::KeyReused { task }) if task == first),
        "{error:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn an_identity_strategy_refuses_what_was_asked_before() {
    let tasker = builder().identity(HashIdentity).build().unwrap();
    let first = tasker.run(chain("one", &["ok"])).await.unwrap().task_id;
    let error = tasker.run(chain("one", &["ok"])).await.unwrap_err();
    assert!(
        matches!(error, RunError::Refused(Refusal::Duplicate { task }) if task == first),
        "{error:?}"
    );
    tasker.run(chain("other", &["ok"])).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_newest_task_is_listed_first() {
    let tasker = builder().build().unwrap();
    let mut run = Vec::new();
    for (name, handler) in [("a", "ok"), ("b", "fails"), ("c", "ok")] {
        run.push(tasker.run(chain(name, &[handler])).await.unwrap().task_id);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    run.reverse();
    let list = async |filter: TaskFilter| -> Vec<_> {
        tasker
            .list(TaskQuery::new(filter, 100))
            .await
            .unwrap()
            .tasks
            .iter()
            .map(|task| task.task_id)
            .collect()
    };
    assert_eq!(list(TaskFilter::default()).await, run);
    assert_eq!(
        list(TaskFilter {
            states: vec![TaskState::Error],
            ..TaskFilter::default()
        })
        .await,
        run[1..2]
    );
    assert_eq!(
        list(TaskFilter {
            name: Some("a".parse().unwrap()),
            ..TaskFilter::default()
        })
        .await,
        run[2..]
    );
    let prefix = Some(run[1].to_string());
    assert_eq!(
        list(TaskFilter {
            id_prefix: prefix,
            ..TaskFilter::default()
        })
        .await,
        run[1..2]
    );
}

/// A worker of its own runs what others create.
#[tokio::test(start_paused = true)]
async fn a_worker_runs_all_tasks() {
    let tasker: Tasker = builder().build().unwrap();
    let worker = tasker.worker(Scope::All);
    let handle = worker.handle();
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker.run(stop.clone(), CancellationToken::new()));
    let new = tasker.prepare(TaskRequest::new(chain("one", &["ok"]))).unwrap();
    let task = new.id;
    let mut finished = handle.finished();
    handle
        .create(tasker::Actor::User("ann".to_owned()), vec![new])
        .await
        .unwrap();
    assert_eq!(finished.recv().await.unwrap(), (task, TaskState::Complete));
    stop.cancel();
    running.await.unwrap().unwrap();
}
