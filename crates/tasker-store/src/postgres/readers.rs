//! Connections that only read, lent one at a time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use diesel::result::QueryResult;
use futures_util::future::BoxFuture;
use tasker_engine::StoreError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::connect::Target;
use super::connection::Connection;
use super::error::{Remedy, classify, remedy};
use crate::pool::{Pool, Tally};

/// Requests of one kind that wait for a connection: the first that gets one reads for all of them.
#[derive(Debug)]
pub(super) struct Crowd<K, T>(Mutex<Vec<(K, Asker<T>)>>);

type Asker<T> = oneshot::Sender<Result<Option<T>, StoreError>>;

impl<K, T> Default for Crowd<K, T> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, T> Crowd<K, T> {
    fn join(&self, key: K) -> oneshot::Receiver<Result<Option<T>, StoreError>> {
        let (asker, answer) = oneshot::channel();
        self.lock().push((key, asker));
        answer
    }

    fn lock(&self) -> MutexGuard<'_, Vec<(K, Asker<T>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes those who wait longest.
    fn take(&self) -> (Vec<K>, Vec<Asker<T>>) {
        let mut waiting = self.lock();
        let most = waiting.len().min(TOGETHER);
        waiting.drain(..most).unzip()
    }
}

/// How many requests of one kind share a transaction at most.
const TOGETHER: usize = 64;

/// Connections that only read.
pub(super) struct Readers {
    target: Target,
    idle: Arc<Mutex<Vec<Connection<'static>>>>,
    permits: Arc<Semaphore>,
    /// How many of them read for several at a time: more would have each read for fewer.
    together: Arc<Semaphore>,
    count: Arc<AtomicU32>,
    waiting: Tally,
}

impl std::fmt::Debug for Readers {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Readers")
            .field("permits", &self.permits)
            .finish_non_exhaustive()
    }
}

impl Readers {
    /// Returns so many connections, which are opened when they are needed.
    pub(super) fn new(target: Target, count: u32) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            target,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(count as usize)),
            together: Arc::new(Semaphore::new(cores.div_ceil(2))),
            count: Arc::new(AtomicU32::new(count)),
            waiting: Tally::default(),
        }
    }

    /// Returns how many may read at a time, and how many of them do.
    pub(super) fn in_use(&self) -> (u32, u32) {
        let free = u32::try_from(self.permits.available_permits()).unwrap_or(u32::MAX);
        let count = self.count.load(Ordering::Relaxed);
        (count, count.saturating_sub(free))
    }

    /// Returns how many are open.
    pub(super) fn open(&self) -> u32 {
        let Pool { in_use, idle, .. } = self.pool();
        in_use + idle
    }

    /// Sets how many may read at a time; those in use that are too many are given up as they come back.
    pub(super) fn resize(&self, count: u32) {
        let before = self.count.swap(count, Ordering::Relaxed);
        if count >= before {
            self.permits.add_permits((count - before) as usize);
            return;
        }
        let (permits, fewer) = (Arc::clone(&self.permits), before - count);
        tokio::spawn(async move {
            // It fails when nobody may read any more.
            if let Ok(taken) = permits.acquire_many_owned(fewer).await {
                taken.forget();
            }
        });
        self.idle
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .truncate(count as usize);
    }

    /// Returns how busy they are.
    pub(super) fn pool(&self) -> Pool {
        let (size, in_use) = self.in_use();
        let idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner).len();
        Pool {
            size,
            in_use,
            idle: u32::try_from(idle).unwrap_or(u32::MAX),
            waiting: self.waiting.get(),
        }
    }

    /// Reads in a transaction of its own, so that everything is seen at one moment. It runs to its end though the caller may
    /// go away, so that a connection comes back as it was lent.
    pub(super) async fn read<T: Send + 'static>(
        &self,
        look: impl for<'c> FnOnce(&'c Connection<'static>) -> BoxFuture<'c, QueryResult<T>> + Send + 'static,
    ) -> Result<T, StoreError> {
        let waiting = self.waiting.begin();
        let permit = self.permit().await?;
        drop(waiting);
        let lender = self.lender();
        let reading = tokio::spawn(async move {
            let result = lender.lend(look).await;
            drop(permit);
            result
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }

    /// Reads what belongs to a key, as [`Readers::read`] does, for all who ask for the like while they wait for a
    /// connection. Whoever asked before the transaction begins sees what was committed before.
    pub(super) async fn read_together<K, T>(
        &self,
        crowd: &Arc<Crowd<K, T>>,
        key: K,
        look: impl for<'c> Fn(&'c Connection<'static>, Vec<K>) -> BoxFuture<'c, QueryResult<BTreeMap<K, T>>>
        + Send
        + Sync
        + 'static,
    ) -> Result<Option<T>, StoreError>
    where
        K: Clone + Ord + Send + Sync + 'static,
        T: Clone + Send + 'static,
    {
        let mut answer = crowd.join(key);
        let waiting = self.waiting.begin();
        // Those whom the same commit woke come along.
        tokio::task::yield_now().await;
        let permits = tokio::select! {
            biased;
            answer = &mut answer => return answer.map_err(|_| StoreError::Closed)?,
            permits = self.permits_together() => permits?,
        };
        drop(waiting);
        let (lender, crowd) = (self.lender(), Arc::clone(crowd));
        tokio::spawn(async move {
            // Until nobody waits: who asks is not always among the first that are taken.
            loop {
                let (keys, askers) = crowd.take();
                if keys.is_empty() {
                    break;
                }
                lender.answer(&look, keys, askers).await;
            }
            drop(permits);
        });
        answer.await.map_err(|_| StoreError::Closed)?
    }

    async fn permits_together(&self) -> Result<[OwnedSemaphorePermit; 2], StoreError> {
        let together = Arc::clone(&self.together).acquire_owned().await;
        Ok([together.map_err(|_| StoreError::Closed)?, self.permit().await?])
    }

    async fn permit(&self) -> Result<OwnedSemaphorePermit, StoreError> {
        let permit = Arc::clone(&self.permits).acquire_owned().await;
        permit.map_err(|_| StoreError::Closed)
    }

    fn lender(&self) -> Lender {
        Lender {
            idle: Arc::clone(&self.idle),
            most: Arc::clone(&self.count),
            target: self.target.clone(),
        }
    }
}

/// Lends connections, to one who has a permit.
struct Lender {
    idle: Arc<Mutex<Vec<Connection<'static>>>>,
    most: Arc<AtomicU32>,
    target: Target,
}

impl Lender {
    /// Reads for all who ask; one after the other when that fails for a reason that does not pass.
    async fn answer<K: Clone + Ord, T: Clone>(
        &self,
        look: &impl for<'c> Fn(&'c Connection<'static>, Vec<K>) -> BoxFuture<'c, QueryResult<BTreeMap<K, T>>>,
        keys: Vec<K>,
        askers: Vec<Asker<T>>,
    ) {
        let all = keys.clone();
        match self.lend(|connection| look(connection, all)).await {
            Ok(found) => {
                for (key, asker) in keys.iter().zip(askers) {
                    // Who asked may be gone.
                    let _ = asker.send(Ok(found.get(key).cloned()));
                }
            }
            Err(error) if keys.len() == 1 || error.is_transient() => {
                let source = error.to_string();
                let mut error = Some(error);
                for asker in askers {
                    let own = error.take().unwrap_or_else(|| StoreError::Unavailable {
                        store: self.target.shown().to_owned(),
                        source: source.as_str().into(),
                    });
                    let _ = asker.send(Err(own));
                }
            }
            // What is wrong with one is not for the others to suffer.
            Err(_) => {
                for (key, asker) in keys.into_iter().zip(askers) {
                    let one = vec![key.clone()];
                    let found = self.lend(|connection| look(connection, one)).await;
                    let _ = asker.send(found.map(|mut found| found.remove(&key)));
                }
            }
        }
    }

    async fn lend<T>(
        &self,
        look: impl for<'c> FnOnce(&'c Connection<'static>) -> BoxFuture<'c, QueryResult<T>>,
    ) -> Result<T, StoreError> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
        let Self { idle, most, target } = self;
        let mut connection = None;
        // A connection that lay idle may be over; a fresh one is not.
        loop {
            let lent = idle.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let Some(lent) = lent else { break };
            if lent.batch_execute(BEGIN).await.is_ok() {
                connection = Some(lent);
                break;
            }
        }
        let connection = match connection {
            Some(connection) => connection,
            None => {
                let connection = target.connect().await?;
                connection
                    .batch_execute(BEGIN)
                    .await
                    .map_err(|error| classify(target.shown(), error))?;
                connection
            }
        };
        let result = look(&connection).await;
        let broken = result
            .as_ref()
            .is_err_and(|error| remedy(error) == Remedy::Reconnect);
        if !broken && connection.batch_execute("ROLLBACK").await.is_ok() {
            let mut idle = idle.lock().unwrap_or_else(PoisonError::into_inner);
            if idle.len() < most.load(Ordering::Relaxed) as usize {
                idle.push(connection);
            }
        }
        result.map_err(|error| classify(target.shown(), error))
    }
}
