//! What ties the lines of a request together, and tells that it was answered.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName};
use axum::middleware::Next;
use axum::response::Response;
use tasker::SecretNames;
use tasker::TraceContext;
use tasker_types::TelemetryValues;
use tokio::time::Instant;
use tracing::Instrument as _;

use crate::problem::{Code, Problem};

/// Read where a request has no header of the configured name.
const FALLBACK: &str = "x-request-id";
/// The header of [Trace Context](https://www.w3.org/TR/trace-context/).
const TRACEPARENT: &str = "traceparent";
/// How many characters a correlation id may have.
const LONGEST: usize = 200;

/// Returns the correlation id of a request: that of the header `telemetry.correlation_id_header`, or else that of
/// `X-Request-ID`.
///
/// # Errors
///
/// [`Code::InvalidRequest`] if it is empty, too long, or of other characters than visible ASCII.
pub(crate) fn correlation_id<'h>(
    headers: &'h HeaderMap,
    telemetry: &TelemetryValues,
) -> Result<Option<&'h str>, Problem> {
    let configured = telemetry.correlation_id_header.as_str();
    let found = [configured, FALLBACK]
        .into_iter()
        .find_map(|name| Some((name, headers.get(name)?)));
    let Some((name, value)) = found else {
        return Ok(None);
    };
    let wrong = |what: String| {
        let detail = format!(
            "the header `{name}` {what}; send 1 to {LONGEST} visible characters of ASCII, or none of it at all"
        );
        Err(Problem::new(Code::InvalidRequest, detail))
    };
    let plain = |text: &&str| text.chars().all(|each| each.is_ascii_graphic());
    match value.to_str().ok().filter(plain) {
        Some("") => wrong("is empty".to_owned()),
        Some(id) if id.len() > LONGEST => wrong(format!("has {} characters", id.len())),
        Some(id) => Ok(Some(id)),
        None => wrong("has characters that are no visible ASCII".to_owned()),
    }
}

/// What a request brings along for the tasks that it asks for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Brought<'h> {
    pub(crate) correlation_id: Option<&'h str>,
    /// The span that they are part of: that of the header `traceparent`, which is ignored if it is none.
    pub(crate) trace_context: Option<TraceContext>,
}

/// Returns what a request brings along.
///
/// # Errors
///
/// As [`correlation_id`].
pub(crate) fn brought<'h>(
    headers: &'h HeaderMap,
    telemetry: &TelemetryValues,
) -> Result<Brought<'h>, Problem> {
    let text = headers.get(TRACEPARENT).and_then(|value| value.to_str().ok());
    Ok(Brought {
        correlation_id: correlation_id(headers, telemetry)?,
        trace_context: text.and_then(|text| text.parse().ok()),
    })
}

/// What lines of requests are made by.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    secrets: Arc<SecretNames>,
    telemetry: Arc<tasker_types::Telemetry>,
}

impl Lines {
    pub(crate) fn new(telemetry: &Arc<tasker_types::Telemetry>) -> Self {
        Self {
            secrets: Arc::new(SecretNames::of(telemetry)),
            telemetry: Arc::clone(telemetry),
        }
    }
}

/// Has everything that is logged for a request say of which one it is, and tells when it was answered, with its correlation
/// id in the answer too.
pub(crate) async fn logged(State(lines): State<Lines>, request: Request, next: Next) -> Response {
    let id = correlation_id(request.headers(), &lines.telemetry)
        .ok()
        .flatten()
        .map(str::to_owned);
    let query = request.uri().query().map(|query| shown(query, &lines.secrets));
    // Whatever is logged at all has these fields.
    let span = tracing::error_span!(
        "request",
        method = %request.method(),
        path = request.uri().path(),
        query,
        correlation_id = id.as_deref(),
    );
    let begun = Instant::now();
    let mut response = next.run(request).instrument(span.clone()).await;
    let status = response.status().as_u16();
    let seconds = begun.elapsed().as_secs_f64();
    span.in_scope(|| tracing::info!(status, seconds, "answered a request"));
    let name = HeaderName::from_bytes(lines.telemetry.correlation_id_header.as_bytes());
    if let Some((id, name)) = id.and_then(|id| id.parse().ok()).zip(name.ok()) {
        response.headers_mut().insert(name, id);
    }
    response
}

/// Returns a query without the values of secrets.
fn shown(query: &str, secrets: &SecretNames) -> String {
    let pairs = query.split('&').map(|pair| match pair.split_once('=') {
        Some((name, _)) if secrets.has(&decoded(name)) => format!("{name}={}", secrets.mask()),
        _ => pair.to_owned(),
    });
    pairs.collect::<Vec<_>>().join("&")
}

/// Returns the name of a parameter as it is meant.
fn decoded(name: &str) -> String {
    let pair: Result<Vec<(String, String)>, _> = serde_html_form::from_str(&format!("{name}=x"));
    match pair.ok().and_then(|mut pairs| pairs.pop()) {
        Some((name, _)) => name,
        None => name.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_shown_without_secrets() {
        let secrets = SecretNames::of(&TelemetryValues::default());
        for (query, text) in [
            ("limit=5&state=error", "limit=5&state=error"),
            ("api_key=k&limit=5", "api_key=[FILTERED]&limit=5"),
            ("pass%77ord=x", "pass%77ord=[FILTERED]"),
            ("flag&token=", "flag&token=[FILTERED]"),
        ] {
            assert_eq!(shown(query, &secrets), text);
        }
    }

    #[track_caller]
    fn id(headers: &[(&'static str, &str)]) -> Result<Option<String>, String> {
        let telemetry = TelemetryValues {
            correlation_id_header: "X-Trace".to_owned(),
            ..TelemetryValues::default()
        };
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.insert(
                *name,
                axum::http::HeaderValue::from_bytes(value.as_bytes()).unwrap(),
            );
        }
        match correlation_id(&map, &telemetry) {
            Ok(id) => Ok(id.map(str::to_owned)),
            Err(problem) => Err(problem.detail().to_owned()),
        }
    }

    #[test]
    fn a_correlation_id_is_that_of_the_configured_header_or_of_the_usual_one() {
        assert_eq!(id(&[]), Ok(None));
        assert_eq!(id(&[("x-trace", "a-1")]), Ok(Some("a-1".to_owned())));
        assert_eq!(id(&[("x-request-id", "b-2")]), Ok(Some("b-2".to_owned())));
        assert_eq!(
            id(&[("x-trace", "a-1"), ("x-request-id", "b-2")]),
            Ok(Some("a-1".to_owned()))
        );
        let must = "; send 1 to 200 visible characters of ASCII, or none of it at all";
        for (value, what) in [
            (String::new(), "is empty"),
            ("x".repeat(201), "has 201 characters"),
            ("a b".to_owned(), "has characters that are no visible ASCII"),
            ("é".to_owned(), "has characters that are no visible ASCII"),
        ] {
            let said = id(&[("x-trace", &value)]).unwrap_err();
            assert_eq!(said, format!("the header `X-Trace` {what}{must}"));
        }
    }
}
