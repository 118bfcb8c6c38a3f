//! `tasker token`: what is shown, once, and what is kept.

use crate::place::Place;

const CONFIGURATION: &str = r#"
[auth]
authentication_enabled = true
authenticator = "api_token"
authorization_enabled = true
coordinator = "rbac"
roles = { operator = { permissions = ["*"] } }
"#;

#[test]
fn a_token_is_shown_once_and_listed_without_its_secret() {
    let place = Place::with("tasker.toml", CONFIGURATION);
    let ran = place.run("token create ci --role operator").exits(0);
    let token = ran.stdout.trim().to_owned();
    assert!(token.starts_with("tasker_") && token.len() == 96, "{token}");
    ran.complains("This is shown once");
    let ran = place.run("token list --json").exits(0);
    assert!(!ran.stdout.contains(&token[24..]), "{}", ran.stdout);
    let listed = &ran.json()["tokens"][0];
    assert_eq!(listed["name"], "ci");
    assert_eq!(listed["subject"], "ci");
    assert_eq!(listed["roles"], serde_json::json!(["operator"]));
    assert_eq!(listed["standing"], "valid");
    assert_eq!(listed["token_id"], token[7..23]);
    assert!(listed["expires_at"].is_string() && listed["last_used_at"].is_null());
    assert!(listed.get("token").is_none());
    place.run("token list").exits(0).says("ci").says("valid");
}

#[test]
fn a_token_for_a_program_is_one_line_or_one_object() {
    let place = Place::with("tasker.toml", CONFIGURATION);
    let ran = place.run("token create ci --quiet").exits(0);
    assert_eq!((ran.stdout.lines().count(), ran.stderr.as_str()), (1, ""));
    let made = place
        .run("token create shop --subject web --no-expiry --json")
        .exits(0)
        .json();
    assert_eq!(
        (&made["subject"], &made["standing"]),
        (&"web".into(), &"valid".into())
    );
    assert!(made["token"].as_str().unwrap().starts_with("tasker_"));
    assert!(made["expires_at"].is_null());
    assert_eq!(place.run("token list --quiet").exits(0).stdout.lines().count(), 2);
}

#[test]
fn a_revoked_token_gives_its_name_back() {
    let place = Place::with("tasker.toml", CONFIGURATION);
    let made = place.run("token create ci --json").exits(0).json();
    let id = made["token_id"].as_str().unwrap();
    place
        .run("token create ci")
        .exits(2)
        .complains("the name of a token is \"ci\", but it must be one that no token has");
    place
        .run("token revoke ci")
        .exits(0)
        .says(&format!("revoked {id} ci"));
    place
        .run("token revoke ci")
        .exits(2)
        .complains("there is no token `ci` that is not revoked");
    let again = place.run(&format!("token revoke {id} --json")).exits(0).json();
    assert_eq!(again["standing"], "revoked");
    place.run("token create ci").exits(0);
}

#[test]
fn what_would_be_of_no_use_is_told() {
    let place = Place::with("tasker.toml", CONFIGURATION);
    place
        .run("token create ci --role operater")
        .exits(0)
        .complains("`auth.roles` has no role `operater`; did you mean `operator`?");
    place
        .run("token create old --expires 2020-01-01T00:00:00Z")
        .exits(2)
        .complains("which is over already");
    place
        .run("token create odd --expires soon")
        .exits(2)
        .complains("write days or weeks such as 90d");
    place
        .run("token create other --set auth.authenticator=jwt --quiet")
        .exits(0);
    Place::new()
        .run("token create ci")
        .exits(0)
        .complains("this configuration does not ask for tokens");
    assert_eq!(
        Place::new().run("token list").exits(0).stdout,
        "no tokens yet; `tasker token create NAME` makes one\n"
    );
}
