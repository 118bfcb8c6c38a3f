//! What the engine as a whole works on.

use serde::{Deserialize, Serialize};

use super::{Bounds, Check, section, table};
use crate::{NAME_PATTERN, Namespace};

/// What gives a task its identity, which no other task of its store may have.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum IdentityStrategy {
    /// Every task is its own.
    #[default]
    Unique,
    /// Requests that say the same are the same task.
    Hash,
}

/// Who sees to it that a task which is not done is looked at again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EnqueuingStrategy {
    /// The time stands on the task, and the sweep of any worker honours it.
    #[default]
    CheckIn,
    /// The next sweep looks again, whatever the time.
    Immediate,
}

table! {
    /// The values of [`Engine`].
    EngineValues {
        /// The directory in which templates are looked up by name, relative to the configuration file.
        task_config_directory: Option<String> = None; in Bounds::not_empty(),
        /// The namespace of templates that name none.
        default_namespace: Namespace = Namespace::default(); in Bounds::matching(NAME_PATTERN),
        /// Whether the same request may be made twice: `unique` makes every task its own, `hash` refuses a request that
        /// says the same as an earlier one. A program that uses Tasker as a library may bring its own strategy.
        identity_strategy: IdentityStrategy = IdentityStrategy::Unique,
        /// When a task that is not done is looked at again: `check_in` waits for the time that the finalizer says,
        /// `immediate` does not, for tests and for those who look for a fault. Finished steps wake their children at
        /// once, whatever this says. A program that uses Tasker as a library may bring its own strategy.
        enqueuing_strategy: EnqueuingStrategy = EnqueuingStrategy::CheckIn,
        /// Directories whose YAML files define custom events, relative to the configuration file.
        custom_events_directories: Vec<String> = Vec::new(); in Bounds::matching("^.+$"),
        /// The environment variables that the configuration of steps may read, as `{{ env.NAME }}`.
        template_environment: Vec<String> = Vec::new(),
    }
}

section! {
    /// What the engine as a whole works on.
    Engine(EngineValues) in "engine"
}

impl EngineValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.custom_events_directories.iter().all(|path| !path.is_empty()),
            "custom_events_directories",
            &self.custom_events_directories,
            "a list of texts that are not empty",
        );
    }
}
