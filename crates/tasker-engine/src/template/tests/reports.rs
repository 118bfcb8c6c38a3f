//! What stands in one report, and how it is written.

use super::*;

#[test]
fn a_report_names_file_and_line_of_every_fault() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("shop.yaml");
    std::fs::write(
        &path,
        "name: x\nsteps:\n  - name: a\n    handler: h\n    retry_limit: -2\n    colour: red\n",
    )
    .unwrap();
    let faults = Template::load(&path, &options(&Limits::default())).unwrap_err();
    let file = path.display();
    assert_eq!(
        faults.to_string(),
        format!(
            "{file}:5: `retry_limit` of step `a` is -2; it counts all attempts, so it is at least 1\n\
             {file}:6: step `a` has the unknown key `colour`; the keys are `name`, `description`, `handler`, \
             `config`, `depends_on`, `dependent_system`, `retryable`, `retry_limit`, `timeout_seconds`, `skippable`, \
             `events`"
        )
    );
}

#[test]
fn a_slip_in_a_key_has_a_hint_everywhere() {
    refused(
        "name: x\nsteps:\n  - { name: a, handler: h, timeout_second: 3, events: [{ nam: b }] }\n\
         environments:\n  test:\n    step: []\n    steps: [{ name: a, retry_limits: 3 }]\n",
        "line 3: step `a` has the unknown key `timeout_second`; did you mean `timeout_seconds`?\n\
         line 3: an event of step `a` has the unknown key `nam`; did you mean `name`?\n\
         line 3: an event of step `a` has no `name`; give it one\n\
         line 6: environment `test` has the unknown key `step`; did you mean `steps`?\n\
         line 7: step `a` of environment `test` has the unknown key `retry_limits`; did you mean `retry_limit`?",
    );
}

#[test]
fn a_cycle_is_reported_beside_other_faults() {
    refused(
        "name: x\nsteps:\n  - { name: a, handler: h, depends_on: [b, zzz] }\n  - { name: b, handler: h, depends_on: [a] }\n  \
         - { name: b, handler: h }\n",
        "line 3: step `a` depends on `zzz`, which is no step; name one of the template's steps\n\
         line 3: the steps wait for one another: a -> b -> a; remove one of these dependencies\n\
         line 5: the step `b` is there twice (first in line 4); rename one",
    );
}

#[test]
fn that_there_are_no_steps_is_reported_beside_other_faults() {
    refused(
        "version: 'one'\nsteps: []\n",
        "the template has no `name`; give it one\n\
         line 1: `one` is no semantic version such as `1.2.0`: unexpected character 'o' while parsing major version \
         number\n\
         line 2: the template has no steps; list at least one under `steps`",
    );
    refused(
        "name: x\nsteps: 3\n",
        "line 2: `steps` of the template must be a list, but it is a number",
    );
}

#[test]
fn values_have_their_types() {
    refused(
        "name: [x]\ndescription: 3\nsteps:\n  - name: a\n    handler: 3\n    config: [1]\n    retryable: yes\n    \
         retry_limit: 2.5\n    timeout_seconds: soon\n    depends_on: [3]\n    events: none\n",
        "the template has no `name`; give it one\n\
         line 1: `name` of the template must be a text, but it is a list\n\
         line 2: `description` of the template must be a text, but it is a number\n\
         line 4: step `a` has no `handler`; name a registered one, or `command` or `sleep`\n\
         line 5: `handler` of step `a` must be a text, but it is a number\n\
         line 6: `config` of step `a` must be a table, but it is a list\n\
         line 7: `retryable` of step `a` must be `true` or `false`, but it is a text\n\
         line 8: `retry_limit` of step `a` must be a whole number, but it is a number\n\
         line 9: `timeout_seconds` of step `a` must be a number, but it is a text\n\
         line 10: `depends_on` of step `a` must name steps, but there is a number\n\
         line 11: `events` of step `a` must be a list, but it is a text",
    );
}

#[test]
fn limits_of_numbers_are_named() {
    refused(
        "name: x\nsteps: [{ name: a, handler: h, retry_limit: 5000000000, timeout_seconds: 1e30 }]\n",
        "line 2: `retry_limit` of step `a` is larger than 4294967295\n\
         line 2: `timeout_seconds` of step `a` is 1000000000000000000000000000000; write a smaller number, \
         or leave it out",
    );
}

#[test]
fn the_originals_spellings_are_known_in_environments_too() {
    let limits = Limits::default();
    let text = "name: x\ntask_handler_class: Shop::Handler\nstep_templates: [{ name: a, handler_class: h, \
                handler_config: { b: 1, c: 2 } }]\nenvironments:\n  test:\n    step_templates: [{ name: a, \
                handler_config: { c: 3 }, default_retry_limit: 7, default_retryable: false, timeout_seconds: 4 }]\n";
    let loaded = Template::parse(
        text,
        &LoadOptions {
            environment: Some("test"),
            ..options(&limits)
        },
    )
    .unwrap();
    let step = &loaded.template.steps()[0];
    assert_eq!(step.config().to_string(), "{\"b\":1,\"c\":3}");
    assert_eq!(
        (
            step.retry_limit(),
            step.retryable(),
            step.timeout().unwrap().as_secs()
        ),
        (7, false, 4)
    );
    assert_eq!(
        loaded.warnings[0].to_string(),
        "line 2: `task_handler_class` means nothing here and is ignored; remove it"
    );
    let plain = loads(text);
    assert_eq!(
        (plain.steps()[0].retry_limit(), plain.steps()[0].retryable()),
        (3, true)
    );
}

#[test]
fn a_dependency_that_is_there_twice_is_a_warning() {
    let text = "name: x\nsteps: [{ name: a, handler: h }, { name: b, handler: h, depends_on: [a, a] }]\n";
    let loaded = Template::parse(text, &options(&Limits::default())).unwrap();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "line 2: step `b` depends on `a` twice; remove one"
    );
    assert_eq!(loaded.template.steps()[1].depends_on().len(), 1);
}

#[test]
fn json_has_the_same_faults_with_lines() {
    refused(
        "{\n  \"name\": \"x\",\n  \"steps\": [\n    {\"name\": \"a\", \"handlr\": \"h\"}\n  ]\n}\n",
        "line 4: step `a` has the unknown key `handlr`; did you mean `handler`?\n\
         line 4: step `a` has no `handler`; name a registered one, or `command` or `sleep`",
    );
}

#[test]
fn a_stored_template_reads_back_whatever_the_limits_are_now() {
    // More steps than any limit would make this test slow, so it looks at what reading back allows.
    assert_eq!(super::super::model::stored_limits().steps_per_task, u32::MAX);
}

#[test]
fn what_code_makes_is_no_deeper_than_what_files_say() {
    let deep = (0..65).fold(json!(1), |inner, _| json!({"a": inner}));
    let step = StepBuilder::new("a", "h").config(deep.clone());
    assert_eq!(
        Template::builder("x")
            .context_schema(deep)
            .step(step)
            .build()
            .unwrap_err()
            .to_string(),
        "`context_schema` is nested more than 64 levels deep; make it flatter\n\
         `config` of step `a` is nested more than 64 levels deep; make it flatter"
    );
}

#[test]
fn ten_thousand_slips_are_reported_at_once() {
    let step = |step| StepBuilder::new(format!("s{step}"), "h").depends_on([format!("t{step}")]);
    let builder = (0..10_000).fold(Template::builder("x"), |x, number| x.step(step(number)));
    assert_eq!(builder.build().unwrap_err().as_slice().len(), 10_000);
}

#[test]
fn a_step_may_wait_for_all_others() {
    let names: Vec<String> = (0..50_000).map(|step| format!("s{step}")).collect();
    let builder = names.iter().fold(Template::builder("x"), |x, name| {
        x.step(StepBuilder::new(name, "h"))
    });
    let template = builder
        .step(StepBuilder::new("last", "h").depends_on(names))
        .build()
        .unwrap();
    assert_eq!(template.steps()[50_000].depends_on().len(), 50_000);
}

#[test]
fn events_are_named_and_described_once() {
    refused(
        "name: x\nsteps:\n  - name: a\n    handler: h\n    events:\n      - { name: checked }\n      - { name: task.checked }\n      \
         - { name: order.sent, description: on its way }\n  - name: b\n    handler: h\n    events:\n      \
         - { name: order.sent }\n      - { name: order.sent, description: gone }\n",
        "line 6: `events` of step `a`: `checked` has no dot; a custom event is named `namespace.event`, for instance \
         `orders.checked`\n\
         line 7: `events` of step `a`: `task.checked` is in the namespace `task`, which has the system's own events; \
         choose another\n\
         line 13: step `b` describes the custom event `order.sent` as \"gone\", but step `a` as \"on its way\"; give both \
         the same description, or one of them another name",
    );
}

#[test]
fn a_template_tells_the_events_of_its_steps() {
    let step = |name: &str| StepBuilder::new(name, "h");
    let template = Template::builder("orders")
        .step(step("a").event("order.sent"))
        .step(step("b").event(EventDefinition::new("order.sent").described("on its way")))
        .step(step("c").event("order.billed"))
        .build()
        .unwrap();
    let events: Vec<_> = template
        .events()
        .iter()
        .map(|event| format!("{} {:?}", event.name, event.description))
        .collect();
    assert_eq!(events, ["order.billed None", "order.sent Some(\"on its way\")"]);
    assert_eq!(template.steps()[0].events()[0].name.as_str(), "order.sent");
    let text = serde_json::to_string(&*template).unwrap();
    assert_eq!(serde_json::from_str::<Template>(&text).unwrap(), *template);
}
