//! Tests of the public interface.

mod anything;
mod environment;
mod layers;
mod place;
mod refusals;
