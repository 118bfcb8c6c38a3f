//! What a request may say of a task, from the request to the report.

use std::time::Duration;

use serde_json::{Value, json};
use tasker::config::Loader;
use tasker::{
    Description, FailureReason, Identity, Refusal, RunError, StepBuilder, TaskFilter, TaskId, TaskQuery,
    TaskRequest, TaskState, Tasker, Template,
};

use crate::place::{builder, chain, steps};

/// A Tasker in memory, and one in a SQLite file: what the facade does is the same.
fn both() -> [(Tasker, Option<tempfile::TempDir>); 2] {
    let directory = tempfile::tempdir().unwrap();
    let file = builder().sqlite(directory.path().join("tasker.db"));
    [
        (builder().build().unwrap(), None),
        (file.build().unwrap(), Some(directory)),
    ]
}

fn refusal(result: Result<tasker::TaskReport, RunError>) -> Refusal {
    match result.unwrap_err() {
        RunError::Refused(refusal) => refusal,
        other => panic!("{other:?} is no refusal"),
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_have_codes_and_name_the_first_task() {
    let tasker = builder().build().unwrap();
    let asked = |day: &str| {
        TaskRequest::new(chain("one", &["ok"]))
            .context(json!({ "day": day }))
            .idempotency_key("nightly")
    };
    let first = tasker.run(asked("monday")).await.unwrap().task_id;
    let refused = refusal(tasker.run(asked("tuesday")).await);
    assert_eq!(
        (refused.code(), refused.task()),
        ("idempotency_key_reused", first)
    );
    assert_eq!(
        refused.to_string(),
        format!("the idempotency key was used for another request, whose task is `{first}`")
    );
}

#[tokio::test(start_paused = true)]
async fn the_configuration_chooses_the_identity() {
    let config = Loader::new()
        .set("engine.identity_strategy", "hash")
        .load()
        .unwrap();
    let tasker = builder().config(config).build().unwrap();
    let first = tasker.run(chain("one", &["ok"])).await.unwrap().task_id;
    let refused = refusal(tasker.run(chain("one", &["ok"])).await);
    assert_eq!((refused.code(), refused.task()), ("duplicate_task", first));
    assert_eq!(
        refused.to_string(),
        format!("the same was asked for before; its task is `{first}`")
    );
    let unique = builder().build().unwrap();
    let first = unique.run(chain("one", &["ok"])).await.unwrap().task_id;
    assert_ne!(unique.run(chain("one", &["ok"])).await.unwrap().task_id, first);
}

#[tokio::test(start_paused = true)]
async fn an_identity_of_ones_own_wins_over_the_configuration() {
    #[derive(Debug)]
    struct ByOrder;
    impl Identity for ByOrder {
        fn of(&self, request: &TaskRequest, id: TaskId) -> String {
            request
                .context_value()
                .get("order")
                .map_or_else(|| id.to_string(), |order| format!("order {order}"))
        }
    }
    let tasker = builder().identity(ByOrder).build().unwrap();
    let order = |number: u32, note: &str| {
        TaskRequest::new(chain("one", &["ok"])).context(json!({ "order": number, "note": note }))
    };
    let first = tasker.run(order(7, "a")).await.unwrap().task_id;
    assert_eq!(
        refusal(tasker.run(order(7, "b")).await),
        Refusal::Duplicate { task: first }
    );
    tasker.run(order(8, "b")).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_bypassed_step_is_resolved_and_its_child_finds_nothing() {
    for (tasker, _kept) in both() {
        let template = Template::builder("bypass")
            .step(StepBuilder::new("check", "fails").skippable())
            .step(StepBuilder::new("pay", "ok").depends_on(["check"]))
            .build()
            .unwrap();
        let report = tasker
            .run(TaskRequest::new(template).bypass(["check"]))
            .await
            .unwrap();
        assert_eq!(report.state, TaskState::Complete);
        assert_eq!(
            steps(&report),
            [("check", "resolved_manually", 0), ("pay", "complete", 1)]
        );
        tasker.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn no_step_starts_before_its_time() {
    let tasker = builder().build().unwrap();
    let start = tasker.clock().now().plus(Duration::from_secs(3_600));
    let request = TaskRequest::new(chain("late", &["ok"])).start_at(start);
    let report = tasker.run(request).await.unwrap();
    assert_eq!(report.state, TaskState::Complete);
    assert!(report.started_at.unwrap() >= start, "{report:?}");
    assert!(
        report.started_at.unwrap() <= start.plus(Duration::from_secs(2)),
        "{report:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_task_fails_at_its_deadline() {
    let tasker = builder().build().unwrap();
    let deadline = tasker.clock().now().plus(Duration::from_secs(7));
    let template = Template::builder("slow")
        .step(StepBuilder::new("wait", "sleep").config(json!({ "seconds": 60 })))
        .build()
        .unwrap();
    let report = tasker
        .run(TaskRequest::new(template).deadline_at(deadline))
        .await
        .unwrap();
    assert_eq!(
        (report.state, report.failure),
        (TaskState::Error, Some(FailureReason::DeadlineExceeded))
    );
    let late = report.finished_at.unwrap().since(deadline);
    assert!(report.finished_at.unwrap() >= deadline, "{report:?}");
    assert!(late < Duration::from_millis(100), "{late:?} late");
}

#[tokio::test(start_paused = true)]
async fn tasks_are_found_by_what_is_said_of_them() {
    for (tasker, _kept) in both() {
        let mut tasks = Vec::new();
        let plans: [(&[&str], Value); 4] = [
            (&["eu", "vip"], json!({ "ticket": 7 })),
            (&["eu"], json!({ "ticket": "7" })),
            (&["us"], json!({ "agent": { "name": "Ann", "desk": 4 } })),
            (&[], json!({ "checked": null })),
        ];
        for (tags, annotations) in plans {
            let mut request = TaskRequest::new(chain("one", &["ok"])).tags(tags.iter().copied());
            for (name, value) in annotations.as_object().unwrap() {
                request = request.annotate(name, value.clone());
            }
            tasks.push(tasker.run(request).await.unwrap().task_id);
        }
        let find = async |filter: TaskFilter| -> Vec<usize> {
            let found = tasker.list(TaskQuery::new(filter, 100)).await.unwrap().tasks;
            let place = |id: TaskId| tasks.iter().position(|task| *task == id).unwrap();
            let mut places: Vec<_> = found.iter().map(|task| place(task.task_id)).collect();
            places.sort_unstable();
            places
        };
        let tagged = |tags: &[&str]| TaskFilter {
            tags: tags.iter().map(ToString::to_string).collect(),
            ..TaskFilter::default()
        };
        assert_eq!(find(TaskFilter::default()).await, [0, 1, 2, 3]);
        assert_eq!(find(tagged(&["eu"])).await, [0, 1]);
        assert_eq!(find(tagged(&["vip", "eu"])).await, [0]);
        assert!(find(tagged(&["eu", "us"])).await.is_empty());
        let noted = |name: &str, value: Option<Value>| TaskFilter {
            annotations: vec![(name.to_owned(), value)],
            ..TaskFilter::default()
        };
        assert_eq!(find(noted("ticket", None)).await, [0, 1]);
        assert_eq!(find(noted("ticket", Some(json!(7)))).await, [0]);
        assert_eq!(find(noted("ticket", Some(json!("7")))).await, [1]);
        assert_eq!(find(noted("checked", Some(json!(null)))).await, [3]);
        assert!(find(noted("checked", Some(json!(false)))).await.is_empty());
        let agent = json!({ "desk": 4, "name": "Ann" });
        assert_eq!(find(noted("agent", Some(agent))).await, [2]);
        assert!(find(noted("nothing", None)).await.is_empty());
        // What is said anew is found, too.
        let change = Description::new()
            .tags(["us", "vip"])
            .annotate("ticket", json!(8));
        tasker.describe(tasks[3], change).await.unwrap();
        assert_eq!(find(tagged(&["us", "vip"])).await, [3]);
        assert_eq!(find(noted("ticket", Some(json!(8)))).await, [3]);
        tasker.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn tasks_are_found_by_who_asked_and_by_version() {
    for (tasker, _kept) in both() {
        let run = async |version: &str, initiator: &str, system: &str| {
            let template = Template::builder("refund")
                .version(version)
                .step(StepBuilder::new("pay", "ok"))
                .build()
                .unwrap();
            let origin = tasker::Origin {
                initiator: Some(initiator.to_owned()),
                source_system: Some(system.to_owned()),
                ..tasker::Origin::default()
            };
            let request = TaskRequest::new(template).origin(origin);
            tasker.run(request).await.unwrap().task_id
        };
        let first = run("1.0.0", "ann", "shop").await;
        // Ids of one instant have no order.
        tokio::time::sleep(Duration::from_secs(1)).await;
        let second = run("2.0.0", "bob", "shop").await;
        let find = async |filter: TaskFilter| -> Vec<TaskId> {
            let found = tasker.list(TaskQuery::new(filter, 100)).await.unwrap().tasks;
            found.iter().map(|task| task.task_id).collect()
        };
        let some = |text: &str| Some(text.to_owned());
        let by = |initiator, source_system| TaskFilter {
            initiator,
            source_system,
            ..TaskFilter::default()
        };
        assert_eq!(find(by(some("ann"), None)).await, [first]);
        assert_eq!(find(by(None, some("shop"))).await, [second, first]);
        assert!(find(by(some("ann"), some("till"))).await.is_empty());
        let version = Some("2.0.0".parse().unwrap());
        let filter = TaskFilter {
            version,
            ..TaskFilter::default()
        };
        assert_eq!(find(filter).await, [second]);
        tasker.close().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn the_result_is_that_of_the_named_step_or_of_the_leaves() {
    let tasker = builder().build().unwrap();
    let template = |result: Option<&str>| {
        let builder = Template::builder("forked")
            .step(StepBuilder::new("first", "ok"))
            .step(StepBuilder::new("left", "flaky").depends_on(["first"]))
            .step(StepBuilder::new("right", "ok").depends_on(["first"]));
        match result {
            Some(step) => builder.result(step).build().unwrap(),
            None => builder.build().unwrap(),
        }
    };
    let result = async |named: Option<&str>| tasker.run(template(named)).await.unwrap().result;
    assert_eq!(result(None).await, Some(json!({ "left": 2, "right": "ok" })));
    assert_eq!(result(Some("first")).await, Some(json!("ok")));
    // A task that failed has none.
    assert_eq!(tasker.run(chain("bad", &["fails"])).await.unwrap().result, None);
}

#[tokio::test(start_paused = true)]
async fn a_new_priority_is_kept() {
    for (tasker, _kept) in both() {
        let task = tasker.run(chain("one", &["ok"])).await.unwrap().task_id;
        tasker.set_priority(task, 9).await.unwrap();
        let listed = tasker
            .list(TaskQuery::new(TaskFilter::default(), 100))
            .await
            .unwrap()
            .tasks;
        assert_eq!(listed[0].priority, 9);
        tasker.close().await.unwrap();
    }
}
