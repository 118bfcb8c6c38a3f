//! `tasker run`.

use crate::place::{FAILING, GREETING, Place, states};

#[test]
fn a_template_runs_to_its_end() {
    let place = Place::with("greeting.yaml", GREETING);
    let ran = place.run("run greeting.yaml").exits(0);
    let id = place.newest_task();
    let (headline, rest) = ran.stdout.split_once('\n').unwrap();
    assert!(
        headline.starts_with("default_system.greeting@0.1.0 is complete after "),
        "{headline}"
    );
    assert!(headline.ends_with(": 2 of 2 steps done"), "{headline}");
    assert_eq!(rest, format!("  tasker task show {id}\n"));
    let seen = std::fs::read_to_string(place.path("seen.txt")).unwrap();
    assert!(
        seen.contains(r#""GREET":{"TEXT":"HELLO"}"#) || seen.contains("HELLO"),
        "{seen}"
    );
}

#[test]
fn without_a_terminal_every_transition_is_a_line() {
    let place = Place::with("greeting.yaml", GREETING);
    let ran = place.run("run greeting.yaml").exits(0);
    let told: Vec<&str> = ran
        .stderr
        .lines()
        .map(|line| line.split_once("  ").unwrap().1)
        .collect();
    let told: Vec<String> = told
        .iter()
        .map(|line| line.split_whitespace().collect::<Vec<_>>().join(" "))
        .map(|line| line.split(" after ").next().unwrap_or_default().to_owned())
        .collect();
    assert_eq!(
        told,
        [
            "task created from default_system.greeting@0.1.0",
            "task started",
            "greet started (attempt 1 of 3)",
            "greet complete",
            "shout started (attempt 1 of 3)",
            "shout complete",
            "task complete",
        ]
    );
    assert!(!ran.stderr.contains('\x1b'));
}

#[test]
fn json_is_one_object_with_every_step() {
    let place = Place::with("greeting.yaml", GREETING);
    let report = place.run("run greeting.yaml --json").exits(0).json();
    assert_eq!(report["state"], "complete");
    assert_eq!(report["completion_percentage"], 100.0);
    assert_eq!(report["task_id"].as_str().unwrap(), place.newest_task());
    assert_eq!(
        states(&report),
        [("greet", "complete", 1), ("shout", "complete", 1)]
    );
    let greet = &report["steps"][0];
    assert_eq!(greet["result"]["text"], "hello");
    assert!(greet["started_at"].as_str() < greet["finished_at"].as_str());
    assert!(greet["error"].is_null());
    assert_eq!(report["result"]["shout"], 7);
}

#[test]
fn quiet_writes_the_result_and_nothing_else() {
    let place = Place::with("greeting.yaml", GREETING);
    let ran = place.run("run greeting.yaml --quiet").exits(0);
    assert_eq!(
        (ran.stdout.as_str(), ran.stderr.as_str()),
        ("{\"shout\":7}\n", "")
    );
}

#[test]
fn a_failed_task_says_which_step_failed_and_what_to_do() {
    let place = Place::with("failing.yaml", FAILING);
    let ran = place.run("run failing.yaml").exits(1);
    let id = place.newest_task();
    let ran = ran
        .says("is in error")
        .says("1 of 3 steps done (steps_in_error_state)");
    let ran = ran
        .says("  bad failed (attempt 1 of 1): ")
        .says("no such account");
    ran.says(&format!("  tasker task retry {id}    gives failed steps"));
    let report = place.run("run failing.yaml --json").exits(1).json();
    assert_eq!(
        states(&report),
        [
            ("good", "complete", 1),
            ("bad", "error", 1),
            ("after", "pending", 0)
        ]
    );
    assert_eq!(report["failure"], "steps_in_error_state");
    assert!(
        report["steps"][1]["error"]["message"]
            .as_str()
            .unwrap()
            .contains("no such account")
    );
}

#[test]
fn a_failed_step_is_tried_again() {
    let flaky = r#"
name: flaky
steps:
  - name: second_time
    handler: command
    config: { program: sh, args: ["-c", "test -e mark || { touch mark; exit 75; }"] }
"#;
    let place = Place::with("flaky.yaml", flaky);
    let arguments = [
        "run",
        "flaky.yaml",
        "--json",
        "--set",
        "backoff.default_backoff_seconds=[0]",
    ];
    let ran = place.run_with(arguments).exits(0);
    assert_eq!(states(&ran.json()), [("second_time", "complete", 2)]);
    ran.complains("(attempt 1 of 3)").complains("(attempt 2 of 3)");
}

#[test]
fn a_context_comes_from_the_command_line_or_a_file() {
    let template = r#"
name: echo
steps:
  - name: echo
    handler: command
    config: { program: echo, args: ["{{ context.n }}"] }
"#;
    let place = Place::with("echo.yaml", template);
    place.write("context.json", r#"{"n": 5}"#);
    let ran = place
        .run_with(["run", "echo.yaml", "--quiet", "--context", r#"{"n": 4}"#])
        .exits(0);
    assert_eq!(ran.stdout, "{\"echo\":4}\n");
    let ran = place
        .run("run echo.yaml --quiet --context @context.json")
        .exits(0);
    assert_eq!(ran.stdout, "{\"echo\":5}\n");
}

#[test]
fn the_same_key_finds_the_same_task() {
    let place = Place::with("greeting.yaml", GREETING);
    let first = place.run("run greeting.yaml --key monday --json").exits(0).json();
    let again = place.run("run greeting.yaml --key monday --json").exits(0).json();
    assert_eq!(first, again);
    let other = place
        .run("run greeting.yaml --key tuesday --json")
        .exits(0)
        .json();
    assert_ne!(first["task_id"], other["task_id"]);
    let ran = place.run_with([
        "run",
        "greeting.yaml",
        "--key",
        "monday",
        "--context",
        r#"{"a": 1}"#,
        "--json",
    ]);
    let (code, message) = ran.exits(2).error();
    assert_eq!(code, "idempotency_key_reused");
    let task = first["task_id"].as_str().unwrap();
    assert_eq!(
        message,
        format!("the idempotency key was used for another request, whose task is `{task}`")
    );
}

#[test]
fn a_step_can_be_bypassed_if_the_template_says_so() {
    let place = Place::with(
        "greeting.yaml",
        &GREETING.replace("    depends_on", "    skippable: true\n    depends_on"),
    );
    let report = place
        .run("run greeting.yaml --bypass shout --json")
        .exits(0)
        .json();
    assert_eq!(
        states(&report),
        [("greet", "complete", 1), ("shout", "resolved_manually", 0)]
    );
    let refused = |step: &str| {
        place
            .run(&format!("run greeting.yaml --bypass {step} --json"))
            .exits(2)
            .error()
    };
    assert_eq!(refused("greet").0, "step_not_skippable");
    assert_eq!(
        refused("greed"),
        (
            "step_not_found".to_owned(),
            "`greed` cannot be bypassed: `default_system.greeting@0.1.0` has no such step".to_owned()
        )
    );
}

#[test]
fn a_template_is_found_by_its_name() {
    let place = Place::with("templates/deep/greeting.yaml", GREETING);
    place.write(
        "templates/newer.yaml",
        GREETING.replace("name: greeting\n", "name: greeting\nversion: 0.2.0\n"),
    );
    let named = |name: &str| {
        let set = "engine.task_config_directory=templates";
        place.run_with(["run", name, "--json", "--set", set])
    };
    assert_eq!(
        named("greeting").exits(0).json()["name"],
        "default_system.greeting@0.2.0"
    );
    assert_eq!(
        named("default_system.greeting@0.1.0").exits(0).json()["name"],
        "default_system.greeting@0.1.0"
    );
    let ran = named("greetings").exits(2);
    assert_eq!(ran.error().0, "template_not_found");
    assert_eq!(ran.json()["error"]["help"], "did you mean `greeting`?");
    let ran = place.run("run greeting").exits(2);
    assert_eq!(
        ran.stderr,
        "error: there is no file `greeting`\n  help: name a template's file; to find templates by name, set \
         `engine.task_config_directory`\n"
    );
}

#[test]
fn every_fault_of_a_template_has_its_line() {
    let place = Place::with(
        "bad.yaml",
        "name: bad\nsteps:\n  - name: a\n    handler: nowhere\n  - name: a\n    handler: sleep\n    config: { seconds: 1 }\n",
    );
    let ran = place.run("run bad.yaml").exits(2);
    let ran = ran
        .complains("error: the template has ")
        .complains("\n  bad.yaml:5: ");
    ran.complains("`nowhere`");
    let ran = place.run("run bad.yaml --json").exits(2);
    assert_eq!(ran.error().0, "template_faults");
    assert_eq!(ran.json()["error"]["faults"][0]["file"], "bad.yaml");
    assert!(!place.path("data/tasker.db").exists() || place.run("task list --quiet").stdout.is_empty());
}

#[test]
fn bad_input_is_refused_with_a_way_out() {
    let place = Place::with("greeting.yaml", GREETING);
    let refused = |context: &str, code: &str| {
        let ran = place
            .run_with(["run", "greeting.yaml", "--json", "--context", context])
            .exits(2);
        let error = ran.json()["error"].clone();
        assert_eq!(error["code"], code, "{error}");
        error.to_string()
    };
    refused("{", "input_not_json");
    refused("[1]", "context_faults");
    refused("@nowhere.json", "input_unreadable");
    place.write("latin.json", b"{\"a\": \"\xe4\"}");
    refused("@latin.json", "input_not_utf8");
    let large = std::fs::File::create(place.path("large.json")).unwrap();
    large.set_len(100 << 20).unwrap();
    let error = refused("@large.json", "input_too_large");
    assert!(
        error.contains("the context in `large.json` has 104857600 bytes, but the limit is 1048576"),
        "{error}"
    );
    assert!(error.contains("limits.context"), "{error}");
    assert_eq!(
        place.run("run nowhere.yaml --json").exits(2).error().0,
        "template_not_found"
    );
}

#[test]
fn what_was_done_is_recorded_as_done_by_the_user() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let id = place.newest_task();
    let shown = place
        .run(&format!("task show {id} --history --json"))
        .exits(0)
        .json();
    let created = &shown["history"][0];
    assert_eq!(created["subject"], "created");
    assert!(
        created["actor"].as_str().unwrap().starts_with("user:"),
        "{created}"
    );
}

#[test]
fn priorities_are_kept() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml --priority -7").exits(0);
    let id = place.newest_task();
    assert_eq!(
        place.run(&format!("task show {id} --json")).exits(0).json()["priority"],
        -7
    );
}

#[test]
fn a_request_is_made_without_a_proxy_and_its_answer_is_the_result() {
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let server = std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = [0; 4096];
        let count = stream.read(&mut request).unwrap();
        stream
            .write_all(
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 8\r\n\r\n{\"n\": 7}",
            )
            .unwrap();
        String::from_utf8_lossy(&request[..count]).into_owned()
    });
    let call = format!(
        "name: call\nsteps:\n  - {{ name: call, handler: http, retry_limit: 1, config: {{ url: 'http://{address}/x' }} }}\n"
    );
    let place = Place::with("call.yaml", &call);
    let mut command = place.command(["run", "call.yaml", "--json"]);
    for name in ["http_proxy", "HTTP_PROXY", "https_proxy", "ALL_PROXY"] {
        command.env(name, "http://127.0.0.1:1");
    }
    let output = command.output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["steps"][0]["result"]["body"]["n"], 7);
    assert!(server.join().unwrap().starts_with("GET /x HTTP/1.1\r\n"));
}

#[test]
fn a_file_that_is_not_there_is_named_with_the_one_that_was_meant() {
    let place = Place::with("templates/greeting.yaml", GREETING);
    let refused = |line: &str, text: &str| assert_eq!(place.run(line).exits(2).stderr, text);
    refused(
        "run templates/greetign.yaml",
        "error: there is no file `templates/greetign.yaml`\n  help: did you mean `templates/greeting.yaml`?\n",
    );
    refused(
        "graph show other.yaml",
        "error: there is no file `other.yaml`\n  help: name a template's file; `tasker new template NAME` writes one\n",
    );
    refused(
        "run nowhere/other.yaml",
        "error: there is no file `nowhere/other.yaml`\n  help: there is no such directory either\n",
    );
    refused(
        "run templates/",
        "error: the template has a fault\n  templates/: this is a directory; name a template's file\n",
    );
}

#[test]
fn what_a_step_says_of_itself_is_shown() {
    let talking = r#"
name: talking
steps:
  - name: load
    handler: command
    config: { program: sh, args: ["-c", "echo '::progress 4/10 reading orders' >&2; sleep 4; echo 1"] }
"#;
    let place = Place::with("talking.yaml", talking);
    let mut started = place.start_until("run talking.yaml", "40 % (4 of 10): reading orders");
    let id = place.newest_task();
    place
        .run(&format!("task show {id}"))
        .exits(0)
        .says("40 % (4 of 10): reading orders");
    started.until("complete");
    let shown = place.run(&format!("task show {id} --json")).exits(0).json();
    assert_eq!(
        shown["steps"][0]["progress"],
        serde_json::json!({ "done": 4, "total": 10, "note": "reading orders" })
    );
}
