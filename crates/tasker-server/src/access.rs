//! What a route asks of its caller, and how far a caller's permission reaches.

use std::fmt;
use std::str::FromStr;

pub use tasker::TaskScope;
use tasker::config::Config;
use tasker_types::Namespace;

macro_rules! permissions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// A right to do something, `resource:action`.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Permission {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Permission {
            /// Every permission, in the order of the documentation.
            pub const ALL: &[Self] = &[$(Self::$name,)+];

            /// Returns the permission as a configuration spells it.
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }

            /// Returns what it permits, in a sentence.
            pub const fn doc(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }
    };
}

permissions! {
    /// List tasks.
    TaskIndex = "tasker.task:index",
    /// Look at a task.
    TaskShow = "tasker.task:show",
    /// Create tasks.
    TaskCreate = "tasker.task:create",
    /// Change what is said of a task, and resolve it.
    TaskUpdate = "tasker.task:update",
    /// Delete a task, which cancels it.
    TaskDestroy = "tasker.task:destroy",
    /// Retry a task.
    TaskRetry = "tasker.task:retry",
    /// Cancel a task.
    TaskCancel = "tasker.task:cancel",
    /// List the steps of a task.
    StepIndex = "tasker.workflow_step:index",
    /// Look at a step.
    StepShow = "tasker.workflow_step:show",
    /// Change the settings of a step, and resolve it.
    StepUpdate = "tasker.workflow_step:update",
    /// Delete a step, which cancels it.
    StepDestroy = "tasker.workflow_step:destroy",
    /// Retry a step.
    StepRetry = "tasker.workflow_step:retry",
    /// Cancel a step.
    StepCancel = "tasker.workflow_step:cancel",
    /// List namespaces and handlers.
    HandlerIndex = "tasker.handler:index",
    /// Look at a handler.
    HandlerShow = "tasker.handler:show",
    /// Look at the status of the system.
    HealthStatusIndex = "tasker.health_status:index",
    /// Read the metrics.
    MetricsIndex = "tasker.metrics:index",
    /// Read the analytics.
    AnalyticsIndex = "tasker.analytics:index",
}

impl Permission {
    /// Returns what the permission is about, such as `tasker.task`.
    pub fn resource(self) -> &'static str {
        self.as_str()
            .split_once(':')
            .map_or(self.as_str(), |(resource, _)| resource)
    }

    /// Returns what it permits there, such as `show`.
    pub fn action(self) -> &'static str {
        self.as_str().split_once(':').map_or("", |(_, action)| action)
    }
}

impl fmt::Display for Permission {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

/// A text that is no permission.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is no permission such as `tasker.task:show`")]
pub struct UnknownPermission {
    /// What was given.
    pub text: String,
}

impl FromStr for Permission {
    type Err = UnknownPermission;

    fn from_str(text: &str) -> Result<Self, UnknownPermission> {
        let found = Self::ALL.iter().find(|permission| permission.as_str() == text);
        found.copied().ok_or_else(|| UnknownPermission {
            text: text.to_owned(),
        })
    }
}

/// What a route asks of its caller. There is no default: a route says it, or does not compile.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Access {
    /// Nothing: anyone may, without saying who.
    Public,
    /// This permission, for some tasks at least.
    Needs(Permission),
    /// This permission if the configuration says so, and nothing otherwise.
    NeedsIf(Switch, Permission),
}

/// A key of the configuration that says whether a route asks anything of its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Switch {
    /// `health.ready_requires_authentication`.
    Ready,
    /// `health.status_requires_authentication`.
    Status,
    /// `telemetry.metrics_auth_required`.
    Metrics,
}

impl Switch {
    /// Returns the key.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Ready => "health.ready_requires_authentication",
            Self::Status => "health.status_requires_authentication",
            Self::Metrics => "telemetry.metrics_auth_required",
        }
    }

    /// Tells whether the route asks.
    pub fn is_on(self, config: &Config) -> bool {
        match self {
            Self::Ready => config.health().ready_requires_authentication,
            Self::Status => config.health().status_requires_authentication,
            Self::Metrics => config.telemetry().metrics_auth_required,
        }
    }
}

impl Access {
    /// Returns the permission that is needed where this configuration holds.
    pub fn permission(self, config: &Config) -> Option<Permission> {
        match self {
            Self::Public => None,
            Self::Needs(permission) => Some(permission),
            Self::NeedsIf(switch, permission) => switch.is_on(config).then_some(permission),
        }
    }
}

/// How far a caller's permission reaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reach {
    /// To everything.
    Everything,
    /// To what lies in one of these; to nothing if there is none.
    Within(Vec<TaskScope>),
}

impl Reach {
    /// Returns the reach of a caller who may do nothing.
    pub const fn nothing() -> Self {
        Self::Within(Vec::new())
    }

    /// Tells whether it reaches nothing at all.
    pub fn is_nothing(&self) -> bool {
        matches!(self, Self::Within(scopes) if scopes.is_empty())
    }

    /// Tells whether it reaches a task of this namespace that this caller asked for.
    pub fn covers(&self, namespace: &Namespace, owner: Option<&str>) -> bool {
        let within = |scope: &TaskScope| {
            scope.namespace.as_ref().is_none_or(|wanted| wanted == namespace)
                && scope.owner.as_deref().is_none_or(|wanted| owner == Some(wanted))
        };
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.iter().any(within),
        }
    }

    /// Tells whether it reaches anything in this namespace.
    pub fn touches(&self, namespace: &Namespace) -> bool {
        let within = |scope: &TaskScope| scope.namespace.as_ref().is_none_or(|wanted| wanted == namespace);
        match self {
            Self::Everything => true,
            Self::Within(scopes) => scopes.iter().any(within),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(namespace: Option<&str>, owner: Option<&str>) -> TaskScope {
        TaskScope {
            namespace: namespace.map(|name| Namespace::new(name).unwrap()),
            owner: owner.map(str::to_owned),
        }
    }

    #[test]
    fn permissions_read_back() {
        for permission in Permission::ALL {
            assert_eq!(permission.to_string().parse(), Ok(*permission));
        }
        assert_eq!(Permission::StepRetry.resource(), "tasker.workflow_step");
        assert_eq!(Permission::StepRetry.action(), "retry");
        assert_eq!(
            "tasker.task:fly".parse::<Permission>().unwrap_err().to_string(),
            "`tasker.task:fly` is no permission such as `tasker.task:show`"
        );
    }

    #[test]
    fn a_scope_is_a_namespace_and_an_owner() {
        let payments = Namespace::new("payments").unwrap();
        let other = Namespace::new("other").unwrap();
        let reach = Reach::Within(vec![
            scope(Some("payments"), Some("ann")),
            scope(None, Some("bob")),
        ]);
        assert!(reach.covers(&payments, Some("ann")) && reach.covers(&other, Some("bob")));
        assert!(!reach.covers(&other, Some("ann")) && !reach.covers(&payments, None));
        assert!(reach.touches(&payments) && reach.touches(&other));
        assert!(!Reach::Within(vec![scope(Some("payments"), None)]).touches(&other));
        assert!(Reach::nothing().is_nothing() && !Reach::nothing().covers(&payments, Some("ann")));
        assert!(Reach::Everything.covers(&payments, None) && !Reach::Everything.is_nothing());
    }
}
