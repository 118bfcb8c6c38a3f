//! Opening connections to a file.

use std::path::Path;

use diesel::connection::{Connection, SimpleConnection};
use diesel::sqlite::SqliteConnection;
use tasker_engine::StoreError;
use tasker_types::{Database, Synchronous};

use super::error::{classify, classify_opening};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reading and writing; the file and its directory are made if need be.
    Write,
    /// Reading.
    Read,
}

/// Opens a connection. Nothing that is said here changes the file, which may be another program's.
pub(super) fn open(path: &Path, settings: &Database, mode: Mode) -> Result<SqliteConnection, StoreError> {
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
    let mut connection =
        SqliteConnection::establish(&address(path)?).map_err(|error| classify_opening(path, error))?;
    let synchronous = match settings.synchronous {
        Synchronous::Full => "FULL",
        Synchronous::Normal => "NORMAL",
    };
    let wait = (settings.busy_timeout_seconds * 1_000.0).ceil();
    let query_only = if mode == Mode::Read { "ON" } else { "OFF" };
    let pragmas = format!(
        "PRAGMA busy_timeout = {wait}; PRAGMA synchronous = {synchronous}; \
         PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY; PRAGMA cache_size = -65536; \
         PRAGMA mmap_size = 268435456; PRAGMA wal_autocheckpoint = 8000; PRAGMA query_only = {query_only};"
    );
    connection
        .batch_execute(&pragmas)
        .map_err(|error| classify(path, error))?;
    Ok(connection)
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
        drop(open(&path, &Database::default(), Mode::Write).unwrap());
        assert!(path.is_file());
    }
}
