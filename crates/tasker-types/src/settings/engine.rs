//! What the engine as a whole works on.

use super::{Check, section, table};
use crate::Namespace;

table! {
    /// The values of [`Engine`].
    EngineValues {
        /// The directory in which templates are looked up by name, relative to the configuration file.
        task_config_directory: Option<String> = None,
        /// The namespace of templates that name none.
        default_namespace: Namespace = Namespace::default(); "a name",
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
        let directory = self.task_config_directory.as_deref();
        check.require(
            directory != Some(""),
            "task_config_directory",
            directory,
            "a path, or absent",
        );
    }
}
