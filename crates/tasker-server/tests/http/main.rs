//! The service, asked as clients ask it.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod events;
mod handlers;
mod health;
mod kit;
mod limits;
mod metrics;
mod lists;
mod roles;
mod table;
mod tasks;
mod tokens;
