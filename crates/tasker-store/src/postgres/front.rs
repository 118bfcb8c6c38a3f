//! Where the queues begin.
//!
//! Places that were taken are deleted, and as long as somebody has a transaction open that began before, the server may not
//! remove them: whoever looks at the queue passes by all of them each time. So when there are many, a look begins where the
//! last one found its first place, and only now and then at the very beginning, so rarely that it takes a twentieth of the
//! time. What this process adds further to the front it knows of; what others add there is found by the next whole look, or
//! by them.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// How many deleted places are many, unless something else is said.
pub(super) const MANY: i64 = 20_000;

/// How often they are counted.
const COUNTING: Duration = Duration::from_secs(1);

/// How much longer than a whole look it takes until the next.
const REST: u32 = 20;

/// A place in a queue: rank, task, step.
pub(super) type Spot = (i16, i64, u32);

/// Where looks at the queues begin, for all connections of a process.
#[derive(Debug)]
pub(super) struct Front {
    many: i64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// There are many deleted places.
    is_littered: bool,
    counted_at: Option<Instant>,
    /// Changes when places are added before the front.
    version: u64,
    /// The first place of each queue, so far as is known.
    first: BTreeMap<i64, Spot>,
    /// When the last whole look began, and how long it took.
    whole: Option<(Instant, Duration)>,
}

/// Where one look begins.
#[derive(Debug)]
pub(super) struct Start {
    spots: BTreeMap<i64, Spot>,
    version: u64,
    is_whole: bool,
    began: Instant,
}

impl Start {
    /// Returns the very beginning, for a look that leaves places of the queues out.
    pub(super) fn whole() -> Self {
        Self {
            spots: BTreeMap::new(),
            version: 0,
            is_whole: true,
            began: Instant::now(),
        }
    }

    /// Returns where the look at a queue begins, or `None` for its very beginning.
    pub(super) fn of(&self, queue: i64) -> Option<Spot> {
        self.spots.get(&queue).copied()
    }

    /// Has the look begin no later than at a place.
    pub(super) fn include(&mut self, queue: i64, spot: Spot) {
        if let Some(first) = self.spots.get_mut(&queue) {
            *first = spot.min(*first);
        }
    }
}

impl Front {
    /// Returns one for which so many deleted places are many.
    pub(super) fn new(many: i64) -> Self {
        Self {
            many,
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells whether the deleted places should be counted now.
    pub(super) fn wants_count(&self) -> bool {
        let mut state = self.state();
        let is_due = state.counted_at.is_none_or(|at| at.elapsed() >= COUNTING);
        if is_due {
            state.counted_at = Some(Instant::now());
        }
        is_due
    }

    /// Learns how many deleted places there are.
    pub(super) fn count(&self, dead: i64) {
        let mut state = self.state();
        state.is_littered = dead >= self.many;
        if !state.is_littered {
            state.first.clear();
        }
    }

    /// Returns where the next look begins.
    pub(super) fn start(&self) -> Start {
        let mut state = self.state();
        let rests = |(at, took): (Instant, Duration)| at.elapsed() < took * REST;
        let is_whole = !state.is_littered || !state.whole.is_some_and(rests);
        let began = Instant::now();
        if is_whole && state.is_littered {
            // Others do not walk all the way at the same time.
            let took = state.whole.map_or(COUNTING, |(_, took)| took);
            state.whole = Some((began, took));
        }
        Start {
            spots: if is_whole {
                BTreeMap::new()
            } else {
                state.first.clone()
            },
            version: state.version,
            is_whole,
            began,
        }
    }

    /// Notes the places that a look found.
    pub(super) fn found(&self, start: &Start, places: impl Iterator<Item = (i64, Spot)>) {
        let mut state = self.state();
        if !state.is_littered {
            return;
        }
        if start.is_whole {
            state.whole = Some((start.began, start.began.elapsed()));
        }
        if state.version != start.version {
            return;
        }
        let mut first: BTreeMap<i64, Spot> = BTreeMap::new();
        for (queue, spot) in places {
            let known = first.entry(queue).or_insert(spot);
            *known = spot.min(*known);
        }
        state.first.extend(first);
    }

    /// Notes places that were added, once they are committed.
    pub(super) fn added(&self, places: impl Iterator<Item = (i64, Spot)>) {
        let mut state = self.state();
        if !state.is_littered {
            return;
        }
        for (queue, spot) in places {
            if let Some(first) = state.first.get_mut(&queue)
                && spot < *first
            {
                *first = spot;
                state.version += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const QUEUE: i64 = 3;

    fn spot(task: i64) -> Spot {
        (0, task, 0)
    }

    fn at(task: i64) -> impl Iterator<Item = (i64, Spot)> {
        std::iter::once((QUEUE, spot(task)))
    }

    /// Returns one with many deleted places, of which the first look has found where the queue begins.
    async fn littered() -> Front {
        let front = Front::new(MANY);
        assert!(front.wants_count());
        front.count(MANY);
        let start = front.start();
        assert_eq!(start.of(QUEUE), None);
        tokio::time::advance(Duration::from_millis(10)).await;
        front.found(&start, at(100));
        front
    }

    #[tokio::test(start_paused = true)]
    async fn looks_begin_at_the_beginning_while_few_places_are_deleted() {
        let front = Front::new(MANY);
        front.count(MANY - 1);
        let start = front.start();
        front.found(&start, at(100));
        assert_eq!(front.start().of(QUEUE), None);
    }

    #[tokio::test(start_paused = true)]
    async fn looks_begin_where_the_last_one_found_a_place() {
        let front = littered().await;
        let start = front.start();
        assert_eq!(start.of(QUEUE), Some(spot(100)));
        assert_eq!(start.of(QUEUE + 1), None);
        front.found(&start, at(120).chain(at(110)));
        assert_eq!(front.start().of(QUEUE), Some(spot(110)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_whole_look_takes_a_twentieth_of_the_time() {
        let front = littered().await;
        tokio::time::advance(Duration::from_millis(189)).await;
        assert!(!front.start().is_whole);
        tokio::time::advance(Duration::from_millis(1)).await;
        let start = front.start();
        assert_eq!(start.of(QUEUE), None);
        assert!(!front.start().is_whole, "two walk all the way at once");
        // What others put there meanwhile.
        tokio::time::advance(Duration::from_millis(1)).await;
        front.found(&start, at(50));
        assert_eq!(front.start().of(QUEUE), Some(spot(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_added_before_the_front_is_found() {
        let front = littered().await;
        let start = front.start();
        front.added(at(70));
        front.added(at(200));
        // That look began before.
        front.found(&start, at(110));
        assert_eq!(front.start().of(QUEUE), Some(spot(70)));
        let mut start = front.start();
        start.include(QUEUE, spot(60));
        start.include(QUEUE, spot(65));
        start.include(QUEUE + 1, spot(1));
        assert_eq!(start.of(QUEUE), Some(spot(60)));
        assert_eq!(start.of(QUEUE + 1), None);
    }

    #[tokio::test(start_paused = true)]
    async fn places_are_counted_once_in_a_while() {
        let front = littered().await;
        assert!(!front.wants_count());
        tokio::time::advance(COUNTING).await;
        assert!(front.wants_count());
        assert!(!front.wants_count());
        front.count(0);
        assert_eq!(front.start().of(QUEUE), None);
        front.count(MANY);
        assert!(front.start().of(QUEUE).is_none(), "a front of another time");
    }
}
