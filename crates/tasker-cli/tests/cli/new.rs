//! `tasker new`: what it writes works as it is.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::place::Place;

#[test]
fn a_new_template_has_no_faults_and_runs() {
    let place = Place::new();
    place
        .run("new template nightly --dir templates")
        .exits(0)
        .says("wrote templates/nightly.yaml\n")
        .says("  tasker run templates/nightly.yaml    runs it\n");
    let checked = place
        .run("graph check templates/nightly.yaml --json")
        .exits(0)
        .json();
    assert_eq!(checked["faults"], serde_json::json!([]));
    assert_eq!(checked["warnings"], serde_json::json!([]));
    let ran = place.run("run templates/nightly.yaml --quiet").exits(0);
    assert_eq!(ran.stdout, "{\"count\":12}\n");
    // A name that would be something else in YAML.
    place.run("new template No").exits(0);
    place
        .run("graph check No.yaml")
        .exits(0)
        .says("default_system.No@0.1.0");
}

#[test]
fn nothing_is_overwritten() {
    let place = Place::with("nightly.yaml", "mine");
    let ran = place.run("new template nightly --json").exits(2);
    assert_eq!(
        ran.error(),
        (
            "already_there".to_owned(),
            "`./nightly.yaml` is there already".to_owned()
        )
    );
    assert_eq!(
        std::fs::read_to_string(place.path("nightly.yaml")).unwrap(),
        "mine"
    );
    std::fs::create_dir(place.path("shop")).unwrap();
    place
        .run("new project shop")
        .exits(2)
        .complains("`./shop` is there already");
}

#[test]
fn names_and_sources_are_checked() {
    let place = Place::new();
    place
        .run("new template 1st")
        .exits(2)
        .complains("`1st` must begin with a letter (A-Z, a-z)");
    place
        .run("new handler match")
        .exits(2)
        .complains("error: `match` cannot name a handler: it is a word of Rust\n");
    place
        .run("new project tasker")
        .exits(2)
        .complains("error: a project cannot have the name of the crate that it depends on\n");
    place.run("new project shop --tasker .").exits(2).complains(
        "error: `.` is not the directory of the crate `tasker`\n  help: name the one that has its Cargo.toml, or a checkout \
         of Tasker\n",
    );
    assert!(!place.path("shop").exists());
}

/// Runs cargo in a project, offline and with what the workspace has built.
fn cargo(project: &Path, arguments: &[&str]) -> String {
    let program = PathBuf::from(env!("CARGO_BIN_EXE_tasker"));
    let profile = program.parent().unwrap();
    let mut command = Command::new(env!("CARGO"));
    command
        .args(arguments)
        .current_dir(project)
        .env("CARGO_NET_OFFLINE", "true")
        .env("CARGO_TARGET_DIR", profile.parent().unwrap())
        // As the workspace has it, so that nothing is built twice.
        .env("CARGO_PROFILE_DEV_DEBUG", "line-tables-only");
    if profile.ends_with("release") {
        command.arg("--release");
    }
    let output = command.output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {stderr}");
    assert!(!stderr.contains("warning:"), "{stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_new_project_builds_runs_and_tests_itself() {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let place = Place::new();
    let line = [
        "new",
        "project",
        "corner-shop",
        "--tasker",
        workspace.to_str().unwrap(),
    ];
    place
        .run_with(line)
        .exits(0)
        .says("  cd corner-shop && cargo run    builds it and runs its template\n");
    let project = place.path("corner-shop");
    // The versions that are here already.
    std::fs::copy(workspace.join("Cargo.lock"), project.join("Cargo.lock")).unwrap();
    let said = cargo(&project, &["run", "--quiet"]);
    assert_eq!(
        said,
        "default_system.corner-shop@0.1.0 is complete: {\"receipt\":\"7 euros\"}\n"
    );
    let listed = place
        .run("task list --data-dir corner-shop/data --quiet")
        .exits(0);
    assert_eq!(listed.stdout.lines().count(), 1);

    // A second handler, in a module of the project.
    place
        .run("new handler send-mail --dir corner-shop/src")
        .exits(0)
        .says("  mod send_mail;    makes it part of the program\n");
    let main = project.join("src/main.rs");
    let text = std::fs::read_to_string(&main).unwrap();
    let text = text.replace("mod price;\n", "mod price;\nmod send_mail;\n").replace(
        ".handler(\"price\", handler(price::price))",
        ".handler(\"price\", handler(price::price))\n        .handler(\"send-mail\", tasker::handler(send_mail::send_mail))",
    );
    std::fs::write(&main, text).unwrap();
    let said = cargo(&project, &["test", "--quiet"]);
    assert!(said.contains("4 passed; 0 failed"), "{said}");
}
