#![cfg_attr(feature = "sqlite", doc = include_str!("../README.md"))]

#[cfg(feature = "sqlite")]
mod list;
#[cfg(feature = "sqlite")]
mod sqlite;

#[cfg(feature = "sqlite")]
pub use list::{TaskFilter, TaskSummary};
#[cfg(feature = "sqlite")]
pub use sqlite::{SqliteOptions, SqliteStore, migrate};
