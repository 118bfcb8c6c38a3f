//! What is refused, and with which words.

use std::ffi::OsString;

use tasker_config::{Environment, FaultKind, Loader};

use crate::place::{Place, environment};

#[track_caller]
fn refuses_file(text: &str, expected: &[&str]) {
    let place = Place::with(text);
    place.refuse(&place.loader(), expected);
}

#[track_caller]
fn refuses_argument(key: &str, text: &str, expected: &str) {
    Place::empty().refuse(&Loader::new().argument(key, text), &[expected]);
}

#[track_caller]
fn refuses_variable(name: &str, value: &str, expected: &str) {
    let environment = environment([(name, value)]);
    Place::empty().refuse(&Loader::new().environment(&environment), &[expected]);
}

#[test]
fn unknown_names_are_told_with_the_nearest() {
    refuses_file(
        "[exection]\nlease_seconds = 1\n",
        &["tasker.toml:1: unknown section `exection`; did you mean `execution`?"],
    );
    refuses_file(
        "[execution]\n\nlease_second = 45\n",
        &["tasker.toml:3: unknown key `execution.lease_second` = 45; did you mean `lease_seconds`?"],
    );
    refuses_file(
        "[backoff.reenqueue_delays]\nproccessing = 1\n",
        &[
            "tasker.toml:2: unknown key `backoff.reenqueue_delays.proccessing` = 1; did you mean `processing`?",
        ],
    );
    refuses_file(
        "[profile.test.execution]\n",
        &["tasker.toml:1: unknown section `profile`; did you mean `profiles`?"],
    );
}

#[test]
fn a_key_in_the_wrong_place_is_told_with_the_right_one() {
    refuses_file(
        "[execution]\nmax_backoff_seconds = 5\n",
        &[
            "tasker.toml:2: unknown key `execution.max_backoff_seconds` = 5; did you mean `backoff.max_backoff_seconds`?",
        ],
    );
    refuses_file(
        "[backoff]\nprocessing = 5\n",
        &[
            "tasker.toml:2: unknown key `backoff.processing` = 5; did you mean `backoff.reenqueue_delays.processing`?",
        ],
    );
    refuses_variable(
        "TASKER_LOGLEVEL",
        "debug",
        "environment variable TASKER_LOGLEVEL: unknown variable; did you mean TASKER_TELEMETRY__LOG_LEVEL?",
    );
    refuses_variable(
        "TASKER_LEASE_SECONDS",
        "5",
        "environment variable TASKER_LEASE_SECONDS: unknown variable; did you mean TASKER_EXECUTION__LEASE_SECONDS?",
    );
}

#[test]
fn without_a_near_one_all_names_are_told() {
    refuses_file(
        "zebra = 1\n",
        &[
            "tasker.toml:1: unknown section `zebra`; known are `auth`, `backoff`, `cache`, `database`, `dependency_graph`, \
           `engine`, `execution`, `health`, `limits`, `server`, `telemetry`, `profiles`",
        ],
    );
    refuses_argument(
        "telemetry.zebra",
        "{stripes = [1, 2]}",
        "command line: unknown key `telemetry.zebra` = { stripes = [1, 2] }; known are `enabled`, `service_name`, \
         `service_version`, `log_level`, `log_format`, `filter_parameters`, `filter_mask`, `correlation_id_header`, \
         `metrics_enabled`, `metrics_auth_required`, `slow_query_threshold_seconds`, `event_sampling_rate`, \
         `filtered_events`, `otlp_endpoint`, `batching`",
    );
}

#[test]
fn addresses_and_paths_are_checked() {
    refuses_file(
        "[server]\nbind = \"localhost\"\nbase_path = \"tasker/\"\n",
        &[
            "tasker.toml:2: `server.bind` is \"localhost\": invalid socket address syntax",
            "tasker.toml:3: `server.base_path` is \"tasker/\", but it must be a path such as `/tasker`, of letters, digits, \
             `_` and `-`",
        ],
    );
}

#[test]
fn wrong_types_are_told_with_the_right_one() {
    refuses_argument(
        "execution.claim_batch",
        "many",
        "command line: `execution.claim_batch` is \"many\", but it must be a whole number between 1 and 10000",
    );
    refuses_argument(
        "execution.claim_batch",
        "-1",
        "command line: `execution.claim_batch` is -1, but it must be a whole number between 1 and 10000",
    );
    refuses_argument(
        "limits.context",
        "1.5",
        "command line: `limits.context` is 1.5, but it must be a whole number that is at least 1",
    );
    refuses_argument(
        "execution.lease_seconds",
        "soon",
        "command line: `execution.lease_seconds` is \"soon\", but it must be a number between 0.1 and 86400",
    );
    refuses_argument(
        "backoff.jitter_enabled",
        "1",
        "command line: `backoff.jitter_enabled` is 1, but it must be true or false",
    );
    refuses_argument(
        "backoff.default_backoff_seconds",
        "[1, two]",
        "command line: `backoff.default_backoff_seconds` is [1, \"two\"], but it must be a list of whole \
         numbers that is not empty, with every value between 0 and 315360000",
    );
    refuses_argument(
        "engine.template_environment",
        "HOME",
        "command line: `engine.template_environment` is \"HOME\", but it must be a list of strings",
    );
    refuses_argument(
        "telemetry.log_level",
        "loud",
        "command line: `telemetry.log_level` is \"loud\", but it must be `error`, `warn`, `info`, `debug` or `trace`",
    );
    refuses_argument(
        "database.synchronous",
        "2",
        "command line: `database.synchronous` is 2, but it must be `full` or `normal`",
    );
    refuses_file(
        "[database]\nurl = 5\n",
        &["tasker.toml:2: `database.url` is 5, but it must be a string"],
    );
    refuses_file(
        "[database]\nurl = 1979-05-27\n",
        &["tasker.toml:2: `database.url` is 1979-05-27, but it must be a string"],
    );
}

#[test]
fn tables_and_values_are_not_mixed_up() {
    refuses_file(
        "execution = 5\n",
        &["tasker.toml:1: `execution` is 5, but it must be a table"],
    );
    refuses_file(
        "profiles = 5\n",
        &["tasker.toml:1: `profiles` is 5, but it must be a table"],
    );
    refuses_file(
        "[profiles]\ntest = 'x'\n",
        &["tasker.toml:2: `profiles.test` is \"x\", but it must be a table"],
    );
    refuses_file(
        "[backoff]\nreenqueue_delays = 5\n",
        &["tasker.toml:2: `backoff.reenqueue_delays` is 5, but it must be a table"],
    );
    refuses_file(
        "[execution.lease_seconds]\nx = 1\n",
        &[
            "tasker.toml:1: `execution.lease_seconds` is { x = 1 }, but it must be a number between 0.1 and 86400",
        ],
    );
    refuses_argument(
        "execution",
        "5",
        "command line: `execution` is 5, but it must be a table",
    );
}

#[test]
fn contents_are_told_with_the_reason() {
    refuses_argument(
        "engine.default_namespace",
        "a b",
        "command line: `engine.default_namespace` is \"a b\": `a b` has the character ` `; a name has letters, \
         digits, `_` and `-` only",
    );
}

#[test]
fn broken_constraints_are_told() {
    refuses_argument(
        "execution.claim_batch",
        "0",
        "command line: `execution.claim_batch` is 0, but it must be between 1 and 10000",
    );
    refuses_argument(
        "backoff.default_backoff_seconds",
        "[]",
        "command line: `backoff.default_backoff_seconds` is [], but it must be a list that is not empty, with every \
         value between 0 and 315360000",
    );
    refuses_file(
        "[backoff]\nbackoff_multiplier = nan\n",
        &[
            "tasker.toml:2: `backoff.backoff_multiplier` is NaN, but it must be a finite number that is at least 1",
        ],
    );
    refuses_argument(
        "engine.task_config_directory",
        "",
        "command line: `engine.task_config_directory` is \"\", but it must be not empty",
    );
}

#[test]
fn a_constraint_between_keys_is_told_with_both() {
    refuses_file(
        "[execution]\nlease_seconds = 5\n",
        &[
            "tasker.toml:2: `execution.heartbeat_seconds` is 10.0, but it must be less than half of \
           `lease_seconds`; `lease_seconds` is 5.0 (tasker.toml:2)",
        ],
    );
    let place = Place::with("[execution]\nlease_seconds = 5\n");
    place.refuse(
        &place.loader().argument("execution.heartbeat_seconds", "3"),
        &[
            "command line: `execution.heartbeat_seconds` is 3.0, but it must be less than half of \
           `lease_seconds`; `lease_seconds` is 5.0 (tasker.toml:2)",
        ],
    );
    // What a later layer makes right is right.
    let config = place.load(&place.loader().argument("execution.heartbeat_seconds", "2"));
    assert_eq!(config.execution().heartbeat_seconds, 2.0);
}

#[test]
fn nothing_is_compared_with_a_value_that_was_refused() {
    refuses_file(
        "[execution]\nlease_seconds = 'a minute'\nheartbeat_seconds = 25\n",
        &[
            "tasker.toml:2: `execution.lease_seconds` is \"a minute\", but it must be a number between 0.1 and 86400",
        ],
    );
}

#[test]
fn a_wrong_value_is_refused_even_where_another_layer_wins() {
    let place = Place::with("[execution]\nclaim_batch = 0\n");
    place.refuse(
        &place.loader().argument("execution.claim_batch", "5"),
        &["tasker.toml:2: `execution.claim_batch` is 0, but it must be between 1 and 10000"],
    );
}

#[test]
fn every_profile_is_checked() {
    refuses_file(
        "[profiles.test.execution]\nclaim_batch = 0\n[profiles.production.execution]\nclam_batch = 1\n",
        &[
            "tasker.toml:2 (profile `test`): `execution.claim_batch` is 0, but it must be between 1 and 10000",
            "tasker.toml:4 (profile `production`): unknown key `execution.clam_batch` = 1; did you mean `claim_batch`?",
        ],
    );
}

#[test]
fn unknown_profiles_are_told_with_those_that_there_are() {
    let text = "[profiles.test.execution]\n[profiles.production.execution]\n";
    let place = Place::with(text);
    let asked = |profile| {
        place
            .loader()
            .environment(&environment([("TASKER_PROFILE", profile)]))
    };
    place.refuse(
        &asked("testt"),
        &[
            "environment variable TASKER_PROFILE: unknown profile `testt`; did you mean `test`? Known are \
           `production`, `test`",
        ],
    );
    place.refuse(
        &asked("zebra"),
        &["environment variable TASKER_PROFILE: unknown profile `zebra`; known are `production`, `test`"],
    );
    place.refuse(
        &place.loader().profile("zebra"),
        &["program: unknown profile `zebra`; known are `production`, `test`"],
    );
    refuses_variable(
        "TASKER_PROFILE",
        "test",
        "environment variable TASKER_PROFILE: unknown profile `test`; there are none",
    );
}

#[test]
fn variables_of_ours_mean_something() {
    refuses_variable(
        "TASKER_PROFIL",
        "test",
        "environment variable TASKER_PROFIL: unknown variable; did you mean TASKER_PROFILE?",
    );
    refuses_variable(
        "TASKER_EXECUTION_LEASE_SECONDS",
        "5",
        "environment variable TASKER_EXECUTION_LEASE_SECONDS: unknown variable; did you mean \
         TASKER_EXECUTION__LEASE_SECONDS?",
    );
    refuses_variable(
        "TASKER_Execution__lease_seconds",
        "60",
        "environment variable TASKER_Execution__lease_seconds: unknown variable; did you mean \
         TASKER_EXECUTION__LEASE_SECONDS?",
    );
    refuses_variable(
        "TASKER_X",
        "5",
        "environment variable TASKER_X: unknown variable; only TASKER_<SECTION>__<KEY> and TASKER_CONFIG, \
         TASKER_DATA_DIR, TASKER_LOG, TASKER_PROFILE, TASKER_TEST_DATABASE_URL mean something",
    );
    refuses_variable(
        "TASKER_EXECUTION__LEASE_SECOND",
        "5",
        "environment variable TASKER_EXECUTION__LEASE_SECOND: unknown key `execution.lease_second` = 5; did you mean \
         `lease_seconds`?",
    );
    refuses_variable(
        "TASKER_EXECTION__LEASE_SECONDS",
        "5",
        "environment variable TASKER_EXECTION__LEASE_SECONDS: unknown section `exection`; did you mean `execution`?",
    );
}

#[test]
fn reserved_variables_are_no_configuration() {
    let environment = environment([
        ("TASKER_DATA_DIR", "/srv/tasker"),
        ("TASKER_LOG", "debug"),
        ("TASKER_TEST_DATABASE_URL", "postgres://localhost"),
        ("TASKERX", "other"),
        ("TASKER_CONFIG", ""),
        ("TASKER_PROFILE", ""),
    ]);
    assert!(Loader::new().environment(&environment).load().is_ok());
}

#[cfg(unix)]
#[test]
fn variables_are_unicode() {
    use std::os::unix::ffi::OsStringExt;

    let environment: Environment = [(
        OsString::from("TASKER_DATABASE__URL"),
        OsString::from_vec(vec![b'a', 0xff]),
    )]
    .into_iter()
    .collect();
    Place::empty().refuse(
        &Loader::new().environment(&environment),
        &["environment variable TASKER_DATABASE__URL: its value is not valid Unicode"],
    );
}

#[test]
fn all_faults_of_all_layers_come_in_one_report() {
    let place = Place::with(
        "[execution]\nlease_second = 45\nclaim_batch = 0\n[limts]\n[profiles.test.telemetry]\nlog_level = 1\n",
    );
    let environment = environment([
        ("TASKER_LIMITS__CONTEXT", "much"),
        ("TASKER_TELEMETRY_LOG_LEVEL", "debug"),
        ("TASKER_PROFILE", "tests"),
    ]);
    let loader = place
        .loader()
        .environment(&environment)
        .argument("execution.leas_seconds", "5")
        .set("backoff.max_backoff_seconds", 0)
        .set("execution.heartbeat_seconds", 15);
    place.refuse(
        &loader,
        &[
            "tasker.toml:2: unknown key `execution.lease_second` = 45; did you mean `lease_seconds`?",
            "tasker.toml:3: `execution.claim_batch` is 0, but it must be between 1 and 10000",
            "tasker.toml:4: unknown section `limts`; did you mean `limits`?",
            "tasker.toml:6 (profile `test`): `telemetry.log_level` is 1, but it must be `error`, `warn`, `info`, \
             `debug` or `trace`",
            "environment variable TASKER_PROFILE: unknown profile `tests`; did you mean `test`?",
            "environment variable TASKER_LIMITS__CONTEXT: `limits.context` is \"much\", but it must be a whole number \
             that is at least 1",
            "environment variable TASKER_TELEMETRY_LOG_LEVEL: unknown variable; did you mean TASKER_TELEMETRY__LOG_LEVEL?",
            "command line: unknown key `execution.leas_seconds` = 5; did you mean `lease_seconds`?",
            "program: `backoff.max_backoff_seconds` is 0, but it must be between 1 and 315360000",
            "program: `execution.heartbeat_seconds` is 15.0, but it must be less than half of \
             `lease_seconds`; `lease_seconds` is 30.0 (default)",
        ],
    );
}

#[test]
fn a_file_that_is_no_toml_is_told_with_its_lines() {
    refuses_file(
        "[execution]\nlease_seconds 5\nclaim_batch = [1\n",
        &[
            "tasker.toml:2: key with no value, expected `=`",
            "tasker.toml:3: unclosed array, expected `]`",
        ],
    );
    let place = Place::with(b"[execution]\n# \xff\n");
    place.refuse(
        &place.loader(),
        &["tasker.toml:2: the configuration file is not valid UTF-8"],
    );
}

#[test]
fn a_file_that_cannot_be_read_is_told_beside_the_other_faults() {
    let place = Place::empty();
    let environment = environment([("TASKER_PROFILE", "test")]);
    let loader = Loader::new()
        .file(place.path().join("nowhere.toml"))
        .environment(&environment)
        .argument("execution.claim_batch", "0");
    place.refuse(
        &loader,
        &[
            "nowhere.toml: the configuration file cannot be read: No such file or directory (os error 2)",
            "command line: `execution.claim_batch` is 0, but it must be between 1 and 10000",
        ],
    );
}

#[test]
fn a_huge_file_is_not_read() {
    let place = Place::with("#".repeat((1 << 20) + 1));
    place.refuse(
        &place.loader(),
        &["tasker.toml: the configuration file is larger than 1048576 bytes"],
    );
}

#[test]
fn long_values_are_cut() {
    let faults = Loader::new()
        .argument("execution.claim_batch", "x".repeat(5_000))
        .load()
        .unwrap_err();
    assert!(faults.to_string().len() < 300, "{faults}");
}

#[test]
fn secrets_are_not_told() {
    refuses_file(
        "[database]\npassword = 'hunter2'\n[limits.context]\nuser = 'ada'\napiToken = [1, 2]\n",
        &[
            "tasker.toml:2: unknown key `database.password` = \"[FILTERED]\"; known are `url`, \
             `secondary_url`, `synchronous`, `readers`, `writers`, `busy_timeout_seconds`, `statement_timeout_seconds`, \
             `notifications`, `retention_days`",
            "tasker.toml:3: `limits.context` is { apiToken = \"[FILTERED]\", user = \"ada\" }, but it must be a whole \
             number that is at least 1",
        ],
    );
    refuses_variable(
        "TASKER_DATABASE__PASSWORD",
        "hunter2",
        "environment variable TASKER_DATABASE__PASSWORD: unknown key `database.password` = \"[FILTERED]\"; known are \
         `url`, `secondary_url`, `synchronous`, `readers`, `writers`, `busy_timeout_seconds`, \
         `statement_timeout_seconds`, `notifications`, `retention_days`",
    );
}

#[test]
fn faults_can_be_told_apart() {
    let faults = Loader::new()
        .argument("execution.claim_batch", "0")
        .load()
        .unwrap_err();
    let [fault] = faults.as_slice() else {
        panic!("{faults}")
    };
    assert!(matches!(fault.kind(), FaultKind::Constraint { key, .. } if key == "execution.claim_batch"));
    assert_eq!(
        fault.message(),
        "`execution.claim_batch` is 0, but it must be between 1 and 10000"
    );
    assert_eq!((fault.file(), fault.line()), (None, None));
}
