//! How large things may be.

use super::{Bounds, Check, section, table};

/// What makes sense only if there may be any.
const SOME: Bounds = Bounds::at_least(1.0);

table! {
    /// The values of [`Limits`].
    LimitsValues {
        /// How many steps a task may have.
        steps_per_task: u32 = 200_000; in SOME,
        /// How many bytes a template's file may have.
        template: u64 = 64 << 20; in SOME,
        /// How many bytes the context of a task may have as JSON.
        context: u64 = 1 << 20; in SOME,
        /// How many bytes the result of a step may have as JSON.
        result: u64 = 1 << 20; in SOME,
        /// How many bytes of a command's standard error are kept with an attempt: its last ones.
        stderr_tail: u64 = 16 << 10,
        /// How many aliases (`*name`) a YAML file may use.
        yaml_aliases: u32 = 100,
    }
}

section! {
    /// How large things may be.
    Limits(LimitsValues) in "limits"
}

impl LimitsValues {
    fn check(&self, _: &mut Check) {}
}
