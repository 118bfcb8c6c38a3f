//! Files, and how connections to them are opened.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use diesel::connection::Connection as _;
use diesel::sqlite::SqliteConnection;
use tasker_engine::StoreError;
use tasker_types::{Database, Synchronous};

use super::connection::Connection;
use super::error::{classify, classify_opening};
use crate::probe::{Onlookers, Probe, SlowStatements};

/// A file that holds a database, and how it is opened.
#[derive(Clone, Debug)]
pub struct SqliteFile {
    pub(super) path: PathBuf,
    pub(super) settings: Database,
    onlookers: Onlookers,
}

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reading and writing; the file and its directory are made if need be.
    Write,
    /// Reading.
    Read,
}

impl<P: AsRef<Path> + ?Sized> From<&P> for SqliteFile {
    fn from(path: &P) -> Self {
        Self::new(path.as_ref())
    }
}

impl From<&Self> for SqliteFile {
    fn from(file: &Self) -> Self {
        file.clone()
    }
}

impl From<PathBuf> for SqliteFile {
    fn from(path: PathBuf) -> Self {
        Self::new(path)
    }
}

impl SqliteFile {
    /// Returns a file that is opened with the default settings.
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            settings: Database::default(),
            onlookers: Onlookers::default(),
        }
    }

    /// Sets when SQLite waits for the disk, how many connections read, and how long to wait for another process.
    #[must_use]
    pub fn settings(mut self, database: &Database) -> Self {
        self.settings = database.clone();
        self
    }

    /// Has every statement pass by this, to see what becomes of a store when some fail.
    #[must_use]
    pub fn probe(mut self, probe: Arc<dyn Probe>) -> Self {
        self.onlookers.probe = Some(probe);
        self
    }

    /// Has statements that take long logged and counted.
    #[must_use]
    pub fn slow_statements(mut self, slow: Arc<SlowStatements>) -> Self {
        self.onlookers.slow = Some(slow);
        self
    }

    /// Returns where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Opens a connection. Nothing that is said here changes the file, which may be another program's.
    pub(super) fn open(&self, mode: Mode) -> Result<Connection, StoreError> {
        let Self {
            path,
            settings,
            onlookers,
        } = self;
        if mode == Mode::Write
            && let Some(directory) = path
                .parent()
                .filter(|directory| !directory.as_os_str().is_empty())
        {
            std::fs::create_dir_all(directory).map_err(|error| StoreError::Unusable {
                store: path.display().to_string(),
                problem: format!("the directory `{}` cannot be made: {error}", directory.display()),
                advice: "name another one with `database.url` or `--data-dir`",
            })?;
        }
        let inner =
            SqliteConnection::establish(&address(path)?).map_err(|error| classify_opening(path, error))?;
        let mut connection = Connection::new(inner, onlookers.clone());
        let synchronous = match settings.synchronous {
            Synchronous::Full => "FULL",
            Synchronous::Normal => "NORMAL",
        };
        let wait = (settings.busy_timeout_seconds * 1_000.0).ceil();
        let query_only = if mode == Mode::Read { "ON" } else { "OFF" };
        let pragmas = format!(
            "PRAGMA busy_timeout = {wait}; PRAGMA synchronous = {synchronous}; \
             PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; \
             PRAGMA mmap_size = 268435456; PRAGMA query_only = {query_only};"
        );
        connection
            .batch_execute(&pragmas)
            .map_err(|error| classify(path, error))?;
        Ok(connection)
    }
}

/// Returns the file's address as a URI, so that no path is taken for anything but a path.
fn address(path: &Path) -> Result<String, StoreError> {
    let text = path.to_str().ok_or_else(|| StoreError::Unusable {
        store: path.display().to_string(),
        problem: "its path is not UTF-8".to_owned(),
        advice: "name a file whose path is UTF-8, with `database.url` or `--data-dir`",
    })?;
    let mut address = String::from("file:");
    if text.starts_with("//") {
        // What follows two slashes would be taken for a host.
        address.push_str("//");
    }
    for character in text.chars() {
        match character {
            '?' => address.push_str("%3f"),
            '#' => address.push_str("%23"),
            '%' => address.push_str("%25"),
            other => address.push(other),
        }
    }
    Ok(address)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_with_odd_characters_is_that_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("odd ?#%41 'name'.db");
        drop(SqliteFile::new(&path).open(Mode::Write).unwrap());
        assert!(path.is_file());
    }
}
