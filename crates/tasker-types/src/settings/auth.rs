//! Who may use the service, and how they say who they are.

use std::collections::BTreeMap;

use super::{Bounds, Check, section, table};

/// A key by which tokens are checked: a shared secret, or a public key in PEM. It is never in the configuration itself.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct JwtKeyValues {
    /// The name by which tokens choose the key.
    pub kid: Option<String>,
    /// How its tokens are signed, such as `RS256`.
    pub algorithm: String,
    /// The file that it is in, relative to the configuration file.
    pub file: Option<String>,
    /// The variable of the environment that it is in.
    pub env: Option<String>,
}

table! {
    /// How JSON Web Tokens are checked.
    JwtValues {
        /// The keys, tables with `algorithm` (such as `ES512`), `file` or `env`, and `kid`, by which tokens choose.
        keys: Vec<JwtKeyValues> = Vec::new(),
        /// Who must have issued a token: its `iss`; anyone if this is not set.
        issuer: Option<String> = None; in Bounds::not_empty(),
        /// Whom a token must be meant for, among its `aud`; anyone if this is not set.
        audience: Option<String> = None; in Bounds::not_empty(),
        /// Seconds by which clocks may differ when `exp` and `nbf` are looked at.
        leeway_seconds: u32 = 30; in Bounds::between(0.0, 60.0),
        /// How many bytes a token may have.
        max_bytes: u32 = 8192; in Bounds::between(256.0, 65_536.0),
        /// The claim that names the caller.
        name_claim: String = "sub".to_owned(); in Bounds::not_empty(),
        /// The claim that lists the roles of the caller.
        roles_claim: String = "roles".to_owned(); in Bounds::not_empty(),
    }
}

/// What those who have a role may do, and where.
#[derive(Clone, Debug, Default, PartialEq, serde::Serialize, serde::Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RoleValues {
    /// Permissions such as `tasker.task:show`, `tasker.task:*` for all of a resource, or `*` for all.
    pub permissions: Vec<String>,
    /// The namespaces in which the permissions hold; in all if there are none.
    pub namespaces: Vec<crate::Namespace>,
    /// Whether they hold only for tasks that the caller asked for.
    pub own_tasks: bool,
}

table! {
    /// The values of [`Auth`].
    AuthValues {
        /// Whether callers must say who they are.
        authentication_enabled: bool = false,
        /// How they do: `jwt`, `api_token` by `tasker token`, or what the program has registered; `none` where nobody has to.
        authenticator: String = "none".to_owned(); in Bounds::not_empty(),
        /// Whether callers need permissions; without, all who are known may do everything.
        authorization_enabled: bool = false,
        /// Who decides: `rbac` by `roles`, `deny`, which permits nothing, or what the program has registered.
        coordinator: String = "deny".to_owned(); in Bounds::not_empty(),
        /// Roles by name: tables with `permissions`, the `namespaces` in which they hold (all if none), and `own_tasks`.
        roles: BTreeMap<String, RoleValues> = BTreeMap::new(),
        /// How JSON Web Tokens are checked.
        jwt: JwtValues = JwtValues::default() => JwtValues,
    }
}

section! {
    /// Who may use the service, and how they say who they are.
    Auth(AuthValues) in "auth"
}

impl AuthValues {
    fn check(&self, check: &mut Check) {
        check.require(
            self.authentication_enabled || !self.authorization_enabled,
            "authorization_enabled",
            &self.authorization_enabled,
            "false unless `authentication_enabled` is true: who is not known has no roles",
        );
    }
}
