//! User registration, against services that really answer, on a port of this machine and in real time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use tasker::config::Loader;
use tasker::{Change, Position, StepEvent, SystemClock, TaskRequest, TaskState, Tasker, UnknownHandlers};
use tasker_types::{TaskId, Timestamp};
use tests::StoreKind;

#[path = "../../docs/examples/user_registration/services.rs"]
mod services;

use services::Services;

/// Returns the ends of each step's attempts with their codes, and the times of the starts and ends.
async fn attempts(tasker: &Tasker, task: TaskId) -> BTreeMap<String, (Vec<String>, Vec<Timestamp>)> {
    let snapshot = tasker.store().snapshot(task).await.unwrap().unwrap();
    let mut steps: BTreeMap<String, (Vec<String>, Vec<Timestamp>)> = BTreeMap::new();
    for entry in tasker.store().history(task, Position(0), u32::MAX).await.unwrap() {
        let Change::Step { step, event, .. } = entry.change else {
            continue;
        };
        let name = snapshot.task.template.step(step).name().to_string();
        let (ends, times) = steps.entry(name).or_default();
        times.push(entry.at);
        match event {
            StepEvent::Start => {}
            StepEvent::Fail => ends.push(entry.metadata.unwrap().to::<tasker::Failure>().unwrap().code),
            event => ends.push(event.to_string()),
        }
    }
    steps
}

async fn register_all(kind: StoreKind) {
    let services = Services::start().await.unwrap();
    let opened = kind.open_threaded(Arc::new(SystemClock));
    let config = Loader::new()
        .set("backoff.default_backoff_seconds", [0])
        .set("backoff.backoff_multiplier", 1.0)
        .load()
        .unwrap();
    let tasker = Tasker::builder()
        .store(Arc::clone(&opened.store))
        .config(config)
        .build()
        .unwrap();
    let path = services::directory().join("registration.yaml");
    let template = tasker.load(path, UnknownHandlers::Refuse).unwrap().template;
    let mut running = tokio::task::JoinSet::new();
    for mut user in services::users().unwrap() {
        user["services"] = services.url().into();
        let request = TaskRequest::new(Arc::clone(&template)).context(user);
        let tasker = tasker.clone();
        running.spawn(async move { tasker.run(request).await.unwrap() });
    }
    let reports = running.join_all().await;
    assert_eq!(reports.len(), 3);
    for report in &reports {
        assert_eq!(report.state, TaskState::Complete, "on {kind}: {report:?}");
        let steps = attempts(&tasker, report.task_id).await;
        let ends: Vec<(&str, Vec<&str>)> = steps
            .iter()
            .map(|(step, (ends, _))| (step.as_str(), ends.iter().map(String::as_str).collect()))
            .collect();
        assert_eq!(
            ends,
            [
                ("activate", vec!["http_connection_broken", "succeed"]),
                ("create_account", vec!["HTTP_409", "succeed"]),
                ("send_welcome", vec!["timeout", "succeed"]),
                ("set_preferences", vec!["HTTP_503", "succeed"]),
                ("set_up_billing", vec!["HTTP_429", "succeed"]),
            ],
            "on {kind}"
        );
        // Start, fail, start, succeed: what lies between the second and the third is the wait.
        let waited = |step: &str| steps[step].1[2].since(steps[step].1[1]);
        assert!(waited("set_up_billing") >= Duration::from_secs(2), "on {kind}");
        assert!(waited("set_preferences") < Duration::from_secs(2), "on {kind}");
        let ran = steps["send_welcome"].1[1].since(steps["send_welcome"].1[0]);
        assert!(ran >= Duration::from_secs(1), "on {kind}: {ran:?}");
        assert_eq!(report.result.as_ref().unwrap()["body"]["state"], "active");
    }
    let mut active = services.active();
    active.sort_unstable();
    assert_eq!(
        active,
        ["aiko@example.com", "nora@example.com", "tomas@example.net"]
    );
    // Every request came twice under one key, and never under two.
    let mut keys: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for exchange in services.log() {
        assert!(!exchange.key.is_empty(), "{exchange:?}");
        keys.entry(exchange.key).or_default().push(exchange.answer);
    }
    assert_eq!(keys.len(), 15, "{keys:?}");
    assert!(keys.values().all(|answers| answers.len() == 2), "{keys:?}");
    assert!(tasker::verify_all(&*opened.store).await.unwrap().holds());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn services_with_a_bad_moment_end_in_registered_users() {
    for kind in StoreKind::ALL {
        let all = tokio::time::timeout(Duration::from_secs(60), register_all(*kind));
        all.await.unwrap();
    }
}
