//! Tests of the public interface.

mod anything;
mod environment;
mod keys;
mod layers;
mod place;
mod refusals;
