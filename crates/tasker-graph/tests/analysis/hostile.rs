//! Whatever comes in, there is a correct answer or an error with a name.

mod insight;

use std::time::Duration;

use proptest::prelude::*;
use tasker_graph::{
    AnalysisError, DependencyGraphValues, GraphWeights, LiveAnalysis, Step, StepFacts, TaskDocument,
    TaskFacts, analyze,
};

use crate::cases::{any_state, weights};

fn numbers() -> impl Strategy<Value = f64> {
    prop_oneof![
        Just(0.0),
        Just(f64::NAN),
        Just(f64::INFINITY),
        Just(-1.0),
        Just(f64::MAX),
        Just(f64::MIN_POSITIVE),
        Just(5e-324),
        0.0..1e3,
        0.0..1e40,
    ]
}

/// Weights of which most are sensible.
fn configurations() -> impl Strategy<Value = DependencyGraphValues> {
    proptest::collection::vec((0_usize..15, numbers()), 0..3).prop_map(|changes| {
        let mut values = DependencyGraphValues::default();
        for (place, number) in changes {
            let impact = &mut values.impact_scoring;
            let keys = [
                &mut impact.downstream_weight,
                &mut impact.blocked_weight,
                &mut impact.path_length_weight,
                &mut impact.completed_penalty,
                &mut impact.blocked_penalty,
                &mut impact.error_penalty,
                &mut impact.retry_penalty,
                &mut values.state_severity.error_state,
                &mut values.state_severity.dependency_issue,
                &mut values.penalty_calculation.retry_instability,
                &mut values.penalty_calculation.exhausted_retry,
                &mut values.severity_thresholds.high,
                &mut values.duration_estimates.base_step_seconds,
                &mut values.duration_estimates.error_penalty_seconds,
                &mut values.duration_estimates.retry_penalty_seconds,
            ];
            if let Some(key) = keys.into_iter().nth(place) {
                *key = number;
            }
        }
        values
    })
}

fn counts() -> impl Strategy<Value = u32> {
    prop_oneof![0_u32..4, u32::MAX - 3..=u32::MAX]
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let waits = prop_oneof![
        Just(None),
        Just(Some(Duration::MAX)),
        Just(Some(Duration::from_nanos(1)))
    ];
    let step = (0_u64..12, 0_u64..12, any_state(), counts(), counts(), waits);
    proptest::collection::vec(step, 0..10).prop_map(|steps| {
        let step = |(id, name, state, attempts, retry_limit, due_in)| {
            let facts = StepFacts {
                state,
                attempts,
                retry_limit,
                unmet_parents: u32::MAX,
                due_in,
                ..StepFacts::default()
            };
            // One id in twelve is the greatest there is.
            Step::new(if id == 0 { u64::MAX } else { id }, format!("s{name}"), facts)
        };
        steps.into_iter().map(step).collect()
    })
}

proptest! {
    #[test]
    fn nothing_panics(
        steps in steps(),
        unique: bool,
        edges in proptest::collection::vec((0_u64..14, 0_u64..14), 0..12),
        config in configurations(),
    ) {
        let mut facts = TaskFacts::new(steps);
        if unique {
            for (place, step) in facts.steps.iter_mut().enumerate() {
                (step.id, step.name) = (place as u64 + 1, format!("s{place}"));
            }
        }
        let Ok(weights) = GraphWeights::try_from(config) else { return Ok(()) };
        if let Ok(analysis) = analyze(&facts, &edges, &weights) {
            let written = serde_json::to_string(&analysis).unwrap();
            // What is no number is written as null.
            for path in &analysis.critical_paths().paths {
                prop_assert!(path.criticality_score.is_finite() && path.estimated_duration_seconds.is_finite());
            }
            prop_assert!(written.contains("\"bottlenecks\""));
            let mut live = LiveAnalysis::new(&facts, &edges, &weights).unwrap();
            for step in &facts.steps {
                live.update(step.id, step.facts.clone(), None).unwrap();
                prop_assert_eq!(live.analysis(), &analysis);
            }
        }
    }

    #[test]
    fn no_document_panics(text in r#"\{"steps": \[\{"id": [0-9-]{1,21}, "name": "a", "attempts": [0-9]{1,11}, "next_retry_in_seconds": (null|-?[0-9]{1,3}(e[0-9]{1,3})?)\}\], "edges": \[(\[[0-9], [0-9]\])?\]\}"#) {
        if let Ok(document) = serde_json::from_str::<TaskDocument>(&text) {
            let _ = analyze(&document.facts, &document.edges, &weights(0));
        }
    }
}

fn two() -> TaskFacts {
    TaskFacts::new([
        Step::new(10, "a", StepFacts::default()),
        Step::new(20, "b", StepFacts::default()),
    ])
}

#[track_caller]
fn refused(facts: &TaskFacts, edges: &[(u64, u64)], message: &str) -> AnalysisError {
    let error = analyze(facts, edges, &weights(0)).unwrap_err();
    assert_eq!(error.to_string(), message);
    error
}

#[test]
fn an_edge_to_an_unknown_step_names_it() {
    let error = refused(
        &two(),
        &[(10, 30)],
        "the edge from 10 to 30 names a step that does not exist: 30",
    );
    assert_eq!(
        error,
        AnalysisError::UnknownEdgeStep {
            from: 10,
            to: 30,
            id: 30
        }
    );
}

#[test]
fn an_id_belongs_to_one_step() {
    let mut facts = two();
    facts.steps[1].id = 10;
    refused(&facts, &[], "10 is the id of more than one step");
}

#[test]
fn what_is_no_graph_says_why() {
    refused(
        &two(),
        &[(10, 20), (10, 20)],
        "the edge `a` -> `b` is given more than once",
    );
    refused(&two(), &[(10, 10)], "`a` has an edge to itself");
    refused(&two(), &[(10, 20), (20, 10)], "a cycle: a -> b -> a");
}

#[test]
fn no_count_overflows() {
    let mut facts = two();
    for step in &mut facts.steps {
        step.facts = StepFacts {
            state: tasker_graph::StepState::Error,
            attempts: u32::MAX,
            retry_limit: u32::MAX,
            ..StepFacts::default()
        };
    }
    let analysis = analyze(&facts, &[(10, 20)], &weights(0)).unwrap();
    let path = &analysis.critical_paths().paths[0];
    assert_eq!(
        path.estimated_duration_seconds,
        2.0 * 4_294_967_295.0 * 30.0 + 180.0
    );
    assert_eq!(path.bottlenecks[0].severity, 10 + 5 * 4_294_967_295 + 20 + 5);
    let first = &analysis.bottlenecks().listed[0];
    assert_eq!((first.step, first.impact_score), (0, 50 + 3 * 4_294_967_295 + 30));
}

#[test]
fn more_paths_than_a_number_holds_are_at_least_so_many() {
    let ladder = |diamonds: u64| {
        let steps = (0..=diamonds * 3).map(|step| Step::new(step, format!("s{step}"), StepFacts::default()));
        let edges: Vec<_> = (0..diamonds)
            .flat_map(|number| {
                let top = number * 3;
                [
                    (top, top + 1),
                    (top, top + 2),
                    (top + 1, top + 3),
                    (top + 2, top + 3),
                ]
            })
            .collect();
        let analysis = analyze(&TaskFacts::new(steps), &edges, &weights(0)).unwrap();
        let paths = analysis.critical_paths();
        assert_eq!(paths.longest_path_length as u64, diamonds * 2 + 1);
        assert_eq!(paths.paths.len(), 5);
        (paths.total_paths, paths.total_paths_is_lower_bound)
    };
    assert_eq!(ladder(63), (1 << 63, false));
    assert_eq!(ladder(64), (u64::MAX, true));
    assert_eq!(ladder(1_000), (u64::MAX, true));
}

#[test]
fn a_million_steps_in_a_row_need_no_stack() {
    let body = || {
        let count = 1_000_000;
        let steps = (0..count).map(|step| Step::new(step, step.to_string(), StepFacts::default()));
        let edges: Vec<_> = (1..count).map(|step| (step - 1, step)).collect();
        let analysis = analyze(&TaskFacts::new(steps), &edges, &weights(0)).unwrap();
        assert_eq!(analysis.descendant_count(0), 999_999);
        assert_eq!(analysis.blocked_descendant_count(5), 999_994);
        assert_eq!(analysis.critical_paths().longest_path_length, 1_000_000);
    };
    std::thread::Builder::new()
        .stack_size(128 * 1024)
        .spawn(body)
        .unwrap()
        .join()
        .unwrap();
}
