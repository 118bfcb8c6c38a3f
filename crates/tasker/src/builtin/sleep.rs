//! The `sleep` handler: waits in the store, not in a slot.

use std::time::Duration;

use async_trait::async_trait;
use serde::Deserialize;
use serde_json::{Value, json};
use tasker_engine::{CheckedStep, Done, Json, StepContext, StepError, StepHandler};

/// Waits for the `seconds` of its configuration. Meanwhile the step is pending and no attempt is charged.
#[derive(Debug)]
pub(super) struct Sleep;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Settings {
    seconds: f64,
}

impl Settings {
    fn of(config: &serde_json::Value) -> Result<Duration, String> {
        let settings = Self::deserialize(config).map_err(|error| error.to_string())?;
        Duration::try_from_secs_f64(settings.seconds).map_err(|_| {
            format!(
                "`seconds` is {}, but it must be a number that is at least 0",
                settings.seconds
            )
        })
    }
}

/// Returns the JSON Schema of the configuration.
pub(super) fn config_schema() -> Value {
    json!({
        "description": "Waits, in the store and not in a slot.",
        "type": "object",
        "additionalProperties": false,
        "required": ["seconds"],
        "properties": {
            "seconds": { "description": "How long to wait.", "type": "number", "minimum": 0 },
        },
    })
}

#[async_trait]
impl StepHandler for Sleep {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let wait =
            Settings::of(&ctx.config()).map_err(|fault| StepError::permanent("config_rejected", fault))?;
        if ctx.checkpoint().is_none() && !wait.is_zero() {
            return Ok(Done::Suspend {
                wake_in: wait,
                checkpoint: Json::from(&json!({ "slept": true })),
            });
        }
        Ok(Done::Result(Json::from(
            &json!({ "slept_seconds": wait.as_secs_f64() }),
        )))
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        Settings::of(step.config).map(drop).map_err(|fault| vec![fault])
    }
}
