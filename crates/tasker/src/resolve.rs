//! Finds the handler of a step: in the registry by its namespace, then among the built-in ones.

use std::sync::Arc;

use tasker_engine::{Resolve, Resolved, StepHandler, Unresolved};
use tasker_registry::{LookupError, Registry};
use tasker_types::{CustomEvent, HandlerRef, Namespace, Version, nearest};

/// The handlers that every namespace has. They have the version of this crate.
pub(crate) struct BuiltIns {
    handlers: Vec<(&'static str, Arc<dyn StepHandler>)>,
    version: Version,
}

impl BuiltIns {
    pub(crate) fn new(handlers: impl IntoIterator<Item = (&'static str, Arc<dyn StepHandler>)>) -> Self {
        let number = |text: &str| text.parse().unwrap_or_default();
        let version = Version::new(
            number(env!("CARGO_PKG_VERSION_MAJOR")),
            number(env!("CARGO_PKG_VERSION_MINOR")),
            number(env!("CARGO_PKG_VERSION_PATCH")),
        );
        Self {
            handlers: handlers.into_iter().collect(),
            version,
        }
    }

    /// Returns their names and versions.
    pub(crate) fn list(&self) -> impl Iterator<Item = (&'static str, &Version)> {
        self.handlers.iter().map(|(name, _)| (*name, &self.version))
    }

    fn get(&self, name: &str) -> Option<Resolved> {
        let (_, handler) = self.handlers.iter().find(|(built_in, _)| *built_in == name)?;
        Some(Resolved {
            handler: Arc::clone(handler),
            version: self.version.clone(),
        })
    }
}

impl std::fmt::Debug for BuiltIns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.list()).finish()
    }
}

/// Looks in a registry and among the built-in handlers.
#[derive(Debug)]
pub(crate) struct Resolver {
    registry: Arc<Registry<dyn StepHandler>>,
    built_ins: Arc<BuiltIns>,
}

impl Resolver {
    pub(crate) fn new(registry: Arc<Registry<dyn StepHandler>>, built_ins: Arc<BuiltIns>) -> Self {
        Self { registry, built_ins }
    }

    fn built_in(&self, handler: &HandlerRef) -> Option<Result<Resolved, Unresolved>> {
        if handler.namespace.is_some() {
            return None;
        }
        let resolved = self.built_ins.get(handler.name.as_str())?;
        Some(match &handler.requirement {
            Some(requirement) if !requirement.matches(&resolved.version) => Err(Unresolved {
                message: format!(
                    "the built-in handler `{}` has no version that fits `{requirement}`; it has `{}`",
                    handler.name, resolved.version
                ),
            }),
            _ => Ok(resolved),
        })
    }

    /// Says what there is instead.
    fn unresolved(&self, namespace: &Namespace, handler: &HandlerRef, error: &LookupError) -> Unresolved {
        if handler.namespace.is_some() || matches!(error, LookupError::NoMatchingVersion { .. }) {
            return Unresolved {
                message: error.to_string(),
            };
        }
        let registered = self.registry.list(namespace).unwrap_or_default();
        let names = registered.iter().map(|entry| entry.name.as_str());
        let built_ins: Vec<_> = self.built_ins.list().map(|(name, _)| name).collect();
        let mut message = format!(
            "there is no handler `{}` in the namespace `{namespace}`",
            handler.name
        );
        match nearest(handler.name.as_str(), names.chain(built_ins.iter().copied())) {
            Some(near) => message.push_str(&format!("; did you mean `{near}`?")),
            None => {
                let (last, others) = built_ins.split_last().unwrap_or((&"", &[]));
                message.push_str(&format!("; built in are `{}` and `{last}`", others.join("`, `")));
            }
        }
        Unresolved { message }
    }
}

impl Resolve for Resolver {
    fn resolve(&self, namespace: &Namespace, handler: &HandlerRef) -> Result<Resolved, Unresolved> {
        let searched = handler.namespace.as_ref().unwrap_or(namespace);
        let requirement = handler.requirement.as_ref();
        if let Some((version, handler)) = self.registry.find(searched, &handler.name, requirement) {
            return Ok(Resolved { handler, version });
        }
        let error = match requirement {
            Some(requirement) => self.registry.get_matching(searched, &handler.name, requirement),
            None => self.registry.get(searched, &handler.name),
        };
        match error {
            // It was registered a moment ago.
            Ok((version, handler)) => Ok(Resolved { handler, version }),
            // A handler of the namespace hides the built-in one, whatever its versions are.
            Err(error @ LookupError::NoMatchingVersion { .. }) => {
                Err(self.unresolved(searched, handler, &error))
            }
            Err(error) => self
                .built_in(handler)
                .unwrap_or_else(|| Err(self.unresolved(searched, handler, &error))),
        }
    }

    fn check_event(&self, template: &str, event: &CustomEvent) -> Result<(), String> {
        self.registry
            .snapshot()
            .compare(event_source(template), event)
            .map_err(|conflict| conflict.to_string())
    }
}

/// Returns what a template, given by its full name, is called where it declares its custom events.
pub(crate) fn event_source(template: &str) -> String {
    format!("the template `{template}`")
}

#[cfg(test)]
mod tests {
    use tasker_engine::handler;

    use super::*;

    fn resolver() -> Resolver {
        let run = || handler(async || Ok(1));
        let registry: Arc<Registry<dyn StepHandler>> = Arc::default();
        registry.register("charge", run()).unwrap();
        registry
            .register_in("payments", "refund", "1.2.0", run())
            .unwrap();
        registry
            .register_in("payments", "refund", "2.0.0", run())
            .unwrap();
        registry.register_in("payments", "sleep", "3.0.0", run()).unwrap();
        let built_ins = BuiltIns::new([("command", run()), ("sleep", run())]);
        Resolver::new(registry, Arc::new(built_ins))
    }

    #[track_caller]
    fn check(namespace: &str, handler: &str, expected: &str) {
        let resolved = resolver().resolve(&namespace.parse().unwrap(), &handler.parse().unwrap());
        let told = match resolved {
            Ok(resolved) => resolved.version.to_string(),
            Err(unresolved) => unresolved.message,
        };
        assert_eq!(told, expected);
    }

    #[test]
    fn the_namespace_of_the_template_is_searched_first() {
        check("default_system", "charge", "0.1.0");
        check("payments", "refund", "2.0.0");
        check("payments", "refund@^1", "1.2.0");
        check("default_system", "payments.refund", "2.0.0");
        check("payments", "sleep", "3.0.0");
        check("default_system", "sleep", env!("CARGO_PKG_VERSION"));
        check("nowhere", "command", env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn what_is_missing_is_named_with_what_there_is() {
        check(
            "default_system",
            "chrage",
            "there is no handler `chrage` in the namespace `default_system`; did you mean `charge`?",
        );
        check(
            "payments",
            "comand",
            "there is no handler `comand` in the namespace `payments`; did you mean `command`?",
        );
        check(
            "nowhere",
            "fetch_all_orders",
            "there is no handler `fetch_all_orders` in the namespace `nowhere`; built in are `command` and `sleep`",
        );
        check(
            "default_system",
            "payment.refund",
            "there is no namespace `payment`; did you mean `payments`?",
        );
        check(
            "payments",
            "refund@^3",
            "the handler `payments.refund` has no version that fits `^3`; it has `1.2.0` and `2.0.0`",
        );
        check(
            "default_system",
            "sleep@^9",
            "the built-in handler `sleep` has no version that fits `^9`; it has `0.1.0`",
        );
    }
}
