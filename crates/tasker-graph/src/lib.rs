#![doc = include_str!("../README.md")]

mod dag;
mod draw;

pub use dag::{Dag, DagError};
pub use draw::NodeLabel;
