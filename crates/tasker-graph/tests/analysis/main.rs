//! The analysis of graphs against vectors, against brute force, and against hostile input.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod all;
mod brute;
mod cases;
mod hostile;
mod live;
mod picture;
mod vectors;
