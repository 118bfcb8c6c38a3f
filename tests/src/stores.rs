//! The stores that every test of the whole runs on.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use tasker_engine::{Clock, MemoryStore, Store};

/// A kind of store.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum StoreKind {
    /// In memory.
    Memory,
}

/// An open, empty store, and what must live as long as it does.
#[derive(Debug)]
pub struct Opened {
    /// The store.
    pub store: Arc<dyn Store>,
    _kept: Box<dyn Any + Send + Sync>,
}

impl Opened {
    /// Keeps something, such as a directory, for as long as the store is open.
    pub fn new(store: Arc<dyn Store>, kept: impl Any + Send + Sync) -> Self {
        Self {
            store,
            _kept: Box::new(kept),
        }
    }
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
            Self::Memory => Opened::new(Arc::new(MemoryStore::new(clock)), ()),
        }
    }
}

impl fmt::Display for StoreKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
