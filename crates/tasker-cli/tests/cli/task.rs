//! `tasker task`.

use crate::place::{FAILING, GREETING, Place, states};

fn failed() -> (Place, String) {
    let place = Place::with("failing.yaml", FAILING);
    place.run("run failing.yaml").exits(1);
    let id = place.newest_task();
    (place, id)
}

#[test]
fn tasks_are_listed_the_newest_first() {
    let (place, first) = failed();
    place.write("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let second = place.newest_task();
    assert_ne!(first, second);
    assert_eq!(
        place.run("task list --quiet").exits(0).stdout,
        format!("{second}\n{first}\n")
    );
    assert_eq!(
        place.run("task list -q --state error").stdout,
        format!("{first}\n")
    );
    assert_eq!(
        place
            .run("task list -q --state error --state complete --limit 1")
            .stdout,
        format!("{second}\n")
    );
    assert_eq!(
        place.run("task list -q --name greeting").stdout,
        format!("{second}\n")
    );
    assert_eq!(place.run("task list -q --namespace payments").stdout, "");
    let text = place.run("task list").exits(0);
    text.says("default_system.failing@0.1.0").says("1/3").says("TASK");
    let listed = place.run("task list --json --name failing").exits(0).json();
    assert_eq!(listed["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(listed["tasks"][0]["state"], "error");
}

#[test]
fn a_list_goes_on_where_a_page_ended() {
    let (place, first) = failed();
    place.write("greeting.yaml", GREETING);
    place.run("run greeting.yaml").exits(0);
    let second = place.newest_task();
    let page = place.run("task list --limit 1 --total --json").exits(0).json();
    assert_eq!(page["tasks"][0]["task_id"], second.as_str());
    assert_eq!((&page["more"], &page["total"]), (&true.into(), &2.into()));
    let cursor = page["next_cursor"].as_str().unwrap();
    let next = place
        .run(&format!("task list --cursor {cursor} --json"))
        .exits(0)
        .json();
    assert_eq!(next["tasks"].as_array().unwrap().len(), 1);
    assert_eq!(next["tasks"][0]["task_id"], first.as_str());
    assert!(next["next_cursor"].is_null() && next["total"].is_null());
    let refused = place
        .run(&format!("task list --sort priority --cursor {cursor}"))
        .exits(2);
    refused.complains("the cursor was made for another list or changed");
    let oldest = place.run("task list --ascending --limit 1 --total").exits(0);
    oldest
        .says(&first)
        .says("there are more; --limit N shows them, or --cursor ")
        .says("2 in all");
    assert_eq!(
        place
            .run("task list -q --created-after 2100-01-01T00:00:00Z")
            .exits(0)
            .stdout,
        ""
    );
    assert_eq!(
        place
            .run("task list -q --context nothing.there=1")
            .exits(0)
            .stdout,
        ""
    );
    place.run("task list --context a..b").exits(2);
}

#[test]
fn an_empty_list_says_so() {
    let place = Place::new();
    let file = place.path("data/tasker.db");
    assert_eq!(
        place.run("task list").exits(0).stdout,
        format!(
            "no tasks yet in `{}`; `tasker run TEMPLATE` makes one\n",
            file.display()
        )
    );
    assert_eq!(
        place.run("task list --state error").exits(0).stdout,
        "no tasks like that\n"
    );
    assert_eq!(
        place.run("task list --json").exits(0).json()["tasks"],
        serde_json::json!([])
    );
}

#[test]
fn a_task_is_shown_with_its_steps_and_history() {
    let (place, id) = failed();
    let ran = place.run(&format!("task show {id}")).exits(0);
    let ran = ran
        .says(&format!("task       {id}\n"))
        .says("state      error (steps_in_error_state)");
    let ran = ran.says("for good: ").says("waits for bad");
    assert!(!ran.stdout.contains("started (attempt"));
    place
        .run(&format!("task show {id} --history"))
        .exits(0)
        .says("good                      started (attempt 1 of 3)");
    assert_eq!(
        place.run(&format!("task show {id} -q")).exits(0).stdout,
        "error\n"
    );
    let shown = place.run(&format!("task show {id} --json")).exits(0).json();
    assert_eq!(
        states(&shown),
        [
            ("good", "complete", 1),
            ("bad", "error", 1),
            ("after", "pending", 0)
        ]
    );
    assert_eq!(shown["steps"][2]["depends_on"], serde_json::json!(["bad"]));
    assert_eq!(shown["context"], serde_json::json!({}));
    assert!(shown.get("history").is_none());
}

#[test]
fn the_beginning_of_an_id_is_enough_if_it_is_unique() {
    let (place, id) = failed();
    let short = &id[..20];
    assert_eq!(
        place.run(&format!("task show {short} --json")).exits(0).json()["task_id"],
        id.as_str()
    );
    place.run("run failing.yaml").exits(1);
    let ran = place.run(&format!("task show {} --json", &id[..2])).exits(2);
    assert_eq!(ran.error().0, "task_ambiguous");
}

#[test]
fn a_failed_task_is_retried() {
    let (place, id) = failed();
    let changed = place
        .run_with(["task", "retry", &id, "--reason", "account opened", "--json"])
        .exits(0)
        .json();
    assert_eq!(changed["state"], "in_progress");
    assert_eq!(
        changed["steps"],
        serde_json::json!([{"name": "bad", "state": "pending"}])
    );
    let shown = place.run(&format!("task show {id} --history")).exits(0);
    shown.says("bad                       may start again: account opened, by ");
    let (code, message) = place.run(&format!("task retry {id} --json")).exits(2).error();
    assert_eq!(code, "illegal_transition");
    assert_eq!(
        message,
        format!("task `{id}` cannot be retried, since it is running")
    );
}

#[test]
fn a_step_is_resolved_with_a_result() {
    let (place, id) = failed();
    let ran = place
        .run_with(["task", "resolve", &id, "bad", "--result", r#"{"account": 9}"#])
        .exits(0);
    ran.says(&format!(
        "task {id} is running\n  bad  resolved_manually\n  tasker resume {id}"
    ));
    let report = place.run(&format!("resume {id} --json")).exits(0).json();
    assert_eq!(
        states(&report)[1..],
        [("bad", "resolved_manually", 1), ("after", "complete", 1)]
    );
    assert_eq!(report["steps"][1]["result"]["account"], 9);
}

#[test]
fn a_task_is_resolved_or_cancelled() {
    let (place, id) = failed();
    let changed = place.run(&format!("task resolve {id} --json")).exits(0).json();
    assert_eq!(changed["state"], "resolved_manually");
    let (code, message) = place.run(&format!("task cancel {id} --json")).exits(2).error();
    assert_eq!(code, "illegal_transition");
    assert_eq!(
        message,
        format!("task `{id}` cannot be cancelled, since it is resolved")
    );
    let (place, id) = failed();
    place
        .run(&format!("task cancel {id} after"))
        .exits(0)
        .says("after  cancelled");
    place
        .run(&format!("task cancel {id}"))
        .exits(0)
        .says("is cancelled");
    place.run(&format!("resume {id}")).exits(1).says("is cancelled");
    place.run("verify").exits(0);
}

#[test]
fn steps_are_named() {
    let (place, id) = failed();
    let ran = place.run(&format!("task retry {id} bed --json")).exits(2);
    assert_eq!(
        ran.error(),
        (
            "step_not_found".to_owned(),
            format!("the task `{id}` has no step `bed`")
        )
    );
    assert_eq!(ran.json()["error"]["help"], "did you mean `bad`?");
    let ran = place.run(&format!("task retry {id} good")).exits(2);
    assert_eq!(
        ran.stderr,
        format!(
            "error: step `good` of task `{id}` cannot be retried, since it is complete\n  help: the step is done for \
             good\n"
        )
    );
}

#[test]
fn results_are_checked() {
    let (place, id) = failed();
    let ran = place
        .run(&format!("task resolve {id} bad --result {{ --json"))
        .exits(2);
    assert_eq!(
        ran.error(),
        ("input_not_json".to_owned(), "the result is not JSON".to_owned())
    );
}

#[test]
fn a_task_that_a_step_created_names_it() {
    use std::sync::Arc;
    use tasker::{StepBuilder, StepContext, Tasker, Template, handler};

    let place = Place::new();
    let single = |name: &str| {
        Template::builder(name)
            .step(StepBuilder::new("only", name))
            .build()
            .unwrap()
    };
    let child = single("ok");
    let creates = handler(move |ctx: StepContext| {
        let child = Arc::clone(&child);
        async move { ctx.create_task(child) }
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let parent = runtime.block_on(async {
        let builder = Tasker::builder().data_directory(place.path("data"));
        let tasker = builder.handler("creates", creates).build().unwrap();
        let report = tasker.run(single("creates")).await.unwrap();
        tasker.close().await.unwrap();
        report.task_id.to_string()
    });
    let id = place.newest_task();
    let ran = place.run(&format!("task show {id}")).exits(0);
    ran.says(&format!("created by step only of task {parent}\n"));
    let shown = place.run(&format!("task show {id} --json")).exits(0).json();
    assert_eq!(shown["parent_task_id"], parent);
    assert_eq!(shown["parent_step"], "only");
    assert_eq!(shown["root_task_id"], parent);
    let ran = place.run(&format!("task show {parent} --history")).exits(0);
    ran.says(&format!(", created task {id}\n"));
    place.run("verify").exits(0);
}
