//! API tokens: secrets by which programs say who they are, and the port to where they are noted.
//!
//! A token is told once, when it is made. What is kept of it is a digest, from which it does not follow: 256 random bits
//! are not found by trying, so the digest needs neither salt nor slowness.

use std::fmt;
use std::str::FromStr;

use async_trait::async_trait;
use serde::{Serialize, Serializer};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tasker_types::Timestamp;
use thiserror::Error;

use crate::clock::Entropy;
use crate::store::StoreError;

/// What every token begins with, so that people and scanners for secrets know what it is.
const PREFIX: &str = "tasker_";
/// How many hexadecimal digits the id, the secret and the checksum have.
const LENGTHS: [usize; 3] = [16, 64, 8];
/// How many characters a name, a subject or a role may have.
const NAME: usize = 256;

/// Where API tokens are noted.
#[async_trait]
pub trait TokenStore: Send + Sync + fmt::Debug {
    /// Notes a token.
    ///
    /// Doing it again with the same id and digest changes nothing and returns what is noted.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] for a text that cannot be kept, and for a name that a token has which is not revoked.
    async fn add_token(&self, token: NewToken) -> Result<TokenRecord, StoreError>;

    /// Returns what is noted of a token, and its digest; `None` when there is no such token.
    async fn find_token(&self, id: TokenId) -> Result<Option<(TokenRecord, TokenDigest)>, StoreError>;

    /// Returns all tokens, the oldest first.
    async fn tokens(&self) -> Result<Vec<TokenRecord>, StoreError>;

    /// Notes that a token is not valid any more, and returns what is noted; `None` when there is no such token.
    ///
    /// Doing it again changes nothing: the first time stays.
    async fn revoke_token(&self, id: TokenId, at: Timestamp) -> Result<Option<TokenRecord>, StoreError>;

    /// Notes that a token was used, unless a later use is noted.
    async fn note_token_use(&self, id: TokenId, at: Timestamp) -> Result<(), StoreError>;
}

/// The name by which a token is found: the part of it that is no secret.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(u64);

impl TokenId {
    /// Returns an id of random bits.
    pub const fn new(random: u64) -> Self {
        Self(random)
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

impl fmt::Debug for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenId({self})")
    }
}

impl Serialize for TokenId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl FromStr for TokenId {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        if text.len() != LENGTHS[0] || !is_hex(text) {
            return Err(InvalidToken::Form);
        }
        u64::from_str_radix(text, 16)
            .map(Self)
            .map_err(|_| InvalidToken::Form)
    }
}

/// The SHA-256 of a token.
#[derive(Clone, Copy, Debug)]
pub struct TokenDigest([u8; 32]);

impl TokenDigest {
    /// Tells whether both are the same, in a time that does not depend on how much of them is.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl fmt::Display for TokenDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl FromStr for TokenDigest {
    type Err = InvalidToken;

    fn from_str(text: &str) -> Result<Self, InvalidToken> {
        let mut digest = [0; 32];
        if text.len() != 2 * digest.len() || !is_hex(text) {
            return Err(InvalidToken::Form);
        }
        for (index, byte) in digest.iter_mut().enumerate() {
            *byte =
                u8::from_str_radix(&text[2 * index..2 * index + 2], 16).map_err(|_| InvalidToken::Form)?;
        }
        Ok(Self(digest))
    }
}

/// A token: `tasker_`, its id, `_`, 256 random bits, and a checksum by which a slip of the pen shows without a look at
/// any database.
#[derive(Clone)]
pub struct ApiToken {
    text: String,
    id: TokenId,
}

/// A text that is no token. The message has nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum InvalidToken {
    /// It is not `tasker_`, an id, `_`, a secret and a checksum.
    #[error("the token is not of the form of an API token")]
    Form,
    /// It was cut off or mistyped.
    #[error("the checksum of the token is wrong")]
    Checksum,
}

impl ApiToken {
    /// Makes a new token.
    pub fn generate(entropy: &dyn Entropy) -> Self {
        let id = TokenId::new(entropy.next_u64());
        let secret = [entropy.next_u128(), entropy.next_u128()];
        let text = format!("{PREFIX}{id}_{:032x}{:032x}", secret[0], secret[1]);
        let check = checksum(&text);
        Self {
            text: text + &check,
            id,
        }
    }

    /// Reads a token.
    ///
    /// # Errors
    ///
    /// What is wrong with its form; whether anybody noted it is for a [`TokenStore`] to say.
    pub fn parse(text: &str) -> Result<Self, InvalidToken> {
        let rest = text.strip_prefix(PREFIX).ok_or(InvalidToken::Form)?;
        let (id, secret) = rest.split_once('_').ok_or(InvalidToken::Form)?;
        let id = id.parse()?;
        if secret.len() != LENGTHS[1] + LENGTHS[2] || !is_hex(secret) {
            return Err(InvalidToken::Form);
        }
        let (said, check) = text.split_at(text.len() - LENGTHS[2]);
        if checksum(said) != check {
            return Err(InvalidToken::Checksum);
        }
        Ok(Self {
            text: text.to_owned(),
            id,
        })
    }

    /// Returns the part by which it is found.
    pub fn id(&self) -> TokenId {
        self.id
    }

    /// Returns what is kept of it.
    pub fn digest(&self) -> TokenDigest {
        TokenDigest(Sha256::digest(&self.text).into())
    }

    /// Returns the secret text, for the one who asked for it.
    pub fn expose(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for ApiToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiToken")
            .field("id", &self.id)
            .finish_non_exhaustive()
    }
}

/// A token to be noted.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct NewToken {
    /// By what it is found.
    pub id: TokenId,
    /// What is kept of it.
    pub digest: TokenDigest,
    /// What it is called, by those who look after tokens.
    pub name: String,
    /// Who calls with it.
    pub subject: String,
    /// What they are.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, unless it is revoked before.
    pub expires_at: Option<Timestamp>,
}

impl NewToken {
    /// Returns what is to be noted of a token that never ends, has no roles, and whose subject has its name.
    pub fn new(token: &ApiToken, name: impl Into<String>, created_at: Timestamp) -> Self {
        let name = name.into();
        Self {
            id: token.id(),
            digest: token.digest(),
            subject: name.clone(),
            name,
            roles: Vec::new(),
            created_at,
            expires_at: None,
        }
    }

    /// Checks that its texts can be kept.
    ///
    /// # Errors
    ///
    /// [`StoreError::Rejected`] names the first that cannot.
    pub fn check(&self) -> Result<(), StoreError> {
        let texts = [
            ("the name of a token", &self.name),
            ("the subject of a token", &self.subject),
        ];
        let roles = self.roles.iter().map(|role| ("a role of a token", role));
        for (what, text) in texts.into_iter().chain(roles) {
            let is_name = !text.trim().is_empty()
                && text.chars().count() <= NAME
                && !text.chars().any(char::is_control);
            if !is_name {
                return Err(StoreError::Rejected {
                    what,
                    value: format!("{text:?}"),
                    must: "1 to 256 characters, not all of them blank and none a control character",
                });
            }
        }
        Ok(())
    }

    /// Returns the refusal of a name that is taken.
    pub fn name_is_taken(&self) -> StoreError {
        StoreError::Rejected {
            what: "the name of a token",
            value: format!("{:?}", self.name),
            must: "one that no token has which is not revoked; revoke that one first, or take another name",
        }
    }

    /// Returns what is noted of it at first.
    pub fn record(&self) -> TokenRecord {
        TokenRecord {
            token_id: self.id,
            name: self.name.clone(),
            subject: self.subject.clone(),
            roles: self.roles.clone(),
            created_at: self.created_at,
            expires_at: self.expires_at,
            last_used_at: None,
            revoked_at: None,
        }
    }
}

/// What is noted of a token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct TokenRecord {
    /// By what it is found.
    pub token_id: TokenId,
    /// What it is called.
    pub name: String,
    /// Who calls with it.
    pub subject: String,
    /// What they are.
    pub roles: Vec<String>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it ends, unless it is revoked before.
    pub expires_at: Option<Timestamp>,
    /// When it was last used, to about a minute.
    pub last_used_at: Option<Timestamp>,
    /// When it was revoked.
    pub revoked_at: Option<Timestamp>,
}

impl TokenRecord {
    /// Returns how it stands at a time.
    pub fn standing(&self, now: Timestamp) -> TokenStanding {
        if self.revoked_at.is_some() {
            return TokenStanding::Revoked;
        }
        match self.expires_at {
            Some(end) if end <= now => TokenStanding::Expired,
            _ => TokenStanding::Valid,
        }
    }
}

/// How a token stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum TokenStanding {
    /// Who has it is believed.
    Valid,
    /// Its time is over.
    Expired,
    /// Somebody has revoked it.
    Revoked,
}

impl TokenStanding {
    /// Returns its name.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Valid => "valid",
            Self::Expired => "expired",
            Self::Revoked => "revoked",
        }
    }
}

fn checksum(text: &str) -> String {
    let digest = TokenDigest(Sha256::digest(text).into()).to_string();
    digest[..LENGTHS[2]].to_owned()
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SeededEntropy;

    fn token() -> ApiToken {
        ApiToken::generate(&SeededEntropy::new(7))
    }

    #[track_caller]
    fn refuses(text: &str, expected: InvalidToken) {
        assert_eq!(ApiToken::parse(text).unwrap_err(), expected, "{text}");
    }

    #[test]
    fn a_token_reads_back_from_its_text() {
        let token = token();
        assert_eq!(token.expose().len(), 96);
        let read = ApiToken::parse(token.expose()).unwrap();
        assert_eq!(read.id(), token.id());
        assert!(read.digest().matches(&token.digest()));
        assert_eq!(token.id().to_string().parse(), Ok(token.id()));
        let digest: TokenDigest = token.digest().to_string().parse().unwrap();
        assert!(digest.matches(&token.digest()));
    }

    #[test]
    fn a_token_that_was_cut_or_mistyped_is_known_by_its_checksum() {
        let text = token().expose().to_owned();
        for place in 7..text.len() {
            let other = match &text[place..=place] {
                "_" => continue,
                "0" => "1",
                _ => "0",
            };
            let mut wrong = text.clone();
            wrong.replace_range(place..=place, other);
            refuses(&wrong, InvalidToken::Checksum);
        }
        refuses(&text[..95], InvalidToken::Form);
        refuses(&text.to_uppercase(), InvalidToken::Form);
        refuses(&text.replace("tasker_", "tusker_"), InvalidToken::Form);
        for text in ["", "tasker_", "tasker__", "tasker_é", "a.b.c"] {
            refuses(text, InvalidToken::Form);
        }
    }

    #[test]
    fn two_tokens_have_nothing_in_common() {
        let entropy = SeededEntropy::new(7);
        let (one, other) = (ApiToken::generate(&entropy), ApiToken::generate(&entropy));
        assert_ne!(one.id(), other.id());
        assert!(!one.digest().matches(&other.digest()));
    }

    #[test]
    fn nothing_shows_the_secret() {
        let token = token();
        let new = NewToken::new(&token, "ci", Timestamp::default());
        let secret = &token.expose()[24..];
        for shown in [
            format!("{token:?}"),
            format!("{new:?}"),
            serde_json::to_string(&new.record()).unwrap(),
        ] {
            assert!(
                !shown.contains(secret) && !shown.contains(&secret[..16]),
                "{shown}"
            );
        }
    }

    #[test]
    fn a_token_ends_by_time_or_by_hand() {
        let at = |second: i64| Timestamp::from_micros(second * 1_000_000);
        let mut new = NewToken::new(&token(), "ci", at(1));
        assert_eq!(new.record().standing(at(1 << 40)), TokenStanding::Valid);
        new.expires_at = Some(at(5));
        let mut record = new.record();
        assert_eq!(record.standing(at(4)), TokenStanding::Valid);
        assert_eq!(record.standing(at(5)), TokenStanding::Expired);
        record.revoked_at = Some(at(2));
        assert_eq!(record.standing(at(1)), TokenStanding::Revoked);
    }
}
