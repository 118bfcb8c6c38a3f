//! Who is told of what, when, and what becomes of those who fail.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tasker::config::Loader;
use tasker::{
    CheckIn, CustomPayload, Event, EventSubscription, HandlingPayload, Position, SeededEntropy, StepBuilder,
    StepContext, StepError, StepPayload, TaskRequest, TaskState, Tasker, TaskerBuilder, Template, handler,
};

use crate::place::{builder, chain};

/// What a subscriber was told, in order.
#[derive(Clone, Default)]
struct Told(Arc<Mutex<Vec<Event>>>);

impl Told {
    fn names(&self) -> Vec<String> {
        self.0
            .lock()
            .unwrap()
            .iter()
            .map(|event| event.name.clone())
            .collect()
    }

    fn events(&self) -> Vec<Event> {
        self.0.lock().unwrap().clone()
    }
}

async fn listen(tasker: &Tasker, pattern: &str) -> (Told, EventSubscription) {
    let told = Told::default();
    let kept = told.clone();
    let subscription = tasker
        .subscribe(pattern, move |event| {
            kept.0.lock().unwrap().push(event.clone());
            Ok(())
        })
        .await
        .unwrap();
    (told, subscription)
}

/// A step that publishes as it goes, and fails at first.
fn shop() -> tasker::TaskerBuilder {
    let pay = handler(async |ctx: StepContext| {
        ctx.publish(
            "payment.tried",
            &json!({ "attempt": ctx.attempt(), "card_token": "tok_1" }),
        )?;
        if ctx.attempt() == 1 {
            ctx.publish("payment.declined", "no answer")?;
            return Err(StepError::retryable("the bank does not answer"));
        }
        Ok("paid")
    });
    builder().handler("pay", pay)
}

fn order() -> Arc<Template> {
    let pay = StepBuilder::new("pay", "pay")
        .event("payment.tried")
        .event("payment.declined");
    Template::builder("order")
        .step(pay)
        .step(StepBuilder::new("send", "ok").depends_on(["pay"]))
        .build()
        .unwrap()
}

#[tokio::test(start_paused = true)]
async fn durable_events_are_told_once_and_in_order() {
    let tasker = shop().build().unwrap();
    let (told, all) = listen(&tasker, "*").await;
    let task = tasker.run(order()).await.unwrap().task_id;
    all.caught_up().await.unwrap();
    let durable: Vec<Event> = told
        .events()
        .into_iter()
        .filter(|event| event.position.is_some())
        .collect();
    let names: Vec<&str> = durable.iter().map(|event| event.name.as_str()).collect();
    assert_eq!(
        names,
        [
            "task.initialize_requested",
            "task.start_requested",
            "workflow.task_started",
            "step.execution_requested",
            "payment.tried",
            "payment.declined",
            "step.failed",
            "step.execution_requested",
            "payment.tried",
            "step.completed",
            "step.execution_requested",
            "step.completed",
            "task.completed",
        ]
    );
    let places: Vec<_> = durable
        .iter()
        .map(|event| (event.position, event.ordinal))
        .collect();
    assert!(places.is_sorted_by(|left, right| left < right), "{places:?}");
    assert!(
        durable
            .iter()
            .all(|event| event.payload["task_id"] == task.to_string())
    );
    let failed: StepPayload = durable[6].read().unwrap();
    assert_eq!(failed.error.unwrap().message, "the bank does not answer");
}

#[tokio::test(start_paused = true)]
async fn local_events_are_told_as_they_happen() {
    let tasker = shop().build().unwrap();
    let (told, local) = listen(&tasker, "*").await;
    tasker.run(order()).await.unwrap();
    local.caught_up().await.unwrap();
    let events: Vec<Event> = told
        .events()
        .into_iter()
        .filter(|event| event.position.is_none())
        .collect();
    let steps: Vec<(&str, Option<String>)> = events
        .iter()
        .filter(|event| event.name.starts_with("step.") || event.name.contains(".step."))
        .map(|event| {
            let payload: HandlingPayload = event.read().unwrap();
            (event.name.as_str(), payload.end)
        })
        .collect();
    let word = |text: &str| Some(text.to_owned());
    assert_eq!(
        steps,
        [
            ("step.before_handle", None),
            ("step.handle", word("fail")),
            ("observability.step.backoff", word("fail")),
            ("step.before_handle", None),
            ("step.handle", word("succeed")),
            ("step.before_handle", None),
            ("step.handle", word("succeed")),
        ]
    );
    let count = |name: &str| events.iter().filter(|event| event.name == name).count();
    assert_eq!(count("observability.task.enqueue"), 1);
    assert_eq!(count("workflow.viable_steps_discovered"), 3);
    assert!(count("workflow.no_viable_steps") >= 1);
}

#[tokio::test(start_paused = true)]
async fn the_last_attempt_is_told_of() {
    let down = handler(async || Err::<(), _>(StepError::retryable("down")));
    let tasker = builder().handler("down", down).build().unwrap();
    let (told, all) = listen(&tasker, "observability.step.*").await;
    let (fails, failed) = listen(&tasker, "*.failed").await;
    tasker.run(chain("one", &["down"])).await.unwrap();
    all.caught_up().await.unwrap();
    failed.caught_up().await.unwrap();
    let backoff = "observability.step.backoff";
    assert_eq!(
        told.names(),
        [backoff, backoff, "observability.step.max_retries_reached"]
    );
    let payload: HandlingPayload = told.events()[1].read().unwrap();
    assert_eq!((payload.attempt, payload.retry_limit), (2, 3));
    assert!((1.5..2.5).contains(&payload.wait_seconds.unwrap()), "{payload:?}");
    assert_eq!(
        fails.names(),
        ["step.failed", "step.failed", "step.failed", "task.failed"]
    );
}

#[tokio::test(start_paused = true)]
async fn the_safety_net_is_told_of() {
    let slow = handler(async || {
        tokio::time::sleep(Duration::from_secs(60)).await;
        Ok::<_, StepError>(())
    });
    let tasker = builder().handler("slow", slow).build().unwrap();
    let (told, looks) = listen(&tasker, "workflow.task_*").await;
    tasker.run(chain("one", &["slow"])).await.unwrap();
    looks.caught_up().await.unwrap();
    let names = told.names();
    let look = [
        "workflow.task_finalization_started",
        "workflow.task_finalization_completed",
        "workflow.task_reenqueue_requested",
        "workflow.task_reenqueue_delayed",
    ];
    let local: Vec<&String> = names
        .iter()
        .filter(|name| *name != "workflow.task_started")
        .collect();
    assert_eq!(local[..4], look, "{names:?}");
    let delayed = told
        .events()
        .into_iter()
        .find(|event| event.name.ends_with("delayed"))
        .unwrap();
    assert_eq!(delayed.payload["after_seconds"], 10.0);
    assert_eq!(delayed.payload["reason"], "steps_in_progress");
}

/// Returns how often the safety net looks at a task whose only step runs for 58 seconds.
async fn looks(configure: impl FnOnce(TaskerBuilder) -> TaskerBuilder) -> usize {
    let slow = handler(async || {
        tokio::time::sleep(Duration::from_secs(58)).await;
        Ok::<_, StepError>(())
    });
    let tasker = configure(builder().handler("slow", slow)).build().unwrap();
    let (told, looks) = listen(&tasker, "workflow.task_reenqueue_requested").await;
    tasker.run(chain("one", &["slow"])).await.unwrap();
    looks.caught_up().await.unwrap();
    told.names().len()
}

#[tokio::test(start_paused = true)]
async fn the_configuration_chooses_when_the_safety_net_looks() {
    let immediate = || {
        Loader::new()
            .set("engine.enqueuing_strategy", "immediate")
            .load()
            .unwrap()
    };
    // First after 30 seconds; then after 10 more each time, or with every sweep, that is twice in a heartbeat.
    assert_eq!(looks(|builder| builder).await, 3);
    assert_eq!(looks(|builder| builder.config(immediate())).await, 6);
    assert_eq!(
        looks(|builder| builder.config(immediate()).enqueuing(CheckIn)).await,
        3
    );
}

#[tokio::test(start_paused = true)]
async fn a_subscriber_that_fails_is_counted_and_concerns_nobody() {
    let tasker = shop().build().unwrap();
    let mut calls = 0;
    let broken = tasker
        .subscribe("step.completed", move |_| {
            calls += 1;
            if calls == 1 {
                Err("no disk".into())
            } else {
                panic!("no patience")
            }
        })
        .await
        .unwrap();
    let (told, good) = listen(&tasker, "step.completed").await;
    let report = tasker.run(order()).await.unwrap();
    assert_eq!(report.state, TaskState::Complete);
    broken.caught_up().await.unwrap();
    good.caught_up().await.unwrap();
    let delivered = broken.delivered();
    assert_eq!((delivered.events, delivered.failed, delivered.missed), (2, 2, 0));
    assert_eq!((good.delivered().events, good.delivered().failed), (2, 0));
    assert_eq!(told.names().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn what_events_carry_is_masked() {
    let tasker = shop().build().unwrap();
    let (told, payments) = listen(&tasker, "payment.*").await;
    tasker.run(order()).await.unwrap();
    payments.caught_up().await.unwrap();
    let data: Vec<Value> = told
        .events()
        .iter()
        .map(|event| event.read::<CustomPayload>().unwrap().data)
        .collect();
    assert_eq!(
        data,
        [
            json!({ "attempt": 1, "card_token": "[FILTERED]" }),
            json!("no answer"),
            json!({ "attempt": 2, "card_token": "[FILTERED]" }),
        ]
    );
    // The history has what the step said.
    let history = tasker.store().events(Position(0), 100).await.unwrap();
    let kept = history
        .iter()
        .filter_map(|entry| entry.metadata.as_ref())
        .any(|metadata| metadata.as_str().contains("tok_1"));
    assert!(kept);
}

#[tokio::test(start_paused = true)]
async fn who_keeps_a_position_is_told_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let open = |seed: u64| {
        let file = shop().sqlite(directory.path().join("tasker.db"));
        file.entropy(Arc::new(SeededEntropy::new(seed))).build().unwrap()
    };
    let tasker = open(1);
    tasker.run(order()).await.unwrap();
    let position = tasker.store().position().await.unwrap();
    tasker.close().await.unwrap();
    drop(tasker);
    let tasker = open(2);
    tasker.run(chain("one", &["ok"])).await.unwrap();
    let names = async |after: Position| {
        let told = Told::default();
        let kept = told.clone();
        let subscription = tasker
            .subscribe_after(after, "task.*", move |event| {
                kept.0.lock().unwrap().push(event.clone());
                Ok(())
            })
            .await
            .unwrap();
        subscription.caught_up().await.unwrap();
        told.names()
    };
    let once = [
        "task.initialize_requested",
        "task.start_requested",
        "task.completed",
    ];
    assert_eq!(names(position).await, once);
    assert_eq!(names(Position(0)).await, [once, once].concat());
    tasker.close().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn an_event_that_nobody_declares_is_refused() {
    let sneaky = handler(async |ctx: StepContext| {
        ctx.publish("payment.tried", &1)?;
        ctx.publish("payment.made", &2)?;
        Ok(())
    });
    let tasker = builder().handler("sneaky", sneaky).build().unwrap();
    let (told, payments) = listen(&tasker, "payment.*").await;
    let template = Template::builder("order")
        .step(StepBuilder::new("pay", "sneaky").event("payment.tried"))
        .build()
        .unwrap();
    let report = tasker.run(TaskRequest::new(template)).await.unwrap();
    let error = report.steps[0].error.as_ref().unwrap();
    assert_eq!(error.code, "event_rejected");
    assert_eq!(
        error.message,
        "neither the step `pay` nor its handler declares the event `payment.made` (`events`); it declares `payment.tried`"
    );
    payments.caught_up().await.unwrap();
    assert_eq!(told.names(), ["payment.tried"]);
    let error = tasker.run(chain("two", &["sneaky"])).await.unwrap();
    let error = error.steps[0].error.as_ref().unwrap();
    assert_eq!(
        error.message,
        "neither the step `sneaky_0` nor its handler declares the event `payment.tried` (`events`); it declares none"
    );
}

#[tokio::test(start_paused = true)]
async fn events_have_limits() {
    let many = handler(async |ctx: StepContext| {
        for number in 0..101 {
            ctx.publish("log.line", &number)?;
        }
        Ok(())
    });
    let large = handler(async |ctx: StepContext| {
        ctx.publish("log.line", &"x".repeat(700_000))?;
        ctx.publish("log.line", &"x".repeat(700_000))?;
        Ok(())
    });
    let tasker = builder()
        .handler("many", many)
        .handler("large", large)
        .build()
        .unwrap();
    let message = async |handler: &str| {
        let template = Template::builder("log")
            .step(StepBuilder::new("write", handler).event("log.line"))
            .build()
            .unwrap();
        let report = tasker.run(TaskRequest::new(template)).await.unwrap();
        report.steps[0].error.as_ref().unwrap().message.clone()
    };
    assert_eq!(message("many").await, "an attempt publishes at most 100 events");
    assert_eq!(
        message("large").await,
        "the events of the attempt have 1400004 bytes, but the limit is 1048576 (`limits.result`)"
    );
}

#[tokio::test]
async fn changes_of_handlers_are_told() {
    let tasker = builder().build().unwrap();
    let (sender, mut changes) = tokio::sync::mpsc::unbounded_channel();
    let _subscription = tasker
        .subscribe("handler.*", move |event| {
            sender.send((event.name.clone(), event.payload["handler"].clone()))?;
            Ok(())
        })
        .await
        .unwrap();
    let ok = || handler(async || Ok::<_, StepError>(()));
    tasker.registry().register("late", ok()).unwrap();
    tasker.registry().register("late", ok()).unwrap_err();
    let mut told = Vec::new();
    for _ in 0..2 {
        let change = tokio::time::timeout(Duration::from_secs(10), changes.recv()).await;
        told.push(change.unwrap().unwrap());
    }
    let late = json!("default_system.late@0.1.0");
    assert_eq!(
        told,
        [
            ("handler.registered".to_owned(), late.clone()),
            ("handler.refused".to_owned(), late)
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn a_dropped_subscription_tells_nothing() {
    let tasker = shop().build().unwrap();
    let (told, subscription) = listen(&tasker, "*").await;
    drop(subscription);
    tasker.run(order()).await.unwrap();
    assert!(told.names().is_empty());
}

#[tokio::test]
async fn patterns_are_checked() {
    let tasker = builder().build().unwrap();
    let error = tasker.subscribe("task.complete", |_| Ok(())).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "there is no event `task.complete`; did you mean `task.completed`?"
    );
}
