//! People who interfere, clocks that are set, and processes that are restarted.

use std::sync::Arc;

use serde_json::json;
use tasker_engine::{Actor, Demand, Intervention, Json, Store, StoreError};
use tasker_types::StepNo;

use super::dice::Dice;
use super::world::World;

/// Demands something of a random task again and again.
pub(super) async fn interfere(world: Arc<World>) {
    let dice = Dice::new(world.seed, 4);
    loop {
        tokio::time::sleep(dice.up_to_ms(world.temper.demands_ms)).await;
        let (task, steps) = {
            let ledger = world.ledger();
            let task = dice.pick(&ledger.tasks);
            (task.id, task.template.steps().len())
        };
        let demand = demand(&dice, steps as u64);
        let intervention = Intervention::new(task, demand, Actor::User("operator".to_owned()));
        match world.faulty.intervene(intervention).await {
            Ok(_) => world.count(|counts| counts.demands += 1),
            Err(
                StoreError::IllegalStep { .. }
                | StoreError::IllegalTask { .. }
                | StoreError::StepInProgress { .. }
                | StoreError::UnknownTask { .. }
                | StoreError::Unavailable { .. },
            ) => world.count(|counts| counts.refused_demands += 1),
            Err(error) => world.problem(format!("task `{task}`: a demand was answered: {error}")),
        }
    }
}

fn demand(dice: &Dice, steps: u64) -> Demand {
    let step = StepNo(u32::try_from(dice.below(steps)).unwrap_or(0));
    match dice.below(24) {
        0 => Demand::CancelTask,
        1 => Demand::ResolveTask,
        2..6 => Demand::RetryTask,
        6..8 => Demand::ResumeTask,
        8..11 => Demand::CancelStep(step),
        11..15 => Demand::ResetStep(step),
        15 => Demand::ResolveStep(step, None),
        16 => Demand::ResolveStep(step, Some(Json::from(&json!("by hand")))),
        17..20 => Demand::SetRetryLimit(step, u32::try_from(dice.between(1, 6)).unwrap_or(1)),
        20 => Demand::SetTimeout(step, None),
        21 => Demand::SetTimeout(step, Some(dice.up_to_ms(5_000))),
        22 => Demand::SetConfig(step, Json::from(&json!({ "changed": true }))),
        _ => Demand::SetPriority(i16::try_from(dice.below(5)).unwrap_or(0)),
    }
}

/// Sets the clock ahead and back.
pub(super) async fn set_clocks(world: Arc<World>) {
    let dice = Dice::new(world.seed, 5);
    loop {
        tokio::time::sleep(dice.up_to_ms(world.temper.jumps_ms)).await;
        world.count(|counts| counts.jumps += 1);
        if dice.chance(600) {
            world.clock.ahead(dice.up_to_ms(60_000));
        } else {
            world.clock.back(dice.up_to_ms(30_000));
        }
    }
}

/// Restarts every process again and again.
pub(super) async fn restart(world: Arc<World>) {
    let dice = Dice::new(world.seed, 9);
    loop {
        tokio::time::sleep(dice.up_to_ms(world.temper.restarts_ms)).await;
        world.restart();
    }
}
