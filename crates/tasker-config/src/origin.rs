//! Where a value comes from.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where a value of the configuration, or a fault in it, comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Origin {
    /// Nobody set it.
    Default,
    /// A section of the configuration file.
    File {
        /// The file.
        path: Arc<Path>,
        /// The line, from 1, where it is known.
        line: Option<u64>,
    },
    /// A section of one of the file's profiles.
    Profile {
        /// The profile.
        profile: Arc<str>,
        /// The file.
        path: Arc<Path>,
        /// The line, from 1, where it is known.
        line: Option<u64>,
    },
    /// A variable of the environment.
    Environment {
        /// The variable.
        variable: String,
    },
    /// The command line.
    CommandLine,
    /// The program that loads the configuration.
    Program,
}

impl Origin {
    /// Returns the file, if it is in one.
    pub fn file(&self) -> Option<&Path> {
        match self {
            Self::File { path, .. } | Self::Profile { path, .. } => Some(path),
            _ => None,
        }
    }

    /// Returns the line, from 1, if it is in a file and the line is known.
    pub fn line(&self) -> Option<u64> {
        match self {
            Self::File { line, .. } | Self::Profile { line, .. } => *line,
            _ => None,
        }
    }

    /// Tells whether nobody set the value.
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }

    /// Returns the same place at another line.
    pub(crate) fn at(&self, at: u64) -> Self {
        let mut place = self.clone();
        if let Self::File { line, .. } | Self::Profile { line, .. } = &mut place {
            *line = Some(at);
        }
        place
    }

    pub(crate) fn in_file(path: PathBuf) -> Self {
        Self::File {
            path: path.into(),
            line: None,
        }
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = self.file() {
            write!(f, "{}", path.display())?;
        }
        if let Some(line) = self.line() {
            write!(f, ":{line}")?;
        }
        match self {
            Self::Default => f.write_str("default"),
            Self::File { .. } => Ok(()),
            Self::Profile { profile, .. } => write!(f, " (profile `{profile}`)"),
            Self::Environment { variable } => write!(f, "environment variable {variable}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Program => f.write_str("program"),
        }
    }
}
