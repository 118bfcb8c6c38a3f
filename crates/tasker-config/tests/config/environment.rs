//! What else the environment says.

use std::path::PathBuf;

use tasker_config::{Environment, Loader};

use crate::place::environment;

#[track_caller]
fn data_directory<const N: usize>(variables: [(&str, &str); N], expected: Option<&str>) {
    assert_eq!(
        environment(variables).data_directory(),
        expected.map(PathBuf::from)
    );
}

#[cfg(target_os = "linux")]
#[test]
fn the_data_directory_is_the_platforms() {
    data_directory([], None);
    data_directory([("HOME", "/home/ada")], Some("/home/ada/.local/share/tasker"));
    data_directory(
        [("HOME", "/home/ada"), ("XDG_DATA_HOME", "/data")],
        Some("/data/tasker"),
    );
    data_directory(
        [("HOME", "/home/ada"), ("XDG_DATA_HOME", "data")],
        Some("/home/ada/.local/share/tasker"),
    );
    data_directory([("HOME", "/home/ada"), ("TASKER_DATA_DIR", "here")], Some("here"));
    data_directory(
        [("HOME", "/home/ada"), ("TASKER_DATA_DIR", "")],
        Some("/home/ada/.local/share/tasker"),
    );
}

#[test]
fn the_user_is_the_one_who_is_logged_in() {
    assert_eq!(environment([]).user(), None);
    assert_eq!(environment([("LOGNAME", "ada")]).user(), Some("ada"));
    assert_eq!(
        environment([("LOGNAME", "ada"), ("USER", "grace")]).user(),
        Some("grace")
    );
}

#[test]
fn the_terminal_is_described() {
    let described = environment([("TERM", "dumb"), ("NO_COLOR", "1"), ("COLUMNS", "132")]);
    assert_eq!(
        (described.terminal(), described.no_color(), described.columns()),
        (Some("dumb"), true, Some(132))
    );
    let bare = environment([("NO_COLOR", ""), ("COLUMNS", "wide")]);
    assert_eq!(
        (bare.terminal(), bare.no_color(), bare.columns()),
        (None, false, None)
    );
}

#[test]
fn templates_read_what_they_are_allowed_to() {
    let environment = environment([
        ("API_TOKEN", "secret"),
        ("REGION", "eu"),
        ("TASKER_ENGINE__TEMPLATE_ENVIRONMENT", "[REGION, ABSENT]"),
    ]);
    let config = Loader::new().environment(&environment).load().unwrap();
    let variables: Vec<_> = environment.template_variables(&config).into_iter().collect();
    assert_eq!(variables, [("REGION".to_owned(), "eu".to_owned())]);
}

#[test]
fn values_of_variables_are_not_shown() {
    let shown = format!("{:?}", environment([("API_TOKEN", "secret")]));
    assert_eq!(shown, r#"{"API_TOKEN"}"#);
}

#[test]
fn the_process_has_an_environment() {
    assert!(Environment::of_process().variable("CARGO_MANIFEST_DIR").is_some());
}
