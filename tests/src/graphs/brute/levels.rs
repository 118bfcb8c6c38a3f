//! What could run side by side.

use tasker_graph::{Analysis, Degree, Level, Parallelism};

use super::{Brute, percent, same, set, size};

impl Brute<'_> {
    /// Returns the levels on which more than one step can start, in percent of all.
    pub(super) fn efficiency(&self) -> f64 {
        let levels = self.levels();
        let wide = levels.iter().filter(|level| size(*level & self.ready) > 1);
        percent(wide.count(), levels.len(), 10)
    }

    /// Returns the steps of each level.
    fn levels(&self) -> Vec<u32> {
        let levels = &self.shape.levels;
        let depth = levels.iter().max().map_or(0, |deepest| deepest + 1);
        (0..depth)
            .map(|level| set(levels.len(), |step| levels[step] == level))
            .collect()
    }

    pub(super) fn compare_levels(&self, analysis: &Analysis) -> Result<(), String> {
        let levels = self.levels();
        let found = analysis.parallelism();
        let expected = Parallelism {
            max_parallel_steps: levels.iter().map(|level| size(*level)).max().unwrap_or(0),
            current_opportunities: size(self.ready),
            blocked_opportunities: size(self.blocked),
            efficiency: self.efficiency(),
            overall_completion: self.context.completion_percentage,
            levels: levels
                .iter()
                .map(|level| Level {
                    total_steps: size(*level),
                    ready_steps: size(level & self.ready),
                    blocked_steps: size(level & self.blocked),
                    error_steps: size(level & self.error),
                    completed_steps: size(level & self.done),
                })
                .collect(),
        };
        same("parallelism", found, &expected)?;
        for (level, found) in levels.into_iter().zip(&found.levels) {
            let potential = match size(level & self.ready) {
                0 => Degree::Low,
                1 => Degree::Medium,
                _ => Degree::High,
            };
            same("potential", found.potential(), potential)?;
            let most_wait = size(level & self.blocked) > size(level) / 2;
            let risk = if most_wait { Degree::High } else { Degree::Low };
            same("risk", found.risk(), risk)?;
        }
        Ok(())
    }
}
