//! The most critical of all paths.

use std::cmp::Reverse;

use tasker_graph::{Analysis, CriticalPath, CriticalPaths, PathBottleneck, PathReason};
use tasker_types::{BlockingReason, HealthStatus};

use super::{Brute, Path, near, percent, same, size, tenths};

/// How many paths are listed.
const LISTED: usize = 5;

impl Brute<'_> {
    pub(super) fn compare_paths(&self, analysis: &Analysis) -> Result<(), String> {
        let CriticalPaths {
            total_paths,
            total_paths_is_lower_bound,
            longest_path_length,
            paths: found,
        } = analysis.critical_paths();
        let paths = &self.shape.paths;
        same("total_paths", *total_paths, paths.len() as u64)?;
        same("total_paths_is_lower_bound", *total_paths_is_lower_bound, false)?;
        let longest = paths.iter().map(|path| path.steps.len()).max().unwrap_or(0);
        same("longest_path_length", *longest_path_length, longest)?;
        let mut ranked: Vec<(i64, &Path)> = paths.iter().map(|path| (self.raw(path), path)).collect();
        // Paths are in the order of their steps, and the sort is stable.
        ranked.sort_by_key(|(raw, _)| Reverse(*raw));
        ranked.truncate(LISTED);
        same("paths", found.len(), ranked.len())?;
        let left = 1.0 - 0.003 * self.context.completion_percentage;
        for (found, (raw, path)) in found.iter().zip(ranked) {
            let score = (raw as f64 / 600.0 * left).max(0.0);
            near("criticality_score", found.criticality_score, score)?;
            let duration = self.duration(path) as f64 / 10.0;
            near("estimated_duration", found.estimated_duration_seconds, duration)?;
            let expected = CriticalPath {
                completed_steps: size(path.set & self.done),
                blocked_steps: size(path.set & self.blocked),
                error_steps: size(path.set & self.error),
                retry_steps: size(path.set & self.retried()),
                ready_steps: size(path.set & self.ready),
                estimated_duration_seconds: found.estimated_duration_seconds,
                criticality_score: found.criticality_score,
                completion_percentage: percent(size(path.set & self.done), path.steps.len(), 10),
                bottlenecks: self.held_up(path),
                steps: path.steps.clone(),
            };
            same("path", found, &expected)?;
        }
        Ok(())
    }

    /// Returns the steps in error that have been tried.
    fn retried(&self) -> u32 {
        super::set(self.steps.len(), |step| self.steps[step].attempts > 0) & self.error
    }

    /// Returns the estimated duration in tenths of a second.
    fn duration(&self, path: &Path) -> i64 {
        let duration = &self.weights.duration_estimates;
        let attempts: i64 = path
            .steps
            .iter()
            .map(|step| i64::from(self.steps[*step].attempts))
            .sum();
        path.steps.len() as i64 * tenths(duration.base_step_seconds)
            + size(path.set & self.error) as i64 * tenths(duration.error_penalty_seconds)
            + attempts * tenths(duration.retry_penalty_seconds)
    }

    /// Returns the raw score in six-hundredths, before what has completed lowers it.
    fn raw(&self, path: &Path) -> i64 {
        let impact = &self.weights.impact_scoring;
        let in_path = |set: u32| size(path.set & set) as i64;
        let unhealthy = match self.context.health_status {
            HealthStatus::Healthy => 60,
            _ => 90,
        };
        path.steps.len() as i64 * tenths(impact.path_length_weight) * 60
            - in_path(self.done) * tenths(impact.completed_penalty) * 60
            + in_path(self.blocked) * tenths(impact.blocked_penalty) * unhealthy
            + in_path(self.error) * tenths(impact.error_penalty) * unhealthy
            + in_path(self.retried()) * tenths(impact.retry_penalty) * 60
            + self.duration(path) * 2
    }

    /// Returns the steps that hold a path up.
    fn held_up(&self, path: &Path) -> Vec<PathBottleneck> {
        let held = self.blocked | self.error | self.cancelled;
        let mut steps: Vec<PathBottleneck> = path
            .steps
            .iter()
            .copied()
            .enumerate()
            .filter(|(_, step)| held >> step & 1 == 1)
            .map(|(index, step)| {
                let known = &self.steps[step];
                let mut severity = u64::from(known.attempts) * 5;
                for (holds, more) in [
                    (self.error >> step & 1 == 1, 10),
                    (known.exhausted, 20),
                    (known.blocked, 5),
                ] {
                    severity += if holds { more } else { 0 };
                }
                PathBottleneck {
                    step,
                    reason: match known.reason {
                        None => PathReason::NotBlocked,
                        Some(BlockingReason::Finished) => PathReason::Cancelled,
                        Some(BlockingReason::Running) => PathReason::Running,
                        Some(BlockingReason::DependenciesNotSatisfied) => {
                            PathReason::DependenciesNotSatisfied
                        }
                        Some(BlockingReason::RetryNotEligible) if known.exhausted => {
                            PathReason::ExhaustedRetries
                        }
                        Some(BlockingReason::RetryNotEligible) => PathReason::NotRetryable,
                        Some(BlockingReason::WaitingForBackoff) => PathReason::InBackoff,
                        Some(_) => PathReason::TaskNotActive,
                    },
                    severity,
                    downstream_steps: path.steps.len() - index - 1,
                }
            })
            .collect();
        steps.sort_by_key(|bottleneck| Reverse(bottleneck.severity));
        steps
    }
}
