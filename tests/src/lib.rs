//! What tests of the whole share: the stores that there are, a simulation of workers that fail in every way, every state
//! that small tasks can come to, and the analysis of graphs beside brute force.

pub mod bad_disk;
mod cores;
pub mod crash_points;
pub mod exhaustive;
pub mod graphs;
mod postgres;
mod progress;
pub mod simulation;
mod stores;
mod workshop;

pub use progress::Progress;
pub use stores::{Opened, StoreKind};
pub use workshop::Workshop;

/// Pages whose examples in Rust are run as tests.
#[cfg(doctest)]
mod book {
    #[doc = include_str!("../../docs/guide/testing.md")]
    mod testing {}

    #[doc = include_str!("../../docs/events.md")]
    mod events {}

    #[doc = include_str!("../../docs/handlers.md")]
    mod handlers {}

    #[doc = include_str!("../../docs/postgres.md")]
    mod postgres {}
}
