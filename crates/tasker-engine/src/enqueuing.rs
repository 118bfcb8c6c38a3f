//! What happens when the finalizer says "look again".
//!
//! Progress never depends on it: a finished step wakes its children at once. This is the safety net under that.

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tasker_types::TaskId;

use crate::finalizer::LookAgainReason;
use crate::store::{Store, StoreError};

/// Sees to it that a task which is not done is looked at again.
#[async_trait]
pub trait Enqueuing: Send + Sync + fmt::Debug {
    /// Has the task looked at again after a while. A delay of 0 means soon, never a busy loop.
    async fn look_again(
        &self,
        store: &dyn Store,
        task: TaskId,
        after: Duration,
        reason: LookAgainReason,
    ) -> Result<(), StoreError>;
}

/// Keeps the time on the task, for the sweeper of any worker: the default.
#[derive(Clone, Copy, Debug, Default)]
pub struct CheckIn;

#[async_trait]
impl Enqueuing for CheckIn {
    async fn look_again(
        &self,
        store: &dyn Store,
        task: TaskId,
        after: Duration,
        _: LookAgainReason,
    ) -> Result<(), StoreError> {
        store.check_in(task, after).await
    }
}

/// How many requests [`Immediate`] remembers.
const REMEMBERED: usize = 1_000;

/// Has the next sweep look again whatever the delay, and remembers the last thousand requests; for tests.
#[derive(Debug, Default)]
pub struct Immediate(Mutex<VecDeque<(TaskId, Duration, LookAgainReason)>>);

impl Immediate {
    /// Returns what was asked lately, and forgets it.
    pub fn take(&self) -> Vec<(TaskId, Duration, LookAgainReason)> {
        std::mem::take(&mut *self.asked()).into()
    }

    fn asked(&self) -> MutexGuard<'_, VecDeque<(TaskId, Duration, LookAgainReason)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Enqueuing for Immediate {
    async fn look_again(
        &self,
        store: &dyn Store,
        task: TaskId,
        after: Duration,
        reason: LookAgainReason,
    ) -> Result<(), StoreError> {
        {
            let mut asked = self.asked();
            if asked.len() == REMEMBERED {
                asked.pop_front();
            }
            asked.push_back((task, after, reason));
        }
        store.check_in(task, Duration::ZERO).await
    }
}

/// Hands the request to a function, for instance one that puts it on the application's own queue; whoever takes it
/// off calls [`look_at`](crate::look_at).
///
/// The time on the task is kept as well, with `safety` added, in case the queue loses it.
pub struct Forward<F> {
    forward: F,
    safety: Duration,
}

impl<F> Forward<F>
where
    F: Fn(TaskId, Duration, LookAgainReason) + Send + Sync,
{
    /// Returns a strategy that calls `forward` and has the sweeper look `safety` later than the queue should.
    pub fn new(forward: F, safety: Duration) -> Self {
        Self { forward, safety }
    }
}

impl<F> fmt::Debug for Forward<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Forward")
            .field("safety", &self.safety)
            .finish_non_exhaustive()
    }
}

#[async_trait]
impl<F> Enqueuing for Forward<F>
where
    F: Fn(TaskId, Duration, LookAgainReason) + Send + Sync,
{
    async fn look_again(
        &self,
        store: &dyn Store,
        task: TaskId,
        after: Duration,
        reason: LookAgainReason,
    ) -> Result<(), StoreError> {
        (self.forward)(task, after, reason);
        store.check_in(task, after.saturating_add(self.safety)).await
    }
}
