//! API tokens in a file.

use async_trait::async_trait;
use diesel::result::{OptionalExtension as _, QueryResult};
use tasker_engine::{NewToken, StoreError, TokenDigest, TokenId, TokenRecord, TokenStore};
use tasker_types::Timestamp;

use super::SqliteStore;
use super::connection::Connection;
use super::rows::json;
use super::statement::{Bind, Statement};
use super::unit::Trouble;
use crate::tokens::{Noted, Row, RowSql, columns, noted};

const ALL: &str = concat!("SELECT ", columns!(), " FROM api_tokens ORDER BY created_at, id");
const FIND: &str = concat!("SELECT ", columns!(), " FROM api_tokens WHERE id = ?1");
const ADD: &str = concat!(
    "INSERT INTO api_tokens (id, name, subject, roles, digest, created_at, expires_at) \
     VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7) ON CONFLICT DO NOTHING RETURNING ",
    columns!()
);
const REVOKE: &str = concat!(
    "UPDATE api_tokens SET revoked_at = coalesce(revoked_at, ?2) WHERE id = ?1 RETURNING ",
    columns!()
);
const USE: &str = "UPDATE api_tokens SET last_used_at = ?2 WHERE id = ?1 AND coalesce(last_used_at < ?2, 1)";

fn one(connection: &mut Connection, sql: &'static str, binds: &[Bind<'_>]) -> QueryResult<Option<Noted>> {
    Statement::<RowSql>::new(sql, binds)
        .get_result::<Row>(connection)
        .optional()?
        .map(noted)
        .transpose()
}

fn add(connection: &mut Connection, token: &NewToken) -> Result<TokenRecord, Trouble> {
    let (id, digest) = (token.id.to_string(), token.digest.to_string());
    let binds = [
        Bind::Text(&id),
        Bind::Text(&token.name),
        Bind::Text(&token.subject),
        Bind::Text(&json(&token.roles)),
        Bind::Text(&digest),
        Bind::Int(token.created_at.as_micros()),
        Bind::MaybeInt(token.expires_at.map(Timestamp::as_micros)),
    ];
    if let Some((record, _)) = one(connection, ADD, &binds)? {
        return Ok(record);
    }
    match one(connection, FIND, &binds[..1])? {
        Some((record, digest)) if digest.matches(&token.digest) => Ok(record),
        _ => Err(token.name_is_taken().into()),
    }
}

#[async_trait]
impl TokenStore for SqliteStore {
    async fn add_token(&self, token: NewToken) -> Result<TokenRecord, StoreError> {
        token.check()?;
        let writer = &self.shared.writer;
        writer.write(move |unit| add(unit.connection, &token)).await
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenDigest)>, StoreError> {
        let id = id.to_string();
        self.read(move |connection| one(connection, FIND, &[Bind::Text(&id)]))
            .await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.read(|connection| {
            let rows = Statement::<RowSql>::new(ALL, &[]).load::<Row>(connection)?;
            rows.into_iter()
                .map(|row| noted(row).map(|(record, _)| record))
                .collect()
        })
        .await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        let id = id.to_string();
        let revoke = move |connection: &mut Connection| {
            let binds = [Bind::Text(&id), Bind::Int(at.as_micros())];
            Ok(one(connection, REVOKE, &binds)?.map(|(record, _)| record))
        };
        self.shared
            .writer
            .write(move |unit| revoke(unit.connection))
            .await
    }

    async fn note_token_use(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        let id = id.to_string();
        let note = move |connection: &mut Connection| {
            let binds = [Bind::Text(&id), Bind::Int(at.as_micros())];
            Statement::<()>::new(USE, &binds).execute(connection)?;
            Ok(())
        };
        self.shared.writer.write(move |unit| note(unit.connection)).await
    }
}
