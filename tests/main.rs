//! Tests that need more than one crate.

mod rules;
mod simulation;
mod workflows;
