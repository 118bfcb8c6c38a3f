//! How long what costs much to work out is kept.

use super::{Bounds, Check, section, table};

table! {
    /// The values of [`Cache`].
    CacheValues {
        /// Seconds for which an answer is kept, unless that adapts; `0` keeps nothing.
        default_ttl: f64 = 300.0; in Bounds::between(0.0, 86_400.0),
        /// Whether answers that are asked for often, or are slow to work out, are kept longer, and others shorter.
        adaptive_ttl_enabled: bool = true,
        /// Seconds for which an answer is kept at least when that adapts.
        min_adaptive_ttl: f64 = 30.0; in Bounds::above(0.0); "less than `max_adaptive_ttl`",
        /// Seconds for which an answer is kept at most when that adapts.
        max_adaptive_ttl: f64 = 3_600.0; in Bounds::above(0.0).at_most(86_400.0),
        /// How much the past weighs in the share of questions that find an answer, beside the latest question.
        hit_rate_smoothing_factor: f64 = 0.9; in Bounds::between(0.0, 1.0),
        /// What is left of the count of questions about an answer when the next question comes.
        access_frequency_decay_rate: f64 = 0.95; in Bounds::between(0.0, 1.0),
        /// How many answers are kept at most; those that are asked for least go first, and a large one takes the place of
        /// several.
        max_entries: u64 = 1_000,
    }
}

section! {
    /// How long what costs much to work out is kept.
    Cache(CacheValues) in "cache"
}

impl CacheValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.min_adaptive_ttl < self.max_adaptive_ttl,
            "min_adaptive_ttl",
            &self.min_adaptive_ttl,
            "less than `max_adaptive_ttl`",
        );
    }
}
