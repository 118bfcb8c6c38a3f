//! Events as they happen: server-sent events of one task, and of all that a caller may see.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::sse::{self, KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tasker::{Event, EventPlace, EventReader, Pattern, Position, StoreError, Subject};
use tasker_types::{Namespace, TaskId, Timestamp};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use utoipa::{IntoParams, ToSchema};

use super::forms;
use super::tasks::find;
use crate::app::App;
use crate::extract::{Path, Query};
use crate::guard::Granted;
use crate::problem::{Code, Problem};
use crate::serve::Stopping;

/// The header by which a client that was cut off says what it has seen.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// How many events wait for the connection of a client.
const WAITING: usize = 64;
/// How long a client may take none of them before its stream ends. It can resume where it was.
const PATIENCE: Duration = Duration::from_secs(30);
/// How far apart places are told of which there is no event to tell.
const MARK: Duration = Duration::from_secs(1);

/// An event as the stream has it; an event without `data` only tells its place.
#[derive(ToSchema)]
#[expect(dead_code, reason = "it describes what is streamed")]
pub(crate) struct StreamedEvent {
    /// Its place, for `Last-Event-ID`.
    #[schema(pattern = "^[0-9]+(-[0-9]+)?$", examples("41"))]
    id: String,
    /// Its name; `reset` if the stream does not go on where the client was.
    #[schema(examples("task.completed"))]
    event: Option<String>,
    /// An `EventView` as JSON.
    #[schema(content_media_type = "application/json")]
    data: Option<String>,
}

/// What `data` of an event says.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventView<'a> {
    /// Its name, which is also the `event` of the stream.
    #[schema(value_type = String, examples("step.completed"))]
    name: &'a str,
    /// The position of the transition that it follows from.
    position: i64,
    /// Which of the events of that transition it is.
    ordinal: u32,
    /// When.
    #[schema(value_type = String, format = DateTime)]
    at: Timestamp,
    /// What it carries, as the catalogue of events says, without secrets.
    #[schema(value_type = Object)]
    payload: &'a Value,
}

/// That the stream does not go on where the client was: what it has seen last is not of this history.
#[derive(Debug, Serialize)]
struct Reset {
    position: i64,
}

/// Which events of a task are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedOfTask {
    /// Only events whose names fit, such as `step.*`; may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<forms::EventPattern>, inline)]
    pattern: Vec<String>,
    /// Only events after this place: the `id` of one. The header `Last-Event-ID` counts more.
    #[serde(default)]
    #[param(value_type = Option<forms::Place>, inline)]
    after: Option<String>,
}

/// Which events are wanted.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct WantedEvents {
    /// Only events whose names fit, such as `task.*`; may be repeated.
    #[serde(default)]
    #[param(value_type = Vec<forms::EventPattern>, inline)]
    pattern: Vec<String>,
    /// Only events of tasks of this namespace.
    #[serde(default)]
    #[param(value_type = Option<forms::NameText>, inline)]
    namespace: Option<Namespace>,
    /// Only events after this place: the `id` of one, or `0` for the beginning; by default only what happens from now
    /// on. The header `Last-Event-ID` counts more.
    #[serde(default)]
    #[param(value_type = Option<forms::Place>, inline)]
    after: Option<String>,
}

/// Follows a task
///
/// A stream of server-sent events (`text/event-stream`): all durable events of the task from its beginning, in order,
/// and then what happens, each once. `id` names the place of an event; a client that sends it as `Last-Event-ID` goes on
/// after it, also when the service was started anew. The stream ends when the task has ended for good, which a task in
/// error has not; a client that resumes there is answered with 204.
#[utoipa::path(get, path = "/tasks/{task_id}/events", tag = "events",
    params(("task_id" = String, Path, format = Uuid, description = "The task."), WantedOfTask,
        ("Last-Event-ID" = inline(Option<forms::Place>), Header, description = "The `id` of the last event that was seen.")),
    responses(
        (status = 200, body = StreamedEvent, content_type = "text/event-stream", description = "Each event with its `id`, its name as `event`, and this as `data`.",
            example = json!("id: 41\nevent: task.completed\ndata: {\"name\":\"task.completed\",\"position\":41,\"ordinal\":0,\"at\":\"2026-03-01T09:30:00Z\",\"payload\":{}}\n\n")),
        (status = 204, description = "The task has ended, and there is nothing after `Last-Event-ID`.")))]
pub(crate) async fn of_task(
    State(app): State<App>,
    granted: Granted,
    Path(id): Path<TaskId>,
    Query(wanted): Query<WantedOfTask>,
    stopping: Stopping,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patterns = patterns(&wanted.pattern)?;
    let asked = last_seen(&headers, wanted.after.as_deref())?;
    let snapshot = find(&app, &granted, id).await?.snapshot;
    let permit = admitted(&app)?;
    let reset = is_beyond(&app, asked).await?.then_some(Position(0));
    let after = asked.filter(|_| reset.is_none());
    let after = after.unwrap_or(EventPlace::from(Position(0)));
    let reader = app.tasker().read_task_events(&snapshot.task, after);
    let mut telling = Telling::new(&app, reader.patterns(patterns), reset, permit, stopping);
    // A task that has ended says all that it has to say at once.
    while telling.reader.has_ended() && telling.first.is_empty() {
        if !telling.read_more().await? {
            if asked.is_some() && reset.is_none() {
                return Ok(StatusCode::NO_CONTENT.into_response());
            }
            break;
        }
    }
    Ok(telling.into_response())
}

/// Follows everything
///
/// A stream of server-sent events (`text/event-stream`): the durable events of all tasks that the caller may see, in the
/// order in which they were committed, each once. `id` names the place of an event; a client that sends it as
/// `Last-Event-ID` goes on after it, also when the service was started anew.
#[utoipa::path(get, path = "/events", tag = "events",
    params(WantedEvents, ("Last-Event-ID" = inline(Option<forms::Place>), Header, description = "The `id` of the last event that was seen.")),
    responses((status = 200, body = StreamedEvent, content_type = "text/event-stream", description = "Each event with its `id`, its name as `event`, and this as `data`.",
        example = json!("id: 41\nevent: task.completed\ndata: {\"name\":\"task.completed\",\"position\":41,\"ordinal\":0,\"at\":\"2026-03-01T09:30:00Z\",\"payload\":{}}\n\n"))))]
pub(crate) async fn all(
    State(app): State<App>,
    granted: Granted,
    Query(wanted): Query<WantedEvents>,
    stopping: Stopping,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let patterns = patterns(&wanted.pattern)?;
    let asked = last_seen(&headers, wanted.after.as_deref())?;
    if let Some(namespace) = &wanted.namespace {
        granted.require_in(namespace)?;
    }
    let permit = admitted(&app)?;
    let now = app.tasker().store().position().await?;
    let reset = is_beyond(&app, asked).await?.then_some(now);
    let after = asked.filter(|_| reset.is_none()).unwrap_or(now.into());
    let reach = granted.reach().clone();
    let may_see = move |subject: &Subject| {
        let namespace = subject.template().namespace();
        wanted.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
            && reach.covers(namespace, subject.initiator())
    };
    let reader = app.tasker().read_events(after).patterns(patterns).of(may_see);
    Ok(Telling::new(&app, reader, reset, permit, stopping).into_response())
}

fn patterns(texts: &[String]) -> Result<Vec<Pattern>, Problem> {
    let read = |text: &String| {
        text.parse()
            .map_err(|error: tasker::InvalidPattern| Problem::new(Code::InvalidQuery, error.to_string()))
    };
    texts.iter().map(read).collect()
}

/// Returns the place after which the client wants to go on.
fn last_seen(headers: &HeaderMap, after: Option<&str>) -> Result<Option<EventPlace>, Problem> {
    let place = |text: &str, what: &str| {
        text.parse().map_err(|error: tasker::InvalidEventPlace| {
            Problem::new(Code::InvalidQuery, format!("`{what}`: {error}"))
        })
    };
    let after = after.map(|text| place(text, "after")).transpose()?;
    match headers.get(LAST_EVENT_ID) {
        Some(header) => place(header.to_str().unwrap_or("?"), "Last-Event-ID").map(Some),
        None => Ok(after),
    }
}

/// Tells whether a place is not of this history, as after a database was replaced.
async fn is_beyond(app: &App, place: Option<EventPlace>) -> Result<bool, StoreError> {
    Ok(match place {
        Some(place) => place.position() > app.tasker().store().position().await?,
        None => false,
    })
}

fn admitted(app: &App) -> Result<OwnedSemaphorePermit, Problem> {
    Arc::clone(app.streams()).try_acquire_owned().map_err(|_| {
        let limit = app.settings().event_streams;
        let detail =
            format!("{limit} clients follow events already; raise `server.event_streams`, or try later");
        Problem::new(Code::TooManyStreams, detail)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
    })
}

/// What is told to one client.
struct Telling {
    reader: EventReader,
    /// Events that were read before the answer began.
    first: Vec<(EventPlace, Event)>,
    reset: Option<Position>,
    heartbeat: Duration,
    until: Instant,
    /// When a place was told last of which there was no event to tell.
    marked: Instant,
    stop: CancellationToken,
    _permit: OwnedSemaphorePermit,
}

/// That a client takes no more.
struct Gone;

impl Telling {
    fn new(
        app: &App,
        reader: EventReader,
        reset: Option<Position>,
        permit: OwnedSemaphorePermit,
        Stopping(stop): Stopping,
    ) -> Self {
        let settings = app.settings();
        Self {
            reader,
            first: Vec::new(),
            reset,
            heartbeat: Duration::from_secs_f64(settings.event_heartbeat_seconds),
            until: Instant::now() + Duration::from_secs_f64(settings.event_stream_seconds),
            marked: Instant::now(),
            stop,
            _permit: permit,
        }
    }

    /// Reads a page; returns whether there was one.
    async fn read_more(&mut self) -> Result<bool, StoreError> {
        let before = self.reader.position();
        self.first = self.reader.next().await?;
        Ok(self.reader.position() != before)
    }

    fn into_response(self) -> Response {
        let (sender, mut waiting) = mpsc::channel(WAITING);
        let keep_alive = KeepAlive::new().interval(self.heartbeat).text("nothing new");
        tokio::spawn(self.run(sender));
        let events = stream::poll_fn(move |context| waiting.poll_recv(context));
        let mut response = Sse::new(events).keep_alive(keep_alive).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        // Proxies that collect answers before they pass them on are told not to.
        headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
        response
    }

    /// Tells until there is nothing more to tell, or nobody who is told.
    async fn run(mut self, sender: mpsc::Sender<Result<sse::Event, Infallible>>) {
        // Whoever left need not be told that the stream ends.
        let _ = self.tell(&sender).await;
    }

    async fn tell(&mut self, sender: &mpsc::Sender<Result<sse::Event, Infallible>>) -> Result<(), Gone> {
        if let Some(Position(position)) = self.reset {
            let event = sse::Event::default().event("reset").id(position.to_string());
            send(sender, data(event, &Reset { position })).await?;
        }
        loop {
            for (place, event) in std::mem::take(&mut self.first) {
                send(sender, written(place, &event)).await?;
            }
            let more = match self.read_more().await {
                Ok(more) => more,
                Err(error) if error.is_transient() => {
                    tracing::debug!(%error, "events wait for the store");
                    false
                }
                Err(error) => {
                    tracing::error!(%error, "a client is told no more events");
                    return Ok(());
                }
            };
            if more && self.first.is_empty() && self.marked.elapsed() >= MARK {
                // So that a client that resumes does not begin far back.
                self.marked = Instant::now();
                let place = EventPlace::from(self.reader.position());
                send(sender, sse::Event::default().id(place.to_string())).await?;
            }
            if self.stop.is_cancelled() || Instant::now() >= self.until {
                return Ok(());
            }
            if more {
                continue;
            }
            if self.reader.has_ended() {
                return Ok(());
            }
            tokio::select! {
                () = self.reader.changed() => {}
                () = self.stop.cancelled() => return Ok(()),
                () = sender.closed() => return Ok(()),
                () = tokio::time::sleep_until(self.until) => return Ok(()),
            }
        }
    }
}

/// Hands an event to the connection of a client that takes it in time.
async fn send(sender: &mpsc::Sender<Result<sse::Event, Infallible>>, event: sse::Event) -> Result<(), Gone> {
    sender.send_timeout(Ok(event), PATIENCE).await.map_err(|_| Gone)
}

fn written(place: EventPlace, event: &Event) -> sse::Event {
    let view = EventView {
        name: &event.name,
        position: place.position().0,
        ordinal: event.ordinal,
        at: event.at,
        payload: &event.payload,
    };
    data(
        sse::Event::default().id(place.to_string()).event(&event.name),
        &view,
    )
}

/// Adds the data. Plain values can always be written, and JSON has no line breaks.
fn data<T: Serialize>(event: sse::Event, data: &T) -> sse::Event {
    event.data(serde_json::to_string(data).unwrap_or_default())
}
