//! What tests of the whole share: the stores that there are, and a simulation of workers that fail in every way.

pub mod simulation;
mod stores;
mod workshop;

pub use stores::{Opened, StoreKind};
pub use workshop::Workshop;

/// The guide whose examples are run as tests.
#[cfg(doctest)]
#[doc = include_str!("../../docs/handlers.md")]
mod handlers {}
