//! Workers that have every handler, or only some.

use tasker_engine::Accepts;
use tasker_types::{HandlerRef, Namespace, Version};

/// Has every handler, in version 1.0.0.
#[derive(Clone, Copy, Debug, Default)]
pub struct Everything;

impl Accepts for Everything {
    fn version_for(&self, _: &Namespace, _: &HandlerRef) -> Option<Version> {
        Some(Version::new(1, 0, 0))
    }
}

/// Has the handlers with these names alone, all in one version.
#[derive(Clone, Debug)]
pub struct Only {
    names: Vec<String>,
    version: Version,
}

impl Only {
    /// Returns a worker's handlers by their names.
    pub fn these(names: impl IntoIterator<Item = impl Into<String>>, version: Version) -> Self {
        Self {
            names: names.into_iter().map(Into::into).collect(),
            version,
        }
    }
}

impl Accepts for Only {
    fn version_for(&self, _: &Namespace, handler: &HandlerRef) -> Option<Version> {
        let known = self.names.iter().any(|name| name == handler.name.as_str());
        known.then(|| self.version.clone())
    }
}
