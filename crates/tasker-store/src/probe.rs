//! Who looks at the statements of a store: what may make them fail, to see what becomes of it, and what counts those that
//! take long.
//!
//! Every statement of a store, and every beginning and end of a transaction, passes by the probe that its options have, if
//! they have one. What a fault leads to is then what the same fault of the database leads to.

use std::fmt::Debug;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// When something happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Moment {
    /// Before it is carried out, which it then never is.
    Before,
    /// When it was carried out.
    After,
}

/// What happens to a statement.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// The database answers with an error; the connection stays as it is.
    Error,
    /// The connection is over, and whatever it had under way is undone. The answer of a statement that was carried out
    /// arrives all the same.
    Drop,
    /// The connection is over, and so is the answer.
    LoseAnswer,
    /// The process ends at once.
    Abort,
}

/// Decides what happens to the statements of a store.
pub trait Probe: Debug + Send + Sync {
    /// Returns what happens to a statement, which is named by its SQL, and when; `None` for nothing.
    fn pass(&self, statement: &str) -> Option<(Moment, Fault)>;
}

/// Statements that took long: each is logged as a warning, and counted.
#[derive(Debug)]
pub struct SlowStatements {
    threshold: Duration,
    seen: AtomicU64,
}

impl SlowStatements {
    /// Has statements count as slow that take this long.
    pub fn new(threshold: Duration) -> Self {
        Self {
            threshold,
            seen: AtomicU64::new(0),
        }
    }

    /// Returns how many there were.
    pub fn count(&self) -> u64 {
        self.seen.load(Ordering::Relaxed)
    }

    fn took(&self, statement: &str, took: Duration) {
        /// How much of a statement is logged, in characters.
        const SHOWN: usize = 2_000;
        if took < self.threshold {
            return;
        }
        self.seen.fetch_add(1, Ordering::Relaxed);
        let mut words = statement.split_whitespace();
        let first = words.next().unwrap_or_default().to_owned();
        let line = words.fold(first, |line, word| line + " " + word);
        let statement: String = line.chars().take(SHOWN).collect();
        tracing::warn!(seconds = took.as_secs_f64(), statement, "a statement was slow");
    }
}

/// Who looks at the statements of a connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Onlookers {
    pub(crate) probe: Option<Arc<dyn Probe>>,
    pub(crate) slow: Option<Arc<SlowStatements>>,
}

impl Onlookers {
    /// Returns what happens to a statement, and when.
    pub(crate) fn pass(&self, statement: &str) -> Option<(Moment, Fault)> {
        self.probe.as_ref().and_then(|probe| probe.pass(statement))
    }

    /// Begins to time a statement, if anyone wants to know.
    pub(crate) fn begin(&self) -> Option<(&SlowStatements, Instant)> {
        Some((self.slow.as_deref()?, Instant::now()))
    }
}

/// Ends what [`Onlookers::begin`] began.
pub(crate) fn end(begun: Option<(&SlowStatements, Instant)>, statement: &str) {
    if let Some((slow, begun)) = begun {
        slow.took(statement, begun.elapsed());
    }
}
