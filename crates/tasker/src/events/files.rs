//! Files that define custom events, for programs whose handlers and templates share them.

use std::path::{Path, PathBuf};

use serde::Deserialize;
use tasker_registry::EventDefinition;

/// What is wrong with files of custom events, a line for each.
#[derive(Debug, thiserror::Error)]
#[error("{}", self.0.join("\n"))]
pub struct EventFileFaults(pub(crate) Vec<String>);

/// The events of a file.
pub(crate) struct EventFile {
    pub(crate) path: PathBuf,
    pub(crate) events: Vec<EventDefinition>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    description: Option<String>,
}

/// Reads every YAML or JSON file of directories, in the order of their names: a list of `name` and `description`.
pub(crate) fn read(directories: &[String]) -> Result<Vec<EventFile>, EventFileFaults> {
    let mut files = Vec::new();
    let mut faults = Vec::new();
    for directory in directories {
        match paths_in(Path::new(directory)) {
            Ok(paths) => {
                for path in paths {
                    match read_file(&path) {
                        Ok(events) => files.push(EventFile { path, events }),
                        Err(fault) => faults.push(format!("{}: {fault}", path.display())),
                    }
                }
            }
            Err(error) => faults.push(format!(
                "the directory `{directory}` of `engine.custom_events_directories` cannot be read: {error}"
            )),
        }
    }
    if faults.is_empty() {
        Ok(files)
    } else {
        Err(EventFileFaults(faults))
    }
}

fn paths_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory)? {
        let path = entry?.path();
        let extension = path.extension().and_then(|extension| extension.to_str());
        if matches!(extension, Some("yaml" | "yml" | "json")) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

fn read_file(path: &Path) -> Result<Vec<EventDefinition>, String> {
    let text = std::fs::read_to_string(path).map_err(|error| error.to_string())?;
    let written: Vec<Written> = serde_saphyr::from_str(&text).map_err(|error| {
        let problem = error.without_snippet();
        format!("{problem}; write a list of events, each with `name` and `description`")
    })?;
    let events = written.into_iter().map(|event| EventDefinition {
        name: event.name,
        description: event.description,
    });
    Ok(events.collect())
}
