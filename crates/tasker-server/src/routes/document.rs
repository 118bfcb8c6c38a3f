//! The description of the service in OpenAPI, made of the table of routes.

use std::collections::BTreeMap;

use axum::http::Method;
use utoipa::openapi::path::{Operation, ParameterIn, PathItem};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{
    Components, ContentBuilder, Info, OpenApi, OpenApiBuilder, Paths, Ref, RefOr, ResponseBuilder,
};

use super::{Place, Route};
use crate::access::Access;
use crate::problem::{Code, Problem, ProblemDetails};

/// The name of the scheme by which callers say who they are.
const SCHEME: &str = "bearer";

pub(super) fn openapi(base_path: &str, table: Vec<Route>) -> OpenApi {
    let mut paths = Paths::new();
    let mut components = Components::new();
    for route in table {
        let (schemas, declared, _) = route.handled_by;
        components.schemas.extend(schemas);
        for (path, mut item) in declared.paths {
            let path = match route.place {
                Place::Root => path,
                Place::Base => format!("{base_path}{path}"),
            };
            for operation in operations(&mut item) {
                name(operation);
                plain_headers(operation);
                complete(operation, route.access, route.fails);
            }
            match paths.paths.get_mut(&path) {
                Some(known) => known.merge_operations(item),
                None => {
                    paths.paths.insert(path, item);
                }
            }
        }
    }
    add_problem_schema(&mut components);
    let bearer = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
    components.add_security_scheme(SCHEME, SecurityScheme::Http(bearer));
    let mut info = Info::new("Tasker", env!("CARGO_PKG_VERSION"));
    info.description = Some(
        "Tasks that are directed acyclic graphs of steps: created, watched, explained, mended.".to_owned(),
    );
    OpenApiBuilder::new()
        .info(info)
        .paths(paths)
        .components(Some(components))
        .build()
}

/// Returns the method that a declared path has; it has one.
pub(super) fn method(item: &PathItem) -> Option<Method> {
    [
        (item.get.is_some(), Method::GET),
        (item.post.is_some(), Method::POST),
        (item.patch.is_some(), Method::PATCH),
        (item.delete.is_some(), Method::DELETE),
    ]
    .into_iter()
    .find_map(|(is_there, method)| is_there.then_some(method))
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [&mut item.get, &mut item.post, &mut item.patch, &mut item.delete]
        .into_iter()
        .filter_map(Option::as_mut)
}

/// Gives an operation a name that no other has, as generated clients need one: of its tag and its function.
fn name(operation: &mut Operation) {
    let tag = operation.tags.iter().flatten().next();
    if let (Some(tag), Some(id)) = (tag, &mut operation.operation_id) {
        *id = format!("{tag}_{id}");
    }
}

/// Has a header that may be left out be a text where it is there: null is no header's value.
fn plain_headers(operation: &mut Operation) {
    for parameter in operation.parameters.iter_mut().flatten() {
        let RefOr::T(parameter) = parameter else { continue };
        if parameter.parameter_in != ParameterIn::Header {
            continue;
        }
        match &mut parameter.schema {
            Some(RefOr::T(Schema::Object(text))) => text.schema_type = SchemaType::Type(Type::String),
            Some(RefOr::T(Schema::OneOf(choice))) => {
                let is_null = |schema: &RefOr<Schema>| {
                    let null = SchemaType::Type(Type::Null);
                    matches!(schema, RefOr::T(Schema::Object(object)) if object.schema_type == null)
                };
                choice.items.retain(|schema| !is_null(schema));
                parameter.schema = choice.items.pop();
            }
            _ => {}
        }
    }
}

/// Adds what follows from the table: who may, and how it can fail.
fn complete(operation: &mut Operation, access: Access, fails: &[Code]) {
    let mut codes = fails.to_vec();
    match access {
        Access::Public => operation.security = Some(Vec::new()),
        Access::Needs(permission) => {
            operation.security = Some(vec![SecurityRequirement::new::<_, _, String>(SCHEME, [])]);
            add(operation, &format!("Needs the permission `{permission}`."));
        }
        Access::NeedsIf(switch, permission) => {
            let bearer = SecurityRequirement::new::<_, _, String>(SCHEME, []);
            operation.security = Some(vec![SecurityRequirement::default(), bearer]);
            let needs = format!(
                "Needs the permission `{permission}` if `{}` is true.",
                switch.key()
            );
            add(operation, &needs);
        }
    }
    if access != Access::Public {
        codes.extend([Code::Unauthenticated, Code::Denied, Code::TooManyRequests]);
    }
    codes.extend([Code::Internal, Code::TimedOut]);
    for response in operation.responses.responses.values_mut() {
        if let RefOr::T(response) = response
            && response.description.is_empty()
        {
            "What was asked for.".clone_into(&mut response.description);
        }
    }
    let mut by_status: BTreeMap<u16, Vec<Code>> = BTreeMap::new();
    for code in codes {
        by_status.entry(code.status()).or_default().push(code);
    }
    for (status, codes) in by_status {
        let names: Vec<_> = codes
            .iter()
            .map(|code| format!("`{code}`: {}", code.title()))
            .collect();
        let mut content = ContentBuilder::new().schema(Some(RefOr::Ref(Ref::from_schema_name("Problem"))));
        if let Some(code) = codes.first() {
            content = content.example(serde_json::to_value(Problem::new(*code, code.doc().trim())).ok());
        }
        let response = ResponseBuilder::new()
            .description(names.join("; "))
            .content("application/problem+json", content.build())
            .build();
        operation
            .responses
            .responses
            .insert(status.to_string(), RefOr::T(response));
    }
}

/// Adds a paragraph to what is said of an operation.
fn add(operation: &mut Operation, paragraph: &str) {
    operation.description = Some(match operation.description.take() {
        Some(text) if !text.is_empty() => format!("{text}\n\n{paragraph}"),
        _ => paragraph.to_owned(),
    });
}

fn add_problem_schema(components: &mut Components) {
    use utoipa::{PartialSchema, ToSchema};
    let mut others = Vec::new();
    ProblemDetails::schemas(&mut others);
    components.schemas.extend(others);
    components
        .schemas
        .insert("Problem".to_owned(), ProblemDetails::schema());
}
