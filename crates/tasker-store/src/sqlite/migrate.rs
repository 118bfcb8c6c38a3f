//! Bringing a file's schema to the version of this program, and back.

mod describe;

use std::path::Path;

use diesel::connection::{AnsiTransactionManager, TransactionManager as _};
use diesel::migration::{Migration, MigrationSource};
use diesel::sql_types::BigInt;
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use tasker_engine::{BoxError, StoreError};

use super::connection::Connection;
use super::error::{classify, classify_commit, foreign};
use super::file::{Mode, SqliteFile};
use super::process;
use super::statement::Statement;

pub use crate::status::Status;
pub use describe::{Column, Constraint, Index, Table, TableKind, describe};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// The version of the schema that this program was written for.
pub(super) const SCHEMA_VERSION: u32 = 1;

/// Applies what is pending to a file, which is made if need be, and returns the names of what was applied.
///
/// # Errors
///
/// When the file is no database of Tasker, cannot be written, or belongs to a newer program.
pub fn up(file: impl Into<SqliteFile>) -> Result<Vec<String>, StoreError> {
    let file = file.into();
    let path = file.path();
    let mut connection = file.open(Mode::Write)?;
    ensure(path, &mut connection)
}

/// Takes back the last `steps` migrations of a file with all that they hold, and returns their names.
///
/// # Errors
///
/// As [`up`]; and when a process has the file open.
pub fn down(file: impl Into<SqliteFile>, steps: u32) -> Result<Vec<String>, StoreError> {
    let file = file.into();
    let path = file.path();
    if !path.exists() {
        return Ok(Vec::new());
    }
    if process::anyone_lives(path) {
        return Err(StoreError::Unusable {
            store: path.display().to_string(),
            problem: "a process has it open".to_owned(),
            advice: "stop every `tasker` that uses the file and try again",
        });
    }
    let mut connection = file.open(Mode::Write)?;
    exclusively(path, &mut connection, |connection| {
        check(path, connection)?;
        let mut names = Vec::new();
        for _ in 0..steps {
            let applied = applied(connection).map_err(|error| failed(path, error))?;
            if applied == 0 {
                break;
            }
            let name = connection.carry_out("down.sql", |inner| {
                let name = inner.revert_last_migration(MIGRATIONS)?;
                Ok::<_, BoxError>(name.to_string())
            });
            names.push(full_name(&name.map_err(|error| failed(path, error))?)?);
        }
        Ok(names)
    })
}

/// Returns how a file's schema stands; nothing is changed, and a file that is not there is not made.
///
/// # Errors
///
/// When the file is no database of Tasker, or belongs to a newer program.
pub fn status(file: impl Into<SqliteFile>) -> Result<Status, StoreError> {
    let file = file.into();
    let path = file.path();
    let mut status = Status {
        version: 0,
        latest: SCHEMA_VERSION,
        oldest_program: 0,
        pending: names(path)?,
        applied: Vec::new(),
    };
    let empty = std::fs::metadata(path).is_ok_and(|file| file.is_file() && file.len() == 0);
    if empty || !path.exists() {
        return Ok(status);
    }
    let mut connection = file.open(Mode::Read)?;
    if let Some((version, oldest_program)) = check(path, &mut connection)? {
        status.version = version;
        status.oldest_program = oldest_program;
        let applied = applied(&mut connection).map_err(|error| failed(path, error))?;
        let pending = status.pending.split_off(applied.min(status.pending.len()));
        status.applied = std::mem::replace(&mut status.pending, pending);
    }
    Ok(status)
}

/// Brings an open file up to date, and returns the names of what was applied. Processes that open a new file at once
/// take turns.
pub(super) fn ensure(path: &Path, connection: &mut Connection) -> Result<Vec<String>, StoreError> {
    let version = check(path, connection)?;
    // Only now it is known that the file is Tasker's, or nobody's.
    connection
        .batch_execute("PRAGMA journal_mode = WAL")
        .map_err(|error| classify(path, error))?;
    if version.is_some_and(|(version, _)| version >= SCHEMA_VERSION) {
        return Ok(Vec::new());
    }
    exclusively(path, connection, |connection| {
        check(path, connection)?;
        let pending = connection
            .carry_out(PENDING, |inner| inner.pending_migrations(MIGRATIONS))
            .map_err(|error| failed(path, error))?;
        let mut applied = Vec::with_capacity(pending.len());
        for migration in pending {
            connection
                .carry_out("up.sql", |inner| inner.run_migration(&migration).map(drop))
                .map_err(|error| failed(path, error))?;
            applied.push(migration.name().to_string());
        }
        Ok(applied)
    })
}

/// What diesel does to see which migrations there were.
const PENDING: &str = "SELECT version FROM __diesel_schema_migrations";

fn applied(connection: &mut Connection) -> Result<usize, BoxError> {
    let versions = connection.carry_out(PENDING, MigrationHarness::applied_migrations)?;
    Ok(versions.len())
}

/// Works in one transaction that keeps every other writer out.
fn exclusively<T>(
    path: &Path,
    connection: &mut Connection,
    work: impl FnOnce(&mut Connection) -> Result<T, StoreError>,
) -> Result<T, StoreError> {
    const BEGIN: &str = "BEGIN EXCLUSIVE";
    connection
        .carry_out(BEGIN, |inner| {
            AnsiTransactionManager::begin_transaction_sql(inner, BEGIN)
        })
        .map_err(|error| classify(path, error))?;
    match work(connection) {
        Ok(value) => {
            connection
                .carry_out("COMMIT", AnsiTransactionManager::commit_transaction)
                .map_err(|error| classify_commit(path, error))?;
            Ok(value)
        }
        Err(error) => {
            // What the work says matters more than that it could not be undone by hand; closing undoes it.
            let _ = connection.carry_out("ROLLBACK", AnsiTransactionManager::rollback_transaction);
            Err(error)
        }
    }
}

/// Checks that a file is Tasker's and may be used by this program; returns its version and the oldest program's, or
/// `None` for an empty database.
fn check(path: &Path, connection: &mut Connection) -> Result<Option<(u32, u32)>, StoreError> {
    // One statement, since another process may make the tables at any moment.
    const TABLES: &str = "SELECT count(*) FILTER (WHERE name = 'tasker_schema'), count(*) FROM sqlite_schema \
         WHERE type = 'table' AND name NOT LIKE 'sqlite~_%' ESCAPE '~' AND name <> '__diesel_schema_migrations'";
    const SCHEMA: &str = "SELECT version, oldest_program FROM tasker_schema WHERE id = 1";
    let row = Statement::<(BigInt, BigInt)>::new(TABLES, &[]).get_result::<(i64, i64)>(connection);
    let (ours, others) = row.map_err(|error| classify(path, error))?;
    if ours == 0 {
        return if others == 0 { Ok(None) } else { Err(foreign(path)) };
    }
    let row = Statement::<(BigInt, BigInt)>::new(SCHEMA, &[]).get_result::<(i64, i64)>(connection);
    let (version, oldest) = row.map_err(|error| classify(path, error))?;
    let [version, oldest] = [version, oldest].map(|number| u32::try_from(number).unwrap_or(u32::MAX));
    if oldest > SCHEMA_VERSION {
        return Err(StoreError::Unusable {
            store: path.display().to_string(),
            problem: format!(
                "its schema has version {version} and needs a program that knows version {oldest}, \
                 but this one knows {SCHEMA_VERSION}"
            ),
            advice: "use a newer `tasker`",
        });
    }
    Ok(Some((version, oldest)))
}

fn failed(path: &Path, source: BoxError) -> StoreError {
    StoreError::Internal {
        store: path.display().to_string(),
        source,
    }
}

fn embedded() -> Result<Vec<Box<dyn Migration<Sqlite>>>, BoxError> {
    MigrationSource::<Sqlite>::migrations(&MIGRATIONS)
}

fn names(path: &Path) -> Result<Vec<String>, StoreError> {
    let migrations = embedded().map_err(|error| failed(path, error))?;
    let mut names: Vec<String> = migrations
        .iter()
        .map(|migration| migration.name().to_string())
        .collect();
    names.sort_unstable();
    Ok(names)
}

/// Returns the name of the migration that has this version.
fn full_name(version: &str) -> Result<String, StoreError> {
    let plain = |text: &str| text.replace('-', "");
    let names = names(Path::new(""))?;
    let found = names
        .into_iter()
        .find(|name| plain(name).starts_with(&plain(version)));
    Ok(found.unwrap_or_else(|| version.to_owned()))
}

#[cfg(test)]
mod tests {
    use diesel::connection::{Connection as _, SimpleConnection as _};
    use diesel::sqlite::SqliteConnection;

    use super::*;

    #[test]
    fn what_goes_up_comes_down_and_goes_up_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        assert_eq!(status(&path).unwrap().pending.len(), 1);
        assert!(!path.exists());
        let applied = up(&path).unwrap();
        assert_eq!(applied, ["2026-11-24-000001_create_tasks"]);
        let now = status(&path).unwrap();
        assert_eq!(
            (now.version, now.latest, now.applied, now.pending),
            (1, 1, applied.clone(), vec![])
        );
        assert_eq!(up(&path).unwrap(), Vec::<String>::new());
        assert_eq!(down(&path, 9).unwrap(), applied);
        assert_eq!(status(&path).unwrap().version, 0);
        assert_eq!(up(&path).unwrap(), applied);
    }

    #[test]
    fn a_newer_schema_is_refused_and_left_alone() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tasker.db");
        up(&path).unwrap();
        let mut connection = SqliteFile::new(&path).open(Mode::Write).unwrap();
        connection
            .batch_execute("UPDATE tasker_schema SET version = 9, oldest_program = 8")
            .unwrap();
        let refused = up(&path).unwrap_err().to_string();
        assert_eq!(
            refused,
            format!(
                "the store `{}` cannot be used: its schema has version 9 and needs a program that knows version 8, \
                 but this one knows 1; use a newer `tasker`",
                path.display()
            )
        );
    }

    #[test]
    fn a_database_of_another_program_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("other.db");
        let mut connection = SqliteConnection::establish(path.to_str().unwrap()).unwrap();
        connection
            .batch_execute("CREATE TABLE orders (id INTEGER)")
            .unwrap();
        drop(connection);
        let before = std::fs::read(&path).unwrap();
        let refused = up(&path).unwrap_err().to_string();
        assert!(
            refused.contains("it is a database, but not one of Tasker's"),
            "{refused}"
        );
        assert!(refused.ends_with("or restore this one from a copy"), "{refused}");
        assert_eq!(status(&path).unwrap_err().to_string(), refused);
        assert_eq!(describe(&path).unwrap_err().to_string(), refused);
        assert_eq!(down(&path, 1).unwrap_err().to_string(), refused);
        assert!(std::fs::read(&path).unwrap() == before, "its bytes were changed");
    }
}
