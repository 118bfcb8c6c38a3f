//! Configurations that are refused when their template is loaded.

use super::*;
use crate::UnknownHandlers;

/// Loads a template whose step `call` has this configuration, after a step `fetch` that nothing depends on.
#[track_caller]
fn refused(config: Value, messages: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("call.json");
    let template = json!({
        "name": "call",
        "steps": [
            { "name": "fetch", "handler": "sleep", "config": { "seconds": 0 } },
            { "name": "call", "handler": "http", "config": config },
        ],
    });
    std::fs::write(&path, template.to_string()).unwrap();
    let tasker = builder().build().unwrap();
    let Err(faults) = tasker.load(&path, UnknownHandlers::Refuse) else {
        panic!("{config} is accepted");
    };
    let told: Vec<_> = faults
        .as_slice()
        .iter()
        .map(|fault| fault.message.clone())
        .collect();
    let beginning = "`config` of step `call`: ";
    let expected: Vec<_> = messages
        .iter()
        .map(|message| format!("{beginning}{message}"))
        .collect();
    assert_eq!(told, expected);
}

#[test]
fn a_url_is_checked() {
    refused(json!({}), &["missing field `url`"]);
    refused(
        json!({ "url": "example.org/x" }),
        &["`url` is `example.org/x`, but it must begin with `http://` or `https://`"],
    );
    refused(
        json!({ "url": "x{{ context.a }}" }),
        &["`url` is `x{{ context.a }}`, but it must begin with `http://` or `https://`"],
    );
    refused(
        json!({ "url": "http://h:port/" }),
        &["`url` is `http://h:port/`, but that is no URL: invalid port number"],
    );
    refused(
        json!({ "url": "http://h/a b" }),
        &["`url` has a space or a line break; write a space as `%20`"],
    );
    refused(
        json!({ "url": "http://h/a/../{{ context.b }}" }),
        &["`url` has the path segment `..`; write the path that it leads to"],
    );
    refused(
        json!({ "url": "http://h/{{ context.b" }),
        &["`url`: `http://h/{{ context.b` has a `{{` without its `}}`"],
    );
}

#[test]
fn every_fault_is_told_at_once() {
    refused(
        json!({
            "url": "http://h/",
            "method": "FETCH",
            "headers": { "a b": 1, "X-Long": "a\nb", "X-List": [1], "X-Open": "{{" },
            "params": { "where": { "a": 1 }, "deep": [[1]] },
            "timeout_seconds": 0,
            "success": [200, 99, "6xx", true],
            "permanent": [200, "5xx"],
            "retryable": ["5xx", 404],
        }),
        &[
            "`method` is `FETCH`, but it must be GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS",
            "`headers` has `a b`, but that is no name of a header",
            "the header `X-Long` has a line break or another control character",
            "`headers.X-List` must be a text, a number or a boolean",
            "`headers.X-Open`: `{{` has a `{{` without its `}}`",
            "`params.where` must be a text, a number, a boolean or a list of them",
            "`params.deep` must be a text, a number, a boolean or a list of them",
            "`timeout_seconds` is 0, but it must be more than 0 and at most 31536000",
            "`success` has 99, but a status is a number from 100 to 599, or a class such as \"4xx\"",
            "`success` has \"6xx\", but a status is a number from 100 to 599, or a class such as \"4xx\"",
            "`success` has true, but a status is a number from 100 to 599, or a class such as \"4xx\"",
            "200 is in `success` and in `permanent`; leave it in one of them",
            "\"5xx\" is in `permanent` and in `retryable`; leave it in one of them",
        ],
    );
}

#[test]
fn an_unknown_key_is_refused() {
    refused(
        json!({ "url": "http://h/", "verb": "GET" }),
        &[
            "unknown field `verb`, expected one of `method`, `url`, `headers`, `params`, `body`, `timeout_seconds`, \
             `success`, `permanent`, `retryable`",
        ],
    );
}

#[test]
fn what_a_step_does_not_depend_on_is_not_to_be_read() {
    let read = "reads the result of `fetch`, but the step does not depend on it; add it to `depends_on`";
    let variable = "reads a variable that is not allowed; add `HOME` to `engine.template_environment`";
    refused(
        json!({
            "url": "http://h/{{ steps.fetch.result.a }}",
            "headers": { "X-A": "{{ steps.fetch.result.b }}" },
            "params": { "p": ["{{ steps.fetch.result.c }}"] },
            "body": { "deep": [{ "er": "{{ steps.fetch.result.d }}" }, "{{ env.HOME }}", "{{ fetch.result }}"] },
        }),
        &[
            &format!("`url`: `steps.fetch.result.a` {read}"),
            &format!("`headers.x-a`: `steps.fetch.result.b` {read}"),
            &format!("`params.p.0`: `steps.fetch.result.c` {read}"),
            &format!("`body.deep.0.er`: `steps.fetch.result.d` {read}"),
            &format!("`body.deep.1`: `env.HOME` {variable}"),
            "`body.deep.2`: `fetch.result` is no expression; write `context.a.b`, `steps.NAME.result.x` or `env.NAME` \
             between the braces",
        ],
    );
}
