//! The numbers at one moment.

use std::fmt;

use prometheus::proto::MetricFamily;
use prometheus::{IntCounterVec, IntGaugeVec, Opts, Registry, TextEncoder};

use crate::cache::CacheStats;
#[cfg(feature = "otlp")]
use crate::observe::SpanCounts;
use crate::tasker::Tasker;

/// The numbers at one moment; they are written in the text format of Prometheus, version 0.0.4.
#[derive(Debug)]
pub struct Measurements {
    counted: Vec<MetricFamily>,
    looked_up: Registry,
}

impl Measurements {
    /// What it is that is written, for a header `Content-Type`.
    pub const CONTENT_TYPE: &str = "text/plain; version=0.0.4; charset=utf-8";

    /// Adds numbers that go up and down, one for each value of the label.
    ///
    /// # Panics
    ///
    /// If the name or the label is none, or the name is taken.
    pub fn gauge<'v>(
        &mut self,
        name: &str,
        help: &str,
        label: &str,
        values: impl IntoIterator<Item = (&'v str, u64)>,
    ) {
        self.gauges(
            name,
            help,
            &[label],
            values.into_iter().map(|(value, number)| ([value], number)),
        );
    }

    fn gauges<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str; N],
        values: impl IntoIterator<Item = ([&'v str; N], u64)>,
    ) {
        let gauge = IntGaugeVec::new(Opts::new(name, help), labels).expect("names of metrics are names");
        for (values, number) in values {
            let number = i64::try_from(number).unwrap_or(i64::MAX);
            gauge.with_label_values(&values).set(number);
        }
        self.looked_up
            .register(Box::new(gauge))
            .expect("each metric has a name of its own");
    }

    fn counters<'v, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        labels: &[&str; N],
        values: impl IntoIterator<Item = ([&'v str; N], u64)>,
    ) {
        let counter = IntCounterVec::new(Opts::new(name, help), labels).expect("names of metrics are names");
        for (values, number) in values {
            counter.with_label_values(&values).inc_by(number);
        }
        self.looked_up
            .register(Box::new(counter))
            .expect("each metric has a name of its own");
    }
}

impl fmt::Display for Measurements {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut text = String::new();
        let encoder = TextEncoder::new();
        for families in [&self.counted, &self.looked_up.gather()] {
            encoder.encode_utf8(families, &mut text).map_err(|_| fmt::Error)?;
        }
        f.write_str(&text)
    }
}

impl Tasker {
    /// Returns what this process has counted, and how much there is to do; `None` where `telemetry.metrics_enabled` is off.
    ///
    /// What needs the database is kept for a while, as [`status`](Self::status) says, and is left out while the database
    /// does not answer.
    pub async fn metrics(&self) -> Option<Measurements> {
        let metrics = self.counting()?;
        let mut read = Measurements {
            counted: metrics.registry.gather(),
            looked_up: Registry::new(),
        };
        #[cfg(any(feature = "sqlite", feature = "postgres"))]
        self.look_up(&mut read).await;
        let caches = [
            ("analyses", self.analysis_stats().await),
            ("durations", self.cache_stats().await),
            #[cfg(any(feature = "sqlite", feature = "postgres"))]
            ("status", self.status_stats()),
        ];
        #[cfg(feature = "otlp")]
        if let Some(counts) = self.span_counts() {
            read.spans(counts);
        }
        read.caches(&caches);
        Some(read)
    }
}

impl Measurements {
    fn caches(&mut self, caches: &[(&'static str, CacheStats)]) {
        let each =
            |number: fn(&CacheStats) -> u64| caches.iter().map(move |(name, stats)| ([*name], number(stats)));
        self.counters(
            "tasker_cache_hits_total",
            "Questions whose answer was kept.",
            &["cache"],
            each(|stats| stats.hits),
        );
        self.counters(
            "tasker_cache_misses_total",
            "Questions whose answer was worked out.",
            &["cache"],
            each(|stats| stats.misses),
        );
        self.gauges(
            "tasker_cache_entries",
            "Answers that are kept.",
            &["cache"],
            each(|stats| stats.entries),
        );
    }

    #[cfg(feature = "otlp")]
    fn spans(&mut self, counts: SpanCounts) {
        let SpanCounts {
            sent,
            failed,
            dropped,
        } = counts;
        self.counters(
            "tasker_spans_total",
            "Spans for the collector of traces: sent, not taken by it (failed), or too many to wait (dropped).",
            &["fate"],
            [(["sent"], sent), (["failed"], failed), (["dropped"], dropped)],
        );
    }
}

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod stores {
    use std::time::Duration;

    use tasker_engine::{StateCounts, Totals};
    use tasker_store::{Pool, Pools};

    use super::Measurements;
    use crate::health::Status;
    use crate::tasker::{Kept, Tasker};

    impl Tasker {
        pub(super) async fn look_up(&self, read: &mut Measurements) {
            let pools = match self.kept() {
                #[cfg(feature = "sqlite")]
                Kept::Sqlite { store, slow, .. } => Some((store.pools(), slow.count())),
                #[cfg(feature = "postgres")]
                Kept::Postgres { store, slow, .. } => Some((store.pools(), slow.count())),
                Kept::Elsewhere(_) => None,
            };
            if let Some((pools, slow)) = pools {
                read.pools(&pools);
                read.counters(
                    "tasker_slow_statements_total",
                    "Statements in the database that took as long as `telemetry.slow_query_threshold_seconds`.",
                    &[],
                    [([], slow)],
                );
            }
            let limit = Duration::from_secs_f64(self.config().health().readiness_timeout_seconds);
            let status = tokio::time::timeout(limit, self.status()).await;
            let counted = matches!(status, Ok(Ok(_)));
            match status {
                Ok(Ok((status, _))) => read.status(&status),
                Ok(Err(error)) => tracing::warn!(%error, "the metrics lack what is in the database"),
                Err(_) => tracing::warn!(
                    ?limit,
                    "the metrics lack what is in the database: it did not answer"
                ),
            }
            read.gauges(
                "tasker_store_up",
                "Whether the database answered when it was last asked how much there is.",
                &[],
                [([], u64::from(counted))],
            );
        }
    }

    impl Measurements {
        fn pools(&mut self, Pools { readers, writers }: &Pools) {
            let pools = [("readers", readers), ("writers", writers)];
            let each = |number: fn(&Pool) -> u32| pools.map(|(name, pool)| (name, u64::from(number(pool))));
            self.gauge(
                "tasker_connections_max",
                "How many connections to the database this process may have.",
                "pool",
                each(|pool| pool.size),
            );
            self.gauge(
                "tasker_connections_waiting",
                "Requests that wait for a connection.",
                "pool",
                each(|pool| pool.waiting),
            );
            let states = pools.into_iter().flat_map(|(name, pool)| {
                [
                    ([name, "in_use"], u64::from(pool.in_use)),
                    ([name, "idle"], u64::from(pool.idle)),
                ]
            });
            self.gauges(
                "tasker_connections",
                "Connections of this process to the database.",
                &["pool", "state"],
                states,
            );
        }

        fn status(&mut self, status: &Status) {
            let Totals {
                tasks,
                steps,
                retries,
                queue,
            } = status.totals;
            self.gauge("tasker_tasks", "Tasks in each state.", "state", by_state(tasks));
            self.gauge("tasker_steps", "Steps in each state.", "state", by_state(steps));
            self.gauge(
                "tasker_steps_failed",
                "Steps in error, by what becomes of them: retry_due, retry_waiting, exhausted, permanent.",
                "fate",
                [
                    ("retry_due", retries.retryable.saturating_sub(retries.in_backoff)),
                    ("retry_waiting", retries.in_backoff),
                    ("exhausted", retries.exhausted),
                    ("permanent", retries.permanent),
                ],
            );
            self.gauge(
                "tasker_queue_depth",
                "Steps that a worker may be handed: due now, or waiting for their time.",
                "when",
                [("due", queue.due), ("waiting", queue.waiting)],
            );
            if let Some(server) = status.connections.and_then(|connections| connections.server) {
                self.gauge(
                    "tasker_server_connections",
                    "Connections that the database's server has open for this database, and may have in all.",
                    "count",
                    [("open", u64::from(server.open)), ("max", u64::from(server.max))],
                );
            }
        }
    }

    fn by_state(counts: StateCounts) -> [(&'static str, u64); 6] {
        [
            ("pending", counts.pending),
            ("in_progress", counts.in_progress),
            ("complete", counts.complete),
            ("error", counts.error),
            ("cancelled", counts.cancelled),
            ("resolved_manually", counts.resolved_manually),
        ]
    }
}
