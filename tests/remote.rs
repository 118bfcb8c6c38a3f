//! `tasker --server URL task …` says and does what the same command says and does where the database is.

use std::process::{Command, Stdio};

use serde_json::Value;

use crate::program::{Ended, Place, program};
use crate::serve::Service;

/// One step fails for good, one waits for it, one is done.
const BROKEN: &str = "\
namespace: shop
name: broken
steps:
  - { name: first, handler: command, config: { program: echo, args: ['{\"n\": 1}'] } }
  - { name: fails, handler: command, config: { program: sh, args: [-c, 'echo no such order >&2; exit 3'] }, retry_limit: 1 }
  - { name: after, handler: sleep, config: { seconds: 0 }, depends_on: [fails] }
";

/// Runs `tasker` where there is no database, and asks a service.
fn far_with(place: &Place, service: &Service, arguments: &[&str], also: &[&str]) -> Ended {
    let url = format!("http://{}", service.address);
    let mut command = Command::new(program());
    command
        .args(arguments)
        .args(["--json", "--server", &url])
        .args(also)
        .current_dir(place.path(""))
        .env_remove("TASKER_CONFIG")
        .env("TASKER_DATA_DIR", place.path("nowhere"))
        .stdin(Stdio::null());
    let ended = Ended::of(arguments, &command.output().unwrap());
    assert!(!place.path("nowhere").exists(), "a database was made");
    ended
}

fn far(place: &Place, service: &Service, arguments: &[&str]) -> Ended {
    far_with(place, service, arguments, &[])
}

/// Returns a place with so many tasks that are in error, and their ids.
fn with_broken(count: usize) -> (Place, Vec<String>) {
    let place = Place::new();
    place.write("broken.yaml", BROKEN);
    let ids = (0..count).map(|number| {
        let context = format!("{{ \"number\": {number}, \"password\": \"hunter2\" }}");
        let ran = place.run(&["run", "broken.yaml", "--context", &context, "--tag", "odd"]);
        assert_eq!(ran.code, Some(1), "{}", ran.said);
        ran.said["task_id"].as_str().unwrap().to_owned()
    });
    let ids = ids.collect();
    (place, ids)
}

/// Runs a command at both ends, and checks that nothing tells them apart.
#[track_caller]
fn same(place: &Place, service: &Service, arguments: &[&str]) -> Value {
    let (near, far) = (place.run(arguments), far(place, service, arguments));
    assert_eq!(near.code, far.code, "{arguments:?}: {}", far.said);
    assert_eq!(near.said, far.said, "{arguments:?}");
    far.said
}

#[test]
fn what_there_is_looks_the_same_from_afar() {
    let (place, ids) = with_broken(3);
    let service = Service::start(&place, &["--api-only"]);
    let id = ids[0].as_str();
    let beginning = &id[..id.len() - 1];
    let shown = same(&place, &service, &["task", "show", id]);
    assert_eq!(shown["context"]["password"], "[FILTERED]");
    assert_eq!(shown["steps"][0]["result"], serde_json::json!({ "n": 1 }));
    for arguments in [
        &["task", "show", id, "--history"][..],
        &["task", "show", beginning],
        &["task", "explain", id],
        &["task", "explain", id, "after"],
        &["task", "list", "--total", "--limit", "200"],
        &[
            "task",
            "list",
            "--state",
            "error",
            "--tag",
            "odd",
            "--namespace",
            "shop",
            "--name",
            "broken",
        ],
        &[
            "task",
            "list",
            "--context",
            "number=1",
            "--sort",
            "updated",
            "--ascending",
        ],
        &["task", "list", "--created-after", "2100-01-01T00:00:00Z"],
        &["task", "show", "0000"],
        &["task", "show", "00000000-0000-7000-8000-000000000000"],
        &["task", "explain", id, "aftr"],
        &["task", "retry", id, "first"],
        &["task", "cancel", "00000000-0000-7000-8000-000000000000"],
        &["task", "list", "--cursor", "nonsense"],
    ] {
        if arguments.contains(&"--cursor") {
            let refused = far(&place, &service, arguments);
            assert_ne!(refused.code, Some(0));
            assert!(
                refused.said.to_string().contains("invalid_cursor"),
                "{}",
                refused.said
            );
        } else {
            same(&place, &service, arguments);
        }
    }
}

#[test]
fn pages_follow_one_another_from_afar() {
    let (place, ids) = with_broken(3);
    let service = Service::start(&place, &["--api-only"]);
    let first = far(&place, &service, &["task", "list", "--limit", "2"]).said;
    assert_eq!(first["more"], true);
    let cursor = first["next_cursor"].as_str().unwrap();
    let second = far(
        &place,
        &service,
        &["task", "list", "--limit", "2", "--cursor", cursor],
    )
    .said;
    let named = |page: &Value| {
        let tasks = page["tasks"].as_array().unwrap().clone();
        tasks
            .into_iter()
            .map(|task| task["task_id"].as_str().unwrap().to_owned())
    };
    let listed: Vec<_> = named(&first).chain(named(&second)).collect();
    assert_eq!(listed, ids.into_iter().rev().collect::<Vec<_>>());
}

#[test]
fn a_task_is_watched_to_its_end_from_afar() {
    let (place, ids) = with_broken(1);
    let service = Service::start(&place, &["--api-only"]);
    let arguments = ["task", "watch", &ids[0], "--json"];
    let near = place.tasker(&arguments[..3]).output().unwrap();
    let url = format!("http://{}", service.address);
    let far = Command::new(program())
        .args(arguments)
        .args(["--server", &url])
        .current_dir(place.path(""))
        .output()
        .unwrap();
    let lines = |text: &[u8]| {
        let text = String::from_utf8_lossy(text).into_owned();
        text.lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect::<Vec<Value>>()
    };
    assert_eq!(lines(&near.stdout), lines(&far.stdout));
    assert_eq!((near.status.code(), far.status.code()), (Some(1), Some(1)));
    assert!(lines(&far.stdout).len() > 5);
}

#[test]
fn what_is_changed_from_afar_is_changed_as_if_it_were_near() {
    let (place, ids) = with_broken(2);
    let service = Service::start(&place, &["--api-only"]);
    for arguments in [
        &[
            "task",
            "change",
            "ID",
            "--tag",
            "vip",
            "--annotation",
            "ticket=4711",
            "--priority",
            "7",
            "--reason",
            "so",
        ][..],
        &[
            "task",
            "change",
            "ID",
            "--without",
            "ticket",
            "--task-reason",
            "asked by phone",
        ],
        &[
            "task",
            "resolve",
            "ID",
            "fails",
            "--result",
            "{\"found\": true}",
            "--reason",
            "by hand",
        ],
        &["task", "cancel", "ID", "after"],
        &["task", "cancel", "ID"],
        &["task", "cancel", "ID"],
    ] {
        let with = |id| {
            arguments
                .iter()
                .map(|word| if *word == "ID" { id } else { *word })
                .collect::<Vec<_>>()
        };
        let near = place.run(&with(ids[0].as_str()));
        let far = far(&place, &service, &with(ids[1].as_str()));
        assert_eq!(near.code, far.code, "{arguments:?}: {} {}", near.said, far.said);
        let known = |said: &Value| said.to_string().replace(&ids[0], "ID").replace(&ids[1], "ID");
        assert_eq!(known(&near.said), known(&far.said), "{arguments:?}");
    }
    let history = far(&place, &service, &["task", "show", &ids[1], "--history"]).said["history"].to_string();
    for kept in ["by hand", "\"so\""] {
        assert!(history.contains(kept), "{kept} in {history}");
    }
}

#[test]
fn who_may_ask_says_so_by_a_token() {
    let (place, ids) = with_broken(1);
    let token = place.run(&["token", "create", "ops", "--role", "admin"]);
    assert_eq!(token.code, Some(0), "{}", token.said);
    place.write("token", &format!("{}\n", token.said["token"].as_str().unwrap()));
    let settings = ["auth.authentication_enabled=true", "auth.authenticator=api_token"];
    let options: Vec<_> = settings.iter().flat_map(|setting| ["--set", setting]).collect();
    let service = Service::start(&place, &[&["--api-only"], options.as_slice()].concat());
    let refused = far(&place, &service, &["task", "show", &ids[0]]);
    assert_eq!(refused.code, Some(3), "{}", refused.said);
    let message = refused.said["error"]["message"].as_str().unwrap();
    assert!(
        message.contains("401") && message.contains("--token-file"),
        "{message}"
    );
    let file = place.path("token");
    let also = ["--token-file", file.to_str().unwrap()];
    let shown = far_with(&place, &service, &["task", "show", &ids[0]], &also);
    assert_eq!(
        (shown.code, &shown.said["state"]),
        (Some(0), &Value::from("error"))
    );
}

#[test]
fn who_lacks_a_permission_or_asks_too_often_is_told_what_to_do() {
    let (place, ids) = with_broken(1);
    let made = place.run(&["token", "create", "guest", "--role", "guest"]);
    assert_eq!(made.code, Some(0), "{}", made.said);
    place.write("token", made.said["token"].as_str().unwrap());
    let file = place.path("token");
    let also = ["--token-file", file.to_str().unwrap()];
    let set = |settings: &[&'static str]| {
        let mut options = vec!["--api-only"];
        options.extend(settings.iter().flat_map(|setting| ["--set", *setting]));
        Service::start(&place, &options)
    };
    let message = |ended: &Ended| ended.said["error"]["message"].as_str().unwrap().to_owned();

    let service = set(&[
        "auth.authentication_enabled=true",
        "auth.authenticator=api_token",
        "auth.authorization_enabled=true",
    ]);
    let denied = far_with(&place, &service, &["task", "show", &ids[0]], &also);
    assert_eq!(denied.code, Some(3), "{}", denied.said);
    assert!(message(&denied).contains("403 denied"), "{}", denied.said);
    assert!(
        message(&denied).ends_with("ask those who run it for the permission"),
        "{}",
        denied.said
    );

    let service = set(&[
        "server.address_rate.requests_per_second=0.01",
        "server.address_rate.burst=1",
    ]);
    far(&place, &service, &["task", "list"]);
    let refused = far(&place, &service, &["task", "list"]);
    assert_eq!(refused.code, Some(3), "{}", refused.said);
    assert_eq!(refused.said["error"]["code"], "store_unavailable");
    assert!(message(&refused).contains("come again in"), "{}", refused.said);
}

#[test]
fn what_cannot_be_asked_is_refused_and_says_why() {
    let place = Place::new();
    place.write("empty", "\n");
    place.write("two", "one two\n");
    let refused = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.args(arguments).arg("--json").current_dir(place.path(""));
        let ended = Ended::of(arguments, &command.output().unwrap());
        let error = &ended.said["error"];
        (
            ended.code,
            error["code"].as_str().unwrap().to_owned(),
            error["message"].as_str().unwrap().to_owned(),
        )
    };
    for (url, why) in [
        ("127.0.0.1:8080", "`127.0.0.1:8080` is no URL of a service"),
        ("ftp://host", "begins with neither"),
        ("http://ann:secret@host", "name a token with --token-file"),
        ("http://host/tasker?x=1", "more than a path"),
    ] {
        let (code, name, message) = refused(&["task", "list", "--server", url]);
        assert_eq!((code, name.as_str()), (Some(2), "server_url"), "{message}");
        assert!(message.contains(why) && !message.contains("secret"), "{message}");
    }
    for file in ["missing", "empty", "two"] {
        let (code, name, message) = refused(&[
            "task",
            "list",
            "--server",
            "http://127.0.0.1:9",
            "--token-file",
            file,
        ]);
        assert_eq!((code, name.as_str()), (Some(2), "token_file"), "{message}");
        assert!(message.contains(&format!("`{file}`")), "{message}");
    }
    let (code, name, message) = refused(&["run", "t.yaml", "--server", "http://127.0.0.1:9"]);
    assert_eq!(
        (code, name.as_str()),
        (Some(2), "server_not_possible"),
        "{message}"
    );
    // Nobody listens at a port that was just given up.
    let gone = std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let (code, name, message) = refused(&["task", "list", "--server", &format!("http://{gone}")]);
    assert_eq!((code, name.as_str()), (Some(3), "store_unavailable"), "{message}");
    assert!(message.contains(&gone.to_string()), "{message}");
}
