//! Finding out who makes a request.

use std::fmt;

use async_trait::async_trait;
use axum::http::header::AUTHORIZATION;
use axum::http::request::Parts;

use crate::guard::Caller;

/// Finds out who makes a request.
///
/// It is shared by all requests, so it must not keep who made one: what it returns is all that it knows of a caller.
#[async_trait]
pub trait Authenticator: fmt::Debug + Send + Sync {
    /// Returns who makes a request, by its head.
    ///
    /// # Errors
    ///
    /// Why that is not known.
    async fn authenticate(&self, head: &Parts) -> Result<Caller, AuthenticationError>;
}

/// Why it is not known who makes a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthenticationError {
    /// The request does not say.
    #[error("the request has no credentials")]
    Missing,
    /// What it says cannot be believed.
    #[error("the credentials are rejected: {reason}")]
    Rejected {
        /// Why, for the log. It has nothing of the credentials.
        reason: &'static str,
    },
    /// It cannot be found out now.
    #[error("the credentials cannot be checked")]
    Unavailable {
        /// What failed.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl AuthenticationError {
    /// Returns a rejection for this reason.
    pub const fn rejected(reason: &'static str) -> Self {
        Self::Rejected { reason }
    }
}

/// Returns the token of `Authorization: Bearer TOKEN`.
///
/// # Errors
///
/// [`Missing`](AuthenticationError::Missing) without that header, and a rejection of one that is of another form.
pub fn bearer(head: &Parts) -> Result<&str, AuthenticationError> {
    let mut headers = head.headers.get_all(AUTHORIZATION).iter();
    let header = headers.next().ok_or(AuthenticationError::Missing)?;
    if headers.next().is_some() {
        return Err(AuthenticationError::rejected(
            "there are two `Authorization` headers",
        ));
    }
    let text = header
        .to_str()
        .map_err(|_| AuthenticationError::rejected("the header is no ASCII text"))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => {
            Ok(token.trim())
        }
        _ => Err(AuthenticationError::rejected("the header is not `Bearer TOKEN`")),
    }
}
