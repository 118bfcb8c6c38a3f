//! Traces: a span for each task whose work has ended and for each attempt, sent to a collector by OTLP over HTTP.
//!
//! A span is made in the process that recorded what it is about, after that was committed. Its ids follow from those of the
//! task and the run, so that spans from many processes fit together and nothing about them needs to be kept.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue, Value};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use tasker_engine::{Failure, Store, SystemEvent, Telling, TraceContext};
use tasker_types::{Batching, RunNo, StepNo, TaskId, TaskState, TelemetryValues, Timestamp};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::created_at;
use super::known::{Known, KnownTask};

/// How many spans wait at most; more are dropped, and counted.
const CAPACITY: usize = 4_096;
/// How long a collector may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// How long to wait for the last spans when the program ends.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How many spans came to what.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SpanCounts {
    /// Taken by the collector.
    pub(crate) sent: u64,
    /// Not taken by it.
    pub(crate) failed: u64,
    /// Too many to wait.
    pub(crate) dropped: u64,
}

#[derive(Debug, Default)]
struct Counters {
    sent: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

/// How an attempt ended.
#[derive(Debug)]
pub(super) struct Attempt {
    pub(super) task: TaskId,
    pub(super) step: StepNo,
    pub(super) run: RunNo,
    /// Which attempt it was.
    pub(super) number: u32,
    pub(super) event: SystemEvent,
    /// What went wrong.
    pub(super) problem: Option<String>,
    pub(super) end: &'static str,
    pub(super) ended_at: Timestamp,
    pub(super) ran_for: Duration,
}

/// What there is to tell.
#[derive(Debug)]
enum Tale {
    Ended(Attempt),
    /// The lease of an attempt expired.
    Lost(TaskId, StepNo, Timestamp),
    Finished(TaskId, TaskState, SystemEvent, Timestamp),
    Flush(oneshot::Sender<()>),
}

/// Where spans go.
pub(crate) struct Spans {
    teller: Arc<Teller>,
    /// Made with the first span: there need be no runtime before.
    tales: OnceLock<mpsc::Sender<Tale>>,
}

/// What makes spans of tales, and sends them.
struct Teller {
    exporter: SpanExporter,
    store: Arc<dyn Store>,
    known: Arc<Known>,
    telling: Arc<Telling>,
    batching: Batching,
    counters: Counters,
}

impl fmt::Debug for Spans {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Spans")
            .field("counts", &self.counts())
            .finish_non_exhaustive()
    }
}

impl Spans {
    /// Has spans sent to the configured place, if there is one; what is not known of a task is asked of the store.
    ///
    /// # Errors
    ///
    /// Why they cannot be sent there.
    pub(crate) fn configured(
        telemetry: &TelemetryValues,
        telling: &Arc<Telling>,
        known: &Arc<Known>,
        store: &Arc<dyn Store>,
    ) -> Result<Option<Self>, String> {
        let Some(endpoint) = telemetry.otlp_endpoint.as_ref().filter(|_| telemetry.enabled) else {
            return Ok(None);
        };
        let mut exporter = SpanExporter::builder()
            .with_http()
            .with_http_client(crate::builtin::http_client()?)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(endpoint)
            .with_timeout(PATIENCE)
            .build()
            .map_err(|error| error.to_string())?;
        let version = telemetry.service_version.as_deref();
        let resource = Resource::builder_empty()
            .with_service_name(telemetry.service_name.clone())
            .with_attribute(KeyValue::new(
                "service.version",
                version.unwrap_or(env!("CARGO_PKG_VERSION")).to_owned(),
            ));
        exporter.set_resource(&resource.build());
        let teller = Teller {
            exporter,
            store: Arc::clone(store),
            known: Arc::clone(known),
            telling: Arc::clone(telling),
            batching: telemetry.batching.clone(),
            counters: Counters::default(),
        };
        Ok(Some(Self {
            teller: Arc::new(teller),
            tales: OnceLock::new(),
        }))
    }

    pub(crate) fn counts(&self) -> SpanCounts {
        let Counters {
            sent,
            failed,
            dropped,
        } = &self.teller.counters;
        SpanCounts {
            sent: sent.load(Ordering::Relaxed),
            failed: failed.load(Ordering::Relaxed),
            dropped: dropped.load(Ordering::Relaxed),
        }
    }

    pub(super) fn ended(&self, attempt: Attempt) {
        self.tell(Tale::Ended(attempt));
    }

    pub(super) fn lost(&self, task: TaskId, step: StepNo, at: Timestamp) {
        self.tell(Tale::Lost(task, step, at));
    }

    pub(super) fn finished(&self, task: TaskId, state: TaskState, event: SystemEvent, at: Timestamp) {
        self.tell(Tale::Finished(task, state, event, at));
    }

    /// Sends what waits, unless that takes too long.
    pub(crate) async fn flush(&self) {
        let Some(tales) = self.tales.get() else { return };
        let (reply, flushed) = oneshot::channel();
        let sent = async {
            if tales.send(Tale::Flush(reply)).await.is_ok() {
                // When nobody answers, nobody is there to send anything.
                let _ = flushed.await;
            }
        };
        if tokio::time::timeout(LAST_WORDS, sent).await.is_err() {
            tracing::warn!("the collector of traces did not take the last spans in time");
        }
    }

    fn tell(&self, tale: Tale) {
        let tales = self.tales.get_or_init(|| {
            let (sender, receiver) = mpsc::channel(CAPACITY);
            tokio::spawn(Arc::clone(&self.teller).run(receiver));
            sender
        });
        if tales.try_send(tale).is_err() {
            self.teller.counters.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }
}

impl Teller {
    /// Sends what it is told of, until nobody tells anything any more.
    async fn run(self: Arc<Self>, mut tales: mpsc::Receiver<Tale>) {
        let Batching {
            enabled,
            buffer_size,
            flush_interval_seconds,
        } = self.batching;
        let most = if enabled { buffer_size as usize } else { 1 };
        let interval = Duration::from_secs_f64(flush_interval_seconds);
        let mut waiting: Vec<SpanData> = Vec::new();
        let mut until = Instant::now();
        loop {
            let tale = if waiting.is_empty() {
                tales.recv().await
            } else {
                match timeout_at(until, tales.recv()).await {
                    Ok(tale) => tale,
                    Err(_) => {
                        self.send(&mut waiting).await;
                        continue;
                    }
                }
            };
            match tale {
                Some(Tale::Flush(reply)) => {
                    self.send(&mut waiting).await;
                    // Who does not wait any more need not be told.
                    let _ = reply.send(());
                }
                Some(tale) => {
                    let Some(span) = self.span(tale).await else {
                        continue;
                    };
                    if waiting.is_empty() {
                        until = Instant::now() + interval;
                    }
                    waiting.push(span);
                    if waiting.len() >= most {
                        self.send(&mut waiting).await;
                    }
                }
                None => return self.send(&mut waiting).await,
            }
        }
    }

    async fn send(&self, waiting: &mut Vec<SpanData>) {
        if waiting.is_empty() {
            return;
        }
        let count = waiting.len() as u64;
        match self.exporter.export(std::mem::take(waiting)).await {
            Ok(()) => {
                self.counters.sent.fetch_add(count, Ordering::Relaxed);
            }
            Err(error) => {
                let before = self.counters.failed.fetch_add(count, Ordering::Relaxed);
                // Once, and not for every span of a long night.
                if before == 0 {
                    tracing::warn!(%error, "the collector of traces does not take spans; they are counted, and dropped");
                }
            }
        }
    }

    /// Makes the span of a tale, if it is to be told.
    async fn span(&self, tale: Tale) -> Option<SpanData> {
        match tale {
            Tale::Ended(attempt) => {
                let known = self.known(attempt.task).await?;
                self.of_attempt(&known, &attempt)
            }
            Tale::Lost(task, step, at) => {
                let record = self.store.snapshot(task).await.ok()??;
                let known = KnownTask::of(&record.task.template, &record.task.origin);
                let step = record.steps.iter().find(|each| each.step == step)?;
                let attempt = Attempt {
                    task,
                    step: step.step,
                    run: step.run,
                    number: step.attempts,
                    event: SystemEvent::StepFailed,
                    problem: Some(Failure::LEASE_EXPIRED.to_owned()),
                    end: "lost",
                    ended_at: at,
                    ran_for: at.since(step.started_at?),
                };
                self.of_attempt(&known, &attempt)
            }
            Tale::Finished(task, state, event, at) => {
                let known = self.known(task).await?;
                self.of_task(task, &known, state, event, at)
            }
            Tale::Flush(_) => None,
        }
    }

    async fn known(&self, task: TaskId) -> Option<Arc<KnownTask>> {
        if let Some(known) = self.known.task(task) {
            return Some(known);
        }
        let snapshot = self.store.snapshot(task).await.ok()??;
        Some(Arc::new(KnownTask::of(
            &snapshot.task.template,
            &snapshot.task.origin,
        )))
    }

    fn of_task(
        &self,
        task: TaskId,
        known: &KnownTask,
        state: TaskState,
        event: SystemEvent,
        at: Timestamp,
    ) -> Option<SpanData> {
        let span = self.telling.task(task, known.trace_context);
        if !self.telling.tells(event, &span) {
            return None;
        }
        let mut attributes = of_task(task, known);
        attributes.push(KeyValue::new("tasker.state", state.as_str()));
        let status = match state {
            TaskState::Complete | TaskState::ResolvedManually => Status::Ok,
            TaskState::Error => Status::error("the task cannot go on"),
            _ => Status::Unset,
        };
        Some(SpanData {
            parent_span_id: known
                .trace_context
                .map_or(SpanId::INVALID, |parent| SpanId::from(parent.span_id())),
            parent_span_is_remote: known.trace_context.is_some(),
            status,
            ..span_data(
                span,
                known.template.name().to_string(),
                created_at(task),
                at,
                attributes,
            )
        })
    }

    fn of_attempt(&self, known: &KnownTask, attempt: &Attempt) -> Option<SpanData> {
        let task = self.telling.task(attempt.task, known.trace_context);
        if !self.telling.tells(attempt.event, &task) {
            return None;
        }
        let template = known.template.steps().get(attempt.step.0 as usize)?;
        let mut attributes = of_task(attempt.task, known);
        let number = |number: u32| Value::I64(number.into());
        attributes.extend([
            KeyValue::new("tasker.step", template.name().to_string()),
            KeyValue::new("tasker.handler", template.handler().to_string()),
            KeyValue::new("tasker.run", number(attempt.run.0)),
            KeyValue::new("tasker.attempt", number(attempt.number)),
            KeyValue::new("tasker.end", attempt.end),
        ]);
        let status = match &attempt.problem {
            Some(code) => {
                attributes.push(KeyValue::new("error.type", code.clone()));
                Status::error(code.clone())
            }
            None if attempt.event == SystemEvent::StepCompleted => Status::Ok,
            None => Status::Unset,
        };
        let begun = Timestamp::from_micros(
            attempt.ended_at.as_micros() - i64::try_from(attempt.ran_for.as_micros()).unwrap_or_default(),
        );
        let span = task.of_run(attempt.step, attempt.run);
        let name = template.name().to_string();
        Some(SpanData {
            parent_span_id: SpanId::from(task.span_id()),
            status,
            ..span_data(span, name, begun, attempt.ended_at, attributes)
        })
    }
}

/// Returns what is said of a task and of each of its attempts.
fn of_task(task: TaskId, known: &KnownTask) -> Vec<KeyValue> {
    let template = &known.template;
    let mut attributes = vec![
        KeyValue::new("tasker.task_id", task.to_string()),
        KeyValue::new("tasker.namespace", template.namespace().to_string()),
        KeyValue::new("tasker.task", template.name().to_string()),
        KeyValue::new("tasker.version", template.version().to_string()),
    ];
    let correlation_id = known.correlation_id.clone();
    attributes.extend(correlation_id.map(|id| KeyValue::new("tasker.correlation_id", id)));
    attributes
}

fn span_data(
    span: TraceContext,
    name: String,
    begun: Timestamp,
    ended: Timestamp,
    attributes: Vec<KeyValue>,
) -> SpanData {
    SpanData {
        span_context: SpanContext::new(
            TraceId::from(span.trace_id()),
            SpanId::from(span.span_id()),
            TraceFlags::SAMPLED,
            false,
            TraceState::NONE,
        ),
        parent_span_id: SpanId::INVALID,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: name.into(),
        start_time: system_time(begun),
        end_time: system_time(ended),
        attributes,
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: Status::Unset,
        instrumentation_scope: InstrumentationScope::builder("tasker")
            .with_version(env!("CARGO_PKG_VERSION"))
            .build(),
    }
}

/// Returns the time; what is before 1970 is told as 1970.
fn system_time(at: Timestamp) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_micros(u64::try_from(at.as_micros()).unwrap_or_default())
}
