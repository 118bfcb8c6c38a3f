//! Playing one life with its faults, and what comes of it.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use super::ground::Ground;
use super::life::Life;
use super::points::{Plan, Point};
use super::saboteur::Saboteur;

/// How long a life may last; the longest takes a second or two.
const PATIENCE: Duration = Duration::from_secs(90);

/// How a life ended.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Ended {
    /// How many of the faults happened.
    pub happened: usize,
    /// The points that were passed.
    pub seen: Vec<Point>,
    /// The statements that were passed, as they were.
    pub statements: BTreeSet<String>,
    /// How many entries the history has.
    pub transitions: u64,
    /// What is violated.
    pub problems: Vec<String>,
    /// What was not answered, however often it was asked, so that it went no further.
    #[serde(default)]
    pub gave_up: Option<String>,
}

/// A life with its faults.
#[derive(Clone, Debug)]
pub struct Played {
    /// What was to go wrong.
    pub plan: Plan,
    /// How it ended.
    pub ended: Ended,
}

/// How far a life goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// Until all work is done.
    ToFinish,
    /// To the end of the script.
    Whole,
}

/// Lives on this ground until the end, or until the process is aborted. Nothing may remain unanswered.
///
/// # Errors
///
/// When a runtime cannot be made.
pub fn live_on(ground: &Ground, plan: Plan) -> anyhow::Result<Ended> {
    let mut ended = live(ground, Saboteur::new(plan))?;
    ended.problems.extend(ended.gave_up.take());
    Ok(ended)
}

/// Lives on this ground while things go wrong of which no probe knows.
///
/// # Errors
///
/// When a runtime cannot be made.
pub fn live_through(ground: &Ground, span: Span) -> anyhow::Result<Ended> {
    live(ground, Saboteur::outside(span))
}

fn live(ground: &Ground, probe: Saboteur) -> anyhow::Result<Ended> {
    let probe = Arc::new(probe);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()?;
    let (mut transitions, mut problems, mut may_give_up) = (0, Vec::new(), false);
    let lived = runtime.block_on(async {
        let mut life = Life::new(ground.clone(), Arc::clone(&probe))?;
        let lived = tokio::time::timeout(PATIENCE, life.run()).await;
        (transitions, problems) = (life.transitions, std::mem::take(&mut life.problems));
        may_give_up = life.gave_up;
        lived.context("it does not end")?
    });
    let mut gave_up = None;
    if let Err(error) = lived {
        let error = format!("{error:#}");
        if may_give_up {
            gave_up = Some(error);
        } else {
            problems.push(error);
        }
    }
    runtime.shutdown_timeout(Duration::from_secs(5));
    let (seen, statements) = probe.seen();
    Ok(Ended {
        happened: probe.happened(),
        seen,
        statements,
        transitions,
        problems,
        gave_up,
    })
}

/// Plays a life with its faults. One that is aborted is begun by `program`, which is given the ground and the plan as JSON.
///
/// # Errors
///
/// When the other process cannot be started.
pub fn play(ground: &Ground, plan: Plan, program: Option<&Path>) -> anyhow::Result<Played> {
    let ended = if plan.iter().any(|planned| planned.kind.aborts()) {
        let program = program.context("there is no program that can be aborted")?;
        aborted(ground, &plan, program)?
    } else {
        live_on(ground, plan.clone())?
    };
    Ok(Played { plan, ended })
}

fn aborted(ground: &Ground, plan: &Plan, program: &Path) -> anyhow::Result<Ended> {
    // It ends by itself, late at the latest.
    let output = Command::new(program)
        .arg("live")
        .arg(serde_json::to_string(ground)?)
        .arg(serde_json::to_string(plan)?)
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .with_context(|| format!("{} cannot be started", program.display()))?;
    let status = output.status;
    if status.success() {
        // It lived to its end, for what was planned did not happen.
        return serde_json::from_slice(&output.stdout).context("the other process cannot be understood");
    }
    let mut ended = live_on(ground, Plan::new())?;
    ended.happened = plan.len();
    if !is_abort(status) {
        ended
            .problems
            .push(format!("the process did not abort, but ended: {status}"));
    }
    Ok(ended)
}

fn is_abort(status: std::process::ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt as _;
    const SIGABRT: i32 = 6;
    status.signal() == Some(SIGABRT)
}
