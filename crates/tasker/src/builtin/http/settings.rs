//! The configuration of an `http` step.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::{HeaderName, HeaderValue};
use reqwest::{Method, Url};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::address::dot_segment;
use super::status::{Class, Statuses};
use crate::builtin::expression::{ExpressionError, Template};

/// How long a request may take when nothing is said of it.
const TIMEOUT: Duration = Duration::from_secs(30);
/// No request may take longer than this, a year.
const LONGEST: f64 = 31_536_000.0;

/// The methods that a request can have.
const METHODS: [Method; 7] = [
    Method::GET,
    Method::HEAD,
    Method::POST,
    Method::PUT,
    Method::PATCH,
    Method::DELETE,
    Method::OPTIONS,
];

/// What the configuration says, as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    method: Option<String>,
    url: String,
    #[serde(default)]
    headers: Map<String, Value>,
    #[serde(default)]
    params: Map<String, Value>,
    #[serde(default)]
    body: Option<Value>,
    #[serde(default)]
    timeout_seconds: Option<f64>,
    #[serde(default)]
    success: Vec<Value>,
    #[serde(default)]
    permanent: Vec<Value>,
    #[serde(default)]
    retryable: Vec<Value>,
}

/// Returns the JSON Schema of the configuration.
pub(in crate::builtin) fn config_schema() -> Value {
    let statuses = |meaning: &str| {
        json!({
            "description": format!("Statuses that {meaning}: numbers, or classes such as \"4xx\"."),
            "type": "array",
            "items": {
                "anyOf": [
                    { "type": "integer", "minimum": 100, "maximum": 599 },
                    { "type": "string", "pattern": "^[1-5](xx|XX|[0-9]{2})$" },
                ],
            },
        })
    };
    let values = json!(["string", "number", "boolean"]);
    json!({
        "description": "Makes one request; every text may have expressions such as {{ context.a.b }}, {{ steps.NAME.result.a }} and {{ env.NAME }}.",
        "type": "object",
        "additionalProperties": false,
        "required": ["url"],
        "properties": {
            "method": {
                "description": "GET if it is left out.",
                "enum": METHODS.each_ref().map(Method::as_str),
            },
            "url": {
                "description": "Begins with http:// or https://, or with an expression; other values in it are percent-encoded.",
                "type": "string",
            },
            "headers": {
                "description": "Headers by name.",
                "type": "object",
                "additionalProperties": { "type": values },
            },
            "params": {
                "description": "Parameters for the query by name; a list repeats the name, null leaves it out.",
                "type": "object",
                "additionalProperties": {
                    "type": ["string", "number", "boolean", "null", "array"],
                    "items": { "type": ["string", "number", "boolean", "null"] },
                },
            },
            "body": { "description": "Sent as JSON, a text as it is." },
            "timeout_seconds": {
                "description": "How long the whole exchange may take; 30 if it is left out.",
                "type": ["number", "null"],
                "exclusiveMinimum": 0,
                "maximum": LONGEST,
            },
            "success": statuses("complete the step"),
            "permanent": statuses("fail it for good"),
            "retryable": statuses("are tried again"),
        },
    })
}

/// A request to make, its values not filled in yet.
#[derive(Clone, Debug)]
pub(super) struct Settings {
    pub(super) method: Method,
    pub(super) url: Template,
    pub(super) headers: Vec<(HeaderName, Template)>,
    pub(super) params: Map<String, Value>,
    pub(super) body: Option<Value>,
    pub(super) timeout: Duration,
    pub(super) statuses: Statuses,
}

impl Settings {
    /// Reads a configuration.
    ///
    /// # Errors
    ///
    /// All faults that can be seen without the values of its expressions.
    pub(super) fn of(config: &Value) -> Result<Self, Vec<String>> {
        let raw = Raw::deserialize(config).map_err(|error| vec![error.to_string()])?;
        let mut faults = Vec::new();
        let method = method(raw.method.as_deref(), &mut faults);
        let url = keep(url(&raw.url), &mut faults);
        let headers = raw
            .headers
            .iter()
            .filter_map(|(name, value)| keep(header(name, value), &mut faults));
        let headers: Vec<_> = headers.collect();
        for (name, value) in &raw.params {
            keep(param(name, value), &mut faults);
        }
        let timeout = keep(timeout(raw.timeout_seconds), &mut faults);
        let mut statuses = Statuses::default();
        statuses.add("success", Class::Success, &raw.success, &mut faults);
        statuses.add("permanent", Class::Permanent, &raw.permanent, &mut faults);
        statuses.add("retryable", Class::Retryable, &raw.retryable, &mut faults);
        match (method, url, timeout) {
            (Some(method), Some(url), Some(timeout)) if faults.is_empty() => Ok(Self {
                method,
                url,
                headers,
                params: raw.params,
                body: raw.body,
                timeout,
                statuses,
            }),
            _ => Err(faults),
        }
    }

    /// Checks that every expression reads what it may.
    pub(super) fn check(
        &self,
        parents: &[&str],
        environment: &BTreeMap<String, String>,
        faults: &mut Vec<String>,
    ) {
        let mut check = |place: &str, template: Result<Template, ExpressionError>| {
            let checked = template.and_then(|template| template.check(parents, environment));
            if let Err(error) = checked {
                faults.push(format!("`{place}`: {error}"));
            }
        };
        check("url", Ok(self.url.clone()));
        for (name, template) in &self.headers {
            check(&format!("headers.{name}"), Ok(template.clone()));
        }
        for (name, value) in &self.params {
            texts(value, &format!("params.{name}"), &mut |place, text| {
                check(place, Template::parse(text));
            });
        }
        if let Some(body) = &self.body {
            texts(body, "body", &mut |place, text| {
                check(place, Template::parse(text))
            });
        }
    }
}

fn keep<T>(result: Result<T, String>, faults: &mut Vec<String>) -> Option<T> {
    result.map_err(|fault| faults.push(fault)).ok()
}

fn method(name: Option<&str>, faults: &mut Vec<String>) -> Option<Method> {
    let name = name.unwrap_or("GET");
    let known = METHODS.into_iter().find(|known| known.as_str() == name);
    if known.is_none() {
        faults.push(format!(
            "`method` is `{name}`, but it must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS"
        ));
    }
    known
}

fn url(text: &str) -> Result<Template, String> {
    let template = Template::parse(text).map_err(|error| format!("`url`: {error}"))?;
    let beginning = template.beginning();
    let scheme = ["http://", "https://"].into_iter().any(|scheme| {
        let start = beginning.get(..scheme.len());
        start.is_some_and(|start| start.eq_ignore_ascii_case(scheme))
    });
    if !scheme && (template.is_literal() || !beginning.is_empty()) {
        return Err(format!(
            "`url` is `{text}`, but it must begin with `http://` or `https://`"
        ));
    }
    if template
        .literals()
        .any(|text| text.contains(|c: char| c.is_whitespace() || c.is_control()))
    {
        return Err("`url` has a space or a line break; write a space as `%20`".to_owned());
    }
    if template.is_literal() {
        Url::parse(text).map_err(|error| format!("`url` is `{text}`, but that is no URL: {error}"))?;
    }
    if let Some(segment) = dot_segment(text) {
        return Err(format!(
            "`url` has the path segment `{segment}`; write the path that it leads to"
        ));
    }
    Ok(template)
}

fn header(name: &str, value: &Value) -> Result<(HeaderName, Template), String> {
    let header = HeaderName::from_bytes(name.as_bytes())
        .map_err(|_| format!("`headers` has `{name}`, but that is no name of a header"))?;
    let text = match value {
        Value::String(text) => text.clone(),
        Value::Number(_) | Value::Bool(_) => value.to_string(),
        _ => return Err(format!("`headers.{name}` must be a text, a number or a boolean")),
    };
    let template = Template::parse(&text).map_err(|error| format!("`headers.{name}`: {error}"))?;
    for literal in template.literals() {
        header_value(name, literal)?;
    }
    Ok((header, template))
}

/// Returns the value of a header.
///
/// # Errors
///
/// When it has a line break or another control character.
pub(super) fn header_value(name: &str, text: &str) -> Result<HeaderValue, String> {
    HeaderValue::from_bytes(text.as_bytes())
        .map_err(|_| format!("the header `{name}` has a line break or another control character"))
}

fn param(name: &str, value: &Value) -> Result<(), String> {
    let nested = |value: &Value| value.is_array() || value.is_object();
    match value {
        Value::Array(items) if !items.iter().any(nested) => Ok(()),
        value if !nested(value) => Ok(()),
        _ => Err(format!(
            "`params.{name}` must be a text, a number, a boolean or a list of them"
        )),
    }
}

fn timeout(seconds: Option<f64>) -> Result<Duration, String> {
    let Some(seconds) = seconds else {
        return Ok(TIMEOUT);
    };
    if seconds > 0.0 && seconds <= LONGEST {
        return Ok(Duration::from_secs_f64(seconds));
    }
    Err(format!(
        "`timeout_seconds` is {seconds}, but it must be more than 0 and at most {LONGEST}"
    ))
}

/// Visits every text of a value, with its place.
fn texts(value: &Value, place: &str, visit: &mut dyn FnMut(&str, &str)) {
    match value {
        Value::String(text) => visit(place, text),
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                texts(item, &format!("{place}.{index}"), visit);
            }
        }
        Value::Object(fields) => {
            for (name, field) in fields {
                texts(field, &format!("{place}.{name}"), visit);
            }
        }
        _ => {}
    }
}
