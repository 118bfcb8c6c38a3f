//! How busy the connections of a store are.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use serde::Serialize;

/// How busy the connections of this process are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pools {
    /// Those that only read.
    pub readers: Pool,
    /// Those that write.
    pub writers: Pool,
}

/// How busy some connections are, at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// How many there may be.
    pub size: u32,
    /// How many are in use.
    pub in_use: u32,
    /// How many are open and not in use.
    pub idle: u32,
    /// How many requests wait for one.
    pub waiting: u32,
}

/// A number of things under way; copies count the same.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tally(Arc<AtomicU32>);

/// Something that counts until it is dropped.
#[derive(Debug)]
pub(crate) struct Counted(Tally);

impl Tally {
    pub(crate) fn begin(&self) -> Counted {
        self.0.fetch_add(1, Ordering::Relaxed);
        Counted(self.clone())
    }

    pub(crate) fn get(&self) -> u32 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// What keeps connections that write busy.
#[derive(Clone, Debug, Default)]
pub(crate) struct Busy {
    /// Connections that are open.
    pub(crate) open: Tally,
    /// Connections with work under way.
    pub(crate) in_use: Tally,
    /// Requests that no connection has taken yet.
    pub(crate) waiting: Tally,
}

impl Busy {
    /// Returns how busy connections are of which there may be so many.
    pub(crate) fn pool(&self, size: u32) -> Pool {
        let in_use = self.in_use.get();
        Pool {
            size,
            in_use,
            idle: self.open.get().saturating_sub(in_use),
            waiting: self.waiting.get(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_under_way_counts_until_it_ends() {
        let tally = Tally::default();
        let one = tally.begin();
        let other = tally.clone().begin();
        assert_eq!(tally.get(), 2);
        drop(one);
        assert_eq!(tally.get(), 1);
        drop(other);
        assert_eq!(tally.get(), 0);
    }
}
