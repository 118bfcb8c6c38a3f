//! Workers that crash, stall and are stopped, one incarnation after the other.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use tasker_engine::{CheckIn, Enqueuing, Immediate, Scope, StoreError, Worker, WorkerSetup};
use tasker_types::ExecutionValues;
use tokio_util::sync::CancellationToken;

use super::dice::Dice;
use super::handlers::handlers;
use super::world::World;

/// How an incarnation ended.
enum End {
    /// It was dropped at an await.
    Crashed,
    /// It returned.
    Returned(Result<(), StoreError>),
}

/// Runs one worker after the other until it is dropped itself.
pub(super) async fn slot(world: Arc<World>, number: u64) {
    let dice = Arc::new(Dice::new(world.seed, 100 + number));
    loop {
        incarnation(&world, number, &dice).await;
        tokio::time::sleep(dice.up_to_ms(if dice.chance(700) { 1_000 } else { 30_000 })).await;
    }
}

fn execution(dice: &Dice) -> ExecutionValues {
    let lease_seconds = *dice.pick(&[1.0, 3.0, 8.0, 30.0]);
    ExecutionValues {
        max_concurrent_steps: Some(u32::try_from(dice.between(1, 8)).unwrap_or(1)),
        claim_batch: u32::try_from(dice.magnitude(6)).unwrap_or(1),
        lease_seconds,
        heartbeat_seconds: lease_seconds * 0.3,
        shutdown_grace_seconds: *dice.pick(&[0.0, 0.5, 5.0]),
        ..ExecutionValues::default()
    }
}

fn setup(world: &Arc<World>, dice: &Arc<Dice>) -> WorkerSetup {
    let clock = Arc::clone(&world.clock);
    let store = Arc::clone(&world.faulty);
    let mut setup = WorkerSetup::new(
        store,
        handlers(world, dice.chance(700)),
        clock,
        Arc::<Dice>::clone(dice),
    );
    if let Ok(execution) = execution(dice).try_into() {
        setup.execution = Arc::new(execution);
    }
    let enqueuing: Arc<dyn Enqueuing> = if dice.chance(200) {
        Arc::new(Immediate::default())
    } else {
        Arc::new(CheckIn)
    };
    setup.enqueuing = enqueuing;
    if dice.chance(100) {
        let tasks: Vec<_> = world.ledger().tasks.iter().map(|task| task.id).collect();
        setup.scope = Scope::Task(*dice.pick(&tasks));
    }
    setup
}

async fn incarnation(world: &Arc<World>, number: u64, dice: &Arc<Dice>) {
    let mut restarts = world.restarts.subscribe();
    let worker = Worker::new(setup(world, dice));
    world.ledger().handles.insert(number, worker.handle());
    let crashes = dice.chance(world.temper.crashes);
    let stalls = dice.chance(world.temper.stalls);
    let (shutdown, abort) = (CancellationToken::new(), CancellationToken::new());
    let mut running: Pin<Box<dyn Future<Output = _> + Send>> =
        Box::pin(worker.run(shutdown.clone(), abort.clone()));
    // An await is a place to crash whether or not virtual time passes there, so a life is counted in polls.
    let mut life = dice.magnitude(10);
    let mut ending = Box::pin(poll_fn(move |cx| {
        if crashes && life == 0 {
            return Poll::Ready(End::Crashed);
        }
        life -= u64::from(crashes);
        running.as_mut().poll(cx).map(End::Returned)
    }));
    let stop = async {
        if crashes {
            return std::future::pending().await;
        }
        tokio::time::sleep(dice.up_to_ms(60_000)).await;
        shutdown.cancel();
        if dice.chance(300) {
            tokio::time::sleep(dice.up_to_ms(1_000)).await;
            abort.cancel();
        }
        std::future::pending().await
    };
    let mut stop: Pin<Box<dyn Future<Output = ()> + Send + '_>> = Box::pin(stop);
    let end = loop {
        let until_stall = if stalls {
            dice.up_to_ms(20_000)
        } else {
            Duration::from_secs(86_400)
        };
        tokio::select! {
            biased;
            _ = restarts.changed() => break End::Crashed,
            end = &mut ending => break end,
            () = &mut stop => {}
            () = tokio::time::sleep(until_stall) => {
                world.count(|counts| counts.stalls += 1);
                let pause = dice.up_to_ms(45_000);
                if tokio::time::timeout(pause, restarts.changed()).await.is_ok() {
                    break End::Crashed;
                }
            }
        }
    };
    world.ledger().handles.remove(&number);
    match end {
        End::Crashed => world.count(|counts| counts.crashes += 1),
        End::Returned(Ok(())) => world.count(|counts| counts.stops += 1),
        End::Returned(Err(error)) => world.problem(format!("a worker failed: {error}")),
    }
}

/// A worker that has every handler and that nothing happens to.
pub(super) async fn fresh(world: Arc<World>, number: u64, shutdown: CancellationToken) {
    let entropy = Arc::new(Dice::new(world.seed, 200 + number));
    let clock = Arc::clone(&world.clock);
    let setup = WorkerSetup::new(
        Arc::clone(&world.faulty) as _,
        handlers(&world, true),
        clock,
        entropy,
    );
    if let Err(error) = Worker::new(setup).run(shutdown, CancellationToken::new()).await {
        world.problem(format!("a fresh worker failed: {error}"));
    }
}
