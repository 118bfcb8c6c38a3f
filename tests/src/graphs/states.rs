//! What the steps of a graph can be in, and what else is known of them.

use std::time::Duration;

use tasker_graph::{DependencyGraphValues, GraphWeights, StepFacts, StepState, TaskState, Timestamp};
use tasker_types::{Section as _, SettingFaults};

/// Numbers that look random and are always the same.
#[derive(Clone, Debug)]
pub(super) struct Numbers(u64);

impl Numbers {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Returns a number below a bound.
    pub(super) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) % bound
    }
}

/// Which states are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fitting {
    /// Every state with every other one.
    All,
    /// Those that the engine reaches: while a parent is not done, a step is pending, cancelled or resolved by hand.
    Reachable,
}

/// Returns every combination of states of the steps of a graph whose edges lead from lower to higher places.
///
/// Complete and resolved count as one: no figure tells them apart.
pub(super) fn combinations(count: usize, edges: &[(usize, usize)], fitting: Fitting) -> Vec<Vec<StepState>> {
    let mut combinations = vec![Vec::with_capacity(count)];
    for step in 0..count {
        let parents: Vec<usize> = edges
            .iter()
            .filter(|(_, to)| *to == step)
            .map(|(from, _)| *from)
            .collect();
        let longer = |states: Vec<StepState>| {
            let waits = parents.iter().any(|parent| !is_done(states[*parent]));
            let fits: &[StepState] = if waits && fitting == Fitting::Reachable {
                &[
                    StepState::Pending,
                    StepState::Cancelled,
                    StepState::ResolvedManually,
                ]
            } else {
                &[
                    StepState::Pending,
                    StepState::InProgress,
                    StepState::Complete,
                    StepState::Error,
                    StepState::Cancelled,
                ]
            };
            fits.iter().map(move |state| [&states[..], &[*state]].concat())
        };
        combinations = combinations.into_iter().flat_map(longer).collect();
    }
    combinations
}

pub(super) fn is_done(state: StepState) -> bool {
    matches!(state, StepState::Complete | StepState::ResolvedManually)
}

/// Returns facts that differ in all that counts.
pub(super) fn facts(state: StepState, numbers: &mut Numbers) -> StepFacts {
    let number = numbers.below(4 * 3 * 4 * 5 * 6 * 2);
    let state = match (state, number % 2) {
        (StepState::Complete, 1) => StepState::ResolvedManually,
        _ => state,
    };
    let number = number / 2;
    StepFacts {
        state,
        attempts: (number % 4) as u32,
        retry_limit: (number / 4 % 3) as u32 + 1,
        retryable: !(number / 12).is_multiple_of(4),
        permanent: (number / 48).is_multiple_of(5),
        unmet_parents: u32::MAX,
        due_in: [
            None,
            None,
            None,
            Some(Duration::ZERO),
            Some(Duration::from_secs(60)),
            Some(Duration::from_millis(60_001)),
        ][(number / 240 % 6) as usize],
    }
}

/// Returns a task's state: mostly one in which it runs.
pub(super) fn task(numbers: &mut Numbers) -> TaskState {
    match numbers.below(8) {
        0 => TaskState::ALL[numbers.below(TaskState::ALL.len() as u64) as usize],
        _ => TaskState::InProgress,
    }
}

/// Returns when facts were taken, if that is known.
pub(super) fn taken_at(numbers: &mut Numbers) -> Option<Timestamp> {
    (numbers.below(2) == 0).then(|| Timestamp::from_micros(1_795_608_000_000_000))
}

/// Returns the weights to analyse with: the defaults, others, and tenths that make many ties.
pub(super) fn weights() -> Result<Vec<GraphWeights>, SettingFaults> {
    let mut others = DependencyGraphValues::default();
    let impact = &mut others.impact_scoring;
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
    others.state_severity.dependency_issue = 1.5;
    let mut tenths = DependencyGraphValues::default();
    let impact = &mut tenths.impact_scoring;
    (impact.path_length_weight, impact.completed_penalty) = (0.3, 0.3);
    (impact.blocked_penalty, impact.error_penalty, impact.retry_penalty) = (0.2, 0.1, 0.1);
    tenths.duration_estimates.base_step_seconds = 0.0;
    tenths.duration_estimates.error_penalty_seconds = 0.3;
    tenths.duration_estimates.retry_penalty_seconds = 0.1;
    [DependencyGraphValues::default(), others, tenths]
        .into_iter()
        .map(GraphWeights::check)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_engine_reaches_fits() {
        assert_eq!(combinations(2, &[(0, 1)], Fitting::All).len(), 25);
        // Under a done step any of five, under one of the other four any of three.
        assert_eq!(combinations(2, &[(0, 1)], Fitting::Reachable).len(), 5 + 4 * 3);
        assert_eq!(combinations(2, &[], Fitting::Reachable).len(), 25);
    }
}
