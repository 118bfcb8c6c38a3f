//! What holds a task up, from what the store knows.

use std::sync::Arc;
use std::time::Duration;

use tasker::config::Loader;
use tasker::{
    Actor, Demand, Scope, StepBuilder, StepContext, StepError, StepNo, TaskFilter, TaskId, TaskQuery,
    TaskRequest, TaskState, Tasker, TaskerBuilder, Template, handler,
};
use tasker_engine::Create;
use tasker_graph::{Arrival, Cause};
use tokio::sync::{Semaphore, mpsc};

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
async fn an_analysis_is_kept_until_something_happens_to_its_task() {
    let tasker = builder().build().unwrap();
    let task = tasker.run(chain("two", &["fails", "ok"])).await.unwrap().task_id;
    let ask = async || tasker.insight(task).await.unwrap().unwrap();
    let first = ask().await;
    let again = ask().await;
    assert_eq!(first.analysis(), again.analysis());
    let stats = tasker.analysis_stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (1, 1, 1));
    tasker
        .intervene(task, Demand::ResolveStep(StepNo(0), None))
        .await
        .unwrap();
    let asked = futures_util::future::join_all((0..9).map(|_| ask())).await;
    for insight in &asked {
        assert_eq!(insight.analysis().task_state(), TaskState::InProgress);
    }
    let stats = tasker.analysis_stats().await;
    assert_eq!((stats.hits, stats.misses, stats.entries), (9, 2, 2));
}

#[tokio::test(start_paused = true)]
async fn an_analysis_of_steps_that_wait_is_a_second_old_at_most() {
    let refuses = handler(async |_: StepContext| {
        let wait = Duration::from_secs(60);
        Err::<(), _>(StepError::retryable("not now").retry_after(wait))
    });
    let tasker = builder().handler("refuses", refuses).build().unwrap();
    let template = Template::builder("one").step(StepBuilder::new("try", "refuses"));
    let running = tokio::spawn({
        let (tasker, template) = (tasker.clone(), template.build().unwrap());
        async move { tasker.run(template).await }
    });
    tokio::time::sleep(Duration::from_secs(1)).await;
    let task = tasker
        .list(TaskQuery::new(TaskFilter::default(), 1))
        .await
        .unwrap();
    let task = task.tasks[0].task_id;
    for (misses, wait) in [(1, 0), (2, 1), (3, 1)] {
        tokio::time::sleep(Duration::from_secs(wait)).await;
        for _ in 0..2 {
            tasker.insight(task).await.unwrap().unwrap();
        }
        assert_eq!(tasker.analysis_stats().await.misses, misses);
    }
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn an_unknown_task_has_no_insight() {
    let tasker = builder().build().unwrap();
    let task = "01890000-0000-7000-8000-000000000000".parse().unwrap();
    assert!(tasker.insight(task).await.unwrap().is_none());
}

/// A template of three steps that wait for nothing.
fn wide() -> Arc<Template> {
    let steps = ["a", "b", "c"].map(|name| StepBuilder::new(name, "hangs"));
    let template = steps
        .into_iter()
        .fold(Template::builder("wide"), |template, step| template.step(step));
    template.build().unwrap()
}

async fn cause(tasker: &Tasker, task: TaskId, step: u32) -> Cause {
    let insight = tasker.insight(task).await.unwrap().unwrap();
    insight.explain_step(StepNo(step)).chain[0].cause.clone()
}

/// Runs a task of three steps on so many slots; with all of them in use, looks at why the third step of it, and the
/// first of another task, do not run.
async fn with_busy_slots(builder: TaskerBuilder, slots: u32) -> (Cause, Cause) {
    let gate = Arc::new(Semaphore::new(0));
    let (starts, mut started) = mpsc::unbounded_channel();
    let hangs = handler({
        let gate = Arc::clone(&gate);
        move || {
            let (gate, starts) = (Arc::clone(&gate), starts.clone());
            async move {
                let _ = starts.send(());
                let _passed = gate.acquire().await;
                Ok::<_, StepError>(())
            }
        }
    });
    let config = Loader::new()
        .set("execution.max_concurrent_steps", slots)
        .load()
        .unwrap();
    let tasker = builder.config(config).handler("hangs", hangs).build().unwrap();
    let new = |template| tasker.prepare(TaskRequest::new(template)).unwrap();
    let (mine, other) = (new(wide()), new(wide()));
    let (task, waiting) = (mine.id, other.id);
    let create = Create::new(
        tasker.worker(Scope::All).handle().id(),
        Actor::User("ann".to_owned()),
        vec![mine, other],
    );
    tasker.store().create(create).await.unwrap();
    let running = tokio::spawn({
        let tasker = tasker.clone();
        async move { tasker.resume(task).await }
    });
    for _ in 0..slots.min(3) {
        started.recv().await.unwrap();
    }
    let causes = (cause(&tasker, task, 2).await, cause(&tasker, waiting, 0).await);
    gate.add_permits(3);
    let report = running.await.unwrap().unwrap();
    assert_eq!(report.state, TaskState::Complete);
    // Nobody runs anything any more.
    assert_eq!(cause(&tasker, waiting, 0).await, Cause::Nothing);
    tasker.close().await.unwrap();
    causes
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_slot_says_so() {
    let limit = Cause::ConcurrencyLimit { limit: 2 };
    let directory = tempfile::tempdir().unwrap();
    let file = builder().sqlite(directory.path().join("tasker.db"));
    // Leases of all tasks are seen, also those that another task holds.
    assert_eq!(with_busy_slots(file, 2).await, (limit.clone(), limit.clone()));
    // A store in memory is asked about one task only.
    assert_eq!(with_busy_slots(builder(), 2).await, (limit, Cause::Nothing));
}

#[tokio::test(start_paused = true)]
async fn a_worker_with_a_free_slot_holds_nothing_up() {
    let directory = tempfile::tempdir().unwrap();
    for keep in [builder().sqlite(directory.path().join("tasker.db")), builder()] {
        let (third, other) = with_busy_slots(keep, 4).await;
        assert!(
            matches!(third, Cause::Running { worker: Some(_), .. }),
            "{third:?}"
        );
        assert_eq!(other, Cause::Nothing);
    }
}
