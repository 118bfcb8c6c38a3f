//! The place of authentication and authorization: who makes a request, and how far they may.

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::{FromRequestParts, Request, State};
use axum::http::request::Parts;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tasker::Actor;
use tasker_types::Namespace;

use crate::access::{Permission, Reach};
use crate::problem::{Code, Problem};
use crate::rate::Rate;

/// Who makes a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    name: String,
    roles: Vec<String>,
}

impl Caller {
    /// Returns a caller of this name without roles.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            roles: Vec::new(),
        }
    }

    /// Gives the caller these roles.
    #[must_use]
    pub fn with_roles(mut self, roles: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.roles = roles.into_iter().map(Into::into).collect();
        self
    }

    /// Returns the name under which the history records what the caller does.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns what the caller is.
    pub fn roles(&self) -> &[String] {
        &self.roles
    }
}

/// Finds out who makes a request and how far they may. It keeps nothing of one request for another.
#[async_trait]
pub trait Guard: fmt::Debug + Send + Sync {
    /// Returns who makes a request, by its head.
    ///
    /// # Errors
    ///
    /// [`Code::Unauthenticated`] for one that does not say so in a way that can be believed.
    async fn identify(&self, head: &Parts) -> Result<Caller, Problem>;

    /// Returns how far a permission of a caller reaches; to nothing, if they do not have it.
    fn reach(&self, caller: &Caller, permission: Permission) -> Reach;

    /// Tells whether callers have to say who they are. Where they need not, only this machine may be listened to.
    fn asks_who(&self) -> bool;
}

/// Lets everyone do everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Open;

#[async_trait]
impl Guard for Open {
    async fn identify(&self, _: &Parts) -> Result<Caller, Problem> {
        Ok(Caller::new("anonymous"))
    }

    fn reach(&self, _: &Caller, _: Permission) -> Reach {
        Reach::Everything
    }

    fn asks_who(&self) -> bool {
        false
    }
}

/// A caller who has passed the guard of a route: what its handler works with.
#[derive(Clone, Debug)]
pub struct Granted {
    caller: Caller,
    permission: Permission,
    reach: Reach,
    guard: Arc<dyn Guard>,
}

impl Granted {
    /// Returns the caller.
    pub fn caller(&self) -> &Caller {
        &self.caller
    }

    /// Returns who is recorded in the history.
    pub fn actor(&self) -> Actor {
        Actor::User(self.caller.name().to_owned())
    }

    /// Returns how far the permission of the route reaches.
    pub fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Returns the same caller with another permission, for routes that do several things.
    ///
    /// # Errors
    ///
    /// [`Code::Denied`] for a caller who has it nowhere.
    pub fn also(&self, permission: Permission) -> Result<Self, Problem> {
        let reach = self.guard.reach(&self.caller, permission);
        if reach.is_nothing() {
            return Err(denied(&self.caller, permission));
        }
        Ok(Self {
            permission,
            reach,
            ..self.clone()
        })
    }

    /// Checks that the permission reaches a task of this namespace that this caller asked for.
    ///
    /// # Errors
    ///
    /// [`Code::Denied`].
    pub fn require(&self, namespace: &Namespace, owner: Option<&str>) -> Result<(), Problem> {
        if self.reach.covers(namespace, owner) {
            return Ok(());
        }
        Err(denied(&self.caller, self.permission))
    }

    /// Checks that the permission reaches everything, for what is about all tasks at once.
    ///
    /// # Errors
    ///
    /// [`Code::Denied`].
    pub fn require_everything(&self) -> Result<(), Problem> {
        if self.reach == Reach::Everything {
            return Ok(());
        }
        Err(denied(&self.caller, self.permission))
    }

    /// Checks that the permission reaches anything in a namespace.
    ///
    /// # Errors
    ///
    /// [`Code::Denied`].
    pub fn require_in(&self, namespace: &Namespace) -> Result<(), Problem> {
        if self.reach.touches(namespace) {
            return Ok(());
        }
        Err(denied(&self.caller, self.permission))
    }
}

fn denied(caller: &Caller, permission: Permission) -> Problem {
    Problem::new(
        Code::Denied,
        format!("`{}` has no permission `{permission}` here", caller.name()),
    )
    .with("permission", permission.as_str())
}

impl<S: Send + Sync> FromRequestParts<S> for Granted {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        // A handler that asks for this on a public route was declared with the wrong access.
        parts
            .extensions
            .get::<Self>()
            .cloned()
            .ok_or_else(|| Problem::new(Code::Internal, "the route lets everyone in and asks who they are"))
    }
}

/// What stands before a route.
#[derive(Clone, Debug)]
pub(crate) struct Door {
    pub(crate) guard: Arc<dyn Guard>,
    /// What is asked; nothing of nobody in particular if there is none.
    pub(crate) permission: Option<Permission>,
    /// What each caller may ask.
    pub(crate) callers: Arc<Rate<String>>,
}

/// Lets a request through to its route, with what was granted, or answers why not.
pub(crate) async fn check(State(door): State<Door>, request: Request, next: Next) -> Response {
    let Some(permission) = door.permission else {
        return next.run(request).await;
    };
    let (mut head, body) = request.into_parts();
    match admit(door, &head, permission).await {
        Ok(granted) => {
            head.extensions.insert(granted);
            next.run(Request::from_parts(head, body)).await
        }
        Err(problem) => problem.into_response(),
    }
}

async fn admit(door: Door, head: &Parts, permission: Permission) -> Result<Granted, Problem> {
    let Door { guard, callers, .. } = door;
    let caller = guard.identify(head).await?;
    // Where nobody is asked who they are, all are the same, and their addresses tell them apart.
    if guard.asks_who() {
        callers.take(caller.name().to_owned())?;
    }
    let reach = guard.reach(&caller, permission);
    if reach.is_nothing() {
        return Err(denied(&caller, permission));
    }
    Ok(Granted {
        caller,
        permission,
        reach,
        guard,
    })
}
