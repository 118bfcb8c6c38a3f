//! Authentication and authorization by configuration: the guard that `auth` of the configuration describes.
//!
//! All of it is built and checked at the start, and what is wrong is told at once. Nothing here keeps anything of a
//! request: who makes one is found out anew each time, and goes with that request.

mod api_token;
mod authenticator;
mod coordinator;
mod jwt;
mod rbac;

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::http::request::Parts;
use axum::http::{HeaderValue, header};
use tasker::config::Environment;
use tasker::{Clock, TokenStore};
use tasker_types::{Auth as Settings, nearest};

use crate::access::{Permission, Reach};
use crate::guard::{Caller, Guard, Open};
use crate::problem::{Code, Problem};

pub use api_token::ApiTokens;
pub use authenticator::{AuthenticationError, Authenticator, bearer};
pub use coordinator::{Coordinator, Deny};
pub use jwt::Jwt;
pub use rbac::Rbac;

/// Why the configuration of `auth` cannot be used: all that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub struct AuthFaults(Vec<String>);

impl AuthFaults {
    /// Returns what is wrong, a sentence a fault. No secret is in any.
    pub fn as_slice(&self) -> &[String] {
        &self.0
    }
}

impl fmt::Display for AuthFaults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("; "))
    }
}

/// A guard that asks an authenticator who makes a request, and a coordinator how far they may.
#[derive(Debug)]
pub struct Auth {
    authenticator: Arc<dyn Authenticator>,
    /// Without one all who are known may do everything.
    coordinator: Option<Arc<dyn Coordinator>>,
}

/// Makes the guard that a configuration describes.
#[derive(Debug, Default)]
#[must_use = "a builder does nothing until `build` is called"]
pub struct AuthBuilder {
    authenticators: BTreeMap<String, Arc<dyn Authenticator>>,
    coordinators: BTreeMap<String, Arc<dyn Coordinator>>,
    tokens: Option<Arc<dyn TokenStore>>,
}

impl Auth {
    /// Begins with the authenticators and coordinators that every program has.
    pub fn builder() -> AuthBuilder {
        AuthBuilder::default()
    }
}

impl AuthBuilder {
    /// Lets `auth.authenticator` name this authenticator.
    pub fn authenticator(mut self, name: impl Into<String>, authenticator: Arc<dyn Authenticator>) -> Self {
        self.authenticators.insert(name.into(), authenticator);
        self
    }

    /// Lets `auth.authenticator` be `api_token`, with the tokens that are noted here: those of
    /// [`Tasker::tokens`](tasker::Tasker::tokens).
    pub fn tokens(mut self, tokens: Option<&Arc<dyn TokenStore>>) -> Self {
        self.tokens = tokens.cloned();
        self
    }

    /// Lets `auth.coordinator` name this coordinator.
    pub fn coordinator(mut self, name: impl Into<String>, coordinator: Arc<dyn Coordinator>) -> Self {
        self.coordinators.insert(name.into(), coordinator);
        self
    }

    /// Returns the guard. Keys are read from their files and from this environment, now and never again.
    ///
    /// # Errors
    ///
    /// All that is wrong with the configuration.
    pub fn build(
        self,
        settings: &Settings,
        environment: &Environment,
        clock: &Arc<dyn Clock>,
    ) -> Result<Arc<dyn Guard>, AuthFaults> {
        let mut faults = Vec::new();
        // Roles that nobody has yet are checked, too.
        let roles = Rbac::new(&settings.roles, &mut faults);
        if !settings.authentication_enabled {
            return match faults.is_empty() {
                true => Ok(Arc::new(Open)),
                false => Err(AuthFaults(faults)),
            };
        }
        let authenticator: Option<Arc<dyn Authenticator>> = match settings.authenticator.as_str() {
            "jwt" => {
                let jwt = Jwt::new(&settings.jwt, environment, clock, &mut faults);
                Some(Arc::new(jwt))
            }
            "api_token" => match &self.tokens {
                Some(tokens) => Some(Arc::new(ApiTokens::new(Arc::clone(tokens), Arc::clone(clock)))),
                None => {
                    faults.push(
                        "`auth.authenticator` is `api_token`, but the store of this program keeps no tokens; keep tasks \
                         in SQLite or PostgreSQL, and give `AuthBuilder::tokens` what `Tasker::tokens` returns"
                            .to_owned(),
                    );
                    None
                }
            },
            name => {
                let known = ["api_token", "jwt"];
                find(&self.authenticators, "authenticator", name, &known, &mut faults)
            }
        };
        let coordinator: Option<Arc<dyn Coordinator>> = match settings.coordinator.as_str() {
            _ if !settings.authorization_enabled => None,
            "deny" => Some(Arc::new(Deny)),
            "rbac" => {
                if settings.roles.is_empty() {
                    faults.push(
                        "`auth.roles` is empty, so that `auth.coordinator` = `rbac` would permit nobody anything"
                            .to_owned(),
                    );
                }
                Some(Arc::new(roles))
            }
            name => find(
                &self.coordinators,
                "coordinator",
                name,
                &["deny", "rbac"],
                &mut faults,
            ),
        };
        match authenticator {
            Some(authenticator) if faults.is_empty() => Ok(Arc::new(Auth {
                authenticator,
                coordinator,
            })),
            _ => Err(AuthFaults(faults)),
        }
    }
}

/// Finds what the program has registered, or says what there is.
fn find<T: ?Sized>(
    registered: &BTreeMap<String, Arc<T>>,
    key: &str,
    name: &str,
    known: &[&str],
    faults: &mut Vec<String>,
) -> Option<Arc<T>> {
    let found = registered.get(name).cloned();
    if found.is_none() {
        let known: Vec<&str> = known
            .iter()
            .copied()
            .chain(registered.keys().map(String::as_str))
            .collect();
        let meant = nearest(name, known.iter().copied())
            .map(|meant| format!("; did you mean `{meant}`?"))
            .unwrap_or_default();
        faults.push(format!(
            "`auth.{key}` is `{name}`, but there is only `{}`{meant}",
            known.join("`, `")
        ));
    }
    found
}

#[async_trait]
impl Guard for Auth {
    async fn identify(&self, head: &Parts) -> Result<Caller, Problem> {
        let (detail, challenge) = match self.authenticator.authenticate(head).await {
            Ok(caller) => return Ok(caller),
            Err(AuthenticationError::Missing) => (
                "the request has no credentials; send `Authorization: Bearer TOKEN`",
                r#"Bearer realm="tasker""#,
            ),
            // What exactly is wrong would help who guesses.
            Err(AuthenticationError::Rejected { reason }) => {
                tracing::info!(reason, "credentials were rejected");
                (
                    "the credentials of the request are not valid",
                    r#"Bearer realm="tasker", error="invalid_token""#,
                )
            }
            Err(AuthenticationError::Unavailable { source }) => return Err(Problem::internal(&*source)),
        };
        Err(Problem::new(Code::Unauthenticated, detail)
            .with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge)))
    }

    fn reach(&self, caller: &Caller, permission: Permission) -> Reach {
        self.coordinator
            .as_ref()
            .map_or(Reach::Everything, |coordinator| {
                coordinator.reach(caller, permission)
            })
    }

    fn asks_who(&self) -> bool {
        true
    }
}

#[cfg(test)]
mod tests;
