//! Tests that need more than one crate.
#![expect(clippy::unwrap_used, reason = "a test says what is wrong by panicking")]

mod book;
mod bugs;
mod business;
mod crash_points;
mod crashes;
mod examples;
mod exhaustive;
mod forgotten;
mod fuzzing;
mod graphs;
mod kill;
mod kit;
mod logs;
mod operators;
mod program;
mod remote;
mod rules;
mod schemas;
mod serve;
mod served;
mod simulation;
mod traces;
mod workflows;
