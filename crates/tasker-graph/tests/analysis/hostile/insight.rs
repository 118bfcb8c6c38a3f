//! Explanations and forecasts of whatever comes in.

use std::time::Duration;

use proptest::prelude::*;
use tasker_graph::{
    Analysis, Arrival, Cause, Explainer, Forecast, GraphWeights, Spread, StepDetails, StepState, StepTimes,
    TaskFacts, TaskState, Timestamp, WhatIf, WhatIfError, analyze, forecast,
};

use super::{configurations, counts, numbers, steps};

fn times() -> impl Strategy<Value = Timestamp> {
    let ends = [
        i64::MIN,
        i64::MIN + 1,
        -1,
        0,
        1_795_608_000_000_000,
        i64::MAX - 1,
        i64::MAX,
    ];
    prop_oneof![proptest::sample::select(ends.to_vec()), any::<i64>()].prop_map(Timestamp::from_micros)
}

fn durations() -> impl Strategy<Value = Duration> {
    prop_oneof![
        Just(Duration::ZERO),
        Just(Duration::from_nanos(1)),
        Just(Duration::MAX - Duration::from_nanos(1)),
        Just(Duration::MAX),
        (0_u64..100).prop_map(Duration::from_secs),
    ]
}

fn details() -> impl Strategy<Value = StepDetails> {
    let lease = proptest::option::of(("\\PC{0,8}", times()));
    let missing = proptest::option::of("\\PC{0,8}");
    let (error, slots) = (proptest::option::of("\\PC{0,8}"), proptest::option::of(counts()));
    (error, lease, missing, slots).prop_map(|(last_error, lease, missing_handler, slots_in_use)| {
        StepDetails {
            last_error,
            lease,
            missing_handler,
            slots_in_use,
        }
    })
}

/// What was measured: mostly of every step, else of too few or too many; a p95 may be less than its p50.
fn measured() -> impl Strategy<Value = Vec<StepTimes>> {
    let times = |known: f64| {
        let spread = (any::<usize>(), durations(), durations());
        let spread = proptest::option::weighted(known, spread);
        (spread, proptest::option::of(durations())).prop_map(|(spread, running_for)| StepTimes {
            spread: spread.map(|(samples, p50, p95)| Spread { samples, p50, p95 }),
            running_for,
        })
    };
    prop_oneof![
        4 => proptest::collection::vec(times(0.98), 10..14),
        1 => proptest::collection::vec(times(0.8), 0..14),
    ]
}

fn changes() -> impl Strategy<Value = WhatIf> {
    let step = prop_oneof![0_usize..12, Just(usize::MAX)];
    prop_oneof![
        (step.clone(), numbers()).prop_map(|(step, times)| WhatIf::Faster { step, times }),
        (step, counts(), durations()).prop_map(|(step, times, waits)| WhatIf::Retried { step, times, waits }),
    ]
}

/// What is wrong with a task.
#[derive(Clone, Copy, Debug)]
enum Hostile {
    /// Ids, names and edges.
    Ids,
    /// Edges.
    Edges,
    /// States, counts and weights.
    Facts,
    /// Counts: nothing is stuck.
    Counts,
}

/// Any task; `None` where there is a name for what is wrong with it.
fn analyses() -> impl Strategy<Value = Option<Analysis>> {
    let hostile = prop_oneof![
        1 => Just(Hostile::Ids),
        1 => Just(Hostile::Edges),
        4 => Just(Hostile::Facts),
        6 => Just(Hostile::Counts),
    ];
    let edges = proptest::collection::vec((0_u64..10, 0_u64..10), 0..24);
    let (state, taken_at) = (
        proptest::sample::select(TaskState::ALL.to_vec()),
        proptest::option::of(times()),
    );
    (steps(), hostile, edges, state, taken_at, configurations()).prop_map(
        |(steps, hostile, mut edges, state, taken_at, config)| {
            let mut task = TaskFacts::new(steps);
            (task.state, task.taken_at) = (state, taken_at);
            if !matches!(hostile, Hostile::Ids) {
                for (place, step) in task.steps.iter_mut().enumerate() {
                    (step.id, step.name) = (place as u64, format!("s{place}"));
                }
            }
            if matches!(hostile, Hostile::Facts | Hostile::Counts) {
                edges.retain(|(from, to)| from < to && *to < task.steps.len() as u64);
                edges.sort_unstable();
                edges.dedup();
            }
            let mut weights = GraphWeights::try_from(config).ok()?;
            if matches!(hostile, Hostile::Counts) {
                weights = GraphWeights::default();
                task.state = TaskState::InProgress;
                for facts in task.steps.iter_mut().map(|step| &mut step.facts) {
                    if facts.state == StepState::Cancelled {
                        facts.state = StepState::Pending;
                    }
                    facts.attempts = facts.attempts.min(u32::MAX - 1);
                    facts.retry_limit = facts.retry_limit.max(facts.attempts + 1);
                }
            }
            match analyze(&task, &edges, &weights) {
                Ok(analysis) => Some(analysis),
                Err(error) => {
                    assert!(!matches!(hostile, Hostile::Counts), "{error}");
                    None
                }
            }
        },
    )
}

fn is_done(analysis: &Analysis, step: usize) -> bool {
    matches!(
        analysis.facts(step).state,
        StepState::Complete | StepState::ResolvedManually
    )
}

/// Returns the parents that a step waits for.
fn awaited(analysis: &Analysis, step: usize) -> Vec<usize> {
    match analysis.facts(step).state {
        StepState::Pending | StepState::Error => analysis
            .dag()
            .parents(step)
            .iter()
            .copied()
            .filter(|parent| !is_done(analysis, *parent))
            .collect(),
        _ => Vec::new(),
    }
}

/// Returns the steps that a step waits for in the end.
fn ends(analysis: &Analysis, step: usize) -> Vec<usize> {
    let parents = awaited(analysis, step);
    if parents.is_empty() {
        return vec![step];
    }
    let mut ends: Vec<usize> = parents
        .iter()
        .flat_map(|parent| ends(analysis, *parent))
        .collect();
    ends.sort_unstable();
    ends.dedup();
    ends
}

fn check_explanations(analysis: &Analysis, details: &[StepDetails]) {
    let of_step = |step: usize| details.get(step).cloned().unwrap_or_default();
    let explainer = Explainer::new(analysis, &of_step);
    let whole = explainer.task();
    let left: Vec<u64> = (0..analysis.len())
        .filter(|step| !is_done(analysis, *step))
        .map(|step| analysis.id(step))
        .collect();
    let listed: Vec<u64> = whole.steps.iter().map(|step| step.link.id).collect();
    assert_eq!(listed, left);
    assert!(!whole.to_string().is_empty());
    serde_json::to_string(&whole).unwrap();
    for step in 0..analysis.len() {
        let explanation = explainer.step(step);
        let chain: Vec<usize> = explanation
            .chain
            .iter()
            .map(|link| analysis.find(link.id).unwrap())
            .collect();
        assert_eq!(chain[0], step);
        for pair in chain.windows(2) {
            assert!(awaited(analysis, pair[0]).contains(&pair[1]));
        }
        assert_eq!(awaited(analysis, chain[chain.len() - 1]), Vec::<usize>::new());
        let roots: Vec<usize> = explanation
            .roots
            .iter()
            .map(|link| analysis.find(link.id).unwrap())
            .collect();
        assert_eq!(roots, ends(analysis, step));
        for link in &explanation.chain {
            let waits = !awaited(analysis, analysis.find(link.id).unwrap()).is_empty();
            assert_eq!(matches!(link.cause, Cause::Parents { .. }), waits);
        }
        assert!(explanation.to_string().lines().count() >= chain.len());
        serde_json::to_string(&explanation).unwrap();
    }
}

/// Returns in how many nanoseconds a step ends, by following every way to it; none of the numbers is too large here.
fn ends_in(
    forecast: &Forecast<'_>,
    analysis: &Analysis,
    step: usize,
    late: bool,
    change: Option<WhatIf>,
) -> u128 {
    let facts = analysis.facts(step);
    let times = forecast.times(step);
    if is_done(analysis, step) {
        return 0;
    }
    let parents = analysis.dag().parents(step).iter();
    let after = parents
        .map(|parent| ends_in(forecast, analysis, *parent, late, change))
        .max();
    let waits = matches!(facts.state, StepState::Pending | StepState::Error);
    let due = facts.due_in.filter(|_| waits).unwrap_or_default();
    let spread = times.spread.unwrap();
    let whole = if late { spread.p95 } else { spread.p50 };
    let left = whole.saturating_sub(times.running_for.unwrap_or_default());
    let left = match change {
        Some(WhatIf::Faster { step: changed, times }) if changed == step => {
            Duration::try_from_secs_f64(left.as_secs_f64() / times)
                .unwrap_or(Duration::MAX)
                .as_nanos()
        }
        Some(WhatIf::Retried {
            step: changed,
            times,
            waits,
        }) if changed == step => left.as_nanos() + whole.as_nanos() * u128::from(times) + waits.as_nanos(),
        _ => left.as_nanos(),
    };
    after.unwrap_or(0).max(due.as_nanos()) + left
}

fn check_forecast(analysis: &Analysis, times: &[StepTimes], changes: &[WhatIf]) {
    let forecast = forecast(analysis, times);
    serde_json::to_string(&forecast).unwrap();
    let rest = |late, change| {
        let ends = (0..analysis.len()).map(|step| ends_in(&forecast, analysis, step, late, change));
        ends.max().unwrap_or(0).min(Duration::MAX.as_nanos())
    };
    let is_known = matches!(forecast.arrival(), Arrival::In { .. });
    if let Arrival::In { typical, late } = forecast.arrival() {
        assert_eq!(
            (typical.as_nanos(), late.as_nanos()),
            (rest(false, None), rest(true, None))
        );
        let path = forecast.critical_path();
        for pair in path.windows(2) {
            assert!(analysis.dag().parents(pair[1]).contains(&pair[0]));
        }
        assert!(!path.is_empty());
    }
    for step in 0..analysis.len() {
        let expected = is_known && !is_done(analysis, step);
        assert_eq!(forecast.slack(step).is_some(), expected);
        assert_eq!(forecast.starts_in(step).is_some(), expected);
    }
    for change in changes.iter().copied() {
        let (WhatIf::Faster { step, .. } | WhatIf::Retried { step, .. }) = change;
        match forecast.what_if(change) {
            Err(WhatIfError::UnknownStep { step: unknown, steps }) => {
                assert_eq!((unknown, steps), (step, analysis.len()));
                assert!(step >= steps);
            }
            Err(WhatIfError::Speed { times }) => assert!(!times.is_finite() || times <= 0.0),
            Err(other) => panic!("{other}"),
            Ok(None) => assert!(!is_known),
            Ok(Some(changed)) => {
                assert_eq!(changed.typical.as_nanos(), rest(false, Some(change)));
                assert_eq!(changed.late.as_nanos(), rest(true, Some(change)));
                assert!(changed.typical_difference_seconds.is_finite());
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    #[test]
    fn every_explanation_leads_to_what_holds_up(
        analysis in analyses(),
        details in proptest::collection::vec(details(), 0..12),
    ) {
        if let Some(analysis) = analysis {
            prop_assert_eq!(analysis.find(u64::MAX - 1), None);
            check_explanations(&analysis, &details);
        }
    }

    #[test]
    fn every_forecast_is_the_longest_way_or_none(
        analysis in analyses(),
        times in measured(),
        changes in proptest::collection::vec(changes(), 0..4),
    ) {
        if let Some(analysis) = analysis {
            check_forecast(&analysis, &times, &changes);
        }
    }
}
