//! How long a registry takes to find a handler, alone, beside a writer that makes ten thousand changes a second, and
//! beside one that never rests; and how long a map behind a lock takes.

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use tasker_types::{HandlerName, Namespace, Version};

use super::figure::{Figure, Figures};

type Handler = dyn Fn(u64) -> u64 + Send + Sync;
type Place = (Namespace, HandlerName);
type Found = (Version, Arc<Handler>);

/// How many namespaces there are, and how many handlers each has.
const NAMESPACES: usize = 16;
const HANDLERS: usize = 16;
/// How many versions each handler has.
const VERSIONS: u64 = 3;
/// How often all handlers are looked up in a round. A round is so short that most are not disturbed by other programs.
const LAPS: usize = 16;
const ROUNDS: usize = 1_000;
/// How often everything is measured in turn, so that what slows the machine down slows down everything.
const TURNS: usize = 5;
/// How long a writer rests between two changes, which is more often than any program changes its handlers.
const REST: Duration = Duration::from_micros(100);

/// Finds the latest version of a handler and says whether there is one, and has another put in its place.
trait Contents: Sync {
    fn get(&self, place: &Place) -> bool;
    fn replace(&self, place: &Place, version: &Version, handler: Arc<Handler>);
}

impl Contents for tasker::Registry<Handler> {
    fn get(&self, (namespace, name): &Place) -> bool {
        black_box(tasker::Registry::get(self, namespace, name)).is_ok()
    }

    fn replace(&self, (namespace, name): &Place, version: &Version, handler: Arc<Handler>) {
        // The names are good, so it cannot be refused.
        let _ = tasker::Registry::replace(self, namespace, name, version, handler);
    }
}

/// What a program does without a registry.
type Locked = RwLock<HashMap<Place, Vec<Found>>>;

impl Contents for Locked {
    fn get(&self, place: &Place) -> bool {
        let map = self.read().unwrap_or_else(PoisonError::into_inner);
        black_box(map.get(place).and_then(|versions| versions.last().cloned())).is_some()
    }

    fn replace(&self, place: &Place, version: &Version, handler: Arc<Handler>) {
        let mut map = self.write().unwrap_or_else(PoisonError::into_inner);
        let versions = map.entry(place.clone()).or_default();
        match versions.binary_search_by(|(known, _)| known.cmp(version)) {
            Ok(index) => versions[index].1 = handler,
            Err(index) => versions.insert(index, (version.clone(), handler)),
        }
    }
}

/// Measures and shows.
pub(crate) fn bench(figures: &mut Figures) -> anyhow::Result<()> {
    let places = places()?;
    let (registry, locked) = (tasker::Registry::<Handler>::new(), Locked::default());
    for contents in [&registry as &dyn Contents, &locked] {
        for place in &places {
            for minor in 0..VERSIONS {
                let add = move |number: u64| number + minor;
                contents.replace(place, &Version::new(1, minor, 0), Arc::new(add));
            }
        }
    }
    let mut turns = Vec::new();
    for _ in 0..TURNS {
        let (paced, _) = beside_a_writer(&registry, &places, REST)?;
        let (locked_paced, _) = beside_a_writer(&locked, &places, REST)?;
        let (written, writes) = beside_a_writer(&registry, &places, Duration::ZERO)?;
        let (locked_written, locked_writes) = beside_a_writer(&locked, &places, Duration::ZERO)?;
        let alone = get(&registry, &places)?;
        let locked_alone = get(&locked, &places)?;
        turns.push([
            alone.half,
            locked_alone.half,
            paced.half,
            locked_paced.half,
            written.half,
            locked_written.half,
            written.most,
            locked_written.most,
            writes,
            locked_writes,
        ]);
    }
    let middle = |figure: usize| {
        let mut values: Vec<f64> = turns.iter().map(|turn| turn[figure]).collect();
        values.sort_by(f64::total_cmp);
        values[TURNS / 2]
    };
    let [
        alone,
        locked_alone,
        paced,
        locked_paced,
        written,
        locked_written,
        slow,
        locked_slow,
        writes,
        locked_writes,
    ] = std::array::from_fn(middle);
    let map = "HashMap behind an RwLock";
    figures.add(Figure::new("registry_get", "ns", alone).beside(map, locked_alone));
    figures.add(
        Figure::new("registry_get_limit", "ns", alone)
            .beside("the limit", 50.0)
            .at_most(1.0),
    );
    figures.add(
        Figure::new("registry_get_while_written", "ns", paced)
            .beside("without a writer", alone)
            .at_most(1.1),
    );
    figures.add(
        Figure::new("lock_get_while_written", "ns", locked_paced).beside("without a writer", locked_alone),
    );
    figures.add(
        Figure::new("registry_get_written_without_rest", "ns", written)
            .beside(&format!("{map}, written without rest"), locked_written),
    );
    figures.add(
        Figure::new("registry_get_written_without_rest_p90", "ns", slow)
            .beside(&format!("{map}, written without rest, p90"), locked_slow),
    );
    figures.add(Figure::new("registry_writes", "changes/s", writes).beside(map, locked_writes));
    Ok(())
}

/// Returns every place, in an order that no cache foresees.
fn places() -> anyhow::Result<Vec<Place>> {
    let mut places = Vec::new();
    for number in 0..NAMESPACES * HANDLERS {
        // 197 has no factor in common with the count, so that each is there once.
        let number = number * 197 % (NAMESPACES * HANDLERS);
        let namespace = Namespace::new(&format!("namespace_{}", number / HANDLERS))?;
        let name = HandlerName::new(&format!("handler_{}", number % HANDLERS))?;
        places.push((namespace, name));
    }
    Ok(places)
}

/// Times of a search, in nanoseconds: what half of the rounds, and nine in ten, do not exceed.
struct Times {
    half: f64,
    most: f64,
}

/// Returns how long a search takes.
fn get(contents: &impl Contents, places: &[Place]) -> anyhow::Result<Times> {
    let mut times = Vec::new();
    for _ in 0..ROUNDS {
        let start = Instant::now();
        for _ in 0..LAPS {
            for place in places {
                anyhow::ensure!(contents.get(black_box(place)), "a handler is not found");
            }
        }
        times.push(start.elapsed());
    }
    times.sort_unstable();
    let one = |round: usize| times[round].as_secs_f64() * 1e9 / (LAPS * places.len()) as f64;
    Ok(Times {
        half: one(ROUNDS / 2),
        most: one(ROUNDS * 9 / 10),
    })
}

/// Returns the same while another thread replaces one handler after the other, with a rest between, and how often it
/// does so in a second.
fn beside_a_writer(
    contents: &impl Contents,
    places: &[Place],
    rest: Duration,
) -> anyhow::Result<(Times, f64)> {
    let (over, writes) = (AtomicBool::new(false), AtomicU64::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            let version = Version::new(1, VERSIONS - 1, 0);
            for place in places.iter().cycle() {
                if over.load(Ordering::Acquire) {
                    break;
                }
                contents.replace(place, &version, Arc::new(|number| number));
                writes.fetch_add(1, Ordering::Relaxed);
                if !rest.is_zero() {
                    thread::park_timeout(rest);
                }
            }
        });
        let start = Instant::now();
        let time = get(contents, places);
        let seconds = start.elapsed().max(Duration::from_nanos(1)).as_secs_f64();
        over.store(true, Ordering::Release);
        Ok((time?, writes.load(Ordering::Relaxed) as f64 / seconds))
    })
}
