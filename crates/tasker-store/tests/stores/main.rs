//! The stores, put through the conformance suite and compared with the store in memory.
#![expect(clippy::unwrap_used, reason = "a test that cannot open its store has failed")]

#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod moving;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pruning;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod totals;
