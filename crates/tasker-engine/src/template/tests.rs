//! Every refusal with its exact message, and what loads.

use proptest::prelude::*;
use serde_json::{Value, json};
use tasker_types::{EventDefinition, Limits, LimitsValues};

use super::*;

mod contexts;
mod hostile;
mod reports;

fn options(limits: &Limits) -> LoadOptions<'_> {
    LoadOptions::new(limits)
}

#[track_caller]
fn loads(text: &str) -> std::sync::Arc<Template> {
    match Template::parse(text, &options(&Limits::default())) {
        Ok(loaded) => loaded.template,
        Err(faults) => panic!("{faults}"),
    }
}

#[track_caller]
fn refused(text: &str, message: &str) {
    refused_with(text, &options(&Limits::default()), message);
}

#[track_caller]
fn refused_with(text: &str, options: &LoadOptions<'_>, message: &str) {
    match Template::parse(text, options) {
        Ok(_) => panic!("it was accepted"),
        Err(faults) => assert_eq!(faults.to_string(), message),
    }
}

const WHOLE: &str = r#"
namespace: payments
name: process_refund
version: 2.1.0
description: Pays money back.
default_dependent_system: gateway
context_schema: { type: object, properties: { currency: { type: string, default: EUR } } }
result: pay
steps:
  - name: validate
    handler: validate
    config: { url: "https://one.example", nested: { a: 1, b: 2 } }
    timeout_seconds: 2.5
    events: [{ name: refund.checked, description: It was checked. }]
  - name: pay
    handler: payments.pay@^2.1
    depends_on: [validate]
    dependent_system: bank
    retryable: false
    retry_limit: 1
    skippable: true
environments:
  production: { steps: [{ name: validate, config: { nested: { b: 3 } }, retry_limit: 9 }] }
"#;

#[test]
fn everything_that_a_template_can_say() {
    let template = loads(WHOLE);
    assert_eq!(template.full_name(), "payments.process_refund@2.1.0");
    assert_eq!(template.result().map(|step| step.0), Some(1));
    let (_, pay) = template.step_named("pay").unwrap();
    assert_eq!(pay.handler().to_string(), "payments.pay@^2.1");
    assert_eq!(pay.depends_on(), [tasker_types::StepNo(0)]);
    assert_eq!(
        (pay.retryable(), pay.retry_limit(), pay.skippable()),
        (false, 1, true)
    );
    assert_eq!(pay.dependent_system().unwrap().as_str(), "bank");
    let (_, validate) = template.step_named("validate").unwrap();
    assert_eq!(validate.dependent_system().unwrap().as_str(), "gateway");
    assert_eq!(validate.timeout().unwrap().as_millis(), 2_500);
    assert_eq!(validate.retry_limit(), 3);
    assert_eq!(validate.events()[0].name.as_str(), "refund.checked");
}

#[test]
fn an_environment_overrides_what_it_names() {
    let limits = Limits::default();
    let chosen = LoadOptions {
        environment: Some("production"),
        ..options(&limits)
    };
    let template = Template::parse(WHOLE, &chosen).unwrap().template;
    let (_, validate) = template.step_named("validate").unwrap();
    assert_eq!(validate.config()["nested"], json!({"a": 1, "b": 3}));
    assert_eq!(validate.retry_limit(), 9);
}

#[test]
fn a_stored_template_reads_back_equal() {
    let template = loads(WHOLE);
    let text = serde_json::to_string(&*template).unwrap();
    assert_eq!(serde_json::from_str::<Template>(&text).unwrap(), *template);
}

#[test]
fn the_original_spellings_load() {
    let template = loads(
        "name: old\nnamespace_name: shop\nschema: { type: object }\nnamed_steps: [a, b]\nstep_templates:\n\
         - { name: a, handler_class: first, handler_config: { x: 1 }, default_retryable: true, default_retry_limit: 4 }\n\
         - { name: b, handler_class: second, depends_on_step: a, custom_events: [{ name: b.done }] }\n\
         - { name: c, handler_class: third, depends_on_steps: [a, b] }\n"
            .replace("[a, b]\nstep", "[a, b, c]\nstep")
            .as_str(),
    );
    assert_eq!(template.namespace().as_str(), "shop");
    assert_eq!(template.steps()[0].retry_limit(), 4);
    assert_eq!(template.steps()[2].depends_on().len(), 2);
}

#[test]
fn json_loads_too() {
    let template = loads("{\"name\": \"j\", \"steps\": [{\"name\": \"a\", \"handler\": \"h\"}]}");
    assert_eq!(template.full_name(), "default_system.j@0.1.0");
}

#[test]
fn all_faults_come_in_one_report_with_their_lines() {
    refused(
        "nme: x\nversion: 1.2\nsteps:\n  - name: a\n    handler: h\n    retry_limit: 0\n    depends_on: [bb]\n  \
         - name: b\n    handler: Shop::ChargeCardHandler\n    colour: red\n  - name: b\n    handler: h\n    timeout_seconds: -1\n",
        "the template has no `name`; give it one\n\
         line 1: the template has the unknown key `nme`; did you mean `name`?\n\
         line 2: `version` of the template must be a text such as \"1.2.0\", in quotes if it has only one dot, but it \
         is a number\n\
         line 6: `retry_limit` of step `a` is 0; it counts all attempts, so it is at least 1\n\
         line 7: step `a` depends on `bb`, which is no step; did you mean `b`?\n\
         line 9: `Shop::ChargeCardHandler` of step `b` is the name of a class; register a handler and write its name, \
         for instance `charge_card`\n\
         line 10: step `b` has the unknown key `colour`; the keys are `name`, `description`, `handler`, `config`, \
         `depends_on`, `dependent_system`, `retryable`, `retry_limit`, `timeout_seconds`, `skippable`, `events`\n\
         line 11: the step `b` is there twice (first in line 8); rename one\n\
         line 13: `timeout_seconds` of step `b` is -1; write a number above 0, or leave it out",
    );
}

#[test]
fn cycles_name_their_steps() {
    refused(
        "name: x\nsteps:\n  - { name: a, handler: h, depends_on: [c] }\n  - { name: b, handler: h, depends_on: [a] }\n  \
         - { name: c, handler: h, depends_on: [b] }\n  - { name: d, handler: h, depends_on: [d] }\n",
        "line 3: the steps wait for one another: a -> b -> c -> a; remove one of these dependencies\n\
         line 6: step `d` depends on itself; remove that",
    );
}

#[test]
fn steps_are_there() {
    refused(
        "name: x\n",
        "the template has no steps; list at least one under `steps`",
    );
    refused(
        "name: x\nsteps: []\n",
        "line 2: the template has no steps; list at least one under `steps`",
    );
    refused(
        "",
        "the file is empty; a template has at least `name` and `steps`",
    );
    refused("- a\n", "the template must be a table of keys, but it is a list");
}

#[test]
fn names_are_names() {
    refused(
        "name: x.y\nnamespace: 'größe'\nsteps: [{ name: 1st, handler: a.b.c }]\n",
        "line 1: `name` is no name: `x.y` has the character `.`; a name has letters, digits, `_` and `-` only\n\
         line 2: `namespace` is no name: `größe` has the character `ö`; a name has letters, digits, `_` and `-` only\n\
         line 3: the step's `name` is no name: `1st` must begin with a letter (A-Z, a-z)\n\
         line 3: `handler` of step `1st`: `a.b.c` is no handler (`[namespace.]name[@requirement]`): `b.c` has the \
         character `.`; a name has letters, digits, `_` and `-` only",
    );
}

#[test]
fn a_version_is_semantic() {
    refused(
        "name: x\nversion: '2.x'\nsteps: [{ name: a, handler: h }]\n",
        "line 2: `2.x` is no semantic version such as `1.2.0`: unexpected character 'x' while parsing minor version \
         number",
    );
}

#[test]
fn a_step_has_a_handler() {
    refused(
        "name: x\nsteps:\n  - name: a\n",
        "line 3: step `a` has no `handler`; name a registered one, or `command` or `sleep`",
    );
    refused(
        "name: x\nsteps:\n  - handler: h\n",
        "line 3: step 1 of the list has no `name`; give it one",
    );
    refused(
        "name: x\nsteps:\n  - { name: a, handler: h }\n  - { name: , handler: h }\n",
        "line 4: step 2 of the list has no `name`; give it one",
    );
}

#[test]
fn overrides_name_steps_in_every_environment() {
    refused(
        "name: x\nsteps: [{ name: charge, handler: h }]\nenvironments:\n  test:\n    steps:\n      - { name: chrge }\n",
        "line 6: environment `test` changes `chrge`, which is no step; did you mean `charge`?",
    );
}

#[test]
fn every_environment_is_checked() {
    let text = "name: x\nsteps: [{ name: a, handler: h }]\nenvironments:\n  test:\n    steps:\n      \
                - { name: a, retry_limit: 0, timeout_seconds: -1 }\n";
    let message = "line 6: `retry_limit` of step `a` of environment `test` is 0; it counts all attempts, so it is at \
                   least 1\n\
                   line 6: `timeout_seconds` of step `a` of environment `test` is -1; write a number above 0, or \
                   leave it out";
    refused(text, message);
    let limits = Limits::default();
    let chosen = LoadOptions {
        environment: Some("test"),
        ..options(&limits)
    };
    refused_with(text, &chosen, message);
}

#[test]
fn two_spellings_of_one_key_are_one_too_many() {
    refused(
        "name: x\nsteps:\n  - { name: a, handler: h, handler_class: g }\n",
        "line 3: step `a` has both `handler` and `handler_class`; keep `handler`",
    );
}

#[test]
fn a_key_is_there_once() {
    refused(
        "name: x\nname: y\nsteps: [{ name: a, handler: h }]\n",
        "line 2: the key `name` is there twice (first in line 1); remove one",
    );
}

#[test]
fn a_schema_is_a_schema() {
    refused(
        "name: x\ncontext_schema: { type: strin }\nsteps: [{ name: a, handler: h }]\n",
        "line 2: `context_schema` is no JSON Schema: \"strin\" is not valid under any of the schemas listed in the \
         'anyOf' keyword",
    );
}

#[test]
fn a_result_is_a_steps() {
    refused(
        "name: x\nresult: b\nsteps: [{ name: a, handler: h }]\n",
        "line 2: `result` names `b`, which is no step; did you mean `a`?",
    );
}

#[test]
fn named_steps_agree() {
    refused(
        "name: x\nnamed_steps: [a, z]\nsteps: [{ name: a, handler: h }, { name: b, handler: h }]\n",
        "line 2: `named_steps` and the steps differ (only in `named_steps`: [\"z\"], only in the steps: [\"b\"]); remove \
         `named_steps`, it is not needed",
    );
}

#[test]
fn broken_yaml_tells_where() {
    let faults = Template::parse("name: x\nsteps: [\n", &options(&Limits::default())).unwrap_err();
    assert_eq!(faults.as_slice()[0].code, "syntax");
    assert!(faults.to_string().contains("this is no valid YAML: "), "{faults}");
}

#[test]
fn one_document_a_file() {
    refused(
        "name: x\nsteps: [{ name: a, handler: h }]\n---\nname: y\n",
        "line 3: the file has several documents (`---`); put each template in a file of its own",
    );
}

#[test]
fn limits_are_named_with_the_way_out() {
    let small = |change: fn(&mut LimitsValues)| {
        let mut values = LimitsValues::default();
        change(&mut values);
        Limits::try_from(values).unwrap()
    };
    let text = "name: x\nsteps: [{ name: a, handler: h }, { name: b, handler: h }]\n";
    refused_with(
        text,
        &options(&small(|v| v.template = 20)),
        "the file has 66 bytes, but the limit is 20; split it, or raise `limits.template`",
    );
    refused_with(
        text,
        &options(&small(|v| v.steps_per_task = 1)),
        "line 2: the template has 2 steps, but the limit is 1; split it, or raise `limits.steps_per_task`",
    );
    refused_with(
        "name: &n x\ndescription: *n\nsteps: [{ name: *n, handler: *n }]\n",
        &options(&small(|v| v.yaml_aliases = 2)),
        "line 3: the file uses more than 2 aliases (`*name`); write the values out, or raise `limits.yaml_aliases`",
    );
}

#[derive(Debug)]
struct OnlyPay;

impl CheckHandler for OnlyPay {
    fn check(&self, step: &CheckedStep<'_>) -> Result<(), HandlerProblem> {
        if step.handler.name.as_str() != "pay" {
            return Err(HandlerProblem::Unknown {
                message: format!("there is no handler `{}`", step.handler),
            });
        }
        match step.config.get("amount") {
            Some(Value::Number(_)) => Ok(()),
            _ => Err(HandlerProblem::Config {
                faults: vec!["`amount` must be a number".to_owned()],
            }),
        }
    }
}

#[test]
fn handlers_check_their_configuration() {
    let limits = Limits::default();
    let text = "name: x\nsteps:\n  - { name: a, handler: pay }\n  - { name: b, handler: refund }\n";
    let checked = LoadOptions {
        handlers: Some(&OnlyPay),
        ..options(&limits)
    };
    refused_with(
        text,
        &LoadOptions {
            unknown_handlers: UnknownHandlers::Refuse,
            ..checked.clone()
        },
        "line 3: `config` of step `a`: `amount` must be a number\nline 4: step `b`: there is no handler `refund`",
    );
    let loaded = Template::parse(&text.replace("pay }", "pay, config: { amount: 1 } }"), &checked).unwrap();
    assert_eq!(
        loaded.warnings[0].to_string(),
        "line 4: step `b`: there is no handler `refund`"
    );
}

#[test]
fn a_file_is_named_and_must_be_readable() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("t.yaml");
    let limits = Limits::default();
    let missing = Template::load(&path, &options(&limits)).unwrap_err();
    assert!(
        missing
            .to_string()
            .ends_with("t.yaml: the file cannot be read: No such file or directory (os error 2)")
    );
    std::fs::write(&path, b"name: x\n\xff\n").unwrap();
    let binary = Template::load(&path, &options(&limits)).unwrap_err();
    assert!(
        binary
            .to_string()
            .ends_with("t.yaml:2: the file is not UTF-8; save it as UTF-8")
    );
    std::fs::write(&path, WHOLE).unwrap();
    let loaded = Template::load(&path, &options(&limits)).unwrap();
    assert_eq!(loaded.template.directory(), directory.path().to_str());
}

proptest! {
    #[test]
    fn no_text_panics(text in "[ -~\n]{0,200}") {
        let _ = Template::parse(&text, &options(&Limits::default()));
    }
}
