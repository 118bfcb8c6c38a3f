//! How large things may be.

use super::{Check, section, table};

table! {
    /// The values of [`Limits`].
    LimitsValues {
        /// How many steps a task may have.
        steps_per_task: u32 = 200_000; "> 0",
        /// How many bytes a template's file may have.
        template: u64 = 64 << 20; "> 0",
        /// How many bytes the context of a task may have as JSON.
        context: u64 = 1 << 20; "> 0",
        /// How many bytes the result of a step may have as JSON.
        result: u64 = 1 << 20; "> 0",
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
    fn check(&self, check: &mut Check) {
        check.require(
            self.steps_per_task > 0,
            "steps_per_task",
            self.steps_per_task,
            "more than 0",
        );
        for (key, bytes) in [
            ("template", self.template),
            ("context", self.context),
            ("result", self.result),
        ] {
            check.require(bytes > 0, key, bytes, "more than 0");
        }
    }
}
