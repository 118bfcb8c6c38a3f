//! The description of the service as a page to read and to try things on. Everything that it needs comes from here: no other
//! host is asked for anything, and none may be.

use std::sync::Arc;

use axum::Json;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::{IntoResponse, Response};
use utoipa::openapi::schema::{KnownFormat, ObjectBuilder, SchemaFormat, SchemaType, Type};
use utoipa::openapi::{OpenApi, RefOr, Schema, Server};
use utoipa::{PartialSchema, ToSchema};
use utoipa_swagger_ui::Config;

use crate::app::App;
use crate::problem::{Code, Problem};
use crate::routes;

/// What the page may do: run and show what comes from here, and ask here. Swagger UI writes styles into its elements.
const POLICY: (HeaderName, &str) = (
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self'; \
     base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
);

/// The page. What it names is told relative to it, so that it works wherever the service is nested.
const PAGE: &str = r#"<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Tasker</title>
<link rel="icon" type="image/png" href="api-docs/favicon.png">
<link rel="stylesheet" href="api-docs/swagger-ui.css">
</head>
<body>
<div id="swagger-ui"></div>
<script src="api-docs/swagger-ui-bundle.js"></script>
<script src="api-docs/start.js"></script>
</body>
</html>
"#;

/// Starts the page. No validator is asked what it thinks of the description, and nothing of a login is kept.
const START: &str = r##"window.ui = SwaggerUIBundle({
  url: new URL("api-docs/openapi.json", document.baseURI).href,
  dom_id: "#swagger-ui",
  presets: [SwaggerUIBundle.presets.apis],
  layout: "BaseLayout",
  deepLinking: true,
  validatorUrl: null,
  persistAuthorization: false,
});
"##;

const HTML: &str = "text/html; charset=utf-8";
const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";

/// Returns this description as a page
///
/// It needs a browser, and nothing from anywhere else.
#[utoipa::path(get, path = "/api-docs", tag = "documentation", responses((status = 200, body = String, content_type = "text/html; charset=utf-8")))]
pub(crate) async fn page() -> Response {
    let (name, value) = POLICY;
    let head = [(header::CONTENT_TYPE, HTML), (name, value)];
    (head, PAGE).into_response()
}

/// Returns this description
///
/// OpenAPI 3.1. Anyone may read it; it says the same everywhere, and nothing of what there is.
#[utoipa::path(get, path = "/api-docs/openapi.json", tag = "documentation", responses((status = 200, body = Object)))]
pub(crate) async fn description(State(app): State<App>) -> Json<OpenApi> {
    let base_path = &app.settings().base_path;
    let mut openapi = routes::openapi(base_path);
    // The root of the service, seen from this document: the service may be nested anywhere.
    let above = base_path.matches('/').count();
    openapi.servers = Some(vec![Server::new(vec![".."; above + 1].join("/"))]);
    Json(openapi)
}

/// Returns what starts the page
#[utoipa::path(get, path = "/api-docs/start.js", tag = "documentation", responses((status = 200, body = String, content_type = "text/javascript; charset=utf-8")))]
pub(crate) async fn start() -> Response {
    ([(header::CONTENT_TYPE, SCRIPT)], START).into_response()
}

/// Returns the script of the page
#[utoipa::path(get, path = "/api-docs/swagger-ui-bundle.js", tag = "documentation", responses((status = 200, body = String, content_type = "text/javascript; charset=utf-8")))]
pub(crate) async fn script() -> Result<Response, Problem> {
    part("swagger-ui-bundle.js", SCRIPT)
}

/// Returns the style of the page
#[utoipa::path(get, path = "/api-docs/swagger-ui.css", tag = "documentation", responses((status = 200, body = String, content_type = "text/css; charset=utf-8")))]
pub(crate) async fn style() -> Result<Response, Problem> {
    part("swagger-ui.css", STYLE)
}

/// The bytes of an image.
struct Image;

impl PartialSchema for Image {
    fn schema() -> RefOr<Schema> {
        ObjectBuilder::new()
            .schema_type(SchemaType::Type(Type::String))
            .format(Some(SchemaFormat::KnownFormat(KnownFormat::Binary)))
            .into()
    }
}

impl ToSchema for Image {}

/// Returns the icon of the page
#[utoipa::path(get, path = "/api-docs/favicon.png", tag = "documentation", responses((status = 200, body = inline(Image), content_type = "image/png")))]
pub(crate) async fn icon() -> Result<Response, Problem> {
    part("favicon-32x32.png", "image/png")
}

/// Returns a file of Swagger UI as it is.
fn part(name: &str, kind: &'static str) -> Result<Response, Problem> {
    let file = utoipa_swagger_ui::serve(name, Arc::new(Config::from("openapi.json")))
        .ok()
        .flatten()
        .ok_or_else(|| Problem::new(Code::Internal, format!("the program was built without `{name}`")))?;
    let kind = HeaderValue::from_static(kind);
    Ok(([(header::CONTENT_TYPE, kind)], file.bytes.into_owned()).into_response())
}
