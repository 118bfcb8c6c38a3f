//! The kit at work: on stores, on a user's workflow, and on what its assertions say.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod assertions;
mod memory;
mod third_party;
mod workflow;
