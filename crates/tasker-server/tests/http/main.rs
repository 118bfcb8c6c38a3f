//! The service, asked as clients ask it.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod documentation;
mod events;
mod handlers;
mod health;
mod injection;
mod kit;
mod limits;
mod lists;
mod metrics;
mod nested;
mod roles;
mod served;
mod table;
mod tasks;
mod tokens;
