//! The rules about resolving, bypassing, cancelling and late blocking when two things happen at once.
//!
//! Every scene is played with the one act first, with the other first, and many times with both at the same moment
//! from two threads. Whatever happens at the same moment must end as if one had come first.

mod blocking;
mod cancelling;
mod creating;
mod racing;
mod resolving;
