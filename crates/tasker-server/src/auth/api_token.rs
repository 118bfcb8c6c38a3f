//! API tokens, which `tasker token` makes and the store notes.
//!
//! The store is asked about every request: a token that was revoked is not believed any more, wherever that was done.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use axum::http::request::Parts;
use tasker::{ApiToken, Clock, InvalidToken, TokenId, TokenRecord, TokenStanding, TokenStore};
use tasker_types::Timestamp;

use super::authenticator::{AuthenticationError, Authenticator, bearer};
use crate::guard::Caller;

/// How long a use of a token stands for those that follow, so that one that is used often costs a write a minute.
const USED: Duration = Duration::from_secs(60);

/// Believes tokens whose digest is noted, while they are valid.
#[derive(Debug)]
pub struct ApiTokens {
    tokens: Arc<dyn TokenStore>,
    clock: Arc<dyn Clock>,
    /// When this process last noted a use: of the tokens that were used within the last minute or so.
    noted: Mutex<BTreeMap<TokenId, Timestamp>>,
}

impl ApiTokens {
    /// Returns an authenticator that asks this store.
    pub fn new(tokens: Arc<dyn TokenStore>, clock: Arc<dyn Clock>) -> Self {
        Self {
            tokens,
            clock,
            noted: Mutex::default(),
        }
    }

    /// Notes a use, unless one was noted a short while ago, by whichever process.
    async fn note_use(&self, record: &TokenRecord, now: Timestamp) {
        let is_recent = |at: Timestamp| now.since(at) < USED;
        if record.last_used_at.is_some_and(is_recent) {
            return;
        }
        {
            let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
            if noted.get(&record.token_id).is_some_and(|at| is_recent(*at)) {
                return;
            }
            noted.retain(|_, at| is_recent(*at));
            noted.insert(record.token_id, now);
        }
        if let Err(error) = self.tokens.note_token_use(record.token_id, now).await {
            tracing::warn!(%error, token = %record.token_id, "the use of a token is not noted");
        }
    }
}

#[async_trait]
impl Authenticator for ApiTokens {
    async fn authenticate(&self, head: &Parts) -> Result<Caller, AuthenticationError> {
        let token = ApiToken::parse(bearer(head)?).map_err(|invalid| {
            AuthenticationError::rejected(match invalid {
                InvalidToken::Form => "the token is not of the form of an API token",
                InvalidToken::Checksum => "the checksum of the token is wrong",
            })
        })?;
        let found = self.tokens.find_token(token.id()).await;
        let found = found.map_err(|error| AuthenticationError::Unavailable {
            source: Box::new(error),
        })?;
        let (record, digest) = found.ok_or(AuthenticationError::rejected("there is no such token"))?;
        if !digest.matches(&token.digest()) {
            return Err(AuthenticationError::rejected("the secret of the token is wrong"));
        }
        let now = self.clock.now();
        match record.standing(now) {
            TokenStanding::Valid => {}
            TokenStanding::Expired => return Err(AuthenticationError::rejected("the token has expired")),
            TokenStanding::Revoked => return Err(AuthenticationError::rejected("the token was revoked")),
        }
        self.note_use(&record, now).await;
        Ok(Caller::new(record.subject).with_roles(record.roles))
    }
}
