#![cfg_attr(feature = "sqlite", doc = include_str!("../README.md"))]
#![cfg_attr(not(feature = "sqlite"), doc = "Databases behind the engine's port `Store`.")]

#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod checkup;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod list;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod pool;
/// Tasks in PostgreSQL.
#[cfg(feature = "postgres")]
pub mod postgres;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod probe;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod prune;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod secret;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod status;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod tokens;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod totals;
#[cfg(all(feature = "sqlite", feature = "postgres"))]
mod transfer;
#[cfg(any(feature = "sqlite", feature = "postgres"))]
mod work;

#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use checkup::{Checkup, Finding, FindingSeverity};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use pool::{Pool, Pools};
#[cfg(feature = "postgres")]
pub use postgres::{PostgresOptions, PostgresStore};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use probe::{Fault, Moment, Probe, SlowStatements};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use prune::{Prune, PruneCursor, PruneMode, PrunedBatch};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteFile, SqliteOptions, SqliteStore, doctor, migrate};
#[cfg(any(feature = "sqlite", feature = "postgres"))]
pub use status::{Connections, Schema, ServerConnections};

#[cfg(all(feature = "sqlite", feature = "postgres"))]
pub use transfer::{Endpoint, Transferred, transfer};

// The port that the stores implement, and the words that it is made of, so that this crate can be used alone.
pub use tasker_engine as engine;
pub use tasker_types as types;
