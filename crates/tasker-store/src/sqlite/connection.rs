//! Connections to a file, which every statement goes through.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use diesel::connection::{Connection as _, SimpleConnection as _};
use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::sqlite::SqliteConnection;
use tasker_engine::StoreError;
use tasker_types::{Database, Synchronous};

use super::error::{classify, classify_opening};
use crate::probe::{Fault, Moment, Probe};

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Mode {
    /// Reading and writing; the file and its directory are made if need be.
    Write,
    /// Reading.
    Read,
}

/// A connection, and the probe that its statements pass by.
pub(crate) struct Connection {
    /// `None` when it was dropped.
    inner: Option<SqliteConnection>,
    probe: Option<Arc<dyn Probe>>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("probe", &self.probe)
            .finish_non_exhaustive()
    }
}

impl Connection {
    /// Carries out statements without answers, separated by semicolons.
    pub(super) fn batch_execute(&mut self, sql: &str) -> QueryResult<()> {
        self.carry_out(sql, |inner| inner.batch_execute(sql))
    }

    /// Carries out what is told by this SQL or by this name, unless a probe has it fail.
    pub(super) fn carry_out<T, E: From<Error>>(
        &mut self,
        statement: &str,
        work: impl FnOnce(&mut SqliteConnection) -> Result<T, E>,
    ) -> Result<T, E> {
        let inner = self.inner.as_mut().ok_or_else(dropped)?;
        let fault = self.probe.as_ref().and_then(|probe| probe.pass(statement));
        let Some((moment, fault)) = fault else {
            return work(inner);
        };
        if moment == Moment::Before {
            return Err(self.suffer(fault).into());
        }
        let answer = work(inner)?;
        let error = self.suffer(fault);
        if fault == Fault::Drop {
            Ok(answer)
        } else {
            Err(error.into())
        }
    }

    /// Lets a fault happen, and returns what the database says of it.
    fn suffer(&mut self, fault: Fault) -> Error {
        match fault {
            Fault::Error => {
                Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new("disk I/O error".to_owned()))
            }
            Fault::Drop | Fault::LoseAnswer => {
                self.inner = None;
                dropped()
            }
            Fault::Abort => std::process::abort(),
        }
    }
}

fn dropped() -> Error {
    let problem = "the connection was dropped".to_owned();
    Error::DatabaseError(DatabaseErrorKind::ClosedConnection, Box::new(problem))
}

/// Opens a connection. Nothing that is said here changes the file, which may be another program's.
pub(super) fn open(
    path: &Path,
    settings: &Database,
    mode: Mode,
    probe: Option<&Arc<dyn Probe>>,
) -> Result<Connection, StoreError> {
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
    let mut connection = Connection {
        inner: Some(inner),
        probe: probe.cloned(),
    };
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
        drop(open(&path, &Database::default(), Mode::Write, None).unwrap());
        assert!(path.is_file());
    }
}
