//! Connections that only read, lent one at a time.

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use diesel::result::QueryResult;
use futures_util::future::BoxFuture;
use tasker_engine::StoreError;
use tokio::sync::Semaphore;

use super::connect::Target;
use super::connection::Connection;
use super::error::{Remedy, classify, remedy};
use crate::pool::{Pool, Tally};

/// Connections that only read.
pub(super) struct Readers {
    target: Target,
    idle: Arc<Mutex<Vec<Connection<'static>>>>,
    permits: Arc<Semaphore>,
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
        Self {
            target,
            idle: Arc::default(),
            permits: Arc::new(Semaphore::new(count as usize)),
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
        let permit = Arc::clone(&self.permits)
            .acquire_owned()
            .await
            .map_err(|_| StoreError::Closed)?;
        drop(waiting);
        let (idle, target) = (Arc::clone(&self.idle), self.target.clone());
        let most = Arc::clone(&self.count);
        let reading = tokio::spawn(async move {
            let result = lend(&idle, &most, &target, look).await;
            drop(permit);
            result
        });
        reading.await.map_err(|_| StoreError::Closed)?
    }
}

async fn lend<T>(
    idle: &Mutex<Vec<Connection<'static>>>,
    most: &AtomicU32,
    target: &Target,
    look: impl for<'c> FnOnce(&'c Connection<'static>) -> BoxFuture<'c, QueryResult<T>>,
) -> Result<T, StoreError> {
    const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
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
