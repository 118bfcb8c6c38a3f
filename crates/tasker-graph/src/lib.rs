#![doc = include_str!("../README.md")]

mod adjacency;
mod build;
mod cycles;
mod dag;
mod draw;
mod error;
#[cfg(test)]
mod properties;

pub use dag::Dag;
pub use draw::NodeLabel;
pub use error::DagError;
