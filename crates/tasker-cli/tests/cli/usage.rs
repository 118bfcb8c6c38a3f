//! What is wrong with a command line, and what needs nothing but the binary.

use crate::place::Place;

#[test]
fn a_wrong_command_is_code_2() {
    let place = Place::new();
    for line in [
        "",
        "bogus",
        "run",
        "task",
        "task show",
        "run x --priority many",
        "task list --state done",
    ] {
        let ran = place.run(line).exits(2);
        assert!(ran.stdout.is_empty() && !ran.stderr.is_empty(), "{line}: {ran:?}");
    }
    place
        .run("rum")
        .exits(2)
        .complains("similar subcommands exist: 'run'");
}

#[test]
fn the_command_that_was_meant_is_named() {
    let place = Place::new();
    for (line, meant) in [
        ("rnu x", "run"),
        ("help tsk", "task"),
        ("list", "task list"),
        ("retry 0198", "task retry"),
        ("task shwo 0198", "show"),
        ("--json check t.yaml", "graph check"),
    ] {
        let ran = place.run(line).exits(2);
        let said = format!("{}{}", ran.stdout, ran.stderr);
        assert!(said.contains(&format!("exists: '{meant}'")), "{line}: {said}");
    }
    let ran = place.run("frobnicate").exits(2);
    assert!(!ran.stderr.contains("tip:"), "{}", ran.stderr);
}

#[test]
fn what_is_missing_is_said_in_json_too() {
    let place = Place::new();
    let (_, message) = place.run("run --json").exits(2).error();
    assert_eq!(
        message,
        "the following required arguments were not provided: <TEMPLATE>"
    );
}

#[test]
fn a_wrong_command_is_json_if_that_was_asked_for() {
    let place = Place::new();
    let (code, message) = place.run("bogus --json").exits(2).error();
    assert_eq!(
        (code.as_str(), message.as_str()),
        ("usage", "unrecognized subcommand 'bogus'")
    );
}

#[test]
fn help_and_version_need_nothing() {
    let place = Place::new();
    place.run("--help").exits(0).says("Exit codes:").says("resume");
    place.run("--version").exits(0).says("tasker 0.1.0");
    place
        .run("task resolve --help")
        .exits(0)
        .says("Examples:")
        .says("--data-dir");
    for (asked, option) in [
        ("help", "--help"),
        ("help run", "run --help"),
        ("help task show", "task show --help"),
    ] {
        assert_eq!(
            place.run(asked).exits(0).stdout,
            place.run(option).exits(0).stdout
        );
    }
    place
        .run("help rum")
        .exits(2)
        .complains("unrecognized subcommand 'rum'");
    assert!(!place.path("data").exists());
}

#[test]
fn help_starts_at_once() {
    let place = Place::new();
    let fastest = (0..10)
        .map(|_| {
            let begun = std::time::Instant::now();
            place.run("--help").exits(0);
            begun.elapsed()
        })
        .min()
        .unwrap();
    // The release build needs a tenth of this; the bound is for a busy machine and a debug build.
    assert!(fastest < std::time::Duration::from_millis(100), "{fastest:?}");
}

#[test]
fn shells_complete_commands() {
    let place = Place::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        place
            .run(&format!("completions {shell}"))
            .exits(0)
            .says("COMPLETE");
    }
    place
        .run("completions tcsh")
        .exits(2)
        .complains("possible values: bash");
}
