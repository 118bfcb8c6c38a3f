//! An answer that is worked out by one for all who ask, and kept for a while.

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tasker_engine::{Clock, StoreError};
use tasker_types::Timestamp;
use tokio::sync::watch;

use crate::cache::CacheStats;

/// What comes of working an answer out; everyone who waits for it gets it.
type Landed<V> = Result<Arc<V>, Arc<StoreError>>;

/// One answer. While it is worked out, in a task of its own, nobody works it out beside: those who ask wait for it, and it is
/// kept although they may have gone away.
pub(crate) struct Flight<V> {
    clock: Arc<dyn Clock>,
    keep: Duration,
    state: Mutex<State<V>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct State<V> {
    kept: Option<(Arc<V>, Timestamp)>,
    under_way: Option<watch::Receiver<Option<Landed<V>>>>,
}

impl<V: Send + Sync + 'static> Flight<V> {
    /// Keeps nothing yet; an answer is kept for so long.
    pub(crate) fn new(clock: Arc<dyn Clock>, keep: Duration) -> Self {
        Self {
            clock,
            keep,
            state: Mutex::new(State {
                kept: None,
                under_way: None,
            }),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Returns the answer, and whether it was there already.
    ///
    /// # Errors
    ///
    /// What working it out says; nothing is kept then.
    pub(crate) async fn get<F>(
        self: &Arc<Self>,
        work_out: impl FnOnce() -> F,
    ) -> Result<(Arc<V>, bool), Arc<StoreError>>
    where
        F: Future<Output = Result<V, StoreError>> + Send + 'static,
    {
        let mut landing = {
            let mut state = self.state();
            if let Some((answer, until)) = &state.kept
                && self.clock.now() < *until
            {
                self.hits.fetch_add(1, Ordering::Relaxed);
                return Ok((Arc::clone(answer), true));
            }
            // A sender that is gone has panicked.
            match state
                .under_way
                .take()
                .filter(|landing| landing.has_changed().is_ok())
            {
                Some(landing) => {
                    state.under_way = Some(landing.clone());
                    landing
                }
                None => {
                    let landing = self.take_off(work_out());
                    state.under_way = Some(landing.clone());
                    landing
                }
            }
        };
        let landed = match landing.wait_for(Option::is_some).await {
            Ok(landed) => landed.clone(),
            Err(_) => None,
        };
        landed
            .unwrap_or_else(|| Err(Arc::new(StoreError::Closed)))
            .map(|answer| (answer, false))
    }

    fn take_off<F>(self: &Arc<Self>, work: F) -> watch::Receiver<Option<Landed<V>>>
    where
        F: Future<Output = Result<V, StoreError>> + Send + 'static,
    {
        self.misses.fetch_add(1, Ordering::Relaxed);
        let (sender, landing) = watch::channel(None);
        let flight = Arc::clone(self);
        tokio::spawn(async move {
            let landed = work.await.map(Arc::new).map_err(Arc::new);
            let mut state = flight.state();
            if let Ok(answer) = &landed {
                state.kept = Some((Arc::clone(answer), flight.clock.now().plus(flight.keep)));
            }
            state.under_way = None;
            sender.send_replace(Some(landed));
        });
        landing
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how often the answer was there.
    pub(crate) fn stats(&self) -> CacheStats {
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: u64::from(self.state().kept.is_some()),
        }
    }
}

impl<V> fmt::Debug for Flight<V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Flight")
            .field("keep", &self.keep)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicI64;

    use tokio::sync::Semaphore;

    use super::*;

    /// A clock that stands still until it is turned.
    #[derive(Debug, Default)]
    struct Still(AtomicI64);

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(self.0.load(Ordering::Relaxed))
        }
    }

    fn flight() -> (Arc<Flight<u32>>, Arc<Still>) {
        let clock = Arc::new(Still::default());
        let flight = Flight::new(Arc::<Still>::clone(&clock), Duration::from_secs(15));
        (Arc::new(flight), clock)
    }

    async fn ask(flight: &Arc<Flight<u32>>, answer: u32) -> (u32, bool) {
        let (answer, kept) = flight.get(|| async move { Ok(answer) }).await.unwrap();
        (*answer, kept)
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time() {
        let (flight, clock) = flight();
        assert_eq!(ask(&flight, 1).await, (1, false));
        clock.0.store(14_999_999, Ordering::Relaxed);
        assert_eq!(ask(&flight, 2).await, (1, true));
        clock.0.store(15_000_000, Ordering::Relaxed);
        assert_eq!(ask(&flight, 3).await, (3, false));
        let stats = flight.stats();
        assert_eq!((stats.hits, stats.misses, stats.entries), (1, 2, 1));
    }

    #[tokio::test]
    async fn one_works_out_what_many_ask_though_they_go_away() {
        let (flight, _) = flight();
        let begun = Arc::new(Semaphore::new(0));
        let go_on = Arc::new(Semaphore::new(0));
        let ask = |answer: u32| {
            let (flight, begun, go_on) = (Arc::clone(&flight), Arc::clone(&begun), Arc::clone(&go_on));
            tokio::spawn(async move {
                let work = || async move {
                    begun.add_permits(1);
                    go_on.acquire().await.unwrap().forget();
                    Ok(answer)
                };
                flight
                    .get(work)
                    .await
                    .map(|(answer, kept)| (*answer, kept))
                    .unwrap()
            })
        };
        let first = ask(1);
        begun.acquire().await.unwrap().forget();
        first.abort();
        let others: Vec<_> = (2..50).map(ask).collect();
        tokio::task::yield_now().await;
        go_on.add_permits(1);
        for other in others {
            assert_eq!(other.await.unwrap().0, 1);
        }
        assert_eq!(flight.stats().misses, 1);
    }

    #[tokio::test]
    async fn a_failure_is_told_to_all_who_wait_and_not_kept() {
        let (flight, _) = flight();
        let failed = flight.get(|| async { Err(StoreError::Closed) }).await;
        assert!(matches!(&*failed.unwrap_err(), StoreError::Closed));
        assert_eq!(ask(&flight, 2).await, (2, false));
    }

    #[tokio::test]
    async fn who_waits_for_one_that_panics_is_told_and_the_next_tries_again() {
        let (flight, _) = flight();
        let failed = flight.get(|| async { panic!("as a test demands") }).await;
        assert!(matches!(&*failed.unwrap_err(), StoreError::Closed));
        assert_eq!(ask(&flight, 2).await, (2, false));
    }
}
