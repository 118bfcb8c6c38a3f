//! How far a long run is, for the person who waits for it.

use std::fmt::Display;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long nothing is said.
const PAUSE: Duration = Duration::from_secs(10);

/// Counts what is done, and says so on standard error now and then, so that the output stays what it is.
#[derive(Debug)]
pub struct Progress<D> {
    what: D,
    all: u64,
    done: AtomicU64,
    told: Mutex<Instant>,
}

impl<D: Display> Progress<D> {
    /// Begins to count up to `all` of `what`, such as histories of a store.
    pub fn new(what: D, all: u64) -> Self {
        Self {
            what,
            all,
            done: AtomicU64::new(0),
            told: Mutex::new(Instant::now()),
        }
    }

    /// Counts one more.
    #[expect(
        clippy::print_stderr,
        reason = "a command tells how far it is beside its output"
    )]
    pub fn one_more(&self) {
        let done = self.done.fetch_add(1, Ordering::Relaxed) + 1;
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.elapsed() >= PAUSE && done < self.all {
            *told = Instant::now();
            eprintln!("{}: {done} of {}", self.what, self.all);
        }
    }
}
