//! The handlers that every Tasker has: `command`, `sleep`, and `http` with the feature of that name.

mod command;
mod expression;
#[cfg(feature = "http")]
mod http;
mod output;
mod sleep;

#[cfg(feature = "http")]
pub use http::client as http_client;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;
use tasker_engine::{Clock, StepHandler};
use tasker_types::{Limits, TelemetryValues};

#[cfg(feature = "http")]
use crate::secrets::SecretNames;

/// Returns the built-in handlers by name.
///
/// `environment` has the variables that configurations may name as `{{ env.NAME }}`; the clock is the one that answers
/// with a date are measured by; `telemetry` names secrets besides the usual ones.
pub(crate) fn handlers(
    limits: &Arc<Limits>,
    environment: BTreeMap<String, String>,
    clock: &Arc<dyn Clock>,
    telemetry: &TelemetryValues,
) -> Vec<(&'static str, Arc<dyn StepHandler>)> {
    #[cfg(not(feature = "http"))]
    let _ = (clock, telemetry);
    vec![
        (
            "command",
            Arc::new(command::Command::new(Arc::clone(limits), environment.clone())),
        ),
        #[cfg(feature = "http")]
        (
            "http",
            Arc::new(http::Http::new(
                Arc::clone(limits),
                environment,
                Arc::clone(clock),
                SecretNames::of(telemetry),
            )),
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
        #[cfg(feature = "http")]
        ("http", http::config_schema()),
        ("sleep", sleep::config_schema()),
    ])
}
