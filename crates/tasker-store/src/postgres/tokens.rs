//! API tokens in a database of many processes.

use async_trait::async_trait;
use diesel::result::{OptionalExtension as _, QueryResult};
use tasker_engine::{NewToken, StoreError, TokenDigest, TokenId, TokenRecord, TokenStore};
use tasker_types::Timestamp;

use super::PostgresStore;
use super::connection::Connection;
use super::statement::{Bind, Statement, execute};
use super::writer::Job;
use crate::tokens::{Noted, Row, RowSql, columns, noted};

const ALL: &str = concat!("SELECT ", columns!(), " FROM api_tokens ORDER BY created_at, id");
const FIND: &str = concat!("SELECT ", columns!(), " FROM api_tokens WHERE id = $1");
const ADD: &str = "INSERT INTO api_tokens (id, name, subject, roles, digest, created_at, expires_at) \
     VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING";
const REVOKE: &str = "UPDATE api_tokens SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL";
const USE: &str =
    "UPDATE api_tokens SET last_used_at = $2 WHERE id = $1 AND coalesce(last_used_at < $2, true)";

/// What is done to a token. The answer is what is noted afterwards.
#[derive(Clone, Debug)]
pub(super) enum TokenChange {
    Add(NewToken),
    Revoke(TokenId, Timestamp),
    NoteUse(TokenId, Timestamp),
}

impl TokenChange {
    /// Makes the change, and returns what is noted of the token then.
    pub(super) async fn make(&self, connection: &Connection<'_>) -> QueryResult<Option<Noted>> {
        let id = match self {
            Self::Add(token) => {
                let (id, digest) = (token.id.to_string(), token.digest.to_string());
                let roles = serde_json::to_string(&token.roles).unwrap_or_default();
                let binds = vec![
                    Bind::Text(&id),
                    Bind::Text(&token.name),
                    Bind::Text(&token.subject),
                    Bind::Text(&roles),
                    Bind::Text(&digest),
                    Bind::Int(token.created_at.as_micros()),
                    Bind::MaybeInt(token.expires_at.map(Timestamp::as_micros)),
                ];
                execute(connection, ADD, binds).await?;
                token.id
            }
            Self::Revoke(id, at) => {
                let text = id.to_string();
                execute(
                    connection,
                    REVOKE,
                    vec![Bind::Text(&text), Bind::Int(at.as_micros())],
                )
                .await?;
                *id
            }
            Self::NoteUse(id, at) => {
                let text = id.to_string();
                execute(
                    connection,
                    USE,
                    vec![Bind::Text(&text), Bind::Int(at.as_micros())],
                )
                .await?;
                return Ok(None);
            }
        };
        find(connection, id).await
    }
}

async fn find(connection: &Connection<'_>, id: TokenId) -> QueryResult<Option<Noted>> {
    let id = id.to_string();
    Statement::<RowSql>::new(FIND, vec![Bind::Text(&id)])
        .get_result::<Row>(connection)
        .await
        .optional()?
        .map(noted)
        .transpose()
}

async fn all(connection: &Connection<'_>) -> QueryResult<Vec<TokenRecord>> {
    let rows = Statement::<RowSql>::new(ALL, Vec::new())
        .load::<Row>(connection)
        .await?;
    rows.into_iter()
        .map(|row| noted(row).map(|(record, _)| record))
        .collect()
}

impl PostgresStore {
    async fn change_token(&self, change: TokenChange) -> Result<Option<Noted>, StoreError> {
        self.shared.writer.ask(|reply| Job::Token(change, reply)).await
    }
}

#[async_trait]
impl TokenStore for PostgresStore {
    async fn add_token(&self, token: NewToken) -> Result<TokenRecord, StoreError> {
        token.check()?;
        match self.change_token(TokenChange::Add(token.clone())).await? {
            Some((record, digest)) if digest.matches(&token.digest) => Ok(record),
            _ => Err(token.name_is_taken()),
        }
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenDigest)>, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(find(connection, id)))
            .await
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        self.shared
            .readers
            .read(move |connection| Box::pin(all(connection)))
            .await
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        let noted = self.change_token(TokenChange::Revoke(id, at)).await?;
        Ok(noted.map(|(record, _)| record))
    }

    async fn note_token_use(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        self.change_token(TokenChange::NoteUse(id, at)).await.map(|_| ())
    }
}
