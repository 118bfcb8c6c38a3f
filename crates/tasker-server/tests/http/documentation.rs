//! The description as a page: complete, and with nothing from anywhere else.

use axum::Router;
use axum::http::header;
use serde_json::Value;
use tasker_server::axum;
use tasker_server::tasker::Tasker;
use tasker_server::tasker::config::Loader;

use crate::kit::{app, get, service};

const PAGE: &str = "/tasker/api-docs";

/// Returns what a page names in its attributes `src` and `href`.
fn named(page: &str) -> Vec<String> {
    let mut named = Vec::new();
    for attribute in ["src=\"", "href=\""] {
        let values = page.split(attribute).skip(1);
        named.extend(values.map(|rest| rest.split_once('"').unwrap().0.to_owned()));
    }
    named
}

/// Returns what a style names.
fn urls(style: &str) -> impl Iterator<Item = &str> {
    let rest = style.split("url(").skip(1);
    rest.map(|rest| rest.trim_start_matches('"'))
}

#[tokio::test]
async fn everything_that_the_page_names_is_there() {
    let service = service(&[]);
    let page = get(&service, PAGE).await;
    page.is_ok();
    assert_eq!(page.headers[header::CONTENT_TYPE], "text/html; charset=utf-8");
    let named = named(&page.text);
    assert_eq!(
        named,
        [
            "api-docs/swagger-ui-bundle.js",
            "api-docs/start.js",
            "api-docs/favicon.png",
            "api-docs/swagger-ui.css",
        ]
    );
    let kinds = ["text/javascript", "text/javascript", "image/png", "text/css"];
    for (name, kind) in named.iter().zip(kinds) {
        let answer = get(&service, &format!("/tasker/{name}")).await;
        assert_eq!(answer.status.as_u16(), 200, "{name}");
        let told = answer.headers[header::CONTENT_TYPE].to_str().unwrap();
        assert!(told.starts_with(kind), "{name} is {told}");
        // A browser takes the kind as it is told.
        assert_eq!(answer.headers[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
        assert!(answer.text.len() > 100, "{name}");
        if *kind == *"text/css" {
            for url in urls(&answer.text) {
                assert!(url.starts_with("data:"), "{name} names {url:.60}");
            }
            assert!(!answer.text.contains("@import"), "{name}");
        }
    }
    let start = get(&service, "/tasker/api-docs/start.js").await.text;
    assert!(start.contains("\"api-docs/openapi.json\"") && start.contains("validatorUrl: null"));
    for text in [&page.text, &start] {
        assert!(!text.contains("//"), "no other host: {text}");
    }
    let bundle = get(&service, "/tasker/api-docs/swagger-ui-bundle.js").await.text;
    assert!(bundle.contains("SwaggerUIBundle"));
}

#[tokio::test]
async fn the_page_may_ask_nobody_else() {
    let page = get(&service(&[]), PAGE).await;
    let policy = page.headers[header::CONTENT_SECURITY_POLICY].to_str().unwrap();
    let directives: Vec<Vec<&str>> = policy
        .split("; ")
        .map(|directive| directive.split(' ').collect())
        .collect();
    assert_eq!(directives[0], ["default-src", "'none'"]);
    for directive in &directives {
        for source in &directive[1..] {
            let own = ["'none'", "'self'"].contains(source)
                || (directive[0] == "img-src" && *source == "data:")
                || (directive[0] == "style-src" && *source == "'unsafe-inline'");
            assert!(own, "{directive:?}");
        }
    }
    for needed in ["script-src", "style-src", "connect-src", "img-src"] {
        assert!(
            directives.iter().any(|directive| directive[0] == needed),
            "{policy}"
        );
    }
    // What is no page may do nothing at all.
    let json = get(&service(&[]), "/tasker/api-docs/openapi.json").await;
    assert_eq!(
        json.headers[header::CONTENT_SECURITY_POLICY],
        "default-src 'none'; frame-ancestors 'none'"
    );
}

/// Returns where the page's requests go to a path of the description, when the page lies within this.
fn resolved(document: &str, description: &Value, path: &str) -> String {
    let server = description["servers"][0]["url"].as_str().unwrap();
    let mut parts: Vec<&str> = document.split('/').collect();
    parts.pop();
    for part in server.split('/') {
        assert_eq!(part, "..");
        parts.pop();
    }
    parts.join("/") + path
}

#[tokio::test]
async fn what_is_tried_reaches_the_service_wherever_it_is_nested() {
    for base in ["/tasker", "/our/tasks"] {
        let config = Loader::new().set("server.base_path", base).load().unwrap();
        let tasker = Tasker::builder().config(config).memory().build().unwrap();
        let inner = tasker_server::router(app(&tasker, &[]));
        let nested = Router::new().nest("/inside", inner.clone());
        for (outside, service) in [("", inner), ("/inside", nested)] {
            let document = format!("{outside}{base}/api-docs/openapi.json");
            let answer = get(&service, &document).await;
            assert_eq!(answer.is_ok()["openapi"], "3.1.0");
            assert!(answer.body["paths"][format!("{base}/tasks")].is_object());
            for path in ["/health/live".to_owned(), format!("{base}/handlers")] {
                get(&service, &resolved(&document, &answer.body, &path))
                    .await
                    .is_ok();
            }
        }
    }
}
