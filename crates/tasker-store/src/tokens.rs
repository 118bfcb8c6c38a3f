//! API tokens: the rows that both databases have.

use diesel::result::{Error, QueryResult};
use diesel::sql_types::{BigInt, Nullable, Text};
use tasker_engine::{TokenDigest, TokenRecord};
use tasker_types::Timestamp;

/// What is noted of a token, and its digest.
pub(crate) type Noted = (TokenRecord, TokenDigest);

/// A row, with the columns in the order of [`columns!`].
pub(crate) type RowSql = (
    Text,
    Text,
    Text,
    Text,
    Text,
    BigInt,
    Nullable<BigInt>,
    Nullable<BigInt>,
    Nullable<BigInt>,
);
pub(crate) type Row = (
    String,
    String,
    String,
    String,
    String,
    i64,
    Option<i64>,
    Option<i64>,
    Option<i64>,
);

macro_rules! columns {
    () => {
        "id, name, subject, roles, digest, created_at, expires_at, last_used_at, revoked_at"
    };
}
pub(crate) use columns;

/// Reads a row. One that no program wrote is an error: a token must not come to more than it was given.
pub(crate) fn noted(row: Row) -> QueryResult<Noted> {
    let (id, name, subject, roles, digest, created_at, expires_at, last_used_at, revoked_at) = row;
    let time = |micros: Option<i64>| micros.map(Timestamp::from_micros);
    let record = TokenRecord {
        token_id: id.parse().map_err(unreadable)?,
        name,
        subject,
        roles: serde_json::from_str(&roles).map_err(unreadable)?,
        created_at: Timestamp::from_micros(created_at),
        expires_at: time(expires_at),
        last_used_at: time(last_used_at),
        revoked_at: time(revoked_at),
    };
    Ok((record, digest.parse().map_err(unreadable)?))
}

fn unreadable(error: impl std::error::Error + Send + Sync + 'static) -> Error {
    let error: Box<dyn std::error::Error + Send + Sync> = Box::new(error);
    Error::DeserializationError(error)
}
