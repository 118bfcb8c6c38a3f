//! Every route: where it lies, what it asks of its caller, how it can fail. The router and the OpenAPI page are made of
//! this table.

mod document;

use std::sync::Arc;

use axum::Router;
use axum::extract::{DefaultBodyLimit, OriginalUri};
use axum::http::Method;
use axum::middleware;
use utoipa::openapi::OpenApi;
use utoipa_axum::router::UtoipaMethodRouter;
use utoipa_axum::routes as handled_by;

use crate::access::{Access, Permission, Switch};
use crate::api::{bulk, change, create, events, handlers, list, look, steps, tasks};
use crate::app::App;
use crate::documentation;
use crate::guard::{Door, check};
use crate::harden;
use crate::health;
use crate::metrics;
use crate::problem::{Code, Problem};
use crate::rate::of_address;
use crate::trace::Lines;

/// Where a route lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    /// At the root, where the machines that look after the service expect it.
    Root,
    /// Below the base path.
    Base,
}

/// One route with its handler.
struct Route {
    place: Place,
    access: Access,
    fails: &'static [Code],
    handled_by: UtoipaMethodRouter<App>,
}

/// What a route is, without its handler.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RouteInfo {
    /// The method.
    pub method: Method,
    /// The path, with `{name}` for its parts that vary.
    pub path: String,
    /// What it asks of its caller.
    pub access: Access,
    /// How it can fail, besides what every route can.
    pub fails: &'static [Code],
}

/// What every change of a task can fail by.
const CHANGE: &[Code] = &[
    Code::InvalidBody,
    Code::InvalidPath,
    Code::InvalidRequest,
    Code::UnknownTask,
    Code::IllegalTransition,
    Code::PreconditionFailed,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::StoreUnavailable,
];
/// What every change of a step can fail by.
const STEP_CHANGE: &[Code] = &[
    Code::InvalidBody,
    Code::InvalidPath,
    Code::InvalidRequest,
    Code::UnknownTask,
    Code::UnknownStep,
    Code::IllegalTransition,
    Code::StepInProgress,
    Code::PreconditionFailed,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::StoreUnavailable,
];
/// What every look at a task can fail by.
const LOOK: &[Code] = &[
    Code::InvalidPath,
    Code::InvalidQuery,
    Code::UnknownTask,
    Code::StoreUnavailable,
];
/// What an explanation can fail by.
const EXPLAIN: &[Code] = &[
    Code::InvalidPath,
    Code::InvalidQuery,
    Code::UnknownTask,
    Code::UnknownStep,
    Code::StoreUnavailable,
];
/// What every look at a step can fail by.
const STEP_LOOK: &[Code] = &[
    Code::InvalidPath,
    Code::UnknownTask,
    Code::UnknownStep,
    Code::StoreUnavailable,
];
/// What a request for a task can fail by.
const CREATE: &[Code] = &[
    Code::InvalidBody,
    Code::InvalidContext,
    Code::InvalidQuery,
    Code::InvalidRequest,
    Code::UnknownNamespace,
    Code::UnknownHandler,
    Code::UnknownVersion,
    Code::DuplicateTask,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyKeyReused,
    Code::StoreUnavailable,
];
/// What following events can fail by.
const EVENTS: &[Code] = &[Code::InvalidQuery, Code::StoreUnavailable, Code::TooManyStreams];
const TASK_EVENTS: &[Code] = &[
    Code::InvalidPath,
    Code::InvalidQuery,
    Code::UnknownTask,
    Code::StoreUnavailable,
    Code::TooManyStreams,
];
const READY: &[Code] = &[Code::NotReady];
const STATUS: &[Code] = &[Code::StoreUnavailable];
const METRICS: &[Code] = &[Code::RouteNotFound];
const LIST: &[Code] = &[Code::InvalidQuery, Code::InvalidCursor, Code::StoreUnavailable];
const BULK: &[Code] = &[
    Code::InvalidBody,
    Code::InvalidRequest,
    Code::BodyTooLarge,
    Code::UnsupportedMediaType,
    Code::StoreUnavailable,
];
const NAMESPACE: &[Code] = &[Code::InvalidPath, Code::UnknownNamespace];
const HANDLER: &[Code] = &[
    Code::InvalidPath,
    Code::InvalidQuery,
    Code::UnknownNamespace,
    Code::UnknownHandler,
    Code::UnknownVersion,
];

/// The table. The macro makes one route of one handler, whose method and path stand beside it.
fn table() -> Vec<Route> {
    use Permission as P;
    use Place::{Base, Root};

    let route = |place, access, fails, handled_by| Route {
        place,
        access,
        fails,
        handled_by,
    };
    let open = |handled_by| route(Base, Access::Public, &[], handled_by);
    let base = |permission, fails, handled_by| route(Base, Access::Needs(permission), fails, handled_by);
    vec![
        route(Root, Access::Public, &[], handled_by!(health::live)),
        route(
            Root,
            Access::NeedsIf(Switch::Ready, P::HealthStatusIndex),
            READY,
            handled_by!(health::ready),
        ),
        route(
            Root,
            Access::NeedsIf(Switch::Status, P::HealthStatusIndex),
            STATUS,
            handled_by!(health::status),
        ),
        route(
            Root,
            Access::NeedsIf(Switch::Metrics, P::MetricsIndex),
            METRICS,
            handled_by!(metrics::metrics),
        ),
        open(handled_by!(documentation::page)),
        open(handled_by!(documentation::description)),
        open(handled_by!(documentation::start)),
        open(handled_by!(documentation::script)),
        open(handled_by!(documentation::style)),
        open(handled_by!(documentation::icon)),
        base(P::HandlerIndex, &[], handled_by!(handlers::namespaces)),
        base(P::HandlerIndex, NAMESPACE, handled_by!(handlers::index)),
        base(P::HandlerShow, HANDLER, handled_by!(handlers::show)),
        base(P::TaskCreate, CREATE, handled_by!(create::create)),
        base(P::TaskIndex, LIST, handled_by!(list::index)),
        // What is done there is asked for beside.
        base(P::TaskIndex, BULK, handled_by!(bulk::bulk)),
        base(P::TaskShow, LOOK, handled_by!(tasks::show)),
        base(P::TaskUpdate, CHANGE, handled_by!(change::update)),
        base(P::TaskDestroy, CHANGE, handled_by!(change::destroy)),
        base(P::TaskRetry, CHANGE, handled_by!(change::retry)),
        base(P::TaskUpdate, CHANGE, handled_by!(change::resolve)),
        base(P::TaskCancel, CHANGE, handled_by!(change::cancel)),
        base(P::TaskShow, LOOK, handled_by!(look::graph)),
        base(P::TaskShow, LOOK, handled_by!(look::diagram)),
        base(P::TaskShow, EXPLAIN, handled_by!(look::explain)),
        base(P::TaskShow, LOOK, handled_by!(look::record)),
        base(P::TaskShow, LOOK, handled_by!(look::transitions)),
        base(P::TaskShow, TASK_EVENTS, handled_by!(events::of_task)),
        base(P::StepIndex, LOOK, handled_by!(steps::index)),
        base(P::StepShow, STEP_LOOK, handled_by!(steps::show)),
        base(P::StepUpdate, STEP_CHANGE, handled_by!(steps::update)),
        base(P::StepDestroy, STEP_CHANGE, handled_by!(steps::destroy)),
        base(P::StepRetry, STEP_CHANGE, handled_by!(steps::retry)),
        base(P::StepUpdate, STEP_CHANGE, handled_by!(steps::resolve)),
        base(P::StepCancel, STEP_CHANGE, handled_by!(steps::cancel)),
        base(P::StepShow, STEP_LOOK, handled_by!(steps::transitions)),
        base(P::TaskShow, EVENTS, handled_by!(events::all)),
    ]
}

/// Returns the routes as a service that can be served, or nested in another axum application.
///
/// Everything lies below `server.base_path`, but `/health` and `/metrics`. Where requests come from, to which
/// `server.address_rate` looks, is known of an application that is served with
/// [`into_make_service_with_connect_info`](Router::into_make_service_with_connect_info) of a
/// [`SocketAddr`](std::net::SocketAddr), and by [`serve`](crate::serve). Otherwise all requests have the allowance of one
/// address together, and a warning says so. `/health/live` has no such limit.
pub fn router(app: App) -> Router {
    let settings = app.settings();
    let (mut probe, mut root, mut base) = (Router::new(), Router::new(), Router::new());
    for route in table() {
        let door = Door {
            guard: app.guard().clone(),
            permission: route.access.permission(app.tasker().config()),
            callers: Arc::clone(app.callers()),
        };
        let (_, paths, handler) = route.handled_by;
        let handler = handler.route_layer(middleware::from_fn_with_state(door, check));
        let path = paths.paths.keys().next().map_or("/", String::as_str);
        match route.place {
            // It is asked whether the process has to be started anew, which no flood of requests may bring about.
            Place::Root if path == health::LIVE => probe = probe.route(path, handler),
            Place::Root => root = root.route(path, handler),
            Place::Base => base = base.route(path, handler),
        }
    }
    let body_bytes = usize::try_from(settings.body_bytes).unwrap_or(usize::MAX);
    let router = root
        .nest(&settings.base_path, base)
        .fallback(nothing_here)
        .method_not_allowed_fallback(not_for_this_method)
        .layer(middleware::from_fn_with_state(
            Arc::clone(app.addresses()),
            of_address,
        ))
        .merge(probe.method_not_allowed_fallback(not_for_this_method))
        .layer(DefaultBodyLimit::max(body_bytes));
    let lines = Lines::new(app.tasker().config().telemetry());
    harden::layered(router, settings, lines).with_state(app)
}

/// Returns what every route is, in the order of the table.
pub fn routes(base_path: &str) -> Vec<RouteInfo> {
    let info = |route: Route| {
        let (path, item) = route.handled_by.1.paths.into_iter().next()?;
        let path = match route.place {
            Place::Root => path,
            Place::Base => format!("{base_path}{path}"),
        };
        Some(RouteInfo {
            method: document::method(&item)?,
            path,
            access: route.access,
            fails: route.fails,
        })
    };
    table().into_iter().filter_map(info).collect()
}

/// Returns the description of the service in OpenAPI 3.1.
pub fn openapi(base_path: &str) -> OpenApi {
    document::openapi(base_path, table())
}

async fn nothing_here(OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(
        Code::RouteNotFound,
        format!("there is nothing at `{}`", uri.path()),
    )
}

async fn not_for_this_method(method: Method, OriginalUri(uri): OriginalUri) -> Problem {
    Problem::new(
        Code::MethodNotAllowed,
        format!("`{}` cannot be asked with {method}", uri.path()),
    )
}
