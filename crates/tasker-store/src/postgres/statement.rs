//! Statements: static SQL with its own placeholders, typed rows, and binds given as values.
//!
//! Diesel keeps a prepared statement by the text of such a fragment; `sql_query` and `update` of its query builder are
//! prepared anew each time.

use std::marker::PhantomData;

use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::QueryResult;
use diesel::sql_types::{Array, BigInt, Binary, Bool, Integer, Nullable, Text, Uuid as SqlUuid};
use diesel_async::methods::LoadQuery;
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use uuid::Uuid;

use super::connection::{Company, Connection};

/// A value for a placeholder.
#[derive(Clone, Debug)]
pub(crate) enum Bind<'a> {
    Int(i64),
    MaybeInt(Option<i64>),
    Text(&'a str),
    Bytes(&'a [u8]),
    Ints(Vec<i64>),
    MaybeInts(Vec<Option<i64>>),
    Smalls(Vec<i32>),
    MaybeSmalls(Vec<Option<i32>>),
    Bools(Vec<bool>),
    Texts(Vec<&'a str>),
    OwnTexts(Vec<String>),
    MaybeTexts(Vec<Option<&'a str>>),
    Id(Uuid),
    Ids(Vec<Uuid>),
    MaybeIds(Vec<Option<Uuid>>),
}

/// A statement whose rows have the SQL types `Row`.
#[derive(Debug)]
pub(crate) struct Statement<'a, Row> {
    sql: &'a str,
    binds: Vec<Bind<'a>>,
    row: PhantomData<fn() -> Row>,
}

impl<'a, Row: 'a> Statement<'a, Row> {
    /// Returns a statement; the binds are in the order of the placeholders `$1`, `$2`, …
    pub(crate) fn new(sql: &'a str, binds: Vec<Bind<'a>>) -> Self {
        Self {
            sql,
            binds,
            row: PhantomData,
        }
    }

    /// Carries it out, and returns its rows. Several under way on one connection share a trip.
    pub(crate) fn load<'c, U>(self, connection: &'c Connection<'_>) -> BoxFuture<'c, QueryResult<Vec<U>>>
    where
        'a: 'c,
        U: Send + 'c,
        Self: LoadQuery<'a, &'c AsyncPgConnection, U>,
    {
        let sql = self.sql;
        let work = async move {
            let mut inner = connection.inner();
            RunQueryDsl::load(self, &mut inner).await
        };
        connection.carry_out(sql, Company::Alone, work).boxed()
    }

    /// Carries it out, and returns its first row.
    pub(crate) fn get_result<'c, U>(self, connection: &'c Connection<'_>) -> BoxFuture<'c, QueryResult<U>>
    where
        'a: 'c,
        U: Send + 'c,
        Self: LoadQuery<'a, &'c AsyncPgConnection, U>,
    {
        let sql = self.sql;
        let work = async move {
            let mut inner = connection.inner();
            RunQueryDsl::get_result(self, &mut inner).await
        };
        connection.carry_out(sql, Company::Alone, work).boxed()
    }
}

impl<Row> QueryId for Statement<'_, Row> {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl<Row> Query for Statement<'_, Row> {
    type SqlType = Row;
}

impl<Row> QueryFragment<Pg> for Statement<'_, Row> {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(self.sql);
        for bind in &self.binds {
            match bind {
                Bind::Int(value) => out.push_bind_param_value_only::<BigInt, _>(value)?,
                Bind::MaybeInt(value) => out.push_bind_param_value_only::<Nullable<BigInt>, _>(value)?,
                Bind::Text(value) => out.push_bind_param_value_only::<Text, _>(*value)?,
                Bind::Bytes(value) => out.push_bind_param_value_only::<Binary, _>(*value)?,
                Bind::Ints(values) => out.push_bind_param_value_only::<Array<BigInt>, _>(values)?,
                Bind::MaybeInts(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<BigInt>>, _>(values)?;
                }
                Bind::Smalls(values) => out.push_bind_param_value_only::<Array<Integer>, _>(values)?,
                Bind::MaybeSmalls(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Integer>>, _>(values)?;
                }
                Bind::Bools(values) => out.push_bind_param_value_only::<Array<Bool>, _>(values)?,
                Bind::Texts(values) => out.push_bind_param_value_only::<Array<Text>, _>(values)?,
                Bind::OwnTexts(values) => out.push_bind_param_value_only::<Array<Text>, _>(values)?,
                Bind::MaybeTexts(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<Text>>, _>(values)?;
                }
                Bind::Id(value) => out.push_bind_param_value_only::<SqlUuid, _>(value)?,
                Bind::Ids(values) => out.push_bind_param_value_only::<Array<SqlUuid>, _>(values)?,
                Bind::MaybeIds(values) => {
                    out.push_bind_param_value_only::<Array<Nullable<SqlUuid>>, _>(values)?;
                }
            }
        }
        Ok(())
    }
}

/// Carries out a statement, and returns how many rows it changed. Several under way on one connection share a trip.
pub(crate) fn execute<'c>(
    connection: &'c Connection<'_>,
    sql: &'static str,
    binds: Vec<Bind<'c>>,
) -> BoxFuture<'c, QueryResult<usize>> {
    execute_in(Company::Alone, connection, sql, binds)
}

/// As [`execute`], in this company.
pub(crate) fn execute_in<'c>(
    company: Company,
    connection: &'c Connection<'_>,
    sql: &'static str,
    binds: Vec<Bind<'c>>,
) -> BoxFuture<'c, QueryResult<usize>> {
    let work = async move {
        let mut inner = connection.inner();
        RunQueryDsl::execute(Statement::<()>::new(sql, binds), &mut inner).await
    };
    connection.carry_out(sql, company, work).boxed()
}
