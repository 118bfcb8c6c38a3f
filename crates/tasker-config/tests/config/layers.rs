//! Which layer wins, and where values come from.

use std::sync::Arc;

use tasker_config::{Config, Loader};
use tasker_types::Synchronous;

use crate::place::{Place, environment};

const FILE: &str = "\
[execution]
lease_seconds = 41
claim_batch = 41
max_concurrent_steps = 41
shutdown_grace_seconds = 41
poll_max_seconds = 41

[profiles.test.execution]
claim_batch = 42
max_concurrent_steps = 42
shutdown_grace_seconds = 42
poll_max_seconds = 42

[profiles.production.execution]
claim_batch = 1
";

#[test]
fn later_layers_win() {
    let place = Place::with(FILE);
    let environment = environment([
        ("TASKER_PROFILE", "test"),
        ("TASKER_EXECUTION__MAX_CONCURRENT_STEPS", "43"),
        ("TASKER_EXECUTION__SHUTDOWN_GRACE_SECONDS", "43"),
        ("TASKER_EXECUTION__POLL_MAX_SECONDS", "43"),
        ("HOME", "/home/ada"),
    ]);
    let loader = place
        .loader()
        .environment(&environment)
        .argument("execution.shutdown_grace_seconds", "44")
        .argument("execution.poll_max_seconds", "44")
        .set("execution.poll_max_seconds", 45);
    let config = place.load(&loader);
    let execution = config.execution();
    assert_eq!(execution.heartbeat_seconds, 10.0);
    assert_eq!(execution.lease_seconds, 41.0);
    assert_eq!(execution.claim_batch, 42);
    assert_eq!(execution.max_concurrent_steps, Some(43));
    assert_eq!(execution.shutdown_grace_seconds, 44.0);
    assert_eq!(execution.poll_max_seconds, 45.0);
    let origin = |key: &str| place.said(config.origin(&format!("execution.{key}")));
    assert_eq!(origin("heartbeat_seconds"), "default");
    assert_eq!(origin("lease_seconds"), "tasker.toml:2");
    assert_eq!(origin("claim_batch"), "tasker.toml:9 (profile `test`)");
    assert_eq!(
        origin("max_concurrent_steps"),
        "environment variable TASKER_EXECUTION__MAX_CONCURRENT_STEPS"
    );
    assert_eq!(origin("shutdown_grace_seconds"), "command line");
    assert_eq!(origin("poll_max_seconds"), "program");
    assert_eq!(config.profile(), Some("test"));
    assert_eq!(config.file(), Some(&*place.path().join("tasker.toml")));
}

#[test]
fn a_partial_table_keeps_the_other_defaults() {
    let place = Place::with("backoff.reenqueue_delays.processing = 3\n[backoff]\nbuffer_seconds = 1\n");
    // TOML takes one way to write a table or the other.
    place.loader().load().unwrap_err();
    let place = Place::with("[backoff.reenqueue_delays]\nprocessing = 3\n");
    let config = place.load(&place.loader());
    let delays = &config.backoff().reenqueue_delays;
    assert_eq!((delays.processing, delays.waiting_for_dependencies), (3, 45));
    assert_eq!(config.backoff().max_backoff_seconds, 300);
    assert_eq!(
        place.said(config.origin("backoff.reenqueue_delays.processing")),
        "tasker.toml:2"
    );
    assert!(
        config
            .origin("backoff.reenqueue_delays.has_ready_steps")
            .is_default()
    );
}

#[test]
fn a_list_is_replaced_and_not_joined() {
    let place = Place::with("[backoff]\ndefault_backoff_seconds = [1, 2, 3]\n");
    let environment = environment([("TASKER_BACKOFF__DEFAULT_BACKOFF_SECONDS", "[7]")]);
    let config = place.load(&place.loader().environment(&environment));
    assert_eq!(config.backoff().default_backoff_seconds, [7]);
}

#[test]
fn texts_are_read_as_what_their_keys_take() {
    let environment = environment([
        ("TASKER_BACKOFF__JITTER_ENABLED", "false"),
        ("TASKER_BACKOFF__REENQUEUE_DELAYS__PROCESSING", "4"),
        ("TASKER_DATABASE__SYNCHRONOUS", "normal"),
        ("TASKER_DATABASE__URL", "2026"),
        ("TASKER_ENGINE__TASK_CONFIG_DIRECTORY", "true"),
        ("TASKER_ENGINE__TEMPLATE_ENVIRONMENT", "[HOME, \"LANG\"]"),
        ("TASKER_EXECUTION__LEASE_SECONDS", "21.5"),
    ]);
    let config = Loader::new().environment(&environment).load().unwrap();
    assert!(!config.backoff().jitter_enabled);
    assert_eq!(config.backoff().reenqueue_delays.processing, 4);
    assert_eq!(config.database().synchronous, Synchronous::Normal);
    assert_eq!(config.database().url.as_deref(), Some("2026"));
    assert_eq!(config.engine().task_config_directory.as_deref(), Some("true"));
    assert_eq!(config.engine().template_environment, ["HOME", "LANG"]);
    assert_eq!(config.execution().lease_seconds, 21.5);
}

#[test]
fn a_table_may_be_one_text() {
    let loader = Loader::new()
        .argument(
            "backoff.reenqueue_delays",
            "{processing = 1, has_ready_steps = 2}",
        )
        .argument("backoff.reenqueue_delays.has_ready_steps", "3");
    let config = loader.load().unwrap();
    assert_eq!(config.backoff().reenqueue_delays.processing, 1);
    assert_eq!(config.backoff().reenqueue_delays.has_ready_steps, 3);
}

#[test]
fn escapes_leave_the_other_letters_of_a_text_alone() {
    let loader = Loader::new().argument(
        "engine.custom_events_directories",
        r#"["größe\"n\\", 'ü', it's "ü" , "a\u00fcb"]"#,
    );
    let config = loader.load().unwrap();
    assert_eq!(
        config.engine().custom_events_directories,
        ["größe\"n\\", "ü", "it's \"ü\"", "aüb"]
    );
    for text in [r#""ü\-inf"#, r"ü\-inf", r"{ü\-inf", r#""\ü""#] {
        let loader = Loader::new().argument("telemetry.filter_mask", text);
        assert_eq!(loader.load().unwrap().telemetry().filter_mask, text);
    }
}

#[test]
fn a_program_may_take_a_value_away() {
    let place = Place::with("[execution]\nmax_concurrent_steps = 4\n");
    let loader = place.loader().set("execution.max_concurrent_steps", None::<u32>);
    let config = place.load(&loader);
    assert_eq!(config.execution().max_concurrent_steps, None);
    assert_eq!(
        config.origin("execution.max_concurrent_steps").to_string(),
        "program"
    );
}

#[test]
fn paths_of_a_file_are_relative_to_it() {
    let place = Place::with("[engine]\ntask_config_directory = 'templates'\n");
    let config = place.load(&place.loader());
    let directory = place.path().join("templates");
    assert_eq!(
        config.engine().task_config_directory.as_deref(),
        directory.to_str()
    );
    let place = Place::with("[engine]\ncustom_events_directories = ['events', '/srv/events']\n");
    let config = place.load(&place.loader());
    let directory = place.path().join("events").display().to_string();
    assert_eq!(
        config.engine().custom_events_directories,
        [directory.as_str(), "/srv/events"]
    );
    let place = Place::with("");
    let config = place.load(&place.loader().argument("engine.task_config_directory", "here"));
    assert_eq!(config.engine().task_config_directory.as_deref(), Some("here"));
    let place = Place::with("[engine]\ntask_config_directory = '/srv/templates'\n");
    let config = place.load(&place.loader());
    assert_eq!(
        config.engine().task_config_directory.as_deref(),
        Some("/srv/templates")
    );
}

#[test]
fn a_named_file_is_read_instead_of_the_one_that_is_found() {
    let place = Place::with("[execution]\nclaim_batch = 1\n");
    let named = Place::with("[execution]\nclaim_batch = 2\n");
    let other = Place::with("[execution]\nclaim_batch = 3\n");
    let file = |place: &Place| place.path().join("tasker.toml");
    assert_eq!(place.load(&place.loader()).execution().claim_batch, 1);
    let environment = environment([("TASKER_CONFIG", file(&named).to_str().unwrap())]);
    let loader = place.loader().environment(&environment);
    assert_eq!(place.load(&loader).execution().claim_batch, 2);
    let config = place.load(&loader.file(file(&other)));
    assert_eq!(config.execution().claim_batch, 3);
    assert_eq!(config.file(), Some(&*file(&other)));
}

#[test]
fn a_file_that_is_looked_for_need_not_exist() {
    let place = Place::empty();
    let config = place.load(&place.loader());
    assert_eq!(config.file(), None);
    assert_eq!(config.profile(), None);
}

#[test]
fn every_key_has_an_entry() {
    let place = Place::with("[telemetry]\nlog_level = 'debug'\n");
    let config = place.load(&place.loader());
    let entries = config.entries();
    let changed: Vec<_> = entries
        .iter()
        .filter(|entry| !entry.origin().is_default())
        .collect();
    let [entry] = changed.as_slice() else {
        panic!("{changed:?}")
    };
    assert_eq!((entry.section(), entry.key()), ("telemetry", "log_level"));
    assert_eq!(entry.literal().as_deref(), Some("\"debug\""));
    let url = entries.iter().find(|entry| entry.key() == "url").unwrap();
    assert_eq!((url.literal(), url.value().is_null()), (None, true));
    assert!(
        entries
            .iter()
            .any(|entry| entry.key() == "reenqueue_delays.processing")
    );
}

#[test]
fn the_entries_are_a_configuration() {
    let mut text = String::new();
    for entry in Config::default().entries() {
        if let Some(literal) = entry.literal() {
            text.push_str(&format!("{}.{} = {literal}\n", entry.section(), entry.key()));
        }
    }
    let place = Place::with(text);
    let config = place.load(&place.loader());
    assert_eq!(config.backoff(), Config::default().backoff());
    assert_eq!(config.execution(), Config::default().execution());
    assert_eq!(config.telemetry(), Config::default().telemetry());
}

#[test]
fn a_copy_shares_its_sections() {
    let config = Config::default();
    assert!(Arc::ptr_eq(config.execution(), config.clone().execution()));
}

#[test]
fn the_reference_has_every_key_with_its_default() {
    let reference = tasker_config::reference();
    let names: Vec<_> = reference.iter().map(|section| section.name).collect();
    assert_eq!(
        names,
        [
            "auth",
            "backoff",
            "cache",
            "database",
            "dependency_graph",
            "engine",
            "execution",
            "health",
            "limits",
            "server",
            "telemetry"
        ]
    );
    let keys: usize = reference.iter().map(|section| section.keys.len()).sum();
    assert_eq!(keys, Config::default().entries().len());
    let key = &reference[1].keys[5];
    assert_eq!(key.name, "reenqueue_delays.has_ready_steps");
    assert_eq!(key.default.as_deref(), Some("0"));
    assert_eq!(key.variable, "TASKER_BACKOFF__REENQUEUE_DELAYS__HAS_READY_STEPS");
    assert_eq!(
        key.doc,
        "Seconds until a task that is not done is looked at again.\nA step can be claimed now."
    );
}
