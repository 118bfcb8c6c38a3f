//! The real binary, run as a person would run it: in a directory of its own, with an environment of its own.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod config;
mod features;
mod graph;
mod interrupted;
mod live;
mod man;
mod new;
mod place;
mod resume;
mod run;
mod store;
mod task;
mod tls;
mod token;
mod usage;
mod watch;
