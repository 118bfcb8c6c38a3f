//! An analysis that is kept up to date against fresh ones.

use proptest::prelude::*;
use tasker_graph::{
    AnalysisError, LiveAnalysis, Step, StepFacts, StepState, TaskFacts, TaskState, Timestamp, analyze,
};

use crate::cases::{any_state, step_facts, tasks, weights};

proptest! {
    #[test]
    fn every_change_leaves_what_a_fresh_analysis_finds(
        case in tasks(14),
        changes in proptest::collection::vec((0_usize..14, any_state(), 0_u64..960), 1..20),
        ends in proptest::sample::select(TaskState::ALL.to_vec()),
    ) {
        let mut case = case;
        let edges = case.edges_by_id();
        let mut live = LiveAnalysis::new(&case.facts, &edges, &case.weights).unwrap();
        for (turn, (place, state, seed)) in changes.into_iter().enumerate() {
            let now = Some(Timestamp::from_micros(turn as i64));
            case.facts.taken_at = now;
            let count = case.facts.steps.len();
            if count > 0 {
                let step = &mut case.facts.steps[place % count];
                step.facts = step_facts(state, seed);
                live.update(step.id, step.facts.clone(), now).unwrap();
            } else {
                live.update_task(case.facts.state, now).unwrap();
            }
            prop_assert_eq!(live.analysis(), &analyze(&case.facts, &edges, &case.weights).unwrap());
        }
        case.facts.state = ends;
        live.update_task(ends, case.facts.taken_at).unwrap();
        prop_assert_eq!(live.into_analysis(), analyze(&case.facts, &edges, &case.weights).unwrap());
    }
}

#[test]
fn a_step_with_many_children_unblocks_them_all() {
    let mut facts =
        TaskFacts::new((0..300).map(|step| Step::new(step, format!("s{step}"), StepFacts::default())));
    let edges: Vec<_> = (1..299).flat_map(|step| [(0, step), (step, 299)]).collect();
    let mut live = LiveAnalysis::new(&facts, &edges, &weights(0)).unwrap();
    for state in [StepState::InProgress, StepState::Complete, StepState::Error] {
        facts.steps[0].facts.state = state;
        live.update(0, facts.steps[0].facts.clone(), None).unwrap();
        assert_eq!(live.analysis(), &analyze(&facts, &edges, &weights(0)).unwrap());
    }
}

#[test]
fn a_change_of_an_unknown_step_changes_nothing() {
    let facts = TaskFacts::new([Step::new(7, "a", StepFacts::default())]);
    let mut live = LiveAnalysis::new(&facts, &[], &weights(0)).unwrap();
    let refused = live.update(8, step_facts(StepState::Error, 0), None).unwrap_err();
    assert_eq!(refused, AnalysisError::UnknownStep { id: 8 });
    assert_eq!(refused.to_string(), "there is no step with the id 8");
    assert_eq!(live.analysis(), &analyze(&facts, &[], &weights(0)).unwrap());
}

#[test]
fn the_health_of_a_task_decides_anew_on_its_paths() {
    // Ten steps that were tried often, and ten whose child waits: what waits counts for more when the task is not healthy.
    let running = |attempts| StepFacts {
        state: StepState::InProgress,
        attempts,
        ..StepFacts::default()
    };
    let pairs = (0..10).flat_map(|pair| {
        [
            Step::new(pair, format!("tried_{pair}"), running(42)),
            Step::new(100 + pair, format!("first_{pair}"), running(0)),
            Step::new(200 + pair, format!("waits_{pair}"), StepFacts::default()),
        ]
    });
    let other = Step::new(300, "other", running(1));
    let mut facts = TaskFacts::new(pairs.chain([other]));
    let edges: Vec<_> = (0..10).map(|pair| (100 + pair, 200 + pair)).collect();
    let mut live = LiveAnalysis::new(&facts, &edges, &weights(0)).unwrap();
    // The first path is that of the other step while it is in error.
    let steps = |live: &LiveAnalysis| live.analysis().critical_paths().paths[1].steps.len();
    for (state, length) in [
        (StepState::InProgress, 1),
        (StepState::Error, 2),
        (StepState::Complete, 1),
    ] {
        let step = facts.steps.last_mut().unwrap();
        step.facts.state = state;
        live.update(300, step.facts.clone(), None).unwrap();
        assert_eq!(steps(&live), length, "{state}");
        assert_eq!(live.analysis(), &analyze(&facts, &edges, &weights(0)).unwrap());
    }
}
