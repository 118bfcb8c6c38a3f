#![doc = include_str!("../README.md")]

mod config;
mod environment;
mod fault;
mod file;
mod json_schema;
mod literal;
mod loader;
mod node;
mod origin;
mod reader;
mod reference;
mod schema;

pub use crate::config::{Config, Entry};
pub use crate::environment::Environment;
pub use crate::fault::{Fault, FaultKind, Faults};
pub use crate::json_schema::json_schema;
pub use crate::loader::{FILE_NAME, Loader};
pub use crate::origin::Origin;
pub use crate::reference::{KeyReference, SectionReference, reference};
