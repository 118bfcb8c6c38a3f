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
