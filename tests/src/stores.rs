//! The stores that every test of the whole runs on.

use std::fmt;
use std::sync::Arc;

use tasker_engine::{Clock, MemoryStore, Store};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// In memory.
    Memory,
}

/// An open, empty store.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
}

impl StoreKind {
    /// Every kind.
    pub const ALL: &[Self] = &[Self::Memory];

    /// Returns the name that the command line uses.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Memory => "memory",
        }
    }

    /// Opens a new store that reads this clock.
    pub fn open(self, clock: Arc<dyn Clock>) -> Opened {
        match self {
            Self::Memory => Opened {
                store: Arc::new(MemoryStore::new(clock)),
            },
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
