//! What the steps have lasted in the past says about the rest of a task.
//!
//! Nothing is invented: a step that was never measured has no duration, and a task with such a step before it has no
//! time of arrival.

use std::time::Duration;

use serde::{Serialize, Serializer};
use tasker_types::StepFacts;
use thiserror::Error;

use crate::analysis::Analysis;

/// How long the attempts of a step lasted that succeeded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Spread {
    /// How many were measured.
    pub samples: usize,
    /// Half of them lasted no longer.
    pub p50: Duration,
    /// Nineteen of twenty lasted no longer.
    pub p95: Duration,
}

impl Spread {
    /// Returns the spread of some durations; `None` of none.
    pub fn of(mut durations: Vec<Duration>) -> Option<Self> {
        durations.sort_unstable();
        // The nearest rank: a duration that was measured, not one between two.
        let rank = |percent: usize| {
            durations
                .get((durations.len() * percent).div_ceil(100).saturating_sub(1))
                .copied()
        };
        Some(Self {
            samples: durations.len(),
            p50: rank(50)?,
            p95: rank(95)?,
        })
    }
}

/// What is known of a step's times.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepTimes {
    /// How long it lasted in the past.
    pub spread: Option<Spread>,
    /// How long it has been running, if it runs.
    pub running_for: Option<Duration>,
}

/// When a task will be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Arrival {
    /// It has ended.
    Ended,
    /// If every step left lasts as half of its like did, and as nineteen of twenty did.
    In {
        /// As half of them did.
        typical: Duration,
        /// As nineteen of twenty did.
        late: Duration,
    },
    /// These steps, by their places, were never measured.
    NotMeasured(Vec<usize>),
    /// These steps, by their places, move no more without a person; none if the task itself stands still.
    Stuck(Vec<usize>),
}

/// The rest of a task, step by step.
#[derive(Clone, Debug)]
pub struct Forecast<'a> {
    analysis: &'a Analysis,
    times: Vec<StepTimes>,
    arrival: Arrival,
    plan: Option<Plan>,
}

/// What the steps left come to, at their typical durations.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Plan {
    starts: Vec<Duration>,
    slacks: Vec<Duration>,
    critical_path: Vec<usize>,
}

/// Something that could be otherwise.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum WhatIf {
    /// A step runs so many times as fast.
    Faster {
        /// Its place in step order.
        step: usize,
        /// How many times as fast: a finite number above 0.
        times: f64,
    },
    /// A step fails so many times before it succeeds.
    Retried {
        /// Its place in step order.
        step: usize,
        /// How many times.
        times: u32,
        /// How long it waits between the attempts, in all.
        waits: Duration,
    },
}

/// Why nothing can come of a change.
#[derive(Clone, Copy, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum WhatIfError {
    /// The change is one of a step that does not exist.
    #[error("there is no step at the place {step}: there are {steps}")]
    UnknownStep {
        /// The place.
        step: usize,
        /// How many steps there are.
        steps: usize,
    },
    /// No step runs so many times as fast.
    #[error("no step is {times} times as fast: the number must be finite and above 0")]
    Speed {
        /// How many times.
        times: f64,
    },
}

/// What would come of it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Changed {
    /// The typical rest of the task then.
    pub typical: Duration,
    /// The late one.
    pub late: Duration,
    /// By how much the typical one would differ, in seconds; less than 0 if it would be done earlier.
    pub typical_difference_seconds: f64,
}

/// Which of a step's durations is taken.
#[derive(Clone, Copy)]
enum Pick {
    Typical,
    Late,
}

/// Predicts the rest of a task from what is known of the times of its steps, by their places.
///
/// Steps are taken to start as soon as their parents are done and their time has come: no step waits for a worker.
///
/// # Complexity
///
/// O(V + E).
pub fn forecast<'a>(analysis: &'a Analysis, times: &[StepTimes]) -> Forecast<'a> {
    let mut known = times.to_vec();
    known.resize(analysis.len(), StepTimes::default());
    let mut forecast = Forecast {
        analysis,
        times: known,
        arrival: Arrival::Ended,
        plan: None,
    };
    let left = |step: &usize| !analysis.facts(*step).state.is_done();
    let steps: Vec<usize> = (0..analysis.len()).filter(left).collect();
    if analysis.task_state().is_final() || steps.is_empty() {
        return forecast;
    }
    let stuck: Vec<usize> = steps
        .iter()
        .copied()
        .filter(|step| analysis.facts(*step).stuck())
        .collect();
    let unmeasured: Vec<usize> = steps
        .iter()
        .copied()
        .filter(|step| forecast.times[*step].spread.is_none())
        .collect();
    forecast.arrival = if !stuck.is_empty() || !analysis.task_state().is_active() {
        Arrival::Stuck(stuck)
    } else if !unmeasured.is_empty() {
        Arrival::NotMeasured(unmeasured)
    } else {
        forecast.plan = Some(forecast.plan());
        Arrival::In {
            typical: forecast.rest(Pick::Typical, None),
            late: forecast.rest(Pick::Late, None),
        }
    };
    forecast
}

impl Forecast<'_> {
    /// Returns when the task will be done.
    pub fn arrival(&self) -> &Arrival {
        &self.arrival
    }

    /// Returns what is known of a step's times.
    ///
    /// # Panics
    ///
    /// If there is no such step, as every method that takes one.
    pub fn times(&self, step: usize) -> StepTimes {
        self.times[step]
    }

    /// Returns how much longer a step could take without delaying the task; `None` for one that is done, or while the
    /// arrival is not known.
    pub fn slack(&self, step: usize) -> Option<Duration> {
        self.of_plan(step, |plan| plan.slacks[step])
    }

    /// Returns how long until a step starts; zero for one that runs or can start.
    pub fn starts_in(&self, step: usize) -> Option<Duration> {
        self.of_plan(step, |plan| plan.starts[step])
    }

    fn of_plan(&self, step: usize, pick: impl Fn(&Plan) -> Duration) -> Option<Duration> {
        let is_left = !self.analysis.facts(step).state.is_done();
        self.plan.as_ref().filter(|_| is_left).map(pick)
    }

    /// Returns the steps that decide when the task is done, each after the one before it.
    pub fn critical_path(&self) -> &[usize] {
        self.plan.as_ref().map_or(&[], |plan| &plan.critical_path)
    }

    /// Returns what would come of a change; `None` while the arrival is not known.
    ///
    /// # Errors
    ///
    /// [`WhatIfError`] if the change is none.
    ///
    /// # Complexity
    ///
    /// O(V + E).
    pub fn what_if(&self, change: WhatIf) -> Result<Option<Changed>, WhatIfError> {
        let (WhatIf::Faster { step, .. } | WhatIf::Retried { step, .. }) = change;
        let steps = self.analysis.len();
        if step >= steps {
            return Err(WhatIfError::UnknownStep { step, steps });
        }
        if let WhatIf::Faster { times, .. } = change
            && !(times.is_finite() && times > 0.0)
        {
            return Err(WhatIfError::Speed { times });
        }
        let Arrival::In { typical, .. } = self.arrival else {
            return Ok(None);
        };
        let changed = self.rest(Pick::Typical, Some(change));
        Ok(Some(Changed {
            typical: changed,
            late: self.rest(Pick::Late, Some(change)),
            typical_difference_seconds: changed.as_secs_f64() - typical.as_secs_f64(),
        }))
    }

    /// Returns how much longer a step runs, once it runs.
    fn left(&self, step: usize, pick: Pick, change: Option<WhatIf>) -> Duration {
        let facts = self.analysis.facts(step);
        let StepTimes { spread, running_for } = self.times[step];
        let Some(spread) = spread.filter(|_| !facts.state.is_done()) else {
            return Duration::ZERO;
        };
        let whole = match pick {
            Pick::Typical => spread.p50,
            Pick::Late => spread.p95,
        };
        let left = whole.saturating_sub(running_for.unwrap_or_default());
        match change {
            Some(WhatIf::Faster { step: changed, times }) if changed == step => {
                Duration::try_from_secs_f64(left.as_secs_f64() / times).unwrap_or(Duration::MAX)
            }
            Some(WhatIf::Retried {
                step: changed,
                times,
                waits,
            }) if changed == step => left
                .saturating_add(whole.saturating_mul(times))
                .saturating_add(waits),
            _ => left,
        }
    }

    /// Returns how long until each step starts and ends.
    fn ends(&self, pick: Pick, change: Option<WhatIf>) -> (Vec<Duration>, Vec<Duration>) {
        let dag = self.analysis.dag();
        let (mut starts, mut ends) = (vec![Duration::ZERO; dag.len()], vec![Duration::ZERO; dag.len()]);
        for step in dag.topological_order().iter().copied() {
            let facts = self.analysis.facts(step);
            if facts.state.is_done() {
                continue;
            }
            let due = facts
                .due_in
                .filter(|_| StepFacts::in_backoff(facts))
                .unwrap_or_default();
            let parents = dag.parents(step).iter().map(|parent| ends[*parent]).max();
            starts[step] = parents.unwrap_or_default().max(due);
            ends[step] = starts[step].saturating_add(self.left(step, pick, change));
        }
        (starts, ends)
    }

    fn rest(&self, pick: Pick, change: Option<WhatIf>) -> Duration {
        self.ends(pick, change).1.into_iter().max().unwrap_or_default()
    }

    fn plan(&self) -> Plan {
        let dag = self.analysis.dag();
        let (starts, ends) = self.ends(Pick::Typical, None);
        let whole = ends.iter().max().copied().unwrap_or_default();
        // The latest end of each step that delays nothing.
        let mut latest = vec![whole; dag.len()];
        for step in dag.topological_order().iter().rev().copied() {
            for child in dag.children(step).iter().copied() {
                let start = latest[child].saturating_sub(self.left(child, Pick::Typical, None));
                latest[step] = latest[step].min(start);
            }
        }
        let slacks = latest
            .iter()
            .zip(&ends)
            .map(|(latest, end)| latest.saturating_sub(*end))
            .collect();
        // From the step that ends last back to the one that nothing but its time holds up.
        let left = |step: &usize| !self.analysis.facts(*step).state.is_done();
        let mut critical_path = Vec::new();
        let mut next = (0..dag.len()).filter(left).find(|step| ends[*step] == whole);
        while let Some(step) = next {
            critical_path.push(step);
            next = dag
                .parents(step)
                .iter()
                .copied()
                .filter(left)
                .find(|parent| ends[*parent] == starts[step]);
        }
        critical_path.reverse();
        Plan {
            starts,
            slacks,
            critical_path,
        }
    }
}

impl Serialize for Forecast<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Keys<'a> {
            status: &'static str,
            typical_seconds: Option<f64>,
            late_seconds: Option<f64>,
            /// The steps that are not measured, or that are stuck.
            because_of: Vec<&'a str>,
            critical_path: Vec<&'a str>,
            steps: Vec<Row<'a>>,
        }
        #[derive(Serialize)]
        struct Row<'a> {
            id: u64,
            name: &'a str,
            samples: usize,
            p50_seconds: Option<f64>,
            p95_seconds: Option<f64>,
            starts_in_seconds: Option<f64>,
            slack_seconds: Option<f64>,
        }
        let (status, times, because_of) = match &self.arrival {
            Arrival::Ended => ("ended", None, &[][..]),
            Arrival::In { typical, late } => ("expected", Some((typical, late)), &[][..]),
            Arrival::NotMeasured(steps) => ("not_measured", None, &steps[..]),
            Arrival::Stuck(steps) => ("stuck", None, &steps[..]),
        };
        let names = |steps: &[usize]| steps.iter().map(|step| self.analysis.name(*step)).collect();
        let row = |step: usize| {
            let spread = self.times[step].spread;
            Row {
                id: self.analysis.id(step),
                name: self.analysis.name(step),
                samples: spread.map_or(0, |spread| spread.samples),
                p50_seconds: spread.map(|spread| spread.p50.as_secs_f64()),
                p95_seconds: spread.map(|spread| spread.p95.as_secs_f64()),
                starts_in_seconds: self.starts_in(step).map(|wait| wait.as_secs_f64()),
                slack_seconds: self.slack(step).map(|slack| slack.as_secs_f64()),
            }
        };
        Keys {
            status,
            typical_seconds: times.map(|(typical, _)| typical.as_secs_f64()),
            late_seconds: times.map(|(_, late)| late.as_secs_f64()),
            because_of: names(because_of),
            critical_path: names(self.critical_path()),
            steps: (0..self.analysis.len()).map(row).collect(),
        }
        .serialize(serializer)
    }
}

#[cfg(test)]
mod tests {
    use tasker_types::{GraphWeights, StepState, TaskState};

    use super::*;
    use crate::analysis::{Step, TaskFacts, analyze};

    const fn seconds(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    fn spread(p50: u64, p95: u64) -> StepTimes {
        let spread = Spread {
            samples: 20,
            p50: seconds(p50),
            p95: seconds(p95),
        };
        StepTimes {
            spread: Some(spread),
            running_for: None,
        }
    }

    /// A start, a short and a long branch, and an end.
    fn diamond(states: [StepState; 4], state: TaskState) -> Analysis {
        let steps = states.into_iter().enumerate().map(|(place, state)| {
            let facts = StepFacts {
                state,
                attempts: 1,
                ..StepFacts::default()
            };
            Step::new(place as u64, format!("s{place}"), facts)
        });
        let facts = TaskFacts {
            state,
            ..TaskFacts::new(steps)
        };
        analyze(
            &facts,
            &[(0, 1), (0, 2), (1, 3), (2, 3)],
            &GraphWeights::default(),
        )
        .unwrap()
    }

    use StepState::{Complete, Error, InProgress, Pending};

    #[test]
    fn percentiles_are_durations_that_were_measured() {
        assert_eq!(Spread::of(Vec::new()), None);
        let one = Spread::of(vec![seconds(7)]).unwrap();
        assert_eq!((one.p50, one.p95), (seconds(7), seconds(7)));
        let many = Spread::of((1..=100).rev().map(seconds).collect()).unwrap();
        assert_eq!(
            (many.samples, many.p50, many.p95),
            (100, seconds(50), seconds(95))
        );
    }

    #[test]
    fn the_longer_branch_decides() {
        let analysis = diamond([InProgress, Pending, Pending, Pending], TaskState::InProgress);
        let mut times = [spread(4, 5), spread(2, 9), spread(7, 8), spread(1, 1)];
        times[0].running_for = Some(seconds(3));
        let forecast = forecast(&analysis, &times);
        // 1 s of the first is left, then 7, then 1; late: 2, then 9, then 1.
        assert_eq!(
            forecast.arrival(),
            &Arrival::In {
                typical: seconds(9),
                late: seconds(12)
            }
        );
        assert_eq!(forecast.critical_path(), [0, 2, 3]);
        let slacks: Vec<_> = (0..4)
            .map(|step| forecast.slack(step).unwrap().as_secs())
            .collect();
        assert_eq!(slacks, [0, 5, 0, 0]);
        assert_eq!(forecast.starts_in(3), Some(seconds(8)));

        let what_if = |change| forecast.what_if(change).unwrap().unwrap();
        let faster = what_if(WhatIf::Faster { step: 2, times: 2.0 });
        assert_eq!(
            (faster.typical, faster.typical_difference_seconds),
            (Duration::from_millis(5_500), -3.5)
        );
        let idle = what_if(WhatIf::Faster { step: 1, times: 2.0 });
        assert_eq!(idle.typical_difference_seconds, 0.0);
        let retried = WhatIf::Retried {
            step: 1,
            times: 2,
            waits: seconds(3),
        };
        // 1 + (2 + 2·2 + 3) + 1 instead of 9.
        assert_eq!(what_if(retried).typical_difference_seconds, 2.0);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        let analysis = diamond([InProgress, Pending, Pending, Pending], TaskState::InProgress);
        let forecast = forecast(&analysis, &[spread(1, 2); 4]);
        let refused = |change| forecast.what_if(change).unwrap_err().to_string();
        assert_eq!(
            refused(WhatIf::Retried {
                step: 4,
                times: 1,
                waits: Duration::ZERO
            }),
            "there is no step at the place 4: there are 4"
        );
        for (times, text) in [
            (0.0, "0"),
            (-0.5, "-0.5"),
            (f64::NAN, "NaN"),
            (f64::INFINITY, "inf"),
        ] {
            assert_eq!(
                refused(WhatIf::Faster { step: 0, times }),
                format!("no step is {text} times as fast: the number must be finite and above 0")
            );
        }
    }

    #[test]
    fn a_wait_counts() {
        let mut facts = TaskFacts::new([Step::new(
            1,
            "a",
            StepFacts {
                state: Error,
                attempts: 1,
                due_in: Some(seconds(30)),
                ..StepFacts::default()
            },
        )]);
        facts.state = TaskState::InProgress;
        let analysis = analyze(&facts, &[], &GraphWeights::default()).unwrap();
        let forecast = forecast(&analysis, &[spread(4, 6)]);
        assert_eq!(
            forecast.arrival(),
            &Arrival::In {
                typical: seconds(34),
                late: seconds(36)
            }
        );
    }

    #[test]
    fn what_was_not_measured_has_no_arrival() {
        let analysis = diamond([Complete, Pending, Pending, Pending], TaskState::InProgress);
        let none = forecast(&analysis, &[]);
        assert_eq!(none.arrival(), &Arrival::NotMeasured(vec![1, 2, 3]));
        assert!(none.critical_path().is_empty() && none.slack(1).is_none());
        assert_eq!(none.what_if(WhatIf::Faster { step: 1, times: 2.0 }), Ok(None));
        let written = serde_json::to_value(&none).unwrap();
        assert_eq!(written["status"], "not_measured");
        assert_eq!(written["because_of"], serde_json::json!(["s1", "s2", "s3"]));
        assert_eq!(written["steps"][1]["p50_seconds"], serde_json::Value::Null);
    }

    #[test]
    fn what_is_stuck_has_no_arrival_and_what_has_ended_needs_none() {
        let times = [spread(1, 1); 4];
        let mut cancelled = [Complete, Pending, StepState::Cancelled, Pending];
        let analysis = diamond(cancelled, TaskState::InProgress);
        assert_eq!(forecast(&analysis, &times).arrival(), &Arrival::Stuck(vec![2]));
        cancelled[2] = Complete;
        let analysis = diamond(cancelled, TaskState::Error);
        assert_eq!(forecast(&analysis, &times).arrival(), &Arrival::Stuck(vec![]));
        let analysis = diamond([Complete; 4], TaskState::Complete);
        assert_eq!(forecast(&analysis, &times).arrival(), &Arrival::Ended);
    }
}
