//! What costs much to work out and may be a little old: kept for a while, worked out by one for all who ask.

use std::fmt;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use moka::future::Cache as Kept;
use moka::ops::compute::{CompResult, Op};
use tasker_engine::Clock;
use tasker_types::{Cache as Settings, CacheValues, Timestamp};

/// How often questions found an answer that was kept.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct CacheStats {
    /// Questions that found one.
    pub hits: u64,
    /// Questions for which one was worked out.
    pub misses: u64,
    /// How many are kept now, old ones among them.
    pub entries: u64,
}

/// Answers by question.
pub(crate) struct Answers<K, V> {
    settings: Arc<Settings>,
    clock: Arc<dyn Clock>,
    kept: Kept<K, Arc<Answer<V>>>,
    hits: AtomicU64,
    misses: AtomicU64,
}

struct Answer<V> {
    value: V,
    until: Timestamp,
    use_of_it: Mutex<Use>,
}

/// How a question is asked.
#[derive(Clone, Copy, Debug, Default)]
struct Use {
    /// The share of the questions that found an answer; `None` before the second one.
    hit_rate: Option<f64>,
    /// How many questions there were, of which the older ones count less.
    frequency: f64,
}

impl Use {
    fn asked(&mut self, hit: bool, settings: &CacheValues) {
        let latest = f64::from(u8::from(hit));
        let weight = settings.hit_rate_smoothing_factor;
        let rate = self
            .hit_rate
            .map_or(latest, |rate| rate * weight + latest * (1.0 - weight));
        self.hit_rate = Some(rate);
        self.frequency = self.frequency * settings.access_frequency_decay_rate + 1.0;
    }

    /// Returns how long an answer is kept that took so long to work out.
    fn ttl(self, took: Duration, settings: &CacheValues) -> Duration {
        let mut seconds = settings.default_ttl;
        if settings.adaptive_ttl_enabled && seconds > 0.0 {
            seconds *= match self.hit_rate {
                Some(rate) if rate > 0.8 => 1.5,
                Some(rate) if rate < 0.3 => 0.7,
                _ => 1.0,
            };
            seconds *= match took.as_secs_f64() {
                slow if slow > 1.0 => 1.3,
                quick if quick < 0.1 => 0.8,
                _ => 1.0,
            };
            seconds *= match self.frequency {
                often if often > 100.0 => 1.2,
                seldom if seldom < 5.0 => 0.9,
                _ => 1.0,
            };
            seconds = seconds.clamp(settings.min_adaptive_ttl, settings.max_adaptive_ttl);
        }
        Duration::from_secs_f64(seconds)
    }
}

impl<K, V> Answers<K, V>
where
    K: Hash + Eq + Send + Sync + 'static,
    V: Clone + Send + Sync + 'static,
{
    /// Keeps nothing yet. An answer that weighs more than 1 takes the place of so many.
    pub(crate) fn new(settings: Arc<Settings>, clock: Arc<dyn Clock>, weight: fn(&V) -> u32) -> Self {
        let kept = Kept::builder().max_capacity(settings.max_entries);
        Self {
            kept: kept
                .weigher(move |_, answer: &Arc<Answer<V>>| weight(&answer.value))
                .build(),
            settings,
            clock,
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
        }
    }

    /// Returns the answer that is kept, or works one out. Whoever asks the same meanwhile waits for it.
    ///
    /// # Errors
    ///
    /// What working it out says; nothing is kept then.
    pub(crate) async fn get<E, F>(&self, question: K, work_out: F) -> Result<V, E>
    where
        E: Send + Sync + 'static,
        F: Future<Output = Result<V, E>>,
    {
        if let Some(answer) = self
            .kept
            .get(&question)
            .await
            .filter(|answer| self.is_fresh(answer))
        {
            return Ok(self.found(&answer));
        }
        let computed = self
            .kept
            .entry(question)
            .and_try_compute_with(async |known| {
                let known = known.map(moka::Entry::into_value);
                if known.as_ref().is_some_and(|answer| self.is_fresh(answer)) {
                    return Ok(Op::Nop);
                }
                let before = known.map(|answer| *locked(&answer.use_of_it));
                self.work_out(before, work_out)
                    .await
                    .map(|answer| Op::Put(Arc::new(answer)))
            })
            .await?;
        match computed {
            CompResult::Unchanged(entry) => Ok(self.found(&entry.into_value())),
            CompResult::Inserted(entry) | CompResult::ReplacedWith(entry) | CompResult::Removed(entry) => {
                Ok(entry.into_value().value.clone())
            }
            CompResult::StillNone(_) => unreachable!("an answer is put unless there is one"),
        }
    }

    async fn work_out<E>(
        &self,
        before: Option<Use>,
        work_out: impl Future<Output = Result<V, E>>,
    ) -> Result<Answer<V>, E> {
        let start = self.clock.now();
        let value = work_out.await?;
        let now = self.clock.now();
        let took = now.since(start);
        self.misses.fetch_add(1, Ordering::Relaxed);
        let mut use_of_it = before.unwrap_or_default();
        // The first question can find nothing, which says nothing about the question.
        if before.is_some() {
            use_of_it.asked(false, &self.settings);
        } else {
            use_of_it.frequency = 1.0;
        }
        Ok(Answer {
            value,
            until: now.plus(use_of_it.ttl(took, &self.settings)),
            use_of_it: Mutex::new(use_of_it),
        })
    }

    fn found(&self, answer: &Answer<V>) -> V {
        self.hits.fetch_add(1, Ordering::Relaxed);
        locked(&answer.use_of_it).asked(true, &self.settings);
        answer.value.clone()
    }

    fn is_fresh(&self, answer: &Answer<V>) -> bool {
        self.clock.now() < answer.until
    }

    /// Returns how often an answer was found.
    pub(crate) async fn stats(&self) -> CacheStats {
        self.kept.run_pending_tasks().await;
        CacheStats {
            hits: self.hits.load(Ordering::Relaxed),
            misses: self.misses.load(Ordering::Relaxed),
            entries: self.kept.entry_count(),
        }
    }
}

impl<K, V> fmt::Debug for Answers<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Answers")
            .field("hits", &self.hits)
            .field("misses", &self.misses)
            .finish_non_exhaustive()
    }
}

fn locked(use_of_it: &Mutex<Use>) -> std::sync::MutexGuard<'_, Use> {
    use_of_it.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use super::*;

    /// A clock that stands still until it is turned.
    #[derive(Debug, Default)]
    struct Still(AtomicU64);

    impl Still {
        fn turn(&self, seconds: u64) {
            self.0.fetch_add(seconds * 1_000_000, Ordering::Relaxed);
        }
    }

    impl Clock for Still {
        fn now(&self) -> Timestamp {
            Timestamp::from_micros(i64::try_from(self.0.load(Ordering::Relaxed)).unwrap())
        }
    }

    fn answers(values: CacheValues) -> (Answers<u8, u32>, Arc<Still>) {
        let clock = Arc::new(Still::default());
        let settings = Settings::try_from(values).unwrap();
        let answers = Answers::new(Arc::new(settings), Arc::<Still>::clone(&clock), |value| *value);
        (answers, clock)
    }

    fn fixed(seconds: f64) -> CacheValues {
        CacheValues {
            default_ttl: seconds,
            adaptive_ttl_enabled: false,
            ..CacheValues::default()
        }
    }

    async fn ask(answers: &Answers<u8, u32>, question: u8, answer: u32) -> u32 {
        let answer = answers.get(question, async { Ok::<_, Infallible>(answer) }).await;
        answer.unwrap_or_else(|never| match never {})
    }

    #[tokio::test]
    async fn an_answer_is_kept_for_its_time() {
        let (answers, clock) = answers(fixed(10.0));
        assert_eq!(ask(&answers, 1, 11).await, 11);
        clock.turn(9);
        assert_eq!(ask(&answers, 1, 12).await, 11);
        assert_eq!(ask(&answers, 2, 21).await, 21);
        clock.turn(1);
        assert_eq!(ask(&answers, 1, 13).await, 13);
        let stats = answers.stats().await;
        assert_eq!((stats.hits, stats.misses, stats.entries), (1, 3, 2));
    }

    #[tokio::test]
    async fn a_time_of_nothing_keeps_nothing() {
        let (answers, _) = answers(CacheValues {
            default_ttl: 0.0,
            ..CacheValues::default()
        });
        assert_eq!(ask(&answers, 1, 11).await, 11);
        assert_eq!(ask(&answers, 1, 12).await, 12);
    }

    #[tokio::test]
    async fn there_are_never_more_answers_than_may_be() {
        // Answers weigh what they say.
        for (weight, entries) in [(1, 3), (2, 1), (4, 0)] {
            let (answers, _) = answers(CacheValues {
                max_entries: 3,
                ..CacheValues::default()
            });
            for question in 0..50 {
                ask(&answers, question, weight).await;
            }
            assert_eq!(answers.stats().await.entries, entries);
        }
    }

    #[tokio::test]
    async fn one_works_out_what_many_ask() {
        let (answers, _) = answers(CacheValues::default());
        let worked = AtomicU64::new(0);
        let ask = || {
            answers.get(1, async {
                worked.fetch_add(1, Ordering::Relaxed);
                tokio::task::yield_now().await;
                Ok::<_, Infallible>(7)
            })
        };
        let (one, two, three) = tokio::join!(ask(), ask(), ask());
        assert_eq!([one, two, three], [Ok(7), Ok(7), Ok(7)]);
        assert_eq!(worked.into_inner(), 1);
        assert_eq!(answers.stats().await.hits, 2);
    }

    #[tokio::test]
    async fn a_failure_is_not_kept() {
        let (answers, _) = answers(CacheValues::default());
        assert_eq!(answers.get(1, async { Err("not now") }).await, Err("not now"));
        assert_eq!(ask(&answers, 1, 11).await, 11);
    }

    #[test]
    fn a_time_adapts_to_how_an_answer_is_asked_for_and_what_it_costs() {
        let values = CacheValues::default();
        let ttl = |hit_rate, frequency, took| {
            Use { hit_rate, frequency }
                .ttl(Duration::from_secs_f64(took), &values)
                .as_secs_f64()
        };
        assert_eq!(ttl(None, 10.0, 0.5), 300.0);
        assert_eq!(ttl(Some(0.9), 10.0, 0.5), 450.0);
        assert_eq!(ttl(Some(0.2), 10.0, 0.5), 210.0);
        assert_eq!(ttl(None, 10.0, 1.5), 390.0);
        assert_eq!(ttl(None, 10.0, 0.01), 240.0);
        assert_eq!(ttl(None, 101.0, 0.5), 360.0);
        assert_eq!(ttl(None, 1.0, 0.5), 270.0);
        let short = CacheValues {
            default_ttl: 1.0,
            ..CacheValues::default()
        };
        let least = Use::default().ttl(Duration::ZERO, &short);
        assert_eq!(least, Duration::from_secs(30));
        let long = CacheValues {
            default_ttl: 86_400.0,
            ..CacheValues::default()
        };
        assert_eq!(
            Use::default().ttl(Duration::ZERO, &long),
            Duration::from_secs(3_600)
        );
    }

    #[tokio::test]
    async fn questions_that_find_answers_make_them_last() {
        let values = CacheValues {
            hit_rate_smoothing_factor: 0.5,
            ..CacheValues::default()
        };
        let (answers, clock) = answers(values);
        ask(&answers, 1, 1).await;
        for _ in 0..10 {
            ask(&answers, 1, 2).await;
        }
        // 300 s, times 0.8 as it is quick and 0.9 as it is asked for once.
        clock.turn(216);
        assert_eq!(ask(&answers, 1, 3).await, 3);
        // Half of the past's 1.0 and half of this miss: neither often nor seldom found. Asked for more than five times.
        clock.turn(239);
        assert_eq!(ask(&answers, 1, 4).await, 3);
        clock.turn(1);
        assert_eq!(ask(&answers, 1, 5).await, 5);
    }
}
