//! Custom events of handlers, templates and the program.

use std::sync::Arc;

use tasker::{
    Done, EventDefinition, RunError, StepBuilder, StepContext, StepError, StepHandler, TaskRequest, Tasker,
    Template, UnknownHandlers, handler_registry,
};

/// A handler that declares an event.
struct Checks;

#[async_trait::async_trait]
impl StepHandler for Checks {
    async fn run(&self, _: StepContext) -> Result<Done, StepError> {
        Ok(Done::Result(tasker::Json::null()))
    }

    fn events(&self) -> Vec<EventDefinition> {
        vec![EventDefinition::new("refund.checked").described("the refund is in order")]
    }
}

fn tasker() -> Tasker {
    Tasker::builder()
        .memory()
        .handler("checks", Arc::new(Checks))
        .event(EventDefinition::new("shop.opened").described("the shop is open"))
        .build()
        .unwrap()
}

fn template(name: &str, event: EventDefinition) -> Arc<Template> {
    let step = StepBuilder::new("check", "checks").event(event);
    Template::builder(name).step(step).build().unwrap()
}

fn known(tasker: &Tasker) -> Vec<String> {
    let events = tasker.registry().events();
    let show = |entry: &tasker::EventEntry| {
        let sources: Vec<_> = entry.declared_by.iter().map(ToString::to_string).collect();
        format!("{}: {}", entry.event.name, sources.join(", "))
    };
    events.iter().map(show).collect()
}

#[tokio::test]
async fn events_of_handlers_templates_and_the_program_are_known() {
    let tasker = tasker();
    let declared = [
        "refund.checked: the handler `default_system.checks@0.1.0`",
        "shop.opened: the program",
    ];
    assert_eq!(known(&tasker), declared);
    tasker
        .run(TaskRequest::new(template("order", "order.sent".into())))
        .await
        .unwrap();
    assert_eq!(
        known(&tasker),
        [
            "order.sent: the template `default_system.order@0.1.0`",
            declared[0],
            declared[1]
        ]
    );
}

#[tokio::test]
async fn a_template_that_describes_an_event_in_another_way_is_not_run() {
    let tasker = tasker();
    let other = EventDefinition::new("refund.checked").described("it was looked at");
    let error = tasker
        .run(TaskRequest::new(template("refunds", other)))
        .await
        .unwrap_err();
    assert!(matches!(error, RunError::Event(_)), "{error:?}");
    assert_eq!(
        error.to_string(),
        "the template `default_system.refunds@0.1.0` describes the custom event `refund.checked` as \"it was looked at\", \
         but the handler `default_system.checks@0.1.0` as \"the refund is in order\"; give both the same description, or \
         one of them another name"
    );
}

#[tokio::test]
async fn a_task_is_resumed_whatever_others_say_of_its_events_by_now() {
    let tasker = tasker();
    let described = |text: &str| EventDefinition::new("order.sent").described(text);
    let request = TaskRequest::new(template("order", described("on its way")));
    let task = tasker.prepare(request).unwrap();
    let (id, worker) = (task.id, tasker.worker(tasker::Scope::All).id());
    let create = tasker::Create::new(worker, tasker::Actor::System, vec![task]);
    tasker.store().create(create).await.unwrap();
    tasker
        .declare_events(&template("other", described("gone")))
        .unwrap();
    let report = tasker.resume(id).await.unwrap();
    assert_eq!(report.state, tasker::TaskState::Complete);
    assert_eq!(
        known(&tasker)[0],
        "order.sent: the template `default_system.other@0.1.0`"
    );
}

#[test]
fn a_file_that_describes_an_event_in_another_way_is_refused_with_its_other_faults() {
    let tasker = tasker();
    let directory = tempfile::tempdir().unwrap();
    let load = |name: &str, description: &str, limit: u32| {
        let path = directory.path().join(format!("{name}.yaml"));
        let text = format!(
            "name: {name}\nsteps:\n  - name: check\n    handler: checks\n    retry_limit: {limit}\n    events:\n      \
             - {{ name: order.sent, description: {description} }}\n"
        );
        std::fs::write(&path, text).unwrap();
        let loaded = tasker.load(&path, UnknownHandlers::Refuse);
        loaded
            .map(drop)
            .map_err(|faults| faults.to_string().replace(&path.display().to_string(), "FILE"))
    };
    assert_eq!(load("first", "on its way", 3), Ok(()));
    // What a template says of its own event it may change.
    assert_eq!(load("first", "gone", 3), Ok(()));
    assert_eq!(
        load("second", "lost", 0).unwrap_err(),
        "FILE:5: `retry_limit` of step `check` is 0; it counts all attempts, so it is at least 1\n\
         FILE:7: the template `default_system.second@0.1.0` describes the custom event `order.sent` as \"lost\", but \
         the template `default_system.first@0.1.0` as \"gone\"; give both the same description, or one of them another \
         name"
    );
}

#[test]
fn a_handler_whose_event_cannot_be_is_refused() {
    let registry = Arc::new(handler_registry());
    registry
        .declare(
            "the test",
            [EventDefinition::new("refund.checked").described("otherwise")],
        )
        .unwrap();
    let built = Tasker::builder()
        .memory()
        .registry(registry)
        .handler("checks", Arc::new(Checks))
        .event("refunds")
        .build();
    assert_eq!(
        built.unwrap_err().to_string(),
        "2 of 2 changes refused, so none was made: \
         the program declares a custom event that cannot be: `refunds` has no dot; \
         a custom event is named `namespace.event`, for instance `orders.refunds`; \
         the handler `default_system.checks@0.1.0` describes the custom event `refund.checked` as \"the refund is in \
         order\", but the test as \"otherwise\"; give both the same description, or one of them another name"
    );
}

fn with_files(files: &[(&str, &str)]) -> Result<Tasker, String> {
    let directory = tempfile::tempdir().unwrap();
    for (name, text) in files {
        std::fs::write(directory.path().join(name), text).unwrap();
    }
    let path = directory.path().display().to_string();
    let config = tasker_config::Loader::new()
        .argument("engine.custom_events_directories", format!("[\"{path}\"]"))
        .load()
        .unwrap();
    let built = Tasker::builder().config(config).memory().build();
    built.map_err(|error| error.to_string().replace(&path, "DIRECTORY"))
}

#[test]
fn events_of_files_are_known() {
    let shop = "- name: shop.opened\n  description: the shop is open\n- name: shop.closed\n";
    let tasker = with_files(&[("shop.yaml", shop), ("notes.txt", "not events")]).unwrap();
    let names: Vec<_> = tasker
        .registry()
        .events()
        .iter()
        .map(|entry| entry.event.name.to_string())
        .collect();
    assert_eq!(names, ["shop.closed", "shop.opened"]);
}

#[track_caller]
fn refused(files: &[(&str, &str)], message: &str) {
    assert_eq!(with_files(files).unwrap_err(), message);
}

#[test]
fn every_fault_of_files_of_events_is_told() {
    refused(
        &[
            ("a.yaml", "- name: shop.opened\n  colour: red\n"),
            ("b.yaml", "name: shop.opened\n"),
        ],
        "DIRECTORY/a.yaml: unknown field `colour`, expected one of name, description at line 2, column 3; write a list of events, each with `name` and `description`\nDIRECTORY/b.yaml: expected sequence start at line 1, column 1; write a list of events, each with `name` and `description`",
    );
    refused(
        &[("a.yaml", "- name: opened\n")],
        "1 of 1 changes refused, so none was made: the file `DIRECTORY/a.yaml` declares a custom event that cannot be: `opened` has no dot; a custom event is named `namespace.event`, for instance `orders.opened`",
    );
    refused(
        &[
            ("a.yaml", "- name: shop.opened\n  description: it opens\n"),
            ("b.yaml", "- name: shop.opened\n  description: it is open\n"),
        ],
        "1 of 2 changes refused, so none was made: the file `DIRECTORY/b.yaml` describes the custom event `shop.opened` as \"it is open\", but the file `DIRECTORY/a.yaml` as \"it opens\"; give both the same description, or one of them another name",
    );
}

#[test]
fn a_directory_of_events_that_is_not_there_is_named() {
    let config = tasker_config::Loader::new()
        .argument("engine.custom_events_directories", "[\"/nowhere/at/all\"]")
        .load()
        .unwrap();
    let error = Tasker::builder().config(config).memory().build().unwrap_err();
    assert_eq!(
        error.to_string(),
        "the directory `/nowhere/at/all` of `engine.custom_events_directories` cannot be read: No such file or directory \
         (os error 2)"
    );
}
