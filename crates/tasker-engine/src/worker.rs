//! The worker: claims steps, runs their handlers, and reports what became of them.
//!
//! It is a thin shell. What is ready, what a failure means and when a task is over is decided by pure functions and
//! made durable by the store; the worker decides when to ask. It asks once for everything: one
//! [`turn`](crate::Store::turn) at a time carries all outcomes that came in while the last one was under way, so that
//! a lone step never waits for company and a crowd shares commits.

mod execute;
mod pace;
mod telling;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tasker_types::{Backoff, Execution, LeaseToken, Limits, TaskId, TaskState, WorkerId};
use tokio::sync::{Notify, broadcast, mpsc, oneshot};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{Instrument as _, Span};

use crate::attempt::{Requests, Said};
use crate::claim::{Claim, End, Lease, Outcome, Receipt};
use crate::clock::{Clock, Entropy};
use crate::enqueuing::{CheckIn, Enqueuing};
use crate::events::{Emitter, SystemEvent, Telling};
use crate::finalizer::{Decision, decide};
use crate::handler::Handlers;
use crate::record::Actor;
use crate::request::{Identity, UniqueIdentity};
use crate::store::{
    Accepts, Create, CreateReply, Created, LeaseStatus, NewTask, Renewal, Scope, Store, StoreError, Sweep,
    Swept, Turn, TurnReply, Want,
};
use execute::{Ended, Environment, Stop, StopReason};
use pace::{ASK, Pace, seconds};

/// How many steps a worker runs at a time when neither it nor the configuration says so.
const DEFAULT_CONCURRENCY: u32 = 8;
/// How many leases, deadlines and tasks one sweep deals with.
const SWEEP_LIMIT: u32 = 1_000;
/// How long a notice of a finished task waits for a slow listener, in notices.
const NOTICES: usize = 4_096;

/// Runs steps until it is told to stop.
#[derive(Debug)]
pub struct Worker {
    id: WorkerId,
    store: Arc<dyn Store>,
    environment: Arc<Environment>,
    accepts: Arc<dyn Accepts>,
    execution: Arc<Execution>,
    backoff: Arc<Backoff>,
    entropy: Arc<dyn Entropy>,
    enqueuing: Arc<dyn Enqueuing>,
    events: Emitter,
    scope: Scope,
    /// Notified when a handler says how far it is.
    said: Arc<Notify>,
    requests: mpsc::UnboundedReceiver<Request>,
    finished: broadcast::Sender<(TaskId, TaskState)>,
    handle: WorkerHandle,
}

/// What a worker is made of.
#[derive(Clone, Debug)]
pub struct WorkerSetup {
    /// Where tasks are kept.
    pub store: Arc<dyn Store>,
    /// What runs their steps.
    pub handlers: Handlers,
    /// The time, for the worker's id; leases are timed by the store.
    pub clock: Arc<dyn Clock>,
    /// Where ids, tokens and jitter come from.
    pub entropy: Arc<dyn Entropy>,
    /// How steps are run.
    pub execution: Arc<Execution>,
    /// How long failed steps wait.
    pub backoff: Arc<Backoff>,
    /// How large things may be.
    pub limits: Arc<Limits>,
    /// What identity the tasks have that handlers create.
    pub identity: Arc<dyn Identity>,
    /// What happens when a task must be looked at again.
    pub enqueuing: Arc<dyn Enqueuing>,
    /// Who is told of what happens here and is in no history.
    pub events: Emitter,
    /// What is told of it in the log.
    pub telling: Arc<Telling>,
    /// Which tasks to work on.
    pub scope: Scope,
}

impl WorkerSetup {
    /// Returns a set-up with the default settings, for all tasks.
    pub fn new(
        store: Arc<dyn Store>,
        handlers: Handlers,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
    ) -> Self {
        Self {
            store,
            handlers,
            clock,
            entropy,
            execution: Arc::default(),
            backoff: Arc::default(),
            limits: Arc::default(),
            identity: Arc::new(UniqueIdentity),
            enqueuing: Arc::new(CheckIn),
            events: Emitter::default(),
            telling: Arc::default(),
            scope: Scope::All,
        }
    }
}

/// Asks a running worker for something. Copies ask the same worker.
#[derive(Clone, Debug)]
pub struct WorkerHandle {
    id: WorkerId,
    requests: mpsc::UnboundedSender<Request>,
    finished: broadcast::Sender<(TaskId, TaskState)>,
}

/// A request to a worker.
#[derive(Debug)]
struct Request {
    actor: Actor,
    tasks: Vec<NewTask>,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<Vec<Created>, StoreError>>;

impl WorkerHandle {
    /// Returns the worker's id.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Creates tasks, and has the worker run their first steps at once: they are created and claimed in one commit.
    ///
    /// # Errors
    ///
    /// What the store says; [`StoreError::Closed`] when the worker has stopped.
    pub async fn create(&self, actor: Actor, tasks: Vec<NewTask>) -> Result<Vec<Created>, StoreError> {
        let (reply, answer) = oneshot::channel();
        self.requests
            .send(Request { actor, tasks, reply })
            .map_err(|_| StoreError::Closed)?;
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Returns the tasks that this worker sees end, as they end. Tasks that end elsewhere are not among them.
    pub fn finished(&self) -> broadcast::Receiver<(TaskId, TaskState)> {
        self.finished.subscribe()
    }
}

/// A call to the store that is under way.
type Call<T> = Option<Pin<Box<dyn Future<Output = T> + Send>>>;

/// The leases that were to be renewed, and how they stand.
type Renewed = (Vec<Lease>, Result<Vec<LeaseStatus>, StoreError>);

/// What came back from the store.
enum Answer {
    Turned(Turn, Result<TurnReply, StoreError>),
    Created {
        wanted: u32,
        topped_up: bool,
        token: LeaseToken,
        /// Whether one of the tasks has a deadline.
        deadlines: bool,
        /// Whether one of them starts later.
        delays: bool,
        reply: Reply,
        result: Result<CreateReply, StoreError>,
    },
}

/// What the worker has of a claim whose outcome is not recorded yet.
#[derive(Clone, Debug)]
struct Held {
    stop: Stop,
    said: Said,
    /// What is logged of it is logged within.
    span: Span,
    since: Instant,
    /// How many hints the worker had when the store last said that the lease is held.
    hints: u64,
}

impl Held {
    /// Tells whether the lease may have ended, so far as hints tell.
    fn is_doubtful(&self, hints: u64) -> bool {
        self.hints < hints
    }
}

/// What changes while the worker runs.
struct Shift {
    running: JoinSet<Ended>,
    /// Every claim whose outcome is not recorded yet.
    held: BTreeMap<Lease, Held>,
    outcomes: VecDeque<Outcome>,
    /// Claims whose handlers are not started yet, with the hints that the worker had when it asked for them.
    arrived: Vec<(Claim, u64)>,
    /// How often the store said that something changed.
    hints: u64,
    /// How often when the call under way began.
    hints_before: u64,
    requests: VecDeque<Request>,
    /// The token of a creation that was not answered: what it may have handed out is asked for before anything else.
    unheard: Option<LeaseToken>,
    pace: Pace,
    /// The last look for work found none.
    idle: bool,
    stopping: bool,
}

impl Worker {
    /// Returns a worker, not yet running.
    pub fn new(setup: WorkerSetup) -> Self {
        let id = WorkerId::new(setup.clock.now(), setup.entropy.next_u128());
        let (sender, requests) = mpsc::unbounded_channel();
        let (finished, _) = broadcast::channel(NOTICES);
        Self {
            id,
            store: setup.store,
            accepts: Arc::new(setup.handlers.clone()),
            environment: Arc::new(Environment {
                handlers: setup.handlers,
                backoff: Arc::clone(&setup.backoff),
                limits: Arc::clone(&setup.limits),
                requests: Arc::new(Requests {
                    limits: setup.limits,
                    identity: setup.identity,
                }),
                entropy: Arc::clone(&setup.entropy),
                events: setup.events.clone(),
                telling: setup.telling,
            }),
            events: setup.events,
            execution: setup.execution,
            backoff: setup.backoff,
            entropy: setup.entropy,
            enqueuing: setup.enqueuing,
            scope: setup.scope,
            said: Arc::default(),
            requests,
            finished: finished.clone(),
            handle: WorkerHandle {
                id,
                requests: sender,
                finished,
            },
        }
    }

    /// Returns the worker's id, new for every incarnation.
    pub fn id(&self) -> WorkerId {
        self.id
    }

    /// Returns a way to ask the worker for something while it runs.
    pub fn handle(&self) -> WorkerHandle {
        self.handle.clone()
    }

    /// Runs until `shutdown` is cancelled and what runs has ended, within the grace.
    ///
    /// On shutdown nothing more is claimed; what has not begun is handed back with its attempt; what runs may end
    /// within `shutdown_grace_seconds` and is interrupted then, or at once when `abort` is cancelled.
    ///
    /// # Errors
    ///
    /// When the store fails in a way that time does not mend. Leases then end by themselves.
    pub async fn run(
        mut self,
        shutdown: CancellationToken,
        abort: CancellationToken,
    ) -> Result<(), StoreError> {
        let mut shift = Shift {
            running: JoinSet::new(),
            held: BTreeMap::new(),
            outcomes: VecDeque::new(),
            arrived: Vec::new(),
            hints: 0,
            hints_before: 0,
            requests: VecDeque::new(),
            unheard: None,
            pace: Pace::new(&self.execution),
            idle: true,
            stopping: false,
        };
        let mut wake = self.store.wake();
        let mut call: Call<Answer> = None;
        let mut renewing: Call<Renewed> = None;
        let mut sweeping: Call<Result<Swept, StoreError>> = None;
        let mut grace_ends: Option<Instant> = None;
        loop {
            if call.is_none() {
                shift.hints_before = shift.hints;
                call = self.next_call(&mut shift);
            }
            if shift.stopping && call.is_none() && shift.arrived.is_empty() && shift.running.is_empty() {
                return Ok(());
            }
            let look_at = (call.is_none() && self.free_slots(&shift) > 0).then(|| shift.pace.turn_at());
            tokio::select! {
                biased;
                answer = poll(&mut call) => call = self.answered(&mut shift, answer)?,
                // The store has the next call by now.
                () = std::future::ready(()), if !shift.arrived.is_empty() => self.begin(&mut shift),
                Some(ended) = shift.running.join_next() => {
                    shift.ended(ended);
                    while let Some(ended) = shift.running.try_join_next() {
                        shift.ended(ended);
                    }
                }
                Some(request) = self.requests.recv(), if !shift.stopping => shift.requests.push_back(request),
                Ok(()) = wake.changed() => {
                    shift.hints += 1;
                    shift.pace.hurry();
                    shift.pace.ask_soon();
                }
                () = shutdown.cancelled(), if !shift.stopping => {
                    shift.stopping = true;
                    grace_ends = Some(Instant::now() + seconds(self.execution.shutdown_grace_seconds));
                }
                () = abort.cancelled(), if grace_ends.is_some() => {
                    grace_ends = None;
                    shift.interrupt();
                }
                () = until(grace_ends) => {
                    grace_ends = None;
                    shift.interrupt();
                }
                (leases, result) = poll(&mut renewing) => {
                    renewing = None;
                    shift.renewed(&leases, result);
                }
                result = poll(&mut sweeping) => {
                    sweeping = None;
                    self.swept(&mut shift, result);
                }
                () = self.said.notified() => shift.pace.renew_soon(),
                () = tokio::time::sleep_until(shift.pace.renewal_at()), if renewing.is_none() => {
                    renewing = self.renew(&mut shift);
                }
                () = tokio::time::sleep_until(shift.pace.sweep_at()), if sweeping.is_none() => {
                    shift.pace.swept();
                    sweeping = Some(self.sweep());
                }
                () = until(look_at) => {}
            }
        }
    }

    fn free_slots(&self, shift: &Shift) -> u32 {
        if shift.stopping {
            return 0;
        }
        let slots = self.execution.max_concurrent_steps.unwrap_or(DEFAULT_CONCURRENCY);
        let taken = shift.running.len() + shift.arrived.len();
        slots.saturating_sub(u32::try_from(taken).unwrap_or(u32::MAX))
    }

    fn want(&self, limit: u32, top_up: bool) -> Want {
        Want {
            limit: limit.min(self.execution.claim_batch),
            accepts: Arc::clone(&self.accepts),
            scope: self.scope,
            top_up,
            lease: seconds(self.execution.lease_seconds),
            token: LeaseToken((self.entropy.next_u64() >> 1).cast_signed()),
        }
    }

    /// Returns when the safety net first looks at a new task.
    fn check_in(&self) -> Duration {
        Duration::from_secs(self.backoff.default_reenqueue_delay)
    }

    /// Returns the call that is due now, if one is.
    fn next_call(&self, shift: &mut Shift) -> Call<Answer> {
        let free = self.free_slots(shift);
        let is_due = shift.pace.turn_at() <= Instant::now();
        if let Some(token) = shift.unheard.take() {
            let want = Want {
                token,
                ..self.want(free, true)
            };
            let turn = Turn {
                again: true,
                ..Turn::new(self.id, shift.next_outcomes(self.execution.claim_batch), want)
            };
            return Some(self.call_turn(turn, Duration::ZERO));
        }
        if let Some(Request { actor, tasks, reply }) = shift.requests.pop_front() {
            let want = self.want(free, is_due);
            let (wanted, token) = (want.limit, want.token);
            let deadlines = tasks.iter().any(|task| task.deadline_at.is_some());
            let delays = tasks.iter().any(|task| task.start_at.is_some());
            let create = Create {
                check_in: self.check_in(),
                ..Create::new(self.id, actor, tasks).wanting(want)
            };
            let store = Arc::clone(&self.store);
            return Some(Box::pin(async move {
                Answer::Created {
                    wanted,
                    topped_up: is_due,
                    token,
                    deadlines,
                    delays,
                    reply,
                    result: store.create(create).await,
                }
            }));
        }
        let looks = free > 0 && is_due;
        if shift.outcomes.is_empty() && !looks {
            return None;
        }
        let outcomes = shift.next_outcomes(self.execution.claim_batch);
        Some(self.call_turn(
            Turn::new(self.id, outcomes, self.want(free, looks)),
            Duration::ZERO,
        ))
    }

    fn call_turn(&self, mut turn: Turn, after: Duration) -> Pin<Box<dyn Future<Output = Answer> + Send>> {
        turn.check_in = self.check_in();
        let store = Arc::clone(&self.store);
        Box::pin(async move {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let result = store.turn(turn.clone()).await;
            Answer::Turned(turn, result)
        })
    }

    /// Takes in what the store answered; returns the call to make at once, if the same is to be tried again.
    fn answered(&self, shift: &mut Shift, answer: Answer) -> Result<Call<Answer>, StoreError> {
        match answer {
            Answer::Created {
                wanted,
                topped_up,
                token,
                deadlines,
                delays,
                reply,
                result,
            } => {
                if deadlines {
                    // Only a sweep tells how far off they are, by the store's clock.
                    shift.pace.sweep_within(Duration::ZERO);
                }
                if result.as_ref().is_err_and(StoreError::is_transient) {
                    shift.unheard = Some(token);
                }
                // A caller that has gone away does not need its answer.
                let _ = reply.send(result.map(|created| {
                    for task in &created.tasks {
                        if let Created::New(task) = task {
                            self.events
                                .look(SystemEvent::ObservabilityTaskEnqueue, *task, |_| {});
                        }
                    }
                    shift.pace.turned(count(&created.claims), wanted, None, topped_up);
                    if delays {
                        // Only a turn tells how far off they are.
                        shift.pace.hurry();
                    }
                    self.arrive(shift, wanted, created.claims);
                    self.announce(&created.finished);
                    created.tasks
                }));
            }
            Answer::Turned(turn, Ok(reply)) => {
                for (lease, created) in &reply.created {
                    if !matches!(created, Created::New(_)) {
                        shift.within(lease, || {
                            tracing::warn!(?created, "a step asked for a task that there is already");
                        });
                    }
                }
                for (outcome, receipt) in turn.outcomes.iter().zip(&reply.receipts) {
                    if *receipt != Receipt::Recorded {
                        shift.within(&outcome.lease, || {
                            tracing::warn!(?receipt, "the end of a step came too late to be its result");
                        });
                    }
                    shift.held.remove(&outcome.lease);
                }
                shift.pace.turned(
                    count(&reply.claims),
                    turn.want.limit,
                    reply.next_due_in,
                    turn.want.top_up,
                );
                self.arrive(shift, turn.want.limit, reply.claims);
                self.announce(&reply.finished);
            }
            Answer::Turned(mut turn, Err(error)) if error.is_transient() => {
                let wait = shift.pace.after_trouble();
                tracing::warn!(%error, ?wait, "the store did not take a turn, trying again");
                turn.again = true;
                return Ok(Some(self.call_turn(turn, wait)));
            }
            Answer::Turned(_, Err(error)) => return Err(error),
        }
        Ok(None)
    }

    /// Takes claims in.
    fn arrive(&self, shift: &mut Shift, wanted: u32, claims: Vec<Claim>) {
        if wanted > 0 {
            let idle = claims.is_empty();
            if !idle || !shift.idle {
                self.events.batch(self.id, count(&claims));
            }
            shift.idle = idle;
        }
        let hints = shift.hints_before;
        shift
            .arrived
            .extend(claims.into_iter().map(|claim| (claim, hints)));
    }

    /// Starts the handlers of claims; hands the claims back when the worker is stopping.
    fn begin(&self, shift: &mut Shift) {
        for (claim, hints) in std::mem::take(&mut shift.arrived) {
            let lease = claim.lease;
            let (stop, said) = (Stop::default(), Said::new(Arc::clone(&self.said)));
            let held = Held {
                stop: stop.clone(),
                said: said.clone(),
                span: telling::span(&claim),
                since: Instant::now(),
                hints,
            };
            let span = held.span.clone();
            shift.held.insert(lease, held);
            if shift.stopping {
                shift.outcomes.push_back(Outcome {
                    lease,
                    end: End::Release,
                    ran_for: None,
                    progress: None,
                    tasks: Vec::new(),
                    events: Vec::new(),
                });
                continue;
            }
            let environment = Arc::clone(&self.environment);
            shift
                .running
                .spawn(async move { environment.execute(claim, stop, said).await }.instrument(span));
        }
    }

    fn announce(&self, finished: &[(TaskId, TaskState)]) {
        for notice in finished {
            // Nobody needs to listen.
            let _ = self.finished.send(*notice);
        }
    }

    /// Renews all leases when it is time to; before that, those of which a handler has something to tell, and those that may
    /// have ended.
    fn renew(&self, shift: &mut Shift) -> Call<Renewed> {
        let all = shift.pace.renewed();
        let now = Instant::now();
        let mut renewal = Renewal::new(self.id, Vec::new(), seconds(self.execution.lease_seconds));
        let mut old_enough: Option<Instant> = None;
        for (lease, held) in &mut shift.held {
            let said = held.said.take();
            let is_doubtful = held.is_doubtful(shift.hints);
            let looked_at = held.since + ASK;
            if all || said.is_some() || (is_doubtful && looked_at <= now) {
                held.hints = shift.hints;
                renewal.leases.push(*lease);
                renewal.progress.extend(said.map(|said| (*lease, said)));
            } else if is_doubtful {
                old_enough = old_enough.max(Some(looked_at));
            }
        }
        if let Some(time) = old_enough {
            shift.pace.ask_at(time);
        }
        if renewal.leases.is_empty() {
            return None;
        }
        let leases = renewal.leases.clone();
        let store = Arc::clone(&self.store);
        Some(Box::pin(async move { (leases, store.renew(renewal).await) }))
    }

    fn sweep(&self) -> Pin<Box<dyn Future<Output = Result<Swept, StoreError>> + Send>> {
        let sweep =
            Sweep::new(SWEEP_LIMIT, Arc::clone(&self.backoff), self.entropy.next_u64()).within(self.scope);
        let store = Arc::clone(&self.store);
        let enqueuing = Arc::clone(&self.enqueuing);
        let backoff = Arc::clone(&self.backoff);
        let events = self.events.clone();
        Box::pin(async move {
            let swept = store.sweep(sweep).await?;
            for task in &swept.due {
                look_at(&*store, &*enqueuing, &backoff, &events, *task).await?;
            }
            Ok(swept)
        })
    }

    fn swept(&self, shift: &mut Shift, result: Result<Swept, StoreError>) {
        match result {
            Ok(swept) => {
                for (task, step) in &swept.expired {
                    tracing::warn!(%task, %step, "a lease ended before its step did");
                }
                if !swept.expired.is_empty() {
                    shift.pace.hurry();
                }
                self.announce(&swept.finished);
                if let Some(wait) = swept.next_deadline_in {
                    shift.pace.sweep_within(wait);
                }
            }
            Err(error) => tracing::warn!(%error, "the store did not take a sweep, trying again later"),
        }
    }
}

/// Looks at a task as the finalizer does: ends it if it is at its end, and has it looked at again if not.
///
/// The sweeper does this to tasks whose time has come; a program with a queue of its own does it to the tasks that
/// [`Forward`](crate::Forward) handed to it.
///
/// # Errors
///
/// What the store says.
pub async fn look_at(
    store: &dyn Store,
    enqueuing: &dyn Enqueuing,
    backoff: &Backoff,
    events: &Emitter,
    task: TaskId,
) -> Result<(), StoreError> {
    events.look(SystemEvent::WorkflowTaskFinalizationStarted, task, |_| {});
    let Some(context) = store.examine(task).await? else {
        return Ok(());
    };
    let decision = decide(Some(&context), backoff);
    events.look(SystemEvent::WorkflowTaskFinalizationCompleted, task, |told| {
        let word = match decision {
            Decision::Complete => "complete",
            Decision::Fail { .. } => "fail",
            Decision::LookAgain { .. } => "look_again",
        };
        told.decision = Some(word.to_owned());
    });
    let Decision::LookAgain { after, reason } = decision else {
        return Ok(());
    };
    let told = |error: Option<&StoreError>, event| {
        events.look(event, task, |told| {
            told.reason = Some(reason.to_string());
            told.after_seconds = Some(after.as_secs_f64());
            told.error = error.map(ToString::to_string);
        });
    };
    told(None, SystemEvent::WorkflowTaskReenqueueRequested);
    let noted = enqueuing.look_again(store, task, after, reason).await;
    match &noted {
        Ok(()) if after.is_zero() => {}
        Ok(()) => told(None, SystemEvent::WorkflowTaskReenqueueDelayed),
        Err(error) => told(Some(error), SystemEvent::WorkflowTaskReenqueueFailed),
    }
    noted
}

impl Shift {
    /// Logs something of a claim.
    fn within(&self, lease: &Lease, log: impl FnOnce()) {
        match self.held.get(lease) {
            Some(held) => held.span.in_scope(log),
            None => {
                let Lease { task, step, run, .. } = lease;
                tracing::error_span!("attempt", %task, step_number = %step, %run).in_scope(log);
            }
        }
    }

    /// Takes out the outcomes that the next turn carries.
    fn next_outcomes(&mut self, at_most: u32) -> Vec<Outcome> {
        let batch = self.outcomes.len().min(at_most as usize);
        self.outcomes.drain(..batch).collect()
    }

    fn ended(&mut self, ended: Result<Ended, tokio::task::JoinError>) {
        match ended {
            Ok(Ended {
                outcome: Some(outcome),
                ..
            }) => self.outcomes.push_back(outcome),
            Ok(Ended { lease, outcome: None }) => {
                self.held.remove(&lease);
            }
            // The handler's own panics are caught where it is called, so this is the engine's: its lease ends by itself.
            Err(error) => tracing::error!(%error, "a step's task ended without an outcome"),
        }
    }

    fn interrupt(&self) {
        for held in self.held.values() {
            held.stop.stop(StopReason::Interrupted);
        }
    }

    fn renewed(&self, leases: &[Lease], result: Result<Vec<LeaseStatus>, StoreError>) {
        let statuses = match result {
            Ok(statuses) => statuses,
            Err(error) => {
                tracing::warn!(%error, "the store did not renew leases, trying again later");
                for held in leases.iter().filter_map(|lease| self.held.get(lease)) {
                    held.said.put_back();
                }
                return;
            }
        };
        for (lease, status) in leases.iter().zip(statuses) {
            let reason = match status {
                LeaseStatus::Held => continue,
                LeaseStatus::Cancelled => StopReason::Cancelled,
                LeaseStatus::Lost => StopReason::LeaseLost,
            };
            if let Some(held) = self.held.get(lease) {
                held.stop.stop(reason);
            }
        }
    }
}

fn count(claims: &[Claim]) -> u32 {
    u32::try_from(claims.len()).unwrap_or(u32::MAX)
}

/// Polls a call that may not be there; without one it never ends.
async fn poll<T>(call: &mut Call<T>) -> T {
    match call {
        Some(call) => call.as_mut().await,
        None => std::future::pending().await,
    }
}

/// Waits for a time that may not be set; without one it never ends.
async fn until(time: Option<Instant>) {
    match time {
        Some(time) => tokio::time::sleep_until(time).await,
        None => std::future::pending().await,
    }
}
