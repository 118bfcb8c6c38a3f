//! Tests of the public interface.

mod environment;
mod layers;
mod place;
mod refusals;
