//! `tasker graph` and `tasker handlers`.

use crate::place::{FAILING, GREETING, Place};

#[test]
fn a_template_is_drawn() {
    let place = Place::with("greeting.yaml", GREETING);
    let text = place.run("graph show greeting.yaml").exits(0);
    text.says("0  greet  command\n1  shout  command  after greet\n");
    place
        .run("graph show greeting.yaml --format mermaid")
        .exits(0)
        .says("flowchart TD\n")
        .says("n0 --> n1");
    place
        .run("graph show greeting.yaml --format dot")
        .exits(0)
        .says("digraph {")
        .says("n0 -> n1;");
    let shown = place.run("graph show greeting.yaml --json").exits(0).json();
    assert_eq!(shown["template"], "default_system.greeting@0.1.0");
    assert_eq!(shown["edges"], serde_json::json!([["greet", "shout"]]));
    assert_eq!(
        (&shown["depth"], &shown["roots"][0]),
        (&2.into(), &"greet".into())
    );
    assert!(!place.path("data").exists(), "drawing needs no database");
}

#[test]
fn what_is_no_file_of_a_bounded_size_is_refused() {
    let place = Place::with("t.yaml", GREETING);
    std::fs::create_dir(place.path("dir")).unwrap();
    place
        .run("graph check dir")
        .exits(2)
        .says("dir: this is a directory; name a template's file");
    place
        .run("graph check /dev/zero --set limits.template=1000")
        .exits(2)
        .says("/dev/zero: the file has more than 1000 bytes, but the limit is 1000; split it, or raise `limits.template`");
}

#[test]
fn all_faults_of_all_files_are_reported() {
    let place = Place::with("good.yaml", GREETING);
    place.write("cycle.yaml", "name: cycle\nsteps:\n  - { name: a, handler: sleep, config: { seconds: 1 }, depends_on: [b] }\n  - { name: b, handler: sleep, config: { seconds: 1 }, depends_on: [a] }\n");
    place.write("typo.yaml", "name: typo\nstep: []\nretries: 1\n");
    let ran = place
        .run("graph check good.yaml cycle.yaml typo.yaml nowhere")
        .exits(2);
    let ran = ran
        .says("cycle.yaml")
        .says("typo.yaml:2: ")
        .says("typo.yaml:3: ")
        .says("nowhere: there is no file");
    let ran = ran
        .says("good.yaml: default_system.greeting@0.1.0, 2 steps\n")
        .says("4 templates, ");
    assert_eq!(ran.stderr, "");
    let checked = place
        .run("graph check good.yaml typo.yaml --json")
        .exits(2)
        .json();
    assert_eq!(checked["templates"].as_array().unwrap().len(), 2);
    let lines: Vec<_> = checked["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["line"].as_u64())
        .collect();
    assert!(lines.contains(&Some(2)) && lines.contains(&Some(3)), "{lines:?}");
    place
        .run("graph check good.yaml")
        .exits(0)
        .says("1 template, 0 faults, 0 warnings\n");
    assert_eq!(place.run("graph check good.yaml --quiet").exits(0).stdout, "");
}

#[test]
fn an_unknown_handler_is_only_a_warning() {
    let place = Place::with(
        "far.yaml",
        "name: far\nsteps:\n  - { name: a, handler: charge_card }\n",
    );
    place
        .run("graph check far.yaml")
        .exits(0)
        .says("far.yaml:3: warning: ")
        .says("`charge_card`");
    place
        .run("graph show far.yaml")
        .exits(0)
        .complains("warning: far.yaml:3: ");
    place.run("run far.yaml").exits(2).complains("`charge_card`");
}

#[test]
fn handlers_and_templates_are_listed() {
    let place = Place::with("templates/greeting.yaml", GREETING);
    place.write("templates/sub/failing.yaml", FAILING);
    place.write("templates/broken.yaml", "name: broken\n");
    place.run("handlers").exits(0).says("command").says("sleep");
    let listed = place
        .run("handlers --json --set engine.task_config_directory=templates")
        .exits(0)
        .json();
    let names: Vec<_> = listed["step_handlers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["command", "http", "sleep"]);
    let names: Vec<_> = listed["templates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["name"].clone())
        .collect();
    assert_eq!(names, ["greeting", "failing"]);
    assert_eq!(listed["faults"].as_array().unwrap().len(), 1);
    let ran = place
        .run("handlers --set engine.task_config_directory=nowhere")
        .exits(2);
    ran.complains("`nowhere` cannot be read (`engine.task_config_directory`)");
}

#[test]
fn custom_events_are_listed_and_their_conflicts_refused() {
    let template = |name: &str, description: &str| {
        format!(
            "name: {name}\nsteps:\n  - name: send\n    handler: sleep\n    config: {{ seconds: 0 }}\n    events:\n      \
             - {{ name: order.sent, description: {description} }}\n"
        )
    };
    let place = Place::with("templates/a.yaml", &template("first", "on its way"));
    place.write("templates/b.yaml", template("second", "gone"));
    let listed = place
        .run("handlers --json --set engine.task_config_directory=templates")
        .exits(0)
        .json();
    assert_eq!(
        listed["events"],
        serde_json::json!([{
            "name": "order.sent",
            "description": "on its way",
            "declared_by": ["the template `default_system.first@0.1.0`"],
        }])
    );
    assert_eq!(
        listed["faults"][0]["message"],
        "the template `default_system.second@0.1.0` describes the custom event `order.sent` as \"gone\", but the template \
         `default_system.first@0.1.0` as \"on its way\"; give both the same description, or one of them another name"
    );
    place
        .run("handlers --set engine.task_config_directory=templates")
        .exits(0)
        .says("order.sent");
}

#[test]
fn configurations_are_listed_without_their_secrets() {
    let call = r#"
name: call
steps:
  - name: call
    handler: http
    config:
      url: "https://ann:pw@example.org/orders?key=k"
      headers: { Authorization: "Bearer s3cret", Accept: text/plain }
      body: { password: s3cret, amount: 7 }
"#;
    let place = Place::with("templates/call.yaml", call);
    let ran = place
        .run("handlers --json --set engine.task_config_directory=templates")
        .exits(0);
    assert!(!ran.stdout.contains("s3cret"), "{}", ran.stdout);
    assert_eq!(
        ran.json()["templates"][0]["steps"][0]["config"],
        serde_json::json!({
            "url": "https://[FILTERED]@example.org/orders?[FILTERED]",
            "headers": { "Authorization": "[FILTERED]", "Accept": "text/plain" },
            "body": { "password": "[FILTERED]", "amount": 7 },
        })
    );
}

/// `parse` has used up its attempts, and `report` waits for it.
const STEPS: &str = r#"{
  "steps": [
    { "id": 1, "name": "fetch", "state": "complete", "attempts": 1 },
    { "id": 2, "name": "parse", "state": "error", "attempts": 3 },
    { "id": 3, "name": "check", "state": "pending" },
    { "id": 4, "name": "report", "state": "pending" }
  ],
  "edges": [[1, 2], [1, 3], [2, 4], [3, 4]],
  "config": { "severity_thresholds": { "critical": 60, "high": 50, "medium": 20 } }
}"#;

#[test]
fn a_file_of_steps_is_analysed() {
    let place = Place::with("steps.json", STEPS);
    place
        .run("graph analyze steps.json")
        .exits(0)
        .says("parse       Critical  89")
        .says("Manual intervention required")
        .says("2 paths in all");
    let found = place
        .run("graph analyze steps.json --format json")
        .exits(0)
        .json();
    assert_eq!(found["bottlenecks"]["bottlenecks"][0]["impact_score"], 89);
    assert_eq!(
        found["critical_paths"]["paths"][0]["step_names"],
        serde_json::json!(["fetch", "parse", "report"])
    );
    assert_eq!(found["task_execution_summary"]["overall_health"], "critical");
    assert_eq!(
        place.run("graph analyze steps.json --json").exits(0).json(),
        found
    );
    place
        .run("graph analyze steps.json --format mermaid")
        .exits(0)
        .says("flowchart TD")
        .says("n1[\"parse<br/>error, attempt 3 of 3, Critical 89\"]:::failed");
    place
        .run("graph analyze steps.json --format dot")
        .exits(0)
        .says("digraph {")
        .says("n1 -> n3;");
    let page = place.run("graph analyze steps.json --format html").exits(0);
    page.says("<!DOCTYPE html>").says("<svg").says(">parse</text>");
    assert!(!place.path("data").exists(), "a file needs no database");
}

#[test]
fn what_cannot_be_analysed_says_why() {
    let place = Place::with(
        "cycle.json",
        r#"{"steps": [{"id": 1, "name": "a"}, {"id": 2, "name": "b"}], "edges": [[1, 2], [2, 1]]}"#,
    );
    place.write(
        "unknown.json",
        r#"{"steps": [{"id": 1, "name": "a"}], "edges": [[1, 9]]}"#,
    );
    place.write(
        "weights.json",
        r#"{"steps": [], "config": {"impact_scoring": {"error_penalty": -1}}}"#,
    );
    place.write("other.json", r#"{"steps": [{"id": "one"}]}"#);
    let refused = |file: &str, message: &str| {
        let (code, found) = place
            .run(&format!("graph analyze {file} --json"))
            .exits(2)
            .error();
        assert_eq!((code.as_str(), found.as_str()), ("task_document", message));
    };
    refused(
        "cycle.json",
        "`cycle.json` cannot be analysed: a cycle: a -> b -> a",
    );
    refused(
        "unknown.json",
        "`unknown.json` cannot be analysed: the edge from 1 to 9 names a step that does not exist: 9",
    );
    refused(
        "weights.json",
        "the `config` of `weights.json`: `dependency_graph.impact_scoring.error_penalty` is -1.0, but it must be at \
         least 0",
    );
    refused(
        "other.json",
        "`other.json` describes no task: invalid type: string \"one\", expected u64",
    );
    place
        .run("graph analyze nowhere.json")
        .exits(2)
        .complains("`nowhere.json`");
    place
        .run("graph analyze 0198")
        .exits(2)
        .complains("there is no task whose id begins with `0198`");
}

#[test]
fn every_cycle_of_a_template_is_named() {
    let step = |name: &str, parents: &str| {
        format!("  - {{ name: {name}, handler: sleep, config: {{ seconds: 1 }}, depends_on: [{parents}] }}\n")
    };
    let text = format!(
        "name: cycles\nsteps:\n{}{}{}",
        step("a", "b, c"),
        step("b", "a"),
        step("c", "b")
    );
    let place = Place::with("cycles.yaml", &text);
    let checked = place.run("graph check cycles.yaml --json").exits(2).json();
    let messages: Vec<_> = checked["faults"]
        .as_array()
        .unwrap()
        .iter()
        .map(|fault| fault["message"].as_str().unwrap())
        .collect();
    let says =
        |cycle: &str| format!("the steps wait for one another: {cycle}; remove one of these dependencies");
    assert_eq!(messages, [says("a -> b -> a"), says("a -> b -> c -> a")]);
}

#[test]
fn a_task_that_is_stuck_is_analysed_and_explained() {
    let place = Place::with("failing.yaml", FAILING);
    place.run("run failing.yaml").exits(1);
    let task = place.newest_task();
    place
        .run(&format!("graph analyze {task}"))
        .exits(0)
        .says("default_system.failing@0.1.0")
        .says("bad")
        .says("nobody can say: these stand still until a person acts: bad\n");
    let found = place.run(&format!("graph analyze {task} --json")).exits(0).json();
    assert_eq!(found["task_id"], task.as_str());
    assert_eq!(found["forecast"]["status"], "stuck");
    assert_eq!(found["forecast"]["steps"][0]["samples"], 1);

    let text = "bad: has failed for good: no such account (`sh` ended with code 65), until a person acts: mend what is wrong and retry the step, \
                or resolve it";
    place
        .run(&format!("task explain {task}"))
        .exits(0)
        .says(&format!("{text} (1 step waits for it)\n"));
    place
        .run(&format!("task explain {task} after"))
        .exits(0)
        .says(&format!("after: waits for bad\n  {text}\n"));
    let explained = place
        .run(&format!("task explain {task} after --json"))
        .exits(0)
        .json();
    assert_eq!(explained["explanation"]["chain"][1]["cause"], "permanent");
    assert_eq!(explained["explanation"]["roots"][0]["name"], "bad");
    let all = place.run(&format!("task explain {task} --json")).exits(0).json();
    assert_eq!(all["explanation"]["steps"][1]["root"], "bad");
    place
        .run(&format!("task explain {task} afer"))
        .exits(2)
        .complains("has no step `afer`")
        .complains("did you mean `after`?");
}

#[test]
fn nothing_blocks_a_task_that_is_complete() {
    let place = Place::with("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let task = place.newest_task();
    place
        .run(&format!("task explain {task}"))
        .exits(0)
        .says("the task is complete: nothing blocks it\n");
    place
        .run(&format!("graph analyze {task}"))
        .exits(0)
        .says("it has ended\n");
    place
        .run(&format!("task explain {task} shout"))
        .exits(0)
        .says("shout: is done (complete)\n");
}
