//! What SQLite's errors mean for those who use the store.

use std::path::Path;

use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use tasker_engine::{BoxError, StoreError};

const NO_DATABASE: &str =
    "name another file with `database.url` or `--data-dir`, or restore this one from a copy";

/// What SQLite says when the disk does.
const DISK: &str = "disk I/O error";

/// Returns what an error of a statement means.
pub(super) fn classify(store: &Path, error: Error) -> StoreError {
    if matches!(
        &error,
        Error::DatabaseError(DatabaseErrorKind::ClosedConnection, _)
    ) {
        return StoreError::Unavailable {
            store: store.display().to_string(),
            source: Box::new(error),
        };
    }
    by_message(store, error.to_string(), Box::new(error))
}

/// Returns what an error of a commit means: after some of them nobody knows whether it was carried out.
///
/// What could not be brought to the disk for certain may be found there all the same when the file is opened again.
pub(super) fn classify_commit(store: &Path, error: Error) -> StoreError {
    if error.to_string().contains(DISK) {
        return StoreError::Unavailable {
            store: store.display().to_string(),
            source: Box::new(error),
        };
    }
    classify(store, error)
}

/// Tells whether a transaction could not be undone since there is none any more.
pub(super) fn is_over(error: &Error) -> bool {
    error.to_string().contains("no transaction is active")
}

/// Returns what an error of opening a file means.
pub(super) fn classify_opening(store: &Path, error: ConnectionError) -> StoreError {
    by_message(store, error.to_string(), Box::new(error))
}

/// SQLite tells its errors apart by codes that diesel does not hand on; the messages are as stable.
fn by_message(store: &Path, problem: String, source: BoxError) -> StoreError {
    let store = store.display().to_string();
    let says = |texts: &[&str]| texts.iter().any(|text| problem.contains(text));
    if says(&["is locked", "is busy"]) {
        StoreError::Unavailable { store, source }
    } else if says(&["disk is full"]) {
        let advice = "make room on its disk and try again; nothing was changed";
        StoreError::NotWritable {
            store,
            problem,
            advice,
        }
    } else if says(&["readonly database", "read-only", "Permission denied"]) {
        let advice = "give this user the right to write to the file and its directory; nothing was changed";
        StoreError::NotWritable {
            store,
            problem,
            advice,
        }
    } else if says(&[DISK]) {
        let advice = "look at the disk; nothing was changed";
        StoreError::NotWritable {
            store,
            problem,
            advice,
        }
    } else if says(&["unable to open database file", "Unable to open"]) {
        let advice =
            "name a file in a directory that this user may write to, with `database.url` or `--data-dir`";
        StoreError::Unusable {
            store,
            problem,
            advice,
        }
    } else if says(&["file is not a database", "malformed", "file is encrypted"]) {
        StoreError::Unusable {
            store,
            problem,
            advice: NO_DATABASE,
        }
    } else {
        StoreError::Internal { store, source }
    }
}

/// Returns the refusal of a database that is none of Tasker's.
pub(super) fn foreign(store: &Path) -> StoreError {
    StoreError::Unusable {
        store: store.display().to_string(),
        problem: "it is a database, but not one of Tasker's".to_owned(),
        advice: NO_DATABASE,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn means(message: &str, expected: &str) {
        let error = Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(message.to_owned()));
        assert_eq!(classify(Path::new("tasks.db"), error).to_string(), expected);
    }

    #[test]
    fn a_locked_file_may_be_free_later() {
        means(
            "database is locked",
            "the store `tasks.db` is not available: database is locked",
        );
        let error = Error::DatabaseError(
            DatabaseErrorKind::Unknown,
            Box::new("database is locked".to_owned()),
        );
        assert!(classify(Path::new("tasks.db"), error).is_transient());
    }

    #[test]
    fn a_full_disk_names_the_way_out() {
        means(
            "database or disk is full",
            "the store `tasks.db` cannot be written: database or disk is full; \
             make room on its disk and try again; nothing was changed",
        );
    }

    #[test]
    fn a_read_only_file_names_the_way_out() {
        means(
            "attempt to write a readonly database",
            "the store `tasks.db` cannot be written: attempt to write a readonly database; \
             give this user the right to write to the file and its directory; nothing was changed",
        );
    }

    #[test]
    fn a_file_that_is_no_database_names_the_way_out() {
        means(
            "file is not a database",
            "the store `tasks.db` cannot be used: file is not a database; \
             name another file with `database.url` or `--data-dir`, or restore this one from a copy",
        );
    }
}
