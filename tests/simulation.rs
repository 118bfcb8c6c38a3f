//! Runs of seeds, as `cargo xtask sim` plays them.

use tests::StoreKind;
use tests::simulation::{Counts, simulate};

#[test]
fn twenty_seeds_end_well_on_every_store() {
    for kind in StoreKind::ALL {
        let mut counts = Counts::default();
        for seed in 0..20 {
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
            happened.iter().all(|count| *count > 0),
            "something never happened on {kind}: {counts}"
        );
    }
}

#[test]
fn a_seed_gives_one_history_and_another_seed_another() {
    for kind in StoreKind::ALL {
        let run = |seed| simulate(seed, *kind).unwrap();
        let (first, again, other) = (run(7), run(7), run(8));
        assert_eq!(
            (&first.digest, first.counts),
            (&again.digest, again.counts),
            "on {kind}"
        );
        assert_ne!(first.digest, other.digest, "on {kind}");
    }
}
