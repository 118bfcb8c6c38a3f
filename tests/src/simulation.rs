//! Workers, operators, crashes and faults in virtual time, all of which follow from a seed.
//!
//! A run has a rough part, in which real [`Worker`](tasker_engine::Worker)s crash at any await, stall, and are
//! stopped; their store refuses calls, loses answers and repeats requests; handlers fail in every way; operators
//! interfere; and the clock jumps. Then it is calm: two fresh workers have the time they need, after which every task
//! must have ended. The histories must follow the rules at every moment, and results must stay as they were first
//! seen.
//!
//! Nothing is random but the seed, so a run that went wrong can be repeated exactly.

mod audit;
mod clock;
mod counts;
mod dice;
mod handlers;
mod operators;
mod processes;
mod shrink;
mod tasks;
mod temper;
mod witness;
mod workers;
mod world;

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use sha2::{Digest, Sha256};
use tasker_engine::{Clock, Store, Transition};
use tasker_testkit::{FaultyStore, canonical_task};
use tasker_types::{Position, TaskId};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::stores::{Opened, StoreKind};
use clock::JumpingClock;
pub use counts::Counts;
use dice::Dice;
use processes::Processes;
pub use shrink::shrink;
pub use temper::Temper;
use witness::Witness;
use world::World;

/// How long fresh workers have to end everything, in virtual time: longer than any wait that a run can build up.
const CALM: Duration = Duration::from_secs(3_600);

/// How many calls two workers may make in a second at most when nothing goes wrong; more is a busy loop.
const CALLS_PER_SECOND: u64 = 100;

/// How often the histories are verified while the run is rough.
const OBSERVE: Duration = Duration::from_secs(5);

/// What came of a run.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Run {
    /// The seed that it follows from.
    pub seed: u64,
    /// A digest of everything that the store holds at the end.
    pub digest: String,
    /// What happened.
    pub counts: Counts,
    /// What was wrong; empty for a run as it should be.
    pub problems: Vec<String>,
    /// The histories of the tasks that something was wrong with, or of all if it is not known with which.
    pub history: String,
}

/// Plays the run of a seed on a store.
///
/// # Errors
///
/// When no runtime can be made.
pub fn simulate(seed: u64, store: StoreKind) -> std::io::Result<Run> {
    simulate_on(seed, |clock| store.open(clock))
}

/// Plays the run of a seed on a store that `open` makes around the simulated clock.
///
/// # Errors
///
/// When no runtime can be made.
pub fn simulate_on(seed: u64, open: impl FnOnce(Arc<dyn Clock>) -> Opened) -> std::io::Result<Run> {
    play_with(seed, Temper::of(seed), open)
}

/// Plays the run of a seed with another temper than its own.
///
/// # Errors
///
/// When no runtime can be made.
pub fn play_with(
    seed: u64,
    temper: Temper,
    open: impl FnOnce(Arc<dyn Clock>) -> Opened,
) -> std::io::Result<Run> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .start_paused(true)
        .build()?;
    Ok(runtime.block_on(Box::pin(play(seed, temper, open))))
}

async fn play(seed: u64, temper: Temper, open: impl FnOnce(Arc<dyn Clock>) -> Opened) -> Run {
    let began = Instant::now();
    let clock = Arc::new(JumpingClock::new());
    let opened = open(Arc::<JumpingClock>::clone(&clock));
    let processes = Processes::new(opened, temper.processes, Arc::clone(&clock), temper.skew_ms);
    let plain = Arc::new(processes);
    let witness = Arc::new(Witness::new(Arc::clone(&plain)));
    let dice = Arc::new(Dice::new(seed, 6));
    let faulty = Arc::new(FaultyStore::new(
        Arc::<Witness>::clone(&witness),
        dice,
        temper.faults,
    ));
    let world = Arc::new(World::new(seed, temper, clock, plain, witness, faulty));
    let drawn = tasks::draw(&world);
    world.ledger().tasks = drawn;
    rough(&world).await;
    calm(&world).await;
    world.conclude().await;
    world.count(|counts| counts.virtual_time = began.elapsed());
    report(&world).await
}

async fn rough(world: &Arc<World>) {
    let mut going_on = JoinSet::new();
    for number in 0..world.temper.workers {
        going_on.spawn(workers::slot(Arc::clone(world), number));
    }
    if world.temper.demands_ms > 0 {
        going_on.spawn(operators::interfere(Arc::clone(world)));
    }
    if world.temper.restarts_ms > 0 {
        going_on.spawn(operators::restart(Arc::clone(world)));
    }
    if world.temper.jumps_ms > 0 {
        going_on.spawn(operators::set_clocks(Arc::clone(world)));
    }
    let shared = Arc::clone(world);
    going_on.spawn(async move { tasks::create(&shared, &Dice::new(shared.seed, 7)).await });
    let end = Instant::now() + Duration::from_secs(world.temper.rough_seconds);
    while Instant::now() < end {
        tokio::time::sleep(OBSERVE).await;
        world.observe().await;
    }
    // Every worker crashes where it stands.
    world.ledger().handles.clear();
    while going_on.try_join_next().is_some() {}
    going_on.shutdown().await;
}

async fn calm(world: &Arc<World>) {
    world.calm_down();
    tasks::create(world, &Dice::new(world.seed, 8)).await;
    let shutdown = CancellationToken::new();
    let mut workers = JoinSet::new();
    for number in 0..2 {
        workers.spawn(workers::fresh(Arc::clone(world), number, shutdown.clone()));
    }
    let began = Instant::now();
    let calls = world.faulty.counts().calls;
    let end = began + CALM;
    while Instant::now() < end && anything_active(world).await {
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    shutdown.cancel();
    workers.join_all().await;
    let (calls, seconds) = (world.faulty.counts().calls - calls, began.elapsed().as_secs() + 1);
    let transitions = events(&*world.plain).await.len() as u64;
    if calls > transitions + CALLS_PER_SECOND * seconds {
        world.problem(format!(
            "the fresh workers called the store {calls} times in {seconds} seconds"
        ));
    }
}

async fn anything_active(world: &World) -> bool {
    let tasks: Vec<TaskId> = world.ledger().tasks.iter().map(|task| task.id).collect();
    for task in tasks {
        if let Ok(Some(snapshot)) = world.plain.snapshot(task).await
            && snapshot.task.state.is_active()
        {
            return true;
        }
    }
    false
}

async fn events(store: &dyn Store) -> Vec<Transition> {
    let mut all: Vec<Transition> = Vec::new();
    loop {
        let after = all.last().map_or(Position(0), |entry| entry.position);
        match store.events(after, 1_000).await {
            Ok(page) if !page.is_empty() => all.extend(page),
            // What cannot be read was noted as a problem when the run was concluded.
            _ => return all,
        }
    }
}

async fn report(world: &World) -> Run {
    let events = events(&*world.plain).await;
    let (tasks, mut counts, mut problems) = {
        let ledger = world.ledger();
        (ledger.tasks.clone(), ledger.counts, ledger.problems.clone())
    };
    problems.dedup();
    counts.seeds = 1;
    let faults = world.faulty.counts();
    counts.calls = faults.calls;
    counts.refused = faults.refused;
    counts.unanswered = faults.unanswered;
    counts.delayed = faults.delayed;
    counts.repeated = faults.repeated;
    counts.unheard = faults.unheard;
    let mut digest = Sha256::new();
    let mut history = String::new();
    for (number, entry) in events.iter().enumerate() {
        counts.note(entry);
        // How a store numbers its positions is its own business; their order is not.
        let entry = Transition {
            position: Position(i64::try_from(number).unwrap_or(i64::MAX)),
            ..entry.clone()
        };
        let line = serde_json::to_string(&entry).unwrap_or_else(|error| error.to_string());
        digest.update(&line);
        let id = entry.task.to_string();
        let concerned = problems.iter().any(|problem| problem.contains(&id));
        if concerned || !problems.iter().any(|problem| problem.contains("task `")) {
            let _ = writeln!(history, "{line}");
        }
    }
    for task in &tasks {
        counts.steps += task.template.steps().len() as u64;
        let held = canonical_task(&*world.plain, task.id).await;
        digest.update(held.map_or_else(|error| error.to_string(), |held| held.to_string()));
    }
    let mut hexadecimal = String::new();
    for byte in digest.finalize() {
        let _ = write!(hexadecimal, "{byte:02x}");
    }
    Run {
        seed: world.seed,
        digest: hexadecimal,
        counts,
        problems,
        history,
    }
}
