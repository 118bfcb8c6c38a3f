//! What the engine as a whole works on.

use super::{Bounds, Check, section, table};
use crate::{NAME_PATTERN, Namespace};

table! {
    /// The values of [`Engine`].
    EngineValues {
        /// The directory in which templates are looked up by name, relative to the configuration file.
        task_config_directory: Option<String> = None; in Bounds::not_empty(),
        /// The namespace of templates that name none.
        default_namespace: Namespace = Namespace::default(); in Bounds::matching(NAME_PATTERN),
        /// The environment variables that the configuration of steps may read, as `{{ env.NAME }}`.
        template_environment: Vec<String> = Vec::new(),
    }
}

section! {
    /// What the engine as a whole works on.
    Engine(EngineValues) in "engine"
}

impl EngineValues {
    fn check(&self, _: &mut Check) {}
}
