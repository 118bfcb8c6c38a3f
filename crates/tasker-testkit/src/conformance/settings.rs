//! Settings of steps that operators change.

use std::sync::Arc;
use std::time::Duration;

use serde_json::json;
use tasker_engine::{Actor, Change, Demand, Description, Intervention, Json, StoreError, Transition};
use tasker_types::{StepNo, TaskId, TaskState};
use tokio::task::JoinSet;

use super::{A, B, limited, pair};
use crate::canonical::canonical_task;
use crate::harness::Harness;
use crate::outcome::{fail, fail_permanently, succeed};
use crate::shapes;

pub(super) async fn a_higher_retry_limit_resumes_an_exhausted_task(h: &Harness) {
    let task = h.create(limited(1)).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, Duration::ZERO)).await;
    assert_eq!(h.state(task).await, TaskState::Error);
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 2)).await.task_state,
        TaskState::InProgress
    );
    let setting = |change: &Change| *change == Change::Setting { step: Some(A) };
    assert!(h.history(task).await.iter().any(|entry| setting(&entry.change)));
    let claim = h.claim_one().await;
    assert_eq!((claim.attempt, claim.retry_limit), (2, 2));
    assert_eq!(
        h.turn(vec![succeed(&claim)], 0).await.finished,
        [(task, TaskState::Complete)]
    );
}

pub(super) async fn a_higher_retry_limit_does_not_mend_a_permanent_failure(h: &Harness) {
    let task = h.create(limited(1)).await;
    let claim = h.claim_one().await;
    h.end(fail_permanently(&claim)).await;
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 9)).await.task_state,
        TaskState::Error
    );
    assert_eq!(h.snapshot(task).await.steps[0].retry_limit, 9);
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_lower_retry_limit_ends_the_retries(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let claim = h.claim_one().await;
    h.end(fail(&claim, Duration::from_secs(5))).await;
    assert_eq!(
        h.demand(task, Demand::SetRetryLimit(A, 1)).await.task_state,
        TaskState::Error
    );
    h.pass(10);
    assert!(h.claim(9).await.is_empty());
}

pub(super) async fn a_retry_limit_of_zero_is_refused(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let error = h.intervene(task, Demand::SetRetryLimit(A, 0)).await.unwrap_err();
    assert!(matches!(error, StoreError::Rejected { .. }), "{error:?}");
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn settings_of_a_running_step_are_refused(h: &Harness) {
    let task = h.create(pair()).await;
    h.claim(1).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let config = Json::from(&json!({ "size": 3 }));
    for demand in [
        Demand::SetRetryLimit(A, 5),
        Demand::SetTimeout(A, Some(Duration::from_secs(5))),
        Demand::SetConfig(A, config.clone()),
    ] {
        let error = h.intervene(task, demand).await.unwrap_err();
        assert!(
            matches!(error, StoreError::StepInProgress { task: named, step } if (named, step) == (task, A)),
            "{error:?}"
        );
    }
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    h.demand(task, Demand::SetConfig(B, config)).await;
}

pub(super) async fn a_new_time_limit_and_configuration_come_with_the_next_claim(h: &Harness) {
    let task = h.create(shapes::single()).await;
    let config = Json::from(&json!({ "size": 3 }));
    let limit = Duration::from_millis(1_500);
    h.demand(task, Demand::SetTimeout(A, Some(limit))).await;
    h.demand(task, Demand::SetConfig(A, config.clone())).await;
    let claim = h.claim_one().await;
    assert_eq!(
        (claim.timeout, claim.config.as_ref()),
        (Some(limit), Some(&config))
    );
    h.end(fail(&claim, Duration::ZERO)).await;
    h.demand(task, Demand::SetTimeout(A, None)).await;
    let claim = h.claim_one().await;
    assert_eq!((claim.timeout, claim.config), (None, Some(config)));
}

pub(super) async fn a_task_is_described_anew(h: &Harness) {
    let mut task = h.new_task(pair());
    task.origin.initiator = Some("shop".to_owned());
    task.origin.tags = vec!["b2b".to_owned()];
    task.origin.annotations.insert("ticket".to_owned(), json!(7));
    let id = task.id;
    h.create_all(vec![task]).await;
    let change = Description::new()
        .reason("the customer asked")
        .tags(["vip", "eu", "vip"])
        .annotate("agent", json!({ "name": "Ann", "desk": 4 }))
        .without("ticket");
    let done = h.demand(id, Demand::Describe(change.clone())).await;
    assert_eq!((done.task_state, done.steps), (TaskState::Pending, Vec::new()));
    let origin = h.snapshot(id).await.task.origin;
    assert_eq!(origin.initiator.as_deref(), Some("shop"));
    assert_eq!(origin.reason.as_deref(), Some("the customer asked"));
    assert_eq!(origin.tags, ["vip", "eu"]);
    assert_eq!(
        json!(origin.annotations),
        json!({ "agent": { "name": "Ann", "desk": 4 } })
    );
    let entry = h.history(id).await.pop().unwrap();
    assert_eq!(entry.change, Change::Setting { step: None });
    assert_eq!(entry.metadata.unwrap().to_value(), change.metadata());
    // A task that is over can be described, too; one of which nothing was said has nothing to lose.
    let bare = h.create(shapes::single()).await;
    h.run_ready().await;
    h.demand(bare, Demand::Describe(Description::new().tags(["late"])))
        .await;
    assert_eq!(h.snapshot(bare).await.task.origin.tags, ["late"]);
}

pub(super) async fn a_label_that_cannot_be_kept_is_refused(h: &Harness) {
    let task = h.create(pair()).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let change = Description::new().reason("why not").tags([""]);
    let error = h.intervene(task, Demand::Describe(change)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "a tag is \"\", but it must be 1 to 128 characters, none of them a control character"
    );
    assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
}

pub(super) async fn a_change_of_a_setting_keeps_its_reason(h: &Harness) {
    let task = h.create(pair()).await;
    let demands = [
        (
            Demand::SetPriority(3),
            json!({ "priority": 3, "reason": "urgent" }),
        ),
        (
            Demand::SetRetryLimit(A, 5),
            json!({ "retry_limit": 5, "reason": "urgent" }),
        ),
        (
            Demand::Describe(Description::new().tags(["vip"])),
            json!({ "description": { "tags": ["vip"] }, "reason": "urgent" }),
        ),
    ];
    for (demand, expected) in demands {
        let actor = Actor::User("ann".to_owned());
        let intervention = Intervention::new(task, demand, actor).because(Some("urgent".to_owned()));
        h.store.intervene(intervention).await.unwrap();
        let entry = h.history(task).await.pop().unwrap();
        assert_eq!(entry.metadata.unwrap().to_value(), expected);
    }
}

fn ann(task: TaskId, demands: Vec<Demand>) -> Intervention {
    Intervention::all(task, demands, Actor::User("ann".to_owned()))
}

pub(super) async fn several_demands_are_carried_out_together(h: &Harness) {
    let task = h.create(pair()).await;
    let demands = vec![
        Demand::Describe(Description::new().tags(["vip"])),
        Demand::SetPriority(7),
        Demand::SetTimeout(A, Some(Duration::from_secs(5))),
        Demand::SetRetryLimit(A, 9),
    ];
    h.store.intervene(ann(task, demands)).await.unwrap();
    let snapshot = h.snapshot(task).await;
    assert_eq!(snapshot.task.origin.tags, ["vip"]);
    assert_eq!((snapshot.task.priority, snapshot.steps[0].retry_limit), (7, 9));
    let claims = h.claim(9).await;
    let claim = claims.iter().find(|claim| claim.lease.step == A).unwrap();
    assert_eq!(claim.timeout, Some(Duration::from_secs(5)));
    let settings = |entry: &&Transition| matches!(entry.change, Change::Setting { .. });
    assert_eq!(h.history(task).await.iter().filter(settings).count(), 4);
}

pub(super) async fn of_several_demands_none_is_carried_out_if_one_is_refused(h: &Harness) {
    let task = h.create(pair()).await;
    h.claim(1).await;
    let before = canonical_task(&*h.store, task).await.unwrap();
    let first = [
        Demand::Describe(Description::new().tags(["vip"])),
        Demand::SetPriority(7),
        Demand::SetRetryLimit(B, 9),
        Demand::CancelStep(B),
    ];
    for refused in [
        Demand::SetRetryLimit(A, 5),
        Demand::Describe(Description::new().tags([""])),
        Demand::ResetStep(A),
        Demand::CancelStep(StepNo(99)),
    ] {
        let demands = [&first[..], &[refused]].concat();
        h.store.intervene(ann(task, demands)).await.unwrap_err();
        assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
    }
}

pub(super) async fn a_demand_of_a_task_that_was_changed_meanwhile_is_refused(h: &Harness) {
    let (task, other) = (h.create(pair()).await, h.create(pair()).await);
    let expecting = |position| ann(task, vec![Demand::SetPriority(7)]).expecting(position);
    let mut seen = h.snapshot(task).await.position;
    // What happens to others does not matter.
    h.demand(other, Demand::CancelTask).await;
    h.store.intervene(expecting(seen)).await.unwrap();
    // It is a change itself; so is a claim, an end, and what is said.
    for _ in 0..4 {
        let before = canonical_task(&*h.store, task).await.unwrap();
        let refused = h.store.intervene(expecting(seen)).await.unwrap_err();
        assert!(
            matches!(refused, StoreError::Changed { task: named } if named == task),
            "{refused:?}"
        );
        assert_eq!(canonical_task(&*h.store, task).await.unwrap(), before);
        seen = h.snapshot(task).await.position;
        if let Some(claim) = h.claim(1).await.first() {
            h.end(succeed(claim)).await;
        } else {
            h.demand(task, Demand::Describe(Description::new().reason("late")))
                .await;
        }
    }
    let seen = h.snapshot(task).await.position;
    h.store.intervene(expecting(seen)).await.unwrap();
}

pub(super) async fn of_those_who_saw_the_same_task_one_changes_it(h: &Harness) {
    let task = h.create(pair()).await;
    let seen = h.snapshot(task).await.position;
    let mut all = JoinSet::new();
    for priority in 0..16 {
        let demand = ann(task, vec![Demand::SetPriority(priority)]).expecting(seen);
        let store = Arc::clone(&h.store);
        all.spawn(async move { store.intervene(demand).await });
    }
    let (done, refused): (Vec<_>, Vec<_>) = all.join_all().await.into_iter().partition(Result::is_ok);
    assert_eq!(done.len(), 1, "{refused:?}");
    for refused in refused {
        assert!(matches!(refused, Err(StoreError::Changed { .. })), "{refused:?}");
    }
}
