//! A directory with a configuration file.

use std::fs;
use std::path::Path;

use tasker_config::{Config, Environment, Loader};
use tempfile::TempDir;

pub(crate) struct Place(TempDir);

impl Place {
    /// Makes a directory with this text as its `tasker.toml`.
    pub(crate) fn with(text: impl AsRef<[u8]>) -> Self {
        let place = Self::empty();
        fs::write(place.path().join("tasker.toml"), text).expect("a file can be written");
        place
    }

    pub(crate) fn empty() -> Self {
        Self(TempDir::new().expect("a directory can be made"))
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    /// Returns a loader that finds the file.
    pub(crate) fn loader(&self) -> Loader {
        Loader::new().search_in(self.path())
    }

    /// Loads what must be right.
    #[track_caller]
    pub(crate) fn load(&self, loader: &Loader) -> Config {
        loader
            .load()
            .unwrap_or_else(|faults| panic!("{}", self.said(&faults)))
    }

    /// Loads what must be refused, and compares the report, one line a fault.
    #[track_caller]
    pub(crate) fn refuse(&self, loader: &Loader, expected: &[&str]) {
        let faults = loader.load().expect_err("it is wrong");
        let said = self.said(&faults);
        assert_eq!(said.lines().collect::<Vec<_>>(), expected);
    }

    /// Returns a text without the name of the directory.
    pub(crate) fn said(&self, text: impl ToString) -> String {
        text.to_string()
            .replace(&format!("{}/", self.path().display()), "")
    }
}

/// Returns an environment of these variables.
pub(crate) fn environment<const N: usize>(variables: [(&str, &str); N]) -> Environment {
    variables.into_iter().collect()
}
