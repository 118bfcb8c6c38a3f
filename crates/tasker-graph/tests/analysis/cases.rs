//! Small tasks: any graph, any states.

use std::time::Duration;

use proptest::prelude::*;
use tasker_graph::{DependencyGraphValues, GraphWeights, Step, StepFacts, StepState, TaskFacts, TaskState};

/// A task whose edges are pairs of places.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) facts: TaskFacts,
    pub(crate) edges: Vec<(usize, usize)>,
    pub(crate) weights: GraphWeights,
}

impl Case {
    /// Returns the edges by ids.
    pub(crate) fn edges_by_id(&self) -> Vec<(u64, u64)> {
        let id = |step: usize| self.facts.steps[step].id;
        self.edges.iter().map(|(from, to)| (id(*from), id(*to))).collect()
    }
}

/// Returns facts that differ in all that counts, made from a number.
pub(crate) fn step_facts(state: StepState, seed: u64) -> StepFacts {
    StepFacts {
        state,
        attempts: (seed % 4) as u32,
        retry_limit: (seed / 4 % 3) as u32 + 1,
        retryable: !(seed / 12).is_multiple_of(4),
        permanent: (seed / 48).is_multiple_of(5),
        unmet_parents: 0,
        due_in: [None, None, Some(Duration::from_secs(61)), Some(Duration::ZERO)][(seed / 240 % 4) as usize],
    }
}

/// Returns the defaults, whole numbers that make few ties, or tenths that make many.
pub(crate) fn weights(kind: u64) -> GraphWeights {
    let mut values = DependencyGraphValues::default();
    let impact = &mut values.impact_scoring;
    match kind % 3 {
        0 => {}
        1 => {
            (
                impact.path_length_weight,
                impact.completed_penalty,
                impact.error_penalty,
            ) = (20.0, 5.0, 40.0);
            (
                impact.downstream_weight,
                impact.blocked_weight,
                impact.retry_penalty,
            ) = (7.0, 20.0, 3.0);
        }
        _ => {
            (impact.path_length_weight, impact.completed_penalty) = (0.3, 0.3);
            (impact.blocked_penalty, impact.error_penalty, impact.retry_penalty) = (0.2, 0.1, 0.1);
            values.duration_estimates.base_step_seconds = 0.0;
            values.duration_estimates.error_penalty_seconds = 0.3;
            values.duration_estimates.retry_penalty_seconds = 0.1;
        }
    }
    GraphWeights::try_from(values).unwrap()
}

pub(crate) fn named(facts: impl IntoIterator<Item = StepFacts>, first: u64, stride: u64) -> TaskFacts {
    let steps = facts.into_iter().enumerate();
    // Ids neither count up from the first nor ascend.
    TaskFacts::new(steps.map(|(place, facts)| {
        let id = (first + place as u64 * stride) % 1_009;
        Step::new(id, format!("s{place}"), facts)
    }))
}

pub(crate) fn any_state() -> impl Strategy<Value = StepState> {
    proptest::sample::select(StepState::ALL.to_vec())
}

/// Any task of at most so many steps, whose steps come in any order.
pub(crate) fn tasks(most: usize) -> impl Strategy<Value = Case> {
    (0..=most).prop_flat_map(move |count| {
        let states = proptest::collection::vec((any_state(), 0_u64..960), count);
        let ranks = Just((0..count).collect::<Vec<_>>()).prop_shuffle();
        let edges = proptest::collection::btree_set((0..count.max(1), 0..count.max(1)), 0..count * 2 + 1);
        let task = proptest::sample::select(TaskState::ALL.to_vec());
        let task = prop_oneof![3 => Just(TaskState::InProgress), 1 => task];
        (states, ranks, edges, task, 0_u64..3).prop_map(move |(states, ranks, edges, state, kind)| {
            let facts = states.into_iter().map(|(state, seed)| step_facts(state, seed));
            let mut facts = named(facts, kind * 500, 1 + kind * 37);
            facts.state = state;
            let fits =
                |(from, to): &(usize, usize)| *from < count && *to < count && ranks[*from] < ranks[*to];
            Case {
                facts,
                edges: edges.into_iter().filter(fits).collect(),
                weights: weights(kind),
            }
        })
    })
}
