//! The templates that tasks can be created of, by namespace, name and version.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tasker::{
    LookupError, NamespaceStats, RegisterError, Registry, Tasker, Template, TemplateFaults, UnknownHandlers,
};
use tasker_types::{HandlerName, Namespace, VersionReq};

/// Templates by namespace, name and version. Copies are the same set, and reading never waits.
#[derive(Clone, Debug)]
pub struct Templates(Arc<Registry<Template>>);

impl Default for Templates {
    /// Returns an empty set.
    fn default() -> Self {
        Self(Arc::new(Registry::new()))
    }
}

/// Why the templates of a directory cannot be served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplatesError {
    /// The directory cannot be read.
    #[error("the directory of templates `{}` cannot be read: {source}", directory.display())]
    Directory {
        /// The directory.
        directory: PathBuf,
        /// What the system says.
        source: io::Error,
    },
}

/// A file whose template is not served, and why.
#[derive(Debug)]
pub struct TemplateFault {
    /// The file.
    pub file: PathBuf,
    /// Why.
    pub cause: TemplateFaultCause,
}

/// Why the template of a file is not served.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TemplateFaultCause {
    /// It has faults.
    #[error(transparent)]
    Faulty(TemplateFaults),
    /// Another file has the same template.
    #[error(transparent)]
    Taken(RegisterError),
}

impl fmt::Display for TemplateFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "the template of `{}` is not served: {}",
            self.file.display(),
            self.cause
        )
    }
}

impl Templates {
    /// Loads the templates of a directory and of those in it, and returns them with the files that are not served.
    ///
    /// # Errors
    ///
    /// [`TemplatesError`] if the directory cannot be read.
    pub fn load(
        tasker: &Tasker,
        directory: impl AsRef<Path>,
        unknown_handlers: UnknownHandlers,
    ) -> Result<(Self, Vec<TemplateFault>), TemplatesError> {
        let directory = directory.as_ref();
        let files = tasker
            .load_directory(directory, unknown_handlers)
            .map_err(|source| TemplatesError::Directory {
                directory: directory.to_owned(),
                source,
            })?;
        let templates = Self::default();
        let mut faults = Vec::new();
        for (file, loaded) in files {
            let added = match loaded {
                Ok(loaded) => templates.add(loaded.template).map_err(TemplateFaultCause::Taken),
                Err(found) => Err(TemplateFaultCause::Faulty(found)),
            };
            if let Err(cause) = added {
                faults.push(TemplateFault { file, cause });
            }
        }
        Ok((templates, faults))
    }

    /// Adds a template.
    ///
    /// # Errors
    ///
    /// [`RegisterError`] if there is one of its namespace, name and version.
    pub fn add(&self, template: Arc<Template>) -> Result<(), RegisterError> {
        let (namespace, name) = (template.namespace().to_string(), template.name().to_string());
        let version = template.version().to_string();
        self.0.register_in(namespace, name, version, template)
    }

    /// Finds the latest version of a template, or the latest that fits.
    ///
    /// # Errors
    ///
    /// [`LookupError`] says whether the namespace, the name or the version is unknown.
    pub fn find(
        &self,
        namespace: &Namespace,
        name: &HandlerName,
        version: Option<&VersionReq>,
    ) -> Result<Arc<Template>, LookupError> {
        let found = match version {
            Some(version) => self.0.get_matching(namespace, name, version)?,
            None => self.0.get(namespace, name)?,
        };
        Ok(found.1)
    }

    /// Returns the namespaces that have templates, with how many templates and versions each has.
    pub fn namespaces(&self) -> Vec<(Namespace, NamespaceStats)> {
        self.0.stats().namespaces.into_iter().collect()
    }

    /// Returns the templates of a namespace by name and, of each name, by version.
    ///
    /// # Errors
    ///
    /// [`LookupError`] if the namespace has none.
    pub fn list(&self, namespace: &Namespace) -> Result<Vec<Arc<Template>>, LookupError> {
        let entries = self.0.list(namespace)?.into_iter();
        Ok(entries.map(|entry| entry.handler).collect())
    }
}
