#![doc = include_str!("../README.md")]

mod batch;
mod error;
mod registry;
mod snapshot;

pub use batch::Batch;
pub use error::{BatchError, LookupError, RegisterError};
pub use registry::Registry;
pub use snapshot::{Entry, Snapshot, Stats};

// What the signatures above are made of, so that this crate can be used alone.
pub use tasker_types::{HandlerName, InvalidName, Namespace, Version, VersionReq};
