//! `tasker config`, and the layers that every command reads.

use crate::place::{GREETING, Place};

#[test]
fn values_are_shown_with_their_origin() {
    let place = Place::with("tasker.toml", "[execution]\nlease_seconds = 45\n");
    let shown = place
        .run("config show --origin --set execution.heartbeat_seconds=5")
        .exits(0);
    let shown = shown
        .says("lease_seconds = 45")
        .says("tasker.toml")
        .says("heartbeat_seconds = 5");
    shown.says("[backoff]");
    let plain = place.run("config show").exits(0);
    assert!(!plain.stdout.contains("tasker.toml"));
    let json = place.run("config show --json --origin").exits(0).json();
    assert_eq!(json["execution"]["lease_seconds"]["value"], 45.0);
    let json = place.run("config show --json").exits(0).json();
    assert_eq!(json["execution"]["lease_seconds"], 45.0);
}

#[test]
fn all_faults_of_a_file_are_reported() {
    let place = Place::with("bad.toml", "[execution]\nlease_second = 45\nclaim_batch = 0\n");
    let ran = place.run("config check bad.toml").exits(2);
    ran.complains("lease_second").complains("claim_batch");
    let ran = place.run("config check bad.toml --json").exits(2);
    assert_eq!(ran.error().0, "config_faults");
    assert!(ran.json()["error"]["faults"].as_array().unwrap().len() >= 2);
    let place = Place::with("tasker.toml", "[execution]\nlease_seconds = 45\n");
    place.run("config check").exits(0).says("tasker.toml");
    place
        .run("config check nowhere.toml")
        .exits(2)
        .complains("nowhere.toml");
}

#[test]
fn every_command_refuses_a_bad_configuration() {
    let place = Place::with("greeting.yaml", GREETING);
    let ran = place
        .run("run greeting.yaml --json --set execution.leas_seconds=5")
        .exits(2);
    assert_eq!(ran.error().0, "config_faults");
    let ran = place.run("task list --set execution.claim_batch=many").exits(2);
    ran.complains("execution.claim_batch");
    let ran = place.run("run greeting.yaml --config nowhere.toml").exits(2);
    ran.complains("nowhere.toml");
}

#[test]
fn a_data_directory_beside_another_database_is_a_fault() {
    let place = Place::new();
    let ran = place
        .run("task list --json --data-dir here --set database.url=postgres://localhost/tasker")
        .exits(2);
    let (code, message) = ran.error();
    assert_eq!(code, "data_dir_beside_url");
    assert!(message.contains("--data-dir"), "{message}");
}

#[test]
fn log_messages_have_the_form_that_is_asked_for() {
    let place = Place::with("greeting.yaml", GREETING);
    for (format, begin) in [("json", "{\"timestamp\":"), ("logfmt", "time=")] {
        let arguments = format!(
            "run greeting.yaml --quiet --set telemetry.log_level=trace --set telemetry.log_format={format}"
        );
        let ran = place.run(&arguments).exits(0);
        assert!(
            ran.stderr.lines().all(|line| line.starts_with(begin)),
            "{}",
            ran.stderr
        );
    }
    assert_eq!(place.run("run greeting.yaml --quiet").exits(0).stderr, "");
}

#[test]
fn the_log_is_filtered_by_a_variable() {
    let place = Place::with("greeting.yaml", GREETING);
    let with = |filter: &str| {
        let mut command = place.command(["task", "list", "--quiet"]);
        let output = command.env("TASKER_LOG", filter).output().unwrap();
        (output.status.code(), String::from_utf8(output.stderr).unwrap())
    };
    assert_eq!(with("error"), (Some(0), String::new()));
    let (code, stderr) = with("tasker=loud");
    assert_eq!(code, Some(2));
    assert!(
        stderr.starts_with("error: `tasker=loud` is no filter of log messages\n"),
        "{stderr}"
    );
}

#[test]
fn a_path_in_a_file_is_relative_to_the_file() {
    let place = Place::with(
        "deploy/tasker.toml",
        "[engine]\ntask_config_directory = \"templates\"\n",
    );
    place.write("deploy/templates/greeting.yaml", GREETING);
    let listed = place
        .run("handlers --json --config deploy/tasker.toml")
        .exits(0)
        .json();
    assert_eq!(listed["templates"][0]["file"], "deploy/templates/greeting.yaml");
    let report = place
        .run("run greeting --config deploy/tasker.toml --json")
        .exits(0)
        .json();
    assert_eq!(report["state"], "complete");
}

#[test]
fn a_profile_chooses_the_environment_of_templates() {
    let place = Place::with("tasker.toml", "[profiles.night.limits]\nresult = 5000\n");
    place.write(
        "t.yaml",
        "name: t\nsteps:\n  - { name: a, handler: command, config: { program: echo, args: [1] } }\nenvironments:\n  \
         night:\n    steps:\n      - { name: a, config: { args: ['2'] } }\n"
            .replace("[1]", "['1']"),
    );
    let mut command = place.command(["run", "t.yaml", "--quiet"]);
    let output = command.env("TASKER_PROFILE", "night").output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "{\"a\":2}\n");
    assert_eq!(place.run("run t.yaml --quiet").exits(0).stdout, "{\"a\":1}\n");
}

#[test]
fn origins_stand_under_one_another() {
    let place = Place::with(
        "tasker.toml",
        "[limits]\nresult = 5000\n[profiles.night.limits]\ncontext = 7\n",
    );
    let mut command = place.command(["config", "show", "--origin", "--set", "limits.template=9"]);
    command
        .env("TASKER_PROFILE", "night")
        .env("TASKER_LIMITS__STDERR_TAIL", "10");
    let shown = String::from_utf8(command.output().unwrap().stdout).unwrap();
    let (_, limits) = shown.split_once("[limits]\n").unwrap();
    let (limits, rest) = limits.split_once("\n\n[").unwrap();
    let (_, telemetry) = rest.split_once("\n\n[telemetry]\n").unwrap();
    assert_eq!(
        limits,
        "steps_per_task = 200000  # default\n\
         template = 9             # command line\n\
         context = 7              # tasker.toml:4 (profile `night`)\n\
         result = 5000            # tasker.toml:2\n\
         stderr_tail = 10         # environment variable TASKER_LIMITS__STDERR_TAIL\n\
         yaml_aliases = 100       # default"
    );
    assert!(
        telemetry.starts_with("enabled = true                              # default\n"),
        "{telemetry}"
    );
}

#[test]
fn faults_of_several_layers_come_in_one_report() {
    let place = Place::with(
        "tasker.toml",
        "[exection]\nlease_seconds = 5\n[limits]\ncontext = \"1 MiB\"\n",
    );
    let mut command = place.command(["config", "check", "--set", "backoff.processing=1"]);
    command
        .env("TASKER_EXECUTION__CLAIM_BATCH", "many")
        .env("TASKER_LOGLEVEL", "debug");
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(
        String::from_utf8(output.stderr).unwrap(),
        "error: the configuration has 5 faults\n  \
         tasker.toml:1: unknown section `exection`; did you mean `execution`?\n  \
         tasker.toml:4: `limits.context` is \"1 MiB\", but it must be a whole number that is at least 1\n  \
         environment variable TASKER_EXECUTION__CLAIM_BATCH: `execution.claim_batch` is \"many\", but it must be a \
         whole number between 1 and 10000\n  \
         environment variable TASKER_LOGLEVEL: unknown variable; did you mean TASKER_TELEMETRY__LOG_LEVEL?\n  \
         command line: unknown key `backoff.processing` = 1; did you mean `backoff.reenqueue_delays.processing`?\n"
    );
}

#[test]
fn secrets_are_not_shown() {
    let place = Place::with("greeting.yaml", GREETING);
    let url = "database.url=postgres://ada:hunter2@localhost/tasker";
    let shown = place.run(&format!("config show --set {url}")).exits(0);
    shown.says("url = \"postgres://…@localhost/tasker\"");
    let shown = place
        .run(&format!(
            "config show --set {url} --set telemetry.filter_parameters=[url] --set telemetry.filter_mask=***"
        ))
        .exits(0);
    shown.says("url = \"***\"");

    let context = r#"{"user":"ada","password":"hunter2","cards":[{"apiKey":"k"}]}"#;
    let mut command = place.command(["run", "greeting.yaml", "--json", "--context", context]);
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let task = report["task_id"].as_str().unwrap();
    let masked = r#"{"user":"ada","password":"[FILTERED]","cards":[{"apiKey":"[FILTERED]"}]}"#;
    place.run(&format!("task show {task}")).exits(0).says(masked);
    let shown = place.run(&format!("task show {task} --json")).exits(0).json();
    assert_eq!(shown["context"].to_string(), masked);
    let shown = place
        .run(&format!(
            "task show {task} --json --set telemetry.filter_parameters=[user]"
        ))
        .exits(0)
        .json();
    assert_eq!(
        (&shown["context"]["user"], &shown["context"]["password"]),
        (&"[FILTERED]".into(), &"hunter2".into())
    );
}

#[test]
fn secrets_of_templates_are_not_listed() {
    let place = Place::with("tasker.toml", "[engine]\ntask_config_directory = \"templates\"\n");
    place.write(
        "templates/t.yaml",
        "name: t\nsteps:\n  - { name: a, handler: command, config: { program: 'true', env: { API_TOKEN: hunter2, A: b } } }\n",
    );
    let listed = place.run("handlers --json").exits(0).json();
    assert_eq!(
        listed["templates"][0]["steps"][0]["config"],
        serde_json::json!({ "program": "true", "env": { "API_TOKEN": "[FILTERED]", "A": "b" } })
    );
}
