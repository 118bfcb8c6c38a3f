//! Events as clients follow them: in order, each once, also after an interruption.

use std::time::Duration;

use axum::Router;
use axum::http::Method;
use serde_json::json;
use tasker_server::tasker::{Demand, StepContext, StepError, TaskId, Tasker, handler};
use tasker_server::{App, axum};
use tasker_types::{Server, ServerValues};

use crate::kit::{Stream, Told, app, send};

const ORDER: &str = "
name: order
steps:
  - { name: pay, handler: pay, events: [{ name: payment.captured }] }
  - { name: ship, handler: sleep, config: { seconds: 0 }, depends_on: [pay] }
";
const OTHER: &str = "
namespace: logistics
name: parcel
steps: [{ name: wait, handler: sleep, config: { seconds: 3600 } }]
";
/// What happens to an order.
const HAPPENS: [&str; 9] = [
    "task.initialize_requested",
    "task.start_requested",
    "workflow.task_started",
    "step.execution_requested pay",
    "payment.captured pay",
    "step.completed pay",
    "step.execution_requested ship",
    "step.completed ship",
    "task.completed",
];

fn tasker() -> Tasker {
    let pay = handler(async |ctx: StepContext| {
        ctx.publish("payment.captured", &json!({ "cents": 700, "card_token": "4111" }))?;
        Ok::<_, StepError>(json!({ "paid": true }))
    });
    let builder = Tasker::builder().memory().handler("pay", pay);
    builder.build().unwrap()
}

fn service_with(tasker: &Tasker, settings: ServerValues) -> Router {
    let templates = app(tasker, &[ORDER, OTHER]).templates().clone();
    let app = App::builder(tasker.clone()).templates(templates);
    tasker_server::router(app.settings(Server::try_from(settings).unwrap()).build())
}

fn service(tasker: &Tasker) -> Router {
    service_with(tasker, ServerValues::default())
}

async fn created(service: &Router, namespace: &str, name: &str) -> TaskId {
    let body = json!({ "namespace": namespace, "name": name, "context": {} });
    let answer = send(service, Method::POST, "/tasker/tasks", Some(body)).await;
    answer.body["task"]["task_id"].as_str().unwrap().parse().unwrap()
}

fn said(events: &[Told]) -> Vec<String> {
    events.iter().map(Told::said).collect()
}

fn path_of(task: TaskId) -> String {
    format!("/tasker/tasks/{task}/events")
}

#[tokio::test(start_paused = true)]
async fn a_stream_tells_a_task_from_its_beginning_and_ends_with_it() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "default_system", "order").await;
    let mut stream = Stream::open(&service, &path_of(task), &[]).await.unwrap();
    assert_eq!(said(&stream.events(1).await), HAPPENS[..1]);
    let (rest, report) = tokio::join!(stream.rest(), tasker.resume(task));
    report.unwrap();
    assert_eq!(said(&rest), HAPPENS[1..]);
    let captured = &rest[3].data;
    assert_eq!(captured["name"], "payment.captured");
    assert_eq!(
        captured["payload"]["data"],
        json!({ "cents": 700, "card_token": "[FILTERED]" })
    );
    assert_eq!(captured["payload"]["task_id"], task.to_string());
    // Who comes late is told the same.
    let late = Stream::open(&service, &path_of(task), &[]).await.unwrap();
    assert_eq!(said(&late.rest().await), HAPPENS);
}

#[tokio::test(start_paused = true)]
async fn a_stream_goes_on_after_any_event() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "default_system", "order").await;
    tasker.resume(task).await.unwrap();
    let path = path_of(task);
    let all = Stream::open(&service, &path, &[]).await.unwrap().rest().await;
    for (number, event) in all.iter().enumerate() {
        let id = event.id.as_deref().unwrap();
        let resumed = Stream::open(&service, &path, &[("Last-Event-ID", id)]).await;
        if number + 1 == all.len() {
            // So that a browser does not come again and again.
            assert_eq!(resumed.unwrap_err().status.as_u16(), 204);
            continue;
        }
        assert_eq!(resumed.unwrap().rest().await, all[number + 1..], "after {id}");
        let path = format!("/tasker/events?after={id}");
        let mut everything = Stream::open(&service, &path, &[]).await.unwrap();
        assert_eq!(everything.events(all.len() - number - 1).await, all[number + 1..]);
    }
}

#[tokio::test(start_paused = true)]
async fn a_task_in_error_is_followed_further() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "logistics", "parcel").await;
    let mut stream = Stream::open(&service, &path_of(task), &[]).await.unwrap();
    stream.events(1).await;
    let step = tasker.store().snapshot(task).await.unwrap().unwrap().steps[0].step;
    tasker.intervene(task, Demand::CancelStep(step)).await.unwrap();
    tasker.store().examine(task).await.unwrap();
    let broken = stream.events(2).await;
    assert_eq!(said(&broken), ["step.cancelled wait", "task.failed"]);
    tasker.resolve(task).await.unwrap();
    assert_eq!(said(&stream.rest().await), ["task.resolved_manually"]);
}

#[tokio::test(start_paused = true)]
async fn only_what_fits_is_told() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "default_system", "order").await;
    let parcel = created(&service, "logistics", "parcel").await;
    tasker.resume(task).await.unwrap();
    tasker.cancel(parcel).await.unwrap();
    let of_task = async |query: &str| {
        let path = format!("{}?{query}", path_of(task));
        said(&Stream::open(&service, &path, &[]).await.unwrap().rest().await)
    };
    assert_eq!(
        of_task("pattern=payment.*&pattern=task.completed").await,
        ["payment.captured pay", "task.completed"]
    );
    assert_eq!(of_task("pattern=step.failed").await, [""; 0]);
    let mut steps = Stream::open(&service, "/tasker/events?after=0&pattern=step.*", &[])
        .await
        .unwrap();
    assert_eq!(
        said(&steps.events(5).await),
        [
            HAPPENS[3],
            HAPPENS[5],
            HAPPENS[6],
            HAPPENS[7],
            "step.cancelled wait"
        ]
    );
    let mut logistics = Stream::open(&service, "/tasker/events?after=0&namespace=logistics", &[])
        .await
        .unwrap();
    assert_eq!(
        said(&logistics.events(3).await),
        [
            "task.initialize_requested",
            "task.cancelled",
            "step.cancelled wait"
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn everything_is_told_from_now_on() {
    let tasker = tasker();
    let service = service(&tasker);
    created(&service, "logistics", "parcel").await;
    let mut stream = Stream::open(&service, "/tasker/events", &[]).await.unwrap();
    let task = created(&service, "default_system", "order").await;
    let told = &stream.events(1).await[0];
    assert_eq!(told.data["payload"]["task_id"], task.to_string());
}

#[tokio::test(start_paused = true)]
async fn silence_is_told_too() {
    let tasker = tasker();
    let service = service(&tasker);
    let mut stream = Stream::open(&service, "/tasker/events", &[]).await.unwrap();
    let begin = tokio::time::Instant::now();
    for beats in 1..=3 {
        let told = stream.next().await.unwrap();
        assert_eq!((told.comment.as_deref(), told.id), (Some("nothing new"), None));
        assert_eq!(begin.elapsed().as_secs(), 15 * beats);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stream_ends_after_its_time_and_can_be_resumed() {
    let tasker = tasker();
    let service = service_with(
        &tasker,
        ServerValues {
            event_stream_seconds: 60.0,
            ..ServerValues::default()
        },
    );
    let mut stream = Stream::open(&service, "/tasker/events", &[]).await.unwrap();
    let begin = tokio::time::Instant::now();
    while stream.next().await.is_some() {}
    assert_eq!(begin.elapsed().as_secs(), 60);
}

#[tokio::test(start_paused = true)]
async fn there_are_never_more_streams_than_may_be() {
    let tasker = tasker();
    let service = service_with(
        &tasker,
        ServerValues {
            event_streams: 1,
            ..ServerValues::default()
        },
    );
    let open = async || Stream::open(&service, "/tasker/events?after=0", &[]).await;
    let first = open().await.unwrap();
    let refused = open().await.unwrap_err();
    assert_eq!(
        refused.is_problem(503, "too_many_streams"),
        "1 clients follow events already; raise `server.event_streams`, or try later"
    );
    assert_eq!(refused.headers["retry-after"], "5");
    drop(first);
    tokio::time::sleep(Duration::from_millis(1)).await;
    // This one takes nothing, while more happens than waits for it.
    let _slow = open().await.unwrap();
    for _ in 0..12 {
        let task = created(&service, "default_system", "order").await;
        tasker.resume(task).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(29)).await;
    open().await.unwrap_err().is_problem(503, "too_many_streams");
    tokio::time::sleep(Duration::from_secs(2)).await;
    open().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_place_that_is_not_of_this_history_begins_anew() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "default_system", "order").await;
    let resumed = |path: String| {
        let service = service.clone();
        async move {
            Stream::open(&service, &path, &[("Last-Event-ID", "999")])
                .await
                .unwrap()
        }
    };
    let told = resumed(path_of(task)).await.events(2).await;
    assert_eq!(said(&told), ["reset", "task.initialize_requested"]);
    assert_eq!(told[0].data, json!({ "position": 0 }));
    let mut everything = resumed("/tasker/events".to_owned()).await;
    let reset = &everything.events(1).await[0];
    let now = tasker.store().position().await.unwrap();
    assert_eq!(reset.id.as_deref(), Some(now.0.to_string().as_str()));
    assert_eq!(reset.data, json!({ "position": now.0 }));
    tasker.cancel(task).await.unwrap();
    assert_eq!(everything.events(1).await[0].said(), "task.cancelled");
}

#[tokio::test]
async fn what_cannot_be_followed_is_told() {
    let tasker = tasker();
    let service = service(&tasker);
    let task = created(&service, "default_system", "order").await;
    let refused =
        async |path: &str, headers: &[(&str, &str)]| Stream::open(&service, path, headers).await.unwrap_err();
    let nowhere = format!("/tasker/tasks/{}/events", TaskId::from_bytes([7; 16]));
    refused(&nowhere, &[]).await.is_problem(404, "unknown_task");
    for path in [path_of(task), "/tasker/events".to_owned()] {
        let answer = refused(&path, &[("Last-Event-ID", "yesterday")]).await;
        assert_eq!(
            answer.is_problem(400, "invalid_query"),
            "`Last-Event-ID`: `yesterday` is no place among events: a position such as `41`, or `41-0`"
        );
        let answer = refused(&format!("{path}?pattern=task.complete"), &[]).await;
        assert_eq!(
            answer.is_problem(400, "invalid_query"),
            "there is no event `task.complete`; did you mean `task.completed`?"
        );
        let answer = refused(&format!("{path}?after=-1"), &[]).await;
        answer.is_problem(400, "invalid_query");
    }
}
