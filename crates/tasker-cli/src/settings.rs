//! The configuration of a command: which file, which environment, which options.

use std::path::{Path, PathBuf};

use tasker::config::{Config, Environment, Faults, Loader};

use crate::args::Common;
use crate::exit::{Fault, Problem};

/// Which configuration file is read.
#[derive(Clone, Debug)]
pub(crate) enum File {
    /// The one that the options or the environment name, else `tasker.toml` if it exists.
    Found,
    /// This one.
    Named(PathBuf),
}

/// Reads the configuration.
pub(crate) fn load(common: &Common, environment: &Environment, file: File) -> Result<Config, Problem> {
    let mut loader = Loader::new().environment(environment).search();
    let named = match file {
        File::Named(file) => Some(file),
        File::Found => common.config.clone(),
    };
    if let Some(file) = named {
        loader = loader.file(file);
    }
    for (key, value) in &common.settings {
        loader = loader.argument(key, value);
    }
    Ok(loader.load()?)
}

/// Returns a path that the configuration names: one in a file is relative to the file.
pub(crate) fn path(config: &Config, key: &str, path: impl AsRef<Path>) -> PathBuf {
    match config.origin(key).file().and_then(Path::parent) {
        Some(directory) => directory.join(path),
        None => path.as_ref().to_owned(),
    }
}

/// Returns the name of the user who runs the command.
pub(crate) fn user(environment: &Environment) -> String {
    let id = rustix::process::geteuid().as_raw();
    // The environment can say anything, so the system is asked first.
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    name.or_else(|| environment.user().map(str::to_owned))
        .unwrap_or_else(|| format!("uid-{id}"))
}

impl From<Faults> for Problem {
    fn from(faults: Faults) -> Self {
        let faults: Vec<Fault> = faults
            .as_slice()
            .iter()
            .map(|fault| {
                // Only a file has a place of its own; of everything else the name says where to look.
                let file = fault.file().map(|file| file.display().to_string());
                Fault {
                    file: Some(file.unwrap_or_else(|| fault.origin().to_string())),
                    line: fault.line(),
                    message: fault.message(),
                }
            })
            .collect();
        let message = match faults.len() {
            1 => "the configuration has a fault".to_owned(),
            count => format!("the configuration has {count} faults"),
        };
        Self::refused("config_faults", message).with_faults(faults)
    }
}
