//! What PostgreSQL's errors mean for those who use the store.

use diesel::result::{DatabaseErrorKind, Error};
use tasker_engine::StoreError;

/// What a failed transaction calls for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// The same again, at once: another was faster.
    Repeat,
    /// The same again, on another connection: this one is of no use any more.
    Reconnect,
    /// Nothing helps.
    GiveUp,
}

/// Messages of errors after which the connection is over, or its prepared statements are.
const OVER: &[&str] = &[
    "connection closed",
    "terminating connection",
    "cached plan must not change result type",
    "the database system is",
    "idle-in-transaction timeout",
    "error communicating with the server",
    "unexpected EOF",
    "unexpected message",
];

/// Messages of errors that a repetition may not meet.
const CHANCE: &[&str] = &[
    "deadlock detected",
    "could not serialize access",
    "canceling statement due to",
    "tuple concurrently updated",
];

/// Returns what to do about an error of a transaction.
pub(super) fn remedy(error: &Error) -> Remedy {
    let says = |texts: &[&str], message: &str| texts.iter().any(|text| message.contains(text));
    match error {
        Error::DatabaseError(kind, information) => match kind {
            DatabaseErrorKind::UnableToSendCommand
            | DatabaseErrorKind::ClosedConnection
            | DatabaseErrorKind::ReadOnlyTransaction => Remedy::Reconnect,
            // Two requests wanted the same identity or key; the second finds it taken when it looks again.
            DatabaseErrorKind::UniqueViolation | DatabaseErrorKind::SerializationFailure => Remedy::Repeat,
            _ if says(OVER, information.message()) => Remedy::Reconnect,
            _ if says(CHANCE, information.message()) => Remedy::Repeat,
            _ => Remedy::GiveUp,
        },
        Error::BrokenTransactionManager | Error::AlreadyInTransaction | Error::NotInTransaction => {
            Remedy::Reconnect
        }
        _ => Remedy::GiveUp,
    }
}

/// Returns what an error means for the one who asked.
pub(super) fn classify(store: &str, error: Error) -> StoreError {
    let store = store.to_owned();
    match remedy(&error) {
        Remedy::Repeat | Remedy::Reconnect => StoreError::Unavailable {
            store,
            source: Box::new(error),
        },
        Remedy::GiveUp => {
            let problem = error.to_string();
            if problem.contains("No space left on device") || problem.contains("could not extend file") {
                let advice = "make room on the disk of the database server; nothing was changed";
                return StoreError::NotWritable {
                    store,
                    problem,
                    advice,
                };
            }
            if problem.contains("permission denied") {
                let advice = "give the user of the URL the right to use this schema; nothing was changed";
                return StoreError::NotWritable {
                    store,
                    problem,
                    advice,
                };
            }
            StoreError::Internal {
                store,
                source: Box::new(error),
            }
        }
    }
}
