//! What waits for a worker, in the order in which it is handed out.

use std::collections::{BTreeMap, BTreeSet};

use tasker_types::{HandlerRef, Namespace, StepNo, Timestamp};

/// A place in the queue. The order is the order of claims: rank (the priority, negated), age, step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Queued {
    pub(super) rank: i16,
    pub(super) key: i64,
    pub(super) step: StepNo,
}

/// The steps that one handler can run.
#[derive(Clone, Debug)]
pub(super) struct Lane {
    pub(super) namespace: Namespace,
    pub(super) handler: HandlerRef,
    /// What is due, with the time at which it became so if it had to wait.
    due: BTreeMap<Queued, Option<Timestamp>>,
    /// What waits for its time.
    waiting: BTreeSet<(Timestamp, Queued)>,
}

/// The queue: a lane for each handler that a step ever named, so that a worker looks only at what it can run.
#[derive(Clone, Debug, Default)]
pub(super) struct Queue {
    lanes: Vec<Lane>,
    numbers: BTreeMap<(Namespace, String), usize>,
    now: Timestamp,
}

/// A range of places: all of them, or those of one task.
#[derive(Clone, Copy, Debug)]
pub(super) enum Reach {
    All,
    Task { rank: i16, key: i64 },
}

impl Reach {
    fn bounds(self) -> (Queued, Queued) {
        match self {
            Self::All => (
                Queued {
                    rank: i16::MIN,
                    key: i64::MIN,
                    step: StepNo(0),
                },
                Queued {
                    rank: i16::MAX,
                    key: i64::MAX,
                    step: StepNo(u32::MAX),
                },
            ),
            Self::Task { rank, key } => (
                Queued {
                    rank,
                    key,
                    step: StepNo(0),
                },
                Queued {
                    rank,
                    key,
                    step: StepNo(u32::MAX),
                },
            ),
        }
    }

    fn has(self, place: Queued) -> bool {
        match self {
            Self::All => true,
            Self::Task { key, .. } => place.key == key,
        }
    }
}

impl Queue {
    /// Returns the number of a handler's lane.
    pub(super) fn lane(&mut self, namespace: &Namespace, handler: &HandlerRef) -> usize {
        let lanes = &mut self.lanes;
        *self
            .numbers
            .entry((namespace.clone(), handler.to_string()))
            .or_insert_with(|| {
                lanes.push(Lane {
                    namespace: namespace.clone(),
                    handler: handler.clone(),
                    due: BTreeMap::new(),
                    waiting: BTreeSet::new(),
                });
                lanes.len() - 1
            })
    }

    pub(super) fn lanes(&self) -> &[Lane] {
        &self.lanes
    }

    pub(super) fn insert(&mut self, lane: usize, place: Queued, at: Option<Timestamp>) {
        let lane = &mut self.lanes[lane];
        match at {
            Some(time) if time > self.now => {
                lane.waiting.insert((time, place));
            }
            at => {
                lane.due.insert(place, at);
            }
        }
    }

    pub(super) fn remove(&mut self, lane: usize, place: Queued, at: Option<Timestamp>) {
        let lane = &mut self.lanes[lane];
        lane.due.remove(&place);
        if let Some(time) = at {
            lane.waiting.remove(&(time, place));
        }
    }

    /// Moves what has become due; should the clock have gone back, it moves what is no longer due the other way.
    pub(super) fn advance(&mut self, now: Timestamp) {
        let back = now < self.now;
        self.now = now;
        for lane in &mut self.lanes {
            if back {
                for (place, at) in lane.due.extract_if(.., |_, at| at.is_some_and(|time| time > now)) {
                    lane.waiting.extend(at.map(|time| (time, place)));
                }
            }
            while let Some((time, place)) = lane
                .waiting
                .first()
                .copied()
                .filter(|(time, _)| *time <= now || tasker_types::bug(38))
            {
                lane.waiting.pop_first();
                lane.due.insert(place, Some(time));
            }
        }
    }
}

impl Lane {
    /// Returns what is due, in order.
    pub(super) fn due(&self, reach: Reach) -> impl Iterator<Item = Queued> + '_ {
        let (first, last) = reach.bounds();
        self.due.range(first..=last).map(|(place, _)| *place)
    }

    /// Returns when the first of what waits is due.
    ///
    /// # Complexity
    ///
    /// Constant over all tasks, linear in what waits for one.
    pub(super) fn next_due(&self, reach: Reach) -> Option<Timestamp> {
        self.waiting
            .iter()
            .find(|(_, place)| reach.has(*place))
            .map(|(time, _)| *time)
    }
}
