//! The handlers that every Tasker has: `command` and `sleep`.

mod command;
mod expression;
mod output;
mod sleep;

use std::collections::BTreeMap;
use std::sync::Arc;

use tasker_engine::StepHandler;
use tasker_types::Limits;

/// Returns the built-in handlers by name.
///
/// `environment` has the variables that arguments of commands may name as `{{ env.NAME }}`.
pub(crate) fn handlers(
    limits: &Arc<Limits>,
    environment: BTreeMap<String, String>,
) -> [(&'static str, Arc<dyn StepHandler>); 2] {
    [
        (
            "command",
            Arc::new(command::Command::new(Arc::clone(limits), environment)),
        ),
        ("sleep", Arc::new(sleep::Sleep)),
    ]
}
