//! Handlers that create tasks.

use super::*;
use crate::Origin;
use crate::request::TaskRequest;
use crate::{Failure, HashIdentity};

/// Returns a handler that asks for a task of one step, fails at its first attempts, and returns the task's id.
fn parent(failures: u32) -> (&'static str, Arc<dyn StepHandler>) {
    let parent = handler(move |ctx: StepContext| async move {
        let child = ctx.create_task(TaskRequest::new(single("ok")).context(json!({ "order": 7 })))?;
        if ctx.attempt() <= failures {
            return Err(StepError::retryable(child.to_string()));
        }
        Ok(child)
    });
    ("parent", parent)
}

/// Returns the ids of all tasks but one.
async fn others(bench: &Bench, task: TaskId) -> Vec<TaskId> {
    let events = bench
        .store
        .events(tasker_types::Position(0), 10_000)
        .await
        .unwrap();
    let created = events.iter().filter(|entry| entry.change == Change::Created);
    created.map(|entry| entry.task).filter(|id| *id != task).collect()
}

async fn result(bench: &Bench, task: TaskId) -> String {
    let results = bench.store.results(task).await.unwrap();
    results[0].1.to::<String>().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_task_that_a_handler_creates_runs() {
    let bench = Bench::start([ok(), parent(0)]);
    let task = bench.create(&single("parent")).await;
    assert_eq!(bench.end(task).await.task.state, TaskState::Complete);
    let child: TaskId = result(&bench, task).await.parse().unwrap();
    let end = bench.end(child).await;
    assert_eq!(end.task.state, TaskState::Complete);
    assert_eq!(end.task.parent, Some((task, StepNo(0))));
    assert_eq!(end.task.root, Some(task));
    assert_eq!(end.task.context.to_value(), json!({ "order": 7 }));
    assert!(
        bench
            .events(child)
            .await
            .iter()
            .all(|(second, _, _)| *second == 0)
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn attempts_that_fail_create_nothing_and_name_the_same_task() {
    let bench = Bench::start([ok(), parent(2)]);
    let task = bench.create(&single("parent")).await;
    assert_eq!(bench.end(task).await.task.state, TaskState::Complete);
    let child = result(&bench, task).await;
    let history = bench
        .store
        .history(task, tasker_types::Position(0), 100)
        .await
        .unwrap();
    let failed = history
        .iter()
        .filter_map(|entry| entry.metadata.as_ref()?.to::<Failure>().ok());
    let named: Vec<_> = failed.map(|failure| failure.message).collect();
    assert_eq!(named, [child.clone(), child.clone()]);
    let created = others(&bench, task).await;
    assert_eq!(created, [child.parse().unwrap()]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn the_tasks_of_a_step_have_different_ids() {
    let twice = handler(async |ctx: StepContext| {
        let ids = [0, 1].map(|_| ctx.create_task(single("ok")));
        let [first, second] = ids;
        Ok([first?, second?])
    });
    let bench = Bench::start([ok(), ("twice", twice)]);
    let template = Template::builder("two")
        .step(StepBuilder::new("a", "twice"))
        .step(StepBuilder::new("b", "twice"))
        .build()
        .unwrap();
    let task = bench.create(&template).await;
    bench.end(task).await;
    let mut created = others(&bench, task).await;
    created.sort_unstable();
    created.dedup();
    assert_eq!(created.len(), 4);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_handler_that_suspends_itself_creates_with_its_result_only() {
    struct Patient;
    #[async_trait::async_trait]
    impl StepHandler for Patient {
        async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
            ctx.create_task(single("ok"))?;
            if ctx.checkpoint().is_some() {
                return Ok(Done::Result(Json::null()));
            }
            Ok(Done::Suspend {
                wake_in: Duration::from_secs(9),
                checkpoint: Json::null(),
            })
        }
    }
    let bench = Bench::start([ok(), ("patient", Arc::new(Patient) as Arc<dyn StepHandler>)]);
    let task = bench.create(&single("patient")).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert_eq!(others(&bench, task).await, []);
    bench.end(task).await;
    assert_eq!(others(&bench, task).await.len(), 1);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_request_that_is_wrong_fails_the_step_for_good() {
    let wrong = handler(async |ctx: StepContext| {
        ctx.create_task(TaskRequest::new(single("ok")).bypass(["first"]))?;
        Ok(())
    });
    let bench = Bench::start([ok(), ("wrong", wrong)]);
    let task = bench.create(&single("wrong")).await;
    let failure = bench.end(task).await.steps[0].failure.clone().unwrap();
    assert_eq!(
        failure,
        Failure::permanent(
            "request_rejected",
            "`first` cannot be bypassed: `default_system.single@0.1.0` has no such step"
        )
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn nothing_is_created_after_the_end() {
    let (sender, mut left) = tokio::sync::mpsc::unbounded_channel();
    let leaves = handler(move |ctx: StepContext| {
        let sender = sender.clone();
        async move {
            sender.send(ctx).unwrap();
            Ok(())
        }
    });
    let bench = Bench::start([ok(), ("leaves", leaves)]);
    let task = bench.create(&single("leaves")).await;
    bench.end(task).await;
    let ctx = left.recv().await.unwrap();
    assert_eq!(
        ctx.create_task(single("ok")).unwrap_err().to_string(),
        "request_rejected: the step has ended, and a task is created with its result or not at all"
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_created_task_has_the_identity_of_the_set_up_and_a_conflict_is_an_answer() {
    let bench = Bench::start_set_up([ok(), parent(0)], |setup| setup.identity = Arc::new(HashIdentity));
    let first = bench.create(&single("parent")).await;
    bench.end(first).await;
    let child: TaskId = result(&bench, first).await.parse().unwrap();
    let second = bench.create(&single("parent")).await;
    assert_eq!(bench.end(second).await.task.state, TaskState::Complete);
    let history = bench
        .store
        .history(second, tasker_types::Position(0), 100)
        .await
        .unwrap();
    let said: Vec<_> = history
        .iter()
        .filter_map(|entry| Some(entry.metadata.as_ref()?.to_value()))
        .collect();
    assert_eq!(said, [json!({ "tasks": [{ "duplicate": child }] })]);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_created_task_takes_over_the_correlation_id() {
    let parent = handler(async |ctx: StepContext| {
        ctx.create_task(single("ok"))?;
        let own = Origin {
            correlation_id: Some("own".to_owned()),
            ..Origin::default()
        };
        ctx.create_task(TaskRequest::new(single("ok")).origin(own))?;
        Ok(())
    });
    let bench = Bench::start([ok(), ("parent", parent)]);
    let id = TaskId::new(Timestamp::from_micros(5), 1 << 40);
    let mut task = NewTask::new(id, single("parent"), Json::from(&json!({})));
    task.origin.correlation_id = Some("request 7".to_owned());
    bench.handle.create(Actor::System, vec![task]).await.unwrap();
    bench.end(id).await;
    let mut taken = Vec::new();
    for child in others(&bench, id).await {
        taken.push(bench.snapshot(child).await.task.origin.correlation_id.unwrap());
    }
    taken.sort_unstable();
    assert_eq!(taken, ["own", "request 7"]);
    bench.stop().await;
}
