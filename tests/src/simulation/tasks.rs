//! Random tasks, and those who ask for them.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{
    Actor, Clock, Create, Created, Entropy, Idempotency, Json, NewTask, StepBuilder, Store, StoreError,
    Template,
};
use tasker_types::{StepNo, TaskId, WorkerId};

use super::dice::Dice;
use super::handlers::NAMES;
use super::world::World;

/// Returns a template that follows from the dice: 1 to 30 steps, or as many as are said, each of which waits for up to three earlier ones.
fn template(dice: &Dice, number: u64, most: Option<u64>) -> Arc<Template> {
    let drawn = dice.between(1, if dice.chance(700) { 8 } else { 30 });
    let steps = most.unwrap_or(drawn);
    let mut builder = Template::builder(format!("random_{number}"));
    if dice.chance(300) {
        builder = builder.namespace("elsewhere");
    }
    for step in 0..steps {
        let wanted = if step == 0 { 0 } else { dice.below(4) };
        let mut parents: Vec<u64> = (0..wanted).map(|_| dice.below(step)).collect();
        parents.sort_unstable();
        parents.dedup();
        let parents = parents.into_iter().map(|parent| format!("step_{parent}"));
        let mut draft = StepBuilder::new(format!("step_{step}"), *dice.pick(&NAMES)).depends_on(parents);
        draft = match dice.below(5) {
            0 => draft.not_retryable(),
            limit => draft.retry_limit(u32::try_from(limit).unwrap_or(1)),
        };
        if dice.chance(600) {
            draft = draft.timeout(Duration::from_millis(dice.between(100, 8_000)));
        }
        if dice.chance(200) {
            draft = draft.skippable();
        }
        builder = builder.step(draft);
    }
    #[expect(
        clippy::expect_used,
        reason = "parents are earlier steps, and names follow from numbers"
    )]
    builder.build().expect("a random template is valid")
}

/// Returns the tasks of a run.
pub(super) fn draw(world: &World) -> Vec<NewTask> {
    let dice = Dice::new(world.seed, 3);
    let mut tasks: Vec<NewTask> = Vec::new();
    for number in 0..world.temper.tasks {
        let template = match tasks.last() {
            Some(last) if dice.chance(200) => Arc::clone(&last.template),
            _ => template(&dice, number, world.temper.steps),
        };
        let id = TaskId::new(world.clock.now(), dice.next_u128());
        let mut task = NewTask::new(id, template, Json::from(&json!({ "number": number })));
        let skippable = task
            .template
            .steps()
            .iter()
            .zip(0..)
            .filter(|(step, _)| step.skippable());
        task.bypass = skippable
            .map(|(_, step)| StepNo(step))
            .filter(|_| dice.chance(400))
            .collect();
        task.priority = i16::try_from(dice.below(3)).unwrap_or(0);
        if dice.chance(150) {
            task.start_at = Some(world.clock.now().plus(dice.up_to_ms(60_000)));
        }
        if dice.chance(150) {
            task.deadline_at = Some(world.clock.now().plus(dice.up_to_ms(90_000)));
        }
        if dice.chance(300) {
            let digest = json!(number).to_string();
            task.idempotency = Some(Idempotency {
                key: format!("key-{number}"),
                digest,
            });
        }
        tasks.push(task);
    }
    tasks
}

/// Creates all tasks, sooner or later: through a worker or at the store, again when no answer comes.
pub(super) async fn create(world: &World, dice: &Dice) {
    let mut left: Vec<NewTask> = {
        let ledger = world.ledger();
        ledger
            .tasks
            .iter()
            .filter(|task| !ledger.acknowledged.contains(&task.id))
            .cloned()
            .collect()
    };
    while !left.is_empty() {
        let most = left.len() as u64;
        let batch: Vec<NewTask> = left
            .iter()
            .take(usize::try_from(dice.between(1, most)).unwrap_or(1))
            .cloned()
            .collect();
        let ids: Vec<TaskId> = batch.iter().map(|task| task.id).collect();
        match ask(world, dice, batch).await {
            Ok(created) => {
                for (id, created) in ids.iter().zip(&created) {
                    if *created != Created::New(*id) {
                        world.problem(format!("task `{id}`: it was answered {created:?}"));
                    }
                }
                world.ledger().acknowledged.extend(&ids);
                left.retain(|task| !ids.contains(&task.id));
            }
            Err(error) if error.is_transient() || matches!(error, StoreError::Closed) => {}
            Err(error) => {
                world.problem(format!("tasks could not be created: {error}"));
                return;
            }
        }
        if !world.is_calm() {
            tokio::time::sleep(dice.up_to_ms(world.temper.rough_seconds * 1_000 / 4)).await;
        }
    }
}

async fn ask(world: &World, dice: &Dice, tasks: Vec<NewTask>) -> Result<Vec<Created>, StoreError> {
    let actor = Actor::User("creator".to_owned());
    let handles: Vec<_> = world.ledger().handles.values().cloned().collect();
    if handles.is_empty() || dice.chance(300) {
        let nobody = WorkerId::new(world.clock.now(), dice.next_u128());
        return Ok(world
            .faulty
            .create(Create::new(nobody, actor, tasks))
            .await?
            .tasks);
    }
    let handle = dice.pick(&handles);
    let answer = tokio::time::timeout(Duration::from_secs(20), handle.create(actor, tasks)).await;
    answer.unwrap_or(Err(StoreError::Closed))
}
