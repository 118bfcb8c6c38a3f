use tasker::{
    Actor, Create, Handlers, MemoryStore, NewTask, SeededEntropy, StepBuilder, StepContext, StepError,
    TokioClock, Worker, WorkerSetup,
};
use tasker_types::{HandlerRef, Namespace, TaskState, Version, WorkerId};
use tokio_util::sync::CancellationToken;

use super::*;
use crate::view::model::Doing;

/// A store with one task: `fetch` fails once, `parse` comes after it.
async fn store() -> (Arc<MemoryStore>, TaskId) {
    let store = Arc::new(MemoryStore::new(Arc::new(TokioClock::starting_at(
        Timestamp::from_micros(1_000_000),
    ))));
    let template = Template::builder("pipeline")
        .step(StepBuilder::new("fetch", "flaky"))
        .step(StepBuilder::new("parse", "flaky").depends_on(["fetch"]))
        .build()
        .unwrap();
    let id = TaskId::from_bytes([7; 16]);
    let task = NewTask::new(id, template, tasker::Json::parse("{}").unwrap());
    let create = Create::new(
        WorkerId::from_bytes([1; 16]),
        Actor::User("ann".to_owned()),
        vec![task],
    );
    store.create(create).await.unwrap();
    (store, id)
}

fn worker(store: &Arc<MemoryStore>) -> Worker {
    let resolve = |_: &Namespace, _: &HandlerRef| {
        let run = |ctx: StepContext| async move {
            if ctx.step_name().as_str() == "fetch" && ctx.attempt() == 1 {
                return Err(StepError::retryable("no route"));
            }
            Ok(1)
        };
        Ok(tasker::Resolved {
            handler: tasker::handler(run),
            version: Version::new(1, 0, 0),
        })
    };
    let clock = Arc::new(TokioClock::starting_at(Timestamp::from_micros(1_000_000)));
    let entropy = Arc::new(SeededEntropy::new(1));
    let store: Arc<dyn Store> = Arc::<MemoryStore>::clone(store);
    Worker::new(WorkerSetup::new(store, Handlers::new(resolve), clock, entropy))
}

#[tokio::test(start_paused = true)]
async fn a_task_that_others_run_is_followed_to_its_end() {
    let (store, task) = store().await;
    let port: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    let mut follower = Follower::start(port, task).await.unwrap().unwrap();
    let mut told = Vec::new();
    follower
        .recount(&mut |transition| told.push(transition.position))
        .await
        .unwrap();
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker(&store).run(stop.clone(), CancellationToken::new()));

    tokio::time::sleep(Duration::from_millis(500)).await;
    follower
        .refresh(&mut |transition| told.push(transition.position))
        .await
        .unwrap();
    let model = follower.model();
    let fetch = &model.steps[0];
    assert_eq!(model.doing(fetch, follower.now()), Doing::Waiting);
    assert_eq!((fetch.attempts, fetch.error.as_deref()), (1, Some("no route")));
    assert!(
        fetch
            .due_in(follower.now())
            .is_some_and(|wait| wait < Duration::from_millis(1_200))
    );
    assert_eq!(model.doing(&model.steps[1], follower.now()), Doing::Blocked);

    tokio::time::sleep(Duration::from_secs(3)).await;
    follower
        .refresh(&mut |transition| told.push(transition.position))
        .await
        .unwrap();
    assert_eq!(follower.model().state, TaskState::Complete);
    assert!(follower.model().finished_at.is_some());
    assert_eq!(follower.model().counts(follower.now()).done, 2);
    stop.cancel();
    running.await.unwrap().unwrap();

    let history: Vec<_> = store.history(task, BEGINNING, 100).await.unwrap();
    assert_eq!(
        told,
        history
            .iter()
            .map(|transition| transition.position)
            .collect::<Vec<_>>()
    );
}

#[tokio::test(start_paused = true)]
async fn the_history_alone_keeps_the_model_right() {
    let (store, task) = store().await;
    let port: Arc<dyn Store> = Arc::<MemoryStore>::clone(&store);
    let mut follower = Follower::start(port, task).await.unwrap().unwrap();
    follower.next_snapshot += Duration::from_secs(3_600);
    let stop = CancellationToken::new();
    let running = tokio::spawn(worker(&store).run(stop.clone(), CancellationToken::new()));
    tokio::time::sleep(Duration::from_secs(5)).await;
    follower.refresh(&mut |_| {}).await.unwrap();
    stop.cancel();
    running.await.unwrap().unwrap();
    let expected = model_of(&store.snapshot(task).await.unwrap().unwrap());
    let model = follower.model();
    assert_eq!(
        (model.state, model.finished_at),
        (expected.state, expected.finished_at)
    );
    for (step, expected) in model.steps.iter().zip(&expected.steps) {
        assert_eq!(
            (
                step.state,
                step.attempts,
                step.started_at,
                step.finished_at,
                step.due_at
            ),
            (
                expected.state,
                expected.attempts,
                expected.started_at,
                expected.finished_at,
                expected.due_at
            )
        );
    }
}

#[tokio::test]
async fn a_task_that_is_not_there_is_not_followed() {
    let (store, _) = store().await;
    assert!(
        Follower::start(store, TaskId::from_bytes([9; 16]))
            .await
            .unwrap()
            .is_none()
    );
}
