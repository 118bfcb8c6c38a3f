//! The connections that write, and what they are asked.
//!
//! A few tasks share one queue of requests, each with a connection of its own. Turns, and requests for tasks, that come in
//! while a transaction is under way share the next one, so that a crowd shares a commit. A transaction runs to its end, whether or not the one who
//! asked is still there.

use std::sync::{Arc, Mutex as SyncMutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use diesel::sql_types::{BigInt, Text};
use futures_util::FutureExt as _;
use tasker_engine::{
    Actor, Clock, Create, CreateReply, End, Intervened, Intervention, LeaseStatus, Outcome, Renewal,
    StoreError, Sweep, Swept, Template, Turn, TurnReply,
};
use tasker_types::{TaskContext, TaskId};
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinHandle;

use super::cache::{Cache, Contexts};
use super::connect::Target;
use super::connection::Connection;
use super::crowd::{Crowd, Crowds, Inbox, Next, Taken, take};
use super::error::{Remedy, classify, remedy};
use super::front::Front;
use super::statement::Statement;
use super::tokens::TokenChange;
use super::turn;
use super::unit::{Ahead, Session, Trouble, Unit};
use super::within::Prepared;
use crate::pool::{Busy, Counted, Tally};
use crate::tokens::Noted;
use crate::work::Graphs;

/// How often a transaction is tried that meets others.
const TRIES: u32 = 12;

/// Where an answer goes.
pub(super) type Reply<T> = oneshot::Sender<Result<T, StoreError>>;

/// Something that is asked of the store.
pub(super) enum Job {
    Turn(Box<Turn>, Reply<TurnReply>),
    Create(Box<Create>, Reply<CreateReply>),
    Renew(Renewal, Reply<Vec<LeaseStatus>>),
    Sweep(Sweep, Reply<Swept>),
    Examine(TaskId, Reply<Option<TaskContext>>),
    CheckIn(TaskId, Duration, Reply<()>),
    Intervene(Intervention, Reply<Intervened>),
    Prepare(Vec<Actor>, Vec<Arc<Template>>, Reply<Prepared>),
    Token(TokenChange, Reply<Option<Noted>>),
}

/// What those who write share.
#[derive(Debug)]
pub(super) struct Desk {
    pub(super) target: Target,
    pub(super) clock: Option<Arc<dyn Clock>>,
    pub(super) contexts: Arc<Contexts>,
    pub(super) front: Arc<Front>,
    pub(super) graphs: Arc<Graphs>,
    /// Told when there may be work for others.
    pub(super) wake: watch::Sender<u64>,
    /// What this process signs its hints with.
    pub(super) nonce: String,
    /// Told when workers of other processes are to look, too.
    pub(super) hint: Arc<tokio::sync::Notify>,
    /// What keeps those who write busy.
    pub(super) busy: Busy,
    /// Who carries out what several share, and who comes back from it.
    pub(super) crowds: Crowds,
}

/// The tasks that write.
#[derive(Debug)]
pub(super) struct Writer {
    jobs: SyncMutex<Option<mpsc::UnboundedSender<Waiting>>>,
    tasks: Mutex<Vec<JoinHandle<()>>>,
    size: watch::Sender<u32>,
    busy: Busy,
}

/// A request that nobody has taken yet.
pub(super) type Waiting = (Job, Counted);

impl Writer {
    /// Starts so many tasks, the first with a connection that is open already; the first `size` of them work.
    pub(super) fn start(desk: &Arc<Desk>, most: u32, size: u32, first: Session) -> Self {
        let (jobs, requests) = mpsc::unbounded_channel();
        let inbox = Arc::new(Mutex::new(Inbox::new(requests)));
        let (size, sizes) = watch::channel(size);
        let mut session = Some(first);
        let tasks = (0..most)
            .map(|index| {
                let flusher = Flusher {
                    desk: Arc::clone(desk),
                    index,
                    size: sizes.clone(),
                    session: session.take(),
                };
                tokio::spawn(flusher.run(Arc::clone(&inbox)))
            })
            .collect();
        Self {
            jobs: SyncMutex::new(Some(jobs)),
            tasks: Mutex::new(tasks),
            size,
            busy: desk.busy.clone(),
        }
    }

    /// Returns how many connections write at most.
    pub(super) fn size(&self) -> u32 {
        *self.size.borrow()
    }

    /// Sets how many connections write; those beyond close when what they do is done.
    pub(super) fn resize(&self, size: u32) {
        self.size.send_if_modified(|old| {
            let changed = *old != size;
            *old = size;
            changed
        });
    }

    /// Asks for something, and waits for the answer.
    pub(super) async fn ask<T>(&self, job: impl FnOnce(Reply<T>) -> Job) -> Result<T, StoreError> {
        let (reply, answer) = oneshot::channel();
        {
            let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            let jobs = jobs.as_ref().ok_or(StoreError::Closed)?;
            let waiting = self.busy.waiting.begin();
            jobs.send((job(reply), waiting)).map_err(|_| StoreError::Closed)?;
        }
        answer.await.unwrap_or_else(|_| {
            Err(StoreError::Internal {
                store: "postgres".to_owned(),
                source: "a request panicked; it was undone".into(),
            })
        })
    }

    /// Refuses further requests, and waits until those that came in are carried out.
    pub(super) async fn close(&self) {
        self.jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Those that do not work are to see it, too.
        self.size.send_replace(u32::MAX);
        for task in self.tasks.lock().await.drain(..) {
            // A task that panicked has nothing left to wait for.
            let _ = task.await;
        }
    }
}

/// Has a connection write.
pub(super) async fn begin(
    connection: Connection<'static>,
    target: &Target,
    clock: Option<&Arc<dyn Clock>>,
    contexts: &Arc<Contexts>,
    front: &Arc<Front>,
    graphs: &Arc<Graphs>,
    opened: &Tally,
) -> Result<Session, StoreError> {
    const OFFSET: &str =
        "SELECT position_offset, gen_random_uuid()::text, pg_backend_pid()::bigint FROM tasker_schema";
    let (offset, nonce, backend) = Statement::<(BigInt, Text, BigInt)>::new(OFFSET, Vec::new())
        .get_result::<(i64, String, i64)>(&connection)
        .await
        .map_err(|error| classify(target.shown(), error))?;
    let session = Session {
        connection,
        cache: Cache::sharing(graphs),
        contexts: Arc::clone(contexts),
        front: Arc::clone(front),
        offset,
        nonce,
        backend,
        clock: clock.cloned(),
        _open: opened.begin(),
    };
    session
        .warm()
        .await
        .map_err(|error| classify(target.shown(), error))?;
    Ok(session)
}

/// One connection that writes.
struct Flusher {
    desk: Arc<Desk>,
    /// How many there are before it.
    index: u32,
    /// How many of them work.
    size: watch::Receiver<u32>,
    session: Option<Session>,
}

/// What is done in a transaction, perhaps several times.
#[async_trait]
trait Request: Sync {
    /// What is answered.
    type Answer: Send;

    /// Returns who acts in it.
    fn actors(&self) -> Vec<Actor> {
        Vec::new()
    }

    /// Returns the templates of the tasks that it creates.
    fn templates(&self) -> Vec<&Arc<Template>> {
        Vec::new()
    }

    /// Returns what it is known to look at.
    fn ahead(&self) -> Ahead<'_> {
        Ahead::default()
    }

    /// Does it; `again` when an earlier try may have been committed.
    async fn carry_out(&self, unit: &mut Unit<'_>, again: bool) -> Result<Self::Answer, Trouble>;
}

/// Requests that share a transaction.
struct Shared<'r> {
    creates: &'r [Create],
    turns: &'r [Turn],
}

#[async_trait]
impl Request for Shared<'_> {
    type Answer = (Vec<CreateReply>, Vec<TurnReply>);

    fn actors(&self) -> Vec<Actor> {
        let creators = self.creates.iter().map(|create| create.actor.clone());
        let workers = self.turns.iter().map(|turn| Actor::Worker(turn.worker));
        creators.chain(workers).collect()
    }

    fn templates(&self) -> Vec<&Arc<Template>> {
        let outcomes = self.turns.iter().flat_map(|turn| &turn.outcomes);
        let tasks = self.creates.iter().flat_map(|create| &create.tasks);
        let tasks = tasks.chain(outcomes.flat_map(|outcome| &outcome.tasks));
        tasks.map(|task| &task.template).collect()
    }

    fn ahead(&self) -> Ahead<'_> {
        let outcomes = || self.turns.iter().flat_map(|turn| &turn.outcomes);
        let place = |outcome: &Outcome| (outcome.lease.task_key, outcome.lease.step.0);
        let succeeds = |outcome: &&Outcome| matches!(outcome.end, End::Succeed { .. });
        Ahead {
            reported: outcomes().map(place).collect(),
            done: outcomes().filter(succeeds).map(place).collect(),
            wants: self.turns.iter().map(|turn| &turn.want).collect(),
            created: self.creates.iter().flat_map(|create| &create.tasks).collect(),
        }
    }

    async fn carry_out(&self, unit: &mut Unit<'_>, again: bool) -> Result<Self::Answer, Trouble> {
        let mut created = Vec::new();
        if !self.creates.is_empty() {
            created = unit.create_all(self.creates).await?.0;
        }
        let mut answers = Vec::with_capacity(self.turns.len());
        for turn in self.turns {
            let mut turn = turn.clone();
            turn.again |= again;
            answers.push(unit.turn(turn).await?);
        }
        Ok((created, answers))
    }
}

#[async_trait]
impl Request for Create {
    type Answer = CreateReply;

    fn actors(&self) -> Vec<Actor> {
        let worker = self.want.as_ref().map(|_| Actor::Worker(self.worker));
        std::iter::once(self.actor.clone()).chain(worker).collect()
    }

    fn templates(&self) -> Vec<&Arc<Template>> {
        self.tasks.iter().map(|task| &task.template).collect()
    }

    fn ahead(&self) -> Ahead<'_> {
        Ahead {
            wants: self.want.iter().collect(),
            created: self.tasks.iter().collect(),
            ..Ahead::default()
        }
    }

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<CreateReply, Trouble> {
        unit.create(self).await
    }
}

#[async_trait]
impl Request for Sweep {
    type Answer = Swept;

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<Swept, Trouble> {
        unit.sweep(self).await
    }
}

struct Examine(TaskId);

#[async_trait]
impl Request for Examine {
    type Answer = Option<TaskContext>;

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<Option<TaskContext>, Trouble> {
        unit.examine(self.0).await
    }
}

struct CheckIn(TaskId, Duration);

#[async_trait]
impl Request for CheckIn {
    type Answer = ();

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<(), Trouble> {
        unit.check_in(self.0, self.1).await
    }
}

#[async_trait]
impl Request for Intervention {
    type Answer = Intervened;

    fn actors(&self) -> Vec<Actor> {
        vec![self.actor.clone()]
    }

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<Intervened, Trouble> {
        let actor = unit.cache.known(&self.actor)?;
        unit.intervene(self, actor).await
    }
}

struct Prepare(Vec<Actor>, Vec<Arc<Template>>);

#[async_trait]
impl Request for Prepare {
    type Answer = Prepared;

    fn actors(&self) -> Vec<Actor> {
        self.0.clone()
    }

    fn templates(&self) -> Vec<&Arc<Template>> {
        self.1.iter().collect()
    }

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<Prepared, Trouble> {
        unit.prepared(&self.0, &self.1).await
    }
}

#[async_trait]
impl Request for TokenChange {
    type Answer = Option<Noted>;

    async fn carry_out(&self, unit: &mut Unit<'_>, _: bool) -> Result<Option<Noted>, Trouble> {
        Ok(self.make(unit.connection).await?)
    }
}

/// What became of a transaction.
enum Ended<T> {
    Done(T, bool),
    Failed(Trouble),
    /// The commit was sent, and its answer is missing.
    Unknown(diesel::result::Error),
}

impl Flusher {
    async fn run(mut self, inbox: Arc<Mutex<Inbox>>) {
        let desk = Arc::clone(&self.desk);
        let mut at_work = None;
        loop {
            if self.index >= *self.size.borrow_and_update() {
                (self.session, at_work) = (None, None);
                if self.size.changed().await.is_err() {
                    return;
                }
                continue;
            }
            let next = tokio::select! {
                biased;
                Ok(()) = self.size.changed() => continue,
                next = take(&inbox, &desk.crowds, at_work.take()) => next,
            };
            let (Taken { crowd, other }, own) = match next {
                Next::Work(taken, own) => (*taken, own),
                Next::Left => continue,
                Next::End => return,
            };
            at_work = Some(own);
            let in_use = desk.busy.in_use.begin();
            let work = async {
                if crowd.len() > 0 {
                    self.crowd(crowd).await;
                }
                if let Some(other) = other {
                    at_work = None;
                    self.carry_out(other).await;
                }
            };
            if std::panic::AssertUnwindSafe(work).catch_unwind().await.is_err() {
                // Nothing is known of the connection; the server undoes what was under way when it closes.
                self.session = None;
            }
            drop(in_use);
        }
    }

    async fn session(&mut self) -> Result<&mut Session, StoreError> {
        if self.session.is_none() {
            let Desk {
                target,
                clock,
                contexts,
                front,
                graphs,
                busy,
                ..
            } = &*self.desk;
            let connection = target.connect().await?;
            let clock = clock.as_ref();
            let session = begin(connection, target, clock, contexts, front, graphs, &busy.open).await?;
            self.session = Some(session);
        }
        self.session.as_mut().ok_or(StoreError::Closed)
    }

    /// Runs a transaction until it succeeds, is refused, or there is no hope. `repeatable` tells whether it may run again
    /// when it is not known whether it was committed; `work` is told when that is so.
    async fn transact<T>(
        &mut self,
        repeatable: bool,
        work: &impl Request<Answer = T>,
    ) -> Result<T, StoreError> {
        let shown = self.desk.target.shown().to_owned();
        let mut again = false;
        let mut doubtful = None;
        let mut tries = 0;
        loop {
            tries += 1;
            let session = self.session().await?;
            let backend = session.backend;
            if let Some(lost) = doubtful.take()
                && let Err(error) = session.settle(lost).await
            {
                self.session = None;
                return Err(classify(&shown, error));
            }
            let ended = transaction(session, again, work).await;
            let (error, unknown) = match ended {
                Ended::Done(value, wakes) => {
                    if wakes {
                        self.desk.wake.send_modify(|count| *count += 1);
                        self.desk.hint.notify_one();
                    }
                    return Ok(value);
                }
                Ended::Failed(Trouble::Refused(error)) => {
                    self.undo().await;
                    return Err(error);
                }
                Ended::Failed(Trouble::Overtaken) => {
                    self.undo().await;
                    if tries >= TRIES * 4 {
                        return Err(StoreError::Unavailable {
                            store: shown,
                            source: "other transactions came first, time and again".into(),
                        });
                    }
                    continue;
                }
                Ended::Failed(Trouble::Database(error)) => (error, false),
                Ended::Unknown(error) => (error, true),
            };
            let remedy = remedy(&error);
            match remedy {
                Remedy::Reconnect => self.session = None,
                Remedy::Repeat | Remedy::GiveUp => self.undo().await,
            }
            let unknown = unknown && remedy == Remedy::Reconnect;
            let repeatable = repeatable || tasker_types::bug(80);
            if remedy == Remedy::GiveUp || tries >= TRIES || (unknown && !repeatable) {
                return Err(classify(&shown, error));
            }
            tracing::debug!(%error, tries, "a transaction is repeated");
            again |= unknown;
            doubtful = unknown.then_some(backend);
            tokio::time::sleep(Duration::from_millis(u64::from(tries * tries))).await;
        }
    }

    /// Undoes what is under way; a connection that cannot is given up.
    async fn undo(&mut self) {
        if let Some(session) = &mut self.session
            && session.rollback().await.is_err()
        {
            self.session = None;
        }
    }

    /// Carries requests out in one transaction; when that fails, each in its own.
    async fn crowd(&mut self, crowd: Crowd) {
        let (creates, turns) = (&crowd.creates[..], &crowd.turns[..]);
        let alone = crowd.len() == 1;
        match self.transact(true, &Shared { creates, turns }).await {
            Ok((created, answers)) => {
                for (reply, answer) in crowd.created.into_iter().zip(created) {
                    // Who asked may be gone; the work is done all the same.
                    let _ = reply.send(Ok(answer));
                }
                for (reply, answer) in crowd.turned.into_iter().zip(answers) {
                    let _ = reply.send(Ok(answer));
                }
            }
            Err(error) if alone || error.is_transient() => {
                let shown = self.desk.target.shown().to_owned();
                let mut error = Some(error);
                let mut own = || {
                    error.take().unwrap_or_else(|| StoreError::Unavailable {
                        store: shown.clone(),
                        source: "a request that shared the transaction met an error".into(),
                    })
                };
                for reply in crowd.created {
                    let _ = reply.send(Err(own()));
                }
                for reply in crowd.turned {
                    let _ = reply.send(Err(own()));
                }
            }
            Err(_) => {
                for (create, reply) in crowd.creates.iter().zip(crowd.created) {
                    let _ = reply.send(self.transact(true, create).await);
                }
                for (turn, reply) in crowd.turns.into_iter().zip(crowd.turned) {
                    let _ = reply.send(self.turn(turn).await);
                }
            }
        }
    }

    async fn turn(&mut self, turn: Turn) -> Result<TurnReply, StoreError> {
        let alone = Shared {
            creates: &[],
            turns: &[turn],
        };
        let (_, mut answers) = self.transact(true, &alone).await?;
        Ok(answers.remove(0))
    }

    async fn carry_out(&mut self, job: Job) {
        match job {
            Job::Turn(turn, reply) => {
                let _ = reply.send(self.turn(*turn).await);
            }
            Job::Create(create, reply) => {
                let _ = reply.send(self.transact(true, &*create).await);
            }
            Job::Renew(renewal, reply) => {
                let _ = reply.send(self.renew(&renewal).await);
            }
            Job::Sweep(sweep, reply) => {
                let swept = self.transact(true, &sweep).await;
                let tidied = match swept {
                    Ok(swept) => self.tidy_leases().await.map(|()| swept),
                    Err(error) => Err(error),
                };
                let _ = reply.send(tidied);
            }
            Job::Examine(task, reply) => {
                let context = self.transact(true, &Examine(task)).await;
                let _ = reply.send(context);
            }
            Job::CheckIn(task, delay, reply) => {
                let done = self.transact(true, &CheckIn(task, delay)).await;
                let _ = reply.send(done);
            }
            Job::Intervene(intervention, reply) => {
                let intervened = self.transact(false, &intervention).await;
                let _ = reply.send(intervened);
            }
            Job::Prepare(actors, templates, reply) => {
                let prepared = self.transact(true, &Prepare(actors, templates)).await;
                let _ = reply.send(prepared);
            }
            Job::Token(change, reply) => {
                let noted = self.transact(true, &change).await;
                let _ = reply.send(noted);
            }
        }
    }

    async fn renew(&mut self, renewal: &Renewal) -> Result<Vec<LeaseStatus>, StoreError> {
        let shown = self.desk.target.shown().to_owned();
        let mut tries = 0;
        loop {
            tries += 1;
            let session = self.session().await?;
            let now = session.clock.as_ref().map(|clock| clock.now());
            match turn::renew(&session.connection, renewal, now).await {
                Ok(statuses) => {
                    if !renewal.progress.is_empty() && statuses.contains(&LeaseStatus::Held) {
                        self.desk.wake.send_modify(|count| *count += 1);
                        self.desk.hint.notify_one();
                    }
                    return Ok(statuses);
                }
                Err(error) => {
                    let remedy = remedy(&error);
                    if remedy == Remedy::Reconnect {
                        self.session = None;
                    }
                    if remedy == Remedy::GiveUp || tries >= TRIES {
                        return Err(classify(&shown, error));
                    }
                }
            }
        }
    }

    async fn tidy_leases(&mut self) -> Result<(), StoreError> {
        let shown = self.desk.target.shown().to_owned();
        let session = self.session().await?;
        match session.tidy_leases().await {
            Ok(()) => Ok(()),
            // The next sweep does what is left.
            Err(error) if remedy(&error) != Remedy::GiveUp => {
                self.session = None;
                Ok(())
            }
            Err(error) => Err(classify(&shown, error)),
        }
    }
}

async fn transaction<T>(session: &mut Session, again: bool, work: &impl Request<Answer = T>) -> Ended<T> {
    let (actors, templates, ahead) = (work.actors(), work.templates(), work.ahead());
    let mut unit = match session.begin(&actors, &templates, &ahead).await {
        Ok(unit) => unit,
        Err(trouble) => return Ended::Failed(trouble),
    };
    let value = match work.carry_out(&mut unit, again).await {
        Ok(value) => value,
        Err(trouble) => return Ended::Failed(trouble),
    };
    match unit.commit().await {
        Ok(wakes) => Ended::Done(value, wakes),
        Err(error) => Ended::Unknown(error),
    }
}
