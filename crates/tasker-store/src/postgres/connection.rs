//! Connections to a server, which every statement goes through.

use std::fmt;

use diesel::result::{DatabaseErrorKind, Error, QueryResult};
use diesel_async::{AsyncPgConnection, SimpleAsyncConnection as _};
use futures_util::Stream;
use futures_util::future::join;

use crate::probe::{Fault, Moment, Onlookers, end};

/// A connection, and who looks at its statements.
pub(super) struct Connection<'c> {
    inner: Inner<'c>,
    onlookers: Onlookers,
}

enum Inner<'c> {
    Own(Box<AsyncPgConnection>),
    Lent(&'c AsyncPgConnection),
}

impl fmt::Debug for Connection<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection")
            .field("onlookers", &self.onlookers)
            .finish_non_exhaustive()
    }
}

/// Whether others on their way when a statement is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Company {
    /// It is answered before another is sent.
    Alone,
    /// Those that come after it, the commit among them, are sent without waiting for its answer.
    Together,
}

impl<'c> Connection<'c> {
    pub(super) fn own(connection: AsyncPgConnection, onlookers: Onlookers) -> Self {
        Self {
            inner: Inner::Own(Box::new(connection)),
            onlookers,
        }
    }

    /// Returns one that belongs to somebody else.
    pub(super) fn lent(connection: &'c AsyncPgConnection, onlookers: Onlookers) -> Self {
        Self {
            inner: Inner::Lent(connection),
            onlookers,
        }
    }

    pub(super) fn inner(&self) -> &AsyncPgConnection {
        match &self.inner {
            Inner::Own(connection) => connection,
            Inner::Lent(connection) => connection,
        }
    }

    /// Returns what other processes tell; nothing on a connection that belongs to somebody else.
    pub(super) fn hints(
        &mut self,
    ) -> Option<impl Stream<Item = QueryResult<diesel::pg::PgNotification>> + '_> {
        match &mut self.inner {
            Inner::Own(connection) => Some(connection.notifications_stream()),
            Inner::Lent(_) => None,
        }
    }

    /// Carries out statements without answers, separated by semicolons.
    pub(super) async fn batch_execute(&self, sql: &str) -> QueryResult<()> {
        let mut inner = self.inner();
        self.carry_out(sql, Company::Alone, inner.batch_execute(sql))
            .await
    }

    /// Carries out what is told by this SQL or by this name, unless a probe has it fail.
    pub(super) async fn carry_out<T>(
        &self,
        statement: &str,
        company: Company,
        work: impl Future<Output = QueryResult<T>> + Send,
    ) -> QueryResult<T> {
        let Some((moment, fault)) = self.onlookers.pass(statement) else {
            let begun = self.onlookers.begin();
            let answer = work.await;
            end(begun, statement);
            return answer;
        };
        if moment == Moment::Before {
            return Err(self.suffer(fault).await);
        }
        let (answer, error) = match (fault, company) {
            (Fault::Error | Fault::Drop | Fault::LoseAnswer, Company::Together) => {
                let (answer, error) = join(work, self.suffer(fault)).await;
                (answer?, error)
            }
            _ => (work.await?, self.suffer(fault).await),
        };
        if fault == Fault::Drop {
            Ok(answer)
        } else {
            Err(error)
        }
    }

    /// Lets a fault happen, and returns what the server says of it.
    async fn suffer(&self, fault: Fault) -> Error {
        const FAIL: &str = "DO $$ BEGIN RAISE EXCEPTION 'a fault was asked for'; END $$";
        const END: &str = "ROLLBACK; SELECT pg_terminate_backend(pg_backend_pid())";
        let sql = match fault {
            Fault::Error => FAIL,
            Fault::Drop | Fault::LoseAnswer => END,
            Fault::Abort => std::process::abort(),
        };
        let mut inner = self.inner();
        match inner.batch_execute(sql).await {
            Err(error) => error,
            Ok(()) => Error::DatabaseError(
                DatabaseErrorKind::Unknown,
                Box::new("a fault did not happen".to_owned()),
            ),
        }
    }
}
