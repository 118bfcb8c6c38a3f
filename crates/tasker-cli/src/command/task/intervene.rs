//! `tasker task retry`, `resolve` and `cancel`.

use serde::Serialize;
use tasker::{Demand, Intervention, Json, Snapshot, StepEvent, StoreError, TaskEvent, Tasker};
use tasker_types::{StepNo, StepState, TaskId, TaskState, nearest};

use crate::args::Target;
use crate::exit::{Exit, Problem};
use crate::input::{self, Expected};
use crate::output::Output;
use crate::session::Session;
use crate::view::render::task_word;

/// Gives a failed step, or all of a task in error, their attempts back.
pub(super) async fn retry(session: &Session, tasker: &Tasker, target: &Target) -> Result<Exit, Problem> {
    intervene(session, tasker, target, |step| match step {
        Some(step) => Demand::ResetStep(step),
        None => Demand::RetryTask,
    })
    .await
}

/// Declares a step or a task done.
pub(super) async fn resolve(
    session: &Session,
    tasker: &Tasker,
    target: &Target,
    result: Option<&str>,
) -> Result<Exit, Problem> {
    let limit = tasker.config().limits().result;
    let expected = Expected {
        what: "the result",
        limit,
        key: "limits.result",
    };
    let result = result.map(|text| input::json(text, expected)).transpose()?;
    let result = result.map(|value| Json::from(&value));
    intervene(session, tasker, target, |step| match step {
        Some(step) => Demand::ResolveStep(step, result),
        None => Demand::ResolveTask,
    })
    .await
}

/// Stops a step or a task.
pub(super) async fn cancel(session: &Session, tasker: &Tasker, target: &Target) -> Result<Exit, Problem> {
    intervene(session, tasker, target, |step| match step {
        Some(step) => Demand::CancelStep(step),
        None => Demand::CancelTask,
    })
    .await
}

/// What an intervention did, as it is written.
#[derive(Debug, Serialize)]
struct Changed {
    task_id: TaskId,
    state: TaskState,
    steps: Vec<ChangedStep>,
}

#[derive(Debug, Serialize)]
struct ChangedStep {
    name: String,
    state: StepState,
}

async fn intervene(
    session: &Session,
    tasker: &Tasker,
    target: &Target,
    demand: impl FnOnce(Option<StepNo>) -> Demand,
) -> Result<Exit, Problem> {
    let task = session.find(tasker, &target.task).await?;
    let Some(snapshot) = tasker.store().snapshot(task).await? else {
        return Err(StoreError::UnknownTask { task }.into());
    };
    let step = target
        .step
        .as_deref()
        .map(|name| step_named(&snapshot, name))
        .transpose()?;
    let intervention = Intervention::new(task, demand(step), session.actor()).because(target.reason.clone());
    let done = tasker
        .store()
        .intervene(intervention)
        .await
        .map_err(|error| refused(&snapshot, error))?;
    let template = &snapshot.task.template;
    let steps = done.steps.iter().map(|(step, state)| ChangedStep {
        name: template.step(*step).name().to_string(),
        state: *state,
    });
    let changed = Changed {
        task_id: task,
        state: done.task_state,
        steps: steps.collect(),
    };
    session
        .output()
        .result(&changed, || text(&changed, session.output()))?;
    Ok(Exit::Done)
}

/// Returns the step of this name, or says which one may be meant.
pub(super) fn step_named(snapshot: &Snapshot, name: &str) -> Result<StepNo, Problem> {
    let template = &snapshot.task.template;
    if let Some((step, _)) = template.step_named(name) {
        return Ok(step);
    }
    let message = format!(
        "the task `{}` has no step `{}`",
        snapshot.task.id,
        name.escape_debug()
    );
    let problem = Problem::refused("step_not_found", message);
    let names = template.steps().iter().map(|step| step.name().as_str());
    Err(match nearest(name, names) {
        Some(near) => problem.with_help(format!("did you mean `{near}`?")),
        None => problem.with_help(format!("`tasker task show {}` lists the steps", snapshot.task.id)),
    })
}

/// Names the step that the store knows by its number, and says what is possible instead.
fn refused(snapshot: &Snapshot, error: StoreError) -> Problem {
    let id = snapshot.task.id;
    match &error {
        StoreError::IllegalStep { step, source, .. } => {
            let name = snapshot.task.template.step(*step).name();
            let done = match source.event {
                StepEvent::Reset => "retried",
                StepEvent::Resolve => "resolved",
                _ => "cancelled",
            };
            let message = format!(
                "step `{name}` of task `{id}` cannot be {done}, since it is {}",
                step_words(source.state)
            );
            let problem = Problem::refused("illegal_transition", message);
            match (snapshot.task.state.is_final(), source.state) {
                (true, _) => problem.with_help(format!("the task is {} for good", snapshot.task.state)),
                (false, StepState::Complete | StepState::ResolvedManually) => {
                    problem.with_help("the step is done for good")
                }
                (false, StepState::InProgress) => {
                    problem.with_help(format!("`tasker task cancel {id} {name}` stops it first"))
                }
                (false, _) => problem,
            }
        }
        StoreError::IllegalTask { source, .. } => {
            let state = source.state;
            let done = match source.event {
                TaskEvent::Resume => "retried",
                TaskEvent::Resolve => "resolved",
                _ => "cancelled",
            };
            let message = format!("task `{id}` cannot be {done}, since it is {}", task_words(state));
            let problem = Problem::refused("illegal_transition", message);
            match state {
                state if state.is_final() => problem.with_help(format!("the task is {state} for good")),
                TaskState::Error => problem.with_help(
                    "nothing could happen then: retry or resolve single steps, among them those that were cancelled",
                ),
                _ => problem.with_help(format!(
                    "the task is not in error; name a step, or stop it with `tasker task cancel {id}`"
                )),
            }
        }
        _ => error.into(),
    }
}

/// Returns the state of a task as it stands in a sentence.
fn task_words(state: TaskState) -> &'static str {
    match state {
        TaskState::Error => "in error",
        state => task_word(state),
    }
}

/// Returns the state of a step as it stands in a sentence.
fn step_words(state: StepState) -> &'static str {
    match state {
        StepState::Error => "in error",
        StepState::InProgress => "running",
        StepState::ResolvedManually => "resolved",
        state => state.as_str(),
    }
}

fn text(changed: &Changed, output: Output) -> String {
    if output == Output::Quiet {
        return String::new();
    }
    let mut text = format!("task {} is {}\n", changed.task_id, task_words(changed.state));
    for step in &changed.steps {
        text.push_str(&format!("  {}  {}\n", step.name, step.state));
    }
    if changed.state.is_active() {
        text.push_str(&format!(
            "  tasker resume {}    goes on with it here\n",
            changed.task_id
        ));
    }
    text
}
