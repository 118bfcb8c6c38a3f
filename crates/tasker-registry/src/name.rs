//! The full name of a version of a handler.

use std::fmt;

use tasker_types::{HandlerName, Namespace, Version};

/// The place of one version of a handler: `namespace.name@version`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FullName {
    /// The namespace that owns the handler.
    pub namespace: Namespace,
    /// The handler's name.
    pub name: HandlerName,
    /// The version.
    pub version: Version,
}

impl FullName {
    /// Puts the parts together.
    pub fn new(namespace: &Namespace, name: &HandlerName, version: &Version) -> Self {
        Self {
            namespace: namespace.clone(),
            name: name.clone(),
            version: version.clone(),
        }
    }
}

impl fmt::Display for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}@{}", self.namespace, self.name, self.version)
    }
}

impl fmt::Debug for FullName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FullName({self})")
    }
}
