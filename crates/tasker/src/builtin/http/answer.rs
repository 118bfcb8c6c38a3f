//! What a server answered, and what becomes of it.

use reqwest::Response;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde::Serialize;
use serde_json::{Map, Value};
use tasker_engine::{Failure, Json, StepError};
use tokio::time::Instant;

use crate::secrets::SecretNames;

/// An answer as it is kept.
#[derive(Debug, Serialize)]
pub(super) struct Answer {
    pub(super) status: u16,
    /// By name; a list where one name came several times. Secrets are left out.
    headers: Map<String, Value>,
    body: Json,
}

/// The body of an answer, as far as it was read.
#[derive(Debug, Default)]
struct Body {
    bytes: Vec<u8>,
    /// There was more than the limit.
    over: bool,
}

impl Answer {
    /// Reads an answer that is to be the step's result: all of it or an error.
    pub(super) async fn whole(
        mut response: Response,
        limit: u64,
        secrets: &SecretNames,
        request: &str,
    ) -> Result<Self, StepError> {
        let (status, headers) = (response.status().as_u16(), headers(response.headers(), secrets));
        let json = is_json(response.headers());
        let rejected = |message: String| StepError::permanent(Failure::RESULT_REJECTED, message);
        let mut body = Body::default();
        body.read(&mut response, limit)
            .await
            .map_err(|error| super::broken(request, &error))?;
        if body.over {
            return Err(rejected(format!(
                "the body of the answer to {request} has more than {limit} bytes; ask for less, or raise `limits.result`"
            )));
        }
        let text = String::from_utf8(body.bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            rejected(format!(
                "the body of the answer to {request} is not UTF-8 at byte {at}; only text can be kept"
            ))
        })?;
        let body = if text.is_empty() {
            Json::null()
        } else if json {
            Json::parse(text.trim()).map_err(|error| {
                rejected(format!(
                    "the body of the answer to {request} is no JSON, though its `Content-Type` says so: {error}"
                ))
            })?
        } else {
            Json::from(&Value::String(text))
        };
        Ok(Self {
            status,
            headers,
            body,
        })
    }

    /// Reads an answer that is to be told of with the step's failure: as much as fits and comes in time, in whatever form.
    pub(super) async fn beginning(
        mut response: Response,
        limit: u64,
        until: Instant,
        secrets: &SecretNames,
    ) -> Self {
        let (status, headers) = (response.status().as_u16(), headers(response.headers(), secrets));
        let json = is_json(response.headers());
        let mut body = Body::default();
        // What an error has to say beside its status is no reason to fail in another way.
        let whole = tokio::time::timeout_at(until, body.read(&mut response, limit)).await;
        let text = String::from_utf8_lossy(&body.bytes);
        let parsed = (json && !body.over && matches!(whole, Ok(Ok(()))))
            .then(|| Json::parse(text.trim()).ok())
            .flatten();
        let body = match parsed {
            Some(json) => json,
            None if text.is_empty() => Json::null(),
            None => Json::from(&Value::String(text.into_owned())),
        };
        Self {
            status,
            headers,
            body,
        }
    }
}

impl Body {
    /// Reads on until the end or the limit.
    async fn read(&mut self, response: &mut Response, limit: u64) -> Result<(), reqwest::Error> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        while let Some(chunk) = response.chunk().await? {
            let room = limit - self.bytes.len();
            self.bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
            if chunk.len() > room {
                // The rest is not waited for: the connection is closed with the response.
                self.over = true;
                break;
            }
        }
        Ok(())
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let kind = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default();
    let kind = kind.trim().to_ascii_lowercase();
    kind == "application/json" || (kind.contains('/') && kind.ends_with("+json"))
}

fn headers(headers: &HeaderMap, secrets: &SecretNames) -> Map<String, Value> {
    let mut kept = Map::new();
    for name in headers.keys().filter(|name| !secrets.has(name.as_str())) {
        let values = headers.get_all(name).iter();
        let mut values: Vec<Value> = values
            .map(|value| String::from_utf8_lossy(value.as_bytes()).into_owned().into())
            .collect();
        let value = match values.len() {
            1 => values.remove(0),
            _ => Value::Array(values),
        };
        kept.insert(name.to_string(), value);
    }
    kept
}
