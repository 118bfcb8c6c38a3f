//! The templates of a directory.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use tasker_engine::{Loaded, TemplateFaults, UnknownHandlers};

use crate::tasker::Tasker;

/// How deep a directory of templates is searched.
const DEEPEST: usize = 8;

/// Every template file of a directory, with what is in it.
pub type TemplateFiles = BTreeMap<PathBuf, Result<Loaded, TemplateFaults>>;

impl Tasker {
    /// Loads every template of a directory and of those in it, eight levels deep, and declares their custom events.
    ///
    /// # Errors
    ///
    /// A directory that cannot be read. A file that cannot be is among the faults of the files.
    pub fn load_directory(
        &self,
        directory: impl AsRef<Path>,
        unknown_handlers: UnknownHandlers,
    ) -> io::Result<TemplateFiles> {
        let mut paths = Vec::new();
        collect(directory.as_ref(), 0, &mut paths)?;
        // Of two templates that do not go together the same is refused on every machine.
        paths.sort();
        let load = |path: PathBuf| {
            let loaded = self.load(&path, unknown_handlers);
            (path, loaded)
        };
        Ok(paths.into_iter().map(load).collect())
    }
}

/// Tells whether a file has the name of a template's file.
pub fn is_template_file(path: &Path) -> bool {
    path.extension()
        .is_some_and(|extension| extension == "yaml" || extension == "yml" || extension == "json")
}

fn collect(directory: &Path, depth: usize, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            if depth < DEEPEST {
                collect(&path, depth + 1, paths)?;
            }
        } else if is_template_file(&path) {
            paths.push(path);
        }
    }
    Ok(())
}
