//! Problem details (RFC 9457): what an answer says when a request was not carried out.

use std::fmt;

use axum::body::Body;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::{Map, Value};
use tasker::{InsightError, Refusal, RequestError, StoreError};

use crate::cursor::CursorError;

macro_rules! codes {
    ($($(#[doc = $doc:literal])+ $name:ident = $status:literal $code:literal $title:literal,)+) => {
        /// What went wrong, by a stable name.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum Code {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Code {
            /// Every code, in the order of its status.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the stable name.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $code,)+
                }
            }

            /// Returns the status of the answer, as a number.
            pub const fn status(self) -> u16 {
                match self {
                    $(Self::$name => $status,)+
                }
            }

            /// Returns what kind of problem it is, in a few words.
            pub const fn title(self) -> &'static str {
                match self {
                    $(Self::$name => $title,)+
                }
            }

            /// Returns what it means and what to do, in sentences.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc, "\n"),+),)+
                }
            }
        }
    };
}

codes! {
    /// The body is no JSON, or not what the schema of the request permits.
    InvalidBody = 400 "invalid_body" "The body is not valid",
    /// The query has a parameter that is unknown, or a value that its schema does not permit.
    InvalidQuery = 400 "invalid_query" "The query is not valid",
    /// The cursor is none that this service has made for this list: it was changed, or came with other filters, another
    /// `sort` or another `order`. Begin anew without it.
    InvalidCursor = 400 "invalid_cursor" "The cursor is not valid",
    /// The context is no object, too large, or not what the template's schema permits; `faults` lists why.
    InvalidContext = 400 "invalid_context" "The context does not fit the template",
    /// What the request says is well-formed, but cannot be kept or done, such as bypassing a step that is not skippable.
    InvalidRequest = 400 "invalid_request" "The request is not valid",
    /// A part of the path is not of the form that it must have, such as an id that is no UUID.
    InvalidPath = 400 "invalid_path" "The path is not valid",
    /// The request does not say who makes it, or not in a way that can be believed.
    Unauthenticated = 401 "unauthenticated" "Authentication is required",
    /// The caller is known and may not do this.
    Denied = 403 "denied" "Not permitted",
    /// There is nothing at this path.
    RouteNotFound = 404 "route_not_found" "No such route",
    /// No template is in the namespace.
    UnknownNamespace = 404 "unknown_namespace" "No such namespace",
    /// The namespace has no template of this name.
    UnknownHandler = 404 "unknown_handler" "No such handler",
    /// The template has no version that fits.
    UnknownVersion = 404 "unknown_version" "No such version",
    /// There is no task with this id.
    UnknownTask = 404 "unknown_task" "No such task",
    /// The task has no step of this name.
    UnknownStep = 404 "unknown_step" "No such step",
    /// The path exists, but not for this method.
    MethodNotAllowed = 405 "method_not_allowed" "Method not allowed",
    /// The state does not permit it; `state` and `event` say which did not go together, and nothing was changed.
    IllegalTransition = 409 "illegal_transition" "Not in this state",
    /// The step is running, and its settings cannot be changed meanwhile.
    StepInProgress = 409 "step_in_progress" "The step is running",
    /// The same was asked for before; `task_id` is its task.
    DuplicateTask = 409 "duplicate_task" "The same task exists",
    /// What `If-Match` names is no longer what there is: look again, and decide anew.
    PreconditionFailed = 412 "precondition_failed" "It was changed meanwhile",
    /// The body has more bytes than `server.body_bytes`.
    BodyTooLarge = 413 "body_too_large" "The body is too large",
    /// The body is not said to be JSON: the request needs `Content-Type: application/json`.
    UnsupportedMediaType = 415 "unsupported_media_type" "The body must be JSON",
    /// The idempotency key was used for a request that said something else; `task_id` is the task of that one.
    IdempotencyKeyReused = 422 "idempotency_key_reused" "The idempotency key was used before",
    /// There were more requests than `server.address_rate` permits to an address, or `server.caller_rate` to a caller;
    /// `Retry-After` says when to come again.
    TooManyRequests = 429 "too_many_requests" "Too many requests",
    /// Something failed that never should; the log of the server says what.
    Internal = 500 "internal" "Internal error",
    /// The database cannot be reached or is busy. Trying again is safe; `Retry-After` says when.
    StoreUnavailable = 503 "store_unavailable" "The database is not available",
    /// As many clients follow events as `server.event_streams` permits; `Retry-After` says when to try again.
    TooManyStreams = 503 "too_many_streams" "Too many clients follow events",
    /// The service cannot work now: its database does not answer in time, or lacks migrations; `checks` says which.
    NotReady = 503 "not_ready" "Not ready",
    /// The request took longer than `server.request_timeout_seconds`. Whether it was carried out is not known.
    TimedOut = 504 "timed_out" "The request took too long",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Code {
    /// Returns the URI that identifies the kind of problem.
    pub fn uri(self) -> String {
        format!("urn:tasker:problem:{self}")
    }
}

/// Why a request was not carried out (RFC 9457). Some kinds have further members.
#[derive(utoipa::ToSchema)]
#[expect(dead_code, reason = "it describes what `Problem` writes")]
pub(crate) struct ProblemDetails {
    /// Which kind of problem it is.
    #[schema(examples("urn:tasker:problem:unknown_handler"))]
    r#type: String,
    /// The kind in a few words.
    title: String,
    /// The status of the answer.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// The stable name of the kind.
    #[schema(examples("unknown_handler"))]
    code: String,
    /// What is wrong in this case.
    detail: String,
}

/// Why a request was not carried out, as its answer says it.
#[derive(Clone, Debug)]
#[must_use = "a problem says nothing until it is answered"]
pub struct Problem {
    code: Code,
    detail: String,
    more: Box<More>,
}

/// What only some problems have.
#[derive(Clone, Debug, Default)]
struct More {
    members: Map<String, Value>,
    headers: Vec<(header::HeaderName, HeaderValue)>,
}

impl Problem {
    /// Returns a problem with what is wrong in this case.
    pub fn new(code: Code, detail: impl Into<String>) -> Self {
        Self {
            code,
            detail: detail.into(),
            more: Box::default(),
        }
    }

    /// Adds a member that programs can read.
    pub fn with(mut self, name: impl Into<String>, value: impl Into<Value>) -> Self {
        self.more.members.insert(name.into(), value.into());
        self
    }

    /// Adds a header to the answer.
    pub fn with_header(mut self, name: header::HeaderName, value: HeaderValue) -> Self {
        self.more.headers.push((name, value));
        self
    }

    /// Returns a failure of the server itself. What failed is logged and not told: it may say what nobody may see.
    pub fn internal(error: &dyn std::error::Error) -> Self {
        tracing::error!(error = %Chain(error), "a request failed");
        Self::new(Code::Internal, "the server failed; its log says how")
    }

    /// Returns what went wrong.
    pub fn code(&self) -> Code {
        self.code
    }

    /// Returns what is wrong in this case.
    pub fn detail(&self) -> &str {
        &self.detail
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        Self::of_store(&error)
    }
}

impl Problem {
    /// Returns what a store says.
    pub(crate) fn of_store(error: &StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::UnknownTask { .. } => Self::new(Code::UnknownTask, text),
            StoreError::UnknownStep { .. } => Self::new(Code::UnknownStep, text),
            StoreError::IllegalStep { source, .. } => Self::new(Code::IllegalTransition, text)
                .with("state", source.state.as_str())
                .with("event", source.event.as_str()),
            StoreError::IllegalTask { source, .. } => Self::new(Code::IllegalTransition, text)
                .with("state", source.state.as_str())
                .with("event", source.event.as_str()),
            StoreError::StepInProgress { .. } => Self::new(Code::StepInProgress, text),
            StoreError::Changed { .. } => Self::new(Code::PreconditionFailed, text),
            StoreError::Rejected { .. } => Self::new(Code::InvalidRequest, text),
            StoreError::Unavailable { .. } | StoreError::NotWritable { .. } | StoreError::Closed => {
                tracing::warn!(error = %Chain(error), "a request found no database");
                Self::new(Code::StoreUnavailable, "the database is not available now")
                    .with_header(header::RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => Self::internal(error),
        }
    }
}

impl From<CursorError> for Problem {
    fn from(error: CursorError) -> Self {
        match error {
            CursorError::Store(error) => error.into(),
            CursorError::Invalid(error) => Self::new(Code::InvalidCursor, error.to_string()),
        }
    }
}

impl From<InsightError> for Problem {
    fn from(error: InsightError) -> Self {
        match error {
            InsightError::Store(error) => error.into(),
            error => Self::internal(&error),
        }
    }
}

impl From<RequestError> for Problem {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Context(faults) => {
                let list: Vec<_> = faults.as_slice().to_vec();
                Self::new(Code::InvalidContext, faults.to_string()).with("faults", list)
            }
            error => Self::new(Code::InvalidRequest, error.to_string()),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        let code = match refusal {
            Refusal::KeyReused { .. } => Code::IdempotencyKeyReused,
            _ => Code::DuplicateTask,
        };
        Self::new(code, refusal.to_string()).with("task_id", refusal.task().to_string())
    }
}

/// An error with everything that led to it.
pub(crate) struct Chain<'a>(pub(crate) &'a dyn std::error::Error);

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut source = self.0.source();
        while let Some(error) = source {
            write!(f, ": {error}")?;
            source = error.source();
        }
        Ok(())
    }
}

impl Serialize for Problem {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut members = Map::new();
        members.insert("type".to_owned(), self.code.uri().into());
        members.insert("title".to_owned(), self.code.title().into());
        members.insert("status".to_owned(), self.code.status().into());
        members.insert("code".to_owned(), self.code.as_str().into());
        members.insert("detail".to_owned(), self.detail.clone().into());
        members.extend(self.more.members.clone());
        members.serialize(serializer)
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        // An object of texts and numbers can always be written.
        let body = serde_json::to_vec(&self).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() =
            StatusCode::from_u16(self.code.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/problem+json"),
        );
        for (name, value) in self.more.headers {
            headers.insert(name, value);
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn codes_are_told_apart_and_explained() {
        let names: BTreeSet<_> = Code::ALL.iter().map(|code| code.as_str()).collect();
        assert_eq!(names.len(), Code::ALL.len());
        let statuses: Vec<_> = Code::ALL.iter().map(|code| code.status()).collect();
        assert!(statuses.is_sorted(), "{statuses:?}");
        for code in Code::ALL {
            assert!(
                !code.doc().trim().is_empty() && !code.title().is_empty(),
                "{code}"
            );
            assert!(StatusCode::from_u16(code.status()).is_ok_and(|status| !status.is_success()));
        }
    }

    #[test]
    fn a_problem_has_the_members_of_the_standard_and_its_own() {
        let problem = Problem::new(Code::UnknownHandler, "there is no handler `x`").with("nearest", "y");
        assert_eq!(
            serde_json::to_string(&problem).unwrap(),
            r#"{"type":"urn:tasker:problem:unknown_handler","title":"No such handler","status":404,"code":"unknown_handler","detail":"there is no handler `x`","nearest":"y"}"#
        );
    }
}
