//! The analysis of graphs against vectors, against itself, and against hostile input. It is compared with brute force
//! where `cargo xtask conformance --graphs` finds it, in the tests of the whole.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod cases;
mod hostile;
mod live;
mod picture;
mod vectors;
