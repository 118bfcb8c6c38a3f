//! Runs of seeds, as `cargo xtask sim` plays them.

mod liar;

use std::sync::Arc;
use std::sync::atomic::AtomicU64;

use tasker_engine::Clock;
use tests::simulation::{Counts, Temper, shrink, simulate, simulate_on};
use tests::{Opened, StoreKind};

use liar::{Liar, Lie};

/// Returns how many seeds are played: fewer where every request is a trip to another process.
fn seeds(kind: StoreKind) -> u64 {
    match kind {
        StoreKind::Postgres => 6,
        _ => 20,
    }
}

#[test]
fn seeds_end_well_on_every_store() {
    for kind in StoreKind::ALL {
        let mut counts = Counts::default();
        for seed in 0..seeds(*kind) {
            let run = simulate(seed, *kind).unwrap();
            assert!(
                run.problems.is_empty(),
                "{kind}, seed {seed}: {:#?}\n{}",
                run.problems,
                run.history
            );
            counts += run.counts;
        }
        let happened = [
            counts.crashes,
            counts.stops,
            counts.stalls,
            counts.jumps,
            counts.demands,
            counts.panics,
            counts.timeouts,
            counts.expired,
            counts.interrupted,
            counts.suspended,
            counts.late,
            counts.refused,
            counts.unanswered,
            counts.delayed,
            counts.repeated,
        ];
        assert!(
            *kind == StoreKind::Postgres || happened.iter().all(|count| *count > 0),
            "something never happened on {kind}: {counts}"
        );
        assert_eq!(
            counts.restarts > 0,
            *kind == StoreKind::Sqlite,
            "{kind}: {counts}"
        );
    }
}

#[test]
fn a_seed_gives_one_history_on_every_store_in_this_process_and_another_seed_another() {
    let in_memory = simulate(7, StoreKind::Memory).unwrap().digest;
    // When the answers of a server come is not for the scheduler to say, and so neither is at which of them a worker dies.
    let kinds = StoreKind::ALL.iter().filter(|kind| **kind != StoreKind::Postgres);
    for kind in kinds {
        let run = |seed| simulate(seed, *kind).unwrap();
        let (first, again, other) = (run(7), run(7), run(8));
        assert_eq!(
            (&first.digest, first.counts),
            (&again.digest, again.counts),
            "on {kind}"
        );
        assert_ne!(first.digest, other.digest, "on {kind}");
        assert_eq!(first.digest, in_memory, "on {kind}");
    }
}

fn lying(lie: Lie, clock: Arc<dyn Clock>) -> Opened {
    let opened = StoreKind::Memory.open(clock);
    let inner = Arc::clone(&opened.store);
    let liar = Liar {
        inner,
        lie,
        occasions: AtomicU64::new(0),
    };
    Opened::new(Arc::new(liar), opened)
}

#[test]
fn a_run_that_goes_wrong_is_told_as_small_as_it_can_be() {
    let open = |clock: Arc<dyn Clock>| lying(Lie::HidesHistory, clock);
    let (temper, run) = shrink(3, Temper::of(3), open).unwrap().unwrap();
    assert_eq!(
        temper.to_string(),
        "1 workers in 1 processes, 1 tasks of 1 steps, 1 s"
    );
    assert!(!run.problems.is_empty());
    assert!(run.history.lines().count() < 10, "{}", run.history);
}

#[test]
fn a_run_that_goes_well_has_nothing_to_shrink() {
    let open = |clock: Arc<dyn Clock>| StoreKind::Memory.open(clock);
    assert!(shrink(3, Temper::of(3), open).unwrap().is_none());
}

/// Plays seeds on a store that lies until one goes wrong, and returns what was said about it.
#[track_caller]
fn found_out(lie: Lie, problem: &str) {
    let mut said = Vec::new();
    for seed in 0..20 {
        said.extend(simulate_on(seed, |clock| lying(lie, clock)).unwrap().problems);
    }
    assert!(
        said.iter().any(|said| said.contains(problem)),
        "{lie:?} was not found out: {said:#?}"
    );
}

#[test]
fn a_store_that_forgets_a_result_is_found_out() {
    found_out(Lie::ForgetsResults, "was acknowledged, but is not there");
}

#[test]
fn a_store_that_changes_a_result_is_found_out() {
    found_out(Lie::ChangesResults, "and is \"something else\"");
}

#[test]
fn a_store_that_loses_a_task_is_found_out() {
    found_out(Lie::LosesTasks, "it was acknowledged, but is not there");
}

#[test]
fn a_store_that_hides_history_is_found_out() {
    found_out(
        Lie::HidesHistory,
        "the history ends in `in_progress`, but the row is `complete`",
    );
}

#[test]
fn a_store_whose_leases_never_end_is_found_out() {
    found_out(Lie::KeepsLeases, "it is still `in_progress`");
}
