//! The `http` handler: one request to a server.
//!
//! It follows no redirects, uses no proxies, and makes one attempt: whether another follows is the engine's business.

mod address;
mod answer;
mod settings;
mod status;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use async_trait::async_trait;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderName, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder, StatusCode};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tasker_engine::{
    CheckedStep, Clock, Done, Failure, Json, StepContext, StepError, StepHandler, parse_retry_after,
};
use tasker_types::Limits;
use tokio::time::{Instant, timeout_at};

use super::expression::{Template, as_text};
use crate::secrets::SecretNames;
use address::Address;
use answer::Answer;
pub(super) use settings::config_schema;
use settings::{Settings, header_value};
use status::Class;

/// Under this name the server gets the key that is the same for all attempts.
const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");

/// Under this name the server gets the span that its own are part of.
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// What a request could not be made of.
const REQUEST_REFUSED: &str = "http_request_refused";

/// How long to wait for the body of an answer whose status says already that the step has failed.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Sends requests.
pub(super) struct Http {
    limits: Arc<Limits>,
    environment: BTreeMap<String, String>,
    clock: Arc<dyn Clock>,
    secrets: SecretNames,
    /// Made for the first request: reading the certificates of the machine takes its time.
    client: OnceLock<Result<Client, String>>,
}

impl Http {
    pub(super) fn new(
        limits: Arc<Limits>,
        environment: BTreeMap<String, String>,
        clock: Arc<dyn Clock>,
        secrets: SecretNames,
    ) -> Self {
        Self {
            limits,
            environment,
            clock,
            secrets,
            client: OnceLock::new(),
        }
    }

    fn client(&self) -> Result<&Client, StepError> {
        let client = self.client.get_or_init(client);
        client.as_ref().map_err(|error| {
            StepError::retryable(format!("no HTTP client can be made: {error}"))
                .with_code("http_client_missing")
        })
    }

    /// Fills the values in, and returns the request with what it is called in messages.
    fn request(&self, ctx: &StepContext, settings: &Settings) -> Result<(RequestBuilder, String), StepError> {
        let refused = |message: String| StepError::permanent(REQUEST_REFUSED, message);
        let mut address = Address::of(&settings.url.parts(ctx, &self.environment)?, self.secrets.mask())
            .map_err(refused)?;
        for (name, value) in &settings.params {
            let values = match self.filled(ctx, value)? {
                Value::Array(values) => values,
                value => vec![value],
            };
            for value in values.iter().filter(|value| !value.is_null()) {
                address.url.query_pairs_mut().append_pair(name, &as_text(value));
            }
        }
        let mut headers = HeaderMap::new();
        for (name, template) in &settings.headers {
            let text = as_text(&template.fill(ctx, &self.environment)?);
            let mut value = header_value(name.as_str(), &text).map_err(refused)?;
            value.set_sensitive(self.secrets.has(name.as_str()));
            headers.append(name.clone(), value);
        }
        if !headers.contains_key(IDEMPOTENCY_KEY) {
            let value = header_value(IDEMPOTENCY_KEY.as_str(), &ctx.idempotency_key()).map_err(refused)?;
            headers.insert(IDEMPOTENCY_KEY, value);
        }
        if !headers.contains_key(TRACEPARENT) {
            let value =
                header_value(TRACEPARENT.as_str(), &ctx.trace_context().to_string()).map_err(refused)?;
            headers.insert(TRACEPARENT, value);
        }
        let shown = format!("`{} {}`", settings.method, address.shown);
        let mut request = self.client()?.request(settings.method.clone(), address.url);
        if let Some(body) = &settings.body {
            let (kind, body) = match self.filled(ctx, body)? {
                Value::String(text) => ("text/plain; charset=utf-8", text),
                body => ("application/json", body.to_string()),
            };
            headers
                .entry(CONTENT_TYPE)
                .or_insert(HeaderValue::from_static(kind));
            request = request.body(body);
        }
        Ok((request.headers(headers), shown))
    }

    /// Fills in the values of all texts in a value.
    fn filled(&self, ctx: &StepContext, value: &Value) -> Result<Value, StepError> {
        Ok(match value {
            Value::String(text) => Template::parse(text)
                .map_err(|error| StepError::permanent("config_rejected", error.to_string()))?
                .fill(ctx, &self.environment)?,
            Value::Array(items) => {
                let items = items.iter().map(|item| self.filled(ctx, item));
                Value::Array(items.collect::<Result<_, _>>()?)
            }
            Value::Object(fields) => {
                let filled = |(name, field): (&String, &Value)| Ok((name.clone(), self.filled(ctx, field)?));
                Value::Object(fields.iter().map(filled).collect::<Result<_, StepError>>()?)
            }
            other => other.clone(),
        })
    }

    /// Sends a request, and makes a result or a failure of the answer.
    async fn exchange(
        &self,
        request: RequestBuilder,
        shown: &str,
        settings: &Settings,
    ) -> Result<Done, StepError> {
        let deadline = Instant::now() + settings.timeout;
        let late = |_| {
            let limit = settings.timeout.as_secs_f64();
            let message =
                format!("{shown} did not end within {limit} seconds (`timeout_seconds` of its `config`)");
            StepError::retryable(message).with_code(Failure::TIMEOUT)
        };
        let response = timeout_at(deadline, request.send()).await.map_err(late)?;
        let response = response.map_err(|error| broken(shown, &error))?;
        let status = response.status();
        let class = settings.statuses.class(status.as_u16());
        if class == Class::Success {
            let answer = Answer::whole(response, self.limits.result, &self.secrets, shown);
            let answer = timeout_at(deadline, answer).await.map_err(late)??;
            return Ok(Done::Result(Json::of(&answer)?));
        }
        let wait = retry_after(response.headers(), &*self.clock, shown);
        let message = format!("{shown} answered {}", told(status));
        let code = format!("HTTP_{}", status.as_u16());
        let until = deadline.min(Instant::now() + LAST_WORDS);
        let answer = Answer::beginning(response, self.limits.stderr_tail, until, &self.secrets).await;
        let error = match (class, wait) {
            (Class::Permanent, _) => StepError::permanent(code, message),
            (_, Some(wait)) => StepError::retryable(message).with_code(code).retry_after(wait),
            (_, None) => StepError::retryable(message).with_code(code),
        };
        Err(error.with_context(&answer))
    }
}

#[async_trait]
impl StepHandler for Http {
    async fn run(&self, ctx: StepContext) -> Result<Done, StepError> {
        let settings = Settings::of(&ctx.config())
            .map_err(|faults| StepError::permanent("config_rejected", faults.join("; ")))?;
        let (request, shown) = self.request(&ctx, &settings)?;
        Box::pin(self.exchange(request, &shown, &settings)).await
    }

    fn check_step(&self, step: &CheckedStep<'_>) -> Result<(), Vec<String>> {
        let mut faults = Vec::new();
        Settings::of(step.config)?.check(step.parents, &self.environment, &mut faults);
        if faults.is_empty() { Ok(()) } else { Err(faults) }
    }
}

/// Makes an HTTP client that trusts the certificates of the machine, uses no proxy, follows no redirect and repeats nothing.
///
/// # Errors
///
/// Why it cannot be made.
pub fn client() -> Result<Client, String> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(found.certs);
    for error in found.errors {
        tracing::warn!(%error, "certificates of this machine cannot be read");
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let tls = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        .no_proxy()
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .user_agent(concat!("tasker/", env!("CARGO_PKG_VERSION")))
        .build()
        .map_err(|error| error.to_string())
}

/// Returns how long an answer asks to wait. A header that cannot be read is ignored.
fn retry_after(headers: &HeaderMap, clock: &dyn Clock, request: &str) -> Option<Duration> {
    let text = |name| {
        headers
            .get(name)
            .map(|value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()))
    };
    let header = text(RETRY_AFTER)?;
    let wait = parse_retry_after(&header, text(DATE).as_deref(), clock.now());
    wait.inspect_err(|error| tracing::warn!(%error, %request, "a `Retry-After` is ignored"))
        .ok()
}

/// Returns the error of a request that got no whole answer.
fn broken(request: &str, error: &reqwest::Error) -> StepError {
    let mut message = String::new();
    // The outermost error repeats the URL, whose query may have secrets.
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        message.push_str(": ");
        message.push_str(&cause.to_string());
        source = cause.source();
    }
    if error.is_connect() {
        let message = format!("{request} could not connect{message}");
        return StepError::retryable(message).with_code("http_connect_failed");
    }
    StepError::retryable(format!("{request} got no whole answer{message}"))
        .with_code("http_connection_broken")
}

fn told(status: StatusCode) -> String {
    match status.canonical_reason() {
        Some(reason) => format!("{} {reason}", status.as_u16()),
        None => status.as_u16().to_string(),
    }
}
