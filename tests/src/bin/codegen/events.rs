//! The page about events, with the catalogue and what each event carries.

use std::fmt::Write as _;

use tasker_engine::{PayloadType, SystemEvent};

/// Returns the page.
pub(super) fn page() -> anyhow::Result<String> {
    let mut text = String::from(INTRODUCTION);
    text.push_str("\n## The catalogue\n\n| event | kind | carries | what happened |\n|---|---|---|---|\n");
    for event in SystemEvent::ALL {
        let payload = event.payload().name;
        writeln!(
            text,
            "| `{}` | {} | [`{payload}`](#{}) | {} |",
            event.name(),
            event.durability(),
            payload.to_lowercase(),
            event.doc()
        )?;
    }
    text.push_str("\n## What events carry\n\nA field that is an `Option` in Rust may be null in JSON.\n");
    for payload in PayloadType::ALL {
        write!(text, "\n### {}\n\n{}\n\n", payload.name, payload.doc.trim())?;
        text.push_str("| field | type in Rust | means |\n|---|---|---|\n");
        for (name, rust, doc) in payload.fields {
            let rust = rust.split_whitespace().collect::<String>();
            writeln!(text, "| `{name}` | `{rust}` | {} |", doc.trim())?;
        }
    }
    Ok(text)
}

const INTRODUCTION: &str = r#"<!-- Written by `cargo xtask codegen` from the catalogue of tasker-engine. -->

# Events

Whoever wants to know what happens subscribes to a pattern of names: `task.completed`, `task.*`, `order.*`, `*`.

```rust
use tasker::{StepBuilder, StepContext, StepError, StepPayload, TaskRequest, Tasker, Template, handler};

# #[tokio::main]
# async fn main() -> Result<(), Box<dyn std::error::Error>> {
let tasker = Tasker::builder()
    .memory()
    .handler("charge", handler(async |ctx: StepContext| {
        ctx.publish("payment.captured", &serde_json::json!({ "cents": 1_999 }))?;
        Ok::<_, StepError>("ch_1")
    }))
    .build()?;

let (sender, told) = std::sync::mpsc::channel();
let payments = tasker
    .subscribe("payment.*", move |event| Ok(sender.send(event.payload["data"]["cents"].clone())?))
    .await?;
let steps = tasker
    .subscribe("step.failed", |event| {
        let failed: StepPayload = event.read()?;
        eprintln!("{} failed at attempt {}", failed.step, failed.attempt);
        Ok(())
    })
    .await?;

let charge = StepBuilder::new("charge", "charge").event("payment.captured");
tasker.run(TaskRequest::new(Template::builder("order").step(charge).build()?)).await?;
payments.caught_up().await?;
assert_eq!(told.recv()?, 1_999);
assert_eq!(steps.delivered().failed, 0);
# Ok(())
# }
```

## Durable and local

**Durable** events follow from the history of tasks, which is their outbox: nothing is stored twice.
Each is told once to a subscription, after the commit that made it true, in the order of positions; those of other processes on the same store are told too.
A transition may mean several events; `position` and `ordinal` together name one.
A program that keeps the position of the last event that it has dealt with, and goes on with `subscribe_after`, is told of each at least once, whatever happens to it meanwhile.

**Local** events are told in the process in which they happen, as they happen.
They are in no history: a process that dies takes them along, and a subscriber that is more than 4096 of them behind misses the oldest.
While nobody listens they are not even made.

## Custom events

A step says in the template which events it publishes ([`events`](templates.md)), or its handler does (`StepHandler::events`).
Their names are `namespace.event`, none of the system's; two that describe the same event differently are refused.
What a handler publishes with `ctx.publish` is recorded in the commit that records the end of the attempt, be that a result or a failure, and told before that end.
An attempt whose end nobody records has published nothing.
An attempt may publish 100 events, of `limits.result` bytes in all.

## Subscribers

Every subscription is carried by a task of its own, so a slow subscriber holds up neither the work nor another subscriber.
One that returns an error or panics is logged and counted (`delivered()`), and called again for the next event.
`caught_up()` waits until everything is told that has happened by now.

Values of fields whose names contain one of `telemetry.filter_parameters` are replaced by `telemetry.filter_mask` before they are told.
The history keeps what was said, so do not publish what must not be kept.

## Over HTTP

The service tells durable events as server-sent events, which browsers and `curl -N` read: `GET /tasker/tasks/{id}/events` those of one task from its beginning, `GET /tasker/events` those of all tasks that the caller may see, from now on or `?after=` a place.
`?pattern=` chooses by name, and may be repeated; `?namespace=` chooses among all.

```text
id: 41
event: step.completed
data: {"name":"step.completed","position":41,"ordinal":0,"at":"2026-03-01T09:30:00Z","payload":{"task_id":"…"}}
```

`id` is the place of the event: its position, with the ordinal behind it (`41-0`) when the same transition means further events.
A client that sends the last one as `Last-Event-ID`, as browsers do by themselves, is told exactly the rest, whether its connection broke or the service was started anew.
When the history does not have that place, because it is another database, the stream begins with an event `reset`, which says from where it goes on.

The stream of a task ends when the task has ended for good; who resumes there is answered with 204, and browsers come no more.
While nothing happens a comment is sent every `server.event_heartbeat_seconds`.
A stream ends after `server.event_stream_seconds`, so that who follows is authenticated again, and when its client takes nothing for 30 seconds; nothing is kept for slow clients but their place.
At most `server.event_streams` clients follow at a time.
"#;
