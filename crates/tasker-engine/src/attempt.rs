//! One attempt while it runs: what was claimed, and what its handler asks for beside its result.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sha2::{Digest, Sha256};
use tasker_types::{EventDefinition, Limits, TaskId, Timestamp};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::claim::{Claim, Lease, Progress};
use crate::events::Published;
use crate::failure::Failure;
use crate::handler::StepError;
use crate::json::Json;
use crate::request::{Identity, TaskRequest};
use crate::store::NewTask;
use crate::trace::TraceContext;

/// How many events one attempt may publish.
const MOST_EVENTS: usize = 100;

/// What requests of handlers for tasks are checked with.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) limits: Arc<Limits>,
    pub(crate) identity: Arc<dyn Identity>,
}

/// The longest note that is kept, in characters.
const NOTE: usize = 200;

/// What a handler says of itself while it runs, and a way to have the worker know that it did.
#[derive(Clone, Debug, Default)]
pub(crate) struct Said {
    saying: Arc<Mutex<Saying>>,
    told: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Saying {
    progress: Option<Progress>,
    /// No renewal has taken it along.
    unsent: bool,
}

impl Said {
    /// Returns the place for what one handler says, of which `told` notifies the worker.
    pub(crate) fn new(told: Arc<Notify>) -> Self {
        Self {
            saying: Arc::default(),
            told,
        }
    }

    fn saying(&self) -> MutexGuard<'_, Saying> {
        self.saying.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes what is said.
    pub(crate) fn change(&self, change: impl FnOnce(&mut Progress)) {
        let mut saying = self.saying();
        change(saying.progress.get_or_insert_default());
        saying.unsent = true;
        drop(saying);
        self.told.notify_one();
    }

    /// Takes out what was said since the last time.
    pub(crate) fn take(&self) -> Option<Progress> {
        let mut saying = self.saying();
        std::mem::take(&mut saying.unsent)
            .then(|| saying.progress.clone())
            .flatten()
    }

    /// Has what was taken out taken again: it did not arrive.
    pub(crate) fn put_back(&self) {
        let mut saying = self.saying();
        saying.unsent = saying.progress.is_some();
    }
}

/// Cuts a note to what is kept.
pub(crate) fn note(text: &str) -> String {
    text.chars().take(NOTE).collect()
}

/// An attempt at a step, shared between the worker and the handler.
#[derive(Debug)]
pub(crate) struct Attempt {
    pub(crate) claim: Claim,
    /// Its span.
    pub(crate) trace: TraceContext,
    pub(crate) stop: CancellationToken,
    pub(crate) said: Said,
    requests: Arc<Requests>,
    /// The events that the handler declares; the template declares others.
    declared: Vec<EventDefinition>,
    /// Events to record with the end, whatever it is; `None` when the attempt has ended.
    events: Mutex<Option<Vec<Published>>>,
    /// Tasks to create with the result; `None` when the attempt has ended.
    tasks: Mutex<Option<Vec<NewTask>>>,
}

impl Attempt {
    pub(crate) fn new(
        claim: Claim,
        trace: TraceContext,
        declared: Vec<EventDefinition>,
        requests: Arc<Requests>,
        said: Said,
    ) -> Self {
        Self {
            claim,
            trace,
            stop: CancellationToken::new(),
            said,
            requests,
            declared,
            events: Mutex::new(Some(Vec::new())),
            tasks: Mutex::new(Some(Vec::new())),
        }
    }

    /// Checks a request for a task, and keeps the task until the attempt ends.
    pub(crate) fn create_task(&self, request: TaskRequest) -> Result<TaskId, StepError> {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(tasks) = &mut *tasks else {
            let message = "the step has ended, and a task is created with its result or not at all";
            return Err(StepError::permanent(Failure::REQUEST_REJECTED, message));
        };
        let id = child_id(&self.claim.lease, tasks.len());
        let Requests { limits, identity } = &*self.requests;
        let task = request
            .created_by(&self.claim, self.trace)
            .prepare(id, limits, &**identity)
            .map_err(|error| StepError::permanent(Failure::REQUEST_REJECTED, error.to_string()))?;
        tasks.push(task);
        Ok(id)
    }

    /// Checks an event, and keeps it until the attempt ends.
    pub(crate) fn publish(&self, name: &str, data: Json) -> Result<(), StepError> {
        let rejected = |message: String| Err(StepError::permanent(Failure::EVENT_REJECTED, message));
        let step = self.claim.template();
        let templates = step.events().iter().map(|event| event.name.as_str());
        let declared: Vec<&str> = templates
            .chain(self.declared.iter().map(|event| event.name.as_str()))
            .collect();
        if !declared.contains(&name) {
            let declares = match &*declared {
                [] => "it declares none".to_owned(),
                declared => format!("it declares `{}`", declared.join("`, `")),
            };
            return rejected(format!(
                "neither the step `{}` nor its handler declares the event `{name}` (`events`); {declares}",
                step.name()
            ));
        }
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(events) = &mut *events else {
            return rejected(
                "the step has ended, and an event is recorded with its end or not at all".to_owned(),
            );
        };
        let size = |event: &Published| event.data.as_str().len() as u64;
        let total = events.iter().map(size).sum::<u64>() + data.as_str().len() as u64;
        let limit = self.requests.limits.result;
        if total > limit {
            return rejected(format!(
                "the events of the attempt have {total} bytes, but the limit is {limit} (`limits.result`)"
            ));
        }
        if events.len() == MOST_EVENTS {
            return rejected(format!("an attempt publishes at most {MOST_EVENTS} events"));
        }
        events.push(Published {
            name: name.to_owned(),
            data,
        });
        Ok(())
    }

    /// Ends the attempt, and returns the tasks that were asked for and the events that were published.
    pub(crate) fn end(&self) -> (Vec<NewTask>, Vec<Published>) {
        let mut tasks = self.tasks.lock().unwrap_or_else(PoisonError::into_inner);
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        (
            tasks.take().unwrap_or_default(),
            events.take().unwrap_or_default(),
        )
    }
}

/// Returns the id of the n-th task that a step asks for. It is the same in every attempt, so that a handler may tell
/// others of it before it is created; its time is that of the parent's id.
fn child_id(lease: &Lease, number: usize) -> TaskId {
    let parent = lease.task.as_bytes();
    let mut digest = Sha256::new();
    digest.update(parent);
    digest.update(lease.step.0.to_be_bytes());
    digest.update((number as u64).to_be_bytes());
    let mut random = [0; 16];
    random.copy_from_slice(&digest.finalize()[..16]);
    let millis = parent[..6]
        .iter()
        .fold(0, |millis, byte| millis << 8 | i64::from(*byte));
    TaskId::new(
        Timestamp::from_micros(millis.saturating_mul(1_000)),
        u128::from_be_bytes(random),
    )
}
