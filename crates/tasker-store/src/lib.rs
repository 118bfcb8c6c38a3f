#![cfg_attr(feature = "sqlite", doc = include_str!("../README.md"))]

#[cfg(feature = "sqlite")]
mod list;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use list::{TaskFilter, TaskSummary};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore, migrate};

// The port that the stores implement, and the words that it is made of, so that this crate can be used alone.
pub use tasker_engine as engine;
pub use tasker_types as types;
