//! JSON Web Tokens in the compact form of JWS (RFC 7515, RFC 7519), signed with keys that the configuration pins.
//!
//! A token chooses among the keys by its `kid` and nothing else: the algorithm is the key's, and a token that names
//! another is refused before anything is computed. Keys within tokens (`jwk`, `jku`, `x5c`) are not looked at.

mod algorithm;
mod key;

use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Deserialize;
use serde_json::{Map, Value};
use tasker::Clock;
use tasker::config::Environment;
use tasker_types::{JwtValues, Timestamp};

use super::authenticator::{AuthenticationError, Authenticator, bearer};
use crate::guard::Caller;
use key::Key;

/// How many characters the name of a caller may have.
const NAME: usize = 256;

/// Believes tokens that are signed with one of its keys, while they are valid.
#[derive(Debug)]
pub struct Jwt {
    keys: Vec<Key>,
    settings: JwtValues,
    clock: Arc<dyn Clock>,
}

/// The part of a token that says how it is signed. Other members are permitted and mean nothing here.
#[derive(Deserialize)]
struct Header {
    alg: String,
    kid: Option<String>,
    crit: Option<Value>,
}

impl Jwt {
    /// Reads the keys, and adds what is wrong with them to the faults.
    pub(super) fn new(
        settings: &JwtValues,
        environment: &Environment,
        clock: &Arc<dyn Clock>,
        faults: &mut Vec<String>,
    ) -> Self {
        if settings.keys.is_empty() {
            faults.push("`auth.jwt.keys` is empty, but `auth.authenticator` is `jwt`".to_owned());
        }
        let mut keys: Vec<Key> = Vec::new();
        for (index, values) in settings.keys.iter().enumerate() {
            let place = format!("auth.jwt.keys[{index}]");
            if values.kid.is_none() && settings.keys.len() > 1 {
                faults.push(format!(
                    "`{place}` has no `kid`, by which tokens choose among several keys"
                ));
            }
            if let Some(kid) = &values.kid
                && keys.iter().any(|key| key.kid.as_ref() == Some(kid))
            {
                faults.push(format!("`{place}` has the `kid` `{kid}` of another key"));
            }
            match Key::read(values, environment) {
                Ok(key) => keys.push(key),
                Err(fault) => faults.push(format!("`{place}` {fault}")),
            }
        }
        Self {
            keys,
            settings: settings.clone(),
            clock: Arc::clone(clock),
        }
    }

    /// Returns who a token is about, or why it is not believed.
    fn verify(&self, token: &str, now: Timestamp) -> Result<Caller, &'static str> {
        if token.len() > self.settings.max_bytes as usize {
            return Err("the token is too long");
        }
        const FORM: &str = "the token is not three parts of base64url";
        let (signed, signature) = token.rsplit_once('.').ok_or(FORM)?;
        let (header, claims) = signed.split_once('.').ok_or(FORM)?;
        let signature = URL_SAFE_NO_PAD.decode(signature).map_err(|_| FORM)?;
        let header = URL_SAFE_NO_PAD.decode(header).map_err(|_| FORM)?;
        let claims = URL_SAFE_NO_PAD.decode(claims).map_err(|_| FORM)?;
        let header: Header = serde_json::from_slice(&header).map_err(|_| "the token has no header")?;
        if header.crit.is_some() {
            return Err("the token demands an extension");
        }
        let key = self.key(header.kid.as_deref())?;
        if header.alg != key.algorithm.name() {
            return Err("the token names another algorithm than its key");
        }
        if !key.verifies(signed.as_bytes(), &signature) {
            return Err("the signature is not that of the key");
        }
        // Only now is anything of the token worth reading.
        let claims: Map<String, Value> =
            serde_json::from_slice(&claims).map_err(|_| "the claims are no JSON object")?;
        self.check(&claims, now)?;
        self.caller(&claims)
    }

    fn key(&self, kid: Option<&str>) -> Result<&Key, &'static str> {
        match (kid, self.keys.as_slice()) {
            (None, [only]) => Ok(only),
            (None, _) => Err("the token has no `kid`"),
            (Some(kid), keys) => keys
                .iter()
                .find(|key| key.kid.as_deref() == Some(kid))
                .ok_or("there is no key of the token's `kid`"),
        }
    }

    fn check(&self, claims: &Map<String, Value>, now: Timestamp) -> Result<(), &'static str> {
        let now = now.as_micros() as f64 / 1e6;
        let leeway = f64::from(self.settings.leeway_seconds);
        let date = |name: &str| claims.get(name).map(|date| date.as_f64().ok_or(()));
        match date("exp") {
            None => return Err("the token has no `exp`"),
            Some(Err(())) => return Err("`exp` is no number"),
            Some(Ok(expires)) if now >= expires + leeway => return Err("the token has expired"),
            Some(Ok(_)) => {}
        }
        match date("nbf") {
            Some(Err(())) => return Err("`nbf` is no number"),
            Some(Ok(begins)) if now + leeway < begins => return Err("the token is not valid yet"),
            None | Some(Ok(_)) => {}
        }
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        if self
            .settings
            .issuer
            .as_deref()
            .is_some_and(|issuer| text("iss") != Some(issuer))
        {
            return Err("the token is of another issuer");
        }
        if let Some(audience) = self.settings.audience.as_deref() {
            let is_meant = match claims.get("aud") {
                Some(Value::Array(all)) => all.iter().any(|one| one == audience),
                Some(one) => one == audience,
                None => false,
            };
            if !is_meant {
                return Err("the token is for another audience");
            }
        }
        Ok(())
    }

    fn caller(&self, claims: &Map<String, Value>) -> Result<Caller, &'static str> {
        let name = claims
            .get(&self.settings.name_claim)
            .and_then(Value::as_str)
            .filter(|name| {
                !name.trim().is_empty() && name.chars().count() <= NAME && !name.chars().any(char::is_control)
            })
            .ok_or("the token does not name its caller")?;
        let roles = match claims.get(&self.settings.roles_claim) {
            None | Some(Value::Null) => Vec::new(),
            // Scopes of OAuth are such a text.
            Some(Value::String(roles)) => roles.split_whitespace().map(str::to_owned).collect(),
            Some(Value::Array(roles)) => roles
                .iter()
                .map(|role| role.as_str().map(str::to_owned).ok_or("a role is no text"))
                .collect::<Result<_, _>>()?,
            Some(_) => return Err("the roles are no list"),
        };
        Ok(Caller::new(name).with_roles(roles))
    }
}

#[async_trait]
impl Authenticator for Jwt {
    async fn authenticate(&self, head: &Parts) -> Result<Caller, AuthenticationError> {
        let token = bearer(head)?;
        self.verify(token, self.clock.now())
            .map_err(AuthenticationError::rejected)
    }
}

#[cfg(test)]
mod tests;
