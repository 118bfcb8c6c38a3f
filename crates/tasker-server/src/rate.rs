//! How many requests one may make: each address before it is known who asks, and each caller after it.
//!
//! Everyone has an allowance that fills up again. What is known of those who come seldom is forgotten when too many others
//! came meanwhile: memory is bounded, and who is forgotten has a full allowance again.

use std::fmt;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderValue, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::clock::Clock;
use governor::middleware::NoOpMiddleware;
use governor::state::{InMemoryState, NotKeyed};
use governor::{Quota, RateLimiter};
use moka::policy::EvictionPolicy;
use moka::sync::Cache;
use tasker_types::RequestRate;
use tokio::time::Instant;

use crate::problem::{Code, Problem};

/// Of how many addresses, and of how many callers, it is known at a time how much they asked.
const KNOWN: u64 = 16_384;

type Allowance = RateLimiter<NotKeyed, InMemoryState, Ticks, NoOpMiddleware<Duration>>;

/// Tokio's time since a moment: it never goes back, and a test can have it stand still.
#[derive(Clone, Copy, Debug)]
struct Ticks(Instant);

impl Clock for Ticks {
    type Instant = Duration;

    fn now(&self) -> Duration {
        self.0.elapsed()
    }
}

/// What everyone may ask, each by themselves.
pub(crate) struct Rate<K> {
    quota: Option<Quota>,
    /// The key of the configuration.
    name: &'static str,
    allowances: Cache<K, Arc<Allowance>>,
    clock: Ticks,
}

impl<K> Rate<K>
where
    K: Eq + Hash + Send + Sync + 'static,
{
    /// Returns a rate that is configured under this key.
    pub(crate) fn new(settings: &RequestRate, name: &'static str) -> Self {
        let quota = (settings.requests_per_second > 0.0)
            .then(|| Duration::from_secs_f64(settings.requests_per_second.recip()))
            .and_then(Quota::with_period)
            .zip(NonZeroU32::new(settings.burst))
            .map(|(quota, burst)| quota.allow_burst(burst));
        Self {
            quota,
            name,
            // The oldest go: another policy would not remember those who come for the first time.
            allowances: Cache::builder()
                .max_capacity(KNOWN)
                .eviction_policy(EvictionPolicy::lru())
                .build(),
            clock: Ticks(Instant::now()),
        }
    }

    /// Takes one request of an allowance.
    ///
    /// # Errors
    ///
    /// [`Code::TooManyRequests`], with the time to wait, if nothing of it is left.
    pub(crate) fn take(&self, key: K) -> Result<(), Problem> {
        let Some(quota) = self.quota else {
            return Ok(());
        };
        let full = || Arc::new(RateLimiter::direct_with_clock(quota, self.clock));
        let allowance = self.allowances.get_with(key, full);
        let Err(refused) = allowance.check() else {
            return Ok(());
        };
        let wait = refused.wait_time_from(self.clock.now());
        let seconds = wait.as_nanos().div_ceil(1_000_000_000).max(1);
        let name = self.name;
        let detail =
            format!("there were more requests than `server.{name}` permits; come again in {seconds} s");
        let problem = Problem::new(Code::TooManyRequests, detail);
        Err(match HeaderValue::from_str(&seconds.to_string()) {
            Ok(value) => problem.with_header(header::RETRY_AFTER, value),
            Err(_) => problem,
        })
    }
}

impl<K> fmt::Debug for Rate<K> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Rate")
            .field("name", &self.name)
            .field("quota", &self.quota)
            .finish_non_exhaustive()
    }
}

/// What the addresses may ask that requests come from.
#[derive(Debug)]
pub(crate) struct Addresses {
    /// All requests whose address is not known have one allowance together.
    rate: Rate<Option<IpAddr>>,
    has_warned: AtomicBool,
}

impl Addresses {
    pub(crate) fn new(settings: &RequestRate) -> Self {
        Self {
            rate: Rate::new(settings, "address_rate"),
            has_warned: AtomicBool::new(false),
        }
    }
}

/// Lets a request pass if its address may still ask.
pub(crate) async fn of_address(
    State(addresses): State<Arc<Addresses>>,
    request: Request,
    next: Next,
) -> Response {
    let peer = request.extensions().get::<ConnectInfo<SocketAddr>>();
    if peer.is_none() && !addresses.has_warned.swap(true, Ordering::Relaxed) {
        tracing::warn!(
            "it is not known where requests come from, and `server.address_rate` holds for all of them together; serve \
             the application with `into_make_service_with_connect_info::<SocketAddr>()`"
        );
    }
    match addresses
        .rate
        .take(peer.map(|ConnectInfo(peer)| place(peer.ip())))
    {
        Ok(()) => next.run(request).await,
        Err(problem) => problem.into_response(),
    }
}

/// Returns what has one allowance: an address, or of version 6 the network that one customer has.
fn place(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into(),
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rate(requests_per_second: f64, burst: u32) -> Rate<u64> {
        let settings = RequestRate {
            requests_per_second,
            burst,
        };
        Rate::new(&settings, "address_rate")
    }

    fn taken(rate: &Rate<u64>, key: u64, tries: usize) -> usize {
        (0..tries).filter(|_| rate.take(key).is_ok()).count()
    }

    #[tokio::test(start_paused = true)]
    async fn an_allowance_is_used_up_and_fills_again() {
        let rate = rate(2.0, 5);
        assert_eq!(taken(&rate, 1, 9), 5);
        let refused = rate.take(1).unwrap_err();
        assert_eq!(
            refused.detail(),
            "there were more requests than `server.address_rate` permits; come again in 1 s"
        );
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(&rate, 1, 9), 2);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(taken(&rate, 1, 9), 5, "it is never more than full");
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_as_long_as_told_is_let_in() {
        let rate = rate(0.3, 1);
        assert_eq!(taken(&rate, 1, 2), 1);
        let response = rate.take(1).unwrap_err().into_response();
        assert_eq!(response.status(), 429);
        assert_eq!(response.headers()[header::RETRY_AFTER], "4");
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(taken(&rate, 1, 1), 0);
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(taken(&rate, 1, 1), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn everyone_has_their_own() {
        let rate = rate(1.0, 2);
        assert_eq!(taken(&rate, 1, 3), 2);
        assert_eq!(taken(&rate, 2, 3), 2);
    }

    #[tokio::test(start_paused = true)]
    async fn nothing_a_second_is_no_limit() {
        assert_eq!(taken(&rate(0.0, 1), 1, 5_000), 5_000);
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_bounded_and_the_oldest_are_forgotten() {
        let rate = rate(1.0, 1);
        for key in 0..2 * KNOWN {
            assert_eq!(taken(&rate, key, 1), 1);
        }
        rate.allowances.run_pending_tasks();
        assert_eq!(rate.allowances.entry_count(), KNOWN);
        assert_eq!(taken(&rate, 2 * KNOWN - 1, 1), 0, "the newest is known");
        assert_eq!(taken(&rate, 0, 1), 1, "the oldest is not");
    }

    #[test]
    fn one_customer_has_one_allowance() {
        let placed = |text: &str| place(text.parse().unwrap()).to_string();
        assert_eq!(placed("192.0.2.7"), "192.0.2.7");
        assert_eq!(placed("::ffff:192.0.2.7"), "192.0.2.7");
        assert_eq!(placed("2001:db8:1:2:3:4:5:6"), "2001:db8:1:2::");
    }
}
