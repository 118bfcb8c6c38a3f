//! The handlers that every Tasker has: `command` and `sleep`.

mod command;
mod expression;
mod output;
mod sleep;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
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

/// Returns the JSON Schema of templates, with that of the configuration of every built-in handler.
///
/// It is for editors; `Template::load` is what says whether a template is right.
pub fn template_schema() -> Value {
    tasker_engine::template_schema(&[
        ("command", command::config_schema()),
        ("sleep", sleep::config_schema()),
    ])
}
