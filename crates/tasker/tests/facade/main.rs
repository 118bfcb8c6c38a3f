//! A program that embeds Tasker: what it builds, runs, lists and changes, on a store in memory and in virtual time.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod build;
mod events;
mod features;
mod flows;
mod insight;
mod place;
mod retention;
mod run;
mod sleep;
mod subscriptions;
