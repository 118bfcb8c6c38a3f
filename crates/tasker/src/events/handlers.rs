//! The changes of handlers, as events.

use std::io;
use std::sync::Arc;

use tasker_engine::{Clock, Event, HandlerPayload, StepHandler, SystemEvent};
use tasker_registry::{HandlerChange, Registry, Watch};
use tokio::sync::mpsc;

use super::hub::local;

/// The changes of a registry, for one subscription.
pub(super) type Changes = mpsc::UnboundedReceiver<Event>;

/// Follows a registry as long as the watch lives.
pub(super) fn follow(
    registry: &Registry<dyn StepHandler>,
    clock: Arc<dyn Clock>,
) -> io::Result<(Changes, Watch)> {
    let (sender, changes) = mpsc::unbounded_channel();
    let watch = registry.watch(move |notice| {
        let (event, handler, reason) = match &notice.change {
            HandlerChange::Registered { handler, .. } => {
                (SystemEvent::HandlerRegistered, Some(handler), None)
            }
            HandlerChange::Replaced { handler, .. } => (SystemEvent::HandlerReplaced, Some(handler), None),
            HandlerChange::Removed { handler } => (SystemEvent::HandlerRemoved, Some(handler), None),
            HandlerChange::Refused { handler, reason } => (
                SystemEvent::HandlerRefused,
                handler.as_ref(),
                Some(reason.clone()),
            ),
            _ => return,
        };
        let payload = HandlerPayload {
            handler: handler.map(ToString::to_string),
            reason,
        };
        let payload = serde_json::to_value(payload).unwrap_or_default();
        // The subscription may be gone already.
        let _ = sender.send(local(event, &*clock, payload));
    })?;
    Ok((changes, watch))
}
