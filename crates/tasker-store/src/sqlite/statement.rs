//! Hot statements: static SQL with its own placeholders, typed rows, and binds given as values.
//!
//! Diesel caches a prepared statement by the text of such a fragment; `sql_query` and `update` of its query builder are
//! prepared anew each time.

use std::marker::PhantomData;

use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{BigInt, Binary, Nullable, Text};
use diesel::sqlite::{Sqlite, SqliteConnection};

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
    sql: &'static str,
    binds: &'a [Bind<'a>],
    row: PhantomData<Row>,
}

impl<'a, Row> Statement<'a, Row> {
    /// Returns a statement; the binds are in the order of the placeholders `?1`, `?2`, …
    pub(crate) fn new(sql: &'static str, binds: &'a [Bind<'a>]) -> Self {
        Self {
            sql,
            binds,
            row: PhantomData,
        }
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row> diesel::query_dsl::RunQueryDsl<SqliteConnection> for Statement<'_, Row> {}

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
