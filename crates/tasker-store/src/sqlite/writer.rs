//! The one connection that writes, and the thread it lives on.
//!
//! Requests that come in while a transaction is under way share the next one: each runs in a savepoint of its own, so
//! that one that fails undoes nothing but itself, and all are answered after the commit. A request whose caller has
//! gone away is carried out all the same.

use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread::JoinHandle;

use tasker_engine::{Clock, StoreError};
use tokio::sync::{oneshot, watch};

use super::cache::Cache;
use super::connection::Connection;
use super::error::{classify, classify_commit, is_over};
use super::file::{Mode, SqliteFile};
use super::unit::{Trouble, Unit};
use crate::pool::{Busy, Counted, Pool};

/// How many requests share a commit at most.
const SHARED: usize = 256;

/// The connection that writes, and what belongs to it.
pub(super) struct Core {
    pub(super) connection: Connection,
    pub(super) cache: Cache,
    pub(super) file: SqliteFile,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) process: i64,
    pub(super) wake: watch::Sender<u64>,
    /// Why the transaction could not begin or is over before its end, while those who take part are told.
    pub(super) refusal: Option<Arc<StoreError>>,
    /// How the requests of the transaction under way are kept apart.
    pub(super) share: Share,
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("file", &self.file)
            .finish_non_exhaustive()
    }
}

/// How the requests of a transaction are kept apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Share {
    /// There is one: what undoes it is the end of the transaction.
    Alone,
    /// Each has a savepoint.
    InSavepoints,
    /// There was one, and it failed.
    Undone,
}

/// How the transaction ended, told to those who took part.
pub(super) type Verdict = Result<(), Arc<StoreError>>;

/// What answers a caller once the transaction has ended.
pub(super) type Answer = Box<dyn FnOnce(Verdict) + Send>;

/// A request: runs within the transaction, and tells whether listeners are to be woken.
pub(super) type Job = Box<dyn FnOnce(&mut Core) -> (Answer, bool) + Send>;

/// Where the connection that writes lives.
#[derive(Debug)]
pub(super) enum Writer {
    /// On a thread of its own.
    Thread {
        jobs: Mutex<Option<mpsc::Sender<(Job, Counted)>>>,
        thread: Mutex<Option<JoinHandle<()>>>,
        busy: Busy,
    },
    /// Wherever it is called from, until it is closed.
    Inline(Box<Mutex<Option<Core>>>),
}

impl Writer {
    /// Starts the thread that writes.
    pub(super) fn thread(mut core: Core) -> std::io::Result<Self> {
        let (jobs, inbox) = mpsc::channel::<(Job, Counted)>();
        let busy = Busy::default();
        let load = busy.clone();
        let thread = std::thread::Builder::new()
            .name("tasker-sqlite".to_owned())
            .spawn(move || {
                let _open = load.open.begin();
                while let Ok(first) = inbox.recv() {
                    let in_use = load.in_use.begin();
                    let others = inbox.try_iter().take(SHARED - 1);
                    let batch = std::iter::once(first).chain(others).map(|(job, _)| job);
                    core.transact(batch.collect(), Some(in_use));
                }
                core.tidy_up();
            })?;
        Ok(Self::Thread {
            jobs: Mutex::new(Some(jobs)),
            thread: Mutex::new(Some(thread)),
            busy,
        })
    }

    /// Keeps the connection where it is called from.
    pub(super) fn inline(core: Core) -> Self {
        Self::Inline(Box::new(Mutex::new(Some(core))))
    }

    /// Carries a request out in a transaction, and answers when it is committed.
    pub(super) async fn write<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, Trouble> + Send + 'static,
    ) -> Result<T, StoreError> {
        let (job, answer) = job(work);
        match self {
            Self::Thread { jobs, busy, .. } => {
                let jobs = jobs.lock().unwrap_or_else(PoisonError::into_inner).clone();
                jobs.ok_or(StoreError::Closed)?
                    .send((job, busy.waiting.begin()))
                    .map_err(|_| StoreError::Closed)?;
            }
            Self::Inline(core) => {
                let mut core = core.lock().unwrap_or_else(PoisonError::into_inner);
                core.as_mut().ok_or(StoreError::Closed)?.transact(vec![job], None);
            }
        }
        answer.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Returns how busy the connection is. One that is used where it is called from is never found in use.
    pub(super) fn pool(&self) -> Pool {
        match self {
            Self::Thread { busy, .. } => busy.pool(1),
            Self::Inline(core) => {
                let core = core.lock().unwrap_or_else(PoisonError::into_inner);
                Pool {
                    size: 1,
                    in_use: 0,
                    idle: u32::from(core.is_some()),
                    waiting: 0,
                }
            }
        }
    }

    /// Ends the thread after the requests that it has, or gives the connection up; further requests are refused.
    pub(super) fn close(&self) {
        match self {
            Self::Thread { jobs, thread, .. } => {
                jobs.lock().unwrap_or_else(PoisonError::into_inner).take();
                let thread = thread.lock().unwrap_or_else(PoisonError::into_inner).take();
                if let Some(thread) = thread
                    && thread.join().is_err()
                {
                    tracing::error!("the thread that writes to the database panicked");
                }
            }
            Self::Inline(core) => {
                if let Some(mut core) = core.lock().unwrap_or_else(PoisonError::into_inner).take() {
                    core.tidy_up();
                }
            }
        }
    }
}

/// Returns a request as the connection carries it out, and where its answer will be.
pub(super) fn job<T: Send + 'static>(
    work: impl FnOnce(&mut Unit<'_>) -> Result<T, Trouble> + Send + 'static,
) -> (Job, oneshot::Receiver<Result<T, StoreError>>) {
    let (reply, answer) = oneshot::channel();
    let job: Job = Box::new(move |core| {
        let (result, wakes) = core.guarded(work);
        let answer: Answer = Box::new(move |verdict| {
            let result = match (result, verdict) {
                (Ok(value), Ok(())) => Ok(value),
                (Ok(_), Err(error)) => Err(again(&error)),
                (Err(error), _) => Err(error),
            };
            // A caller that has gone away needs no answer.
            let _ = reply.send(result);
        });
        (answer, wakes)
    });
    (job, answer)
}

impl Core {
    /// Runs requests in one transaction, and answers them. The connection counts as one in use until then.
    pub(super) fn transact(&mut self, jobs: Vec<Job>, in_use: Option<Counted>) {
        let mut answers = Vec::with_capacity(jobs.len());
        let mut wakes = false;
        self.share = if jobs.len() == 1 {
            Share::Alone
        } else {
            Share::InSavepoints
        };
        let begun = self
            .connection
            .batch_execute("BEGIN IMMEDIATE")
            .and_then(|()| self.cache.meet(&mut self.connection));
        let verdict = match begun {
            Ok(()) => {
                for job in jobs {
                    let (answer, wake) = job(self);
                    answers.push(answer);
                    wakes |= wake;
                }
                let ended = match self.refusal.take() {
                    Some(error) => Err(error),
                    None if self.share == Share::Undone => self
                        .connection
                        .batch_execute("ROLLBACK")
                        .map_err(|error| Arc::new(classify(&self.file.path, error))),
                    None => self
                        .connection
                        .batch_execute("COMMIT")
                        .map_err(|error| Arc::new(classify_commit(&self.file.path, error))),
                };
                if ended.is_err() {
                    self.undo();
                    self.cache = Cache::default();
                }
                ended
            }
            Err(error) => {
                let error = Arc::new(classify(&self.file.path, error));
                self.undo();
                self.refuse(jobs, &mut answers, &error);
                Err(error)
            }
        };
        if wakes && verdict.is_ok() {
            self.wake.send_modify(|count| *count += 1);
        }
        drop(in_use);
        for answer in answers {
            answer(verdict.clone());
        }
    }

    /// Undoes whatever is under way. A connection that cannot is given up for another.
    fn undo(&mut self) {
        if let Err(error) = self.connection.batch_execute("ROLLBACK")
            && !is_over(&error)
            && let Ok(another) = self.file.open(Mode::Write)
        {
            self.connection = another;
        }
    }

    /// Answers requests that could not begin: each is dropped, and its caller told.
    fn refuse(&mut self, jobs: Vec<Job>, answers: &mut Vec<Answer>, error: &Arc<StoreError>) {
        self.refusal = Some(Arc::clone(error));
        for job in jobs {
            answers.push(job(self).0);
        }
        self.refusal = None;
    }

    /// Runs one request, in a savepoint if it shares the transaction with others.
    fn guarded<T>(
        &mut self,
        work: impl FnOnce(&mut Unit<'_>) -> Result<T, Trouble>,
    ) -> (Result<T, StoreError>, bool) {
        if let Some(error) = &self.refusal {
            return (Err(again(error)), false);
        }
        let shared = self.share == Share::InSavepoints;
        if shared && let Err(error) = self.connection.batch_execute("SAVEPOINT request") {
            return (Err(classify(&self.file.path, error)), false);
        }
        let now = self.clock.now();
        let mut unit = Unit::new(&mut self.connection, &mut self.cache, now, self.process);
        let result = catch_unwind(AssertUnwindSafe(|| {
            let result = work(&mut unit);
            let wakes = unit.wakes();
            (result, wakes)
        }));
        let failed = match result {
            Ok((Ok(value), wakes)) if !shared => return (Ok(value), wakes),
            Ok((Ok(value), wakes)) => match self.connection.batch_execute("RELEASE request") {
                Ok(()) => return (Ok(value), wakes),
                Err(error) => classify(&self.file.path, error),
            },
            Ok((Err(Trouble::Database(error)), _)) => classify(&self.file.path, error),
            Ok((Err(Trouble::Refused(error)), _)) => error,
            Err(_) => StoreError::Internal {
                store: self.file.path.display().to_string(),
                source: "a request panicked; it was undone".into(),
            },
        };
        self.cache = Cache::default();
        if !shared {
            self.share = Share::Undone;
            return (Err(failed), false);
        }
        if self
            .connection
            .batch_execute("ROLLBACK TO request; RELEASE request")
            .is_err()
        {
            // The transaction is over, and everything in it is undone: what others did, too.
            let failed = Arc::new(failed);
            self.refusal = Some(Arc::clone(&failed));
            return (Err(again(&failed)), false);
        }
        (Err(failed), false)
    }

    /// Leaves the database in good order. It keeps no statistics: those of a small table would lead the planner astray
    /// when the table has grown.
    fn tidy_up(&mut self) {
        if let Err(error) = self.connection.batch_execute("PRAGMA wal_checkpoint(TRUNCATE);") {
            tracing::debug!(%error, "the database was left without a last checkpoint");
        }
    }
}

/// Returns an error that says the same, for each of those whom it concerns.
fn again(error: &Arc<StoreError>) -> StoreError {
    match &**error {
        StoreError::NotWritable {
            store,
            problem,
            advice,
        } => StoreError::NotWritable {
            store: store.clone(),
            problem: problem.clone(),
            advice,
        },
        StoreError::Unusable {
            store,
            problem,
            advice,
        } => StoreError::Unusable {
            store: store.clone(),
            problem: problem.clone(),
            advice,
        },
        StoreError::Unavailable { store, source } => StoreError::Unavailable {
            store: store.clone(),
            source: source.to_string().into(),
        },
        StoreError::Internal { store, source } => StoreError::Internal {
            store: store.clone(),
            source: source.to_string().into(),
        },
        other => StoreError::Internal {
            store: String::new(),
            source: other.to_string().into(),
        },
    }
}
