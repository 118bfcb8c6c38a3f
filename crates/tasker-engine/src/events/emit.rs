//! How a worker tells of what is in no history.

use std::fmt;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;

use super::catalogue::SystemEvent;

/// Takes local events. It must not wait, and what becomes of an event must not concern the work.
pub trait Emit: Send + Sync + fmt::Debug {
    /// Tells whether anyone listens; if nobody does, events are not even made.
    fn is_heard(&self) -> bool;

    /// Takes an event.
    fn emit(&self, event: SystemEvent, payload: Value);
}

/// Emits local events, if there is something that takes them.
#[derive(Clone, Debug, Default)]
pub struct Emitter(Option<Arc<dyn Emit>>);

impl Emitter {
    /// Returns an emitter whose events go there.
    pub fn new(emit: Arc<dyn Emit>) -> Self {
        Self(Some(emit))
    }

    /// Emits an event; what it carries is made only if anyone listens.
    pub(crate) fn emit<T: Serialize>(&self, event: SystemEvent, payload: impl FnOnce() -> T) {
        if let Some(emit) = self.0.as_ref().filter(|emit| emit.is_heard()) {
            emit.emit(event, serde_json::to_value(payload()).unwrap_or_default());
        }
    }
}
