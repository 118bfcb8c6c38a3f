//! A connection to a file, which every statement goes through.

use std::fmt;

use diesel::connection::SimpleConnection as _;
use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel::sqlite::SqliteConnection;

use crate::probe::{Fault, Moment, Onlookers, end};

/// A connection, and who looks at its statements.
pub(crate) struct Connection {
    /// `None` when it was dropped.
    inner: Option<SqliteConnection>,
    onlookers: Onlookers,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("onlookers", &self.onlookers)
            .finish_non_exhaustive()
    }
}

impl Connection {
    pub(super) fn new(inner: SqliteConnection, onlookers: Onlookers) -> Self {
        Self {
            inner: Some(inner),
            onlookers,
        }
    }

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
        let Some((moment, fault)) = self.onlookers.pass(statement) else {
            let begun = self.onlookers.begin();
            let answer = work(inner);
            end(begun, statement);
            return answer;
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
