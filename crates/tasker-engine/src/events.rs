//! What happens, as events: their catalogue, what they carry, and how the durable ones follow from the history.
//!
//! This module is pure but for [`Feed`], which reads a store. It knows no subscribers: who listens, and what becomes
//! of a listener that fails, is the business of the program that puts the parts together.

mod catalogue;
mod derive;
mod emit;
mod event;
mod feed;
mod pattern;
mod payload;
mod telling;
#[cfg(test)]
mod tests;

pub use catalogue::{Durability, SystemEvent};
pub use derive::derive;
pub use emit::{Emit, Emitter};
pub use event::{Event, Published, Subject};
pub use feed::Feed;
pub use pattern::{InvalidPattern, Pattern};
pub use payload::{
    BatchPayload, ChangePayload, CustomPayload, ErrorPayload, HandlerPayload, HandlingPayload, LookPayload,
    PayloadType, StepPayload, TaskPayload,
};
pub use telling::Telling;
