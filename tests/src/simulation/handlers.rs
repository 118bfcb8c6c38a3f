//! Handlers that end in every way there is.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::json;
use tasker_engine::{
    Done, Handlers, Json, Resolved, StepContext, StepError, StepHandler, StopPolicy, Unresolved,
};
use tasker_types::{HandlerRef, Namespace, StepNo, Version};

use super::audit::COME_BACK;
use super::world::World;

/// The names of the handlers. A worker may lack the last one.
pub(super) const NAMES: [&str; 4] = ["dropped", "cooperates", "returns", "rare"];

#[derive(Debug)]
struct Unreliable {
    world: Arc<World>,
    policy: StopPolicy,
}

/// Returns the handlers of a worker.
pub(super) fn handlers(world: &Arc<World>, with_rare: bool) -> Handlers {
    let world = Arc::clone(world);
    Handlers::new(move |_: &Namespace, handler: &HandlerRef| {
        let policy = match handler.name.as_str() {
            "dropped" => StopPolicy::Drop,
            "cooperates" => StopPolicy::Cooperate(Duration::from_millis(700)),
            "returns" => StopPolicy::UntilReturn,
            "rare" if with_rare => StopPolicy::Drop,
            other => {
                return Err(Unresolved {
                    message: format!("there is no handler `{other}`"),
                });
            }
        };
        let handler = Arc::new(Unreliable {
            world: Arc::clone(&world),
            policy,
        });
        Ok(Resolved {
            handler,
            version: Version::new(1, 0, 0),
        })
    })
}

impl Unreliable {
    /// Does not end until it is told to, if it listens.
    async fn hang(&self, ctx: &StepContext) {
        self.world.count(|counts| counts.hangs += 1);
        match self.policy {
            StopPolicy::Drop => std::future::pending().await,
            StopPolicy::Cooperate(_) | StopPolicy::UntilReturn => {
                ctx.stop().cancelled().await;
                tokio::time::sleep(self.world.fates.up_to_ms(1_000)).await;
            }
        }
    }
}

#[async_trait]
impl StepHandler for Unreliable {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let world = &self.world;
        let (task, step) = place(&ctx);
        world.given(task, parents(&ctx));
        let result = || Ok(Done::Result(world.result_of(task, step)));
        if world.is_calm() {
            return result();
        }
        let dice = &world.fates;
        tokio::time::sleep(dice.up_to_ms(if dice.chance(900) { 300 } else { 15_000 })).await;
        if !dice.chance(world.temper.failures) {
            return result();
        }
        match dice.below(16) {
            0..5 => Err(StepError::retryable("it did not work")),
            5 => {
                let wait = dice.up_to_ms(20_000);
                let message = format!("{COME_BACK}{} ms", wait.as_millis());
                Err(StepError::retryable(message).retry_after(wait))
            }
            6 => Err(StepError::permanent("broken", "it cannot work")),
            // Not `panic!`: that would ask the hook of the whole process to report it.
            7..9 => {
                world.count(|counts| counts.panics += 1);
                std::panic::resume_unwind(Box::new("a simulated panic"));
            }
            9..12 if ctx.checkpoint().is_none() => {
                let checkpoint = Json::from(&json!({ "attempt": ctx.attempt() }));
                Ok(Done::Suspend {
                    wake_in: dice.up_to_ms(5_000),
                    checkpoint,
                })
            }
            _ => {
                self.hang(&ctx).await;
                if dice.chance(500) {
                    result()
                } else {
                    Err(StepError::retryable("it was told to stop"))
                }
            }
        }
    }

    fn stop_policy(&self) -> StopPolicy {
        self.policy
    }
}

fn place(ctx: &StepContext) -> (tasker_types::TaskId, StepNo) {
    (ctx.task_id(), number(ctx.step_name().as_str()))
}

/// Returns the number of a step of a random template, which its name says.
fn number(name: &str) -> StepNo {
    StepNo(name.trim_start_matches("step_").parse().unwrap_or(u32::MAX))
}

fn parents(ctx: &StepContext) -> Vec<(StepNo, Json)> {
    ctx.parents()
        .map(|(name, result)| (number(name.as_str()), result))
        .collect()
}
