//! Permissions by roles, which the configuration defines.

use std::collections::{BTreeMap, BTreeSet};

use tasker_types::{Namespace, RoleValues, nearest};

use super::coordinator::Coordinator;
use crate::access::{Permission, Reach, TaskScope};
use crate::guard::Caller;

/// Permits what the roles of a caller permit together. A role that the configuration does not have permits nothing.
#[derive(Clone, Debug)]
pub struct Rbac {
    roles: BTreeMap<String, Role>,
}

#[derive(Clone, Debug)]
struct Role {
    permissions: BTreeSet<Permission>,
    namespaces: Vec<Namespace>,
    own_tasks: bool,
}

impl Rbac {
    /// Reads roles, and adds what is wrong with them to the faults.
    pub(super) fn new(roles: &BTreeMap<String, RoleValues>, faults: &mut Vec<String>) -> Self {
        let read = |(name, role): (&String, &RoleValues)| {
            let mut permissions = BTreeSet::new();
            for pattern in &role.permissions {
                match matching(pattern) {
                    found if found.is_empty() => faults.push(unknown(name, pattern)),
                    found => permissions.extend(found),
                }
            }
            let role = Role {
                permissions,
                namespaces: role.namespaces.clone(),
                own_tasks: role.own_tasks,
            };
            (name.clone(), role)
        };
        Self {
            roles: roles.iter().map(read).collect(),
        }
    }
}

/// Returns the permissions that a text stands for: one, all of a resource, or all.
fn matching(pattern: &str) -> Vec<Permission> {
    let fits = |permission: &&Permission| {
        pattern == "*"
            || pattern == permission.as_str()
            || pattern.strip_suffix(":*") == Some(permission.resource())
    };
    Permission::ALL.iter().filter(fits).copied().collect()
}

fn unknown(role: &str, pattern: &str) -> String {
    let known = Permission::ALL.iter().map(|permission| permission.as_str());
    let meant = nearest(pattern, known)
        .map(|meant| format!("; did you mean `{meant}`?"))
        .unwrap_or_default();
    format!(
        "`auth.roles.{role}.permissions` has `{pattern}`, which is neither `*`, nor a permission such as \
         `tasker.task:show` or `tasker.task:*`{meant}"
    )
}

impl Coordinator for Rbac {
    fn reach(&self, caller: &Caller, permission: Permission) -> Reach {
        let mut scopes = Vec::new();
        let roles = caller.roles().iter().filter_map(|name| self.roles.get(name));
        for role in roles.filter(|role| role.permissions.contains(&permission)) {
            let owner = role.own_tasks.then(|| caller.name().to_owned());
            if role.namespaces.is_empty() && owner.is_none() {
                return Reach::Everything;
            }
            let scope = |namespace| TaskScope {
                namespace,
                owner: owner.clone(),
            };
            match role.namespaces.as_slice() {
                [] => scopes.push(scope(None)),
                some => scopes.extend(some.iter().map(|namespace| scope(Some(namespace.clone())))),
            }
        }
        Reach::Within(scopes)
    }
}
