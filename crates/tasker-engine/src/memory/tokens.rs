//! Tokens that end with the program.

use std::collections::BTreeMap;
use std::sync::{MutexGuard, PoisonError};

use async_trait::async_trait;
use tasker_types::Timestamp;

use super::MemoryStore;
use crate::store::StoreError;
use crate::token::{NewToken, TokenDigest, TokenId, TokenRecord, TokenStore};

impl MemoryStore {
    pub(super) fn token_map(&self) -> MutexGuard<'_, BTreeMap<TokenId, (TokenRecord, TokenDigest)>> {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl TokenStore for MemoryStore {
    async fn add_token(&self, token: NewToken) -> Result<TokenRecord, StoreError> {
        token.check()?;
        let mut tokens = self.token_map();
        if let Some((record, digest)) = tokens.get(&token.id)
            && digest.matches(&token.digest)
        {
            return Ok(record.clone());
        }
        let is_taken = |record: &TokenRecord| {
            record.token_id == token.id || (record.name == token.name && record.revoked_at.is_none())
        };
        if tokens.values().any(|(record, _)| is_taken(record)) {
            return Err(token.name_is_taken());
        }
        let record = token.record();
        tokens.insert(token.id, (record.clone(), token.digest));
        Ok(record)
    }

    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenDigest)>, StoreError> {
        Ok(self.token_map().get(&id).cloned())
    }

    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError> {
        let mut records: Vec<_> = self
            .token_map()
            .values()
            .map(|(record, _)| record.clone())
            .collect();
        records.sort_by_key(|record| (record.created_at, record.token_id));
        Ok(records)
    }

    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<TokenRecord>, StoreError> {
        let mut tokens = self.token_map();
        Ok(tokens.get_mut(&id).map(|(record, _)| {
            record.revoked_at.get_or_insert(at);
            record.clone()
        }))
    }

    async fn note_token_use(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError> {
        if let Some((record, _)) = self.token_map().get_mut(&id) {
            record.last_used_at = record.last_used_at.max(Some(at));
        }
        Ok(())
    }
}
