//! What the environment says: the one place that reads it.

use std::collections::BTreeMap;
use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

use crate::config::Config;

/// What the names of our variables begin with.
pub(crate) const PREFIX: &str = "TASKER_";

const PROFILE: &str = "TASKER_PROFILE";
const CONFIG: &str = "TASKER_CONFIG";
const DATA_DIR: &str = "TASKER_DATA_DIR";
const LOG: &str = "TASKER_LOG";
const TEST_DATABASE_URL: &str = "TASKER_TEST_DATABASE_URL";

/// The variables that are no values of sections.
pub(crate) const RESERVED: [&str; 5] = [CONFIG, DATA_DIR, LOG, PROFILE, TEST_DATABASE_URL];

/// The variables of the environment as they were at one moment.
///
/// A variable that is set to nothing counts as not set, except in [`variable`](Self::variable).
#[derive(Clone, Default)]
pub struct Environment {
    variables: BTreeMap<OsString, OsString>,
}

impl Environment {
    /// Reads the environment of this process.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// Returns a variable as it is.
    pub fn variable(&self, name: impl AsRef<OsStr>) -> Option<&OsStr> {
        self.variables.get(name.as_ref()).map(OsString::as_os_str)
    }

    /// Returns the file that `TASKER_CONFIG` names.
    pub fn config_file(&self) -> Option<PathBuf> {
        self.set(CONFIG).map(PathBuf::from)
    }

    /// Returns the profile that `TASKER_PROFILE` names; what is no Unicode is replaced, and so names none.
    pub fn profile(&self) -> Option<String> {
        self.set(PROFILE)
            .map(|profile| profile.to_string_lossy().into_owned())
    }

    /// Returns the data directory that `TASKER_DATA_DIR` names, else the platform's.
    ///
    /// There is none when not even the home directory is known.
    pub fn data_directory(&self) -> Option<PathBuf> {
        self.set(DATA_DIR)
            .map(PathBuf::from)
            .or_else(|| self.platform_data_directory())
    }

    /// Returns the directory in which programs of this user keep their data, ours within it.
    pub fn platform_data_directory(&self) -> Option<PathBuf> {
        if cfg!(windows) {
            return self
                .set("LOCALAPPDATA")
                .map(|data| PathBuf::from(data).join("tasker"));
        }
        let home = self.set("HOME").map(PathBuf::from);
        if cfg!(target_os = "macos") {
            return home.map(|home| home.join("Library/Application Support/tasker"));
        }
        // The specification of these directories says to ignore relative paths.
        let data = self
            .set("XDG_DATA_HOME")
            .map(PathBuf::from)
            .filter(|data| data.is_absolute());
        data.or_else(|| home.map(|home| home.join(".local/share")))
            .map(|data| data.join("tasker"))
    }

    /// Returns the filter of log messages that `TASKER_LOG` gives.
    pub fn log(&self) -> Option<&str> {
        self.set(LOG).and_then(OsStr::to_str)
    }

    /// Returns the database that `TASKER_TEST_DATABASE_URL` gives to tests.
    pub fn test_database_url(&self) -> Option<&str> {
        self.set(TEST_DATABASE_URL).and_then(OsStr::to_str)
    }

    /// Returns the name of the user, as far as the environment knows it.
    pub fn user(&self) -> Option<&str> {
        ["USER", "LOGNAME", "USERNAME"]
            .into_iter()
            .find_map(|name| self.set(name)?.to_str())
    }

    /// Tells whether `NO_COLOR` asks for text without colours.
    pub fn no_color(&self) -> bool {
        self.set("NO_COLOR").is_some()
    }

    /// Returns the kind of terminal that `TERM` names.
    pub fn terminal(&self) -> Option<&str> {
        self.set("TERM").and_then(OsStr::to_str)
    }

    /// Returns how many columns the terminal has by `COLUMNS`.
    pub fn columns(&self) -> Option<u16> {
        let columns = self.set("COLUMNS")?.to_str()?.parse().ok()?;
        (columns > 0).then_some(columns)
    }

    /// Returns the variables that `engine.template_environment` lets templates read.
    ///
    /// A variable that is not set or no Unicode text is left out.
    pub fn template_variables(&self, config: &Config) -> BTreeMap<String, String> {
        let names = config.engine().template_environment.iter();
        let read = |name: &String| Some((name.clone(), self.variable(name)?.to_str()?.to_owned()));
        names.filter_map(read).collect()
    }

    /// Returns our own variables, by name.
    pub(crate) fn ours(&self) -> impl Iterator<Item = (&OsStr, &OsStr)> {
        let ours = |name: &OsStr| name.as_encoded_bytes().starts_with(PREFIX.as_bytes());
        self.variables
            .iter()
            .map(|(name, value)| (name.as_os_str(), value.as_os_str()))
            .filter(move |(name, _)| ours(name))
    }

    fn set(&self, name: &str) -> Option<&OsStr> {
        self.variable(name).filter(|value| !value.is_empty())
    }
}

impl<N: Into<OsString>, V: Into<OsString>> FromIterator<(N, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(variables: I) -> Self {
        let variables = variables
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()));
        Self {
            variables: variables.collect(),
        }
    }
}

/// Shows the names only: values may be secret.
impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.variables.keys()).finish()
    }
}
