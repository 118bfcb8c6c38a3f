#![doc = include_str!("../README.md")]

mod batch;
mod change;
mod error;
mod events;
mod name;
mod notice;
mod present;
mod registry;
mod snapshot;
mod subscribers;

pub use batch::Batch;
pub use error::{BatchError, EventConflict, EventError, LookupError, RegisterError, UnknownEvent};
pub use events::{EventEntry, EventSource};
pub use name::FullName;
pub use notice::{HandlerChange, Notice};
pub use registry::{Registry, RegistryBuilder};
pub use snapshot::{Entry, NamespaceStats, Snapshot, Stats};
pub use subscribers::{Activity, Subscription, Watch};

// What the signatures above are made of, so that this crate can be used alone.
pub use tasker_types::{
    CustomEvent, EventDefinition, EventName, HandlerName, InvalidEventName, InvalidName, Namespace, Version,
    VersionReq,
};
