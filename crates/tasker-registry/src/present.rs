//! One present value, which is read without waiting, and the one way by which it is replaced.
//!
//! With `--cfg loom` the same code runs on loom's lock, and `cargo xtask loom` tries every order in which threads can meet.

use std::sync::{Arc, PoisonError};

use cell::Cell;
#[cfg(loom)]
use loom::sync::Mutex;
#[cfg(not(loom))]
use std::sync::Mutex;

/// The present value, and what is counted along with its changes.
pub(crate) struct Present<T, C> {
    value: Cell<T>,
    /// Held from reading the present value until the next one is in its place and has been told of.
    changing: Mutex<C>,
}

impl<T, C> Present<T, C> {
    /// Begins with a value.
    pub(crate) fn new(value: Arc<T>, count: C) -> Self {
        Self {
            value: Cell::new(value),
            changing: Mutex::new(count),
        }
    }

    /// Returns the present value for as long as it takes to look at it.
    pub(crate) fn load(&self) -> cell::Loaded<T> {
        self.value.load()
    }

    /// Returns the present value, which later changes do not touch.
    pub(crate) fn load_full(&self) -> Arc<T> {
        self.value.load_full()
    }

    /// Replaces the value by what `decide` makes of it, unless that is nothing, and has `tell` tell of it before anything
    /// else is decided.
    ///
    /// Neither may run foreign code: others wait for them.
    pub(crate) fn change<D, R>(
        &self,
        decide: impl FnOnce(&T) -> (Option<T>, D),
        tell: impl FnOnce(&mut C, D) -> R,
    ) -> R {
        // What the lock guards is replaced as a whole, so a panic under it leaves nothing half done.
        let mut count = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let former = self.value.load_full();
        let (next, decided) = decide(&former);
        if let Some(next) = next {
            self.value.store(Arc::new(next));
        }
        let told = tell(&mut count, decided);
        // What nobody has any more ends with `former`, and its end is foreign code.
        drop(count);
        drop(former);
        told
    }
}

#[cfg(not(loom))]
mod cell {
    use std::sync::Arc;

    use arc_swap::{ArcSwap, Guard};

    pub(super) type Loaded<T> = Guard<Arc<T>>;

    pub(super) struct Cell<T>(ArcSwap<T>);

    impl<T> Cell<T> {
        pub(super) fn new(value: Arc<T>) -> Self {
            Self(ArcSwap::new(value))
        }

        pub(super) fn load(&self) -> Loaded<T> {
            self.0.load()
        }

        pub(super) fn load_full(&self) -> Arc<T> {
            self.0.load_full()
        }

        pub(super) fn store(&self, value: Arc<T>) {
            self.0.store(value);
        }
    }
}

/// A cell that promises no more than `ArcSwap` does: who reads a value sees what was done before it was stored.
#[cfg(loom)]
mod cell {
    use std::sync::{Arc, PoisonError};

    use loom::sync::RwLock;

    pub(super) type Loaded<T> = Arc<T>;

    pub(super) struct Cell<T>(RwLock<Arc<T>>);

    impl<T> Cell<T> {
        pub(super) fn new(value: Arc<T>) -> Self {
            Self(RwLock::new(value))
        }

        pub(super) fn load(&self) -> Loaded<T> {
            self.load_full()
        }

        pub(super) fn load_full(&self) -> Arc<T> {
            Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner))
        }

        pub(super) fn store(&self, value: Arc<T>) {
            // What was in its place ends when the lock is free.
            let mut place = self.0.write().unwrap_or_else(PoisonError::into_inner);
            let former = std::mem::replace(&mut *place, value);
            drop(place);
            drop(former);
        }
    }
}

#[cfg(all(test, loom))]
mod model;
