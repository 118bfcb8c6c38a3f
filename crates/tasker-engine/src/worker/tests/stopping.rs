//! How handlers end that do not come to an end by themselves.

use super::*;
use crate::handler::Done;
use crate::template::StepBuilder;
use crate::{Failure, blocking};

/// Ends when it is told to, or never.
struct Polite {
    grace: Duration,
    listens: bool,
}

#[async_trait::async_trait]
impl StepHandler for Polite {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        if self.listens {
            ctx.stop().cancelled().await;
            tokio::time::sleep(Duration::from_secs(1)).await;
            return Ok(Done::Result(Json::from(&json!("tidied up"))));
        }
        std::future::pending().await
    }

    fn stop_policy(&self) -> StopPolicy {
        StopPolicy::Cooperate(self.grace)
    }
}

fn polite(listens: bool) -> Arc<dyn StepHandler> {
    Arc::new(Polite {
        grace: Duration::from_secs(5),
        listens,
    })
}

fn limited(handler: &str) -> Arc<Template> {
    let step = StepBuilder::new("only", handler)
        .timeout(Duration::from_secs(10))
        .not_retryable();
    Template::builder("t").step(step).build().unwrap()
}

async fn cancel(bench: &Bench, task: TaskId) {
    let cancel = Intervention::new(task, Demand::CancelStep(StepNo(0)), Actor::User("ann".to_owned()));
    bench.store.intervene(cancel).await.unwrap();
}

async fn late_outcomes(bench: &Bench, task: TaskId) -> Vec<String> {
    let history = bench
        .store
        .history(task, tasker_types::Position(0), 100)
        .await
        .unwrap();
    let late = history
        .iter()
        .filter(|entry| matches!(entry.change, Change::LateOutcome { .. }));
    late.map(|entry| entry.metadata.as_ref().unwrap().to_string())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_timeout_counts_from_the_start_and_the_grace_is_on_top() {
    for (listens, seconds) in [(true, 11), (false, 15)] {
        let bench = Bench::start([("polite", polite(listens))]);
        let task = bench.create(&limited("polite")).await;
        let end = bench.end(task).await;
        let failure = end.steps[0].failure.clone().unwrap();
        assert_eq!(
            failure.code,
            Failure::TIMEOUT,
            "a result after the time limit is no result"
        );
        assert_eq!(bench.events(task).await.last().unwrap().0, seconds);
        bench.stop().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_that_listens_may_end() {
    let bench = Bench::start([("polite", polite(true))]);
    let task = bench.create(&single("polite")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    cancel(&bench, task).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(
        late_outcomes(&bench, task).await,
        [r#"{"succeed":{"result":"tidied up"}}"#]
    );
    assert_eq!(bench.store.results(task).await.unwrap(), []);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_handler_that_does_not_listen_is_dropped_after_its_grace() {
    let bench = Bench::start([("polite", polite(false))]);
    let task = bench.create(&single("polite")).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    cancel(&bench, task).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(late_outcomes(&bench, task).await, [""; 0]);
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(late_outcomes(&bench, task).await, [r#""interrupt""#]);
    bench.stop().await;
}

/// Lets a blocking handler return when it is told to, and says whether its token was cancelled.
fn gate() -> (std::sync::mpsc::Sender<()>, Arc<AtomicU32>, Arc<dyn StepHandler>) {
    let (open, opened) = std::sync::mpsc::channel();
    let (opened, told) = (Mutex::new(opened), Arc::new(AtomicU32::new(0)));
    let seen = Arc::clone(&told);
    let handler = blocking(move |ctx: StepContext| {
        opened.lock().unwrap().recv()?;
        seen.fetch_add(u32::from(ctx.stop().is_cancelled()), Ordering::SeqCst);
        Ok(())
    });
    (open, told, handler)
}

/// Lets other tasks run, without the paused time going on as long as there is something to run.
async fn breathe() {
    for _ in 0..1_000 {
        tokio::task::yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_blocking_handler_keeps_its_slot_until_it_returns() {
    let (open, told, gated) = gate();
    let bench = Bench::start_with([("gated", gated), ok()], |v| v.max_concurrent_steps = Some(1));
    let task = bench.create(&limited("gated")).await;
    breathe().await;
    let other = bench.create(&single("ok")).await;
    // Time stands still while a blocking thread runs, so it is moved past the time limit by hand.
    tokio::time::advance(Duration::from_secs(11)).await;
    breathe().await;
    assert_eq!(bench.snapshot(task).await.steps[0].state, StepState::InProgress);
    assert_eq!(bench.snapshot(other).await.steps[0].attempts, 0);
    open.send(()).unwrap();
    assert_eq!(
        bench.end(task).await.steps[0].failure.clone().unwrap().code,
        Failure::TIMEOUT
    );
    assert_eq!(told.load(Ordering::SeqCst), 1);
    assert_eq!(bench.end(other).await.task.state, TaskState::Complete);
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_panic_of_a_blocking_handler_is_caught() {
    let panics =
        blocking(|ctx: StepContext| -> Result<u32, StepError> { panic!("attempt {}", ctx.attempt()) });
    let bench = Bench::start([("panics", panics)]);
    let task = bench.create(&single("panics")).await;
    let failure = bench.end(task).await.steps[0].failure.clone().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        ("panic", "the handler panicked: attempt 3")
    );
    bench.stop().await;
}

#[tokio::test(start_paused = true)]
async fn an_interrupt_of_the_last_attempt_is_an_error() {
    let bench = Bench::start([hang()]);
    let step = StepBuilder::new("only", "hang").retry_limit(1);
    let task = bench
        .create(&Template::builder("t").step(step).build().unwrap())
        .await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let store = Arc::clone(&bench.store);
    bench.stop().await;
    let step = store.snapshot(task).await.unwrap().unwrap().steps[0].clone();
    assert_eq!((step.state, step.attempts), (StepState::Error, 1));
    assert_eq!(step.failure.unwrap().code, Failure::INTERRUPTED);
}

#[tokio::test(start_paused = true)]
async fn a_stopped_worker_takes_no_more_requests() {
    let bench = Bench::start([ok()]);
    let handle = bench.handle.clone();
    bench.stop().await;
    let task = NewTask::new(
        TaskId::new(Timestamp::from_micros(5), 1),
        single("ok"),
        Json::from(&json!({})),
    );
    let refused = handle.create(Actor::System, vec![task]).await.unwrap_err();
    assert_eq!(refused.to_string(), "the store is closed");
}

#[tokio::test(start_paused = true)]
async fn what_has_not_begun_is_handed_back_with_its_attempt() {
    let slow = handler(async || {
        tokio::time::sleep(Duration::from_secs(1)).await;
        Ok(1)
    });
    let bench = Bench::start_with([("slow", slow)], |v| v.max_concurrent_steps = Some(1));
    let task = bench.create(&chain_of("slow", 3)).await;
    tokio::time::sleep(Duration::from_millis(500)).await;
    let store = Arc::clone(&bench.store);
    bench.stop().await;
    let states: Vec<_> = store
        .snapshot(task)
        .await
        .unwrap()
        .unwrap()
        .steps
        .iter()
        .map(|s| (s.state, s.attempts))
        .collect();
    assert_eq!(
        states,
        [
            (StepState::Complete, 1),
            (StepState::Pending, 0),
            (StepState::Pending, 0)
        ]
    );
}

fn chain_of(handler: &str, length: usize) -> Arc<Template> {
    let builder = (0..length).fold(Template::builder("chain"), |template, index| {
        let step = StepBuilder::new(format!("s{index}"), handler);
        template.step(if index == 0 {
            step
        } else {
            step.depends_on([format!("s{}", index - 1)])
        })
    });
    builder.build().unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_result_that_is_nested_too_deep_is_permanent() {
    let deep = (0..101).fold(json!(1), |inner, _| json!([inner]));
    let bench = Bench::start([(
        "deep",
        handler(move || {
            let deep = deep.clone();
            async move { Ok(deep) }
        }),
    )]);
    let task = bench.create(&single("deep")).await;
    let failure = bench.end(task).await.steps[0].failure.clone().unwrap();
    assert_eq!(
        (failure.code.as_str(), failure.message.as_str()),
        (
            "result_rejected",
            "the result is nested more than 100 levels deep; make it flatter, or return it as a text"
        )
    );
    bench.stop().await;
}
