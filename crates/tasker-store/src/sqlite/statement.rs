//! Hot statements: static SQL with its own placeholders, typed rows, and binds given as values.
//!
//! Diesel caches a prepared statement by the text of such a fragment; `sql_query` and `update` of its query builder are
//! prepared anew each time.

use std::marker::PhantomData;

#[cfg(feature = "postgres")]
use diesel::connection::DefaultLoadingMode;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::query_dsl::RunQueryDsl;
use diesel::query_dsl::methods::{ExecuteDsl, LoadQuery};
#[cfg(feature = "postgres")]
use diesel::result::Error;
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

use super::connection::Connection;

/// A value for a placeholder.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Bind<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    Blob(&'a [u8]),
}

/// A statement whose rows have the SQL types `Row`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Statement<'a, Row> {
    sql: &'a str,
    binds: &'a [Bind<'a>],
    row: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    /// Returns a statement; the binds are in the order of the placeholders `?1`, `?2`, …
    pub(crate) fn new(sql: &'a str, binds: &'a [Bind<'a>]) -> Self {
        Self {
            sql,
            binds,
            row: PhantomData,
        }
    }

    /// Carries it out, and returns its rows.
    pub(crate) fn load<'q, U>(self, connection: &mut Connection) -> QueryResult<Vec<U>>
    where
        Self: LoadQuery<'q, SqliteConnection, U>,
    {
        connection.carry_out(self.sql, |inner| RunQueryDsl::load(self, inner))
    }

    /// Carries it out, and returns its first row.
    pub(crate) fn get_result<'q, U>(self, connection: &mut Connection) -> QueryResult<U>
    where
        Self: LoadQuery<'q, SqliteConnection, U>,
    {
        connection.carry_out(self.sql, |inner| RunQueryDsl::get_result(self, inner))
    }

    /// Carries it out, and hands on each row as it comes.
    #[cfg(feature = "postgres")]
    pub(crate) fn each<'q, U, E: From<Error>>(
        self,
        connection: &mut Connection,
        mut take: impl FnMut(U) -> Result<(), E>,
    ) -> Result<(), E>
    where
        Self: LoadQuery<'q, SqliteConnection, U> + 'q,
        U: 'q,
    {
        connection.carry_out(self.sql, |inner| {
            for row in RunQueryDsl::load_iter::<U, DefaultLoadingMode>(self, inner)? {
                take(row?)?;
            }
            Ok(())
        })
    }

    /// Carries it out, and returns how many rows it changed.
    pub(crate) fn execute(self, connection: &mut Connection) -> QueryResult<usize>
    where
        Self: ExecuteDsl<SqliteConnection>,
    {
        connection.carry_out(self.sql, |inner| RunQueryDsl::execute(self, inner))
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row> RunQueryDsl<SqliteConnection> for Statement<'_, Row> {}

impl<Row> QueryFragment<Sqlite> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Sqlite>) -> QueryResult<()> {
        out.push_sql(self.sql);
        for bind in self.binds {
            match bind {
                Bind::Int(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::MaybeInt(value) => out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?,
                Bind::Text(value) => out.push_bind_param_value_only::<Text, _>(*value)?,
                Bind::Blob(value) => out.push_bind_param_value_only::<Binary, _>(*value)?,
            }
        }
        Ok(())
    }
}
