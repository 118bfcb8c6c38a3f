//! The configuration of a command: which file, which environment, which options.

use std::path::PathBuf;

use tasker::config::Config;

use crate::args::Common;
use crate::exit::Problem;

/// Which configuration file is read.
#[derive(Clone, Debug)]
pub(crate) enum File {
    /// The one that the options or the environment name, else `tasker.toml` if it exists.
    Found,
}

/// Reads the configuration.
pub(crate) fn load(_: &Common, _: File) -> Result<Config, Problem> {
    Ok(Config::default())
}

/// Tells whether a value is the built-in default.
pub(crate) fn is_default(_: &Config, _: &str) -> bool {
    true
}

/// Returns the directory in which tasks are kept when nothing else is said.
pub(crate) fn data_directory() -> Result<PathBuf, Problem> {
    let set = |name: &str| {
        std::env::var_os(name)
            .filter(|value| !value.is_empty())
            .map(PathBuf::from)
    };
    set("TASKER_DATA_DIR")
        .or_else(|| set("XDG_DATA_HOME").map(|home| home.join("tasker")))
        .or_else(|| set("HOME").map(|home| home.join(".local/share/tasker")))
        .ok_or_else(|| {
            Problem::refused(
                "no_data_directory",
                "there is no data directory, since HOME is not set",
            )
            .with_help("name one with --data-dir DIR")
        })
}

/// Returns the variables of the environment that the configuration lets templates read.
pub(crate) fn template_variables(_: &Config) -> Vec<(String, String)> {
    Vec::new()
}

/// Returns the name of the user who runs the command.
pub(crate) fn user() -> String {
    let id = rustix::process::geteuid().as_raw();
    let known = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = known.lines().find_map(|line| {
        let mut fields = line.split(':');
        let name = fields.next()?;
        (fields.nth(1)? == id.to_string()).then(|| name.to_owned())
    });
    name.filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("uid-{id}"))
}
