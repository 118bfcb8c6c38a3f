//! Removing tasks that ended for good a while ago.

use std::time::Duration;

use tasker_types::Timestamp;

/// How many tasks one batch removes at most, by default.
const TASKS: u32 = 200;

/// How many steps one batch removes at most, unless a single task has more.
pub(crate) const STEPS: i64 = 20_000;

/// How many tasks one batch looks through at most.
pub(crate) const LOOKED_AT: u32 = 5_000;

/// Whether tasks are removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PruneMode {
    /// They are removed, with everything that belongs to them.
    Remove,
    /// They are counted.
    Count,
}

/// What a batch removes: of the next tasks those that ended for good long enough ago.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Prune {
    /// How long ago they ended, by the clock of the store.
    pub older_than: Duration,
    /// Where the batch before ended; `None` for the first.
    pub after: Option<PruneCursor>,
    /// How many tasks are removed at most.
    pub limit: u32,
    /// Whether they are removed or counted.
    pub mode: PruneMode,
}

impl Prune {
    /// Returns the first batch, of at most 200 tasks.
    pub fn new(older_than: Duration, mode: PruneMode) -> Self {
        Self {
            older_than,
            after: None,
            limit: TASKS,
            mode,
        }
    }
}

impl Prune {
    /// Returns the time before which tasks must have ended, in microseconds since the epoch.
    pub(crate) fn end(&self, now: Timestamp) -> i64 {
        let age = i64::try_from(self.older_than.as_micros()).unwrap_or(i64::MAX);
        now.as_micros().saturating_sub(age)
    }
}

/// A place in the order in which tasks are looked through: that of their creation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PruneCursor(pub(crate) i64);

/// What a batch came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct PrunedBatch {
    /// How many tasks were removed, or would be.
    pub pruned: u64,
    /// How many tasks ended long enough ago and stay: one that was created by the same root task has not.
    pub kept: u64,
    /// Where the next batch begins; `None` when all tasks that are old enough were looked at.
    pub next: Option<PruneCursor>,
}

/// A task that was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) key: i64,
    /// It was created long enough ago.
    pub(crate) is_old: bool,
    /// It ended for good long enough ago.
    pub(crate) is_over: bool,
}

/// Returns the tasks that may be removed of those that were looked at, and where to go on.
pub(crate) fn candidates(seen: &[Seen], most: u32, limit: u32) -> (Vec<i64>, Option<PruneCursor>) {
    let mut over = Vec::new();
    for task in seen {
        if over.len() >= limit as usize {
            return (over, before(task.key));
        }
        if task.is_over {
            over.push(task.key);
        }
    }
    // Tasks stand in the order of their creation, but for those that were created at about the same time.
    let more = seen.len() >= most as usize && seen.iter().any(|task| task.is_old);
    (
        over,
        seen.last().filter(|_| more).map(|task| PruneCursor(task.key)),
    )
}

/// Returns how many of the tasks, by their numbers of steps, fit into one batch: one at least.
pub(crate) fn fitting(steps: impl IntoIterator<Item = i64>) -> usize {
    let mut sum = 0_i64;
    let fits = steps.into_iter().take_while(|steps| {
        let first = sum == 0;
        sum = sum.saturating_add((*steps).max(1));
        first || sum <= STEPS
    });
    fits.count()
}

/// Returns the place right before a task.
pub(crate) fn before(key: i64) -> Option<PruneCursor> {
    Some(PruneCursor(key - 1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(text: &str) -> Vec<Seen> {
        let task = |(key, letter): (i64, char)| Seen {
            key,
            is_old: letter != 'n',
            is_over: letter == 'o',
        };
        (1..).zip(text.chars()).map(task).collect()
    }

    /// Over, old and new tasks, by their letters.
    #[track_caller]
    fn check(text: &str, limit: u32, expected: (&[i64], Option<i64>)) {
        let (over, next) = candidates(&seen(text), 4, limit);
        assert_eq!((over.as_slice(), next.map(|next| next.0)), expected, "{text}");
    }

    #[test]
    fn a_batch_ends_at_its_limit() {
        check("oaoo", 9, (&[1, 3, 4], Some(4)));
        check("oaoo", 2, (&[1, 3], Some(3)));
        check("oaoo", 1, (&[1], Some(1)));
    }

    #[test]
    fn the_last_batch_has_few_or_only_new_tasks() {
        check("oa", 9, (&[1], None));
        check("nnnn", 9, (&[], None));
        check("nnna", 9, (&[], Some(4)));
        check("", 9, (&[], None));
    }

    #[test]
    fn large_tasks_come_few_at_a_time() {
        assert_eq!(fitting([1, 1, 1]), 3);
        assert_eq!(fitting([STEPS, 1]), 1);
        assert_eq!(fitting([STEPS * 2, 1]), 1);
        assert_eq!(fitting([1, STEPS]), 1);
        assert_eq!(fitting([]), 0);
    }
}
