#![doc = include_str!("../README.md")]

/// The web framework of [`router`], for those who nest it.
pub use axum;
/// What runs the tasks.
pub use tasker;

mod access;
mod api;
mod app;
mod auth;
mod cursor;
mod documentation;
mod extract;
mod guard;
mod harden;
mod health;
mod metrics;
mod problem;
mod rate;
mod routes;
mod serve;
mod templates;
mod trace;

pub use crate::access::{Access, Permission, Reach, Switch, TaskScope, UnknownPermission};
pub use crate::app::{App, AppBuilder};
pub use crate::auth::{
    ApiTokens, Auth, AuthBuilder, AuthFaults, AuthenticationError, Authenticator, Coordinator, Deny, Jwt,
    Rbac, bearer,
};
pub use crate::cursor::{CursorError, Cursors, InvalidCursor};
pub use crate::guard::{Caller, Granted, Guard, Open};
pub use crate::problem::{Code, Problem};
pub use crate::routes::{RouteInfo, openapi, router, routes};
pub use crate::serve::{Insecure, ServeError, bind, serve};
pub use crate::templates::{TemplateFault, TemplateFaultCause, Templates, TemplatesError};
