//! What handlers take of a request, with problems instead of plain texts where it is not as it must be.

use axum::body::Bytes;
use axum::extract::rejection::{BytesRejection, PathRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{HeaderMap, header};
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::problem::{Code, Problem};

/// The parts of the path.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Path<T>(pub(crate) T);

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let extracted: Result<_, PathRejection> =
            axum::extract::Path::<T>::from_request_parts(parts, state).await;
        extracted
            .map(|axum::extract::Path(value)| Self(value))
            .map_err(|rejection| Problem::new(Code::InvalidPath, rejection.body_text()))
    }
}

/// The query, of which nothing is unknown.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Query<T>(pub(crate) T);

impl<T: DeserializeOwned, S: Send + Sync> FromRequestParts<S> for Query<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        serde_html_form::from_str(parts.uri.query().unwrap_or_default())
            .map(Self)
            .map_err(|error| Problem::new(Code::InvalidQuery, error.to_string()))
    }
}

/// A body of JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        if !is_json(request.headers()) {
            return Err(no_json());
        }
        let bytes = Bytes::from_request(request, app).await.map_err(refused)?;
        parsed(&bytes, app).map(Self)
    }
}

/// A body of JSON that may be left out or null, and is its default then.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OptionalBody<T>(pub(crate) T);

impl<T: DeserializeOwned + Default> FromRequest<App> for OptionalBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, app: &App) -> Result<Self, Problem> {
        let is_json = is_json(request.headers());
        let bytes = Bytes::from_request(request, app).await.map_err(refused)?;
        match (bytes.is_empty(), is_json) {
            (true, _) => Ok(Self(T::default())),
            (false, true) => parsed::<Option<T>>(&bytes, app).map(|body| Self(body.unwrap_or_default())),
            (false, false) => Err(no_json()),
        }
    }
}

/// Reads an object; a list of its values in their order, which serde would take too, is none.
fn parsed<T: DeserializeOwned>(bytes: &[u8], app: &App) -> Result<T, Problem> {
    let most = app.settings().body_depth;
    if is_deeper(bytes, most) {
        let detail = format!(
            "the body has more than {most} levels of lists and objects within one another, which is `server.body_depth`"
        );
        return Err(Problem::new(Code::InvalidBody, detail));
    }
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(Problem::new(
            Code::InvalidBody,
            "the body is an array, but it must be an object",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| Problem::new(Code::InvalidBody, error.to_string()))
}

/// Tells whether more lists and objects than this are open at one place. It need not be JSON.
fn is_deeper(bytes: &[u8], most: u32) -> bool {
    let (mut depth, mut in_text, mut is_escaped) = (0_u32, false, false);
    for byte in bytes {
        match byte {
            _ if is_escaped => is_escaped = false,
            b'\\' if in_text => is_escaped = true,
            b'"' => in_text = !in_text,
            b'[' | b'{' if !in_text => {
                depth += 1;
                if depth > most {
                    return true;
                }
            }
            b']' | b'}' if !in_text => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    false
}

fn no_json() -> Problem {
    Problem::new(
        Code::UnsupportedMediaType,
        "the body must be JSON, and its `Content-Type` must say `application/json`",
    )
}

fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return false;
    };
    let kind = value.to_str().unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    kind.eq_ignore_ascii_case("application/json")
        || (kind.starts_with("application/") && kind.ends_with("+json"))
}

fn refused(rejection: BytesRejection) -> Problem {
    let code = match rejection.status().as_u16() {
        413 => Code::BodyTooLarge,
        _ => Code::InvalidBody,
    };
    Problem::new(code, rejection.body_text())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn depth(text: &str, expected: u32) {
        assert!(!is_deeper(text.as_bytes(), expected), "{text}");
        assert!(
            expected == 0 || is_deeper(text.as_bytes(), expected - 1),
            "{text}"
        );
    }

    #[test]
    fn what_is_open_at_one_place_is_counted() {
        depth("", 0);
        depth("5", 0);
        depth("{}", 1);
        depth("[[], [], {}]", 2);
        depth(r#"{"a": [{"b": [1]}], "c": [[[]]]}"#, 4);
        depth(r#"{"[[[": "{{{\"[[["}"#, 1);
        depth(r#"{"a": "\\", "b": [1]}"#, 2);
        depth("]]]]{[", 2);
        depth(&"[".repeat(100_000), 100_000);
    }
}
