//! Configurations that are refused, and how far roles reach.

use tasker::SystemClock;
use tasker_types::{AuthValues, Namespace, RoleValues};

use super::*;
use crate::access::TaskScope;

fn values() -> AuthValues {
    AuthValues {
        authentication_enabled: true,
        authenticator: "jwt".to_owned(),
        authorization_enabled: true,
        coordinator: "rbac".to_owned(),
        ..AuthValues::default()
    }
}

fn role(permissions: &[&str], namespaces: &[&str], own_tasks: bool) -> RoleValues {
    RoleValues {
        permissions: permissions.iter().map(|&text| text.to_owned()).collect(),
        namespaces: namespaces
            .iter()
            .map(|name| Namespace::new(name).unwrap())
            .collect(),
        own_tasks,
    }
}

fn build(values: AuthValues) -> Result<Arc<dyn Guard>, AuthFaults> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let settings = Settings::try_from(values).unwrap();
    Auth::builder().build(&settings, &Environment::default(), &clock)
}

#[test]
fn all_faults_are_told_at_the_start() {
    let faults = build(AuthValues {
        roles: [(
            "ops".to_owned(),
            role(&["tasker.task:shwo", "tasker.task", "task:*"], &[], false),
        )]
        .into(),
        authenticator: "jtw".to_owned(),
        coordinator: "rbca".to_owned(),
        ..values()
    });
    let faults = faults.unwrap_err();
    assert_eq!(
        faults.as_slice(),
        [
            "`auth.roles.ops.permissions` has `tasker.task:shwo`, which is neither `*`, nor a permission such as \
             `tasker.task:show` or `tasker.task:*`; did you mean `tasker.task:show`?",
            "`auth.roles.ops.permissions` has `tasker.task`, which is neither `*`, nor a permission such as \
             `tasker.task:show` or `tasker.task:*`; did you mean `tasker.task:show`?",
            "`auth.roles.ops.permissions` has `task:*`, which is neither `*`, nor a permission such as \
             `tasker.task:show` or `tasker.task:*`",
            "`auth.authenticator` is `jtw`, but there is only `api_token`, `jwt`; did you mean `jwt`?",
            "`auth.coordinator` is `rbca`, but there is only `deny`, `rbac`; did you mean `rbac`?",
        ]
    );
    let faults = build(AuthValues {
        authentication_enabled: true,
        ..AuthValues::default()
    });
    assert_eq!(
        faults.unwrap_err().to_string(),
        "`auth.authenticator` is `none`, but there is only `api_token`, `jwt`"
    );
    let faults = build(AuthValues {
        authentication_enabled: true,
        authenticator: "api_token".to_owned(),
        ..AuthValues::default()
    });
    assert_eq!(
        faults.unwrap_err().to_string(),
        "`auth.authenticator` is `api_token`, but the store of this program keeps no tokens; keep tasks in SQLite or \
         PostgreSQL, and give `AuthBuilder::tokens` what `Tasker::tokens` returns"
    );
    let faults = build(values()).unwrap_err();
    assert_eq!(
        faults.to_string(),
        "`auth.jwt.keys` is empty, but `auth.authenticator` is `jwt`; `auth.roles` is empty, so that \
         `auth.coordinator` = `rbac` would permit nobody anything"
    );
}

#[test]
fn without_authentication_nobody_is_asked() {
    let guard = build(AuthValues::default()).unwrap();
    assert!(!guard.asks_who());
    let faulty = AuthValues {
        roles: [("ops".to_owned(), role(&["x"], &[], false))].into(),
        ..AuthValues::default()
    };
    assert!(
        build(faulty).is_err(),
        "roles that nobody has yet are checked, too"
    );
}

#[test]
fn what_is_not_permitted_is_denied() {
    let caller = Caller::new("ann").with_roles(["viewer"]);
    for permission in Permission::ALL {
        assert!(Deny.reach(&caller, *permission).is_nothing());
        let nobody = Rbac::new(&BTreeMap::new(), &mut Vec::new());
        assert!(nobody.reach(&caller, *permission).is_nothing());
    }
}

#[test]
fn roles_permit_together_what_each_permits() {
    let roles = [
        (
            "viewer",
            role(&["tasker.task:show", "tasker.handler:*"], &[], false),
        ),
        ("payer", role(&["tasker.task:*"], &["payments", "refunds"], false)),
        ("owner", role(&["tasker.task:cancel"], &[], true)),
        ("admin", role(&["*"], &[], false)),
    ];
    let roles = roles
        .into_iter()
        .map(|(name, role)| (name.to_owned(), role))
        .collect();
    let mut faults = Vec::new();
    let rbac = Rbac::new(&roles, &mut faults);
    assert!(faults.is_empty(), "{faults:?}");
    let reach =
        |roles: &[&str], permission| rbac.reach(&Caller::new("ann").with_roles(roles.to_vec()), permission);
    let scope = |namespace: Option<&str>, owner: Option<&str>| TaskScope {
        namespace: namespace.map(|name| Namespace::new(name).unwrap()),
        owner: owner.map(str::to_owned),
    };
    assert_eq!(reach(&["viewer"], Permission::TaskShow), Reach::Everything);
    assert_eq!(reach(&["viewer"], Permission::HandlerIndex), Reach::Everything);
    assert_eq!(
        reach(&["viewer", "unknown"], Permission::TaskCancel),
        Reach::nothing()
    );
    assert_eq!(
        reach(&["owner", "payer"], Permission::TaskCancel),
        Reach::Within(vec![
            scope(None, Some("ann")),
            scope(Some("payments"), None),
            scope(Some("refunds"), None),
        ])
    );
    assert_eq!(
        reach(&["viewer", "payer"], Permission::TaskShow),
        Reach::Everything
    );
    for permission in Permission::ALL {
        assert_eq!(reach(&["admin"], *permission), Reach::Everything);
    }
}
